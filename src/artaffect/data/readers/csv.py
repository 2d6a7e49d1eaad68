"""Read a CSV of annotations and know, for each row, on which line of the file it begins."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from artaffect.errors import TableError


@dataclass
class SourceRows:
    """Rows as a file gave them: text columns, under the names that ArtELingo uses."""

    columns: dict[str, pa.Array]
    file: pa.Array
    """The file's name, for each row."""
    line: pa.Array
    """int64: the line on which the row begins, the header being line 1; in Parquet the row number."""
    malformed: list[tuple[str, int, str]] = field(default_factory=list)
    """Rows with too few or too many cells: file, line, text."""

    @property
    def size(self) -> int:
        return len(self.line)


def read_csv(path: Path, expected: tuple[str, ...], layout: str) -> SourceRows:
    """Read all cells as text.

    Args:
        expected: the columns that the layout needs; others are ignored.
        layout: its name, for messages.

    Raises:
        TableError: no such file, not a CSV in UTF-8, or a column of the layout is missing.
    """
    header = _header(path, expected, layout)
    invalid: list[pa_csv.InvalidRow] = []

    def keep_aside(row: pa_csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    try:
        table = pa_csv.read_csv(
            path,
            # one thread, so that a malformed row knows its number
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=16 << 20),
            parse_options=pa_csv.ParseOptions(
                newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=keep_aside
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise TableError(_explain(path, str(error))) from None
    lines, invalid_lines = _lines(path, table, invalid)
    columns = {
        name: pa.concat_arrays(table[name].chunks) if table.num_rows else pa.array([], pa.string())
        for name in (*expected, "split")
        if name in header
    }
    blank = _blank(columns, expected, len(lines))
    keep = np.flatnonzero(~blank)
    return SourceRows(
        columns={name: column.take(keep) for name, column in columns.items()},
        file=pa.repeat(path.name, len(keep)),
        line=pa.array(lines[keep]),
        malformed=[
            *((path.name, int(line), "empty line") for line in lines[blank]),
            *(
                (
                    path.name,
                    line,
                    f"{row.actual_columns} cells instead of {row.expected_columns}: {row.text}",
                )
                for line, row in zip(invalid_lines, invalid, strict=True)
            ),
        ],
    )


def _header(path: Path, expected: tuple[str, ...], layout: str) -> list[str]:
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise TableError(
                f"{path} is not a text file; the {layout} layout is CSV "
                "(for Parquet there is `artaffect import parquet`)"
            )
    try:
        # other encodings are told by line when the rows are read
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as text:
            header = next(csv.reader(text), [])
    except csv.Error as error:
        raise TableError(f"{path} is not a CSV file: {error}") from None
    missing = [name for name in expected if name not in header]
    if missing:
        raise TableError(
            f"{path} has not the {layout} layout: expected the columns {', '.join(expected)}; "
            f"missing {', '.join(missing)}; found {', '.join(header)[:300] or 'nothing'}"
        )
    if len(set(header)) != len(header):
        raise TableError(f"{path}: the header names a column twice: {', '.join(header)}")
    return header


def _lines(
    path: Path, table: pa.Table, invalid: list[pa_csv.InvalidRow]
) -> tuple[np.ndarray, list[int]]:
    """The line on which each row, and each malformed row, begins."""
    records = table.num_rows + len(invalid) + 1  # with the header, which is record 1
    numbers = np.array([row.number for row in invalid], np.int64)
    valid = np.ones(records + 1, bool)
    valid[[0, 1, *numbers]] = False
    rows = np.flatnonzero(valid)
    if _count_lines(path) <= records:  # the usual case: no cell holds a line break
        return rows, numbers.tolist()
    breaks = np.zeros(records + 2, np.int64)
    for column in table.columns:
        breaks[rows] += pc.count_substring(column, "\n").to_numpy()
    breaks[numbers] = [row.text.count("\n") for row in invalid]
    first_line = np.arange(records + 2) + np.concatenate([[0], np.cumsum(breaks)[:-1]])
    return first_line[rows], first_line[numbers].tolist()


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        count, last = 0, b"\n"
        while block := file.read(1 << 24):
            count, last = count + block.count(b"\n"), block[-1:]
    return count + (last != b"\n")


def _blank(columns: dict[str, pa.Array], expected: tuple[str, ...], size: int) -> np.ndarray:
    blank = np.ones(size, bool)
    for name in expected:
        blank &= pc.equal(columns[name], "").to_numpy(zero_copy_only=False)
    return blank


def _explain(path: Path, message: str) -> str:
    """Name the line where the text is no UTF-8, which the reader's message does not."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"{path} line {number} is not UTF-8: {error}"
    return f"{path} cannot be read as CSV: {message}"
