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

    The lower bound predicts each vote from the votes of the artwork's other annotators, which are
    fewer than all; for the upper bound each vote also predicts itself.
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

    The votes of one annotator on an artwork, if they are known to be several, stay together.

    Args:
        min_votes: annotators that a culture needs on an artwork, at least 2.
        n_splits: random splits into halves.
        cultures: the cultures to compare; all if none is named.

    Raises:
        InputError: no artwork has enough votes from one culture.
    """
    min_votes = max(min_votes, 2)
    if cultures:
        votes = votes.select_cultures([votes.cultures.index(name) for name in cultures])
    judged = votes.annotators >= min_votes
    if not judged.any():
        raise InputError(
            f"no artwork has {min_votes} votes from one culture, so agreement cannot be measured"
        )
    ceilings = {
        name: _ceiling(votes.select_cultures([c]).select_artworks(judged[:, c]))
        for c, name in enumerate(votes.cultures)
        if judged[:, c].any()
    }
    return Agreement(
        min_votes, n_splits, ceilings, _split_half_reliability(votes, min_votes, n_splits, seed)
    )


def _ceiling(votes: Votes) -> NoiseCeiling:
    """The ceiling of the votes of one culture."""
    counts = votes.counts[:, 0]
    sizes = counts.sum(1, keepdims=True)
    upper_loss = -(counts * np.log(np.where(counts > 0, counts / sizes, 1))).sum(1)
    sums = (*_left_out(votes), counts.max(1), upper_loss)
    low_accuracy, high_loss, high_accuracy, low_loss = ratio_estimates(np.stack(sums, 1), sizes)
    return NoiseCeiling(
        lower_bound={"accuracy": low_accuracy, "log_loss": high_loss},
        upper_bound={"accuracy": high_accuracy, "log_loss": low_loss},
        votes=int(sizes.sum()),
        artworks=len(counts),
    )


def _left_out(votes: Votes) -> tuple[np.ndarray, np.ndarray]:
    """How well the other annotators' votes predict each vote of one culture, summed by artwork.

    Returns:
        How many votes equal the most frequent label of the others' [p], where ties share; and the sum
        of ``-ln`` of the probability that the others' votes give them [p]. For it, they are mixed with
        the culture's prior, which has the weight that works best.
    """
    counts = votes.counts[:, 0]
    artworks, labels = counts.shape
    if votes.ballots is None:  # each vote is alone; equal ones of an artwork are scored once
        artwork, label = np.nonzero(counts)
        own, times = np.eye(labels, dtype=np.int64)[label], counts[artwork, label]
    else:
        artwork, own = votes.ballots.artwork, votes.ballots.counts
        times = np.ones(len(artwork), np.int64)
    others = counts[artwork] - own
    top = others == others.max(1, keepdims=True)
    correct = times * (own * top).sum(1) / top.sum(1)
    prior = (counts.sum(0) + 1) / (counts.sum() + labels)
    losses = []
    for strength in _PRIOR_STRENGTHS:
        given = (others + strength * prior) / (others.sum(1, keepdims=True) + strength)
        losses.append(-times * (own * np.log(given)).sum(1))
    loss = min(losses, key=lambda loss: float(loss.sum()))
    return np.bincount(artwork, correct, artworks), np.bincount(artwork, loss, artworks)


def _split_half_reliability(
    votes: Votes, min_votes: int, n_splits: int, seed: int
) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Predicting culture → predicted culture → score: see :class:`Agreement`."""
    rng = np.random.default_rng(seed)
    names, sizes = votes.cultures, votes.annotators
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
            own_half = _sample(votes, rows, target, half, rng)
            other_half = votes.counts[rows, target] - own_half
            for source in range(len(names)):
                usable, predictors = has_votes[source], own_half
                if source != target:
                    predictors = _sample(votes, rows, source, half * usable, rng)
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


def _sample(
    votes: Votes, rows: np.ndarray, culture: int, sizes: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The votes of ``sizes`` [r] random annotators of a culture on the artworks ``rows`` [r]: [r, k]."""
    if votes.ballots is None:
        return sample_votes(votes.counts[rows, culture], sizes, rng)
    position = np.full(len(votes.artworks), -1)
    position[rows] = np.arange(len(rows))
    ballots = votes.ballots.select(votes.ballots.culture == culture)
    order = np.lexsort((rng.random(len(ballots.artwork)), position[ballots.artwork]))
    artwork = position[ballots.artwork][order]
    rank = np.arange(len(artwork)) - np.searchsorted(artwork, artwork)
    chosen = (artwork >= 0) & (rank < sizes[artwork])
    sample = np.zeros((len(rows), len(votes.labels)), np.int64)
    np.add.at(sample, artwork[chosen], ballots.counts[order][chosen])
    return sample


def sample_votes(counts: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sample ``sizes`` [p] of the votes [p, k] of each artwork without replacement: [p, k]."""
    sample = np.zeros_like(counts)
    remaining, wanted = counts.sum(1), sizes.copy()
    for e in range(counts.shape[1]):
        remaining = remaining - counts[:, e]
        sample[:, e] = rng.hypergeometric(counts[:, e], remaining, wanted)
        wanted = wanted - sample[:, e]
    return sample
