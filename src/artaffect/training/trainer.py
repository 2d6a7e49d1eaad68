"""The one loop. It asks a task for a loss and never what the task is about."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator, DataLoaderConfiguration, skip_first_batches
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader

from artaffect.config import TrainConfig
from artaffect.errors import ConfigError, ResourceError
from artaffect.runtime import atomic_file, progress_bar
from artaffect.training.batches import Batch, BatchOrder, Rows, as_is

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepOutput:
    """What a task gives for a batch."""

    loss: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    """Terms of the loss, for the record."""


@dataclass(frozen=True)
class FitResult:
    """How a training went."""

    best_epoch: int
    """Counted from 1; the last one where there was no validation."""
    best_score: float
    """That epoch's validation score, of the metric in the settings; NaN where there was none."""
    history: Sequence[Mapping[str, float]]
    """For each epoch: ``loss``, the terms that the task gives, and the validation scores."""


class Trainer:
    """Trains a task: a module whose ``forward(batch)`` gives a :class:`StepOutput`.

    Randomness is a function of the place in the training: the order of an epoch follows from the
    seed and the epoch, dropout from the seed, the epoch and the batch. So a training that was
    killed and goes on from its checkpoint ends in the same weights as one that was not.
    """

    def __init__(
        self,
        config: TrainConfig,
        seed: int = 0,
        folder: Path | None = None,
        checkpoint_every: int = 500,
        device: Literal["cpu", "auto"] = "cpu",
    ) -> None:
        """Prepare a training.

        Args:
            folder: where ``checkpoint.pt``, ``metrics.jsonl`` and, with TensorBoard installed, its
                events are kept; none are without it. A checkpoint that is there is gone on from.
            checkpoint_every: batches between checkpoints; there is one after each epoch besides.
            device: ``auto`` trains on the GPU where there is one; heads on features are small, and
                as fast without.
        """
        self.config = config
        self.seed = seed
        self.folder = folder
        self.checkpoint_every = checkpoint_every
        self.device = device

    def fit(
        self,
        task: nn.Module,
        rows: Rows,
        validate: Callable[[], Mapping[str, float]] | None = None,
        stop_after: int | None = None,
    ) -> FitResult:
        """Train, and leave the task with the weights of its best epoch.

        Under ``torchrun`` or ``accelerate launch`` each process takes its part of every batch.

        Args:
            task: model and loss.
            rows: the training rows, drawn in a new order each epoch.
            validate: scores the model as it stands, the settings' metric among others; without it
                the last epoch is kept.
            stop_after: end after this many epochs of the schedule.

        Raises:
            ConfigError: the folder's checkpoint belongs to other settings; the validation does not
                give the settings' metric; or a batch cannot be shared evenly by the processes.
            ResourceError: the machine has too little memory for a batch.
            ArithmeticError: no epoch had a finite validation score.
        """
        run = _Run(self, task, rows)
        if self.folder is not None:
            run.resume(self.folder)
        last = min(stop_after or self.config.epochs, self.config.epochs)
        with progress_bar(transient=True) as bar:
            shown = bar.add_task("training", total=last * run.batches, completed=run.done)
            while run.epoch < last and not run.is_stale:
                run.train_epoch(lambda: bar.update(shown, completed=run.done))
                task.eval()
                run.close_epoch(validate() if validate else {})
        if not run.best_weights:
            raise ArithmeticError("training diverged: no epoch had a finite validation score")
        put_weights(task, run.best_weights)
        task.eval()
        if self.device == "auto":
            task.to("cpu")
        score = run.best_score if validate else math.nan
        return FitResult(run.best_epoch, score, run.history)


class _Run:
    """One training under way, and all that a checkpoint has to hold of it."""

    def __init__(self, trainer: Trainer, task: nn.Module, rows: Rows) -> None:
        self.trainer, self.config, self.task, self.rows = trainer, trainer.config, task, rows
        # one process may train several tasks in turn, each in its own precision
        AcceleratorState._reset_state()
        self.accelerator = Accelerator(
            cpu=trainer.device == "cpu",
            mixed_precision={"full": "no"}.get(self.config.precision, self.config.precision),
            gradient_accumulation_steps=self.config.accumulation,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            # heads and ends of encoders that an objective leaves out get no gradient
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        processes = self.accelerator.num_processes
        if self.config.batch_size % processes:
            raise ConfigError(
                f"batch_size = {self.config.batch_size} cannot be shared by {processes} processes: "
                "make it a multiple of their number"
            )
        self.order = torch.Generator()
        loader = DataLoader(
            rows,
            batch_sampler=BatchOrder(rows, self.config.batch_size, self.order),
            collate_fn=as_is,
            generator=self.order,
            num_workers=rows.workers,
            pin_memory=self.accelerator.device.type == "cuda",
        )
        optimizer = torch.optim.AdamW(
            [p for p in task.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        self.model, self.optimizer, self.loader = self.accelerator.prepare(task, optimizer, loader)
        steps = -(-self.batches // self.config.accumulation) * self.config.epochs
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _rate(step, steps, self.config.warmup)
        )
        self.epoch, self.batch = 0, 0
        self.sums: dict[str, float] = {}
        """Loss and its terms, added up over the epoch's batches."""
        self.best_epoch, self.best_score = 0, math.nan
        self.best_weights: dict[str, Tensor] = {}
        self.history: list[dict[str, float]] = []

    @property
    def is_stale(self) -> bool:
        """Whether validation has not improved for as long as patience lasts."""
        return self.epoch - self.best_epoch >= self.config.patience and self.best_epoch > 0

    @property
    def batches(self) -> int:
        """Batches an epoch."""
        return len(self.loader)

    @property
    def done(self) -> int:
        """Batches trained so far."""
        return self.epoch * self.batches + self.batch

    def train_epoch(self, advance: Callable[[], None]) -> None:
        """Train to the end of the epoch, from the batch where it stands."""
        self.order.manual_seed(_mix(self.trainer.seed, self.epoch))
        self.rows.begin_epoch(self.epoch)
        self.model.train()
        loader = self.loader
        if self.batch:
            loader = skip_first_batches(self.loader, self.batch)
        for batch in loader:
            rank = self.accelerator.process_index
            torch.manual_seed(_mix(self.trainer.seed, self.epoch, self.batch, rank))
            try:
                output = self._step(batch)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                raise ResourceError(
                    f"too little memory for batch {self.batch + 1} of epoch {self.epoch + 1} "
                    f"({_shapes(batch)}): lower batch_size, now {self.config.batch_size}, and raise "
                    f"accumulation, now {self.config.accumulation}, by as much; "
                    "precision='bf16' halves what a GPU has to hold"
                ) from None
            for name, term in {"loss": output.loss, **output.parts}.items():
                self.sums[name] = self.sums.get(name, 0.0) + term.item()
            self.batch += 1
            advance()
            # gradients under way are in no checkpoint
            if self.batch % self.trainer.checkpoint_every == 0 and self.accelerator.sync_gradients:
                self.save()

    def _step(self, batch: Batch) -> StepOutput:
        with self.accelerator.accumulate(self.model):
            output: StepOutput = self.model(batch)
            self.accelerator.backward(output.loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
            self.optimizer.step()
            if self.accelerator.sync_gradients:
                self.schedule.step()
            self.optimizer.zero_grad()
        return output

    def close_epoch(self, scores: Mapping[str, float]) -> None:
        """Note the epoch's loss and scores; keep its weights if they are the best."""
        means = {name: total / self.batch for name, total in self.sums.items()}
        self.history.append({**means, **scores})
        self.epoch, self.batch, self.sums = self.epoch + 1, 0, {}
        if scores and self.config.metric not in scores:
            raise ConfigError(
                f"metric = {self.config.metric!r} is no score of this training: "
                f"choose one of {', '.join(scores)}"
            )
        score = scores[self.config.metric] if scores else math.nan
        if not scores or self._is_better(score):
            self.best_epoch, self.best_score = self.epoch, score
            self.best_weights = {n: w.detach().clone() for n, w in trained_weights(self.task)}
        self.save()
        if self.trainer.folder is not None and self.accelerator.is_main_process:
            shown = ", ".join(f"{name} {value:.4f}" for name, value in self.history[-1].items())
            _logger.info(f"epoch {self.epoch} of {self.config.epochs}: {shown}")

    def _is_better(self, score: float) -> bool:
        if not math.isfinite(score):
            return False
        sign = -1 if self.config.metric == "log_loss" else 1
        return not self.best_weights or sign * score > sign * self.best_score

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and the course so far, a line an epoch."""
        folder = self.trainer.folder
        if folder is None or not self.accelerator.is_main_process:
            return
        state = {
            "settings": self._settings(),
            "place": {name: getattr(self, name) for name in _PLACE},
            "task": dict(trained_weights(self.task)),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        if self.accelerator.scaler is not None:
            state["scaler"] = self.accelerator.scaler.state_dict()
        with atomic_file(folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)
        lines = (
            json.dumps({"epoch": number, **epoch}) + "\n"
            for number, epoch in enumerate(self.history, start=1)
        )
        with atomic_file(folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(lines), "utf-8")
        if self.batch == 0:
            _write_tensorboard(folder, self.history)

    def resume(self, folder: Path) -> None:
        """Go on from the folder's checkpoint, if it has one."""
        path = folder / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["settings"] != self._settings():
            raise ConfigError(
                f"{path} belongs to a training with other settings: "
                "delete it to begin anew, or use the settings it was made with"
            )
        for name, value in state["place"].items():
            setattr(self, name, value)
        put_weights(self.task, state["task"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])

    def _settings(self) -> dict[str, Any]:
        return {**asdict(self.config), "seed": self.trainer.seed, "batches": self.batches}


def trained_weights(task: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What training changes: weights that are not frozen, and buffers."""
    frozen = {name for name, weight in task.named_parameters() if not weight.requires_grad}
    return ((name, value) for name, value in task.state_dict().items() if name not in frozen)


def put_weights(task: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put back what :func:`trained_weights` gave."""
    expected = {name for name, _ in trained_weights(task)}
    if expected != set(weights):
        raise ConfigError("a checkpoint does not fit the model: delete it to begin anew")
    task.load_state_dict(dict(weights), strict=False)


def _is_out_of_memory(error: BaseException) -> bool:
    # the CPU's allocator raises a plain RuntimeError
    return isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error)


def _shapes(batch: Batch) -> str:
    shapes = {name: value for name, value in batch.items() if isinstance(value, Tensor)}
    return ", ".join(f"{name} {tuple(value.shape)}" for name, value in shapes.items())


def _write_tensorboard(folder: Path, history: Sequence[Mapping[str, float]]) -> None:
    """The course so far, for those who have TensorBoard."""
    if find_spec("tensorboard") is None or not history:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / "tensorboard") as writer:
        for name, value in history[-1].items():
            writer.add_scalar(name, value, len(history))


_PLACE = ("epoch", "batch", "sums", "best_epoch", "best_score", "best_weights", "history")
"""Where a training stands."""


def _mix(*numbers: int) -> int:
    """A seed that differs wherever one of the numbers does."""
    digest = hashlib.blake2b(repr(numbers).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear rise, then a half cosine down to zero."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
