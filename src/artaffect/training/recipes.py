"""From a table to a model folder: the recipe ``compact``."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from artaffect.config import BranchConfig, CompactConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import TableError
from artaffect.evaluation.evaluator import EvaluationResult
from artaffect.inference.evaluation import TrainingHabits, evaluate_rows, votes_by_artwork
from artaffect.inference.rows import FeatureRows, extract_rows
from artaffect.labels import EMOTIONS
from artaffect.models.classifier import EmotionClassifier, EmotionHead
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import FeatureFusion, LinearFusion, LogitFusion
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.runtime import say
from artaffect.training.fusion import BranchLogits, fit_linear_fusion, fold_of_artwork
from artaffect.training.tasks import ClassificationTask, SoftLabelTask
from artaffect.training.trainer import FitResult, TensorRows, Trainer


@dataclass(frozen=True)
class TrainedModel:
    """A model, what a model folder says of it, and its scores on the validation split."""

    model: EmotionModel
    heads: dict[str, Any]
    habits: TrainingHabits
    chosen: dict[str, Any]
    evaluation: EvaluationResult


def train_compact(
    table: AnnotationTable, config: CompactConfig, cache: Path | None = None, draws: int = 1000
) -> TrainedModel:
    """Train image, caption and fusion on frozen features; choose on the validation split.

    Raises:
        TableError: a split is missing, or too few rows have a picture.
    """
    splits = {name: table.of_split(name) for name in ("train", "val")}
    cultures = splits["train"].cultures
    image_encoder = create_image_encoder(config.image.encoder)
    text_encoder = create_text_encoder(config.caption.encoder)
    rows = {
        name: extract_rows(part, image_encoder, text_encoder, cultures, cache)
        for name, part in splits.items()
    }
    for name, part in rows.items():
        for fault in part.broken:
            say(f"trained without a picture that cannot be read: {fault}")
        if not part.has_image.any():
            raise TableError(f"no row of split {name!r} has a picture")
    training = _Training(config, rows["train"], rows["val"], len(cultures))

    image_head, image_chosen = training.fit_image()
    caption_head, caption_chosen = training.fit_caption()
    fusion, fusion_chosen = training.fit_fusion(image_head, caption_head)
    model = EmotionModel(
        EmotionClassifier(image_encoder, image_head),
        EmotionClassifier(text_encoder, caption_head),
        fusion,
        cultures,
        sorted(splits["train"].codes("language")[0]),
    ).eval()
    habits = TrainingHabits.of(rows["train"])
    return TrainedModel(
        model=model,
        heads={"image": training.image_arguments, "caption": training.caption_arguments},
        habits=habits,
        chosen={"image": image_chosen, "caption": caption_chosen, "fusion": fusion_chosen},
        evaluation=evaluate_rows(model, rows["val"], habits, "val", draws),
    )


class _Training:
    """The rows of both splits, and the three fits on them."""

    def __init__(
        self, config: CompactConfig, train: FeatureRows, val: FeatureRows, cultures: int
    ) -> None:
        self.config = config
        self.train, self.val = train, val
        self.pictured = train.select(train.has_image)
        self.pictured_val = val.select(val.has_image)
        # one culture has nobody to differ from
        self.cultures = cultures
        self.head_cultures = cultures if config.culture == "head" and cultures > 1 else 0
        self.image_arguments = self._arguments(config.image, train.image.shape[1])
        self.caption_arguments = self._arguments(config.caption, train.caption.shape[1])

    def _arguments(self, branch: BranchConfig, width: int) -> dict[str, Any]:
        return {
            "feature_dim": width,
            "cultures": self.head_cultures,
            "hidden": branch.hidden,
            "dropout": branch.dropout,
        }

    def fit_image(self) -> tuple[EmotionHead, dict[str, Any]]:
        """The image branch: soft labels, the penalty chosen on validation."""
        best: tuple[EmotionHead, float, FitResult] | None = None
        for penalty in self.config.image.penalty:
            head, result = self._fit_image_head(self.pictured, penalty, self._validate_image)
            if best is None or result.best_score < best[2].best_score:
                best = (head, penalty, result)
        assert best is not None  # the settings refuse an empty list of penalties
        head, penalty, result = best
        self.image_epochs, self.image_penalty = result.best_epoch, penalty
        say(f"image: log-loss {result.best_score:.4f} on validation, penalty {penalty}")
        return head, _chosen(result, penalty=penalty)

    def _fit_image_head(
        self,
        rows: FeatureRows,
        penalty: float,
        validate: Callable[[EmotionHead], float] | None,
        stop_after: int | None = None,
    ) -> tuple[EmotionHead, FitResult]:
        torch.manual_seed(self.config.seed)
        head = EmotionHead(**self.image_arguments)
        data = soft_labels(rows, self.head_cultures)
        head.start(data.columns["features"], data.columns["votes"].sum(0))
        result = Trainer(self.config.image.train, self.config.seed).fit(
            SoftLabelTask(head, penalty),
            data,
            (lambda: validate(head)) if validate else None,
            stop_after,
        )
        return head, result

    def fit_caption(self) -> tuple[EmotionHead, dict[str, Any]]:
        """The caption branch: hard labels, on all rows, with or without a picture."""
        best: tuple[EmotionHead, float, FitResult] | None = None
        for penalty in self.config.caption.penalty:
            head, result = self._fit_caption_head(self.train, penalty, self._validate_caption)
            if best is None or result.best_score < best[2].best_score:
                best = (head, penalty, result)
        assert best is not None
        head, penalty, result = best
        self.caption_epochs, self.caption_penalty = result.best_epoch, penalty
        say(f"caption: log-loss {result.best_score:.4f} on validation, epoch {result.best_epoch}")
        return head, _chosen(result, penalty=penalty)

    def _fit_caption_head(
        self,
        rows: FeatureRows,
        penalty: float,
        validate: Callable[[EmotionHead], float] | None,
        stop_after: int | None = None,
    ) -> tuple[EmotionHead, FitResult]:
        torch.manual_seed(self.config.seed)
        head = EmotionHead(**self.caption_arguments)
        head.start(rows.caption, torch.bincount(rows.emotion, minlength=len(EMOTIONS)))
        result = Trainer(self.config.caption.train, self.config.seed).fit(
            ClassificationTask(head, penalty, self.head_cultures),
            TensorRows(features=rows.caption, culture=rows.culture, emotion=rows.emotion),
            (lambda: validate(head)) if validate else None,
            stop_after,
        )
        return head, result

    def fit_fusion(
        self, image_head: EmotionHead, caption_head: EmotionHead
    ) -> tuple[LinearFusion, dict[str, Any]]:
        """Every form that the settings allow; the best on validation stays."""
        logits = self._out_of_fold()
        log_prior = self._log_prior()
        rows, val = self.pictured, self.pictured_val
        val_logits = branch_logits(image_head, caption_head, val)
        present = torch.ones(len(val), 2, dtype=torch.bool)

        def validate(fusion: LinearFusion) -> float:
            with torch.no_grad():
                inputs = (
                    (val_logits.image[0], val_logits.caption[0])
                    if isinstance(fusion, LogitFusion)
                    else (val.image[val.artwork], val.caption)
                )
                return float(F.cross_entropy(fusion(*inputs, present, val.culture), val.emotion))

        tried: dict[str, float] = {}
        best: LinearFusion | None = None
        for name, fusion in self._candidates():
            score = fit_linear_fusion(
                fusion, self.config.fusion, rows, logits, log_prior, validate, self.config.seed
            )
            if best is None or score < min(tried.values()):
                best, chosen = fusion, name
            tried[name] = score
        assert best is not None
        lines = ", ".join(f"{name} {score:.4f}" for name, score in tried.items())
        say(f"both: log-loss on validation {lines}")
        return best, {"chosen": chosen, "validation_log_loss": tried}

    def _candidates(self) -> list[tuple[str, LinearFusion]]:
        settings = self.config.fusion
        weights = [settings.per_culture == "on"]
        if settings.per_culture == "auto":
            weights = [False, True] if self.cultures > 1 else [False]
        found: list[tuple[str, LinearFusion]] = []
        for per_culture in weights:
            suffix = ", weights per culture" if per_culture else ""
            if settings.form in ("auto", "logits"):
                found.append((f"logits{suffix}", LogitFusion(self.cultures, per_culture)))
            if settings.form in ("auto", "features"):
                torch.manual_seed(self.config.seed)
                fusion = FeatureFusion(
                    self.train.image.shape[1],
                    self.train.caption.shape[1],
                    self.head_cultures if not per_culture else self.cultures,
                    per_culture,
                    settings.latent,
                    settings.dropout,
                )
                found.append((f"features{suffix}", fusion))
        return found

    def _out_of_fold(self) -> BranchLogits:
        """Answers for each pictured training row by branches that never saw its painting."""
        folds = fold_of_artwork(self.train.artworks, self.config.folds, self.config.seed)
        size = (2, len(self.pictured), len(EMOTIONS))
        image, caption = torch.zeros(size), torch.zeros(size)
        for fold in range(self.config.folds):
            others = folds[self.train.artwork] != fold
            rows = self.train.select(others)
            image_head, _ = self._fit_image_head(
                rows.select(rows.has_image), self.image_penalty, None, self.image_epochs
            )
            caption_head, _ = self._fit_caption_head(
                rows, self.caption_penalty, None, self.caption_epochs
            )
            held_out = folds[self.pictured.artwork] == fold
            part = branch_logits(image_head, caption_head, self.pictured.select(held_out))
            image[:, held_out], caption[:, held_out] = part.image, part.caption
        return BranchLogits(image, caption)

    def _log_prior(self) -> Tensor:
        """Each culture's training distribution, the public as a whole first."""
        counts = torch.ones(self.cultures + 1, len(EMOTIONS))
        counts.index_put_((self.train.culture, self.train.emotion), torch.ones(()), accumulate=True)
        counts[0] = counts.sum(0)
        return (counts / counts.sum(1, keepdim=True)).log()

    def _validate_image(self, head: EmotionHead) -> float:
        val = self.pictured_val
        with torch.no_grad():
            return float(F.cross_entropy(head(val.image[val.artwork], val.culture), val.emotion))

    def _validate_caption(self, head: EmotionHead) -> float:
        with torch.no_grad():
            return float(
                F.cross_entropy(head(self.val.caption, self.val.culture), self.val.emotion)
            )


def soft_labels(rows: FeatureRows, cultures: int) -> TensorRows:
    """One row for each painting and culture with its votes; culture 0 collects all of them."""
    parts = []
    for culture in range(cultures + 1):
        mine = rows.select(rows.culture == culture) if culture else rows
        votes = votes_by_artwork(mine)
        seen = votes.sum(1) > 0
        parts.append((rows.image[seen], torch.full((int(seen.sum()),), culture), votes[seen]))
    features, culture_codes, votes = (torch.cat(column) for column in zip(*parts, strict=True))
    return TensorRows(features=features, culture=culture_codes, votes=votes)


@torch.no_grad()
def branch_logits(
    image_head: EmotionHead, caption_head: EmotionHead, rows: FeatureRows
) -> BranchLogits:
    """What both branches say of each row, for its culture and for the public as a whole."""
    image, nobody = rows.image[rows.artwork], torch.zeros_like(rows.culture)
    return BranchLogits(
        torch.stack([image_head(image, c) for c in (rows.culture, nobody)]),
        torch.stack([caption_head(rows.caption, c) for c in (rows.culture, nobody)]),
    )


def _chosen(result: FitResult, **more: Any) -> dict[str, Any]:
    return {
        "epoch": result.best_epoch,
        "validation_log_loss": result.best_score,
        "history": [dict(epoch) for epoch in result.history],
        **more,
    }
