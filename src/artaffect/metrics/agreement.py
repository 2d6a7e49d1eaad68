"""How far the annotators of an artwork agree: what no predictor that sees the artwork alone can beat.

A caption can tell more than this, because it was written by the annotator whose emotion is predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artaffect.errors import InputError
from artaffect.metrics.bootstrap import Estimate, ratio_estimates
from artaffect.metrics.distances import Distance, distances_for
from artaffect.metrics.votes import Votes

_PRIOR_STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Weights of a culture's prior, in votes, beside the votes on the artwork."""


@dataclass(frozen=True)
class NoiseCeiling:
    """The bounds of what a predictor can reach that knows the culture and the artwork, but no caption.

    The lower bound predicts each vote from the artwork's other votes, which are fewer than all
    annotators; for the upper bound each vote also predicts itself.
    """

    lower_bound: Mapping[str, Estimate]
    """``accuracy`` and ``log_loss``."""
    upper_bound: Mapping[str, Estimate]
    votes: int
    artworks: int


@dataclass(frozen=True)
class Agreement:
    """The result of :func:`agreement`."""

    min_votes: int
    n_splits: int
    ceilings: Mapping[str, NoiseCeiling]
    split_half_reliability: Mapping[str, Mapping[str, Mapping[str, Estimate]]]
    """Predicting culture → predicted culture → score. Half of a culture's own votes predict its
    other half; another culture predicts that half with as many of its votes."""


def agreement(
    votes: Votes,
    min_votes: int,
    n_splits: int = 10,
    seed: int = 0,
    cultures: Sequence[str] = (),
) -> Agreement:
    """Score annotators as predictors of other annotators.

    Args:
        min_votes: votes that a culture needs on an artwork, at least 2.
        n_splits: random splits into halves.
        cultures: the cultures to compare; all if none is named.

    Raises:
        InputError: no artwork has enough votes from one culture.
    """
    min_votes = max(min_votes, 2)
    if cultures:
        votes = votes.select_cultures([votes.cultures.index(name) for name in cultures])
    judged = votes.sizes >= min_votes
    if not judged.any():
        raise InputError(
            f"no artwork has {min_votes} votes from one culture, so agreement cannot be measured"
        )
    ceilings = {
        name: _ceiling(votes.counts[judged[:, c], c])
        for c, name in enumerate(votes.cultures)
        if judged[:, c].any()
    }
    return Agreement(
        min_votes, n_splits, ceilings, _split_half_reliability(votes, min_votes, n_splits, seed)
    )


def _ceiling(counts: np.ndarray) -> NoiseCeiling:
    """The ceiling of one culture's votes [p, k]."""
    sizes = counts.sum(1, keepdims=True)
    upper_loss = -(counts * np.log(np.where(counts > 0, counts / sizes, 1))).sum(1)
    sums = (_correct_left_out(counts), _loss_left_out(counts), counts.max(1), upper_loss)
    low_accuracy, high_loss, high_accuracy, low_loss = ratio_estimates(np.stack(sums, 1), sizes)
    return NoiseCeiling(
        lower_bound={"accuracy": low_accuracy, "log_loss": high_loss},
        upper_bound={"accuracy": high_accuracy, "log_loss": low_loss},
        votes=int(sizes.sum()),
        artworks=len(counts),
    )


def _correct_left_out(counts: np.ndarray) -> np.ndarray:
    """How many votes equal the most frequent emotion of the other votes [p]; ties share."""
    correct = np.zeros(len(counts))
    for e in range(counts.shape[1]):
        others = counts.copy()
        others[:, e] -= 1
        best = others.max(1)
        share = (others[:, e] == best) / (others == best[:, None]).sum(1)
        correct += counts[:, e] * share
    return correct


def _loss_left_out(counts: np.ndarray) -> np.ndarray:
    """Sum over an artwork's votes of ``-ln`` of the probability that its other votes give them [p].

    The other votes are mixed with the culture's prior, which has the weight that works best.
    """
    sizes = counts.sum(1, keepdims=True)
    prior = (counts.sum(0) + 1) / (counts.sum() + counts.shape[1])
    losses = []
    for strength in _PRIOR_STRENGTHS:
        given = (np.maximum(counts - 1, 0) + strength * prior) / (sizes - 1 + strength)
        losses.append(-(counts * np.log(given)).sum(1))
    return min(losses, key=lambda loss: float(loss.sum()))


def _split_half_reliability(
    votes: Votes, min_votes: int, n_splits: int, seed: int
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Predicting culture → predicted culture → score: see :class:`Agreement`."""
    rng = np.random.default_rng(seed)
    names, sizes = votes.cultures, votes.sizes
    priors = (votes.counts.sum(0) + 1.0) / (votes.counts.sum((0, 2))[:, None] + len(votes.labels))
    distances = distances_for(votes.labels)
    score_names = ("accuracy", *distances)
    result: dict[str, dict[str, dict[str, Estimate]]] = {name: {} for name in names}
    for target in range(len(names)):
        rows = np.flatnonzero(sizes[:, target] >= min_votes)
        if not len(rows):
            continue
        half = sizes[rows, target] // 2
        totals = np.zeros((len(names), len(rows), len(score_names)))
        has_votes = (sizes[rows] >= half[:, None]).T
        for _ in range(n_splits):
            own_half = sample_votes(votes.counts[rows, target], half, rng)
            other_half = votes.counts[rows, target] - own_half
            for source in range(len(names)):
                usable, predictors = has_votes[source], own_half
                if source != target:
                    predictors = sample_votes(votes.counts[rows, source], half * usable, rng)
                scores = _scores(predictors, other_half, priors[source], distances)
                totals[source] += scores * usable[:, None] / n_splits
        for source, name in enumerate(names):
            if has_votes[source].any():
                estimates = ratio_estimates(totals[source], has_votes[source][:, None])
                result[name][names[target]] = dict(zip(score_names, estimates, strict=True))
    return {name: row for name, row in result.items() if row}


def _scores(
    predictors: np.ndarray,
    targets: np.ndarray,
    prior: np.ndarray,
    distances: Mapping[str, Distance],
) -> np.ndarray:
    """Score votes [p, k] as predictors of other votes [p, k]: [p, 1 + len(distances)]."""
    truth = targets / np.maximum(targets.sum(1, keepdims=True), 1)
    top = predictors == predictors.max(1, keepdims=True)
    accuracy = (truth * top).sum(1) / top.sum(1)
    plain = predictors / np.maximum(predictors.sum(1, keepdims=True), 1)
    # an emotion without votes is not impossible: one more vote is spread like the culture's prior
    smooth = (predictors + prior) / (predictors.sum(1, keepdims=True) + 1)
    values = [
        distance(truth, smooth if name == "cross_entropy" else plain)
        for name, distance in distances.items()
    ]
    return np.stack([accuracy, *values], 1)


def sample_votes(counts: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sample ``sizes`` [p] of the votes [p, k] of each artwork without replacement: [p, k]."""
    sample = np.zeros_like(counts)
    remaining, wanted = counts.sum(1), sizes.copy()
    for e in range(counts.shape[1]):
        remaining = remaining - counts[:, e]
        sample[:, e] = rng.hypergeometric(counts[:, e], remaining, wanted)
        wanted = wanted - sample[:, e]
    return sample
