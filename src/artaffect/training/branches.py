"""The two branches on frozen features: how each head is fitted, and what was chosen on the way."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.config import BranchConfig
from artaffect.errors import NotFittedError
from artaffect.features import AnnotationArrays
from artaffect.labels import EMOTIONS
from artaffect.models.heads import EmotionHead
from artaffect.training.batches import TensorRows
from artaffect.training.objectives import ClassificationTask, SoftLabelTask
from artaffect.training.trainer import FitResult, Trainer

_CHUNK = 65_536


class Branch:
    """One modality: an encoder's features, and a head on them."""

    def __init__(
        self,
        config: BranchConfig,
        feature_dim: int,
        cultures: int,
        seed: int,
        culture_input: str = "head",
    ) -> None:
        """Prepare a branch.

        Args:
            feature_dim: width of the features.
            cultures: how many cultures the head tells apart; 0 makes it blind to culture.
        """
        self.config = config
        self.cultures = cultures
        self.seed = seed
        self.arguments: Mapping[str, Any] = {
            "feature_dim": feature_dim,
            "cultures": cultures,
            "hidden": config.hidden,
            "dropout": config.dropout,
            "culture_input": culture_input,
        }
        """What :class:`EmotionHead` is made with."""

    def features(self, rows: AnnotationArrays) -> Tensor:
        """The branch's features of each row: [n, feature_dim]."""
        raise NotImplementedError

    def training_data(self, rows: AnnotationArrays) -> TensorRows:
        """What the head learns from; holds ``features`` among others."""
        raise NotImplementedError

    def task(self, head: EmotionHead, penalty: float) -> nn.Module:
        """The head with its loss."""
        raise NotImplementedError

    def fit(self, train: AnnotationArrays, val: AnnotationArrays) -> EmotionHead:
        """Train with every penalty; keep the penalty and the epoch that score best on validation."""
        found = [self._train(train, penalty, val) for penalty in self.config.penalty]
        best = min(range(len(found)), key=lambda i: found[i][1].best_score)
        head, self.result_ = found[best]
        self.penalty_ = self.config.penalty[best]
        return head

    def refit(self, rows: AnnotationArrays) -> EmotionHead:
        """Train on other rows, with the penalty and for the epochs that :meth:`fit` chose.

        Raises:
            NotFittedError: nothing was chosen yet.
        """
        if not hasattr(self, "result_"):
            raise NotFittedError("this branch has chosen no penalty yet: call fit first")
        return self._train(rows, self.penalty_)[0]

    @torch.no_grad()
    def log_loss(self, head: EmotionHead, rows: AnnotationArrays) -> float:
        """Mean cross-entropy of the rows' emotions, each asked of its own culture."""
        return float(F.cross_entropy(head(self.features(rows), rows.culture), rows.emotion))

    @torch.no_grad()
    def logits(self, head: EmotionHead, rows: AnnotationArrays) -> Tensor:
        """What the head says of each row for its culture, and for culture 0: [2, n, 9]."""
        found = torch.zeros(2, len(rows), len(EMOTIONS))
        for start in range(0, len(rows), _CHUNK):  # features of a million rows are not copied
            keep = torch.zeros(len(rows), dtype=torch.bool)
            keep[start : start + _CHUNK] = True
            part = rows.select(keep)
            features = self.features(part)
            for place, culture in enumerate((part.culture, torch.zeros_like(part.culture))):
                found[place, keep] = head(features, culture)
        return found

    def chosen(self) -> dict[str, Any]:
        """Plain JSON: penalty, epoch, validation score and the course of the training."""
        return {
            "penalty": self.penalty_,
            "epoch": self.result_.best_epoch,
            "validation_log_loss": self.result_.best_score,
            "history": [dict(epoch) for epoch in self.result_.history],
        }

    def _train(
        self, rows: AnnotationArrays, penalty: float, val: AnnotationArrays | None = None
    ) -> tuple[EmotionHead, FitResult]:
        torch.manual_seed(self.seed)
        head = EmotionHead(**self.arguments)
        data = self.training_data(rows)
        head.start(data.columns["features"], torch.bincount(rows.emotion, minlength=len(EMOTIONS)))
        result = Trainer(self.config.train, self.seed).fit(
            self.task(head, penalty),
            data,
            None if val is None else lambda: {"log_loss": self.log_loss(head, val)},
            None if val is not None else self.result_.best_epoch,
        )
        return head, result


class ImageBranch(Branch):
    """Learns one soft label per painting and culture: the histogram of its readers' votes."""

    def features(self, rows: AnnotationArrays) -> Tensor:
        return rows.image[rows.artwork]

    def training_data(self, rows: AnnotationArrays) -> TensorRows:
        return soft_labels(rows, self.cultures)

    def task(self, head: EmotionHead, penalty: float) -> nn.Module:
        return SoftLabelTask(head, penalty)


class CaptionBranch(Branch):
    """Learns each caption's own emotion."""

    def features(self, rows: AnnotationArrays) -> Tensor:
        return rows.caption

    def training_data(self, rows: AnnotationArrays) -> TensorRows:
        return TensorRows(features=rows.caption, culture=rows.culture, emotion=rows.emotion)

    def task(self, head: EmotionHead, penalty: float) -> nn.Module:
        return ClassificationTask(head, penalty, self.cultures)


def soft_labels(rows: AnnotationArrays, cultures: int) -> TensorRows:
    """One row for each painting and culture with its votes; culture 0 collects all of them."""
    parts = []
    for culture in range(cultures + 1):
        mine = rows.select(rows.culture == culture) if culture else rows
        votes = mine.votes()[:, 0]
        seen = votes.sum(1) > 0
        parts.append((rows.image[seen], torch.full((int(seen.sum()),), culture), votes[seen]))
    features, culture_codes, votes = (torch.cat(column) for column in zip(*parts, strict=True))
    return TensorRows(features=features, culture=culture_codes, votes=votes)
