"""Metrics of predicted label distributions: one object each, in one registry.

A metric is a function of sums over rows. The sums are kept per artwork, so that resampling artworks
costs one matrix product (see :mod:`artaffect.metrics.bootstrap`). Tables, figures, JSON and data
frames iterate over ``METRICS``: to add a metric, register one object.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artaffect.metrics.bootstrap import TINY, bootstrap_sums

BINS = 15
"""Confidence bins of the expected calibration error (Guo et al. 2017)."""


@dataclass(frozen=True)
class Cells:
    """Values that are added up in one of ``width`` columns each."""

    column: np.ndarray
    """[n]."""
    width: int
    value: np.ndarray | None = None
    """[n]; ones if None."""


@dataclass(frozen=True)
class Metric:
    """A score of predicted distributions; call it with labels [n] and probabilities [n, k]."""

    name: str
    """Its key in results: an identifier."""
    heading: str
    """What tables and figures call it."""
    higher_is_better: bool
    terms: Callable[[np.ndarray, np.ndarray], np.ndarray | Sequence[Cells]]
    """From labels [n] and probabilities [n, k] to what is added up over rows: a value [n], or cells."""
    value: Callable[[np.ndarray], np.ndarray]
    """From sums [..., columns] to scores [...]. The first column is the number of rows."""
    headline: bool = True
    """Whether tables and figures show it; results always hold it."""
    meaning: str = ""
    """What it measures, for readers: a sentence without the final full stop."""

    def sums(
        self, labels: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
    ) -> np.ndarray:
        """Add up the terms of each artwork: [count, columns].

        Args:
            artworks: each row's artwork as an index below ``count`` [n].
        """
        terms = self.terms(labels, probabilities)
        first = np.zeros_like(labels)
        cells = [Cells(first, 1, terms)] if isinstance(terms, np.ndarray) else terms
        columns = [_add_up(part, artworks, count) for part in (Cells(first, 1), *cells)]
        return np.concatenate(columns, 1)

    def __call__(self, labels: np.ndarray, probabilities: np.ndarray) -> float:
        if len(labels) == 0:
            raise ValueError(f"{self.name} is undefined for no rows")
        sums = self.sums(labels, probabilities, np.zeros(len(labels), np.int64), 1)
        return float(self.value(sums[0]))


def _add_up(cells: Cells, rows: np.ndarray, count: int) -> np.ndarray:
    flat = np.bincount(rows * cells.width + cells.column, cells.value, count * cells.width)
    return flat.reshape(count, cells.width).astype(float)


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


def mean_of_rows(sums: np.ndarray) -> np.ndarray:
    """The mean over rows of a metric whose term is one value [...]."""
    return sums[..., 1] / np.maximum(sums[..., 0], TINY)


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, 0 to ``BINS - 1``; a confidence of 1 falls into the last one."""
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def _correct(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return (probabilities.argmax(1) == labels).astype(float)


def _given(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The probability given to each row's label [n]."""
    return probabilities[np.arange(len(labels)), labels]


def _surprise(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return -np.log(_given(labels, probabilities).clip(TINY))


def _squared_distance(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return np.square(probabilities).sum(1) - 2 * _given(labels, probabilities) + 1


def _f1_terms(labels: np.ndarray, probabilities: np.ndarray) -> list[Cells]:
    """True positives, predictions and labels of each class."""
    classes, top = probabilities.shape[1], probabilities.argmax(1)
    correct = _correct(labels, probabilities)
    return [Cells(labels, classes, correct), Cells(top, classes), Cells(labels, classes)]


def _f1(sums: np.ndarray) -> np.ndarray:
    true_positives, predicted, labelled = np.split(sums[..., 1:], 3, axis=-1)
    f1 = 2 * true_positives / np.maximum(predicted + labelled, TINY)
    present = (predicted + labelled) > 0
    return (f1 * present).sum(-1) / np.maximum(present.sum(-1), 1)


def _calibration_terms(labels: np.ndarray, probabilities: np.ndarray) -> list[Cells]:
    """Confidence and correct predictions of each bin."""
    confidence = _given(probabilities.argmax(1), probabilities)
    bins = confidence_bins(confidence)
    return [Cells(bins, BINS, confidence), Cells(bins, BINS, _correct(labels, probabilities))]


def _calibration_error(sums: np.ndarray) -> np.ndarray:
    confidence, correct = np.split(sums[..., 1:], 2, axis=-1)
    return np.abs(confidence - correct).sum(-1) / np.maximum(sums[..., 0], TINY)


accuracy = register_metric(
    Metric(
        "accuracy",
        "accuracy",
        True,
        _correct,
        mean_of_rows,
        meaning="the share of captions whose most probable label is the one that was given, 0 to 1",
    )
)
"""Share of rows whose most probable label is the true one, 0 to 1."""

macro_f1 = register_metric(
    Metric(
        "macro_f1",
        "macro-F1",
        True,
        _f1_terms,
        _f1,
        meaning="the mean over labels of F1, in which a rare label counts as much as a frequent one, 0 to 1",
    )
)
"""Mean F1 score over classes, 0 to 1; classes neither labelled nor predicted do not count."""

log_loss = register_metric(
    Metric(
        "log_loss",
        "log-loss",
        False,
        _surprise,
        mean_of_rows,
        meaning="how surprised the model is by the label that was given: the mean of minus the natural "
        "logarithm of the probability that it had; 0 would be certainty, and a confident error costs most",
    )
)
"""Mean of ``-ln`` of the probability given to the true label, in nats."""

expected_calibration_error = register_metric(
    Metric(
        "calibration_error",
        "calibration error",
        False,
        _calibration_terms,
        _calibration_error,
        meaning="how far confidence lies from the share of correct predictions, on average over 15 bins of "
        "confidence, 0 to 1",
    )
)
"""Mean gap between confidence and accuracy over 15 equal bins, 0 to 1 (Guo et al. 2017, eq. 3)."""

brier_score = register_metric(
    Metric(
        "brier",
        "Brier score",
        False,
        _squared_distance,
        mean_of_rows,
        headline=False,
        meaning="the squared distance between prediction and the label that was given, 0 to 2",
    )
)
"""Mean squared distance from the true label's corner of the simplex, 0 to 2 (Brier 1950)."""


def sum_by_artwork(
    predictions: Sequence[np.ndarray], labels: np.ndarray, artworks: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """The sums of every metric: name → [models, count, columns].

    Args:
        predictions: distributions [n, k] of each model.
        labels: true labels as indices [n].
        artworks: each row's artwork as an index below ``count`` [n].
    """
    return {
        name: np.stack([metric.sums(labels, p, artworks, count) for p in predictions])
        for name, metric in METRICS.items()
    }


def bootstrap_metrics(
    sums: Mapping[str, np.ndarray], n_resamples: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Each metric's values [models], and its values in each resample [models, n_resamples].

    A resample without rows is NaN, and so is every resample of a single artwork.

    Args:
        sums: for each metric [models, artworks, columns].
    """
    ends = np.cumsum([part.shape[-1] for part in sums.values()])[:-1]
    resampled: dict[str, list[np.ndarray]] = {name: [] for name in sums}
    rows = next(iter(sums.values()))[..., 0]
    several_artworks = ((rows > 0).sum(-1) > 1)[..., None]
    for block in bootstrap_sums(np.concatenate(list(sums.values()), -1), n_resamples):
        for name, part in zip(sums, np.split(block, ends, axis=-1), strict=True):
            is_defined = (part[..., 0] > 0) & several_artworks
            resampled[name].append(np.where(is_defined, METRICS[name].value(part), np.nan))
    exact = {name: METRICS[name].value(part.sum(-2)) for name, part in sums.items()}
    return exact, {name: np.concatenate(parts, -1) for name, parts in resampled.items()}


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
    return _add_up(Cells(probabilities.argmax(1), classes), labels, classes).astype(int)
