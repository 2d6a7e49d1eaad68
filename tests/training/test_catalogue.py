"""The list of the runs in a folder, and their comparison."""

import csv
import json
import shutil
from pathlib import Path

import pytest

import artaffect as aa
from artaffect.config import Recipe, SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, OutputError
from artaffect.training.catalogue import nearest_recipe
from artaffect.training.data import table_digest
from artaffect.training.recipes import recipe_of
from artaffect.training.seeds import train_seeds
from tests.conftest import Command


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
    tiny_run: Path,
) -> Path:
    root = tmp_path_factory.mktemp("several")
    shutil.copytree(tiny_run, root / "nested" / "tiny")
    train_seeds(sample_table, tiny_config, root / "seeds", 2)
    (root / "notes").mkdir()
    (root / "broken").mkdir()
    (root / "broken" / "SHA256SUMS").write_text("nothing")
    return root


def test_every_run_is_listed_once_with_what_made_it(
    folder: Path, sample_table: AnnotationTable, log_messages: list[str]
) -> None:
    runs = {run.name: run for run in aa.list_runs(folder)}
    assert set(runs) == {"nested/tiny", "seeds"}
    assert any("left out" in text and "broken" in text for text in log_messages)
    single, several = runs["nested/tiny"], runs["seeds"]
    assert single.seeds == [0] and several.seeds == [0, 1] and several.seeds_in_short == "0, 1"
    assert single.digest == several.digest == table_digest(sample_table)
    assert single.recipe == "compact" and "fusion.latent=8" in single.settings
    assert not any(setting.startswith("seed=") for setting in several.settings)
    assert single.sources == ["image", "caption"] and single.synthetic
    assert single.trained.startswith("20") and single.trained.endswith("+00:00")
    saved = json.loads((folder / "seeds" / "metrics.json").read_text("utf-8"))
    metrics = saved["models"]["both"]["overall"]["metrics"]
    assert several.scores["log_loss"] == metrics["log_loss"]["value"]


def test_the_nearest_recipe_tells_how_to_train_it_again() -> None:
    for name in ("compact", "joint", "tune-e5"):
        assert nearest_recipe(recipe_of(load_recipe(name, Recipe))) == (name, [])
    changes = ["caption.hidden=[512]", 'culture="off"']
    config = load_recipe("compact", SeparateConfig, [*changes, "seed=3"])
    assert nearest_recipe(recipe_of(config)) == ("compact", changes)
    assert load_recipe("compact", SeparateConfig, [*changes, "seed=3"]) == config


def test_a_list_is_sorted_filtered_and_written(
    artaffect: Command, folder: Path, tmp_path: Path
) -> None:
    by_loss = [run.scores["log_loss"] for run in aa.list_runs(folder, "log_loss")]
    assert by_loss == sorted(by_loss)
    by_accuracy = [run.scores["accuracy"] for run in aa.list_runs(folder, "accuracy")]
    assert by_accuracy == sorted(by_accuracy, reverse=True)
    assert [run.name for run in aa.list_runs(folder, "name")] == ["nested/tiny", "seeds"]
    assert [run.name for run in aa.list_runs(folder, where={"seeds": "0, "})] == ["seeds"]
    code, printed, err = artaffect(
        *("runs", folder, "--where", "name=nested", "--out", tmp_path / "runs.csv", "--json")
    )
    assert code == 0, err
    assert [run["name"] for run in json.loads(printed)["runs"]] == ["nested/tiny"]
    (row,) = csv.DictReader((tmp_path / "runs.csv").read_text("utf-8").splitlines())
    assert row["name"] == "nested/tiny" and float(row["log_loss"]) > 0
    code, printed, err = artaffect("runs", folder, "--sort", "name")
    assert code == 0 and "2 runs in" in printed and "nested/tiny" in printed
    assert "seeds" in repr(aa.list_runs(folder))


def test_a_list_that_cannot_be_made_names_the_reason(
    artaffect: Command, folder: Path, tmp_path: Path
) -> None:
    code, _, err = artaffect("runs", tmp_path / "nowhere")
    assert code == 1 and "no such folder" in err
    code, _, err = artaffect("runs", folder, "--where", "recipe")
    assert code == 1 and "--where has the form NAME=TEXT" in err
    with pytest.raises(InputError, match="Did you mean 'recipe'"):
        aa.list_runs(folder, where={"recipes": "compact"})
    with pytest.raises(InputError, match="Did you mean 'log_loss'"):
        aa.list_runs(folder, "logloss")
    with pytest.raises(OutputError, match="expected a name that ends with .csv, .md or .json"):
        aa.list_runs(folder, out=tmp_path / "runs.txt")


def test_runs_are_compared_on_the_same_rows(
    artaffect: Command, folder: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    first, second = folder / "nested" / "tiny", folder / "seeds" / "seed-1"
    result = aa.compare_runs([first, second, folder / "seeds"], sample_table)
    table = aa.evaluate(first, sample_table), aa.evaluate(second, sample_table)
    for kind in ("image", "caption", "both"):
        losses = [each[kind]["arabic"].log_loss.value for each in table]
        (difference,) = [
            d
            for d in result.differences
            if (d.first, d.input, d.culture, d.metric) == ("seed-1", kind, "arabic", "log_loss")
        ]
        assert difference.estimate.value == pytest.approx(losses[1] - losses[0])
        assert 0 < difference.p_value <= difference.adjusted <= 1
    assert result.protocol["seeds"] == {"seeds": [0, 1]} and result.protocol["synthetic"]
    assert "both: seed-1 − tiny" in repr(result)

    sample_table.save(tmp_path / "t.parquet")
    given = ("--data", tmp_path / "t.parquet", "--split", "val")
    code, printed, err = artaffect("compare", first, second, *given, "--out", tmp_path / "c.md")
    assert code == 0, err
    assert "both: seed-1 − tiny" in printed
    assert "Chosen on this split, which flatters a little: tiny, seed-1." in err
    assert "p-value after Holm's correction**" in (tmp_path / "c.md").read_text("utf-8")
    code, printed, err = artaffect(
        "compare", first, second, *given, "--out", tmp_path / "c.csv", "--json"
    )
    assert code == 0, err
    rows = list(csv.DictReader((tmp_path / "c.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(json.loads(printed)["differences"]) == 3 * 4 * 5
    code, _, err = artaffect("compare", first, *given)
    assert code == 1 and "needs at least two runs, got 1" in err
