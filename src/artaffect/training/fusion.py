"""Fit the linear combination.

A fusion fitted on the branches' training answers trusts them too much, which is why naive fusions
harm. Here every training painting is answered by branches that never saw it (stacking, Wolpert
1992), and the weights are fitted on those answers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from artaffect.config import FusionConfig
from artaffect.inference.rows import FeatureRows
from artaffect.labels import EMOTIONS
from artaffect.models.fusion import FeatureFusion, LinearFusion, LogitFusion
from artaffect.training.branches import CaptionBranch, ImageBranch
from artaffect.training.tasks import FusionTask
from artaffect.training.trainer import TensorRows, Trainer


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
    image: ImageBranch, caption: CaptionBranch, train: FeatureRows, folds: int, seed: int
) -> BranchLogits:
    """Answers for each pictured training row, by branches that never saw its painting."""
    fold = fold_of_artwork(train.artworks, folds, seed)
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


def log_prior(rows: FeatureRows, cultures: int) -> Tensor:
    """Logarithm of each culture's training distribution, the public as a whole first: [k + 1, 9]."""
    counts = torch.ones(cultures + 1, len(EMOTIONS))
    counts.index_put_((rows.culture, rows.emotion), torch.ones(()), accumulate=True)
    counts[0] = counts.sum(0)
    return (counts / counts.sum(1, keepdim=True)).log()


def fit_linear_fusion(
    fusion: LinearFusion,
    config: FusionConfig,
    rows: FeatureRows,
    logits: BranchLogits,
    prior: Tensor,
    validate: Callable[[], float],
    seed: int = 0,
) -> float:
    """Fit a fusion on rows that have both modalities.

    Args:
        rows: pictured training rows.
        logits: the branches' out-of-fold answers for these rows.
        prior: see :func:`log_prior`.
        validate: scores the fusion as it stands, lower is better.

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
        fusion.standardise_image.fit(rows.image[rows.pictured])
        fusion.standardise_caption.fit(rows.caption)
        data = TensorRows(
            shared={"image": (rows.image, rows.artwork)},
            caption=rows.caption,
            culture=rows.culture,
            emotion=rows.emotion,
        )
        task = FusionTask(fusion, config.modality_dropout, fusion.settings()["cultures"])
        settings = config.features
    else:
        raise TypeError(f"unknown fusion {type(fusion).__name__}")
    return Trainer(settings, seed).fit(task, data, validate).best_score
