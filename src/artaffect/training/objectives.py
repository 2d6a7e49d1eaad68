"""What is learned from a batch: each task holds a model and its loss.

A head learns from stored features, or together with its encoder: a task that has an encoder encodes
what the batch holds, pictures or captions; without one, the batch holds ``features`` [n, d].
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import LinearFusion, LogitFusion
from artaffect.models.heads import EmotionHead
from artaffect.training.batches import Batch
from artaffect.training.trainer import StepOutput


class SoftLabelTask(nn.Module):
    """Learn the histogram of all votes on a painting, one for each culture.

    Batches hold ``culture`` [n] and ``votes`` [n, 9]. A painting with more votes weighs more. The
    penalty is that of ridge regression.
    """

    def __init__(
        self, head: EmotionHead, penalty: float = 0.0, encoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.head, self.penalty, self.encoder = head, penalty, encoder

    def forward(self, batch: Batch) -> StepOutput:
        logits = self.head(picture_features(self.encoder, batch), batch["culture"])
        votes = batch["votes"]
        fit = -(votes * F.log_softmax(logits, -1)).sum() / votes.sum()
        return _with_ridge(fit, self.head, self.penalty)


class MultiLabelTask(nn.Module):
    """Learn of each emotion whether anyone felt it: the paper's target.

    Batches are those of :class:`SoftLabelTask`; a bit is set where there is a vote. ``l1`` is the
    paper's loss, the mean absolute error of the sigmoids; ``bce`` is the binary cross-entropy.
    """

    def __init__(
        self, head: EmotionHead, loss: Literal["l1", "bce"], encoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.head, self.loss, self.encoder = head, loss, encoder

    def forward(self, batch: Batch) -> StepOutput:
        logits = self.head(picture_features(self.encoder, batch), batch["culture"])
        felt = (batch["votes"] > 0).to(logits.dtype)
        if self.loss == "l1":
            return StepOutput(F.l1_loss(logits.sigmoid(), felt))
        return StepOutput(F.binary_cross_entropy_with_logits(logits, felt))


class ClassificationTask(nn.Module):
    """Learn each caption's own emotion.

    Batches hold ``culture`` [n] and ``emotion`` [n]. Some rows forget their culture, so that culture
    0 learns to answer for the public as a whole.
    """

    def __init__(
        self,
        head: EmotionHead,
        penalty: float = 0.0,
        cultures: int = 0,
        encoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.head, self.penalty, self.cultures, self.encoder = head, penalty, cultures, encoder

    def forward(self, batch: Batch) -> StepOutput:
        culture = _asked(self, batch, self.cultures)
        logits = self.head(caption_features(self.encoder, batch), culture)
        return _with_ridge(F.cross_entropy(logits, batch["emotion"]), self.head, self.penalty)


class DistillationTask(nn.Module):
    """Learn each caption's emotion, and what a teacher says and sees in it.

    The loss is ``hard`` times the cross-entropy with the emotions, plus ``soft`` times T² times the
    divergence from the teacher's answers, both softened at temperature T (Hinton et al. 2015), plus
    ``hidden`` times one minus the cosine between both models' hidden states (Sanh et al. 2019), here
    of the caption's pooled state: it is encoded once, before the training, and kept.

    Batches hold ``teacher`` [n, d], the teacher's features, beside those of
    :class:`ClassificationTask`.
    """

    def __init__(
        self,
        student: ClassificationTask,
        student_dim: int,
        teacher: EmotionHead,
        weights: tuple[float, float, float],
        temperature: float,
    ) -> None:
        """Prepare the task.

        Args:
            student_dim: width of the student's features; they are projected where the teacher's
                are of another width.
            teacher: the teacher's trained head; it is frozen.
            weights: ``hard``, ``soft`` and ``hidden``.
        """
        super().__init__()
        self.student = student
        self.teacher = teacher.eval().requires_grad_(False)
        self.weights, self.temperature = weights, temperature
        width = teacher.settings["feature_dim"]
        self.projection: nn.Module = nn.Identity()
        if student_dim != width:
            self.projection = nn.Linear(student_dim, width)

    def train(self, mode: bool = True) -> "DistillationTask":
        """The teacher answers without dropout, always."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Batch) -> StepOutput:
        culture = _asked(self, batch, self.student.cultures)
        features = caption_features(self.student.encoder, batch)
        logits = self.student.head(features, culture)
        t = self.temperature
        with torch.no_grad():
            said = F.log_softmax(self.teacher(batch["teacher"], culture) / t, -1)
        parts = {
            "hard": F.cross_entropy(logits, batch["emotion"]),
            "soft": t
            * t
            * F.kl_div(F.log_softmax(logits / t, -1), said, reduction="batchmean", log_target=True),
            "hidden": 1
            - F.cosine_similarity(self.projection(features), batch["teacher"], dim=-1).mean(),
        }
        loss = torch.stack([w * p for w, p in zip(self.weights, parts.values(), strict=True)]).sum()
        return StepOutput(loss, parts)


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
        present = lose_modalities(culture, self.modality_dropout)
        logits = self.fusion(batch["image"], batch["caption"], present, culture)
        return StepOutput(F.cross_entropy(logits, batch["emotion"]))


class JointTask(nn.Module):
    """Train both encoders, their heads and the combination together.

    Batches are those of :class:`JointRows`: each picture is encoded once, and its features are
    gathered for its captions. In the logit form a row that lost a modality is answered by the other
    branch alone, so each branch learns to stand by itself; in the feature form both heads get a loss
    of their own.
    """

    def __init__(self, model: EmotionModel, modality_dropout: float, cultures: int) -> None:
        super().__init__()
        self.model, self.modality_dropout, self.cultures = model, modality_dropout, cultures

    def forward(self, batch: Batch) -> StepOutput:
        model = self.model
        image_encoder, text_encoder = model.encoders
        culture = _asked(self, batch, self.cultures)
        present = lose_modalities(culture, self.modality_dropout)
        image = picture_features(image_encoder, batch)
        caption = caption_features(text_encoder, batch)
        emotion = batch["emotion"]
        both = F.cross_entropy(model.logits(image, caption, present, culture), emotion)
        if isinstance(model.fusion, LogitFusion) or model.image is None or model.caption is None:
            return StepOutput(both)
        parts = {
            "both": both,
            "image": F.cross_entropy(model.image.head(image, culture), emotion),
            "caption": F.cross_entropy(model.caption.head(caption, culture), emotion),
        }
        return StepOutput(torch.stack(list(parts.values())).sum(), parts)


def picture_features(encoder: nn.Module | None, batch: Batch) -> Tensor:
    """Features of each row's picture; each picture is encoded once: [n, d]."""
    if encoder is None:
        features: Tensor = batch["features"]
        return features
    found: Tensor = encoder(batch["pixels"])[batch["artwork"]]
    return found


def caption_features(encoder: nn.Module | None, batch: Batch) -> Tensor:
    """Features of each row's caption, group by group of like length: [n, e]."""
    if encoder is None:
        features: Tensor = batch["features"]
        return features
    return torch.cat([encoder(ids, mask) for ids, mask in batch["captions"]])


def lose_modalities(culture: Tensor, share: float) -> Tensor:
    """Which of image and caption stay, when so large a share of the rows loses one: bool [n, 2]."""
    present = torch.ones(len(culture), 2, dtype=torch.bool, device=culture.device)
    lose = torch.rand(len(culture), device=culture.device) < share
    which = torch.randint(2, (len(culture),), device=culture.device)
    present[torch.arange(len(culture), device=culture.device), which] &= ~lose
    return present


def forget_culture(culture: Tensor, cultures: int) -> Tensor:
    """Turn one row in ``cultures + 1`` into a row of the public as a whole."""
    if cultures < 1:
        return culture
    keep = torch.rand(culture.shape, device=culture.device) > 1 / (cultures + 1)
    return culture * keep


def _asked(task: nn.Module, batch: Batch, cultures: int) -> Tensor:
    culture: Tensor = batch["culture"]
    return forget_culture(culture, cultures) if task.training else culture


def _with_ridge(fit: Tensor, head: EmotionHead, penalty: float) -> StepOutput:
    if not penalty:
        return StepOutput(fit)
    ridge = penalty * head.penalty()
    return StepOutput(fit + ridge, {"fit": fit, "ridge": ridge})
