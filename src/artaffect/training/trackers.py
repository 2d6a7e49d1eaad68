"""Experiment trackers: what a training sends to TensorBoard, MLflow, Weights & Biases or Trackio.

A tracker receives the settings of the recipe when the training begins, the scores of each epoch of each of
its trainings (``image/log_loss``) as they are known, and at the end the scores of the model on the validation
split (``final/both/overall/log_loss``, and likewise for each culture) with the report as an artifact.
Accelerate's trackers do most of the writing.
"""

import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from artaffect.errors import ConfigError, UnknownNameError
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import SEEDS, Histories
from artaffect.settings import flatten

PROJECT = "artaffect"
"""The project, or experiment, under which trackers list the runs."""
FOLDER = "tracking"
"""The folder beside the runs in which trackers keep what they record, unless their own variables say
otherwise."""

Settings = Mapping[str, str | int | float | bool]


@dataclass(frozen=True)
class Tracker:
    """How to open one of the trackers for a run.

    ``open`` takes the folder that all runs beside each other share, the name of the run and its settings.
    """

    package: str
    """What has to be importable; the extra that installs it has the name of the tracker."""
    open: Callable[[Path, str, Settings], AbstractContextManager[Any]]
    any_step: bool = True
    """Whether it takes the epochs of one training after those of another."""
    artifact: Callable[[Any, Path], None] | None = None
    """Stores a file with the run; None if the tracker stores no files."""


class Tracking:
    """What one run sends to its trackers; nothing if it has none."""

    def __init__(self, trackers: Sequence[tuple[Tracker, Any]] = ()) -> None:
        """Take each tracker with its open run."""
        self._trackers = trackers
        self._sent: set[tuple[str, float]] = set()

    def log_epoch(self, training: str, epoch: Mapping[str, float]) -> None:
        """Send the scores of an epoch of one training of the run, unless they were sent before."""
        key = (training, epoch["epoch"])
        if key in self._sent:
            return
        self._sent.add(key)
        values = {f"{training}/{name}": value for name, value in epoch.items()}
        self._log(values, int(epoch["epoch"]))

    def logger(self, training: str) -> Callable[[Mapping[str, float]], None]:
        """:meth:`log_epoch` of one training."""
        return partial(self.log_epoch, training)

    def finish(self, histories: Histories, result: EvaluationResult, report: Path) -> None:
        """Send the epochs that were not sent while they were trained, the final scores, and the report."""
        for training, epochs in histories.items():
            for epoch in epochs:
                self.log_epoch(training, epoch)
        self._log(final_scores(result))
        for tracker, run in self._trackers:
            if tracker.artifact is not None:
                tracker.artifact(run, report)

    def _log(self, values: Mapping[str, float], step: int | None = None) -> None:
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        for tracker, run in self._trackers:
            run.log(finite, step=step if tracker.any_step else None)


def final_scores(result: EvaluationResult) -> dict[str, float]:
    """The scores of each model, overall and for each culture, by names that every tracker takes."""
    return {
        f"final/{_part(model)}/{'overall' if culture is None else _part(culture)}/{metric}": e.value
        for model, scores in result.scores()
        for culture, group in scores.groups()
        for metric, e in group.metrics.items()
    }


def check_trackers(names: str | Sequence[str] | None) -> list[str]:
    """The names of trackers without repetitions; one may be given alone.

    Raises:
        UnknownNameError: there is no such tracker.
        ConfigError: its package is not installed.
    """
    chosen = list(dict.fromkeys([names] if isinstance(names, str) else names or ()))
    for name in chosen:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
        package = TRACKERS[name].package
        if find_spec(package) is None:
            raise ConfigError(
                f"the tracker {name} needs the package {package}: pip install 'artaffect[{name}]'"
            )
    return chosen


@contextmanager
def track_run(names: Sequence[str], out: Path, recipe: Mapping[str, Any]) -> Iterator[Tracking]:
    """Open trackers for the run ``out``, and close them whether or not the training succeeds.

    Args:
        recipe: the settings of the run, nested.
    """
    place = out.resolve()
    name = place.name
    if (place.parent / SEEDS).is_file():  # one of several seeds
        place = place.parent
        name = f"{place.name}/{name}"
    settings = {key: _plain(value) for key, value in flatten(recipe) if value is not None}
    with ExitStack() as stack:
        opened = []
        for tracker in (TRACKERS[each] for each in names):
            run = stack.enter_context(tracker.open(place.parent / FOLDER, name, settings))
            opened.append((tracker, run))
        yield Tracking(opened)


@contextmanager
def _tensorboard(folder: Path, name: str, settings: Settings) -> Iterator[Any]:
    from accelerate.tracking import TensorBoardTracker

    # steps from 0 on that an earlier attempt at this run has written are not shown
    run = TensorBoardTracker(name, folder / "tensorboard", purge_step=0)
    with _closing(run):
        run.tracker.add_hparams(dict(settings), {}, run_name=".")
        yield run


@contextmanager
def _mlflow(folder: Path, name: str, settings: Settings) -> Iterator[Any]:
    import mlflow
    from accelerate.tracking import MLflowTracker

    elsewhere = mlflow.is_tracking_uri_set()
    artifacts = None
    if not elsewhere:
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').as_posix()}")
        artifacts = (folder / "mlflow").as_uri()
    nested = mlflow.active_run() is not None
    run = MLflowTracker(PROJECT, artifacts, nested_run=nested, run_name=name)
    try:
        with _closing(run):
            run.store_init_configuration(dict(settings))
            try:
                yield run
            except BaseException:
                mlflow.end_run("FAILED")
                raise
    finally:
        if not elsewhere:
            mlflow.set_tracking_uri(None)


def _wandb(folder: Path, name: str, settings: Settings) -> AbstractContextManager[Any]:
    from accelerate.tracking import WandBTracker

    folder.mkdir(parents=True, exist_ok=True)
    mode = os.environ.get("WANDB_MODE", "offline")
    run = WandBTracker(PROJECT, name=name, config=dict(settings), dir=folder, mode=mode)
    return _closing(run)


@contextmanager
def _trackio(folder: Path, name: str, settings: Settings) -> Iterator[Any]:
    import trackio  # accelerate's tracker would leave the run open for Trackio until the process ends

    with redirect_stdout(sys.stderr):  # standard output is for results
        run = trackio.init(PROJECT, name, config=dict(settings), embed=False)
    try:
        yield run
    finally:
        with redirect_stdout(sys.stderr):
            trackio.finish()


@contextmanager
def _closing(run: Any) -> Iterator[Any]:
    from accelerate import PartialState

    PartialState()  # accelerate's trackers log through it
    run.start()
    try:
        yield run
    finally:
        run.finish()


def _log_artifact(run: Any, report: Path) -> None:
    """Keep a report as an artifact of a run of Weights & Biases or Trackio."""
    name = re.sub(r"[^\w.-]", "-", f"{run.name}-report")
    run.log_artifact(str(report), name=name, type="report")


TRACKERS: Mapping[str, Tracker] = {
    "tensorboard": Tracker("tensorboard", _tensorboard),
    "mlflow": Tracker(
        "mlflow", _mlflow, artifact=lambda run, report: run.log_artifact(str(report))
    ),
    "wandb": Tracker(
        "wandb",
        _wandb,
        any_step=False,
        artifact=lambda run, report: _log_artifact(run.tracker, report),
    ),
    "trackio": Tracker("trackio", _trackio, artifact=_log_artifact),
}
"""The trackers by the name that ``--tracker`` takes."""


def _plain(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _part(name: str) -> str:
    """A part of a metric's name, as MLflow takes it."""
    return re.sub(r"[^\w -]", "_", name).strip() or "_"
