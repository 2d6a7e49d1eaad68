"""Do cultures see the same artwork differently, beyond what a handful of votes shows by chance?

This module finds the pairs of cultures, art styles, emotions and artworks that divide cultures most;
:mod:`artaffect.metrics.permutation` tells culture from chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from artaffect.errors import InputError
from artaffect.metrics.annotators import AnnotatorAgreement
from artaffect.metrics.bootstrap import Estimate, mean_estimate, ratio_estimates
from artaffect.metrics.display import Displayed, Table, data_frame
from artaffect.metrics.evaluation import ByGroup
from artaffect.metrics.permutation import (
    ArtworkDivergences,
    CultureDivergence,
    Divergence,
    PermutationNull,
    StyleDivergence,
    false_discovery,
)
from artaffect.metrics.votes import Votes

MIN_VOTES = 4
"""Votes that a culture needs on an artwork to be counted."""

DIVISIVE = 0.05
"""False discovery rate at which an artwork counts as divisive (Benjamini and Hochberg 1995)."""

MIN_ARTWORKS_OF_STYLE = 5
"""Styles of fewer artworks are left out."""


@dataclass(frozen=True)
class DivisiveArtwork:
    """An artwork on which cultures disagree."""

    artwork: str
    style: str
    observed: float
    by_chance: float
    p_value: float
    q_value: float
    """The p-value, corrected for the number of artworks tested."""
    votes: Mapping[str, list[int]]
    """Culture → votes for each emotion."""


@dataclass(frozen=True)
class EmotionGap:
    """The share of one emotion in each culture."""

    emotion: str
    shares: Mapping[str, Estimate]
    """Culture → mean share over the artworks that it has judged."""
    difference: Estimate
    """Root mean square difference of the share between two cultures on one artwork, without what the
    number of votes adds: 0 if the cultures are equal."""


@dataclass(frozen=True, repr=False)
class CultureComparison(Displayed):
    """The result of :func:`compare_cultures`."""

    min_votes: int
    n_permutations: int
    cultures: tuple[str, ...]
    labels: tuple[str, ...]
    artworks: int
    """Artworks judged by at least two cultures."""
    overall: Divergence
    """The mean over all pairs of cultures of an artwork."""
    pairs: Sequence[CultureDivergence]
    styles: Sequence[StyleDivergence]
    """Most divided first; styles of few artworks are left out."""
    emotions: Sequence[EmotionGap]
    """Most divisive first."""
    entropies: Mapping[str, Estimate]
    """Culture → mean entropy in bits of ``min_votes`` of its votes on an artwork."""
    divisive: int
    """Artworks with a q-value below ``DIVISIVE``."""
    expected_false: float
    """How many of them are expected by chance at most."""
    divisive_artworks: Sequence[DivisiveArtwork]
    """The most divisive ones: smallest p-value first, then farthest apart."""
    annotators: ByGroup[AnnotatorAgreement] | None = None
    """What the annotators of each culture agree on; None if the table does not tell them apart."""

    def to_frame(self) -> Any:
        """One row for each pair of cultures, as a pandas ``DataFrame``.

        Raises:
            ImportError: pandas is not installed.
        """
        columns = ("first", "second", "artworks", "votes", "observed", "by_chance", "beyond_chance")
        records = [
            vars(pair) | vars(pair.beyond_chance) | {"beyond_chance": pair.beyond_chance.value}
            for pair in self.pairs
        ]
        return data_frame(records, (*columns, "low", "high", "distance", "p_value"))

    def _table(self) -> Table:
        caption = (
            f"CultureComparison: {self.artworks:,} artworks with {self.min_votes} votes or more of each "
            f"of two cultures, {self.n_permutations:,} permutations"
        )
        rows = [
            [p.first, p.second, f"{p.artworks:,}", f"{p.beyond_chance:+.3f}", f"{p.p_value:.3f}"]
            for p in self.pairs
        ]
        return caption, ["first", "second", "artworks", "divergence beyond chance", "p"], rows


def compare_cultures(
    votes: Votes,
    min_votes: int = MIN_VOTES,
    n_permutations: int = 1000,
    seed: int = 0,
    top_k: int = 20,
) -> CultureComparison:
    """Compare the cultures on every artwork that at least two of them have judged.

    Args:
        min_votes: votes that a culture needs on an artwork.
        n_permutations: permutations behind each p-value.
        top_k: how many of the most divisive artworks to list.

    Raises:
        InputError: no artwork has enough votes from two cultures.
    """
    judged = votes.sizes >= min_votes
    keep = judged.sum(1) >= 2
    if not keep.any():
        raise InputError(_too_few(votes, min_votes))
    votes = votes.select_artworks(keep)
    null = PermutationNull(n_permutations, seed)
    everyone = null.divergences(votes.counts * judged[keep][..., None])
    pairs, by_chance = _pairs(votes, min_votes, null)
    everyone = replace(everyone, by_chance=by_chance)
    p_values = everyone.p_values()
    q_values = false_discovery(p_values)
    order = np.lexsort((-everyone.excess, p_values))[:top_k]
    divisive = int((q_values < DIVISIVE).sum())
    return CultureComparison(
        min_votes=min_votes,
        n_permutations=n_permutations,
        cultures=votes.cultures,
        labels=votes.labels.names,
        artworks=len(votes.artworks),
        overall=everyone.summary(),
        pairs=pairs,
        styles=_styles(votes, everyone),
        emotions=_emotion_gaps(votes, min_votes),
        entropies=_entropies(votes, min_votes),
        divisive=divisive,
        expected_false=DIVISIVE * divisive,
        divisive_artworks=[
            DivisiveArtwork(
                artwork=str(votes.artworks[i]),
                style=str(votes.styles[i]),
                observed=float(everyone.observed[i]),
                by_chance=float(everyone.by_chance[i]),
                p_value=float(p_values[i]),
                q_value=float(q_values[i]),
                votes={
                    name: votes.counts[i, c].tolist()
                    for c, name in enumerate(votes.cultures)
                    if votes.sizes[i, c]
                },
            )
            for i in order
        ],
    )


def _too_few(votes: Votes, min_votes: int) -> str:
    # on each artwork, the votes of the culture that has the second most
    largest = int(np.sort(votes.sizes, 1)[:, -2:-1].max(initial=0))
    reason = "the table has one culture only"
    if largest > 1:
        reason = f"the largest number is {largest}; lower min_votes"
    return (
        f"no artwork has {min_votes} votes from each of two cultures, so cultures cannot be compared: "
        f"{reason}"
    )


def _pairs(
    votes: Votes, min_votes: int, null: PermutationNull
) -> tuple[list[CultureDivergence], np.ndarray]:
    """Every pair of cultures, and the divergence by chance of an average pair of each artwork [p].

    Chance is estimated from the pair's own votes: those of a third culture would blur the two.
    """
    pairs = []
    total, count = np.zeros((2, len(votes.artworks)))
    for a, b in combinations(range(len(votes.cultures)), 2):
        both = (votes.sizes[:, [a, b]] >= min_votes).all(1)
        if both.any():
            divergences = null.divergences(votes.counts[both][:, [a, b]])
            summary = vars(divergences.summary())
            pairs.append(
                CultureDivergence(**summary, first=votes.cultures[a], second=votes.cultures[b])
            )
            total[both] += divergences.by_chance
            count += both
    return pairs, total / count


def _styles(votes: Votes, everyone: ArtworkDivergences) -> list[StyleDivergence]:
    masks = {style: votes.styles == style for style in sorted(set(votes.styles))}
    styles = [
        StyleDivergence(**vars(everyone.summary(mask)), style=style)
        for style, mask in masks.items()
        if mask.sum() >= MIN_ARTWORKS_OF_STYLE
    ]
    return sorted(styles, key=lambda s: -s.beyond_chance.value)


def _emotion_gaps(votes: Votes, min_votes: int) -> list[EmotionGap]:
    """Each emotion's share in each culture, and how far it differs from artwork to artwork.

    With ``a`` and ``b`` the shares in two cultures of ``n`` and ``m`` votes, ``(a - b)^2 -
    a (1 - a) / (n - 1) - b (1 - b) / (m - 1)`` has the true squared difference as its mean.
    """
    sizes = votes.sizes
    judged = (sizes >= max(min_votes, 2)).astype(float)
    shares = votes.distributions
    noise = shares * (1 - shares) / np.maximum(sizes - 1, 1)[..., None]
    squares, pairs = np.zeros(shares[:, 0].shape), np.zeros(len(shares))
    for a, b in combinations(range(len(votes.cultures)), 2):
        both = judged[:, a] * judged[:, b]
        pairs += both
        gap = np.square(shares[:, a] - shares[:, b]) - noise[:, a] - noise[:, b]
        squares += both[:, None] * gap
    differences = ratio_estimates(squares, pairs[:, None])
    by_culture = {
        name: ratio_estimates(judged[:, [c]] * shares[:, c], judged[:, [c]])
        for c, name in enumerate(votes.cultures)
    }
    gaps = [
        EmotionGap(
            emotion=emotion,
            shares={name: estimates[e] for name, estimates in by_culture.items()},
            difference=Estimate(*(math.sqrt(max(v, 0.0)) for v in astuple(differences[e]))),
        )
        for e, emotion in enumerate(votes.labels)
    ]
    return sorted(gaps, key=lambda gap: -gap.difference.value)


def _entropies(votes: Votes, min_votes: int) -> dict[str, Estimate]:
    """Mean entropy in bits of ``min_votes`` of a culture's votes on an artwork.

    More votes show more emotions, so cultures are compared at one number of votes: the exact mean
    over all ways to pick ``min_votes`` votes without replacement (rarefaction, Hurlbert 1971).
    """
    by_culture = {
        name: votes.counts[votes.sizes[:, c] >= min_votes, c]
        for c, name in enumerate(votes.cultures)
    }
    return {
        name: mean_estimate(rarefied_entropy(counts, min_votes))
        for name, counts in by_culture.items()
        if len(counts)
    }


def rarefied_entropy(counts: np.ndarray, size: int) -> np.ndarray:
    """Mean entropy in bits over all samples of ``size`` votes out of counts [p, k]: [p]."""
    total = counts.sum(1, keepdims=True)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total.max() + 1)))])

    def log_choose(n: np.ndarray, k: int) -> np.ndarray:
        rest = np.maximum(n - k, 0)
        return np.where(n < k, -np.inf, log_factorial[n] - log_factorial[k] - log_factorial[rest])

    result = np.zeros(len(counts))
    for taken in range(1, size):
        share = taken / size
        ways = log_choose(counts, taken) + log_choose(total - counts, size - taken)
        chance = np.exp(ways - log_choose(total, size))
        result += chance.sum(1) * -(share * np.log2(share))
    return result
