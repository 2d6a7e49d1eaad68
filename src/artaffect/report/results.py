"""What a cultural report holds. Figures, tables and pages draw it and compute nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from artaffect.metrics.agreement import Agreement
from artaffect.metrics.classification import (
    SEED,
    Score,
    bootstrap_sums,
    scores_of_sums,
    sum_by_artwork,
)
from artaffect.metrics.divergence import CulturalDivergence
from artaffect.metrics.evaluation import EvaluationResult, Reliability

GAP_METRICS = ("accuracy", "macro_f1", "log_loss")
_LOWER_IS_BETTER = {"log_loss"}


@dataclass(frozen=True)
class Gap:
    """How unequally a model serves publics, by one metric."""

    best: str
    worst: str
    difference: Score
    """Worst minus best, for these two cultures, over the same n_resamples of paintings."""


@dataclass(frozen=True)
class DeletionTest:
    """Whether a model's explanations point at what its answers hang on (Petsiuk et al. 2018)."""

    paintings: int
    gain: Score
    """How much lower the answer lies, on average and in log-probability, when what is said to matter is
    taken away first than when parts are taken away at random; above 0: the explanations hold."""
    faster: float
    """Share of paintings of which that is so."""
    occlusion: float | None
    """Of heatmap maps: their mean rank correlation with occlusion."""


@dataclass(frozen=True)
class RunScores:
    """What one model folder is worth, public by public."""

    name: str
    encoders: Mapping[str, str]
    culture_input: str
    chosen_on_this_split: bool
    """Whether its settings and temperatures were chosen on the rows it is scored on."""
    evaluation: EvaluationResult
    """Baseline, image, caption, both."""
    gaps: Mapping[str, Mapping[str, Gap]]
    """Model → metric → gap; empty with one culture."""
    distributions: Mapping[str, Mapping[str, Mapping[str, Score]]]
    """See :func:`distribution_scores`."""
    least: int
    calibration: EvaluationResult
    """Each answer ``as trained`` and ``calibrated``."""
    reliability: Mapping[str, Mapping[str, Reliability]]
    """``as trained`` and ``calibrated`` → group → how often answers are right."""
    temperatures: Mapping[str, Mapping[str, float]]
    """Kind of input → culture → temperature."""
    heads: EvaluationResult | None
    """The answers for each culture, scored on the labels of every culture; None with one culture."""
    contribution: EvaluationResult | None
    """What the image adds: None for a model of one modality."""
    deletion: Mapping[str, DeletionTest] = field(default_factory=dict)
    """By ``image`` and ``caption``; empty where it was not run."""


@dataclass(frozen=True)
class ArtworkPage:
    """One painting, as far as a report shows it."""

    artwork: str
    split: str | None
    image: str | None
    """The picture's path."""
    votes: Mapping[str, Sequence[int]]
    captions: Mapping[str, Sequence[tuple[str, str, str]]]
    """Culture → emotion, caption, language."""
    answers: Mapping[str, Sequence[float]]
    """Culture → what the first run sees in the picture alone."""


@dataclass(frozen=True)
class CulturalReport:
    """Everything that ``artaffect report`` shows."""

    table: str
    split: str
    rows: int
    artworks: int
    left_out: int
    """Captions of the split without a picture that all runs can read."""
    divergence: CulturalDivergence | None
    agreement: Agreement | None
    notes: Sequence[str]
    """What could not be computed, and why."""
    comparison: Mapping[str, EvaluationResult]
    """``image``, ``caption`` and ``both``, where all runs have it → the runs side by side."""
    runs: Sequence[RunScores]
    paintings: Sequence[ArtworkPage]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def gaps(
    predictions: Mapping[str, np.ndarray],
    emotions: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    n_resamples: int = 1000,
) -> dict[str, dict[str, Gap]]:
    """The best and the worst served culture of each model; empty with one culture.

    Arguments as for :func:`artaffect.metrics.evaluation.evaluate`.
    """
    names = sorted(set(cultures.tolist()))
    if len(names) < 2:
        return {}
    unique, codes = np.unique(artworks, return_inverse=True)
    found: dict[str, dict[str, Gap]] = {}
    for model, said in predictions.items():
        sums = np.stack(
            [
                sum_by_artwork(emotions[rows], said[rows], codes[rows], len(unique))
                for rows in (cultures == name for name in names)
            ]
        )
        exact = scores_of_sums(sums.sum(1))
        blocks = [scores_of_sums(block) for block in bootstrap_sums(sums, n_resamples, SEED)]
        found[model] = {}
        for metric in GAP_METRICS:
            drawn = np.concatenate([block[metric] for block in blocks], -1)
            order = np.argsort(exact[metric])
            if metric in _LOWER_IS_BETTER:
                order = order[::-1]
            worst, best = order[0], order[-1]
            difference = Score.of(
                exact[metric][worst] - exact[metric][best], drawn[worst] - drawn[best]
            )
            found[model][metric] = Gap(names[best], names[worst], difference)
    return found
