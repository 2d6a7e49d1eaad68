"""Differences between runs: with intervals, p-values, and a correction for how many there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from artaffect.metrics.bootstrap import Estimate, Number
from artaffect.metrics.evaluation import for_each_group
from artaffect.metrics.seeds import Resampled, bootstrap_seeds, count_seeds, metric_sums

N_RESAMPLES = 10_000
"""More than for intervals alone, because the smallest p-value is one in as many."""


@dataclass(frozen=True)
class Difference:
    """One metric of one run minus that of another, over the same resamples."""

    first: str
    second: str
    input: str
    """What both predict from: ``image``, ``caption`` or ``both``."""
    culture: str | None
    """None for all rows."""
    metric: str
    estimate: Estimate
    """The first run's score minus the second's."""
    p_value: Number
    """See :func:`bootstrap_p_value`; NaN where there is no interval."""
    adjusted: Number
    """The p-value after Holm's correction."""


def differences(
    predictions: Mapping[str, Mapping[str, np.ndarray]],
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    n_resamples: int = N_RESAMPLES,
) -> list[Difference]:
    """Compare every run with the first one, by every metric, overall and for each culture.

    Holm's correction takes together, for each metric, the differences of all runs and inputs over all
    rows; and in the same way those of all runs, inputs and cultures.

    Args:
        predictions: input → run → distributions [n, k], or [seeds, n, k].
        labels: true labels as indices [n].
        cultures: each row's culture name [n].
        artworks: any value that identifies the row's artwork [n].
    """
    results: list[Difference] = []
    for kind, runs in predictions.items():
        names, arrays = list(runs), list(runs.values())

        def resample(mask: np.ndarray, arrays: list[np.ndarray] = arrays) -> dict[str, Resampled]:
            unique, codes = np.unique(artworks[mask], return_inverse=True)
            chosen = [array[..., mask, :] for array in arrays]
            sums = metric_sums(chosen, labels[mask], codes, len(unique))
            return bootstrap_seeds(sums, list(map(count_seeds, chosen)), n_resamples)

        for culture, metrics in for_each_group(cultures, resample).groups():
            for metric, scores in metrics.items():
                for i in range(1, len(names)):
                    value = float(scores.values[i] - scores.values[0])
                    resamples = scores.resamples[i] - scores.resamples[0]
                    estimate = Estimate.from_resamples(value, resamples)
                    p_value = bootstrap_p_value(value, resamples)
                    about = (names[i], names[0], kind, culture, metric)
                    results.append(Difference(*about, estimate, p_value, p_value))
    return _correct(results)


def bootstrap_p_value(value: float, resamples: np.ndarray) -> float:
    """How often a difference as large as this would be seen if there were none, on either side.

    The resamples, shifted so that they centre on no difference, stand for the distribution under the null
    hypothesis (Efron and Tibshirani 1993, section 16.4); the p-value counts the data as one more of them
    (Davison and Hinkley 1997, section 4.2.3).

    Args:
        value: the difference in the data.
        resamples: the difference in each resample [n_resamples]; NaN where it is undefined.

    Returns:
        From ``1 / (n_resamples + 1)`` to 1; NaN if it is undefined in every resample.
    """
    defined = resamples[np.isfinite(resamples)]
    if not len(defined):
        return float("nan")
    slack = 1e-12  # differences of identical runs are rounding errors
    extreme = np.abs(defined - value) >= abs(value) - slack
    return float((1 + extreme.sum()) / (1 + len(defined)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of any false finding among them stays bounded.

    The step-down method of Holm (1979), "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6: the i-th smallest of m p-values is multiplied by m - i + 1, no
    adjusted value is below that of a smaller p-value, and none is above 1. NaN stays NaN and is not counted.
    """
    adjusted = np.array(p_values, dtype=float)
    order = np.argsort(adjusted)[: int(np.isfinite(adjusted).sum())]  # NaN is sorted to the end
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(adjusted[order] * factors), 1)
    return adjusted.tolist()


def _correct(results: Sequence[Difference]) -> list[Difference]:
    families: dict[tuple[str, bool], list[int]] = {}
    for index, difference in enumerate(results):
        families.setdefault((difference.metric, difference.culture is None), []).append(index)
    corrected = list(results)
    for members in families.values():
        adjusted = holm([results[index].p_value for index in members])
        for index, value in zip(members, adjusted, strict=True):
            corrected[index] = replace(results[index], adjusted=value)
    return corrected
