"""Fit the weights of a combination to predictions for artworks that its parts have not learned from."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from artaffect.errors import TableError
from artaffect.features import AnnotationArrays
from artaffect.metrics.partial import spread_counts
from artaffect.models.fusion import LinearFusion
from artaffect.training.objectives import label_loss

_DEVIATION = 0.5
"""Standard deviation of the normal prior of a weight around its initial value."""


def check_folds(folds: int, artworks: int) -> None:
    """Raise a TableError if there are fewer training artworks with an image than folds."""
    if artworks < folds:
        raise TableError(
            f"folds = {folds} needs at least {folds} training artworks with an image that can be read, "
            f"the table has {artworks}: set folds to {max(artworks, 2)}, or import more artworks"
        )


def fold_of_artwork(artworks: np.ndarray, folds: int, seed: int) -> Tensor:
    """A fold for each artwork, in folds of equal size: int64 [p]."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.permutation(np.arange(len(artworks)) % folds))


def divide(
    rows: AnnotationArrays, folds: int, seed: int
) -> Iterator[tuple[AnnotationArrays, AnnotationArrays]]:
    """For each fold of the artworks, the other rows and those of the fold; fewer folds for few artworks.

    Raises:
        TableError: the rows are of one artwork.
    """
    artworks, index = torch.unique(rows.artwork, return_inverse=True)
    folds = min(folds, len(artworks))
    check_folds(2, folds)
    fold = fold_of_artwork(artworks.numpy(), folds, seed)[index]
    for number in range(folds):
        yield rows.select(fold != number), rows.select(fold == number)


def log_prior(
    emotion: Tensor,
    culture: Tensor,
    cultures: int,
    labels: int,
    blind: bool,
    partial: Tensor | None = None,
) -> Tensor:
    """Log of each culture's distribution, all cultures first: [cultures + 1, k].

    Rows have labels [n] and cultures from 1 [n]; ``blind`` gives every culture the distribution of all.
    ``partial`` holds the sets that partial labels stand for: bool [s, k].
    """
    sets = np.zeros((0, labels), bool) if partial is None else partial.numpy()
    targets = torch.zeros(cultures + 1, labels + len(sets))
    targets.index_put_((culture, emotion), torch.ones(()), accumulate=True)
    counts = 1 + torch.from_numpy(spread_counts(targets.numpy(), sets)).float()
    counts[0] = counts.sum(0)
    prior = (counts / counts.sum(1, keepdim=True)).log()
    return prior[:1].repeat(cultures + 1, 1) if blind else prior


def fit_weights(
    combination: LinearFusion,
    inputs: Sequence[Tensor],
    culture: Tensor,
    emotion: Tensor,
    partial: Tensor | None = None,
    views: int = 1,
    deviation: float = _DEVIATION,
) -> float:
    """Fit a combination in place by maximum a posteriori.

    The prior of each weight is normal around its initial value, so that few rows move it little. The negative
    log-posterior is convex unless labels are partial.

    Args:
        inputs: logits of each source [n, k], for rows that it has not learned from.
        culture: indices [n].
        emotion: labels [n], or the positions of sets, see :func:`label_loss`.
        views: rows that stand for one annotation, such as one with its culture and one without.
        deviation: that of the prior.

    Returns:
        The negative log-posterior of a row at the end.
    """
    start = [weight.detach().clone() for weight in combination.parameters()]
    present = torch.ones(len(culture), len(inputs), dtype=torch.bool)
    optimizer = torch.optim.LBFGS(
        combination.parameters(), max_iter=200, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )
    precision = views / (2 * deviation**2 * len(culture))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = label_loss(combination(inputs, present, culture), emotion, partial)
        for weight, first in zip(combination.parameters(), start, strict=True):
            loss = loss + precision * (weight - first).square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(closure().detach())
