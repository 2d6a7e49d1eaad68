"""The recipes of the kind ``tuned``: encoders trained one by one, then combined."""

from pathlib import Path

import torch

from artaffect.config import TunedConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config
from artaffect.models.fusion import LinearFusion
from artaffect.prediction.evaluation import TrainingPriors, evaluate_rows
from artaffect.training.calibration import calibrate
from artaffect.training.data import TrainedModel, TrainingData, hold_out
from artaffect.training.encoders import (
    CaptionModel,
    Choice,
    ImageModel,
    create_trained_caption,
    create_trained_image,
)
from artaffect.training.fusion import BranchLogits, choose_fusion


def train_tuned(corpus: TrainingData, config: TunedConfig, n_resamples: int = 1000) -> TrainedModel:
    """Train what the recipe has: an image model, a caption model, or both and their combination.

    Raises:
        TableError: a picture is needed, and a split has none.
        ConfigError: a run that is built on does not fit.
    """
    choice = Choice(config.culture, config.seed)
    learned, held_out = corpus.train, corpus.train
    if config.held_out:
        learned, held_out = hold_out(corpus.train, config.held_out, config.seed)
        for part in (config.image, config.caption):
            if part is not None and part.run:
                _check_held_out(part.run, config)
    image: ImageModel | None = None
    caption: CaptionModel | None = None
    chosen = {}
    if config.image is not None:
        parts = (corpus.part(learned), corpus.part(corpus.val))
        image, chosen["image"] = create_trained_image(config.image, corpus, parts, choice)
    if config.caption is not None:
        parts = (corpus.part(learned, pictures=False), corpus.part(corpus.val, pictures=False))
        caption, chosen["caption"] = create_trained_caption(config.caption, corpus, parts, choice)
    fusion: LinearFusion | None = None
    if image is not None and caption is not None:
        fusion, chosen["fusion"] = combine(corpus, config, image, caption, held_out)
    model = EmotionModel(image, caption, fusion, corpus.cultures, corpus.languages).eval()
    priors, evaluation = score(corpus, model, n_resamples)
    return TrainedModel(model, priors, chosen, evaluation)


def _check_held_out(run: str, config: TunedConfig) -> None:
    """Refuse a run that has learned from the paintings on which the combination is to be fitted."""
    recipe = read_config(Path(run))["recipe"]
    if (recipe.get("held_out"), recipe["seed"]) != (config.held_out, config.seed):
        raise ConfigError(
            f"{run} has seen the paintings that held_out = {config.held_out} keeps for the combination "
            f"(its held_out is {recipe.get('held_out', 0.0)}, its seed {recipe['seed']}): "
            "train it with the same held_out and seed"
        )


def combine(
    corpus: TrainingData,
    config: TunedConfig,
    image: ImageModel,
    caption: CaptionModel,
    asked: AnnotationTable,
) -> tuple[LinearFusion, dict[str, object]]:
    """Fit the combination of two trained models.

    Args:
        asked: the rows it is fitted on, best those that neither model has learned from.
    """
    rows = []
    for table in (asked, corpus.val):
        encoders = (image.encoder, caption.encoder)
        found = extract_arrays(table, *encoders, corpus.cultures, corpus.cache)
        pictured = found.select(found.has_image)
        rows.append((pictured, _said(image, caption, pictured)))
    cultures = len(corpus.cultures)
    n_cultures = corpus.n_cultures(config.culture)
    return choose_fusion(config.fusion, rows[0], rows[1], cultures, n_cultures, config.seed)


def score(
    corpus: TrainingData, model: EmotionModel, n_resamples: int
) -> tuple[TrainingPriors, EvaluationResult]:
    """What constant answers need to know, and the model's scores on validation.

    The temperatures are fitted on validation too.
    """
    val = extract_arrays(corpus.val, *model.encoders, corpus.cultures, corpus.cache)
    calibrate(model, val)
    train = extract_arrays(corpus.train, None, None, corpus.cultures)
    priors = TrainingPriors.from_rows(train)
    return priors, evaluate_rows(model, val, priors, "val", n_resamples)


@torch.no_grad()
def _said(image: ImageModel, caption: CaptionModel, rows: AnnotationArrays) -> BranchLogits:
    blind = torch.zeros_like(rows.culture)
    seen = rows.image[rows.artwork]
    return BranchLogits(
        torch.stack([image.head.emotion_logits(seen, c) for c in (rows.culture, blind)]),
        torch.stack([caption.head.emotion_logits(rows.caption, c) for c in (rows.culture, blind)]),
    )
