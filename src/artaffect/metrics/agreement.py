"""How far a painting's readers agree: what no predictor can beat that sees the painting alone.

A caption can tell more than this, because it was written by the very reader whose emotion is asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artaffect.errors import InputError
from artaffect.metrics.classification import Score, ratio_scores
from artaffect.metrics.distances import DISTANCES
from artaffect.metrics.votes import Votes
from artaffect.runtime import track

_STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
"""Weights of a public's habit, in votes, beside the votes on the painting."""

AGREEMENT = ("accuracy", *DISTANCES)


@dataclass(frozen=True)
class NoiseCeiling:
    """What a predictor can reach that knows the public and the painting, and no caption.

    The truth lies between: ``votes_left_out`` predicts each vote from the painting's other votes,
    which are fewer than all readers; ``votes_known`` lets a vote predict itself.
    """

    votes_left_out: Mapping[str, Score]
    """``accuracy`` and ``log_loss``."""
    votes_known: Mapping[str, Score]
    votes: int
    artworks: int


@dataclass(frozen=True)
class Agreement:
    """What :func:`agreement` found."""

    least: int
    n_resamples: int
    ceilings: Mapping[str, NoiseCeiling]
    """For each culture."""
    halves: Mapping[str, Mapping[str, Mapping[str, Score]]]
    """Predicting culture → culture predicted → score. Half of a culture's own votes predict its
    other half; another culture predicts that half with as many of its votes."""


def agreement(
    votes: Votes, least: int, n_resamples: int = 10, seed: int = 0, cultures: Sequence[str] = ()
) -> Agreement:
    """Score readers as predictors of readers.

    Args:
        least: votes that a culture needs on a painting, at least 2.
        n_resamples: random halves.
        cultures: which to set against each other; all where none is named.

    Raises:
        InputError: no painting has so many votes of one culture.
    """
    least = max(least, 2)
    if cultures:
        votes = votes.of_cultures([votes.cultures.index(name) for name in cultures])
    if not (votes.sizes >= least).any():
        raise InputError(f"no painting has {least} votes of one culture: agreement has no measure")
    ceilings = {
        name: _ceiling(votes.counts[votes.sizes[:, c] >= least, c])
        for c, name in enumerate(votes.cultures)
        if (votes.sizes[:, c] >= least).any()
    }
    return Agreement(least, n_resamples, ceilings, _halves(votes, least, n_resamples, seed))


def _ceiling(counts: np.ndarray) -> NoiseCeiling:
    """Of one culture's votes [p, 9]."""
    sizes = counts.sum(1)
    left_out_accuracy = _left_out_right(counts)
    left_out_loss = _left_out_loss(counts)
    known_loss = -(counts * np.log(np.where(counts > 0, counts / sizes[:, None], 1))).sum(1)
    sums = np.stack([left_out_accuracy, left_out_loss, counts.max(1), known_loss], 1)
    found = ratio_scores(sums, np.repeat(sizes[:, None], 4, 1).astype(float))
    return NoiseCeiling(
        votes_left_out={"accuracy": found[0], "log_loss": found[1]},
        votes_known={"accuracy": found[2], "log_loss": found[3]},
        votes=int(sizes.sum()),
        artworks=len(counts),
    )


def _left_out_right(counts: np.ndarray) -> np.ndarray:
    """How many votes are guessed by the most frequent emotion of the others [p]; ties share."""
    right = np.zeros(len(counts))
    for e in range(counts.shape[1]):
        others = counts.copy()
        others[:, e] -= 1
        best = others.max(1)
        guessed = (others[:, e] == best) / (others == best[:, None]).sum(1)
        right += counts[:, e] * guessed
    return right


def _left_out_loss(counts: np.ndarray) -> np.ndarray:
    """Sum over the votes of a painting of ``-ln`` of what its other votes give them [p].

    The others are mixed with the public's habit, as so many votes as serve best.
    """
    sizes = counts.sum(1, keepdims=True)
    habit = (counts.sum(0) + 1) / (counts.sum() + counts.shape[1])
    losses = []
    for strength in _STRENGTHS:
        given = (np.maximum(counts - 1, 0) + strength * habit) / (sizes - 1 + strength)
        losses.append(-(counts * np.log(given)).sum(1))
    return min(losses, key=lambda loss: float(loss.sum()))


def _halves(
    votes: Votes, least: int, n_resamples: int, seed: int
) -> dict[str, dict[str, dict[str, Score]]]:
    rng = np.random.default_rng(seed)
    names, sizes = votes.cultures, votes.sizes
    priors = (votes.counts.sum(0) + 1.0) / (votes.counts.sum((0, 2))[:, None] + 9.0)
    found: dict[str, dict[str, dict[str, Score]]] = {name: {} for name in names}
    for target in track(range(len(names)), "halves of each public", len(names)):
        rows = np.flatnonzero(sizes[:, target] >= least)
        if not len(rows):
            continue
        half = sizes[rows, target] // 2
        totals = np.zeros((len(names), len(rows), len(AGREEMENT)))
        able = (sizes[rows] >= half[:, None]).T
        for _ in range(n_resamples):
            mine = draw_votes(votes.counts[rows, target], half, rng)
            rest = votes.counts[rows, target] - mine
            for source in range(len(names)):
                with_votes = able[source]
                said = mine
                if source != target:
                    asked = np.where(with_votes, half, 0)
                    said = draw_votes(votes.counts[rows, source], asked, rng)
                totals[source] += (
                    _scores(said, rest, priors[source]) * with_votes[:, None] / n_resamples
                )
        for source, name in enumerate(names):
            if able[source].any():
                counts = np.repeat(able[source][:, None].astype(float), len(AGREEMENT), 1)
                scores = ratio_scores(totals[source], counts)
                found[name][names[target]] = dict(zip(AGREEMENT, scores, strict=True))
    return {name: row for name, row in found.items() if row}


def _scores(said: np.ndarray, rest: np.ndarray, habit: np.ndarray) -> np.ndarray:
    """Votes [p, 9] as a predictor of other votes [p, 9]: [p, scores of ``AGREEMENT``]."""
    truth = rest / np.maximum(rest.sum(1, keepdims=True), 1)
    top = said == said.max(1, keepdims=True)
    accuracy = (truth * top).sum(1) / top.sum(1)
    plain = said / np.maximum(said.sum(1, keepdims=True), 1)
    # an emotion without a vote is not impossible: one vote is spread as the public usually feels
    smooth = (said + habit) / (said.sum(1, keepdims=True) + 1)
    distances = [
        distance(truth, smooth if name == "cross_entropy" else plain)
        for name, distance in DISTANCES.items()
    ]
    return np.stack([accuracy, *distances], 1)


def draw_votes(counts: np.ndarray, sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """So many [p] of the votes [p, k] of each painting, at random, without replacement: [p, k]."""
    drawn = np.zeros_like(counts)
    left, wanted = counts.sum(1), sizes.copy()
    for e in range(counts.shape[1]):
        left = left - counts[:, e]
        drawn[:, e] = rng.hypergeometric(counts[:, e], left, wanted)
        wanted = wanted - drawn[:, e]
    return drawn
