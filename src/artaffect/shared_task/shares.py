"""Subtask 2: predict an artwork's positive share in one language from its share in another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, NotFittedError, UnknownNameError
from artaffect.features import encode_images
from artaffect.models.checkpoint import load_model
from artaffect.models.hub import resolve_run
from artaffect.shared_task.emotions import culture_index
from artaffect.shared_task.images import find_images, report_unusable
from artaffect.shared_task.items import PositiveVotes, ShareItems
from artaffect.shared_task.rules import SharedTaskRules, label_indices
from artaffect.shared_task.scorer import hierarchical_weights, score_shares

ShareModelName = Literal["majority", "copy", "prior", "blend", "regression"]

ImageShares = Mapping[tuple[str, str], float]
"""(artwork, language) → the positive share that a model predicts from the image."""

_MARGIN = 0.02
"""Shares stay this far from 0 and 1, one vote in fifty, before their log-odds are taken."""


@dataclass
class ShareModel:
    """A model of the target language's positive share.

    - ``majority``: 1 or 0, whichever most training votes are, for every artwork.
    - ``copy``: the source's share.
    - ``prior``: the target language's share over all its training votes.
    - ``blend``: a weighted mean of ``copy`` and ``prior`` with one weight.
    - ``regression``: a regression of the target's log-odds on the log-odds of the source's share, of
      both languages' priors and, if given, of the shares predicted from the image.

    ``blend`` and ``regression`` minimise the task's own divergence with its own weights. They have no
    parameters for single languages, so they also cover pairs that never occur together in training.
    """

    name: ShareModelName
    votes: PositiveVotes
    """Votes on the training artworks, which give the priors."""
    image_shares: ImageShares | None = None

    def fit(self, items: ShareItems) -> "ShareModel":
        """Fit to items with known target shares; only the last two models have anything to fit."""
        if self.name in ("blend", "regression"):
            features = torch.from_numpy(self._features(items))
            initial = torch.zeros(1)
            if self.name == "regression":  # half the source's share, half the target's prior
                initial = torch.zeros(features.shape[1] + 1)
                initial[1:3] = 0.5
            self.weights_ = _minimize_divergence(partial(self._combine, features), initial, items)
        return self

    def predict(self, items: ShareItems) -> np.ndarray:
        """Predict positive shares [n].

        Raises:
            InputError: A source or target language has no votes in training.
            NotFittedError: The model has not been fitted.
        """
        features = self._features(items)
        if self.name in ("copy", "prior"):
            return features[:, 0 if self.name == "copy" else 1]
        if self.name == "majority":
            share = self.votes.positive.sum() / self.votes.total.sum()
            return np.full(len(items), float(share >= 0.5))
        if not hasattr(self, "weights_"):
            raise NotFittedError(f"the {self.name} model is not fitted: call fit first")
        return self._combine(torch.from_numpy(features), self.weights_).numpy()

    @property
    def coefficients(self) -> dict[str, float]:
        """The fitted coefficients by name; empty if there are none."""
        if not hasattr(self, "weights_"):
            return {}
        if self.name == "blend":
            return {"source_weight": float(torch.sigmoid(self.weights_[0]))}
        names = ["bias", "source_share", "target_prior", "source_prior"]
        names += ["target_image", "source_image"] if self.image_shares is not None else []
        return dict(zip(names, self.weights_.tolist(), strict=True))

    def _combine(self, features: Tensor, weights: Tensor) -> Tensor:
        if self.name == "blend":
            source_weight = torch.sigmoid(weights[0])
            return source_weight * features[:, 0] + (1 - source_weight) * features[:, 1]
        log_odds = torch.logit(features.clamp(_MARGIN, 1 - _MARGIN))
        return torch.sigmoid(weights[0] + log_odds @ weights[1:])

    def _features(self, items: ShareItems) -> np.ndarray:
        """The source's share, the priors of target and source, and their image shares: [n, 3 or 5]."""
        priors = self.votes.priors
        for name in (*items.targets, *items.sources):
            if name.strip().lower() not in priors:
                known = ", ".join(sorted(priors))
                raise InputError(f"the training table has no votes in {name!r}; it has {known}")
        languages = [
            [name.strip().lower() for name in names] for names in (items.targets, items.sources)
        ]
        columns = [items.source_shares, *([priors[name] for name in names] for names in languages)]
        if self.image_shares is not None:
            for names in languages:
                keys = zip(items.artworks, names, strict=True)
                # a missing image is imputed with the language's prior
                columns.append([self.image_shares.get(key, priors[key[1]]) for key in keys])
        return np.array(columns, float).T


def predict_shares(
    table: AnnotationTable,
    items: ShareItems,
    rules: SharedTaskRules,
    model: str = "regression",
    run: str | Path | None = None,
    images: Path | None = None,
    cache: Path | None = None,
) -> tuple[np.ndarray, dict[str, float]]:
    """Fit a model on a table and predict the items' target shares.

    Args:
        table: The training split gives the priors.
        run: A model folder or ``hf:OWNER/MODEL`` whose predictions from ``images`` join the regression.

    Returns:
        Positive shares [n], and the fitted coefficients.

    Raises:
        UnknownNameError: There is no model of this name.
        InputError: A language has no votes, no artwork has an image, the run does not use images, or
            ``run`` lacks ``images`` or joins another model.
    """
    if model not in get_args(ShareModelName):
        raise UnknownNameError("model", model, get_args(ShareModelName))
    if run is not None and (model != "regression" or images is None):
        raise InputError("--run works with the model regression only, and needs --images")
    votes = PositiveVotes.from_table(table.of_split("train"), rules)
    # the run has memorised its training artworks, so only others show what its predictions are worth
    fit_on = votes if run is None else PositiveVotes.from_table(table.of_split("val"), rules)
    training_items = fit_on.to_items(rules)
    image_shares = None
    if run is not None and images is not None:
        names = list(dict.fromkeys([*items.artworks, *training_items.artworks]))
        image_shares = _predict_image_shares(run, images, names, votes.languages, rules, cache)
    fitted = ShareModel(model, votes, image_shares).fit(training_items)  # type: ignore[arg-type]
    return fitted.predict(items), fitted.coefficients


def score_share_baselines(
    table: AnnotationTable, split: str, rules: SharedTaskRules
) -> dict[str, float]:
    """The divergence on a split of every model that needs no images, fitted on the training split."""
    votes = PositiveVotes.from_table(table.of_split("train"), rules)
    items = PositiveVotes.from_table(table.of_split(split), rules).to_items(rules)
    training_items = votes.to_items(rules)
    scores = {}
    for name in get_args(ShareModelName):
        predictions = ShareModel(name, votes).fit(training_items).predict(items)
        scores[name] = score_shares(items, predictions, rules).divergence
    return scores


def _predict_image_shares(
    run: str | Path,
    images: Path,
    names: Sequence[str],
    languages: Sequence[str],
    rules: SharedTaskRules,
    cache: Path | None,
) -> ImageShares:
    """Predict the positive share of every artwork and language from the image, if it is readable."""
    files = find_images(images, names)
    model = load_model(resolve_run(run))
    image_encoder, text_encoder = model.encoders
    if image_encoder is None:
        raise InputError(f"{run} does not use images")
    values, usable, unreadable = encode_images(list(files.values()), image_encoder, cache)
    report_unusable(names, files, unreadable, "for these artworks, the languages' priors are used")
    artworks = [name for name, keep in zip(files, usable, strict=True) if keep]
    features = torch.from_numpy(values[usable])
    captions = torch.zeros(len(artworks), text_encoder.feature_dim if text_encoder else 0)
    present = torch.tensor([[True, False]]).expand(len(artworks), 2)
    shares: dict[tuple[str, str], float] = {}
    for language in languages:
        culture = torch.full((len(artworks),), culture_index(model, language))
        probabilities = model.answer(features, captions, present, culture)[0].numpy()
        positive = probabilities[:, label_indices(rules.positive, model.labels)].sum(1)
        negative = probabilities[:, label_indices(rules.negative, model.labels)].sum(1)
        positive_shares = positive / np.maximum(positive + negative, 1e-12)
        shares |= {(a, language): float(p) for a, p in zip(artworks, positive_shares, strict=True)}
    return shares


def _minimize_divergence(
    predict: Callable[[Tensor], Tensor], initial: Tensor, items: ShareItems
) -> Tensor:
    """The weights whose predictions have the smallest weighted divergence from the true shares."""
    if items.target_shares is None:
        raise ValueError("the items have no true shares to learn from")
    truth = torch.from_numpy(items.target_shares)
    item_weights = torch.from_numpy(hierarchical_weights(items))
    weights = initial.double().requires_grad_()
    optimizer = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (item_weights * _divergence(truth, predict(weights))).sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach()


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence, base 2, between positive shares [n], with a gradient everywhere."""

    def entropy(x: Tensor) -> Tensor:
        x = x.clamp(1e-9, 1 - 1e-9)
        return -(x * x.log2() + (1 - x) * (1 - x).log2())

    return entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
