"""Scores of predicted emotions, as pure functions on arrays.

Every score here is a function of sums over captions. Sums are kept per artwork, because captions of
one painting depend on each other: drawing paintings with replacement and adding up their sums gives
the interval of any score, and of any difference between two models, at the price of one matrix product.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

BINS = 15
"""Confidence bins of the expected calibration error (Guo et al. 2017)."""

METRICS = ("accuracy", "macro_f1", "log_loss", "brier", "calibration_error")
SEED = 0
"""Of the bootstrap: all models, and all runs, meet the same n_resamples."""

_TINY = 1e-12


@dataclass(frozen=True)
class Score:
    """A value and its 95 % interval by bootstrap over paintings."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, drawn: np.ndarray) -> "Score":
        """A value, and what it was in each draw."""
        low, high = np.quantile(drawn, [0.025, 0.975])
        return cls(float(value), float(low), float(high))


def sum_by_artwork(
    emotions: np.ndarray, probabilities: np.ndarray, artworks: np.ndarray, count: int
) -> np.ndarray:
    """Add up, per artwork, what all scores are made of.

    Args:
        emotions: true labels as indices [n].
        probabilities: predicted distributions [n, k].
        artworks: the row's artwork as an index below ``count`` [n].

    Returns:
        float64 [count, 4 + 2 * BINS + 3 * k]: rows, right answers, log-loss, Brier score; confidence
        and right answers per bin; true positives, predictions and labels per class.
    """
    classes = probabilities.shape[1]
    answers = probabilities.argmax(1)
    confidence = probabilities[np.arange(len(emotions)), answers]
    right = (answers == emotions).astype(float)
    given = probabilities[np.arange(len(emotions)), emotions]
    loss = -np.log(given.clip(_TINY))
    brier = np.square(probabilities).sum(1) - 2 * given + 1
    bins = confidence_bins(confidence)
    simple = (np.ones_like(right), right, loss, brier)
    columns = [
        np.stack([np.bincount(artworks, w, count) for w in simple], 1),
        _bincount_2d(artworks, bins, confidence, count, BINS),
        _bincount_2d(artworks, bins, right, count, BINS),
        _bincount_2d(artworks, emotions, right, count, classes),
        _bincount_2d(artworks, answers, None, count, classes),
        _bincount_2d(artworks, emotions, None, count, classes),
    ]
    return np.concatenate(columns, 1)


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence, 0 to ``BINS - 1``; certainty falls into the last one."""
    bins: np.ndarray = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return bins


def scores_of_sums(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric from added-up sums [..., columns]; the leading axes stay."""
    rows = np.maximum(sums[..., 0], _TINY)
    confidence, right, classes = np.split(sums[..., 4:], [BINS, 2 * BINS], axis=-1)
    hit, said, true = np.split(classes, 3, axis=-1)
    f1 = 2 * hit / np.maximum(said + true, _TINY)
    present = (said + true) > 0
    return {
        "accuracy": sums[..., 1] / rows,
        "macro_f1": (f1 * present).sum(-1) / np.maximum(present.sum(-1), 1),
        "log_loss": sums[..., 2] / rows,
        "brier": sums[..., 3] / rows,
        "calibration_error": np.abs(confidence - right).sum(-1) / rows,
    }


def accuracy(emotions: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of rows whose most probable emotion is the label: 0 to 1."""
    return _score("accuracy", emotions, probabilities)


def macro_f1(emotions: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over classes of the F1 score, 0 to 1; a class neither labelled nor answered is left out."""
    return _score("macro_f1", emotions, probabilities)


def log_loss(emotions: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of ``-ln`` of the probability given to the label, in nats."""
    return _score("log_loss", emotions, probabilities)


def brier_score(emotions: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean squared distance from the label's corner of the simplex, 0 to 2 (Brier 1950)."""
    return _score("brier", emotions, probabilities)


def expected_calibration_error(emotions: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins, 0 to 1 (Guo et al. 2017, eq. 3)."""
    return _score("calibration_error", emotions, probabilities)


def hamming_accuracy(felt: np.ndarray, predicted: np.ndarray) -> float:
    """Share of right bits over paintings and emotions: the metric that the MVIP 2024 paper reports.

    Args:
        felt: whether any annotator of the painting chose the emotion: bool [paintings, k].
        predicted: the same, as predicted.
    """
    return float((felt == predicted).mean())


def bootstrap_sums(sums: np.ndarray, n_resamples: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Sums over paintings drawn with replacement.

    Args:
        sums: per artwork, for one model or several: [..., artworks, columns].

    Yields:
        Blocks [..., block size, columns], ``n_resamples`` in all. All models share the resamples, so
        the difference of two models is paired.
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


def ratio_scores(totals: np.ndarray, counts: np.ndarray, n_resamples: int = 1000) -> list[Score]:
    """Means over all paintings of what each adds up to: one for each column.

    Args:
        totals: sum of the values of each painting [p, m].
        counts: how many values that are [p, m].
    """
    width = totals.shape[1]
    blocks = bootstrap_sums(np.concatenate([totals, counts], 1), n_resamples, SEED)
    drawn = np.concatenate(list(blocks))
    exact = np.concatenate([totals, counts], 1).sum(0)
    means = drawn[:, :width] / np.maximum(drawn[:, width:], _TINY)
    return [Score.of(exact[i] / max(exact[width + i], _TINY), means[:, i]) for i in range(width)]


def confusion(emotions: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Counts [k, k]: rows are labels, columns answers."""
    classes = probabilities.shape[1]
    return _bincount_2d(emotions, probabilities.argmax(1), None, classes, classes).astype(int)


def _score(name: str, emotions: np.ndarray, probabilities: np.ndarray) -> float:
    if len(emotions) == 0:
        raise ValueError(f"{name} of no rows is undefined")
    sums = sum_by_artwork(emotions, probabilities, np.zeros(len(emotions), int), 1)
    return float(scores_of_sums(sums.sum(0))[name])


def _bincount_2d(
    rows: np.ndarray, columns: np.ndarray, weights: np.ndarray | None, height: int, width: int
) -> np.ndarray:
    flat = np.bincount(rows * width + columns, weights, height * width)
    return flat.reshape(height, width).astype(float)
