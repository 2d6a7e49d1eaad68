"""Fit a linear head with a ridge penalty: its objective is convex, and so it needs no epochs."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.models.heads import EmotionHead
from artaffect.training.objectives import log_likelihood

_CHUNK = 16_384
"""Inputs whose logits are in memory at once."""
_CURVATURE = 0.1
"""About the second derivative of the loss by a logit. Each direction is scaled by the curvature that
follows from it, so that all are about equally steep and few steps are needed."""


def fit_linear_head(
    head: EmotionHead,
    features: Tensor,
    votes: Tensor,
    penalty: float,
    partial: Tensor | None = None,
) -> float:
    """Minimise the mean of ``-ln`` of the probability of the votes, plus the penalty, in place.

    The method is L-BFGS on all rows (Liu and Nocedal 1989), for few inputs along their principal axes. The
    objective is convex unless labels are partial. Each bias has a normal prior around its initial value: a
    label that no row has stays possible. An embedding of cultures is fitted by way of the bias that it gives
    each of them.

    Args:
        head: without hidden layers, as :meth:`EmotionHead.initialize_from` leaves it.
        features: of the distinct inputs [q, d].
        votes: how often each label, or set of labels, was chosen for an input, in each culture, all cultures
            first: [q, cultures + 1, k + s].
        penalty: that of ridge regression, above 0.
        partial: which labels each set holds: bool [s, k].

    Returns:
        The objective at the end.
    """
    standardised = (features - head.scaler.mean).div_(head.scaler.scale)
    if head.embedding is not None:
        return _fit_embedding(head, standardised, votes, penalty, partial)
    return _fit(head, standardised, votes, penalty, partial)


class _SharedMap(nn.Module):
    """A linear map for all cultures, with a bias for each: what an embedding of cultures amounts to."""

    def __init__(self, head: EmotionHead) -> None:
        super().__init__()
        self.weight = nn.Parameter(head.shared.weight.detach().clone())
        self.bias = nn.Parameter(head.shared.bias.detach().clone())
        self.culture_bias = nn.Parameter(torch.zeros((head.settings["cultures"] + 1) * head.labels))

    def linear_logits(self, standardised: Tensor) -> Tensor:
        """As :meth:`EmotionHead.linear_logits`."""
        logits = F.linear(standardised, self.weight, self.bias)
        return logits[:, None] + self.culture_bias.view(-1, len(self.bias))


def _fit_embedding(
    head: EmotionHead, standardised: Tensor, votes: Tensor, penalty: float, partial: Tensor | None
) -> float:
    """As :func:`fit_linear_head`, for a head with an embedding and standardised features [q, d]."""
    assert head.embedding is not None
    fitted = _SharedMap(head)
    objective = _fit(fitted, standardised, votes, penalty, partial)
    # the weights of all labels sum to zero, as do the biases of a culture: the rank is one less than k
    inverse = torch.linalg.pinv(fitted.weight.detach().double(), rtol=1e-4)
    with torch.no_grad():
        head.embedding.weight.copy_(fitted.culture_bias.view(-1, head.labels).double() @ inverse.T)
        head.shared.weight.copy_(fitted.weight)
        head.shared.bias.copy_(fitted.bias)
    return objective


def _fit(
    head: EmotionHead | _SharedMap,
    standardised: Tensor,
    votes: Tensor,
    penalty: float,
    partial: Tensor | None,
) -> float:
    """As :func:`fit_linear_head`, for a head without an embedding and standardised features [q, d]."""
    inputs, width = standardised.shape
    if 4 * inputs > width:
        return _minimise(head, standardised, votes, penalty, torch.ones(width), partial)
    # the best weights lie in the span of the inputs (Kimeldorf and Wahba 1971): few inputs need few numbers
    rows = votes.sum((1, 2))
    weighted = standardised * (rows / rows.sum()).sqrt()[:, None]
    _, deviations, directions = torch.linalg.svd(weighted, full_matrices=False)
    basis = directions.T
    scale = (_CURVATURE * deviations.square() + 2 * penalty).rsqrt()
    axes = basis * scale
    fitted = deepcopy(head)
    for whole, weight in zip(head.parameters(), fitted.parameters(), strict=True):
        if whole.ndim == 2:
            weight.data = whole.detach() @ basis / scale
    objective = _minimise(fitted, standardised @ axes, votes, penalty, scale, partial)
    with torch.no_grad():
        for whole, weight in zip(head.parameters(), fitted.parameters(), strict=True):
            whole.copy_(weight @ axes.T if whole.ndim == 2 else weight)
    return objective


def _minimise(
    head: EmotionHead | _SharedMap,
    inputs: Tensor,
    votes: Tensor,
    penalty: float,
    scale: Tensor,
    partial: Tensor | None,
) -> float:
    """As :func:`fit_linear_head`, for weights that are divided by ``scale`` [r] and inputs [q, r]."""
    total = votes.sum()
    matrices = [weight for weight in head.parameters() if weight.ndim == 2]
    biases = [weight for weight in head.parameters() if weight.ndim == 1]
    start = [bias.detach().clone() for bias in biases]
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=300, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )
    chunks = []
    for i in range(0, len(inputs), _CHUNK):
        counts = votes[i : i + _CHUNK].flatten(0, 1)
        given = counts.any(1).nonzero().squeeze(1)  # most inputs have votes of few cultures
        chunks.append((inputs[i : i + _CHUNK], given, counts[given]))

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = penalty * torch.stack([(m * scale).square().sum() for m in matrices]).sum()
        for bias, first in zip(biases, start, strict=True):
            objective = objective + (bias - first).square().sum() / (2 * total)
        torch.autograd.backward(objective)
        for some, given, counts in chunks:
            logits = head.linear_logits(some).flatten(0, 1)[given]
            loss = -log_likelihood(logits, counts, partial) / total
            torch.autograd.backward(loss)
            objective = objective.detach() + loss.detach()
        return objective

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(closure())
