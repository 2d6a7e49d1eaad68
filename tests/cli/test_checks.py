"""What is wrong with a request is told before torch or a model is loaded, and before anything is written."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.labels import EMOTIONS
from artaffect.models.folder import FORMAT, read_config, write_checksums
from tests.conftest import Command

SCRIPT = """
import json, sys
from artaffect.cli.main import main
for arguments in json.load(sys.stdin):
    sys.argv = ["artaffect", *arguments]
    try:
        main()
        print(f"no error from {arguments}")
    except SystemExit as exit:
        print(exit.code)
assert "torch" not in sys.modules, "torch was loaded for nothing"
"""


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A model folder as far as it is read before the model is loaded."""
    folder = tmp_path / "run"
    folder.mkdir()
    rules = {"size": 32, "fit": "crop", "crop_fraction": 1.0, "mean": [0, 0, 0], "std": [1, 1, 1]}
    encoder = {
        "architecture": {"family": "vgg16", "divisor": 64},
        "preprocessing": {**rules, "interpolation": "bicubic"},
    }
    head = {"feature_dim": 64, "cultures": 1, "hidden": []}
    config = {
        **{"format": FORMAT, "emotions": list(map(str, EMOTIONS)), "cultures": ["arabic"]},
        **{"languages": [], "image": {"encoder": encoder, "head": head}},
        **{"caption": None, "fusion": None},
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    for name in ("metrics.json", "README.md", "model.safetensors"):
        (folder / name).touch()
    write_checksums(folder)
    return folder


def test_mistakes_are_found_without_torch(
    run_folder: Path, sample_table: AnnotationTable, picture: Path, tmp_path: Path
) -> None:
    table, run, new = tmp_path / "table.parquet", str(run_folder), str(tmp_path / "new")
    sample_table.save(table)
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(sample_table.rows.replace_schema_metadata(), foreign)
    under_a_file = str(table / "out")
    before = sorted(tmp_path.rglob("*"))
    expected = {
        ("predict", run, "--image", "nowhere.jpg"): "nowhere.jpg: no such file",
        ("predict", run): "nothing to predict from",
        ("predict", new, "--caption", "x"): "no such model folder",
        ("predict", run, "--caption", "x", "--culture", "arabc"): "Did you mean 'arabic'?",
        ("predict", run, "--caption", "x", "--culture", "zulu"): "add --new-culture",
        ("train", "--data", "nowhere", "--out", new): "nowhere: no such file",
        ("train", "compct", "--data", str(table), "--out", new): "Did you mean 'compact'?",
        ("train", "--data", str(table), "--out", under_a_file): "table.parquet is a file",
        ("train", "--data", str(table), "--out", str(tmp_path), "--overwrite"): "contains",
        ("evaluate", run, "--data", str(table), "--split", "tset"): "no rows in split 'tset'",
        ("evaluate", run, "--data", str(table), "--out", run): "is a model folder",
        ("report", run, "--data", str(table), "--out", run): "is a model folder",
        ("cultures", "--data", str(table), "--out", under_a_file): "table.parquet is a file",
        ("explain", run, "--image", str(picture), "--out", str(tmp_path)): "is a folder",
        ("explain", run, "--image", str(picture), "--out", str(picture)): "both read and written",
        ("explain", run, "--caption", "x", "--emotion", "aw", "--json"): "Did you mean 'awe'?",
        ("evaluate", run, "--data", str(table), "--images", "nowhere"): "in nowhere, which does",
        ("train", "--data", str(foreign), "--out", new): "does not say where its images are",
        ("export", run, "--out", run, "--overwrite"): "both read and written",
        ("export", run, "--out", f"{run}/onnx"): "is inside",
        ("serve", new): "no such model folder",
        ("predict-collection", run, "--images", new, "--out", "o.csv", "--culture", "arabc"): "Did",
        ("split", str(table), "--out", str(table)): "both read and written",
        ("split", str(table), "--out", under_a_file): "table.parquet is a file",
        ("import", "artelingo", str(table), "--out", str(table)): "both read and written",
        ("import", "artelingo", "nowhere.csv", "--out", new): "nowhere.csv: no such file",
        ("reproduce", "--data", str(table), "--out", str(table)): "is a file: expected the name of",
    }
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(list(expected)),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    for line, message in zip(process.stdout.splitlines(), expected.values(), strict=True):
        assert line.startswith("error: ") and message in line
    assert sorted(tmp_path.rglob("*")) == before, "nothing is written"


def test_an_address_that_cannot_be_used_is_told_in_one_line(
    artaffect: Command, run_folder: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = artaffect("serve", run_folder, "--port", taken.getsockname()[1])
    assert code == 1 and "Address already in use" in err
    code, _, err = artaffect("serve", run_folder, "--host", "no.such.host.invalid")
    assert code == 1 and "cannot listen on no.such.host.invalid" in err
    code, _, err = artaffect("serve", run_folder, "--port", 99999)
    assert code == 2 and "65535" in err


def test_exit_codes_are_those_of_the_documentation(
    artaffect: Command, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    assert artaffect("stats", tmp_path / "t.parquet")[0] == 0
    code, _, err = artaffect("stats", tmp_path / "none.parquet")
    assert code == 1 and err.splitlines()[-1].startswith("error: ")
    for wrong in (["--fast"], ["more.parquet"], []):
        assert artaffect("stats", *wrong, *[tmp_path / "t.parquet"] * bool(wrong))[0] == 2


def test_an_evaluation_without_out_writes_nothing(
    artaffect: Command, tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    before = sorted(tiny_run.rglob("*"))
    code, out, err = artaffect("evaluate", tiny_run, "--data", tmp_path / "t.parquet")
    assert code == 0 and "baseline" in out and "--out FOLDER writes the report" in err
    assert sorted(tiny_run.rglob("*")) == before
    code, _, err = artaffect(
        "evaluate", tiny_run, "--data", tmp_path / "t.parquet", "--images", tmp_path / "nowhere"
    )
    assert code == 1 and "nowhere" in err


def test_a_model_of_synthetic_data_is_not_pushed_by_accident(
    artaffect: Command, tiny_run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder)
    config = {**read_config(folder), "synthetic": True}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    write_checksums(folder)
    code, _, err = artaffect("push", folder, "owner/model")
    assert code == 1 and "learned from synthetic data" in err and "--synthetic" in err
    code, _, err = artaffect("push", folder, "owner/model", "--synthetic")
    assert code == 1 and "cannot be uploaded to owner/model" in err, "there is no network"


def test_an_import_that_keeps_no_row_lists_them_and_writes_no_table(
    artaffect: Command, tmp_path: Path
) -> None:
    file, out = tmp_path / "rows.csv", tmp_path / "table.parquet"
    file.write_text("art_style,painting,emotion,utterance\nS,p,awe,a, b\nS,p,awe,c, d\n")
    code, _, err = artaffect("import", "artemis", file, "--keep-unpictured", "--out", out)
    assert code == 1 and "none of its 2 rows can be used (malformed row 2" in err
    listed = (tmp_path / "table.dropped.csv").read_text("utf-8")
    assert listed.count("5 cells instead of 4") == 2 and not out.exists()
