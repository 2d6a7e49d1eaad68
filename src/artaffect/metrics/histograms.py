"""Predicted distributions against the whole histogram of a painting's votes, not one vote each."""

from collections.abc import Mapping

import numpy as np

from artaffect.labels import EMOTIONS
from artaffect.metrics.classification import Score, ratio_scores
from artaffect.metrics.distances import DISTANCES


def distribution_scores(
    predictions: Mapping[str, np.ndarray],
    emotions: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    least: int,
) -> dict[str, dict[str, dict[str, Score]]]:
    """Distances between votes and answers, averaged over paintings and cultures.

    A model's answer for a painting and a culture is the mean of its answers for their captions; a
    model that sees the picture alone answers alike for all of them.

    Args:
        predictions: for each model, distributions [n, 9].
        emotions: labels as indices [n].
        cultures: the culture's name of each row [n].
        artworks: any value that tells paintings apart [n].
        least: votes of a culture on a painting below which they are left out.

    Returns:
        Model → group → name of the distance, or ``support`` for the number of histograms. The groups
        are ``overall`` and each culture that has any; empty where no histogram has enough votes.
    """
    names, culture = np.unique(cultures.astype(str), return_inverse=True)
    unique, artwork = np.unique(artworks, return_inverse=True)
    size = len(unique) * len(names)
    cell = artwork * len(names) + culture
    votes = np.bincount(cell * len(EMOTIONS) + emotions, minlength=size * len(EMOTIONS))
    votes = votes.reshape(size, len(EMOTIONS))
    counts = votes.sum(1)
    keep = np.flatnonzero(counts >= least)
    truth = votes[keep] / counts[keep, None]
    groups = {"overall": np.ones(len(keep), bool)}
    groups |= {str(name): keep % len(names) == c for c, name in enumerate(names)}
    found: dict[str, dict[str, dict[str, Score]]] = {}
    for model, said in predictions.items():
        sums = np.stack([np.bincount(cell, said[:, e], size) for e in range(len(EMOTIONS))], 1)
        mean = sums[keep] / counts[keep, None]
        values = np.stack([distance(truth, mean) for distance in DISTANCES.values()], 1)
        found[model] = {}
        for group, mine in groups.items():
            if mine.any():
                by_artwork, code = np.unique(keep[mine] // len(names), return_inverse=True)
                totals = np.stack(
                    [np.bincount(code, column, len(by_artwork)) for column in values[mine].T], 1
                )
                weights = np.repeat(np.bincount(code)[:, None], len(DISTANCES), 1).astype(float)
                scores = ratio_scores(totals, weights)
                found[model][group] = dict(zip(DISTANCES, scores, strict=True))
    return {model: groups for model, groups in found.items() if groups}
