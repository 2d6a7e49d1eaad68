"""The one loop. It asks a task for a loss and never what the task is about."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from artaffect.config import TrainConfig

Batch = Mapping[str, Tensor]


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
    """The validation score of that epoch, lower is better; NaN where there was none."""
    history: Sequence[Mapping[str, float]]
    """For each epoch: ``loss`` and ``score``."""


class TensorRows(Dataset[Batch]):
    """Rows that lie in memory as tensors of one length; a batch is one look-up, not one per row.

    ``shared`` holds columns of which many rows share a value, as (values, each row's index): a
    painting's features are not copied for each of its captions.
    """

    def __init__(
        self, shared: Mapping[str, tuple[Tensor, Tensor]] | None = None, **columns: Tensor
    ) -> None:
        self.columns = columns
        self.shared = dict(shared or {})
        lengths = {name: len(column) for name, column in columns.items()}
        lengths |= {name: len(index) for name, (_, index) in self.shared.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns differ in length: {lengths}")
        self._length = next(iter(lengths.values()))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        return {name: column[0] for name, column in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.tensor(indices)
        batch = {name: column[rows] for name, column in self.columns.items()}
        return batch | {name: values[index[rows]] for name, (values, index) in self.shared.items()}


class Trainer:
    """Trains a task: a module whose ``forward(batch)`` gives a :class:`StepOutput`."""

    def __init__(self, config: TrainConfig, seed: int = 0) -> None:
        self.config = config
        self.seed = seed

    def fit(
        self,
        task: nn.Module,
        rows: TensorRows,
        validate: Callable[[], float] | None = None,
        stop_after: int | None = None,
    ) -> FitResult:
        """Train, and leave the task with the weights of its best epoch.

        Args:
            task: model and loss.
            rows: the training rows, drawn in a new order each epoch.
            validate: scores the model as it stands, lower is better; without it the last epoch is
                kept.
            stop_after: end after this many epochs of the schedule.
        """
        torch.manual_seed(self.seed)
        # rows and validation lie in main memory, and heads on features are small
        accelerator = Accelerator(cpu=True)
        loader = DataLoader(
            rows,
            batch_size=self.config.batch_size,
            shuffle=True,
            collate_fn=_as_is,
            generator=torch.Generator().manual_seed(self.seed),
        )
        optimizer = torch.optim.AdamW(
            [p for p in task.parameters() if p.requires_grad],
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
        )
        model, optimizer, loader = accelerator.prepare(task, optimizer, loader)
        steps = len(loader) * self.config.epochs
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: _rate(step, steps, self.config.warmup)
        )
        best_epoch, best_score, best_weights = 0, math.inf, None
        history: list[dict[str, float]] = []
        for epoch in range(1, (stop_after or self.config.epochs) + 1):
            model.train()
            total = torch.zeros(())
            for batch in loader:
                output: StepOutput = model(batch)
                accelerator.backward(output.loss)
                accelerator.clip_grad_norm_(model.parameters(), self.config.gradient_clip)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                total += output.loss.detach().cpu()
            model.eval()
            score = validate() if validate else math.nan
            history.append({"loss": float(total) / len(loader), "score": score})
            if not validate or score < best_score:
                best_epoch, best_score = epoch, score
                best_weights = {n: w.detach().clone() for n, w in task.state_dict().items()}
            elif epoch - best_epoch >= self.config.patience:
                break
        if best_weights is None:
            raise ArithmeticError("training diverged: no epoch had a finite validation score")
        task.load_state_dict(best_weights)
        task.eval()
        return FitResult(best_epoch, best_score, history)


def _rate(step: int, steps: int, warmup: float) -> float:
    """Linear rise, then a half cosine down to zero."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _as_is(batch: Any) -> Any:
    """The rows come as a batch already."""
    return batch
