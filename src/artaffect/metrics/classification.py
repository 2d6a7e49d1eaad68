"""Metrics of predicted label distributions: one object each, in one registry.

A metric is a function of sums over rows. The sums are kept per artwork, so that resampling artworks
costs one matrix product (see :mod:`artaffect.metrics.bootstrap`). Tables, figures, JSON and data
frames iterate over ``METRICS``: to add a metric, register one object.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from artaffect.metrics.bootstrap import TINY, bootstrap_sums

BINS = 15
"""Confidence bins of the expected calibration error (Guo et al. 2017)."""


@dataclass(frozen=True)
class Metric:
    """A score of predicted distributions, computed from sums over artworks."""

    name: str
    """Its key in results: an identifier."""
    heading: str
    """What tables and figures call it."""
    higher_is_better: bool
    sums: Callable[[np.ndarray, np.ndarray, np.ndarray, int], np.ndarray]
    """``(labels [n], probabilities [n, k], artworks [n], count) -> [count, columns]``."""
    value: Callable[[np.ndarray], np.ndarray]
    """``sums [..., columns] -> [...]``; the leading axes stay."""
    headline: bool = True
    """Whether narrow tables and figures show it."""

    def __call__(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        """Score labels [n] and distributions [n, k] as a whole."""
        if len(labels) == 0:
            raise ValueError(f"{self.name} is undefined for no rows")
        sums = self.sums(labels, probabilities, np.zeros(len(labels), np.int64), 1)
        return float(self.value(sums[0]))


def sum_rows(artworks: np.ndarray, count: int, *values: np.ndarray) -> np.ndarray:
    """Add up row values [n] per artwork: [count, 1 + number of values], the row counts first."""
    columns = [np.bincount(artworks, minlength=count)]
    columns += [np.bincount(artworks, value, count) for value in values]
    return np.stack(columns, 1).astype(float)


def sum_cells(
    artworks: np.ndarray, columns: np.ndarray, weights: np.ndarray | None, count: int, width: int
) -> np.ndarray:
    """Add up weights [n] (ones if None) per artwork and column: [count, width]."""
    flat = np.bincount(artworks * width + columns, weights, count * width)
    return flat.reshape(count, width).astype(float)


def mean_of_rows(sums: np.ndarray) -> np.ndarray:
    """The mean of the first value that :func:`sum_rows` added up [...]."""
    return sums[..., 1] / np.maximum(sums[..., 0], TINY)


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, 0 to ``BINS - 1``; a confidence of 1 falls into the last one."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def _accuracy_sums(
    labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> np.ndarray:
    correct = probabilities.argmax(1) == labels
    return sum_rows(artworks, count, correct.astype(float))


def _f1_sums(
    labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> np.ndarray:
    """True positives, predictions and labels of each class: [count, 3 * k]."""
    classes = probabilities.shape[1]
    top = probabilities.argmax(1)
    columns = (
        sum_cells(artworks, labels, (top == labels).astype(float), count, classes),
        sum_cells(artworks, top, None, count, classes),
        sum_cells(artworks, labels, None, count, classes),
    )
    return np.concatenate(columns, 1)


def _f1_value(sums: np.ndarray) -> np.ndarray:
    true_positives, predicted, labelled = np.split(sums, 3, axis=-1)
    f1 = 2 * true_positives / np.maximum(predicted + labelled, TINY)
    present = (predicted + labelled) > 0
    return (f1 * present).sum(-1) / np.maximum(present.sum(-1), 1)


def _log_loss_sums(
    labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> np.ndarray:
    given = probabilities[np.arange(len(labels)), labels]
    return sum_rows(artworks, count, -np.log(given.clip(TINY)))


def _brier_sums(
    labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> np.ndarray:
    given = probabilities[np.arange(len(labels)), labels]
    return sum_rows(artworks, count, np.square(probabilities).sum(1) - 2 * given + 1)


def _calibration_sums(
    labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> np.ndarray:
    """Row counts, then confidence and correct predictions of each bin: [count, 1 + 2 * BINS]."""
    top = probabilities.argmax(1)
    confidence = probabilities[np.arange(len(labels)), top]
    bins = confidence_bins(confidence)
    columns = (
        sum_rows(artworks, count),
        sum_cells(artworks, bins, confidence, count, BINS),
        sum_cells(artworks, bins, (top == labels).astype(float), count, BINS),
    )
    return np.concatenate(columns, 1)


def _calibration_value(sums: np.ndarray) -> np.ndarray:
    confidence, correct = np.split(sums[..., 1:], 2, axis=-1)
    return np.abs(confidence - correct).sum(-1) / np.maximum(sums[..., 0], TINY)


METRICS: dict[str, Metric] = {}
"""Every metric by name, in the order in which results show them."""


def register_metric(metric: Metric) -> Metric:
    """Add a metric to every result, table and figure.

    Raises:
        ValueError: the name is taken, or is not an identifier.
    """
    if not metric.name.isidentifier() or metric.name in METRICS:
        raise ValueError(f"a metric needs a new identifier as its name, got {metric.name!r}")
    METRICS[metric.name] = metric
    return metric


for _metric in (
    Metric("accuracy", "accuracy", True, _accuracy_sums, mean_of_rows),
    Metric("macro_f1", "macro-F1", True, _f1_sums, _f1_value),
    Metric("log_loss", "log-loss", False, _log_loss_sums, mean_of_rows),
    Metric("calibration_error", "calibration error", False, _calibration_sums, _calibration_value),
    Metric("brier", "Brier score", False, _brier_sums, mean_of_rows, headline=False),
):
    register_metric(_metric)


def sum_by_artwork(
    labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """The sums of every registered metric, by name.

    Args:
        labels: true labels as indices [n].
        probabilities: predicted distributions [n, k].
        artworks: each row's artwork as an index below ``count`` [n].

    Returns:
        For each metric float64 [count, columns].
    """
    return {
        name: metric.sums(labels, probabilities, artworks, count)
        for name, metric in METRICS.items()
    }


def bootstrap_metrics(
    sums: Mapping[str, np.ndarray], n_resamples: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every metric from the sums of several models, exact and resampled.

    Args:
        sums: for each metric [models, artworks, columns].

    Returns:
        For each metric its values [models], and its values in each resample [models, n_resamples].
    """
    ends = np.cumsum([part.shape[-1] for part in sums.values()])[:-1]
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in sums}
    for block in bootstrap_sums(np.concatenate(list(sums.values()), -1), n_resamples):
        for name, part in zip(sums, np.split(block, ends, axis=-1), strict=True):
            resampled[name].append(METRICS[name].value(part))
    exact = {name: METRICS[name].value(part.sum(-2)) for name, part in sums.items()}
    return exact, {name: np.concatenate(parts, -1) for name, parts in resampled.items()}


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of rows whose most probable label is the true one, 0 to 1."""
    return METRICS["accuracy"](labels, probabilities)


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 score over classes, 0 to 1; classes neither labelled nor predicted do not count."""
    return METRICS["macro_f1"](labels, probabilities)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of ``-ln`` of the probability given to the true label, in nats."""
    return METRICS["log_loss"](labels, probabilities)


def brier_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance from the true label's corner of the simplex, 0 to 2 (Brier 1950)."""
    return METRICS["brier"](labels, probabilities)


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, 0 to 1 (Guo et al. 2017, eq. 3)."""
    return METRICS["calibration_error"](labels, probabilities)


def hamming_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """Share of correct bits over artworks and labels, the metric of the MVIP 2024 paper.

    Args:
        labels: whether any annotator of the artwork chose the label: bool [artworks, k].
        predicted: the same, as predicted.
    """
    return float((labels == predicted).mean())


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts [k, k]: true labels in rows, predicted labels in columns."""
    classes = probabilities.shape[1]
    return sum_cells(labels, probabilities.argmax(1), None, classes, classes).astype(int)
