"""Read a CSV file of annotations together with the line on which each row begins."""

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
    """The rows of a file: text columns with the names that ArtELingo uses."""

    columns: dict[str, pa.Array]
    file: pa.Array
    """The name of each row's file."""
    line: pa.Array
    """The line on which each row begins, counting the header; in Parquet the row number: int64."""
    malformed: list[tuple[str, int, str]] = field(default_factory=list)
    """Empty rows and rows with too few or too many cells: file, line, text."""

    @property
    def size(self) -> int:
        return len(self.line)


def read_csv(path: Path, expected: tuple[str, ...], layout: str) -> SourceRows:
    """Read all cells as text.

    Args:
        expected: the required columns; others are ignored.
        layout: the name of the layout, for messages.
    """
    header = _header(path, expected, layout)
    invalid: list[pa_csv.InvalidRow] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    # with several threads, malformed rows have no number
    read = pa_csv.ReadOptions(use_threads=False, block_size=16 << 20)
    parse = pa_csv.ParseOptions(
        newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=skip
    )
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    try:
        table = pa_csv.read_csv(path, read, parse, as_text)
    except pa.ArrowInvalid as error:
        raise TableError(_describe_error(path, str(error))) from None
    lines, invalid_lines = _first_lines(path, table, invalid)
    table = table.select([name for name in header if name in (*expected, "split")])
    is_blank = np.ones(len(lines), bool)
    for name in expected:
        is_blank &= np.array(pc.equal(table[name], ""), bool)
    malformed = [(path.name, int(line), "empty line") for line in lines[is_blank]]
    for line, row in zip(invalid_lines, invalid, strict=True):
        cells = f"{row.actual_columns} cells instead of {row.expected_columns}"
        malformed.append((path.name, line, f"{cells}: {row.text}"))
    table, lines = table.filter(~is_blank), lines[~is_blank]
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return SourceRows(columns, pa.repeat(path.name, len(lines)), pa.array(lines), malformed)


def _header(path: Path, expected: tuple[str, ...], layout: str) -> list[str]:
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    with path.open("rb") as file:
        if b"\0" in file.read(4096):
            raise TableError(
                f"{path} is not a text file; the {layout} layout is CSV "
                "(read Parquet with `artaffect import parquet`)"
            )
    try:
        # reading the rows reports other encodings with the line
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as text:
            header = next(csv.reader(text), [])
    except csv.Error as error:
        raise TableError(f"{path} is not a CSV file: {error}") from None
    missing = [name for name in expected if name not in header]
    if missing:
        raise TableError(
            f"{path} does not have the {layout} layout: expected the columns {', '.join(expected)}; "
            f"missing {', '.join(missing)}; found {', '.join(header)[:300] or 'nothing'}"
        )
    if len(set(header)) != len(header):
        raise TableError(f"{path}: the header repeats a column: {', '.join(header)}")
    return header


def _first_lines(
    path: Path, table: pa.Table, invalid: list[pa_csv.InvalidRow]
) -> tuple[np.ndarray, list[int]]:
    """The lines on which the rows and the malformed rows begin."""
    records = table.num_rows + len(invalid) + 1  # record 1 is the header
    numbers = np.array([row.number for row in invalid], np.int64)
    is_valid = np.ones(records + 1, bool)
    is_valid[[0, 1, *numbers]] = False
    rows = np.flatnonzero(is_valid)
    with path.open("rb") as file:
        n_lines = sum(1 for _ in file)
    if n_lines <= records:  # usually no cell contains a line break
        return rows, numbers.tolist()
    breaks = np.zeros(records + 2, np.int64)
    for column in table.columns:
        breaks[rows] += pc.count_substring(column, "\n").to_numpy()
    breaks[numbers] = [row.text.count("\n") for row in invalid]
    first_line = np.arange(records + 2) + np.concatenate([[0], np.cumsum(breaks)[:-1]])
    return first_line[rows], first_line[numbers].tolist()


def _describe_error(path: Path, message: str) -> str:
    """Name the line that is not UTF-8, which the message of pyarrow omits."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"{path} line {number} is not UTF-8: {error}"
    return f"{path} cannot be read as CSV: {message}"
