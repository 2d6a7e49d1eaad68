"""Whole commands whose output does not fit: one line names it, what was there stays, nothing is lost."""

import shutil
import sys
from pathlib import Path

import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.models.folder import WEIGHTS, check_folder
from artaffect.prediction.predictor import load_predictor
from tests.conftest import Command
from tests.disk import files_at_most

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there"),
]
FULL = "File too large"
"""What a full disk is called when only single files are limited, which needs no rights."""


def content(path: Path) -> dict[str, bytes]:
    """The files of a result."""
    files = path.rglob("*") if path.is_dir() else [path]
    return {str(file): file.read_bytes() for file in files if file.is_file()}


def end_in_one_line(artaffect: Command, arguments: list[object], out: Path, size: int) -> None:
    """Run a command whose files may have only so many bytes."""
    with files_at_most(size):
        code, _, err = artaffect(*arguments, "--out", out)
    last = err.strip().splitlines()[-1]
    assert code == 1 and last.startswith("error: ") and FULL in last and out.name in last, err
    assert "Traceback" not in err


def test_a_training_on_a_full_disk_keeps_the_old_model_and_is_finished_later(
    artaffect: Command,
    sample_table: AnnotationTable,
    tiny_run: Path,
    tiny_settings: list[str],
    tmp_path: Path,
) -> None:
    table, out = tmp_path / "table.parquet", tmp_path / "runs" / "model"
    sample_table.save(table)
    shutil.copytree(tiny_run, out)
    old = content(out)
    arguments = ["train", "--data", table, "--overwrite", "--cache", tmp_path / "c", *tiny_settings]
    for size in (1_000, 20_000, (tiny_run / WEIGHTS).stat().st_size - 1):
        end_in_one_line(artaffect, arguments, out, size)
        assert content(out) == old, "the old model stays"
    code, _, err = artaffect(*arguments, "--out", out)
    assert code == 0, err
    assert content(out) != old and check_folder(out)
    load_predictor(out).predict(caption="waves")
    assert [path.name for path in out.parent.iterdir()] == ["model"], "nothing is left"


@pytest.mark.parametrize(
    "name",
    [
        *("import.parquet", "split.parquet", "page.html", "scores", "report", "data", "onnx"),
        *("answers.parquet", "answers.csv", "answers.xlsx", "answers.jsonl", "statements.csv"),
    ],
)
def test_a_full_disk_ends_a_command_in_one_line(
    artaffect: Command,
    sample_folder: Path,
    sample_table: AnnotationTable,
    tiny_run: Path,
    picture: Path,
    tmp_path: Path,
    name: str,
) -> None:
    table, images, out = tmp_path / "table.parquet", sample_folder / "wikiart", tmp_path / name
    sample_table.save(table)
    csv = sample_folder / "artelingo_release_lite.csv"
    arguments: dict[str, list[object]] = {
        "import": ["import", "artelingo", csv, "--images", images],
        "split": ["split", table],
        "page": ["explain", tiny_run, "--image", picture, "--no-check"],
        "scores": ["evaluate", tiny_run, "--data", table, "--split", "val"],
        "report": ["report", tiny_run, "--data", table, "--explanations", 0],
        "data": ["sample", "--paintings", 36],
        "onnx": ["export", tiny_run],
        "answers": ["predict-collection", tiny_run, "--images", images, "--overwrite"],
        "statements": [
            *("export-annotations", tmp_path / "all.parquet", "--base", "https://art.example/")
        ],
    }
    if name.startswith("statements"):
        assert artaffect(*arguments["answers"], "--out", tmp_path / "all.parquet")[0] == 0
    if out.suffix:
        out.write_text("older")
    end_in_one_line(artaffect, arguments[out.stem], out, 500)
    assert content(out) == ({str(out): b"older"} if out.suffix else {})
