"""Do publics read the same painting differently, beyond what a handful of votes would show by chance?

Which pairs of publics, art styles, emotions and paintings divide them most; how chance is told from
culture is in :mod:`artaffect.metrics.permutation`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from artaffect.errors import InputError
from artaffect.labels import EMOTIONS
from artaffect.metrics.classification import Score, ratio_scores
from artaffect.metrics.permutation import Divergence, PermutationNull, false_discovery
from artaffect.metrics.votes import Votes
from artaffect.runtime import track

MIN_VOTES = 4
"""Votes that a culture needs on a painting to be counted."""

DIVISIVE = 0.05
"""False discovery rate at which a painting counts as divisive (Benjamini and Hochberg 1995)."""

_FEWEST_OF_A_STYLE = 5


@dataclass(frozen=True)
class DivisiveArtwork:
    """One painting on which publics disagree."""

    artwork: str
    style: str
    observed: float
    by_chance: float
    p_value: float
    q_value: float
    """The p-value, corrected for the number of paintings looked at."""
    votes: Mapping[str, list[int]]
    """Culture → votes for each emotion."""


@dataclass(frozen=True)
class EmotionGap:
    """One emotion's share in each public."""

    emotion: str
    shares: Mapping[str, Score]
    """Culture → mean share over the paintings it has judged."""
    differs_by: Score
    """Root mean square difference of its share between two publics of one painting, without what
    the number of votes adds: 0 where publics are equal."""


@dataclass(frozen=True)
class CulturalDivergence:
    """What :func:`compare_publics` found."""

    least: int
    n_resamples: int
    cultures: tuple[str, ...]
    artworks: int
    """Judged by two cultures or more."""
    overall: Divergence
    """Mean over all pairs of cultures of a painting."""
    pairs: Sequence[Divergence]
    styles: Sequence[Divergence]
    """Most divided first; styles of few paintings are left out."""
    emotions: Sequence[EmotionGap]
    """Most dividing first."""
    entropies: Mapping[str, Score]
    """Culture → mean entropy in bits of ``least`` of its votes on a painting."""
    divisive: int
    """Paintings with a q-value below ``DIVISIVE``."""
    expected_false: float
    """How many of them would be there by chance at most."""
    paintings: Sequence[DivisiveArtwork]
    """The most divisive ones: surest first, then farthest apart."""


def compare_publics(
    votes: Votes, least: int = MIN_VOTES, n_resamples: int = 1000, seed: int = 0, shown: int = 20
) -> CulturalDivergence:
    """Compare the publics of every painting that several of them have judged.

    Args:
        least: votes that a culture needs on a painting.
        n_resamples: permutations behind each p-value.
        shown: how many of the most divisive paintings to name.

    Raises:
        InputError: no painting has so many votes of two cultures.
    """
    judged = votes.sizes >= least
    keep = judged.sum(1) >= 2
    if not keep.any():
        second = np.sort(votes.sizes, 1)[:, -2:-1]  # of each painting's two largest publics
        most = int(second.max(initial=0))
        raise InputError(
            f"no painting has {least} votes of each of two cultures, so publics cannot be compared: "
            + (
                f"the most is {most}; lower --least"
                if most > 1
                else "the table has one public only"
            )
        )
    votes = votes.of_artworks(keep)
    null = PermutationNull(n_resamples, seed)
    everyone = null.of(votes.counts * judged[keep][..., None], "dealing votes anew")
    pairs, by_chance = _pairs(votes, least, null)
    everyone = replace(everyone, by_chance=by_chance)
    overall = everyone.summary("all pairs", np.ones(len(votes.artworks), bool))
    styles = []
    for style in sorted(set(votes.styles)):
        mine = votes.styles == style
        if mine.sum() >= _FEWEST_OF_A_STYLE:
            styles.append(everyone.summary(style, mine))
    p_values = everyone.p_values()
    q_values = false_discovery(p_values)
    order = np.lexsort((-everyone.excess, p_values))[:shown]
    return CulturalDivergence(
        least=least,
        n_resamples=n_resamples,
        cultures=votes.cultures,
        artworks=len(votes.artworks),
        overall=overall,
        pairs=pairs,
        styles=sorted(styles, key=lambda s: -s.beyond_chance.value),
        emotions=emotion_gaps(votes, least),
        entropies=entropies(votes, least),
        divisive=int((q_values < DIVISIVE).sum()),
        expected_false=float(DIVISIVE * (q_values < DIVISIVE).sum()),
        paintings=[
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


def _pairs(votes: Votes, least: int, null: PermutationNull) -> tuple[list[Divergence], np.ndarray]:
    """Every pair of publics, and what chance makes of an average pair of each painting [p].

    Chance is taken from the pair's own votes: those of a third public would blur the two.
    """
    found = []
    total, count = np.zeros(len(votes.artworks)), np.zeros(len(votes.artworks))
    couples = list(combinations(range(len(votes.cultures)), 2))
    for a, b in track(couples, "comparing pairs of publics", len(couples)):
        both = (votes.sizes[:, [a, b]] >= least).all(1)
        if both.any():
            mine = null.of(votes.counts[both][:, [a, b]])
            name = f"{votes.cultures[a]} / {votes.cultures[b]}"
            found.append(mine.summary(name, np.ones(int(both.sum()), bool)))
            total[both] += mine.by_chance
            count += both
    return found, total / count


def emotion_gaps(votes: Votes, least: int) -> list[EmotionGap]:
    """Each emotion's share in each public, and how far it differs from painting to painting.

    With ``a`` and ``b`` the shares in two publics of ``n`` and ``m`` votes, ``(a - b)^2 -
    a (1 - a) / (n - 1) - b (1 - b) / (m - 1)`` has the true squared difference as its mean.
    """
    sizes = votes.sizes
    judged = (sizes >= max(least, 2)).astype(float)
    shares = votes.distributions
    noise = shares * (1 - shares) / np.maximum(sizes - 1, 1)[..., None]
    squares, pairs = np.zeros(shares[:, 0].shape), np.zeros(len(shares))
    for a, b in combinations(range(len(votes.cultures)), 2):
        both = judged[:, a] * judged[:, b]
        pairs += both
        gap = np.square(shares[:, a] - shares[:, b]) - noise[:, a] - noise[:, b]
        squares += both[:, None] * gap
    differs = ratio_scores(squares, np.repeat(pairs[:, None], len(EMOTIONS), 1))
    by_culture = [
        ratio_scores(judged[:, [c]] * shares[:, c], np.repeat(judged[:, [c]], len(EMOTIONS), 1))
        for c in range(len(votes.cultures))
    ]
    gaps = [
        EmotionGap(
            emotion=str(emotion),
            shares={name: by_culture[c][e] for c, name in enumerate(votes.cultures)},
            differs_by=_root(differs[e]),
        )
        for e, emotion in enumerate(EMOTIONS)
    ]
    return sorted(gaps, key=lambda gap: -gap.differs_by.value)


def _root(score: Score) -> Score:
    value, low, high = (float(np.sqrt(max(v, 0.0))) for v in (score.value, score.low, score.high))
    return Score(value, low, high)


def entropies(votes: Votes, least: int) -> dict[str, Score]:
    """Mean entropy in bits of ``least`` of a public's votes on a painting.

    More votes show more emotions, so publics are compared at one number of votes: the exact mean
    over all ways to pick ``least`` votes without replacement (rarefaction, Hurlbert 1971).
    """
    found = {}
    for c, name in enumerate(votes.cultures):
        counts = votes.counts[votes.sizes[:, c] >= least, c]
        if len(counts):
            values = rarefied_entropy(counts, least)[:, None]
            found[name] = ratio_scores(values, np.ones_like(values))[0]
    return found


def rarefied_entropy(counts: np.ndarray, size: int) -> np.ndarray:
    """Mean entropy in bits over all samples of ``size`` votes out of counts [p, k]: [p]."""
    total = counts.sum(1, keepdims=True)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total.max() + 1)))])

    def log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
        possible = (k >= 0) & (k <= n)
        k = np.where(possible, k, 0)
        ways = log_factorial[n] - log_factorial[k] - log_factorial[n - k]
        return np.where(possible, ways, -np.inf)

    found = np.zeros(len(counts))
    for taken in range(1, size):
        share = taken / size
        size_left = np.full_like(total, size - taken)
        ways = log_choose(counts, np.full_like(counts, taken))
        ways = ways + log_choose(total - counts, size_left)
        chance = np.exp(ways - log_choose(total, np.full_like(total, size)))
        found += chance.sum(1) * -(share * np.log2(share))
    return found
