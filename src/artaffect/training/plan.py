"""What a reproduction would take on this machine: a few real steps of each model, times their number.

A step is measured with real weights on rows of the real table. Where a step would take long, it has an
eighth of the batch, and its time is multiplied. Memory is counted, not observed: the weights that are
trained, with gradients, both moments of AdamW and the copy of the best epoch, and what autograd keeps of a
batch until the backward pass.
"""

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from artaffect.config import FUSION_INPUTS, SeparateConfig, TrainConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import EncoderUnavailableError
from artaffect.features import AnnotationArrays
from artaffect.metrics.display import Displayed, Table
from artaffect.models.fusion import SourceOutputs
from artaffect.models.heads import EmotionHead
from artaffect.models.precision import device
from artaffect.reports.tables import TextTable
from artaffect.training.batches import Batch, TensorRows
from artaffect.training.data import TrainingData
from artaffect.training.linear import fit_linear_head
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.separate import fit_fusion
from artaffect.training.sources import Source, SourceContext, current_features
from artaffect.training.trainer import StepOutput, Trainer, epochs_in, passes_in

_STEPS = 3
"""Steps of a measurement, of which the first one does not count."""
_SHARE = 8
"""The first measured batch is smaller by this factor."""
_LONG = 10.0
"""Seconds of a step that is measured with the smaller batch alone."""
_ENCODED = 16
"""Inputs that are encoded in a measurement."""
_HEAD_BATCHES = 10
"""Batches of random features on which heads and combinations are measured."""
_BYTES = 20
"""Of a trained weight: itself, its gradient, two moments of AdamW, and its copy of the best epoch."""
_SOURCES: Mapping[str, type[Source[Any, Any]]] = {"image": ImageSource, "caption": CaptionSource}


@dataclass(frozen=True)
class PlannedPart:
    """One part of a stage, such as the training of its caption source."""

    stage: str
    """The name of the recipe."""
    part: str
    rows: int
    """Images, captions, or rows of stored features in the training split; with validation for an encoding."""
    epochs: int
    """A head that is fitted to all rows at once takes one epoch of one batch for each penalty and fold."""
    steps: int
    """Batches in all epochs."""
    batch_size: int
    gigabytes: float | None
    """10^9 bytes that the part needs beside the program; None if it was not measured."""
    hours: float | None
    """At most, because a training may stop early; None if it was not measured."""
    problem: str = ""
    """Why it was not measured."""


@dataclass(frozen=True, repr=False)
class Plan(Displayed):
    """The result of :func:`plan_recipes`."""

    device: str
    parts: Sequence[PlannedPart]
    finished: Sequence[str]
    """Stages whose run exists already."""

    @property
    def hours(self) -> float:
        """Of all parts that could be measured."""
        return sum(part.hours or 0 for part in self.parts)

    def tables(self) -> list[TextTable]:
        """One table, the whole in its last row."""
        return [TextTable(*self._table())]

    def _table(self) -> Table:
        header = ["stage", "part", "rows", "epochs", "steps", "batch", "GB", "hours, at most"]
        rows = [
            [p.stage, p.part, f"{p.rows:,}", str(p.epochs), f"{p.steps:,}", str(p.batch_size)]
            + ["–" if value is None else f"{value:,.2f}" for value in (p.gigabytes, p.hours)]
            for p in self.parts
        ]
        rows.append(["all", "", "", "", "", "", "", f"{self.hours:,.2f}"])
        title = (
            f"What the reproduction would take on this machine ({self.device}), from a few steps"
        )
        return title, header, rows

    def notes(self) -> list[str]:
        """What the table does not say."""
        lines = [
            f"{p.stage}: {p.part} was not measured: {p.problem}" for p in self.parts if p.problem
        ]
        lines += [f"{name}: the run is finished, and is used as it is" for name in self.finished]
        return lines

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "hours": self.hours}


def plan_recipes(
    table: AnnotationTable, recipes: Mapping[str, SeparateConfig], finished: Sequence[str] = ()
) -> Plan:
    """Measure what the trainings of some recipes would take; nothing is written.

    Args:
        recipes: the stages; a source with a ``run`` is not trained, but encodes all its inputs.
        finished: stages that are left out.

    Raises:
        TableError: the table lacks a split or images.
    """
    data = TrainingData.from_table(table)
    parts = [
        part
        for name, config in recipes.items()
        if name not in finished
        for part in _plan_recipe(name, config, data)
    ]
    where = device()
    named = torch.cuda.get_device_name() if where.type == "cuda" else "no GPU"
    return Plan(f"{named}, {torch.get_num_threads()} threads", parts, list(finished))


def _plan_recipe(stage: str, config: SeparateConfig, data: TrainingData) -> Iterator[PlannedPart]:
    data = data.for_sources(config.image is not None, config.caption is not None)
    widths: dict[str, int] = {}
    for name, settings in config.sources.items():
        try:
            measured = _MeasuredSource(name, config, data)
        except EncoderUnavailableError as error:
            train, rows = settings.train, _count(data.train, name)
            counts = (rows, *_length(train, rows), train.batch_size)
            yield PlannedPart(stage, f"{name} source", *counts, None, None, str(error))
            continue
        widths[name] = measured.source.encoder.feature_dim
        if settings.frozen or settings.run:
            yield measured.encoding(stage)
            if settings.frozen:
                yield measured.heads(stage, len(config.sources) > 1, config.folds)
        else:
            yield measured.training(stage)
    if len(widths) > 1:
        yield _combination(stage, config, data, widths)


class _MeasuredSource:
    """One source of a recipe, with a sample of its rows."""

    def __init__(self, name: str, config: SeparateConfig, data: TrainingData) -> None:
        settings = replace(config.sources[name], run="")
        self.name, self.train, self.data = name, settings.train, data
        kind, self.context = _SOURCES[name], SourceContext.from_recipe(data, config)
        pruned = getattr(settings, "vocabulary", "all") == "data"
        self.source = kind.create(
            settings, self.context, data.train.strings("caption") if pruned else ()
        )
        size = max(_STEPS * self.train.batch_size, _ENCODED)
        rules = self.source.encoder.preprocessing if name == "image" else None
        sample = _sample(data.train, name, size)
        rows = data.arrays(sample, images=name == "image", preprocessing=rules)
        self.rows = rows.with_images() if name == "image" else rows
        self.counts = {split: _count(getattr(data, split), name) for split in ("train", "val")}

    def encoding(self, stage: str) -> PlannedPart:
        """All inputs of both splits, encoded once."""
        rows, seconds = sum(self.counts.values()), self._seconds_per_input()
        weights = sum(w.numel() for w in self.source.encoder.parameters())
        held = 4 * (weights + rows * self.source.encoder.feature_dim)
        batches = math.ceil(rows / _ENCODED)
        counts = (rows, 1, batches, _ENCODED)
        return PlannedPart(
            stage, f"encode {self.name}s", *counts, held / 1e9, rows * seconds / 3600
        )

    def training(self, stage: str) -> PlannedPart:
        """The encoder with its head, and its validation after each epoch."""
        seconds = self._seconds_per_input()
        model = self.source.start(self._few(2 * _ENCODED))
        size = self.train.batch_size
        batch = max(1, size // _SHARE)
        task = self._steps(model, batch)
        whole = min(size, len(self.source.inputs(self.rows)[0]) // _STEPS)  # the table may be small
        if whole > batch and task.seconds * whole / batch < _LONG:
            batch, task = whole, self._steps(model, whole)
        trained = sum(w.numel() for w in task.parameters() if w.requires_grad)
        frozen = sum(w.numel() for w in task.parameters() if not w.requires_grad)
        gigabytes = (_BYTES * trained + 4 * frozen + task.kept * size / batch) / 1e9
        epochs, steps = _length(self.train, self.counts["train"])
        spent = steps * task.seconds * size / batch + epochs * self.counts["val"] * seconds
        counts = (self.counts["train"], epochs, steps, self.train.batch_size)
        return PlannedPart(stage, f"train {self.name} source", *counts, gigabytes, spent / 3600)

    def _steps(self, model: Any, batch: int) -> "_Measured":
        """Some steps with batches of this size."""
        task = _Measured(self.source.task(model.head, 0.0, model.encoder, None))
        once = replace(self.train, epochs=1, min_steps=0, batch_size=batch, accumulation=1)
        rows = self.source.encoder_rows(self._few(_STEPS * batch))
        Trainer(once, self.context.seed, device="auto").fit(task, rows)
        return task

    def _few(self, count: int) -> AnnotationArrays:
        """The rows of the first inputs of the sample."""
        if self.name == "caption":
            return self.rows.select(torch.arange(len(self.rows)) < count)
        first = torch.arange(len(self.rows.artwork_has_image)) < count
        return replace(self.rows, artwork_has_image=first).with_images()

    def heads(self, stage: str, folded: bool, folds: int) -> PlannedPart:
        """The heads of every penalty and fold, on random features."""
        config, context, train = self.source.config, self.context, self.train
        generator = torch.Generator().manual_seed(0)
        size, labels = train.batch_size * _HEAD_BATCHES, len(context.labels)
        width, cultures = self.source.encoder.feature_dim, context.n_cultures
        features = torch.randn(size, width, generator=generator)
        head = EmotionHead(
            width, cultures, config.hidden, config.dropout, context.culture_input, False, labels
        )
        fits = len(config.penalty) + (folds if folded else 0)
        inputs, weights = self.counts["train"], sum(w.numel() for w in head.parameters())
        held = 4 * inputs * width + _BYTES * weights
        if min(config.penalty) > 0 and head.is_linear:
            votes = torch.rand(size, cultures + 1, labels, generator=generator)
            start = perf_counter()
            fit_linear_head(head, features, votes, config.penalty[0])
            seconds = (perf_counter() - start) * inputs / size
            counts = (inputs, fits, fits, inputs)
            return PlannedPart(
                stage, f"fit {self.name} heads", *counts, held / 1e9, fits * seconds / 3600
            )
        columns: dict[str, Tensor] = {
            "features": features,
            "culture": torch.randint(0, cultures + 1, (size,), generator=generator),
        }
        if self.name == "image":
            columns["votes"] = torch.ones(size, labels)
        else:
            columns["emotion"] = torch.randint(0, labels, (size,), generator=generator)
        task = _Measured(self.source.task(head, 0.0, None, None))
        once = replace(train, epochs=1, min_steps=0)
        Trainer(once, context.seed).fit(task, TensorRows(None, **columns))
        rows = self._head_rows()
        epochs, steps = _length(train, rows)
        counts = (rows, epochs * fits, steps * fits, train.batch_size)
        hours = steps * fits * task.seconds / 3600
        return PlannedPart(stage, f"train {self.name} heads", *counts, held / 1e9, hours)

    def _head_rows(self) -> int:
        """Histograms of artworks overall and for each culture, or captions."""
        if self.name == "caption":
            return self.counts["train"]
        table = self.data.train
        pairs = np.stack([table.codes("artwork_id")[1], table.codes("culture")[1]])
        pairs = pairs[:, table.codes("image")[1] >= 0]
        of_cultures = np.unique(pairs, axis=1).shape[1] if self.context.n_cultures else 0
        return self.counts["train"] + of_cultures

    def _seconds_per_input(self) -> float:
        inputs, _ = self.source.inputs(self.rows)
        current_features(self.source.encoder, inputs[:2])  # what only the first call does
        start = perf_counter()
        current_features(self.source.encoder, inputs[:_ENCODED])
        return (perf_counter() - start) / len(inputs[:_ENCODED])


class _Measured(nn.Module):
    """A task that notes when its steps begin, and how much autograd keeps of one."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task = task
        self.kept = 0
        """Bytes, without weights."""
        self._starts: list[float] = []

    @property
    def seconds(self) -> float:
        """Of a step, with its data; the first one is left out if there are others."""
        starts = self._starts
        if len(starts) < 3:
            return starts[-1] - starts[0] if len(starts) > 1 else 0.0
        return (starts[-1] - starts[1]) / (len(starts) - 2)

    def forward(self, batch: Batch) -> StepOutput:
        self._starts.append(perf_counter())
        if not self.training:
            output: StepOutput = self.task(batch)
            return output
        weights = {w.untyped_storage().data_ptr() for w in self.task.parameters()}
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = self.task(batch)
        self.kept = max(self.kept, sum(sizes.values()))
        return output


def _combination(
    stage: str, config: SeparateConfig, data: TrainingData, widths: Mapping[str, int]
) -> PlannedPart:
    """Every form and variant of the combination, on random features and logits."""
    context = SourceContext.from_recipe(data, config)
    train, labels = config.fusion.features, len(context.labels)
    size, rows = train.batch_size * _HEAD_BATCHES, len(data.train)
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(size)
    features = {n: (torch.randn(size, w, generator=generator), index) for n, w in widths.items()}
    logits = {n: torch.randn(2, size, labels, generator=generator) for n in widths}
    culture = torch.randint(0, len(context.cultures) + 1, (size,), generator=generator)
    emotion = torch.randint(0, labels, (size,), generator=generator)
    outputs = SourceOutputs(features, logits, culture, emotion)
    (in_all, steps), seconds, epochs = _length(train, rows), 0.0, 1
    for form in config.fusion.forms:
        once = replace(config.fusion, form=form, features=replace(train, epochs=1, min_steps=0))
        start = perf_counter()
        with _quiet():
            fit_fusion(once, outputs, outputs, context)
        times = in_all if FUSION_INPUTS[form] == "features" else 1
        epochs = max(epochs, times)
        seconds += (perf_counter() - start) / size * rows * times
    held = 4 * rows * (sum(widths.values()) + 2 * labels * len(widths))
    counts = (rows, epochs, steps, train.batch_size)
    return PlannedPart(stage, "combine", *counts, held / 1e9, seconds / 3600)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the scores of a training on random numbers in the log."""
    logger = logging.getLogger(fit_fusion.__module__)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _length(config: TrainConfig, rows: int) -> tuple[int, int]:
    """Epochs, and batches of all of them."""
    batches = passes_in(config, rows) * math.ceil(rows / config.batch_size)
    epochs = epochs_in(config, batches)
    return epochs, epochs * batches


def _count(table: AnnotationTable, source: str) -> int:
    """The distinct inputs of a source: artworks with an image, or rows with a caption."""
    return len(_inputs(table, source))


def _inputs(table: AnnotationTable, source: str) -> np.ndarray:
    if source == "caption":
        return np.flatnonzero(table.has_caption)
    return np.unique(table.codes("artwork_id")[1][table.codes("image")[1] >= 0])


def _sample(table: AnnotationTable, source: str, size: int) -> AnnotationTable:
    """Rows with a random sample of the inputs of a source."""
    inputs = _inputs(table, source)
    chosen = np.random.default_rng(0).permutation(inputs)[:size]
    if source == "caption":
        return table.select(np.sort(chosen))
    return table.select(np.isin(table.codes("artwork_id")[1], chosen))
