"""From a table to a model: the recipe ``compact``, on frozen features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from artaffect.config import CompactConfig, FusionConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import TableError
from artaffect.evaluation.evaluator import EvaluationResult
from artaffect.inference.evaluation import (
    TrainingHabits,
    evaluate_rows,
    fit_readers,
    votes_by_artwork,
)
from artaffect.inference.rows import FeatureRows, extract_rows
from artaffect.models.classifier import EmotionClassifier
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import FeatureFusion, LinearFusion, LogitFusion
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.runtime import say
from artaffect.training.branches import CaptionBranch, ImageBranch
from artaffect.training.fusion import (
    BranchLogits,
    fit_linear_fusion,
    log_prior,
    out_of_fold_logits,
)


@dataclass(frozen=True)
class TrainedModel:
    """A model, what a model folder says of it, and its scores on the validation split."""

    model: EmotionModel
    heads: dict[str, Any]
    habits: TrainingHabits
    chosen: dict[str, Any]
    evaluation: EvaluationResult


def train_compact(
    table: AnnotationTable, config: CompactConfig, cache: Path | None = None, draws: int = 1000
) -> TrainedModel:
    """Train image, caption and fusion on frozen features; choose on the validation split.

    Raises:
        TableError: a split is missing, or has no picture.
    """
    splits = {name: table.of_split(name) for name in ("train", "val")}
    cultures = splits["train"].cultures
    image_encoder = create_image_encoder(config.image.encoder)
    text_encoder = create_text_encoder(config.caption.encoder)
    rows = {
        name: extract_rows(part, image_encoder, text_encoder, cultures, cache)
        for name, part in splits.items()
    }
    for name, part in rows.items():
        for fault in part.broken:
            say(f"trained without a picture that cannot be read: {fault}")
        if not part.has_image.any():
            raise TableError(f"no row of split {name!r} has a picture")

    # one culture has nobody to differ from
    told_apart = len(cultures) if config.culture == "head" and len(cultures) > 1 else 0
    image = ImageBranch(config.image, image_encoder.feature_dim, told_apart, config.seed)
    caption = CaptionBranch(config.caption, text_encoder.feature_dim, told_apart, config.seed)
    train, val = rows["train"], rows["val"]
    pictured, pictured_val = train.select(train.has_image), val.select(val.has_image)
    image_head = image.fit(pictured, pictured_val)
    say(f"image: log-loss {image.result_.best_score:.4f} on validation, penalty {image.penalty_}")
    caption_head = caption.fit(train, val)
    say(f"caption: log-loss {caption.result_.best_score:.4f} on validation")
    logits = out_of_fold_logits(image, caption, train, config.folds, config.seed)
    val_logits = BranchLogits(
        image.logits(image_head, pictured_val), caption.logits(caption_head, pictured_val)
    )
    fusion, fusion_chosen = _choose_fusion(
        config, image, caption, (pictured, logits), (pictured_val, val_logits), len(cultures)
    )
    model = EmotionModel(
        EmotionClassifier(image_encoder, image_head),
        EmotionClassifier(text_encoder, caption_head),
        fusion,
        cultures,
        sorted(splits["train"].codes("language")[0]),
    ).eval()
    habits = TrainingHabits.of(train, _readers(pictured, logits))
    return TrainedModel(
        model=model,
        heads={"image": image.arguments, "caption": caption.arguments},
        habits=habits,
        chosen={"image": image.chosen(), "caption": caption.chosen(), "fusion": fusion_chosen},
        evaluation=evaluate_rows(model, val, habits, "val", draws),
    )


def _choose_fusion(
    config: CompactConfig,
    image: ImageBranch,
    caption: CaptionBranch,
    training: tuple[FeatureRows, BranchLogits],
    validation: tuple[FeatureRows, BranchLogits],
    cultures: int,
) -> tuple[LinearFusion, dict[str, Any]]:
    """Fit every form that the settings allow; the best on validation stays."""
    (train, logits), (val, val_logits) = training, validation
    prior = log_prior(train, cultures)
    present = torch.ones(len(val), 2, dtype=torch.bool)
    said = (val_logits.image[0], val_logits.caption[0])
    features = (image.features(val), caption.features(val))

    def validate(fusion: LinearFusion) -> float:
        with torch.no_grad():
            inputs = said if isinstance(fusion, LogitFusion) else features
            return float(F.cross_entropy(fusion(*inputs, present, val.culture), val.emotion))

    torch.manual_seed(config.seed)
    candidates = _candidates(config.fusion, image, caption, cultures)
    tried = {
        name: fit_linear_fusion(
            fusion,
            config.fusion,
            train,
            logits,
            prior,
            lambda fusion=fusion: validate(fusion),  # type: ignore[misc]
            config.seed,
        )
        for name, fusion in candidates.items()
    }
    chosen = min(tried, key=lambda name: tried[name])
    scores = ", ".join(f"{name} {score:.4f}" for name, score in tried.items())
    say(f"both: log-loss on validation {scores}")
    return candidates[chosen], {"chosen": chosen, "validation_log_loss": tried}


def _readers(rows: FeatureRows, logits: BranchLogits) -> float:
    """See :func:`fit_readers`; the answers are those for the public as a whole."""
    answers = torch.zeros(len(rows.artworks), logits.image.shape[-1])
    answers[rows.artwork] = logits.image[1].softmax(-1)  # alike for all rows of a painting
    votes = votes_by_artwork(rows)
    seen = votes.sum(1) > 0
    return fit_readers(votes[seen].numpy(), answers[seen].numpy())


def _candidates(
    config: FusionConfig, image: ImageBranch, caption: CaptionBranch, cultures: int
) -> dict[str, LinearFusion]:
    weights = {"on": (True,), "off": (False,), "auto": (False, True) if cultures > 1 else (False,)}
    found: dict[str, LinearFusion] = {}
    for per_culture in weights[config.per_culture]:
        suffix = ", weights per culture" if per_culture else ""
        if config.form in ("auto", "logits"):
            found[f"logits{suffix}"] = LogitFusion(cultures, per_culture)
        if config.form in ("auto", "features"):
            found[f"features{suffix}"] = FeatureFusion(
                image.arguments["feature_dim"],
                caption.arguments["feature_dim"],
                cultures if per_culture else image.cultures,
                per_culture,
                config.latent,
                config.dropout,
            )
    return found
