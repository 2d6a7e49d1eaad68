"""The divergence between publics, set against what equal publics would show with so few votes.

Two samples of a few votes differ even where both come from one public. So the divergence between the
histograms of a painting is set against its permutation null: the painting's votes are dealt anew
among the cultures, each getting as many as it had. Where publics are equal every such deal is as
likely as the real one, so the test is exact whatever the number of votes; what is left when the
null's mean is taken off is the divergence beyond chance.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from artaffect.metrics.classification import Score, ratio_scores
from artaffect.metrics.distances import jensen_shannon_divergence
from artaffect.runtime import track


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

    def __init__(self, n_resamples: int, seed: int) -> None:
        self.n_resamples = n_resamples
        self.seed = seed
        self._known: dict[bytes, np.ndarray] = {}

    def of(self, counts: np.ndarray, what: str = "") -> "ArtworkDivergences":
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
        return ArtworkDivergences(
            observed=mean_pairwise_divergence(counts),
            by_chance=nulls.mean(1, dtype=float)[kind],
            nulls=nulls,
            kind=kind,
            counts=counts,
            seed=self.seed,
        )

    def _null(self, totals: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """Divergences of ``n_resamples`` deals of votes [k] among publics of given sizes [c]."""
        sizes, emotions = sizes[sizes > 0], totals[totals > 0]
        key = emotions.tobytes() + b"|" + sizes.tobytes()
        if key not in self._known:
            rng = np.random.default_rng([self.seed, *map(int, emotions), 0, *map(int, sizes)])
            ballots = np.tile(np.repeat(np.arange(len(emotions)), emotions), (self.n_resamples, 1))
            publics = np.repeat(np.arange(len(sizes)), sizes)
            shape = (self.n_resamples, len(sizes), len(emotions))
            draw = np.arange(self.n_resamples)[:, None]
            cells = np.ravel_multi_index((draw, publics, rng.permuted(ballots, axis=1)), shape)
            dealt = np.bincount(cells.ravel(), minlength=int(np.prod(shape))).reshape(shape)
            self._known[key] = mean_pairwise_divergence(dealt).astype(np.float32)
        return self._known[key]


@dataclass(frozen=True)
class ArtworkDivergences:
    """Each painting's divergence beside its null."""

    observed: np.ndarray
    """[p]."""
    by_chance: np.ndarray
    """What equal publics would show on average [p]."""
    nulls: np.ndarray
    """float32 [kinds, n_resamples]."""
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
        n_resamples = nulls.shape[1]
        # observed and null are sums of the same numbers in another order
        reached = [
            n_resamples - np.searchsorted(nulls[k], value - 1e-5, side="left")
            for k, value in zip(self.kind, self.observed, strict=True)
        ]
        found: np.ndarray = (1 + np.array(reached)) / (1 + n_resamples)
        return found

    def summary(self, name: str, mine: np.ndarray) -> Divergence:
        """The mean over some paintings (bool [p]), tested as a whole."""
        rng = np.random.default_rng(self.seed)
        kind, n_resamples = self.kind[mine], self.nulls.shape[1]
        means = np.zeros(n_resamples)
        for null, count in zip(*np.unique(kind, return_counts=True), strict=True):
            # paintings are independent: each takes its own draw from the null that it shares
            for start in range(0, count, 4096):
                picks = rng.integers(0, n_resamples, (min(4096, count - start), n_resamples))
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
            p_value=float((1 + (means >= observed - 1e-9).sum()) / (1 + n_resamples)),
        )


def false_discovery(p_values: np.ndarray) -> np.ndarray:
    """q-values by Benjamini and Hochberg (1995): the share of false ones when all up to here count."""
    order = np.argsort(p_values)
    count = len(p_values)
    scaled = p_values[order] * count / np.arange(1, count + 1)
    found = np.empty(count)
    found[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(0, 1)
    return found
