"""Answers as sure as they are right: one temperature for each culture (Guo et al. 2017)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from artaffect.features import AnnotationArrays
from artaffect.models.emotion_model import EmotionModel
from artaffect.prediction.evaluation import predict_proba

FEWEST = 100
"""Captions of a culture below which it takes the temperature of all cultures together."""

_INPUTS = (("image",), ("caption",), ("image", "caption"))
"""In the order of :attr:`EmotionModel.temperature`."""


def calibrate(model: EmotionModel, rows: AnnotationArrays) -> None:
    """Fit the temperatures of a model on validation rows; the model keeps them.

    Each kind of input has its own: the image alone, the caption alone, both. A model that is blind
    to culture stays so. Row 0 of each is for the public as a whole.

    Args:
        rows: rows that the model has not learned from.
    """
    model.temperature.fill_(1.0)
    for place, modalities in enumerate(_INPUTS):
        shown = rows.select(rows.has_image) if "image" in modalities else rows
        if set(modalities) - set(model.modalities) or not len(shown):
            continue
        whole = fit_temperature(_logits(model, shown, modalities, 0), shown.emotion)
        told = whole
        if not model.blind:
            own = _logits(model, shown, modalities, None)
            told = fit_temperature(own, shown.emotion)
        found = torch.full((len(model.cultures) + 1,), told)
        found[0] = whole
        for culture in range(1, len(found)):
            mine = shown.culture == culture
            if not model.blind and int(mine.sum()) >= FEWEST:
                found[culture] = fit_temperature(own[mine], shown.emotion[mine])
        model.temperature[place] = found


def fit_temperature(logits: Tensor, emotions: Tensor) -> float:
    """The temperature at which logits [n, 9] give labels [n] the least log-loss: 0.05 to 20."""
    logits = logits.double()
    inverse = torch.zeros((), dtype=torch.float64, requires_grad=True)  # log of 1 / temperature
    optimizer = torch.optim.LBFGS([inverse], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits * inverse.exp(), emotions)
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(torch.exp(-inverse.detach()).clamp(0.05, 20))


def _logits(
    model: EmotionModel, rows: AnnotationArrays, modalities: tuple[str, ...], culture: int | None
) -> Tensor:
    said = predict_proba(model, rows, modalities, culture, calibrated=False)
    return torch.from_numpy(said).clamp_min(1e-12).log()
