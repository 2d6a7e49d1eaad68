"""Subtask 2: the positive share of a painting in one language, from that in another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from artaffect.errors import NotFittedError
from artaffect.shared_task.items import PositiveVotes, ShareItems, check_languages
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.scorer import hierarchical_weights, score_shares

ShareModelName = Literal["majority", "copy", "prior", "blend", "regression"]

_LEAST = 0.02
"""Shares are held this far from 0 and 1 before their log-odds are taken: one vote in fifty."""

Expected = Mapping[tuple[str, str], float]
"""Painting and language → the positive share that a model expects from the picture."""


@dataclass
class ShareModel:
    """One way to answer subtask 2.

    - ``majority``: the share that most targets are nearest to, 1 or 0, whatever the painting.
    - ``copy``: no shift, the source's share.
    - ``prior``: the target language's share over all its votes.
    - ``blend``: ``w`` source + ``1 - w`` prior, with one ``w``.
    - ``regression``: log-odds of the target, linear in those of the source's share, of both languages'
      priors and, where given, of what a model expects of both languages from the picture.

    ``blend`` and ``regression`` are fitted on the task's own divergence with the task's own weights,
    and say nothing of single languages, so they answer pairs that were never seen together.
    """

    name: ShareModelName
    votes: PositiveVotes
    """Of the training paintings: they give the priors."""
    expected: Expected | None = None

    def fit(self, items: ShareItems) -> "ShareModel":
        """Learn from items with known shares."""
        if self.name in ("blend", "regression"):
            features = torch.from_numpy(self._features(items))
            start = torch.zeros(1) if self.name == "blend" else self._start(features.shape[1])
            self.coefficients_ = _minimise(
                lambda w: self._answer(features, w), start.double(), items
            )
        return self

    def predict(self, items: ShareItems) -> np.ndarray:
        """Positive shares [n].

        Raises:
            InputError: a target language, or a source language, has no votes in training.
            NotFittedError: it has yet to learn.
        """
        check_languages(
            [*items.targets, *items.sources], self.votes.languages, "the training table"
        )
        features = torch.from_numpy(self._features(items))
        source, prior = features[:, 0], features[:, 1]
        if self.name == "copy":
            return source.numpy()
        if self.name == "prior":
            return prior.numpy()
        if self.name == "majority":
            whole = self.votes.positive.sum() / self.votes.total.sum()
            return np.full(len(items), float(whole >= 0.5))
        if not hasattr(self, "coefficients_"):
            raise NotFittedError(f"the {self.name} model has yet to learn: call fit first")
        found: np.ndarray = self._answer(features, self.coefficients_).numpy()
        return found

    def describe(self) -> dict[str, Any]:
        """What was learned, as plain JSON."""
        if not hasattr(self, "coefficients_"):
            return {}
        if self.name == "blend":
            return {"weight of the source": float(torch.sigmoid(self.coefficients_[0]))}
        names = ["bias", "source", "target's prior", "source's prior"]
        names += ["picture, target", "picture, source"] if self.expected is not None else []
        return dict(zip(names, self.coefficients_.tolist(), strict=True))

    def _start(self, features: int) -> Tensor:
        """Begin from half the source and half the target's prior."""
        start = torch.zeros(features + 1)
        start[1:3] = 0.5
        return start

    def _answer(self, features: Tensor, weights: Tensor) -> Tensor:
        if self.name == "blend":
            share = torch.sigmoid(weights[0])
            return share * features[:, 0] + (1 - share) * features[:, 1]
        return torch.sigmoid(weights[0] + _log_odds(features) @ weights[1:])

    def _features(self, items: ShareItems) -> np.ndarray:
        """Source share, priors of target and source, and what the picture says of both: [n, 3 or 5]."""
        priors = self.votes.priors
        columns = [
            np.asarray(items.source_shares, float),
            np.array([priors.get(str(t).strip().lower(), np.nan) for t in items.targets]),
            np.array([priors.get(str(s).strip().lower(), np.nan) for s in items.sources]),
        ]
        if self.expected is not None:
            for languages, prior in ((items.targets, columns[1]), (items.sources, columns[2])):
                keys = zip(items.paintings, languages, strict=True)
                found = [
                    self.expected.get((str(p), str(x).strip().lower()), np.nan) for p, x in keys
                ]
                # a painting that cannot be seen says what the language usually says
                columns.append(np.where(np.isnan(found), prior, found))
        return np.stack(columns, 1)


def score_baselines(
    votes: PositiveVotes, train: ShareItems, asked: ShareItems, rules: SharedTaskRules
) -> dict[str, float]:
    """The divergence of every model that needs no pictures."""
    names: tuple[ShareModelName, ...] = ("majority", "copy", "prior", "blend", "regression")
    return {
        name: score_shares(
            asked, ShareModel(name, votes).fit(train).predict(asked), rules
        ).divergence
        for name in names
    }


def _log_odds(shares: Tensor) -> Tensor:
    return torch.logit(shares.clamp(_LEAST, 1 - _LEAST))


def _minimise(answer: Callable[[Tensor], Tensor], start: Tensor, items: ShareItems) -> Tensor:
    """Coefficients with the least weighted divergence from the items' shares."""
    if items.shares is None:
        raise ValueError("the items have no true shares to learn from")
    truth = torch.from_numpy(items.shares)
    weights = torch.from_numpy(hierarchical_weights(items))
    coefficients = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([coefficients], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (weights * _divergence(truth, answer(coefficients))).sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return coefficients.detach()


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence, base 2, between positive shares, with a gradient everywhere."""

    def entropy(x: Tensor) -> Tensor:
        x = x.clamp(1e-9, 1 - 1e-9)
        return -(x * x.log2() + (1 - x) * (1 - x).log2())

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
