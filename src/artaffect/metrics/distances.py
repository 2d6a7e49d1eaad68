"""Distances between label distributions, as pure functions on arrays [..., k]."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from artaffect.labels import ARTEMIS, LabelSet
from artaffect.metrics.bootstrap import TINY, Estimate, ratio_estimates
from artaffect.metrics.evaluation import ByGroup, for_each_group


def entropy(p: np.ndarray) -> np.ndarray:
    """Shannon entropy in bits [...]: 0 when certain, log2(k) when all labels are equally likely."""
    return -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)


def jensen_shannon_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Divergence to base 2 (Lin 1991) [...]: 0 for equal distributions, 1 for disjoint ones."""
    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).clip(0, 1)


def jensen_shannon_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Square root of the divergence [...], 0 to 1; a metric (Endres and Schindelin 2003)."""
    return np.sqrt(jensen_shannon_divergence(p, q))


def mean_divergence(distributions: np.ndarray) -> float | None:
    """Mean Jensen-Shannon divergence of all pairs among distributions [n, k]; None of fewer than two."""
    first, second = np.triu_indices(len(distributions), 1)
    if not len(first):
        return None
    return float(jensen_shannon_divergence(distributions[first], distributions[second]).mean())


def cross_entropy(p: np.ndarray, q: np.ndarray, smallest: float = TINY) -> np.ndarray:
    """Mean ``-ln q`` under ``p``, in nats [...]: the log-loss for a whole histogram of votes."""
    return -(p * np.log(np.maximum(q, smallest))).sum(-1)


def manhattan_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Sum of the absolute differences [...], 0 to 2."""
    return np.abs(p - q).sum(-1)


def earth_movers_distance(
    p: np.ndarray, q: np.ndarray, valence: Sequence[int] = ARTEMIS.valence or ()
) -> np.ndarray:
    """How far votes must move along the valence scale, on average [...], 0 to 1.

    The scale has three steps: negative, neither, positive; its full length is 1. Moving between two
    labels of the same valence costs nothing.

    Args:
        valence: -1, 0 or 1 for each label [k].
    """
    below = [(p - q)[..., step > np.array(valence)].sum(-1) for step in (0, 1)]
    return (np.abs(below[0]) + np.abs(below[1])) / 2


@dataclass(frozen=True)
class Distance:
    """A distance between true and predicted distributions [..., k]; lower is better."""

    heading: str
    function: Callable[[np.ndarray, np.ndarray], np.ndarray]

    def __call__(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return self.function(truth, predicted)


DISTANCES: dict[str, Distance] = {
    "jensen_shannon_divergence": Distance("JSD (base 2)", jensen_shannon_divergence),
    "jensen_shannon_distance": Distance("JS distance", jensen_shannon_distance),
    "cross_entropy": Distance("cross-entropy", cross_entropy),
    "manhattan_distance": Distance("Manhattan", manhattan_distance),
    "earth_movers_distance": Distance("earth mover's, valence", earth_movers_distance),
}
"""Every distance by name, in the order in which tables show them; valence is that of the default set."""

_NEEDS_VALENCE = "earth_movers_distance"


def distances_for(labels: LabelSet) -> dict[str, Distance]:
    """The distances of ``DISTANCES`` for a label set, without those that need an unknown valence."""
    distances = dict(DISTANCES)
    valence = labels.valence
    if valence is None:
        del distances[_NEEDS_VALENCE]
    else:
        of_valence = partial(earth_movers_distance, valence=valence)
        distances[_NEEDS_VALENCE] = replace(DISTANCES[_NEEDS_VALENCE], function=of_valence)
    return distances


def distribution_scores(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    min_votes: int,
    label_set: LabelSet = ARTEMIS,
) -> dict[str, ByGroup[Mapping[str, Estimate]]]:
    """Mean distances between histograms of votes and predicted distributions.

    A histogram holds the votes of one culture on one artwork. A model's prediction for it is the mean
    of its predictions for those rows; a model that sees the image alone predicts the same for all.

    The first four arguments are those of :func:`artaffect.metrics.evaluation.evaluate`.

    Args:
        min_votes: histograms with fewer votes are left out.
        label_set: what ``labels`` are indices of; it decides which distances are defined.

    Returns:
        Model → distance → estimate, by group; cultures without a histogram are left out. Empty if no
        histogram has enough votes.
    """
    names, culture = np.unique(cultures.astype(str), return_inverse=True)
    unique, artwork = np.unique(artworks, return_inverse=True)
    size, classes = len(unique) * len(names), len(label_set)
    distances = distances_for(label_set)
    cell = artwork * len(names) + culture
    votes = np.bincount(cell * classes + labels, minlength=size * classes).reshape(size, classes)
    counts = votes.sum(1)
    keep = np.flatnonzero(counts >= min_votes)
    if not len(keep):
        return {}
    truth = votes[keep] / counts[keep, None]
    artwork, culture = np.divmod(keep, len(names))

    def score(probabilities: np.ndarray) -> ByGroup[Mapping[str, Estimate]]:
        sums = np.stack([np.bincount(cell, column, size) for column in probabilities.T], 1)
        mean = sums[keep] / counts[keep, None]
        values = np.stack([distance(truth, mean) for distance in distances.values()], 1)
        return for_each_group(
            names[culture],
            lambda mask: _mean_distances(list(distances), values[mask], artwork[mask]),
        )

    return {model: score(probabilities) for model, probabilities in predictions.items()}


def _mean_distances(
    names: Sequence[str], values: np.ndarray, artworks: np.ndarray
) -> Mapping[str, Estimate]:
    """Of named distances [histograms, d] and each histogram's artwork [histograms]."""
    unique, code = np.unique(artworks, return_inverse=True)
    totals = np.stack([np.bincount(code, column, len(unique)) for column in values.T], 1)
    counts = np.bincount(code)[:, None]
    return dict(zip(names, ratio_estimates(totals, counts), strict=True))
