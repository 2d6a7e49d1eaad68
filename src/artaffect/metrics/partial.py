"""Partial labels: a row's label is one of several, and it is unknown which (Cour et al. 2011)."""

from collections.abc import Mapping

import numpy as np

from artaffect.metrics.bootstrap import TINY, Estimate, ratio_estimates
from artaffect.metrics.classification import accuracy, macro_f1

_STEPS = 100


def spread_counts(counts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Counts of labels, where those of each set of candidates are spread over its labels.

    A set's count is spread in proportion to how frequent its labels are, by expectation maximisation
    (Dempster et al. 1977).

    Args:
        counts: counts of each label, then of each set of candidates [..., k + s].
        candidates: which labels each set holds: bool [s, k].

    Returns:
        float64 [..., k]; rows keep their sum.
    """
    size = candidates.shape[1]
    exact, partial = counts[..., :size].astype(float), counts[..., size:].astype(float)
    if not partial.any():
        return exact
    spread = exact + 1 / size  # a label that no row has by itself can still be one of several
    for _ in range(_STEPS):
        shares = spread[..., None, :] * candidates
        shares /= np.maximum(shares.sum(-1, keepdims=True), TINY)
        spread = exact + (partial[..., None] * shares).sum(-2)
    return spread


def allowed_labels(labels: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Which labels can be each row's own: bool [n, k].

    Args:
        labels: a label, or ``k`` plus the position of a set in ``candidates`` (bool [s, k]): [n].
    """
    return np.concatenate([np.eye(candidates.shape[1], dtype=bool), candidates])[labels]


def validation_scores(
    labels: np.ndarray, probabilities: np.ndarray, candidates: np.ndarray
) -> dict[str, float]:
    """The scores by which training chooses, for labels [n] and distributions [n, k].

    A partial label counts as the most probable label of its set, one of ``candidates`` (bool [s, k]);
    the log-loss takes the probability of the whole set.
    """
    allowed = allowed_labels(labels, candidates)
    label = np.where(allowed, probabilities, -1).argmax(1)
    return {
        "log_loss": float(_surprise(probabilities, allowed).mean()),
        "accuracy": accuracy(label, probabilities),
        "macro_f1": macro_f1(label, probabilities),
    }


def score_partial_labels(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    candidates: np.ndarray,
    artworks: np.ndarray,
) -> dict[str, dict[str, Estimate]]:
    """Score distributions [n, k] for rows of which only a set of labels is known.

    Args:
        predictions: for each model, distributions [n, k].
        labels: ``k`` plus the position of each row's set in ``candidates`` (bool [s, k]): [n].
        artworks: any value that identifies the row's artwork [n].

    Returns:
        Model → ``log_loss``, the mean of ``-ln`` of the probability of the set, in nats, and
        ``accuracy``, the share of rows whose most probable label is in the set; with intervals by
        bootstrap over artworks.
    """
    allowed = allowed_labels(labels, candidates)
    _, codes = np.unique(artworks, return_inverse=True)
    rows = np.bincount(codes)[:, None]
    scores = {}
    for name, probabilities in predictions.items():
        is_correct = np.take_along_axis(allowed, probabilities.argmax(1)[:, None], 1)[:, 0]
        terms = (_surprise(probabilities, allowed), is_correct)
        totals = [np.bincount(codes, values) for values in terms]
        estimates = ratio_estimates(np.stack(totals, 1), rows)
        scores[name] = dict(zip(("log_loss", "accuracy"), estimates, strict=True))
    return scores


def _surprise(probabilities: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """``-ln`` of the probability of the allowed labels of each row: [n]."""
    return -np.log((probabilities * allowed).sum(1).clip(TINY))
