"""What is learned from a batch: each task holds a model and its loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.models.classifier import EmotionHead
from artaffect.models.fusion import LinearFusion
from artaffect.training.trainer import Batch, StepOutput


class SoftLabelTask(nn.Module):
    """Learn the histogram of all votes on a painting, one for each culture.

    Batches hold ``features`` [n, d], ``culture`` [n] and ``votes`` [n, 9]. A painting with more
    votes weighs more. The penalty is that of ridge regression.
    """

    def __init__(self, head: EmotionHead, penalty: float = 0.0) -> None:
        super().__init__()
        self.head, self.penalty = head, penalty

    def forward(self, batch: Batch) -> StepOutput:
        logits = self.head(batch["features"], batch["culture"])
        votes = batch["votes"]
        fit = -(votes * F.log_softmax(logits, -1)).sum() / votes.sum()
        ridge = self.penalty * self.head.penalty()
        return StepOutput(fit + ridge, {"fit": fit, "ridge": ridge})


class ClassificationTask(nn.Module):
    """Learn each caption's own emotion.

    Batches hold ``features`` [n, d], ``culture`` [n] and ``emotion`` [n]. Some rows forget their
    culture, so that culture 0 learns to answer for the public as a whole.
    """

    def __init__(self, head: EmotionHead, penalty: float = 0.0, cultures: int = 0) -> None:
        super().__init__()
        self.head, self.penalty, self.cultures = head, penalty, cultures

    def forward(self, batch: Batch) -> StepOutput:
        culture = (
            forget_culture(batch["culture"], self.cultures) if self.training else batch["culture"]
        )
        logits = self.head(batch["features"], culture)
        fit = F.cross_entropy(logits, batch["emotion"])
        ridge = self.penalty * self.head.penalty()
        return StepOutput(fit + ridge, {"fit": fit, "ridge": ridge})


class FusionTask(nn.Module):
    """Learn to combine, with and without each modality.

    Batches hold ``image`` [n, d], ``caption`` [n, e], ``culture`` [n] and ``emotion`` [n]; both
    modalities are there, and ``modality_dropout`` of the rows lose one of them.
    """

    def __init__(self, fusion: LinearFusion, modality_dropout: float, cultures: int) -> None:
        super().__init__()
        self.fusion, self.modality_dropout, self.cultures = fusion, modality_dropout, cultures

    def forward(self, batch: Batch) -> StepOutput:
        culture = forget_culture(batch["culture"], self.cultures)
        present = torch.ones(len(culture), 2, dtype=torch.bool, device=culture.device)
        lose = torch.rand(len(culture), device=culture.device) < self.modality_dropout
        which = torch.randint(2, (len(culture),), device=culture.device)
        present[torch.arange(len(culture)), which] &= ~lose
        logits = self.fusion(batch["image"], batch["caption"], present, culture)
        return StepOutput(F.cross_entropy(logits, batch["emotion"]))


def forget_culture(culture: Tensor, cultures: int) -> Tensor:
    """Turn one row in ``cultures + 1`` into a row of the public as a whole."""
    if cultures < 1:
        return culture
    keep = torch.rand(culture.shape, device=culture.device) > 1 / (cultures + 1)
    return culture * keep
