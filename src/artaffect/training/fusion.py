"""Fit the linear combination.

A fusion fitted on the branches' training answers trusts them too much, which is why naive fusions
harm. Here every training painting is answered by branches that never saw it (stacking, Wolpert
1992), and the weights are fitted on those answers.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from artaffect.config import FusionConfig
from artaffect.features import AnnotationArrays
from artaffect.labels import EMOTIONS
from artaffect.models.fusion import FeatureFusion, LinearFusion, LogitFusion
from artaffect.training.batches import TensorRows
from artaffect.training.branches import CaptionBranch, ImageBranch
from artaffect.training.objectives import FusionTask
from artaffect.training.trainer import Trainer

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BranchLogits:
    """What the branches say about rows, for the row's culture and for the public as a whole."""

    image: Tensor
    """[2, n, 9]: first for the row's culture, then for culture 0."""
    caption: Tensor
    """[2, n, 9]."""


def fold_of_artwork(artworks: np.ndarray, folds: int, seed: int) -> Tensor:
    """A fold for each artwork, evenly filled: int64 [p]."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.permutation(np.arange(len(artworks)) % folds))


def out_of_fold_logits(
    image: ImageBranch, caption: CaptionBranch, train: AnnotationArrays, folds: int, seed: int
) -> BranchLogits:
    """Answers for each pictured training row, by branches that never saw its painting."""
    fold = fold_of_artwork(train.artwork_ids, folds, seed)
    pictured = train.select(train.has_image)
    size = (2, len(pictured), len(EMOTIONS))
    found = BranchLogits(torch.zeros(size), torch.zeros(size))
    for number in range(folds):
        rows = train.select(fold[train.artwork] != number)
        held_out = fold[pictured.artwork] == number
        asked = pictured.select(held_out)
        found.image[:, held_out] = image.logits(image.refit(rows.select(rows.has_image)), asked)
        found.caption[:, held_out] = caption.logits(caption.refit(rows), asked)
    return found


def log_prior(emotion: Tensor, culture: Tensor, cultures: int) -> Tensor:
    """Logarithm of each culture's distribution, the public as a whole first: [cultures + 1, 9].

    Args:
        emotion: each row's label [n].
        culture: each row's culture, from 1 [n].
    """
    counts = torch.ones(cultures + 1, len(EMOTIONS))
    counts.index_put_((culture, emotion), torch.ones(()), accumulate=True)
    counts[0] = counts.sum(0)
    return (counts / counts.sum(1, keepdim=True)).log()


def fit_linear_fusion(
    fusion: LinearFusion,
    config: FusionConfig,
    rows: AnnotationArrays,
    logits: BranchLogits,
    prior: Tensor,
    validate: Callable[[], Mapping[str, float]],
    seed: int = 0,
) -> float:
    """Fit a fusion on rows that have both modalities.

    Args:
        rows: pictured training rows.
        logits: the branches' out-of-fold answers for these rows.
        prior: see :func:`log_prior`.
        validate: scores the fusion as it stands.

    Returns:
        The best validation score.
    """
    if isinstance(fusion, LogitFusion):
        fusion.log_prior.copy_(prior)
        data = TensorRows(
            image=logits.image.flatten(0, 1),
            caption=logits.caption.flatten(0, 1),
            culture=torch.cat([rows.culture, torch.zeros_like(rows.culture)]),
            emotion=rows.emotion.repeat(2),
        )
        # with a modality missing there is nothing to weigh, and so nothing to learn
        task = FusionTask(fusion, modality_dropout=0.0, cultures=0)
        settings = config.logits
    elif isinstance(fusion, FeatureFusion):
        fusion.image_scaler.fit(rows.image[rows.artwork_has_image])
        fusion.caption_scaler.fit(rows.caption)
        data = TensorRows(
            shared={"image": (rows.image, rows.artwork)},
            caption=rows.caption,
            culture=rows.culture,
            emotion=rows.emotion,
        )
        known = fusion.settings()
        known_apart = max(known["cultures"], known["per_culture"])
        task = FusionTask(fusion, config.modality_dropout, known_apart)
        settings = config.features
    else:
        raise TypeError(f"unknown fusion {type(fusion).__name__}")
    return Trainer(settings, seed).fit(task, data, validate).best_score


def choose_fusion(
    config: FusionConfig,
    training: tuple[AnnotationArrays, BranchLogits],
    validation: tuple[AnnotationArrays, BranchLogits],
    cultures: int,
    n_cultures: int,
    seed: int,
) -> tuple[LinearFusion, dict[str, Any]]:
    """Fit every form that the settings allow; the best on validation stays.

    Args:
        training: pictured rows, and what branches that have not seen them say of them.
        validation: likewise.
        cultures: how many there are.
        n_cultures: how many the heads tell apart; weights per culture are tried where they do.

    Returns:
        The fusion, and each form's validation score as plain JSON.
    """
    (train, logits), (val, val_logits) = training, validation
    prior = log_prior(train.emotion, train.culture, cultures)
    if not n_cultures:  # what is blind to culture does not know its habit either
        prior = prior[:1].repeat(cultures + 1, 1)
    present = torch.ones(len(val), 2, dtype=torch.bool)
    said = (val_logits.image[0], val_logits.caption[0])
    features = (val.image[val.artwork], val.caption)

    def validate(fusion: LinearFusion) -> Mapping[str, float]:
        with torch.no_grad():
            inputs = said if isinstance(fusion, LogitFusion) else features
            found = F.cross_entropy(fusion(*inputs, present, val.culture), val.emotion)
        return {"log_loss": float(found)}

    torch.manual_seed(seed)
    candidates = _candidates(config, train, cultures, n_cultures)
    tried = {
        name: fit_linear_fusion(
            fusion,
            config,
            train,
            logits,
            prior,
            lambda fusion=fusion: validate(fusion),  # type: ignore[misc]
            seed,
        )
        for name, fusion in candidates.items()
    }
    chosen = min(tried, key=lambda name: tried[name])
    scores = ", ".join(f"{name} {score:.4f}" for name, score in tried.items())
    _logger.info(f"both: log-loss on validation {scores}")
    return candidates[chosen], {"chosen": chosen, "validation_log_loss": tried}


def _candidates(
    config: FusionConfig, rows: AnnotationArrays, cultures: int, n_cultures: int
) -> dict[str, LinearFusion]:
    weights = {"on": (True,), "off": (False,), "auto": (False, True) if n_cultures else (False,)}
    found: dict[str, LinearFusion] = {}
    for per_culture in weights[config.per_culture]:
        suffix = ", weights per culture" if per_culture else ""
        if config.form in ("auto", "logits"):
            found[f"logits{suffix}"] = LogitFusion(cultures, per_culture)
        if config.form in ("auto", "features"):
            widths = (rows.image.shape[1], rows.caption.shape[1])
            weighed = cultures if per_culture else 0
            found[f"features{suffix}"] = feature_fusion(config, widths, n_cultures, weighed)
    return found


def feature_fusion(
    config: FusionConfig, widths: tuple[int, int], cultures: int, per_culture: int
) -> FeatureFusion:
    """An untrained fusion of the feature form, for image and caption features of these widths."""
    return FeatureFusion(
        *widths, cultures, per_culture, config.latent, config.dropout, config.hidden
    )
