"""The one training loop: it asks a task for a loss, and never what the task is about."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from artaffect.config import TrainConfig
from artaffect.errors import ConfigError
from artaffect.models.machine import machine_errors
from artaffect.models.precision import resolve
from artaffect.outputs import atomic_file
from artaffect.runtime import progress_bar
from artaffect.training.batches import Batch, BatchOrder, Rows
from artaffect.training.checkpoints import read_checkpoint, restore_weights, trained_weights

_logger = logging.getLogger(__name__)


Scores = Mapping[str, float]
"""Validation scores by the names of their metrics."""


@dataclass(frozen=True)
class StepOutput:
    """What a task returns for a batch."""

    loss: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)
    """Terms of the loss, for the training log."""


@dataclass(frozen=True)
class FitResult:
    """The outcome of a training."""

    best_epoch: int
    """Counted from 1; the last epoch if there was no validation."""
    best_score: float
    """Its validation score, of the metric in the settings; NaN without validation."""
    history: Sequence[Mapping[str, float]]
    """For each epoch ``epoch``, ``loss``, the terms of the loss, and the validation scores."""

    @classmethod
    def at_once(cls, loss: float, scores: Scores, metric: str) -> "FitResult":
        """The result of a fit to all rows at once, which counts as one epoch."""
        score = _score(scores, metric) if scores else math.nan
        return cls(1, score, [{"epoch": 1, "loss": loss, **scores}])

    def summary(self, metric: str = "log_loss") -> dict[str, float]:
        """The best epoch and its validation log-loss, and its score of another metric, as JSON."""
        best = self.history[self.best_epoch - 1]
        names = dict.fromkeys(("log_loss", metric))
        return {"best_epoch": self.best_epoch, **{f"validation_{n}": best[n] for n in names}}


@dataclass(frozen=True)
class Trainer:
    """Trains a task: a module whose ``forward(batch)`` returns a :class:`StepOutput`.

    Randomness depends on the position in the training alone: the order of an epoch on the seed and the
    epoch, dropout on the seed, the epoch and the batch. So a training that was killed and resumes from
    its checkpoint ends with the same weights as one that was not.
    """

    config: TrainConfig
    seed: int = 0
    folder: Path | None = None
    """For ``checkpoint.pt`` and ``metrics.jsonl``. Training resumes from an existing checkpoint. Without a
    folder, nothing is written."""
    checkpoint_every: int = 500
    """Batches between checkpoints, in addition to one after each epoch."""
    device: Literal["cpu", "auto"] = "cpu"
    """``auto`` trains on a GPU if there is one; heads on features are too small to gain from it."""
    section: str = "train"
    """Where the recipe holds these settings; messages name it."""
    on_epoch: Callable[[Mapping[str, float]], None] = lambda epoch: None
    """Receives each entry of the history as it is known, those of a checkpoint at once."""

    def fit(
        self,
        task: nn.Module,
        rows: Rows,
        validate: Callable[[], Scores] | None = None,
        stop_after: int | None = None,
    ) -> FitResult:
        """Train, and leave the task with the weights of its best epoch.

        Under ``torchrun`` or ``accelerate launch`` every batch is divided among the processes.

        Args:
            validate: computes scores of the current model, among them the metric in the settings;
                without it the last epoch is kept.
            stop_after: stop after this many epochs of the schedule.

        Raises:
            ConfigError: the training diverges; the checkpoint belongs to other settings; validation
                does not compute the metric in the settings; a batch cannot be divided evenly among the
                processes; or the machine cannot compute in the precision of the settings.
            ResourceError: the machine has too little memory for a batch.
        """
        run = _Run(self, task, rows)
        run.resume()
        for epoch in run.history:
            self.on_epoch(epoch)
        last = min(stop_after or run.epochs, run.epochs)
        with progress_bar(transient=True) as bar:
            progress = bar.add_task("training", total=last * run.batches, completed=run.done)
            while run.epoch < last and not run.is_stale:
                run.train_epoch(lambda: bar.update(progress, completed=run.done))
                task.eval()
                run.close_epoch(validate() if validate else {})
                self.on_epoch(run.history[-1])
        restore_weights(task, run.best_weights)
        task.eval()
        if self.device == "auto":
            task.to("cpu")
        return FitResult(run.best_epoch, run.best_score, run.history)


class _Run:
    """The state of one training: all that a checkpoint has to hold."""

    progress = ("epoch", "batch", "sums", "best_epoch", "best_score", "best_weights", "history")
    """What a checkpoint records beside weights and optimizer."""

    def __init__(self, trainer: Trainer, task: nn.Module, rows: Rows) -> None:
        config = trainer.config
        self.trainer, self.config, self.task, self.rows = trainer, config, task, rows
        # a process may train several tasks in turn, each in its own precision
        AcceleratorState._reset_state()
        try:
            self.accelerator = Accelerator(
                cpu=trainer.device == "cpu",
                mixed_precision=_mixed_precision(config.precision, trainer.device),
                gradient_accumulation_steps=config.accumulation,
                dataloader_config=DataLoaderConfiguration(split_batches=True),
                # weights that an objective does not use get no gradient
                kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
            )
        except ValueError as error:  # the machine lacks what the precision needs
            raise ConfigError(
                f"{trainer.section}.precision = {config.precision!r} cannot be used here: {error}"
            ) from None
        processes = self.accelerator.num_processes
        if config.batch_size % processes:
            raise ConfigError(
                f"batch_size = {config.batch_size} cannot be shared by {processes} processes: "
                "make it a multiple of their number"
            )
        self.order = torch.Generator()
        loader = DataLoader(
            rows,
            batch_sampler=BatchOrder(
                rows, config.batch_size, self.order, passes_in(config, len(rows))
            ),
            collate_fn=_unchanged,
            generator=self.order,
            num_workers=rows.workers,
            pin_memory=self.accelerator.device.type == "cuda",
        )
        trained = [weight for weight in task.parameters() if weight.requires_grad]
        rate, decay = config.learning_rate, config.weight_decay
        optimizer = AdamW(trained, rate, weight_decay=decay, fused=True)
        self.model, self.optimizer, self.loader = self.accelerator.prepare(task, optimizer, loader)
        self.batches = len(self.loader)
        self.epochs = epochs_in(config, self.batches)
        steps = -(-self.batches // config.accumulation) * self.epochs
        self.schedule = LambdaLR(optimizer, lambda step: _rate(step, steps, config.warmup))
        self.settings = {**asdict(config), "seed": trainer.seed, "batches": self.batches}
        self.stateful: dict[str, Any] = {"optimizer": self.optimizer, "schedule": self.schedule}
        if self.accelerator.scaler is not None:
            self.stateful["scaler"] = self.accelerator.scaler
        self.epoch, self.batch, self.best_epoch, self.best_score = 0, 0, 0, math.nan
        self.sums: dict[str, float] = {}
        """Loss and its terms, summed over the batches of the epoch."""
        self.best_weights: dict[str, Tensor] = {}
        self.shapes = ""
        self.history: list[dict[str, float]] = []

    @property
    def is_stale(self) -> bool:
        """Whether the validation score has not improved for `patience` epochs."""
        return self.epoch - self.best_epoch >= self.config.patience and self.best_epoch > 0

    @property
    def done(self) -> int:
        return self.epoch * self.batches + self.batch

    @property
    def position(self) -> str:
        """The current batch and epoch, for messages."""
        return f"batch {self.batch + 1} of epoch {self.epoch + 1}"

    def train_epoch(self, advance: Callable[[], None]) -> None:
        """Train from the current batch to the end of the epoch."""
        self.order.manual_seed(_mix(self.trainer.seed, self.epoch))
        self.rows.begin_epoch(self.epoch)
        self.model.train()
        loader = skip_first_batches(self.loader, self.batch) if self.batch else self.loader
        remedy = (
            f"lower {self.trainer.section}.batch_size, now {self.config.batch_size}, and raise "
            f"accumulation, now {self.config.accumulation}, by the same factor; "
            "precision = 'bf16' halves the memory of activations on a GPU"
        )
        with machine_errors(lambda: f"{self.position}{self.shapes}", remedy):
            for batch in loader:
                self.shapes = _shapes(batch)
                rank = self.accelerator.process_index
                self._seed(_mix(self.trainer.seed, self.epoch, self.batch, rank))
                output = self._step(batch)
                for name, term in {"loss": output.loss, **output.terms}.items():
                    self.sums[name] = self.sums.get(name, 0.0) + self._finite(term.item())
                self.batch += 1
                advance()
                # a checkpoint holds no accumulated gradients
                at_checkpoint = self.batch % self.trainer.checkpoint_every == 0
                if at_checkpoint and self.accelerator.sync_gradients:
                    self.save()

    def _seed(self, seed: int) -> None:
        """Seed dropout; torch takes long over devices that are not in use, so only where they are."""
        if self.accelerator.device.type == "cpu":
            torch.default_generator.manual_seed(seed)
        else:
            torch.manual_seed(seed)

    def _finite(self, value: float) -> float:
        if not math.isfinite(value):
            raise ConfigError(
                f"training diverged in {self.position}: lower {self.trainer.section}.learning_rate, "
                f"now {self.config.learning_rate:g}"
            )
        return value

    def _step(self, batch: Batch) -> StepOutput:
        with self.accelerator.accumulate(self.model):
            output: StepOutput = self.model(batch)
            self.accelerator.backward(output.loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
                self.optimizer.step()
                self.schedule.step()
                self.optimizer.zero_grad()
        return output

    def close_epoch(self, scores: Scores) -> None:
        """Record the epoch's loss and scores; keep its weights if they are the best."""
        means = {name: total / self.batch for name, total in self.sums.items()}
        self.history.append({"epoch": self.epoch + 1, **means, **scores})
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}
        score = self._finite(_score(scores, self.config.metric)) if scores else math.nan
        better = not self.best_weights or self.config.sign * (score - self.best_score) > 0
        if not scores or better:
            self.best_epoch, self.best_score = self.epoch, score
            weights = trained_weights(self.task)
            self.best_weights = {name: weight.clone() for name, weight in weights.items()}
        self.save()
        if self.trainer.folder and self.accelerator.is_main_process:
            line = ", ".join(f"{name} {value:.4f}" for name, value in {**means, **scores}.items())
            _logger.info(f"epoch {self.epoch} of {self.epochs}: {line}")

    def save(self) -> None:
        """Write the checkpoint, atomically, and the history so far, one line per epoch."""
        folder = self.trainer.folder
        if folder is None or not self.accelerator.is_main_process:
            return
        state = {
            "settings": self.settings,
            "progress": {name: getattr(self, name) for name in self.progress},
            "task": trained_weights(self.task),
            **{name: part.state_dict() for name, part in self.stateful.items()},
        }
        with atomic_file(folder / "checkpoint.pt") as temporary, temporary.open("wb") as file:
            torch.save(state, file)  # of a path, torch does not say why it cannot be written
        lines = (json.dumps(epoch) + "\n" for epoch in self.history)
        with atomic_file(folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(lines), "utf-8")

    def resume(self) -> None:
        """Continue from the folder's checkpoint, if it has one."""
        path = self.trainer.folder and self.trainer.folder / "checkpoint.pt"
        if path is None or not path.is_file():
            return
        state = read_checkpoint(path)
        if state is None:
            return
        if state["settings"] != self.settings:
            raise ConfigError(
                f"{path} belongs to a training with other settings: "
                "delete it to start again, or use the settings it was made with"
            )
        for name, value in state["progress"].items():
            setattr(self, name, value)
        restore_weights(self.task, state["task"])
        for name, part in self.stateful.items():
            part.load_state_dict(state[name])


def _score(scores: Scores, metric: str) -> float:
    if metric not in scores:
        raise ConfigError(
            f"metric = {metric!r} is not computed in this training: choose one of {', '.join(scores)}"
        )
    return scores[metric]


def passes_in(config: TrainConfig, rows: int) -> int:
    """Passes over so many rows in one epoch: more than one where few rows would make too few steps."""
    steps = config.epochs * math.ceil(rows / config.batch_size / config.accumulation)
    return math.ceil(config.min_steps / steps) or 1


def epochs_in(config: TrainConfig, batches: int) -> int:
    """Epochs of so many batches each: fewer than set where they would make too many steps."""
    if config.max_steps is None:
        return config.epochs
    steps = -(-batches // config.accumulation)
    return min(config.epochs, max(1, round(config.max_steps / steps)))


def _mixed_precision(precision: str, device: str) -> str:
    """What accelerate calls a precision; heads, which are trained on the CPU alone, stay in float32."""
    if precision == "auto":
        return "bf16" if device == "auto" and resolve("auto") == "bfloat16" else "no"
    return "no" if precision == "full" else precision


def _shapes(batch: Batch) -> str:
    tensors = (f"{n} {tuple(v.shape)}" for n, v in batch.items() if isinstance(v, Tensor))
    return f" ({', '.join(tensors)})"


def _mix(*numbers: int) -> int:
    """A seed that differs if any of the numbers does."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear rise, then half a cosine down to zero."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _unchanged(batch: Any) -> Any:
    """Rows are read as whole batches already."""
    return batch
