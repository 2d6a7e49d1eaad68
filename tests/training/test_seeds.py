"""One recipe with several seeds: a folder of ordinary runs that is scored as one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import artaffect as aa
from artaffect.config import SeparateConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError, ModelFolderError, OutputError
from artaffect.models.folder import CHECKSUMS, check_folder, read_config
from artaffect.training.seeds import train_seeds
from tests.conftest import Command


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory,
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
) -> Path:
    out = tmp_path_factory.mktemp("runs") / "several"
    train_seeds(sample_table, tiny_config, out, 2)
    return out


def test_every_seed_is_a_model_folder_of_its_own(runs: Path) -> None:
    for seed in (0, 1):
        check_folder(runs / f"seed-{seed}")
        assert read_config(runs / f"seed-{seed}")["recipe"]["seed"] == seed
    assert aa.load_predictor(runs / "seed-1").predict(caption="A storm.")


def test_the_scores_are_the_means_of_the_runs(runs: Path, sample_table: AnnotationTable) -> None:
    result = aa.evaluate(runs, sample_table)
    each = [aa.evaluate(runs / f"seed-{seed}", sample_table) for seed in (0, 1)]
    assert result.protocol["seeds"] == [0, 1]
    for model in ("image", "caption", "both"):
        values = [one[model]["arabic"].log_loss.value for one in each]
        # a linear head is fitted to all rows at once: no seed changes it
        assert (values[0] == values[1]) == (model == "image")
        assert result[model]["arabic"].by_seed["log_loss"] == pytest.approx(values)
        assert result[model]["arabic"].log_loss.value == pytest.approx(np.mean(values))
    saved = json.loads((runs / "metrics.json").read_text("utf-8"))
    assert saved["protocol"]["seeds"] == [0, 1] and saved["protocol"]["chosen_on_this_split"]


def test_finished_seeds_are_kept_and_more_can_be_added(
    runs: Path, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    out = tmp_path / "more"
    shutil.copytree(runs, out)
    shutil.rmtree(out / "seed-1")
    with pytest.raises(ModelFolderError, match="seed-1 is missing; repeat the training of all 2"):
        aa.evaluate(out, sample_table)
    before = (out / "seed-0" / CHECKSUMS).stat().st_mtime_ns
    result = train_seeds(sample_table, tiny_config, out, 3)
    assert result.protocol["seeds"] == [0, 1, 2]
    assert (out / "seed-0" / CHECKSUMS).stat().st_mtime_ns == before
    first, again = ((f / "seed-1" / CHECKSUMS).read_text() for f in (runs, out))
    weights = [
        next(n for n in text.split("\n") if "model.safetensors" in n) for text in (first, again)
    ]
    assert weights[0] == weights[1], "a seed gives the same model again"


def test_a_folder_of_other_runs_is_refused(
    runs: Path, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    fewer = sample_table.select(np.arange(len(sample_table)) != 0)
    with pytest.raises(ConfigError, match="holds runs on another table"):
        train_seeds(fewer, tiny_config, runs, 2)
    with pytest.raises(ConfigError, match=r"other settings \(folds was 2, is 5\)"):
        aa.train_seeds(sample_table, runs, 2, replace(tiny_config, folds=5))
    with pytest.raises(InputError, match="at least 2, got 1"):
        aa.train_seeds(sample_table, tmp_path / "x", seeds=1)
    with pytest.raises(OutputError, match="is a model folder"):
        train_seeds(sample_table, tiny_config, runs / "seed-0", 2)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(aa.ArtAffectError, match="holds no runs of several seeds"):
        train_seeds(sample_table, tiny_config, tmp_path, 2)


def test_what_needs_one_model_names_the_runs(
    artaffect: Command, runs: Path, tmp_path: Path
) -> None:
    code, _, err = artaffect("predict", runs, "--caption", "A storm.")
    assert code == 1 and "holds the runs of several seeds" in err and "seed-0" in err
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "seeds.json").write_text('{"seeds": "all"}')
    code, _, err = artaffect("predict", damaged, "--caption", "A storm.")
    assert code == 1 and "expected a list of whole numbers under 'seeds'" in err


@pytest.mark.slow
def test_the_commands_take_a_folder_of_seeds(
    artaffect: Command,
    runs: Path,
    sample_table: AnnotationTable,
    tiny_settings: list[str],
    tmp_path: Path,
) -> None:
    data, out = tmp_path / "t.parquet", tmp_path / "cli"
    sample_table.save(data)
    code, printed, err = artaffect(
        "train", "--data", data, "--out", out, "--seeds", 2, "--set", "seed=7", *tiny_settings
    )
    assert code == 0, err
    words = " ".join(printed.split())
    assert "Mean ± standard deviation over 2 seeds" in words and "the seeds 7, 8." in words
    assert (out / "report.html").is_file() and (out / "seed-8" / CHECKSUMS).is_file()
    code, printed, err = artaffect("evaluate", out, "--data", data, "--json")
    assert code == 0, err
    assert len(json.loads(printed)["models"]["both"]["overall"]["by_seed"]["accuracy"]) == 2
    code, printed, err = artaffect(
        *("report", out, runs / "seed-0", "--data", data, "--out", tmp_path / "report"),
        *("--paintings", 0, "--explanations", 0),
    )
    assert code == 0, err
    report = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    several, single = report["runs"]
    assert several["evaluation"]["protocol"]["seeds"] == [7, 8]
    assert len(several["evaluation"]["models"]["both"]["overall"]["by_seed"]["accuracy"]) == 2
    assert single["evaluation"]["models"]["both"]["overall"]["by_seed"] == {}
    side_by_side = report["comparison"]["both"]["models"]
    assert (
        side_by_side[several["name"]]["overall"]["metrics"]
        == several["evaluation"]["models"]["both"]["overall"]["metrics"]
    )
    assert any("those of the first, seed 7" in note for note in report["notes"])
