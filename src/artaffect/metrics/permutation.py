"""The divergence between cultures, compared with what equal cultures would show with so few votes.

Two samples of a few votes differ even if both come from the same distribution. The permutation null of
an artwork reassigns its votes to the cultures at random, each culture keeping its number of votes. If
the cultures are equal, every assignment is as likely as the observed one, so the test is exact for any
number of votes. The observed divergence minus the mean of the null is the divergence beyond chance.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from artaffect.metrics.bootstrap import Estimate, mean_estimate
from artaffect.metrics.distances import jensen_shannon_divergence

_CHUNK = 4096


@dataclass(frozen=True)
class Divergence:
    """How far cultures are apart, averaged over artworks: Jensen-Shannon, base 2, 0 to 1."""

    artworks: int
    votes: int
    observed: float
    """Mean divergence between the histograms as they are."""
    by_chance: float
    """The same between equal cultures with as many votes."""
    beyond_chance: Estimate
    """The difference, with its interval over artworks."""
    distance: float
    """The square root of the divergence beyond chance: the Jensen-Shannon distance."""
    p_value: float
    """How often equal cultures would seem at least as far apart."""


@dataclass(frozen=True)
class CultureDivergence(Divergence):
    """How far two cultures are apart."""

    first: str
    second: str


@dataclass(frozen=True)
class StyleDivergence(Divergence):
    """How far all cultures are apart on the artworks of one style."""

    style: str


def mean_pairwise_divergence(counts: np.ndarray) -> np.ndarray:
    """Mean Jensen-Shannon divergence over all pairs of cultures that have votes.

    Args:
        counts: votes [..., c, k]; cultures without votes are left out.

    Returns:
        [...], 0 where fewer than two cultures have votes.
    """
    sizes = counts.sum(-1)
    shares = counts / np.maximum(sizes, 1)[..., None]
    total, pairs = np.zeros((2, *counts.shape[:-2]))
    for a, b in combinations(range(counts.shape[-2]), 2):
        both = (sizes[..., a] > 0) & (sizes[..., b] > 0)
        if both.any():
            pairs += both
            total += both * jensen_shannon_divergence(shares[..., a, :], shares[..., b, :])
    return total / np.maximum(pairs, 1)


class PermutationNull:
    """Divergences of artworks whose votes are reassigned to the cultures at random.

    A divergence depends neither on which emotion is which nor on the order of cultures. Artworks with
    the same sorted totals and the same sorted numbers of votes therefore share one null: ten votes, five
    of each of two cultures, have 41 nulls, however many artworks there are.
    """

    def __init__(self, n_permutations: int, seed: int) -> None:
        self.n_permutations = n_permutations
        self.seed = seed
        self._cache: dict[bytes, np.ndarray] = {}

    def divergences(self, counts: np.ndarray) -> "ArtworkDivergences":
        """The divergences of artworks with votes [p, c, k], and their nulls."""
        totals = -np.sort(-counts.sum(1), axis=1)
        sizes = -np.sort(-counts.sum(2), axis=1)
        kinds, kind = np.unique(np.concatenate([totals, sizes], 1), axis=0, return_inverse=True)
        split = totals.shape[1]
        nulls = np.stack([self._null(row[:split], row[split:]) for row in kinds])
        return ArtworkDivergences(
            observed=mean_pairwise_divergence(counts),
            by_chance=nulls.mean(1, dtype=float)[kind],
            nulls=nulls,
            kind=kind,
            counts=counts,
            seed=self.seed,
        )

    def _null(self, totals: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Divergences of ``n_permutations`` deals of votes [k] among cultures of given sizes [c]."""
        sizes, emotions = sizes[sizes > 0], totals[totals > 0]
        key = emotions.tobytes() + b"|" + sizes.tobytes()
        if key not in self._cache:
            rng = np.random.default_rng([self.seed, *map(int, emotions), 0, *map(int, sizes)])
            ballots = np.repeat(np.arange(len(emotions)), emotions)
            dealt = rng.permuted(np.tile(ballots, (self.n_permutations, 1)), axis=1)
            cultures = np.repeat(np.arange(len(sizes)), sizes)
            shape = (self.n_permutations, len(sizes), len(emotions))
            permutation = np.arange(self.n_permutations)[:, None]
            cells = np.ravel_multi_index((permutation, cultures, dealt), shape)
            counts = np.bincount(cells.ravel(), minlength=int(np.prod(shape))).reshape(shape)
            self._cache[key] = mean_pairwise_divergence(counts).astype(np.float32)
        return self._cache[key]


@dataclass(frozen=True)
class ArtworkDivergences:
    """The divergence of each artwork beside its null."""

    observed: np.ndarray
    """[p]."""
    by_chance: np.ndarray
    """What equal cultures would show on average [p]."""
    nulls: np.ndarray
    """float32 [kinds, n_permutations]."""
    kind: np.ndarray
    """Index of each artwork's null [p]."""
    counts: np.ndarray
    """Votes [p, c, k]."""
    seed: int

    @property
    def excess(self) -> np.ndarray:
        """The divergence beyond chance [p]."""
        return self.observed - self.by_chance

    def p_values(self) -> np.ndarray:
        """How often equal cultures seem at least as far apart on each artwork [p]."""
        nulls = np.sort(self.nulls, 1)
        n_permutations = nulls.shape[1]
        # observed and null add up the same numbers in different orders
        reached = [
            n_permutations - np.searchsorted(nulls[k], value - 1e-5, side="left")
            for k, value in zip(self.kind, self.observed, strict=True)
        ]
        return (1 + np.array(reached)) / (1 + n_permutations)

    def summary(self, mask: np.ndarray | None = None) -> Divergence:
        """The mean over some artworks (bool [p]; all if None), tested as a whole."""
        mask = np.ones(len(self.kind), bool) if mask is None else mask
        rng = np.random.default_rng(self.seed)
        kind, n_permutations = self.kind[mask], self.nulls.shape[1]
        means = np.zeros(n_permutations)
        for null, count in zip(*np.unique(kind, return_counts=True), strict=True):
            # artworks are independent: each samples the null that it shares for itself
            for start in range(0, count, _CHUNK):
                size = min(_CHUNK, count - start)
                picks = rng.integers(0, n_permutations, (size, n_permutations))
                means += self.nulls[null][picks].sum(0, dtype=float)
        means /= len(kind)
        observed = float(self.observed[mask].mean())
        beyond = mean_estimate(self.excess[mask])
        return Divergence(
            artworks=len(kind),
            votes=int(self.counts[mask].sum()),
            observed=observed,
            by_chance=float(self.by_chance[mask].mean()),
            beyond_chance=beyond,
            distance=float(np.sqrt(max(beyond.value, 0.0))),
            p_value=float((1 + (means >= observed - 1e-9).sum()) / (1 + n_permutations)),
        )


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """q-values of Benjamini and Hochberg (1995): the false share if all up to this one are accepted."""
    order, count = np.argsort(p_values), len(p_values)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    return np.minimum.accumulate(scaled[::-1])[::-1].clip(0, 1)[np.argsort(order)]
