"""How much prior, image, caption and culture contributed to a prediction."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from artaffect.models.emotion_model import SOURCES, EmotionModel


@dataclass(frozen=True)
class LogOddsContributions:
    """The terms of a prediction for one emotion, as log-odds against the other emotions.

    If ``exact``, the terms sum to the log of the emotion's probability over the geometric mean of
    all; otherwise each is how far the prediction falls without that source.
    """

    terms: Mapping[str, float]
    """``prior`` (what this culture chooses on average), ``image``, ``caption``."""
    culture: float
    """Log of the ratio of the emotion's probability for this culture to that for all together."""
    exact: bool


@torch.no_grad()
def log_odds_contributions(
    model: EmotionModel, image: Tensor, caption: Tensor, present: Tensor, culture: int, emotion: int
) -> LogOddsContributions:
    """Split one prediction into terms.

    Args:
        image: features [1, d].
        caption: features [1, e].
        present: bool [1, 2].
        emotion: index of the emotion to explain.
    """
    index = torch.tensor([culture], device=present.device)

    def probability(present: Tensor, index: Tensor) -> Tensor:
        return model.distribution(image, caption, present, index)[0][0]

    def log_odds(present: Tensor) -> float:
        logs = probability(present, index).log()
        return float(logs[emotion] - logs.mean())

    overall = probability(present, torch.zeros_like(index))[emotion]
    ratio = probability(present, index)[emotion] / overall
    of_culture = float(ratio.log()) if model.cultures else 0.0
    if model.fusion is not None:
        inputs = model.fusion_inputs(image, caption, index)
        additive = model.fusion.additive_terms(inputs, present, index)
        if additive is not None:
            modality_index = int(present[0, 0]) + 2 * int(present[0, 1]) - 1
            temperature = model.temperature[modality_index, culture]
            scaled = {name: logits[0] / temperature for name, logits in additive.items()}
            terms = {name: float(term[emotion] - term.mean()) for name, term in scaled.items()}
            return LogOddsContributions(terms, of_culture, True)
    complete = log_odds(present)
    if not present.all():
        name = SOURCES[0] if present[0, 0] else SOURCES[1]
        return LogOddsContributions({name: complete}, of_culture, True)
    without = ~torch.eye(2, dtype=torch.bool, device=present.device)
    terms = {name: complete - log_odds(without[i, None]) for i, name in enumerate(SOURCES)}
    return LogOddsContributions(terms, of_culture, False)
