"""Scores of one recipe trained with several seeds: their mean, with intervals over seeds and artworks.

Predictions of a model that was trained once are [n, k]; those of a model that was trained with several
seeds are [seeds, n, k]. Every seed is scored on the same artworks, so seeds and artworks are crossed, and
a resample draws both with replacement: the seeds, and for all of them the same artworks (the pigeonhole
bootstrap, Owen 2007). Were the artworks drawn anew for each seed, their share of the variance would be
divided by the number of seeds, and the intervals would be too narrow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artaffect.metrics.bootstrap import SEED
from artaffect.metrics.classification import bootstrap_metrics, sum_by_artwork


@dataclass(frozen=True)
class Resampled:
    """One metric of several models, with each model's mean over its seeds."""

    by_seed: Sequence[np.ndarray]
    """For each model, the score of each of its seeds [seeds]."""
    values: np.ndarray
    """Mean over seeds [models]."""
    resamples: np.ndarray
    """The same in each resample of seeds and artworks [models, n_resamples]."""


def count_seeds(predictions: np.ndarray) -> int:
    """How many seeds predictions [n, k] or [seeds, n, k] come from."""
    return len(predictions) if predictions.ndim == 3 else 1


def each_seed(predictions: np.ndarray) -> list[np.ndarray]:
    """Predictions [n, k] or [seeds, n, k] as one array [n, k] for each seed."""
    return list(predictions) if predictions.ndim == 3 else [predictions]


def metric_sums(
    predictions: Sequence[np.ndarray], labels: np.ndarray, artworks: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """The sums of every metric, one entry for each model and seed: name → [entries, count, columns].

    Args:
        predictions: for each model [n, k] or [seeds, n, k].
        labels: true labels as indices [n].
        artworks: each row's artwork as an index below ``count`` [n].
    """
    flat = [run for array in predictions for run in each_seed(array)]
    return sum_by_artwork(flat, labels, artworks, count)


def bootstrap_seeds(
    sums: Mapping[str, np.ndarray], seeds: Sequence[int], n_resamples: int
) -> dict[str, Resampled]:
    """Resample seeds and artworks: metric → the scores of the models.

    Models with equally many seeds share the draws of seeds as they share those of artworks, so that the
    difference between two of them is paired: by artwork, and by the position of the seed.

    Args:
        sums: see :func:`metric_sums`.
        seeds: how many seeds each model has, in the order of the sums.
    """
    exact, resampled = bootstrap_metrics(sums, n_resamples)
    ends = np.cumsum(seeds)[:-1]
    weights = {count: _draws(count, n_resamples) for count in set(seeds)}
    result = {}
    for name, values in exact.items():
        by_seed = np.split(values, ends)
        parts = np.split(resampled[name], ends)
        result[name] = Resampled(
            by_seed,
            np.array([part.mean() for part in by_seed]),
            np.stack([(weights[len(part)] * part).sum(0) for part in parts]),
        )
    return result


def _draws(seeds: int, n_resamples: int) -> np.ndarray:
    """The weight of each seed in each resample, those of a resample summing to 1: [seeds, n_resamples]."""
    if seeds == 1:
        return np.ones((1, n_resamples))
    # a stream of its own: the draws of artworks are those of a single run
    rng = np.random.default_rng([SEED, seeds])
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), n_resamples).T / seeds
