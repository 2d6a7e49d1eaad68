"""From trained networks to a finished model: calibrated, scored on validation, ready for prediction sets."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.conformal import (
    ConformalScores,
    InputScores,
    Kind,
    ScoreName,
    label_scores,
)
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.familiarity import Familiarity
from artaffect.models.folder import Histories
from artaffect.prediction.evaluation import evaluate_rows, predict_proba
from artaffect.prediction.priors import TrainingPriors
from artaffect.training.data import TrainingData
from artaffect.training.familiarity import learn_familiarity
from artaffect.training.objectives import label_loss

MIN_ROWS = 100
"""A culture with fewer captions takes the temperature of all cultures together; with fewer captions in all,
it stays at 1."""

_COMBINATIONS = ("fusion", "outside")
"""Entries of the training log that are not trainings of networks, and have no learning rate."""

_INPUTS: Mapping[Kind, tuple[str, ...]] = {
    "image": ("image",),
    "caption": ("caption",),
    "both": ("image", "caption"),
}
"""Kinds of input, in the order of :attr:`EmotionModel.temperature`, and what each is made of."""


@dataclass(frozen=True)
class TrainedModel:
    """A model, what its folder records about it, and its scores on the validation split."""

    model: EmotionModel
    priors: TrainingPriors
    log: dict[str, Any]
    """What was chosen in each training, as plain JSON."""
    histories: Histories
    """Every epoch of each training."""
    evaluation: EvaluationResult
    familiarity: Familiarity | None = None
    """How near an image is to the training artworks; None if the model does not read images."""


def finish(
    data: TrainingData, model: EmotionModel, log: dict[str, Any], histories: Histories
) -> TrainedModel:
    """Calibrate a model on the validation split, score it there, and keep what prediction sets need.

    Raises:
        ConfigError: the training diverged, so that nothing can be calibrated.
    """
    val = extract_arrays(data.val, *model.encoders, data.cultures, data.cache, data.outside)
    calibrate(model.eval(), val)
    if not model.temperature.isfinite().all():
        networks = [name.removesuffix("_alone") for name in log if name not in _COMBINATIONS]
        sections = ("" if name == "joint" else f"{name}." for name in networks)
        settings = " and ".join(dict.fromkeys(f"{s}train.learning_rate" for s in sections))
        raise ConfigError(f"training diverged: its predictions are not finite: lower {settings}")
    encoder = model.encoders[0]
    train = extract_arrays(data.train, encoder, None, data.cultures, data.cache)
    priors = TrainingPriors.from_rows(train)
    evaluation = evaluate_rows(model, val, priors, "val")
    model.conformal = conformal_scores(model, val)
    familiarity = None
    if model.image is not None:
        familiarity = learn_familiarity(train, val, model.image.head.scaler)
    return TrainedModel(model, priors, log, histories, evaluation, familiarity)


def calibrate(model: EmotionModel, rows: AnnotationArrays) -> None:
    """Fit the temperatures of a model in place.

    Predictions from the image alone, the caption alone and both have temperatures of their own, for
    each culture and for all cultures together. A model that is blind to culture stays so.

    Args:
        rows: rows that the model has not learned from.
    """
    _fit_temperatures(model, model.temperature, rows, outside=False)
    if model.outside is not None and rows.outside is not None:
        known = rows.outside.isfinite().any(-1).any(-1)
        _fit_temperatures(model, model.outside_temperature, rows.select(known), outside=True)


def _fit_temperatures(
    model: EmotionModel, temperature: Tensor, rows: AnnotationArrays, outside: bool
) -> None:
    """Fit one set of temperatures [3, cultures + 1] in place, with or without outside sources."""
    temperature.fill_(1.0)
    for kind, usable in _usable(model, rows):
        i, modalities = list(_INPUTS).index(kind), _INPUTS[kind]
        known = usable.partial
        if len(usable) < MIN_ROWS:  # too few to fit a temperature
            continue
        overall = _logits(model, usable, modalities, 0, outside)
        temperature[i] = fit_temperature(overall, usable.emotion, known)
        if model.blind:
            continue
        logits = _logits(model, usable, modalities, None, outside)
        temperature[i, 1:] = fit_temperature(logits, usable.emotion, known)
        for culture in range(1, len(model.cultures) + 1):
            mask = usable.culture == culture
            if int(mask.sum()) >= MIN_ROWS:
                own = fit_temperature(logits[mask], usable.emotion[mask], known)
                temperature[i, culture] = own


def conformal_scores(
    model: EmotionModel, rows: AnnotationArrays, score: ScoreName = "lac"
) -> ConformalScores:
    """The scores of the true labels of rows, from which prediction sets are made.

    Rows with a partial label are left out, because their true label is not known.

    Args:
        rows: rows that the model has not learned from, for example those it was calibrated on.
    """
    inputs: dict[Kind, InputScores] = {}
    for kind, usable in _usable(model, rows.select(rows.is_exact)):
        labels = usable.emotion.numpy()
        any_culture, own = (
            label_scores(predict_proba(model, usable, _INPUTS[kind], culture), score)[
                np.arange(len(labels)), labels
            ]
            for culture in (0, None)
        )
        cultures = () if model.blind else model.cultures
        masks = {name: (usable.culture == i).numpy() for i, name in enumerate(cultures, 1)}
        inputs[kind] = InputScores.from_scores(any_culture, own, masks)
    return ConformalScores(score, inputs)


def _usable(model: EmotionModel, rows: AnnotationArrays) -> Iterator[tuple[Kind, AnnotationArrays]]:
    """Each kind of input that the model takes, with the rows that have it."""
    for kind, modalities in _INPUTS.items():
        usable = rows.select(rows.has_image) if "image" in modalities else rows
        if set(modalities) <= set(model.modalities) and len(usable):
            yield kind, usable


def fit_temperature(logits: Tensor, emotions: Tensor, partial: Tensor | None = None) -> float:
    """The temperature from 0.05 to 20 that minimises the log-loss of logits [n, k] for labels [n].

    ``partial`` holds the sets that partial labels stand for, see :func:`label_loss`.
    """
    logits = logits.double()
    inverse = torch.zeros((), dtype=torch.float64, requires_grad=True)  # log of 1 / temperature
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = label_loss(logits * inverse.exp(), emotions, partial)
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(torch.exp(-inverse.detach()).clamp(0.05, 20))


def _logits(
    model: EmotionModel,
    rows: AnnotationArrays,
    modalities: tuple[str, ...],
    culture: int | None,
    outside: bool,
) -> Tensor:
    arguments = (model, rows, modalities, culture)
    probabilities = predict_proba(*arguments, calibrated=False, outside=outside)
    return torch.from_numpy(probabilities).clamp_min(1e-12).log()
