"""Lists that people open in a spreadsheet: no cell of them is taken for a formula."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from artaffect.outputs import atomic_file
from artaffect.runtime import printable

_FORMULA = re.compile(r"(^\s*|;\s*)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet would begin a formula; in some countries semicolons separate cells, too."""
_GUARDED = re.compile(r"((?:^|[;\n])\s*)('*)(?=[=+\-@＝＋－＠])")
"""The same, also on a later line, with the apostrophes that are there."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?", re.ASCII)


def cell_text(value: object) -> str:
    """A value as a cell that every spreadsheet shows as it is, in one line.

    An apostrophe is put before what would begin a formula, as in ``'=1+1``. Numbers stay numbers.
    """
    text = printable(str(value))
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)


def guard_formulas(text: str) -> str:
    """A text with an apostrophe before whatever a spreadsheet would take for a formula.

    :func:`unguard_formulas` gives the text back. Numbers stay as they are.
    """
    return text if _NUMBER.fullmatch(text) else _GUARDED.sub(r"\1'\2", text)


def unguard_formulas(text: str) -> str:
    """The text that :func:`guard_formulas` was given."""
    return _GUARDED.sub(lambda match: match[1] + match[2][1:], text)


def write_listing(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file for people; files that programs read back keep their cells as they are."""
    with (
        atomic_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([cell_text(value) for value in row] for row in rows)
