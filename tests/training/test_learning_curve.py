"""Learning curves: samples that grow, scored on the same rows, resumed and extended."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import artaffect as aa
from artaffect.config import CaptionSourceConfig, SeparateConfig, TrainConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError
from artaffect.reports.learning_curve import LearningCurve
from artaffect.training.learning_curve import draw_sample
from artaffect.training.recipes import resolve_recipe
from artaffect.training.run import train_run
from tests.conftest import Command
from tests.tiny import save_bert


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> SeparateConfig:
    train = TrainConfig(epochs=3, min_steps=20, learning_rate=0.01)
    encoder = str(save_bert(tmp_path_factory.mktemp("bert")))
    return SeparateConfig(caption=CaptionSourceConfig(encoder=encoder, train=train), folds=3)


def draw(
    table: AnnotationTable, folder: Path, sizes: list[int | str], recipe: SeparateConfig
) -> LearningCurve:
    first, cache = folder / "first", folder / "cache"
    return aa.learning_curve(
        table, folder / "out", sizes, recipe, initial=first, seeds=2, cache=cache
    )


@pytest.fixture(scope="module")
def curve(
    sample_table: AnnotationTable, recipe: SeparateConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, LearningCurve]:
    folder = tmp_path_factory.mktemp("curve")
    train_run(sample_table, recipe, folder / "first", folder / "cache")
    return folder, draw(sample_table, folder, [40, "all"], recipe)


def test_every_size_scores_the_same_models_on_the_same_rows(
    curve: tuple[Path, LearningCurve], sample_table: AnnotationTable
) -> None:
    result = curve[1]
    everything = len(sample_table.of_split("train"))
    assert list(result.scores) == [40, everything]
    test = len(sample_table.of_split("test"))
    for scores in result.scores.values():
        assert list(scores.models) == ["baseline", "initial", "scratch", "initialized"]
        assert scores.protocol["rows"] == test
        assert len(scores["scratch"].overall.by_seed["accuracy"]) == 2
    small, large = (scores["initial"].log_loss.value for scores in result.scores.values())
    assert small == large  # the initial model knows nothing of the samples
    first = next(iter(result.scores.values())).comparisons[0]
    difference = first.by_group.overall["log_loss"].value
    both = [result.scores[40][m].log_loss.value for m in (first.first, first.second)]
    assert difference == pytest.approx(both[0] - both[1])


def test_files_hold_what_the_result_holds(curve: tuple[Path, LearningCurve]) -> None:
    folder, result = curve
    frame = result.to_frame()
    rows = frame[(frame.model == "scratch") & frame.minus.isna() & (frame.metric == "accuracy")]
    assert rows.value.tolist() == [s["scratch"].accuracy.value for s in result.scores.values()]
    assert (rows.seconds > 0).all()
    saved = json.loads((folder / "out" / "curve.json").read_text("utf-8"))
    assert saved["protocol"]["initial"] == str(folder / "first")
    page = (folder / "out" / "report.html").read_text("utf-8")
    assert "begun with the initial model" in page and "<svg" in page
    assert "40, from scratch" in repr(result)


def test_finished_trainings_are_kept_and_sizes_can_be_added(
    curve: tuple[Path, LearningCurve], sample_table: AnnotationTable, recipe: SeparateConfig
) -> None:
    folder, before = curve
    points = folder / "out" / "points"
    times = {file.name: file.stat().st_mtime_ns for file in points.iterdir()}
    again = draw(sample_table, folder, [40, 60], recipe)
    assert list(again.scores) == [40, 60]
    assert again.scores[40]["initialized"] == before.scores[40]["initialized"]
    assert all((points / name).stat().st_mtime_ns == time for name, time in times.items())
    with pytest.raises(ConfigError, match="holds another curve"):
        other = replace(recipe, initial=str(folder / "first"), culture="off")
        aa.learning_curve(sample_table, folder / "out", [40], other)


def test_a_smaller_sample_is_part_of_a_larger_one(sample_table: AnnotationTable) -> None:
    small, large, other = (
        set(draw_sample(sample_table, size, seed).strings("annotation_id"))
        for size, seed in ((40, 0), (60, 0), (40, 1))
    )
    assert (len(small), len(large)) == (40, 60)
    assert small < large and small != other


def test_sizes_that_cannot_be_drawn_are_refused(
    sample_table: AnnotationTable, recipe: SeparateConfig, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="at least 2, or all; got 'many'"):
        aa.learning_curve(sample_table, tmp_path / "out", ["many"], recipe)
    with pytest.raises(InputError, match="no size is within"):
        aa.learning_curve(sample_table, tmp_path / "out", [10**6], recipe)
    with pytest.raises(InputError, match="split must be val or test"):
        aa.learning_curve(sample_table, tmp_path / "out", [40], recipe, split="train")
    with pytest.raises(ConfigError, match="of the kind 'separate'"):
        aa.learning_curve(sample_table, tmp_path / "out", [40], "joint")


def test_one_source_of_a_recipe_can_be_chosen() -> None:
    config = resolve_recipe("compact", {"seed": 3}, "caption")
    assert isinstance(config, SeparateConfig) and list(config.sources) == ["caption"]
    assert config.seed == 3
    with pytest.raises(ConfigError, match="no source 'sound'; its sources: image and caption"):
        resolve_recipe("compact", sources=["sound"])
    with pytest.raises(ConfigError, match="none to choose from"):
        resolve_recipe("joint", sources=["image"])


def test_the_command_writes_the_curve(
    artaffect: Command, sample_table: AnnotationTable, recipe: SeparateConfig, tmp_path: Path
) -> None:
    assert recipe.caption is not None
    sample_table.save(tmp_path / "table.parquet")
    settings = (f"caption.encoder={recipe.caption.encoder}", "caption.train.epochs=1")
    changes = [word for setting in settings for word in ("--set", setting)]
    code, out, err = artaffect(
        *("learning-curve", "--data", tmp_path / "table.parquet", "--out", tmp_path / "curve"),
        *("--source", "caption", "--sizes", "30,50", "--seeds", 1, *changes),
    )
    assert code == 0, err
    assert "50, from scratch" in out and "report: " in err
    assert (tmp_path / "curve" / "curve.csv").is_file()
