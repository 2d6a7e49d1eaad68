"""The recipes of the kind ``joint``: both encoders and their combination, trained by painting."""

import logging
from collections.abc import Mapping

import numpy as np
import torch

from artaffect.config import JointConfig
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import LinearFusion, LogitFusion
from artaffect.models.image_encoders import create_image_encoder
from artaffect.training.batches import JointRows
from artaffect.training.data import Part, TrainedModel, TrainingData
from artaffect.training.encoders import (
    CaptionModel,
    Choice,
    ImageModel,
    caption_encoder,
    caption_rows,
    course,
    encoded,
    picture_views,
    scores_of,
    start_caption,
    start_image,
    trainable,
)
from artaffect.training.fusion import feature_fusion, log_prior
from artaffect.training.objectives import JointTask
from artaffect.training.trainer import Trainer
from artaffect.training.tuned import score

_logger = logging.getLogger(__name__)


def train_joint(corpus: TrainingData, config: JointConfig, n_resamples: int = 1000) -> TrainedModel:
    """Train image, caption and combination at once, on the paintings that have a picture.

    Raises:
        TableError: a split has no picture.
    """
    choice = Choice(config.culture, config.seed)
    cultures = corpus.n_cultures(config.culture)
    train, val = (_pictured(corpus.part(table)) for table in (corpus.train, corpus.val))
    image_encoder = create_image_encoder(config.image.encoder)
    text_encoder = caption_encoder(config.caption, train.table)
    image = start_image(image_encoder, config.image, train, choice, cultures)
    caption = start_caption(text_encoder, config.caption, train, choice, cultures)
    torch.manual_seed(config.seed)
    fusion = _fusion(config, image, caption, corpus, train)
    model = EmotionModel(image, caption, fusion, corpus.cultures, corpus.languages)
    _logger.info(f"joint: image {trainable(image_encoder)}, caption {trainable(text_encoder)}")

    captions = caption_rows(text_encoder, train)
    by_artwork = np.argsort(train.artwork, kind="stable")
    ends = np.bincount(train.artwork, minlength=train.artworks).cumsum()
    rows = JointRows(
        picture_views(config.image, image_encoder, train, config.seed, corpus.cache),
        captions,
        np.split(by_artwork, ends[:-1]),
        config.captions,
        config.groups,
        config.image.workers,
    )
    task = JointTask(model, config.fusion.modality_dropout, cultures)
    result = Trainer(config.train, config.seed, corpus.folder("joint"), device="auto").fit(
        task, rows, lambda: _scores(model, val)
    )
    model.eval()
    priors, evaluation = score(corpus, model, n_resamples)
    return TrainedModel(model, priors, {"joint": course(result)}, evaluation)


def _pictured(part: Part) -> Part:
    """The rows whose painting has a picture that can be read, their paintings counted anew."""
    keep = part.pictured
    rows = keep[part.artwork]
    number = np.cumsum(keep) - 1
    return Part(
        table=part.table.select(rows),
        artworks=int(keep.sum()),
        artwork=number[part.artwork[rows]],
        culture=part.culture[rows],
        emotion=part.emotion[rows],
        files=[file for file in part.files if file is not None],
    )


def _fusion(
    config: JointConfig, image: ImageModel, caption: CaptionModel, corpus: TrainingData, train: Part
) -> LinearFusion:
    cultures = len(corpus.cultures)
    n_cultures = corpus.n_cultures(config.culture)
    per_culture = config.fusion.per_culture == "on"
    if config.fusion.form == "logits":
        fusion = LogitFusion(cultures, per_culture)
        emotion, culture = torch.from_numpy(train.emotion), torch.from_numpy(train.culture)
        prior = log_prior(emotion, culture, cultures)
        fusion.log_prior.copy_(prior if n_cultures else prior[:1].expand_as(prior))
        return fusion
    widths = (image.encoder.feature_dim, caption.encoder.feature_dim)
    combined = feature_fusion(config.fusion, widths, n_cultures, cultures if per_culture else 0)
    combined.image_scaler.load_state_dict(image.head.scaler.state_dict())
    combined.caption_scaler.load_state_dict(caption.head.scaler.state_dict())
    return combined


@torch.no_grad()
def _scores(model: EmotionModel, part: Part) -> Mapping[str, float]:
    """Validation scores of the combination under training."""
    image_encoder, text_encoder = model.encoders
    assert image_encoder is not None and text_encoder is not None
    home = next(model.parameters()).device
    image = encoded(image_encoder, list(part.files))
    caption = encoded(text_encoder, part.table.strings("caption"))
    model.to("cpu")
    said, _ = model.answer(
        image[torch.from_numpy(part.artwork)],
        caption,
        torch.ones(len(caption), 2, dtype=torch.bool),
        torch.from_numpy(part.culture),
    )
    model.to(home)
    return scores_of(part.emotion, said.numpy())
