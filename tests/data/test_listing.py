"""A list that people open in a spreadsheet shows its cells, and calculates none."""

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from artaffect.data.annotations import ImportReport
from artaffect.data.listing import cell_text, write_listing

FORMULAS = ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "-x.jpg", "−")


def starts_a_formula(text: str) -> bool:
    """Whether a spreadsheet may calculate a cell: after any space, and after a semicolon too."""
    return any(part.lstrip().startswith(tuple("=+-@＝＋－＠\t\r")) for part in text.split(";"))


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_begins_a_formula(name: str) -> None:
    for text in (name, f"a;{name}", f"a; {name}", f'"{name}', f"a\n{name}"):
        shown = cell_text(text)
        assert not starts_a_formula(shown), shown
        assert len(shown.splitlines()) == 1


def test_what_is_no_formula_stays_as_it_is() -> None:
    for text in ("a", "", "joy", "ü 好.jpg", "a-b", "a=b", "x; y", 'say "hi", twice'):
        assert cell_text(text) == text
    assert [cell_text(number) for number in (3, -2, "-0.5", "+7", 1.25)] == [
        "3",
        "-2",
        "-0.5",
        "+7",
        "1.25",
    ]


def test_control_characters_and_bidirectional_overrides_are_shown() -> None:
    assert cell_text("a\x00\x1b[2J\u202eb\ud800") == "a\\x00\\x1b[2J\\u202eb\\ud800"


def test_a_list_is_read_back_row_by_row(tmp_path: Path) -> None:
    rows = [("=1+1", 'a "b", c', 3), ("x\ny", "", -1)]
    write_listing(tmp_path / "list.csv", ("id", "reason", "n"), rows)
    with (tmp_path / "list.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.reader(file))
    assert read == [["id", "reason", "n"], ["'=1+1", 'a "b", c', "3"], ["x\\ny", "", "-1"]]
    assert len((tmp_path / "list.csv").read_text("utf-8").splitlines()) == 3


def test_the_list_of_dropped_rows_holds_no_formula(tmp_path: Path) -> None:
    dropped = {
        "file": ["=a.csv"],
        "line": [3],
        "reason": ["unknown emotion"],
        "detail": ["=cmd|' /C calc'!A0"],
    }
    report = ImportReport("x", 1, 0, {"unknown emotion": 1}, dropped_rows=pa.table(dropped))
    report.save_dropped(tmp_path / "rows.dropped.csv")
    lines = (tmp_path / "rows.dropped.csv").read_text("utf-8").splitlines()
    assert lines == ["file,line,reason,detail", "'=a.csv,3,unknown emotion,'=cmd|' /C calc'!A0"]
