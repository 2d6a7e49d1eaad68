"""Score several models on the same rows: overall, per culture, with intervals and differences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from artaffect.metrics.classification import (
    BINS,
    METRICS,
    SEED,
    Score,
    bootstrap_sums,
    confidence_bins,
    confusion,
    scores_of_sums,
    sum_by_artwork,
)

PRIMARY = "log_loss"
"""The metric by which models are chosen: it sees the whole distribution, not only its top."""


@dataclass(frozen=True)
class Scores:
    """Every metric on one group of rows."""

    metrics: Mapping[str, Score]
    support: int
    """Captions."""
    artworks: int


@dataclass(frozen=True)
class Reliability:
    """How often answers of a confidence are right: one entry for each non-empty bin."""

    confidence: list[float]
    accuracy: list[float]
    support: list[int]


@dataclass(frozen=True)
class EvaluationResult:
    """What :func:`evaluate` found; ``report`` n_resamples it and computes nothing."""

    protocol: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Scores]]
    """Model → group → scores; the groups are ``overall`` and each culture."""
    differences: Mapping[str, Mapping[str, Mapping[str, Score]]]
    """``a - b`` → group → metric → the difference, paired over the same n_resamples."""
    confusion: Mapping[str, list[list[int]]]
    """Group → counts, labels in rows and answers in columns, of the model named in the protocol."""
    reliability: Mapping[str, Reliability]
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON: what belongs to this kind of run only, the fusion weights for example."""

    @property
    def primary(self) -> dict[str, float]:
        """Each model's overall primary metric."""
        return {
            name: groups["overall"].metrics[PRIMARY].value for name, groups in self.models.items()
        }

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EvaluationResult":
        def scores(groups: Mapping[str, Any]) -> dict[str, Scores]:
            return {
                group: Scores(
                    {name: Score(**s) for name, s in entry["metrics"].items()},
                    entry["support"],
                    entry["artworks"],
                )
                for group, entry in groups.items()
            }

        return cls(
            protocol=data["protocol"],
            models={name: scores(groups) for name, groups in data["models"].items()},
            differences={
                pair: {
                    group: {name: Score(**s) for name, s in metrics.items()}
                    for group, metrics in groups.items()
                }
                for pair, groups in data["differences"].items()
            },
            confusion=data["confusion"],
            reliability={g: Reliability(**r) for g, r in data["reliability"].items()},
            extra=data["extra"],
        )


def evaluate(
    predictions: Mapping[str, np.ndarray],
    emotions: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    n_resamples: int = 1000,
    *,
    pairs: Sequence[tuple[str, str]] = (("both", "caption"), ("both", "image")),
    shown: str = "both",
) -> EvaluationResult:
    """Score models side by side on the same rows.

    Args:
        predictions: for each model, distributions [n, 9].
        emotions: labels as indices [n].
        cultures: the culture's name of each row [n].
        artworks: any value that tells paintings apart [n].
        n_resamples: bootstrap n_resamples of paintings behind each interval.
        pairs: whose difference, first minus second, is reported where both are there.
        shown: the model whose confusion and reliability are reported; the last one where it is
            not there.

    Raises:
        ValueError: no rows, or arrays of different lengths.
    """
    lengths = {len(emotions), len(cultures), len(artworks), *map(len, predictions.values())}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"expected arrays of one length, at least 1; got {sorted(lengths)}")
    groups = {"overall": np.ones(len(emotions), bool)}
    groups |= {str(name): cultures == name for name in sorted(set(cultures.tolist()))}
    names = list(predictions)
    models: dict[str, dict[str, Scores]] = {name: {} for name in names}
    compared = {f"{a} - {b}": (a, b) for a, b in pairs if {a, b} <= set(names)}
    differences: dict[str, dict[str, dict[str, Score]]] = {pair: {} for pair in compared}
    for group, rows in groups.items():
        unique, codes = np.unique(artworks[rows], return_inverse=True)
        sums = np.stack(
            [
                sum_by_artwork(emotions[rows], predictions[name][rows], codes, len(unique))
                for name in names
            ]
        )
        exact = scores_of_sums(sums.sum(1))
        drawn = _bootstrap(sums, n_resamples, SEED)
        for i, name in enumerate(names):
            metrics = {m: Score.of(exact[m][i], drawn[m][i]) for m in METRICS}
            models[name][group] = Scores(metrics, int(rows.sum()), len(unique))
        for pair, (first, second) in compared.items():
            a, b = names.index(first), names.index(second)
            differences[pair][group] = {
                m: Score.of(exact[m][a] - exact[m][b], drawn[m][a] - drawn[m][b]) for m in METRICS
            }
    shown = shown if shown in names else names[-1]
    return EvaluationResult(
        protocol={
            "rows": len(emotions),
            "artworks": len(np.unique(artworks)),
            "interval": f"95 %, {n_resamples} bootstrap n_resamples of paintings, seed {SEED}",
            "shown": shown,
        },
        models=models,
        differences=differences,
        confusion={
            group: confusion(emotions[rows], predictions[shown][rows]).tolist()
            for group, rows in groups.items()
        },
        reliability={
            group: reliability(emotions[rows], predictions[shown][rows])
            for group, rows in groups.items()
        },
    )


def reliability(emotions: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """Confidence against accuracy in the bins of the expected calibration error."""
    confidence = probabilities.max(1)
    right = probabilities.argmax(1) == emotions
    bins = confidence_bins(confidence)
    support = np.bincount(bins, minlength=BINS)
    filled = support > 0

    def mean(values: np.ndarray) -> list[float]:
        totals = np.bincount(bins, values, BINS)[filled]
        return [float(value) for value in totals / support[filled]]

    return Reliability(mean(confidence), mean(right.astype(float)), support[filled].tolist())


def _bootstrap(sums: np.ndarray, n_resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Every metric for every model and draw: [models, n_resamples]."""
    blocks = [scores_of_sums(block) for block in bootstrap_sums(sums, n_resamples, seed)]
    return {name: np.concatenate([block[name] for block in blocks], -1) for name in METRICS}
