"""How much the image, the caption and the culture counted in an answer."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import LogitFusion


@dataclass(frozen=True)
class Parts:
    """What an answer for one emotion is made of, as log-odds against the other emotions.

    Where ``exact``, the terms sum to the log of the emotion's probability over the geometric mean of all
    nine; else each says how far the answer falls without that input.
    """

    terms: Mapping[str, float]
    """``habit`` (what this public answers anyway), ``image``, ``caption``."""
    culture: float
    """Log of how much likelier the emotion is for this public than for the public as a whole."""
    exact: bool


@torch.no_grad()
def log_odds_contributions(
    model: EmotionModel, image: Tensor, caption: Tensor, present: Tensor, culture: int, emotion: int
) -> Parts:
    """Take one answer apart.

    Args:
        image: features [1, d].
        caption: features [1, e].
        present: bool [1, 2].
        emotion: index of what is explained.
    """
    index = torch.tensor([culture], device=present.device)

    def centred(seen: Tensor, whose: Tensor = index) -> float:
        logs = model.distribution(image, caption, seen, whose)[0].log()[0]
        return float(logs[emotion] - logs.mean())

    blind = model.distribution(image, caption, present, torch.zeros_like(index))[0][0, emotion]
    mine = model.distribution(image, caption, present, index)[0][0, emotion]
    of_culture = float((mine / blind).log()) if model.cultures else 0.0
    if isinstance(model.fusion, LogitFusion) and model.image and model.caption:
        branches = (
            model.image.head.emotion_logits(image, index),
            model.caption.head.emotion_logits(caption, index),
        )
        said = model.fusion.terms(*branches, present, index)[0]
        habit = model.fusion.log_prior[culture]
        if present.all():
            habit = habit + model.fusion.bias
        seen = int(present[0, 0]) + 2 * int(present[0, 1]) - 1
        terms = torch.stack([habit, *said]) / model.temperature[seen, culture]
        values = (terms[:, emotion] - terms.mean(1)).tolist()
        return Parts(
            dict(zip(("habit", "image", "caption"), values, strict=True)), of_culture, True
        )
    whole = centred(present)
    if not present.all():
        name = "image" if present[0, 0] else "caption"
        return Parts({name: whole}, of_culture, True)
    without = {
        "image": present.new_tensor([[False, True]]),
        "caption": present.new_tensor([[True, False]]),
    }
    return Parts({n: whole - centred(left) for n, left in without.items()}, of_culture, False)
