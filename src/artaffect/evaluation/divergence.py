"""Do publics read the same painting differently, beyond what a handful of votes would show by chance?

Two samples of a few votes differ even where both come from one public. So the divergence between the
histograms of a painting is set against its permutation null: the painting's votes are dealt anew
among the cultures, each getting as many as it had. Where publics are equal every such deal is as
likely as the real one, so the test is exact whatever the number of votes; what is left when the
null's mean is taken off is the divergence beyond chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from artaffect.errors import InputError
from artaffect.evaluation.distances import jensen_shannon_divergence
from artaffect.evaluation.metrics import Score, ratio_scores
from artaffect.evaluation.votes import Votes
from artaffect.labels import EMOTIONS
from artaffect.runtime import track

LEAST = 4
"""Votes that a culture needs on a painting to be counted."""

DIVISIVE = 0.05
"""False discovery rate at which a painting counts as divisive (Benjamini and Hochberg 1995)."""

_FEWEST_OF_A_STYLE = 5


@dataclass(frozen=True)
class Divergence:
    """How far publics are apart, averaged over paintings; Jensen-Shannon, base 2, 0 to 1."""

    name: str
    artworks: int
    votes: int
    observed: float
    """Mean divergence between the histograms as they are."""
    by_chance: float
    """The same between equal publics of so many votes."""
    beyond_chance: Score
    """The difference, with its interval over paintings."""
    distance: float
    """The root of the divergence beyond chance: the Jensen-Shannon distance."""
    p_value: float
    """How often equal publics would seem at least so far apart."""


@dataclass(frozen=True)
class DivisivePainting:
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
    draws: int
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
    paintings: Sequence[DivisivePainting]
    """The most divisive ones: surest first, then farthest apart."""


def compare_publics(
    votes: Votes, least: int = LEAST, draws: int = 1000, seed: int = 0, shown: int = 20
) -> CulturalDivergence:
    """Compare the publics of every painting that several of them have judged.

    Args:
        least: votes that a culture needs on a painting.
        draws: permutations behind each p-value.
        shown: how many of the most divisive paintings to name.

    Raises:
        InputError: no painting has so many votes of two cultures.
    """
    judged = votes.sizes >= least
    keep = judged.sum(1) >= 2
    if not keep.any():
        most = int(np.sort(votes.sizes, 1)[:, -2:][:, :1].max(initial=0))
        raise InputError(
            f"no painting has {least} votes of each of two cultures, so publics cannot be compared: "
            + (
                f"the most is {most}; lower --least"
                if most > 1
                else "the table has one public only"
            )
        )
    votes = votes.of_artworks(keep)
    null = PermutationNull(draws, seed)
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
        draws=draws,
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
            DivisivePainting(
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


def mean_pairwise_divergence(counts: np.ndarray) -> np.ndarray:
    """Mean Jensen-Shannon divergence over all pairs of publics that have voted.

    Args:
        counts: votes [..., c, k]; publics without a vote are left out.

    Returns:
        [...], 0 where fewer than two have voted.
    """
    sizes = counts.sum(-1)
    shares = counts / np.maximum(sizes, 1)[..., None]
    total, pairs = np.zeros(counts.shape[:-2]), np.zeros(counts.shape[:-2])
    for a, b in combinations(range(counts.shape[-2]), 2):
        both = (sizes[..., a] > 0) & (sizes[..., b] > 0)
        if both.any():
            pairs += both
            total += both * jensen_shannon_divergence(shares[..., a, :], shares[..., b, :])
    found: np.ndarray = total / np.maximum(pairs, 1)
    return found


class PermutationNull:
    """Divergences of paintings whose votes are dealt anew among the publics.

    A divergence does not depend on which emotion is which, nor on the order of publics. So paintings
    with the same sorted totals and the same sorted numbers of votes share one null: ten votes, five
    of each of two publics, have 41 nulls, however many paintings there are.
    """

    def __init__(self, draws: int, seed: int) -> None:
        self.draws = draws
        self.seed = seed
        self._known: dict[bytes, np.ndarray] = {}

    def of(self, counts: np.ndarray, what: str = "") -> "PaintingDivergences":
        """The divergences of paintings with votes [p, c, k], and their nulls.

        Args:
            what: shows progress under this name.
        """
        totals = -np.sort(-counts.sum(1), axis=1)
        sizes = -np.sort(-counts.sum(2), axis=1)
        kinds, kind = np.unique(np.concatenate([totals, sizes], 1), axis=0, return_inverse=True)
        split = totals.shape[1]
        rows = track(kinds, what, len(kinds)) if what else kinds
        nulls = np.stack([self._null(row[:split], row[split:]) for row in rows])
        return PaintingDivergences(
            observed=mean_pairwise_divergence(counts),
            by_chance=nulls.mean(1, dtype=float)[kind],
            nulls=nulls,
            kind=kind,
            counts=counts,
            seed=self.seed,
        )

    def _null(self, totals: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Divergences of ``draws`` deals of votes [k] among publics of given sizes [c]."""
        sizes, emotions = sizes[sizes > 0], totals[totals > 0]
        key = emotions.tobytes() + b"|" + sizes.tobytes()
        if key not in self._known:
            rng = np.random.default_rng([self.seed, *map(int, emotions), 0, *map(int, sizes)])
            ballots = np.tile(np.repeat(np.arange(len(emotions)), emotions), (self.draws, 1))
            publics = np.repeat(np.arange(len(sizes)), sizes)
            shape = (self.draws, len(sizes), len(emotions))
            draw = np.arange(self.draws)[:, None]
            cells = np.ravel_multi_index((draw, publics, rng.permuted(ballots, axis=1)), shape)
            dealt = np.bincount(cells.ravel(), minlength=int(np.prod(shape))).reshape(shape)
            self._known[key] = mean_pairwise_divergence(dealt).astype(np.float32)
        return self._known[key]


@dataclass(frozen=True)
class PaintingDivergences:
    """Each painting's divergence beside its null."""

    observed: np.ndarray
    """[p]."""
    by_chance: np.ndarray
    """What equal publics would show on average [p]."""
    nulls: np.ndarray
    """float32 [kinds, draws]."""
    kind: np.ndarray
    """Each painting's null [p]."""
    counts: np.ndarray
    """Votes [p, c, k]."""
    seed: int

    @property
    def excess(self) -> np.ndarray:
        """What is beyond chance [p]."""
        found: np.ndarray = self.observed - self.by_chance
        return found

    def p_values(self) -> np.ndarray:
        """How often equal publics seem at least so far apart on the painting [p]."""
        nulls = np.sort(self.nulls, 1)
        draws = nulls.shape[1]
        # observed and null are sums of the same numbers in another order
        reached = [
            draws - np.searchsorted(nulls[k], value - 1e-5, side="left")
            for k, value in zip(self.kind, self.observed, strict=True)
        ]
        found: np.ndarray = (1 + np.array(reached)) / (1 + draws)
        return found

    def summary(self, name: str, mine: np.ndarray) -> Divergence:
        """The mean over some paintings (bool [p]), tested as a whole."""
        rng = np.random.default_rng(self.seed)
        kind, draws = self.kind[mine], self.nulls.shape[1]
        means = np.zeros(draws)
        for null, count in zip(*np.unique(kind, return_counts=True), strict=True):
            # paintings are independent: each takes its own draw from the null that it shares
            for start in range(0, count, 4096):
                picks = rng.integers(0, draws, (min(4096, count - start), draws))
                means += self.nulls[null][picks].sum(0, dtype=float)
        means /= len(kind)
        observed, by_chance = float(self.observed[mine].mean()), float(self.by_chance[mine].mean())
        beyond = ratio_scores(self.excess[mine][:, None], np.ones((len(kind), 1)))[0]
        return Divergence(
            name=name,
            artworks=len(kind),
            votes=int(self.counts[mine].sum()),
            observed=observed,
            by_chance=by_chance,
            beyond_chance=beyond,
            distance=float(np.sqrt(max(beyond.value, 0.0))),
            p_value=float((1 + (means >= observed - 1e-9).sum()) / (1 + draws)),
        )


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """q-values by Benjamini and Hochberg (1995): the share of false ones when all up to here count."""
    order = np.argsort(p_values)
    count = len(p_values)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    found = np.empty(count)
    found[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(0, 1)
    return found


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
