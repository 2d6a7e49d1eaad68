"""Precision, recall and F1 of each label, from counts of labels and predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelScores:
    """How well one label is predicted."""

    label: str
    precision: float
    """Share of the rows predicted to have the label that have it; NaN if there are none."""
    recall: float
    """Share of the rows with the label that are predicted to have it; NaN if there are none."""
    f1: float
    """The harmonic mean of the two; NaN if the label is neither given nor predicted."""
    support: int
    """Rows with the label."""
    predicted: int
    """Rows predicted to have it."""


def label_scores(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> list[LabelScores]:
    """Score each label.

    Args:
        confusion: counts [k, k], true labels in rows and predicted labels in columns.
        labels: their names, in the same order.

    Raises:
        ValueError: the sizes do not match.
    """
    counts = np.asarray(confusion, float)
    if counts.shape != (len(labels), len(labels)):
        raise ValueError(f"expected counts [{len(labels)}, {len(labels)}], got {counts.shape}")
    correct, support, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN: there is no such share
        precision, recall = correct / predicted, correct / support
        f1 = 2 * correct / (support + predicted)
    return [
        LabelScores(
            name,
            float(precision[i]),
            float(recall[i]),
            float(f1[i]),
            int(support[i]),
            int(predicted[i]),
        )
        for i, name in enumerate(labels)
    ]
