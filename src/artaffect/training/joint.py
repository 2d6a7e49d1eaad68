"""Recipes of the kind ``joint``: both encoders and their combination, trained by artwork."""

import logging

import numpy as np
import torch

from artaffect.config import JointConfig
from artaffect.features import AnnotationArrays
from artaffect.metrics.partial import validation_scores
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import FUSION_FORMS, FusionSetup
from artaffect.models.pruning import trainable
from artaffect.training.batches import JointRows
from artaffect.training.calibration import TrainedModel, finish
from artaffect.training.combination import log_prior
from artaffect.training.data import TrainingData
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.objectives import JointTask
from artaffect.training.sources import SourceContext, current_features
from artaffect.training.trainer import Scores, Trainer

_logger = logging.getLogger(__name__)


def train_joint(data: TrainingData, config: JointConfig) -> TrainedModel:
    """Train image, caption and combination at once, on the artworks that have an image.

    Raises:
        TableError: a split has no image.
    """
    data = data.for_sources(image=True, caption=True, complete=True)
    context = SourceContext.from_recipe(data, config)
    image = ImageSource.create(config.image, context)
    rules = image.encoder.preprocessing
    train, val = (
        data.arrays(table, preprocessing=rules).with_images() for table in (data.train, data.val)
    )
    caption = CaptionSource.create(config.caption, context, train.captions)
    image_model, caption_model = image.start(train), caption.start(train)

    torch.manual_seed(config.seed)
    widths = {"image": image.encoder.feature_dim, "caption": caption.encoder.feature_dim}
    cultures, n_cultures = len(data.cultures), context.n_cultures
    labels = data.train.labels
    setup = FusionSetup(config.fusion, widths, cultures, n_cultures, len(labels))
    (fusion,) = FUSION_FORMS[config.fusion.form].candidates(setup).values()
    known = (train.emotion, train.culture)
    prior = log_prior(*known, cultures, len(labels), not n_cultures, train.partial)
    scalers = {"image": image_model.head.scaler, "caption": caption_model.head.scaler}
    fusion.initialize(prior, scalers)
    model = EmotionModel(image_model, caption_model, fusion, data.cultures, data.languages, labels)
    _logger.info(f"joint: image {trainable(image.encoder)}, caption {trainable(caption.encoder)}")

    by_artwork = np.argsort(train.artwork.numpy(), kind="stable")
    ends = np.bincount(train.artwork.numpy(), minlength=len(train.artwork_ids)).cumsum()
    rows = JointRows(
        image.views(train),
        caption.encoder_rows(train),
        np.split(by_artwork, ends[:-1]),
        config.captions,
        config.groups,
        config.image.workers,
    )
    task = JointTask(model, config.fusion.modality_dropout, n_cultures, train.partial)
    folder, on_epoch = data.work and data.work / "joint", data.tracking.logger("joint")
    trainer = Trainer(config.train, config.seed, folder, device="auto", on_epoch=on_epoch)
    result = trainer.fit(task, rows, lambda: _scores(model, val))
    log = {"joint": result.summary(config.train.metric)}
    return finish(data, model, log, {"joint": result.history})


@torch.no_grad()
def _scores(model: EmotionModel, val: AnnotationArrays) -> Scores:
    """Validation scores of the combination under training."""
    image_encoder, text_encoder = model.encoders
    assert image_encoder is not None and text_encoder is not None and val.image_paths is not None
    device = next(model.parameters()).device
    image = current_features(image_encoder, val.image_paths.tolist())
    caption = current_features(text_encoder, val.captions)
    model.to("cpu")
    present = torch.ones(len(val), 2, dtype=torch.bool)
    probabilities, _ = model.answer(image[val.artwork], caption, present, val.culture, False)
    model.to(device)
    return validation_scores(val.emotion.numpy(), probabilities.numpy(), val.candidates)
