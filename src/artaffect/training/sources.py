"""Sources: an encoder, frozen or fine-tuned, with the head trained on its features.

Each modality has its own kind of source, see :mod:`artaffect.training.modalities`.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from artaffect.config import Recipe, SourceConfig
from artaffect.errors import ConfigError, ImageError, NotFittedError
from artaffect.features import AnnotationArrays, encode
from artaffect.labels import ARTEMIS, LabelSet
from artaffect.metrics.partial import validation_scores
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.heads import EmotionClassifier, EmotionHead, log_probabilities
from artaffect.models.hub import resolve_run
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.initial import PRIOR_DEVIATION, InitializedHead
from artaffect.models.lora import add_adapters, check_peft, merge_adapters
from artaffect.models.precision import describe
from artaffect.models.pruning import train_only, trainable
from artaffect.models.text_encoders import TextEncoder
from artaffect.training.batches import Rows, TensorRows
from artaffect.training.combination import divide, fit_weights, log_prior
from artaffect.training.data import TrainingData
from artaffect.training.linear import fit_linear_head
from artaffect.training.trackers import Tracking
from artaffect.training.trainer import FitResult, Scores, Trainer

_logger = logging.getLogger(__name__)

_SAMPLE = 512
"""Training inputs from which the scale of an encoder's features is estimated before training."""
_CHUNK = 65_536
MIN_VALIDATION = 200
"""With fewer validation rows, the settings of a head are chosen by cross-validation over artworks."""

ImageModel = EmotionClassifier[ImageEncoder]
CaptionModel = EmotionClassifier[TextEncoder]
C = TypeVar("C", bound=SourceConfig)
E = TypeVar("E", ImageEncoder, TextEncoder)


@dataclass(frozen=True)
class SourceContext:
    """What the sources of a recipe share."""

    n_cultures: int
    """Number of cultures that the heads distinguish; 0 makes them blind to culture."""
    culture_input: str = "head"
    seed: int = 0
    cultures: tuple[str, ...] = ()
    """Names of all cultures; a model taken from another run must have the same."""
    cache: Path | None = None
    work: Path | None = None
    labels: LabelSet = ARTEMIS
    folds: int = 5
    initial: EmotionModel | None = None
    """The model that the sources begin with."""
    tracking: Tracking = field(default_factory=Tracking)

    @classmethod
    def from_recipe(
        cls, data: TrainingData, recipe: Recipe, initial: EmotionModel | None = None
    ) -> "SourceContext":
        n_cultures = len(data.cultures) if recipe.culture != "off" and len(data.cultures) > 1 else 0
        shared = (data.cultures, data.cache, data.work, data.train.labels)
        more = (getattr(recipe, "folds", cls.folds), initial, data.tracking)
        return cls(n_cultures, recipe.culture, recipe.seed, *shared, *more)


class Source(ABC, Generic[C, E]):
    """One source of a recipe. ``fit`` trains it, and sets ``model_``, ``result_`` and ``penalty_``.

    With an initial model it also sets ``head_``, the combination of the new head with the initial one.
    """

    modality: ClassVar[str]
    encoder: E
    model_: EmotionClassifier[E]
    result_: FitResult
    penalty_: float
    head_: InitializedHead

    def __init__(self, config: C, encoder: E, context: SourceContext, name: str = "") -> None:
        """Name a source's training ``name``, by default like its modality."""
        self.config, self.encoder, self.context = config, encoder, context
        self.name = name or self.modality
        self.initial: EmotionHead | None = None
        """The head that the source begins with."""

    @classmethod
    def create(
        cls, config: C, context: SourceContext, captions: Sequence[str] = (), name: str = ""
    ) -> Self:
        """A source with a pretrained encoder, or as it was trained in another run, ``config.run``.

        Args:
            captions: the training captions, whose tokens a pruned vocabulary keeps.

        Raises:
            ConfigError: the run has no such source, or was trained for other cultures.
        """
        if config.lora is not None:
            check_peft()
        initial: EmotionClassifier[E] | None = getattr(context.initial, cls.modality, None)
        if initial is not None:
            source = cls(config, initial.encoder, context, name)
            source.initial = initial.head
            return source
        if not config.run:
            encoder = cls.load_encoder(config, captions)
            encoder.precision = config.precision
            if config.precision != "float32":
                _logger.info(f"{name or cls.modality}: features in {describe(config.precision)}")
            return cls(config, encoder, context, name)
        model = load_model(resolve_run(config.run))
        trained: EmotionClassifier[E] | None = getattr(model, cls.modality)
        if trained is None or model.cultures != context.cultures:
            raise ConfigError(
                f"{config.run} has no {cls.modality} model for the cultures "
                f"{', '.join(context.cultures)} (it reads {' and '.join(model.modalities)}, "
                f"of {', '.join(model.cultures)}): train one on this table"
            )
        if model.labels.names != context.labels.names:
            raise ConfigError(
                f"{config.run} predicts {', '.join(model.labels)}, and this table has the labels "
                f"{', '.join(context.labels)}: train one on this table"
            )
        source = cls(config, trained.encoder, context, name)
        source.model_ = trained
        return source

    def fit(self, train: AnnotationArrays, val: AnnotationArrays) -> EmotionClassifier[E]:
        """Train on rows; keep the penalty and the epoch with the best validation score."""
        config, train, val = self.config, self.usable(train), self.usable(val)
        if config.run:
            return self.model_
        if config.frozen:
            head = self._choose_head(train, val)
            if self.initial is not None:
                self.head_ = self._combine(head, self.initial, train)
                head = self.head_
            self.model_ = EmotionClassifier(self.encoder, head)
            score = self.result_.summary()["validation_log_loss"]
            _logger.info(f"{self.name}: validation log-loss {score:.4f}, penalty {self.penalty_}")
        else:
            model = self.start(train)
            _logger.info(f"{self.name}: training {config.encoder} ({trainable(self.encoder)})")
            self.fine_tune(model, self.encoder_rows(train), val, train.partial)
        return self.model_

    def refit(self, rows: AnnotationArrays) -> EmotionHead:
        """Train a frozen source's head on other rows, with the penalty and epochs that ``fit`` chose.

        Raises:
            NotFittedError: nothing has been chosen yet.
        """
        if not hasattr(self, "penalty_"):
            raise NotFittedError("this source has no penalty yet: call fit first")
        head = self.refit_new(self.usable(rows))
        return head if self.initial is None else self.head_.with_new(head)

    def refit_new(self, rows: AnnotationArrays) -> EmotionHead:
        """As :meth:`refit`, but the new head alone."""
        return self._fit_head(rows, self.penalty_)[0]

    def _choose_head(self, train: AnnotationArrays, val: AnnotationArrays) -> EmotionHead:
        """Try the penalties, and keep the head with the best score, which few rows give by folds."""
        sign, penalties = self.config.train.sign, self.config.penalty
        attempts: dict[float, tuple[EmotionHead | None, FitResult]]
        if len(val) >= MIN_VALIDATION:
            attempts = {p: self._fit_head(train, p, val) for p in penalties}
        else:
            attempts = {p: (None, self._cross_validate(train, p)) for p in penalties}
        self.penalty_ = max(attempts, key=lambda p: sign * attempts[p][1].best_score)
        head, self.result_ = attempts[self.penalty_]
        return self.refit_new(train) if head is None else head

    def _combine(
        self, new: EmotionHead, initial: EmotionHead, rows: AnnotationArrays
    ) -> InitializedHead:
        """Weigh the new head against the initial one, on folds from which it has not learned."""
        context = self.context
        assert context.initial is not None
        names = context.cultures if context.n_cultures else [""] * len(context.cultures)
        culture_of = [0] + [context.initial.culture_index(name) for name in names]
        head = InitializedHead.combine(new, initial, culture_of)
        parts: list[tuple[Tensor, ...]] = []
        for others, held_out in divide(rows, context.folds, context.seed):
            as_initial = replace(held_out, culture=head.culture_of[held_out.culture])
            of_new = self.logits(self.refit_new(others), held_out)
            of_initial = self.logits(initial, as_initial)
            cultures = torch.stack([held_out.culture, torch.zeros_like(held_out.culture)])
            parts.append((of_new, of_initial, cultures, held_out.emotion.repeat(2, 1)))
        stacked = (torch.cat(part, 1).flatten(0, 1) for part in zip(*parts, strict=True))
        of_new, of_initial, culture, emotion = stacked
        known_labels = (rows.emotion, rows.culture, len(context.cultures), head.labels)
        prior = log_prior(*known_labels, not context.n_cultures, rows.partial)
        head.combination.initialize(prior, {})
        given = ([of_new, of_initial], culture, emotion, rows.partial)
        fit_weights(head.combination, *given, views=2, deviation=PRIOR_DEVIATION)
        weights = ", ".join(f"{name} {weight:.2f}" for name, weight in head.weights.items())
        _logger.info(f"{self.name}: weights {weights}")
        return head

    def _cross_validate(self, rows: AnnotationArrays, penalty: float) -> FitResult:
        """The scores of each epoch, averaged over folds of artworks; there is no early stop."""
        parts = divide(rows, self.context.folds, self.context.seed)
        fits = (self._fit_head(train, penalty, val, all_epochs=True) for train, val in parts)
        histories = [result.history for _, result in fits]
        means = [
            {name: float(np.mean([epoch[name] for epoch in epochs])) for name in epochs[0]}
            for epochs in zip(*histories, strict=True)
        ]
        config = self.config.train
        best = max(means, key=lambda epoch: config.sign * epoch[config.metric])
        return FitResult(int(best["epoch"]), best[config.metric], means)

    def log(self) -> dict[str, Any]:
        """What was chosen, as plain JSON."""
        if self.config.run:
            return {"run": self.config.run}
        summary = self.result_.summary(self.config.train.metric)
        weights = {} if self.initial is None else {"weights": self.head_.weights}
        return summary | ({"penalty": self.penalty_} if self.config.frozen else {}) | weights

    def start(self, rows: AnnotationArrays) -> EmotionClassifier[E]:
        """The encoder, ready to be fine-tuned, with an untrained head for its features."""
        inputs, _ = self.inputs(rows)
        order = np.random.default_rng(self.context.seed).permutation(len(inputs))
        sample = [inputs[i] for i in np.sort(order[:_SAMPLE])]
        head = self._new_head(rows, current_features(self.encoder, sample))
        train_only(self.encoder.network, self.config.layers)
        if self.config.lora is not None:
            add_adapters(self.encoder.network, self.config.lora)
        return EmotionClassifier(self.encoder, head)

    def fine_tune(
        self,
        model: EmotionClassifier[E],
        rows: Rows,
        val: AnnotationArrays,
        partial: Tensor | None = None,
        wrap: Callable[[Any], nn.Module] = lambda task: task,
    ) -> None:
        """Train an encoder with its head; the model keeps the weights of its best epoch.

        Args:
            rows: training rows that hold the encoder's inputs.
            partial: the sets that their partial labels stand for: bool [s, k].
            wrap: turns the source's own task into the one to train, for example a distillation.
        """
        inputs, index = self.inputs(val)

        def validate() -> Scores:
            return self.scores(model.head, current_features(model.encoder, inputs), index, val)

        folder = self.context.work and self.context.work / self.name
        log = self.context.tracking.logger(self.name)
        trainer = replace(self._trainer(folder, "auto"), on_epoch=log)
        task = wrap(self.task(model.head, 0.0, model.encoder, partial))
        self.model_, self.result_ = model, trainer.fit(task, rows, validate)
        if self.config.lora is not None:
            model.encoder.adapters = merge_adapters(model.encoder, self.config.lora)

    @torch.no_grad()
    def logits(self, head: EmotionHead, rows: AnnotationArrays) -> Tensor:
        """A head's logits for stored features: [2, n, k], for the row's culture, then for culture 0."""
        values, index = self.stored(rows)
        logits = torch.zeros(2, len(rows), head.labels)
        for start in range(0, len(rows), _CHUNK):  # features of a million rows are not copied
            chunk = slice(start, start + _CHUNK)
            features, culture = values[index[chunk]], rows.culture[chunk]
            logits[0, chunk] = head.emotion_logits(features, culture)
            logits[1, chunk] = head.emotion_logits(features, torch.zeros_like(culture))
        return logits

    @torch.no_grad()
    def scores(
        self, head: EmotionHead, features: Tensor, index: Tensor, rows: AnnotationArrays
    ) -> Scores:
        """Validation scores of a head under training, from features of inputs and each row's index [n]."""
        device = head.shared.weight.device
        features = features.to(device)[index.to(device)]
        logits = head.emotion_logits(features, rows.culture.to(device))
        probabilities = log_probabilities(logits).exp().cpu().numpy()
        return validation_scores(rows.emotion.numpy(), probabilities, rows.candidates)

    @staticmethod
    @abstractmethod
    def load_encoder(config: C, captions: Sequence[str]) -> E:
        """The pretrained encoder, pruned as the settings say."""

    def usable(self, rows: AnnotationArrays) -> AnnotationArrays:
        """The rows that have this source."""
        return rows

    @abstractmethod
    def inputs(self, rows: AnnotationArrays) -> tuple[list[Any], Tensor]:
        """Inputs of the encoder, and each row's index into them [n]."""

    @abstractmethod
    def stored(self, rows: AnnotationArrays) -> tuple[Tensor, Tensor]:
        """Stored features of the distinct inputs [p, d], and each row's index into them [n]."""

    @abstractmethod
    def votes(self, rows: AnnotationArrays) -> Tensor:
        """The votes of the distinct inputs in each culture, all cultures first: [p, cultures + 1, k + s]."""

    @abstractmethod
    def head_rows(self, rows: AnnotationArrays) -> TensorRows:
        """What a head learns from stored features: with ``features`` among the columns."""

    @abstractmethod
    def encoder_rows(self, rows: AnnotationArrays) -> Rows:
        """What an encoder and its head learn from."""

    @abstractmethod
    def task(
        self,
        head: EmotionHead,
        penalty: float,
        encoder: nn.Module | None,
        partial: Tensor | None,
    ) -> nn.Module:
        """The head, with the encoder if it is trained too, and their loss."""

    def _new_head(
        self, rows: AnnotationArrays, features: Tensor, repeats: Tensor | None = None
    ) -> EmotionHead:
        """An untrained head on the scale of features [n, d]; of a frozen encoder, with their counts [n]."""
        if not features.sum(0).isfinite().all():  # of a million rows, no copy is made
            raise ConfigError(
                f"{self.name}: the features of {self.config.encoder} are not finite numbers: "
                "choose another encoder"
            )
        torch.manual_seed(self.context.seed)
        head = EmotionHead(
            self.encoder.feature_dim,
            self.context.n_cultures,
            self.config.hidden,
            self.config.dropout,
            self.context.culture_input,
            getattr(self.config, "objective", "soft_label") != "soft_label",
            len(self.context.labels),
        )
        frozen = repeats is not None
        head.initialize_from(features, rows.label_counts().float(), frozen, repeats)
        return head

    def _trainer(
        self, folder: Path | None = None, device: Literal["cpu", "auto"] = "cpu"
    ) -> Trainer:
        section = f"{self.name.removesuffix('_alone')}.train"
        return Trainer(self.config.train, self.context.seed, folder, device=device, section=section)

    def _fit_head(
        self,
        rows: AnnotationArrays,
        penalty: float,
        val: AnnotationArrays | None = None,
        all_epochs: bool = False,
    ) -> tuple[EmotionHead, FitResult]:
        data = self.head_rows(rows)
        inputs, index = data.shared["features"]
        head = self._new_head(rows, inputs, torch.bincount(index, minlength=len(inputs)))
        if penalty and head.is_linear:
            loss = fit_linear_head(head, inputs, self.votes(rows), penalty, rows.partial)
            scores = {} if val is None else self.scores(head, *self.stored(val), val)
            return head, FitResult.at_once(loss, scores, self.config.train.metric)
        task = self.task(head, penalty, None, rows.partial)
        trainer = self._trainer()
        if all_epochs:
            trainer = replace(
                trainer, config=replace(trainer.config, patience=trainer.config.epochs)
            )
        if val is None:
            return head, trainer.fit(task, data, stop_after=self.result_.best_epoch)
        features = self.stored(val)
        return head, trainer.fit(task, data, lambda: self.scores(head, *features, val))


def current_features(encoder: ImageEncoder | TextEncoder, inputs: Sequence[Any]) -> Tensor:
    """Features of inputs by an encoder under training, on the CPU and without a cache: [n, d]."""
    values = torch.zeros(len(inputs), encoder.feature_dim)
    for positions, vectors, problems in encode(encoder, inputs):
        if problems:
            raise ImageError("; ".join(problems.values()))
        values[list(positions)] = torch.from_numpy(vectors)
    return values
