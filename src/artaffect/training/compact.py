"""The recipe ``compact``: heads and their combination on the features of frozen encoders."""

import logging

from artaffect.config import CompactConfig
from artaffect.errors import TableError
from artaffect.features import extract_arrays
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.heads import EmotionClassifier
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.evaluation import TrainingPriors, evaluate_rows
from artaffect.training.branches import CaptionBranch, ImageBranch
from artaffect.training.calibration import calibrate
from artaffect.training.data import TrainedModel, TrainingData
from artaffect.training.fusion import BranchLogits, choose_fusion, out_of_fold_logits

_logger = logging.getLogger(__name__)


def train_compact(
    corpus: TrainingData, config: CompactConfig, n_resamples: int = 1000
) -> TrainedModel:
    """Train image, caption and fusion on frozen features; choose on the validation split.

    Raises:
        TableError: a split has no picture.
    """
    splits = {"train": corpus.train, "val": corpus.val}
    cultures = corpus.cultures
    image_encoder = create_image_encoder(config.image.encoder)
    text_encoder = create_text_encoder(config.caption.encoder)
    rows = {
        name: extract_arrays(part, image_encoder, text_encoder, cultures, corpus.cache)
        for name, part in splits.items()
    }
    for name, part in rows.items():
        for fault in part.unreadable:
            _logger.info(f"trained without a picture that cannot be read: {fault}")
        if not part.has_image.any():
            raise TableError(f"no row of split {name!r} has a picture")

    asked = (corpus.n_cultures(config.culture), config.seed, config.culture)
    image = ImageBranch(config.image, image_encoder.feature_dim, *asked)
    caption = CaptionBranch(config.caption, text_encoder.feature_dim, *asked)
    train, val = rows["train"], rows["val"]
    pictured, pictured_val = train.select(train.has_image), val.select(val.has_image)
    image_head = image.fit(pictured, pictured_val)
    _logger.info(
        f"image: log-loss {image.result_.best_score:.4f} on validation, penalty {image.penalty_}"
    )
    caption_head = caption.fit(train, val)
    _logger.info(f"caption: log-loss {caption.result_.best_score:.4f} on validation")
    logits = out_of_fold_logits(image, caption, train, config.folds, config.seed)
    val_logits = BranchLogits(
        image.logits(image_head, pictured_val), caption.logits(caption_head, pictured_val)
    )
    fusion, fusion_chosen = choose_fusion(
        config.fusion,
        (pictured, logits),
        (pictured_val, val_logits),
        len(cultures),
        image.cultures,
        config.seed,
    )
    model = EmotionModel(
        EmotionClassifier(image_encoder, image_head),
        EmotionClassifier(text_encoder, caption_head),
        fusion,
        cultures,
        corpus.languages,
    ).eval()
    calibrate(model, val)
    priors = TrainingPriors.from_rows(train)
    return TrainedModel(
        model=model,
        priors=priors,
        chosen={"image": image.chosen(), "caption": caption.chosen(), "fusion": fusion_chosen},
        evaluation=evaluate_rows(model, val, priors, "val", n_resamples),
    )
