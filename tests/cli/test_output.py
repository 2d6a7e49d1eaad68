"""Whatever a terminal can show, an answer is printed; names are data, not markup."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from artaffect.cli.show import print_json, print_prediction
from artaffect.data.annotations import SCHEMA, AnnotationTable
from artaffect.errors import InputError
from artaffect.labels import EMOTIONS, LabelDistribution
from artaffect.prediction.notes import Note
from artaffect.prediction.types import CulturePrediction, Prediction, PredictionInput
from artaffect.runtime import printable, say, show_any_character, to_json_text
from tests.conftest import Command


def prediction_for(*cultures: str) -> Prediction:
    distribution = LabelDistribution((1.0, *[0.0] * (len(EMOTIONS) - 1)))
    shares = {"image": 0.25, "caption": 0.75}
    notes = (Note("caveat", "…"),)
    return Prediction([CulturePrediction(name, distribution, shares, notes) for name in cultures])


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii", "utf-8"])
def test_an_answer_is_printed_in_every_encoding(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding))
    show_any_character()
    print_prediction(prediction_for("中文", "caf\udce9"))
    sys.stdout.flush()
    table = printed.getvalue().decode(encoding)
    assert "100.0% ◀" in table or "100.0% <" in table
    assert "caf\\udce9" in table and ("中文" in table or "\\u4e2d\\u6587" in table)
    printed.seek(0)
    printed.truncate()
    print_json(prediction_for("中文 🎨"))
    sys.stdout.flush()
    answer = json.loads(printed.getvalue().decode(encoding))
    assert answer["predictions"][0]["culture"] == "中文 🎨"


@pytest.mark.skipif(os.name != "posix", reason="a shell closes the output")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_command_works_without_an_output(options: list[str]) -> None:
    line = shlex.join([sys.executable, "-m", "artaffect.cli.main", "labels", *options])
    result = subprocess.run(
        ["sh", "-c", f"{line} >&-"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_json_holds_no_number_that_is_not_finite() -> None:
    values = {"nested": [1.5, float("nan"), (float("inf"), "NaN")]}
    assert json.loads(to_json_text(values)) == {"nested": [1.5, None, [None, "NaN"]]}


def test_names_in_brackets_are_shown_as_they_are(artaffect: Command, tmp_path: Path) -> None:
    names = ["chinese", "chinese[simplified]", "[/x]", "[bold]arabic", ":smile:"]
    rows = [
        {
            "annotation_id": str(number),
            "artwork_id": f"style/{number}",
            "art_style": "style",
            "caption": "waves",
            "emotion": "awe",
            "culture": name,
            "language": name,
            "split": "train",
            "image": None,
        }
        for number, name in enumerate(names)
    ]
    AnnotationTable(pa.Table.from_pylist(rows, SCHEMA)).save(tmp_path / "t.parquet")
    code, out, err = artaffect("stats", tmp_path / "t.parquet")
    assert code == 0, err
    text = "".join(out.split())
    assert all(f"{name}1" in text for name in names)


def test_a_name_cannot_break_a_line_or_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert printable("a\nb\r\x1b[2Jé好") == "a\\nb\\x0d\\x1b[2Jé好".replace("\\x0d", "\\r")
    say("first\nsecond \x1b[2J[red]")
    assert capsys.readouterr().err == "first\\nsecond \\x1b[2J[red]\n"


def test_text_that_is_not_unicode_costs_that_input_alone() -> None:
    for arguments in (("caf\udce9",), ("a", "\ud800"), ("a", None, ["\udcff"])):
        with pytest.raises(InputError, match="is not valid Unicode text"):
            PredictionInput(None, *arguments)  # type: ignore[arg-type]


def test_a_path_that_is_not_utf8_is_used_or_told_in_one_line(
    artaffect: Command, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    code, _, err = artaffect("split", tmp_path / "t.parquet", "--out", folder / "s.parquet")
    assert code == 0 or (code == 1 and "is not UTF-8: give it another name" in err)
    assert "Traceback" not in err
