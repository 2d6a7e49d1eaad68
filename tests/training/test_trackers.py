"""A run's settings, epochs, final scores and report, as the trackers' own libraries read them back."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

import artaffect as aa
from artaffect.config import SeparateConfig, TrainConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, UnknownNameError
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import read_histories
from artaffect.models.heads import EmotionHead
from artaffect.training.objectives import ClassificationTask
from artaffect.training.seeds import train_seeds
from artaffect.training.trackers import FOLDER, Tracker, Tracking, check_trackers, final_scores
from artaffect.training.trainer import Trainer
from tests.conftest import Command
from tests.training.test_trainer import rows


@pytest.fixture(scope="module")
def config(tiny_config: SeparateConfig) -> SeparateConfig:
    """A caption source alone: the shortest training."""
    return replace(tiny_config, image=None)


@pytest.fixture
def result(tiny_run: Path) -> EvaluationResult:
    return EvaluationResult.from_json(json.loads((tiny_run / "metrics.json").read_text("utf-8")))


def test_tensorboard_reads_back_settings_epochs_and_scores(
    sample_table: AnnotationTable, config: SeparateConfig, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for overwrite in (False, True):  # the second run takes the place of the first
        model = aa.train(
            sample_table, tmp_path / "first", config, tracker="tensorboard", overwrite=overwrite
        )
    events = EventAccumulator(str(tmp_path / FOLDER / "tensorboard" / "first"))
    events.Reload()
    history = read_histories(tmp_path / "first")["caption"]
    scalars = events.Scalars("caption/log_loss")
    assert [(e.step, e.value) for e in scalars] == [
        (epoch["epoch"], pytest.approx(epoch["log_loss"])) for epoch in history
    ]
    (final,) = events.Scalars("final/caption/arabic/macro_f1")
    assert final.value == pytest.approx(model.evaluation["caption"]["arabic"].macro_f1.value)
    settings = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"caption.train.learning_rate" in settings


@pytest.fixture
def quiet_mlflow() -> Iterator[None]:
    """MLflow's own messages, which pytest has no use for, and its engine for SQLite."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    yield
    for logger, level in zip(loggers, before, strict=True):
        logger.setLevel(level)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_mlflow_reads_back_each_seed_with_its_report(
    sample_table: AnnotationTable,
    config: SeparateConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    train_seeds(sample_table, config, tmp_path / "first", 2, trackers=["mlflow"])
    assert not mlflow.is_tracking_uri_set()  # other trainings of the process are not affected
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / FOLDER / 'mlflow.db'}")
    (experiment,) = (e for e in client.search_experiments() if e.name == "artaffect")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(runs) == ["first/seed-0", "first/seed-1"]
    run = runs["first/seed-1"]
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "1" and run.data.params["caption.hidden"] == "[16]"
    history = read_histories(tmp_path / "first" / "seed-1")["caption"]
    logged = client.get_metric_history(run.info.run_id, "caption/loss")
    assert [(m.step, m.value) for m in logged] == [(e["epoch"], e["loss"]) for e in history]
    assert 0 < run.data.metrics["final/caption/overall/accuracy"] < 1
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["report.html"]


def test_epochs_arrive_while_an_encoder_is_trained_and_again_when_training_resumes(
    tmp_path: Path,
) -> None:
    attempts: list[list[float]] = []
    for epochs in (2, 3):
        seen: list[float] = []
        attempts.append(seen)
        trainer = Trainer(
            TrainConfig(epochs=3, batch_size=64),
            folder=tmp_path,
            on_epoch=lambda epoch, seen=seen: seen.append(epoch["epoch"]),  # type: ignore[misc]
        )
        trainer.fit(ClassificationTask(EmotionHead(9, 0)), rows(), stop_after=epochs)
    assert attempts == [[1, 2], [1, 2, 3]]


class Recorded:
    """A run of a tracker that keeps what it gets."""

    def __init__(self) -> None:
        self.lines: list[tuple[dict[str, float], int | None]] = []

    def log(self, values: dict[str, float], step: int | None) -> None:
        self.lines.append((values, step))


def test_no_epoch_is_sent_twice_and_no_value_that_is_not_finite(
    result: EvaluationResult, tmp_path: Path
) -> None:
    run, other = Recorded(), Recorded()
    kind = Tracker("package", open=lambda *_: nullcontext())
    tracking = Tracking([(kind, run), (replace(kind, any_step=False), other)])
    epochs = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": float("nan")}]
    tracking.logger("image")(epochs[0])
    tracking.finish({"image": epochs}, result, tmp_path)
    assert run.lines[:2] == [({"image/epoch": 1, "image/loss": 2.0}, 1), ({"image/epoch": 2}, 2)]
    assert [step for _, step in other.lines] == [None, None, None]
    assert len(run.lines) == 3 and "final/both/overall/log_loss" in run.lines[2][0]


def test_names_of_cultures_become_names_that_every_tracker_takes(result: EvaluationResult) -> None:
    scores = result["both"]
    odd = replace(scores, by_culture={"عربي": scores["arabic"], "../a+b": scores["english"]})
    names = final_scores(replace(result, models={"both": odd}, baseline=None))
    assert {name.split("/")[2] for name in names} == {"overall", "عربي", "___a_b"}


def test_a_tracker_is_refused_before_any_work(
    artaffect: Command, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    with pytest.raises(UnknownNameError, match="unknown tracker 'tensorbord'. Did you mean"):
        aa.train(sample_table, tmp_path / "run", tracker="tensorbord")
    code, _, err = artaffect(
        *("train", "--data", tmp_path / "missing.parquet", "--out", tmp_path / "run"),
        *("--tracker", "tensorbord"),
    )
    assert code == 1 and "unknown tracker 'tensorbord'" in err and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [] and check_trackers(None) == []


def test_a_tracker_that_is_not_installed_names_its_package_and_extra(
    artaffect: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # cannot be imported
    code, _, err = artaffect(
        *("train", "--data", tmp_path / "missing.parquet", "--out", tmp_path / "run"),
        *("--tracker", "wandb"),
    )
    assert (code, err.strip()) == (
        1,
        "error: the tracker wandb needs the package wandb: pip install 'artaffect[wandb]'",
    )
    with pytest.raises(ConfigError, match="needs the package wandb"):
        check_trackers(["wandb"])
