"""The deletion test: delete the most important parts of an input first, and watch the probability fall.

After RISE (Petsiuk et al. 2018). If an attribution is right, the probability falls faster than when
parts are deleted in random order.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor

_RANDOM_ORDERS = 8
_STEPS = 7
_BATCH = 8


@dataclass(frozen=True)
class DeletionCurves:
    """How the probability of the explained emotion falls."""

    removed: Sequence[float]
    """The share of the input that is deleted, starting at 0."""
    by_weight: Sequence[float]
    """Probability when the most important parts are deleted first."""
    at_random: Sequence[float]
    """Probability averaged over random orders."""
    random_low: Sequence[float] = ()
    """The lowest probability of any random order."""
    random_high: Sequence[float] = ()
    """The highest one."""

    @property
    def deletion_auc_gap(self) -> float:
        """The mean gap between the curves in log-probability; positive means faster than at random."""
        return float(np.mean(np.log(self.at_random) - np.log(self.by_weight)))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "deletion_auc_gap": self.deletion_auc_gap}


def delete_patches(
    pixels: Tensor, heatmap: np.ndarray, score: Callable[[Tensor], Tensor], patches: int = 7
) -> DeletionCurves:
    """Cover patches of an image with its mean colour.

    Args:
        pixels: float32 [1, 3, size, size].
        heatmap: float32 [size, size].
        score: log-probabilities [n] of images [n, 3, size, size].
        patches: per side.
    """
    size = pixels.shape[-1]
    edges = np.linspace(0, size, patches + 1).astype(int).tolist()
    boxes = list(product([slice(a, b) for a, b in pairwise(edges)], repeat=2))
    weights = np.array([heatmap[box].mean() for box in boxes])
    mean = pixels.mean((2, 3))[0][:, None, None]

    def without(deleted: Sequence[int]) -> Tensor:
        covered = pixels[0].clone()
        for i in deleted:
            covered[:, *boxes[i]] = mean
        return covered

    def score_parts(parts: Sequence[Sequence[int]]) -> Tensor:
        batches = (parts[i : i + _BATCH] for i in range(0, len(parts), _BATCH))
        return torch.cat([score(torch.stack([without(d) for d in batch])) for batch in batches])

    return delete_parts(weights, score_parts)


@torch.no_grad()
def delete_parts(
    weights: np.ndarray, score: Callable[[Sequence[Sequence[int]]], Tensor]
) -> DeletionCurves:
    """Delete parts of any input, such as the words of a caption.

    Args:
        weights: the importance of each part [n], with n at least 1.
        score: log-probabilities of the input without the parts of each list of indices; it is called
            once, with all of them.
    """
    count = len(weights)
    # nothing is left after the last step, whatever the order: leave it out
    steps = sorted({round(count * k / _STEPS) for k in range(_STEPS)})
    generator = np.random.default_rng(0)
    orders = [np.argsort(-weights, kind="stable")]
    orders += [generator.permutation(count) for _ in range(_RANDOM_ORDERS)]
    parts = [order[:k].tolist() for order in orders for k in steps]
    curves = score(parts).double().cpu().numpy().reshape(len(orders), len(steps))
    return DeletionCurves(
        removed=[k / count for k in steps],
        by_weight=np.exp(curves[0]).tolist(),
        at_random=np.exp(curves[1:].mean(0)).tolist(),
        random_low=np.exp(curves[1:].min(0)).tolist(),
        random_high=np.exp(curves[1:].max(0)).tolist(),
    )
