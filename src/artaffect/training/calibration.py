"""From trained networks to a finished model: calibrated (Guo et al. 2017), and scored on validation."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.familiarity import Familiarity
from artaffect.models.folder import Histories
from artaffect.prediction.evaluation import TrainingPriors, evaluate_rows, predict_proba
from artaffect.training.data import TrainingData
from artaffect.training.familiarity import learn_familiarity
from artaffect.training.objectives import label_loss

MIN_ROWS = 100
"""A culture with fewer captions takes the temperature of all cultures together."""

_INPUTS = (("image",), ("caption",), ("image", "caption"))
"""In the order of :attr:`EmotionModel.temperature`."""


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
    """Calibrate a model on the validation split, and score it there.

    Raises:
        ConfigError: the training diverged, so that nothing can be calibrated.
    """
    val = extract_arrays(data.val, *model.encoders, data.cultures, data.cache, data.outside)
    calibrate(model.eval(), val)
    if not model.temperature.isfinite().all():
        sections = (
            "" if n == "joint" else f"{n.removesuffix('_alone')}." for n in log if n != "fusion"
        )
        settings = " and ".join(dict.fromkeys(f"{s}train.learning_rate" for s in sections))
        raise ConfigError(f"training diverged: its predictions are not finite: lower {settings}")
    encoder = model.encoders[0]
    train = extract_arrays(data.train, encoder, None, data.cultures, data.cache)
    priors = TrainingPriors.from_rows(train)
    evaluation = evaluate_rows(model, val, priors, "val")
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
    for i, modalities in enumerate(_INPUTS):
        usable = rows.select(rows.has_image) if "image" in modalities else rows
        if set(modalities) - set(model.modalities) or not len(usable):
            continue
        known = usable.partial
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
