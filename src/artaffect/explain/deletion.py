"""The deletion test: take away what is said to matter first, and watch the answer fall.

After Petsiuk et al. 2018 (RISE). An attribution that finds what matters makes the answer fall faster than
taking away at random.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_RANDOM_ORDERS = 8
_STEPS = 7


@dataclass(frozen=True)
class Deletion:
    """How the answer falls."""

    removed: Sequence[float]
    """Shares of the input taken away, from 0 on."""
    by_weight: Sequence[float]
    """Probability of the explained emotion, what matters most taken away first."""
    at_random: Sequence[float]
    """The same, averaged over random orders."""

    @property
    def gain(self) -> float:
        """How much lower the first curve lies on average, in log-probability; above 0 is better."""
        return float(np.mean(np.log(self.at_random) - np.log(self.by_weight)))


def delete_patches(
    pixels: Tensor, heatmap: np.ndarray, answer: Callable[[Tensor], Tensor], patches: int = 7
) -> Deletion:
    """Cover patches of a picture with its mean colour.

    Args:
        pixels: float32 [1, 3, size, size].
        heatmap: float32 [size, size].
        answer: log-probabilities [n] of pictures [n, 3, size, size].
    """
    size = pixels.shape[-1]
    edges = np.linspace(0, size, patches + 1).astype(int)
    boxes = [
        (top, bottom, left, right)
        for top, bottom in zip(edges, edges[1:], strict=False)
        for left, right in zip(edges, edges[1:], strict=False)
    ]
    weights = np.array([heatmap[a:b, c:d].mean() for a, b, c, d in boxes])
    mean = pixels.mean((2, 3))[0][:, None, None]

    def without(gone: Sequence[int]) -> Tensor:
        covered = pixels[0].clone()
        for i in gone:
            top, bottom, left, right = boxes[i]
            covered[:, top:bottom, left:right] = mean
        return covered

    return _curves(weights, lambda parts: answer(torch.stack([without(gone) for gone in parts])))


def delete_words(
    weights: np.ndarray, answer: Callable[[Sequence[Sequence[int]]], Tensor]
) -> Deletion:
    """Take words out of a caption.

    Args:
        weights: of the words [n].
        answer: log-probabilities of the caption without the words of each list of positions.
    """
    return _curves(weights, answer)


@torch.no_grad()
def _curves(weights: np.ndarray, answer: Callable[[Sequence[Sequence[int]]], Tensor]) -> Deletion:
    count = len(weights)
    # the last step would leave nothing at all, which every order reaches
    steps = sorted({round(count * k / _STEPS) for k in range(_STEPS)})
    generator = np.random.default_rng(0)
    orders = [np.argsort(-weights, kind="stable")]
    orders += [generator.permutation(count) for _ in range(_RANDOM_ORDERS)]
    falls = [answer([order[:k].tolist() for k in steps]).double().numpy() for order in orders]
    return Deletion(
        removed=[k / count for k in steps],
        by_weight=np.exp(falls[0]).tolist(),
        at_random=np.exp(np.mean(falls[1:], axis=0)).tolist(),
    )
