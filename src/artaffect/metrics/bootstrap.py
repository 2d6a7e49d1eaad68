"""Intervals by bootstrap over artworks.

The annotations of one artwork depend on each other, so artworks are resampled, not rows. Everything
that is estimated here is a function of sums over artworks: a resample is a row of weights, and one
matrix product gives the sums of many resamples at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import BeforeValidator

SEED = 0
"""Seed of every bootstrap, so that all models and all runs share the same resamples."""

TINY = 1e-12
"""Stands in for zero in denominators and logarithms."""


MIN_ARTWORKS = 30
"""Fewer artworks are said to be too few for a conclusion. The number is a convention: percentile
intervals cover too little in small samples (Hesterberg 2015), and those of a mean of n values are too
narrow by a factor of sqrt(1 - 1/n), because the bootstrap's variance divides by n and not by n - 1."""

NO_INTERVAL = float("nan")

Number = Annotated[float, BeforeValidator(lambda value: NO_INTERVAL if value is None else value)]
"""In JSON, which has no NaN, it is null."""


@dataclass(frozen=True, repr=False)
class Estimate:
    """A value with its 95 % interval by bootstrap over artworks.

    ``low`` and ``high`` are NaN where the data give no interval, as those of a single artwork do.
    """

    value: Number
    low: Number = NO_INTERVAL
    high: Number = NO_INTERVAL

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high

    @classmethod
    def from_resamples(cls, value: float, resamples: np.ndarray) -> "Estimate":
        """Combine a value with the same statistic in each resample [n_resamples].

        The interval is that of the percentiles. Where it excludes the value itself, as for a
        calibration error, which is larger in a resample than in the data, the bootstrap's estimate of
        that bias is subtracted from its limits (Efron and Tibshirani 1993).

        Args:
            resamples: NaN where the statistic is undefined, as in a resample without rows of a group.
        """
        defined = resamples[np.isfinite(resamples)]
        if not len(defined):
            return cls(float(value))
        low, high = np.quantile(defined, [0.025, 0.975])
        if not low <= value <= high:
            bias = defined.mean() - value
            low, high = min(low - bias, value), max(high - bias, value)
        return cls(float(value), float(low), float(high))

    @property
    def has_interval(self) -> bool:
        return bool(np.isfinite(self.low))

    def __neg__(self) -> "Estimate":
        return Estimate(-self.value, -self.high, -self.low)

    def __format__(self, spec: str) -> str:
        if not self.has_interval:
            return f"{self.value:{spec}}"
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __repr__(self) -> str:
        return f"Estimate({self:.4f})"


def bootstrap_sums(sums: np.ndarray, n_resamples: int, seed: int = SEED) -> Iterator[np.ndarray]:
    """Resample artworks with replacement and add up their sums.

    Args:
        sums: sums of each artwork, for one model or several: [..., artworks, columns].

    Yields:
        Blocks [..., block size, columns], ``n_resamples`` in all. All models share the resamples, so
        the difference between two models is paired.
    """
    rng = np.random.default_rng(seed)
    artworks = sums.shape[-2]
    block = int(np.clip(2**24 // max(artworks, 1), 1, n_resamples))
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        picks = rng.integers(0, artworks, (size, artworks))
        offset = np.arange(size)[:, None] * artworks
        weights = np.bincount((picks + offset).ravel(), minlength=size * artworks)
        yield weights.reshape(size, artworks).astype(float) @ sums


def ratio_estimates(totals: np.ndarray, counts: np.ndarray) -> list[Estimate]:
    """Estimate the mean of each column over all artworks.

    Args:
        totals: the sum of each artwork's values [artworks, columns].
        counts: how many values each sum holds [artworks, columns or 1]; the mean of none is NaN.
    """
    width = totals.shape[1]
    sums = np.concatenate([totals, np.broadcast_to(counts, totals.shape)], 1, dtype=float)
    resampled = np.concatenate(list(bootstrap_sums(sums, 1000)))
    means = resampled[:, :width] / np.maximum(resampled[:, width:], TINY)
    is_defined = (resampled[:, width:] > 0) & ((sums[:, width:] > 0).sum(0) > 1)
    means = np.where(is_defined, means, np.nan)
    exact = sums.sum(0)
    values = exact[:width] / np.where(exact[width:] > 0, exact[width:], np.nan)
    return [Estimate.from_resamples(values[i], means[:, i]) for i in range(width)]


def mean_estimate(values: np.ndarray) -> Estimate:
    """Estimate the mean of one value per artwork [artworks]."""
    return ratio_estimates(values[:, None], np.ones((1, 1)))[0]
