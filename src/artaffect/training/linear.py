"""Fit a linear head with a ridge penalty: its objective is convex, and so it needs no epochs."""

import torch
from torch import Tensor

from artaffect.models.heads import EmotionHead
from artaffect.training.objectives import log_probability_of_labels

_CHUNK = 16_384
"""Inputs whose logits are in memory at once."""


def fit_linear_head(
    head: EmotionHead,
    features: Tensor,
    votes: Tensor,
    penalty: float,
    partial: Tensor | None = None,
) -> float:
    """Minimise the mean of ``-ln`` of the probability of the votes, plus the penalty, in place.

    The method is L-BFGS on all rows (Liu and Nocedal 1989). The objective is convex unless labels are
    partial. Each bias has a normal prior around its initial value: a label that no row has stays possible.

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
    total = votes.sum()
    biases = [weight for weight in head.parameters() if weight.ndim == 1]
    start = [bias.detach().clone() for bias in biases]
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=300, tolerance_grad=1e-5, line_search_fn="strong_wolfe"
    )
    standardised = (features - head.scaler.mean).div_(head.scaler.scale)
    chunks = [slice(i, i + _CHUNK) for i in range(0, len(features), _CHUNK)]

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = penalty * head.penalty()
        for bias, first in zip(biases, start, strict=True):
            objective = objective + (bias - first).square().sum() / (2 * total)
        torch.autograd.backward(objective)
        for chunk in chunks:
            logits = head.linear_logits(standardised[chunk]).flatten(0, 1)
            known = log_probability_of_labels(logits, partial)
            loss = -(votes[chunk].flatten(0, 1) * known).sum() / total
            torch.autograd.backward(loss)
            objective = objective.detach() + loss.detach()
        return objective

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return float(closure())
