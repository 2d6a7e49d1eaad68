"""What is learned from a batch: each task holds a model and its loss.

A head learns from stored features, or together with its encoder: a task with an encoder encodes the
images or captions of the batch; without one, the batch holds ``features`` [n, d].
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import LinearFusion
from artaffect.models.heads import EmotionHead
from artaffect.training.batches import Batch
from artaffect.training.trainer import StepOutput


def log_likelihood(logits: Tensor, votes: Tensor, partial: Tensor | None) -> Tensor:
    """The sum of the log-probabilities of all votes: a scalar.

    Args:
        logits: [n, k].
        votes: how often each label, then each set of labels, was chosen [n, k + s].
        partial: which labels each set holds: bool [s, k].
    """
    known = F.log_softmax(logits, -1)
    if partial is None:
        return (votes * known).sum()
    row, label = votes.nonzero(as_tuple=True)
    return (votes[row, label] * _of_sets(known[row], label, partial)).sum()


def _of_sets(known: Tensor, labels: Tensor, partial: Tensor) -> Tensor:
    """Of log-probabilities [n, k], that of each row's label or set [n], as in :func:`label_loss`."""
    alone = torch.eye(known.shape[1], dtype=torch.bool, device=partial.device)
    members = torch.cat([alone, partial])[labels]
    return known.masked_fill(~members, -torch.inf).logsumexp(-1)


def label_loss(logits: Tensor, emotion: Tensor, partial: Tensor | None = None) -> Tensor:
    """The mean of ``-ln`` of the probability of each row's label, or of the set that holds it.

    Without partial labels it is the cross-entropy; with them, the log-likelihood of what is known
    (Jin and Ghahramani 2002; Cour et al. 2011).

    Args:
        logits: [n, k].
        emotion: the label, or ``k`` plus the position of a set in ``partial`` [n].
        partial: which labels each set holds: bool [s, k].
    """
    if partial is None:
        return F.cross_entropy(logits, emotion)
    return -_of_sets(F.log_softmax(logits, -1), emotion, partial).mean()


class Task(nn.Module):
    """What learns the labels of rows, some of which may be partial."""

    partial: Tensor | None
    """The sets that partial labels stand for: bool [s, k]."""

    def __init__(self, partial: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("partial", partial, persistent=False)

    def label_loss(self, logits: Tensor, emotion: Tensor) -> Tensor:
        """:func:`label_loss` with the partial labels of this task."""
        return label_loss(logits, emotion, self.partial)


class HeadTask(Task):
    """A head with its loss, and with its encoder if that is trained too."""

    def __init__(
        self,
        head: EmotionHead,
        penalty: float = 0.0,
        cultures: int = 0,
        encoder: nn.Module | None = None,
        partial: Tensor | None = None,
    ) -> None:
        """Prepare the task.

        Args:
            penalty: that of ridge regression.
        """
        super().__init__(partial)
        self.head, self.penalty, self.cultures, self.encoder = head, penalty, cultures, encoder

    def with_ridge(self, fit: Tensor) -> StepOutput:
        """Add the penalty to a loss."""
        if not self.penalty:
            return StepOutput(fit)
        ridge = self.penalty * self.head.penalty()
        return StepOutput(fit + ridge, {"fit": fit, "ridge": ridge})


class SoftLabelTask(HeadTask):
    """Learn the distribution of an artwork's votes, one for each culture.

    Batches hold ``culture`` [n] and ``votes`` [n, k + s], which count the votes for each label and
    each set of labels. An artwork with more votes weighs more.
    """

    def forward(self, batch: Batch) -> StepOutput:
        logits = self.head(image_features(self.encoder, batch), batch["culture"])
        votes = batch["votes"]
        return self.with_ridge(-log_likelihood(logits, votes, self.partial) / votes.sum())


class MultiLabelTask(HeadTask):
    """Learn for each emotion whether anyone chose it: the paper's target.

    Batches are those of :class:`SoftLabelTask`. ``l1`` is the paper's loss, the mean absolute error of
    the sigmoids; ``bce`` is the binary cross-entropy.
    """

    def __init__(
        self, head: EmotionHead, loss: Literal["l1", "bce"], encoder: nn.Module | None = None
    ) -> None:
        super().__init__(head, encoder=encoder)
        self.loss = loss

    def forward(self, batch: Batch) -> StepOutput:
        logits = self.head(image_features(self.encoder, batch), batch["culture"])
        target = (batch["votes"] > 0).to(logits.dtype)
        if self.loss == "l1":
            return StepOutput(F.l1_loss(logits.sigmoid(), target))
        return StepOutput(F.binary_cross_entropy_with_logits(logits, target))


class ClassificationTask(HeadTask):
    """Learn the emotion of each caption.

    Batches hold ``culture`` [n] and ``emotion`` [n]. Of ``cultures + 1`` rows one loses its culture, so
    that culture 0 learns to predict for all cultures together.
    """

    def forward(self, batch: Batch) -> StepOutput:
        culture = _training_culture(self, batch, self.cultures)
        logits = self.head(caption_features(self.encoder, batch), culture)
        return self.with_ridge(self.label_loss(logits, batch["emotion"]))


class DistillationTask(nn.Module):
    """Learn the emotion of each caption, and to imitate a teacher.

    The loss is ``hard`` times the cross-entropy with the labels, plus ``soft`` times T² times the
    divergence from the teacher's distribution, both softened at temperature T (Hinton et al. 2015),
    plus ``hidden`` times one minus the cosine between both models' hidden states (Sanh et al. 2019);
    here it is the pooled state of the caption, which the teacher computes once before training.

    Batches hold ``teacher`` [n, d], the teacher's features, in addition to those of
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
        """Freeze the trained head ``teacher``; ``weights`` are ``hard``, ``soft`` and ``hidden``.

        Args:
            student_dim: width of the student's features; they are projected to the teacher's width.
        """
        super().__init__()
        self.student = student
        self.teacher = teacher.requires_grad_(False)
        self.weights, self.temperature = weights, temperature
        width = teacher.settings["feature_dim"]
        same = student_dim == width
        self.projection = nn.Identity() if same else nn.Linear(student_dim, width)

    def forward(self, batch: Batch) -> StepOutput:
        culture = _training_culture(self, batch, self.student.cultures)
        features = caption_features(self.student.encoder, batch)
        logits = self.student.head(features, culture)
        t = self.temperature
        with torch.no_grad():  # the teacher has no dropout
            target = F.log_softmax(self.teacher.eval()(batch["teacher"], culture) / t, -1)
        softened = F.log_softmax(logits / t, -1)
        divergence = F.kl_div(softened, target, reduction="batchmean", log_target=True)
        cosine = F.cosine_similarity(self.projection(features), batch["teacher"], dim=-1)
        terms = {
            "hard": self.student.label_loss(logits, batch["emotion"]),
            "soft": t * t * divergence,
            "hidden": 1 - cosine.mean(),
        }
        loss = torch.stack([w * p for w, p in zip(self.weights, terms.values(), strict=True)]).sum()
        return StepOutput(loss, terms)


class FusionTask(Task):
    """Learn to combine the sources, also when one is missing.

    Batches hold the inputs of each source by name [n, width], ``culture`` [n] and ``emotion`` [n];
    no source is missing, but a share of ``modality_dropout`` of the rows loses one.
    """

    def __init__(
        self,
        fusion: LinearFusion,
        modality_dropout: float,
        cultures: int,
        partial: Tensor | None = None,
    ) -> None:
        super().__init__(partial)
        self.fusion, self.modality_dropout, self.cultures = fusion, modality_dropout, cultures

    def forward(self, batch: Batch) -> StepOutput:
        culture = drop_culture(batch["culture"], self.cultures)
        sources = self.fusion.sources
        present = drop_sources(culture, self.modality_dropout, len(sources))
        logits = self.fusion([batch[name] for name in sources], present, culture)
        return StepOutput(self.label_loss(logits, batch["emotion"]))


class JointTask(Task):
    """Train both encoders, their heads and the combination together.

    Batches are those of :class:`JointRows`: each image is encoded once, and its features are
    gathered for its captions. A row that lost a source is predicted by the other head alone, so that each
    head learns. If the fusion combines features, the heads have losses of their own as well.
    """

    def __init__(
        self,
        model: EmotionModel,
        modality_dropout: float,
        cultures: int,
        partial: Tensor | None = None,
    ) -> None:
        super().__init__(partial)
        self.model, self.modality_dropout, self.cultures = model, modality_dropout, cultures

    def forward(self, batch: Batch) -> StepOutput:
        model = self.model
        assert model.fusion is not None and model.image is not None and model.caption is not None
        culture = _training_culture(self, batch, self.cultures)
        present = drop_sources(culture, self.modality_dropout)
        image = image_features(model.image.encoder, batch)
        caption = caption_features(model.caption.encoder, batch)
        logits = {"both": model.logits(image, caption, present, culture)}
        if not model.fusion.takes_logits:
            logits["image"] = model.image.head(image, culture)
            logits["caption"] = model.caption.head(caption, culture)
        terms = {name: self.label_loss(it, batch["emotion"]) for name, it in logits.items()}
        loss = torch.stack(list(terms.values())).sum()
        return StepOutput(loss, terms if len(terms) > 1 else {})


def image_features(encoder: nn.Module | None, batch: Batch) -> Tensor:
    """Features of each row's image; each image is encoded once: [n, d]."""
    if encoder is None:
        return batch["features"]
    return encoder(batch["pixels"])[batch["artwork"]]


def caption_features(encoder: nn.Module | None, batch: Batch) -> Tensor:
    """Features of each row's caption, encoded by groups of similar length: [n, e]."""
    if encoder is None:
        return batch["features"]
    return torch.cat([encoder(ids, mask) for ids, mask in batch["captions"]])


def drop_sources(culture: Tensor, share: float, sources: int = 2) -> Tensor:
    """Which sources remain if a share of the rows loses one of them: bool [n, sources]."""
    dropped = torch.rand(len(culture), device=culture.device) < share
    which = torch.randint(sources, (len(culture),), device=culture.device)
    return ~(F.one_hot(which, sources).bool() & dropped.unsqueeze(1))


def drop_culture(culture: Tensor, cultures: int) -> Tensor:
    """Turn one row in ``cultures + 1`` into a row of all cultures together."""
    if cultures < 1:
        return culture
    return culture * (torch.rand(culture.shape, device=culture.device) > 1 / (cultures + 1))


def _training_culture(task: nn.Module, batch: Batch, cultures: int) -> Tensor:
    return drop_culture(batch["culture"], cultures if task.training else 0)
