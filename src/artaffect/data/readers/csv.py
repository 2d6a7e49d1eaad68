"""Read a CSV file of annotations together with the line on which each row begins."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from artaffect.data.arrow import arrow_errors
from artaffect.data.readers.encoding import decode_file
from artaffect.errors import TableError
from artaffect.runtime import printable


@dataclass
class SourceRows:
    """The rows of a file: text columns with the names that ArtELingo uses."""

    columns: dict[str, pa.Array]
    file: pa.Array
    """The name of each row's file."""
    line: pa.Array
    """The line on which each row begins, counting the header; in Parquet the row number: int64."""
    malformed: list[tuple[str, int, str]] = field(default_factory=list)
    """Empty rows, rows with too few or too many cells, and odd quotes: file, line, text."""

    vote: pa.Array | None = None
    """Where a line holds several votes, the number of the vote in its line: int64."""
    carried: dict[str, pa.Array] = field(default_factory=dict)
    """Columns that the table keeps as they are, by name."""

    @property
    def size(self) -> int:
        return len(self.line)


@dataclass(frozen=True)
class DelimitedFile:
    """A text file whose lines are rows of cells."""

    path: Path
    data: np.ndarray
    """Its text in UTF-8, without a byte order mark: uint8 [n]."""
    delimiter: str = ","
    """A character of ASCII."""

    @classmethod
    def open(cls, path: Path) -> "DelimitedFile":
        """A CSV file in UTF-8; raise TableError for the first line that is not."""
        return cls(path, decode_file(path, "utf-8")[0])

    @property
    def text(self) -> str:
        return self.data.tobytes().decode()


def read_csv(path: Path, expected: tuple[str, ...], layout: str) -> SourceRows:
    """Read all cells as text.

    Args:
        expected: the required columns; others are ignored.
        layout: the name of the layout, for messages.
    """
    header = _header(path, expected, layout)
    table, lines, malformed = read_records(DelimitedFile.open(path), header)
    table = table.select([name for name in header if name in (*expected, "split")])
    is_blank = np.ones(len(lines), bool)
    for name in expected:
        is_blank &= np.array(pc.equal(table[name], ""), bool)
    malformed += [(int(line), "empty line") for line in lines[is_blank]]
    table, lines = table.filter(~is_blank), lines[~is_blank]
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    file = pa.repeat(path.name, len(lines))
    listed = [(path.name, line, text) for line, text in sorted(malformed)]
    return SourceRows(columns, file, pa.array(lines), listed)


def read_records(file: DelimitedFile, header: list[str]) -> "Parsed":
    """Read the cells of all rows as text; the first record of the file is its header."""
    is_sound = quotes_are_sound(file) and not _has_odd_bytes(file.data)
    with arrow_errors(file.path, "CSV"):
        return _read_at_once(file, header) if is_sound else _read_strictly(file, header)


def quotes_are_sound(file: DelimitedFile) -> bool:
    """Whether each quoted cell of a CSV file is closed, at its end, and none holds whole rows.

    Otherwise a parser that is not strict takes the rows up to the next quote for one cell. A file
    with a quote inside a cell that is not quoted, which is legal, is not sound either.
    """
    data = file.data
    quotes = np.flatnonzero(data == ord('"'))
    opening, closing = quotes[::2], quotes[1::2]
    # a quote beside a quote is half of a doubled one
    ends = np.frombuffer(f'{file.delimiter}\r\n"'.encode(), np.uint8)
    before, after = data[opening[opening > 0] - 1], data[closing[closing < len(data) - 1] + 1]
    is_paired = len(quotes) % 2 == 0 and np.isin(before, ends).all() and np.isin(after, ends).all()
    return bool(is_paired) and not _quotes_hold_rows(file, quotes)


def strict_records(file: DelimitedFile) -> Iterator[tuple[int, list[str], str]]:
    """The line, cells and fault of each record; after a fault, reading goes on with the next line.

    The fault of a record that a strict parser takes is empty.
    """
    lines = io.StringIO(file.text, newline="").readlines()
    position = 0

    def following() -> Iterator[str]:
        nonlocal position
        while position < len(lines):
            position += 1
            yield lines[position - 1]

    reader = csv.reader(following(), strict=True, delimiter=file.delimiter)
    while position < len(lines):
        start, cells = position, list[str]()
        try:
            cells = next(reader)
            fault = _hidden_fault("".join(lines[start:position]), lines[0], file.delimiter)
        except csv.Error as error:
            is_followed = "expected after" in str(error)
            fault = "text follows a closing quote" if is_followed else _NOT_CLOSED
        yield start + 1, cells, fault and f"{fault}: {lines[start].rstrip()}"
        if fault:
            position = start + 1
            reader = csv.reader(following(), strict=True, delimiter=file.delimiter)


_WIDE = 4  # columns
_NOT_CLOSED = f"a quote that is not closed, or a cell of over {csv.field_size_limit():,} characters"


def _hidden_fault(record: str, header: str, delimiter: str) -> str:
    """What is wrong with the text of a record that even a strict parser takes."""
    if "\0" in record:
        return "a byte of value 0"
    return "a quoted cell holds whole rows" if _holds_rows(record, header, delimiter) else ""


def _holds_rows(record: str, header: str, delimiter: str) -> bool:
    """Whether later lines of a record look like rows of their own, between two stray quotes.

    A line looks like a row if it has as many cells as the header and shares one with the first line of
    the record, in the same column. In a wide file it is enough that every line has that many cells,
    because this rarely happens by chance.
    """
    lines = re.split("\r\n|\r|\n", record.rstrip("\r\n"))
    first, *later = [line.split(delimiter) for line in lines]
    width = header.count(delimiter) + 1
    rows = [cells for cells in later if len(cells) == width]
    if len(rows) == len(later) > 0 and len(first) == width >= _WIDE:
        return True
    return any(a.strip() and a == b for cells in rows for a, b in zip(first, cells, strict=False))


def _quotes_hold_rows(file: DelimitedFile, quotes: np.ndarray) -> bool:
    """Whether a quoted cell holds what looks like rows; the quotes are at the given positions."""
    data = file.data
    breaks = np.flatnonzero(data == ord("\n"))
    is_quoted = np.searchsorted(quotes, breaks) % 2 == 1
    edges = np.concatenate([[0], breaks[~is_quoted] + 1, [len(data)]])
    with_breaks = np.unique(np.searchsorted(edges, breaks[is_quoted], side="right"))
    texts = (
        data[edges[i - 1] : edges[i]].tobytes().decode("utf-8", "replace") for i in with_breaks
    )
    header = data[: edges[1]].tobytes().decode("utf-8", "replace")
    return any(_holds_rows(text, header, file.delimiter) for text in texts)


def _has_odd_bytes(data: np.ndarray) -> bool:
    """Whether a text has bytes of value 0, or line ends of an old Mac, which only CR marks."""
    returns = np.flatnonzero(data == ord("\r"))
    followers = data[returns[returns < len(data) - 1] + 1]
    has_mac_ends = data[-1:] == ord("\r") or bool((followers != ord("\n")).any())
    return has_mac_ends or not data.all()


Parsed = tuple[pa.Table, np.ndarray, list[tuple[int, str]]]
"""The rows, the line on which each begins [n], and the malformed rows: line, text."""


def _read_at_once(file: DelimitedFile, header: list[str]) -> Parsed:
    invalid: list[pa_csv.InvalidRow] = []

    def skip(row: pa_csv.InvalidRow) -> str:
        invalid.append(row)
        return "skip"

    # with several threads, malformed rows have no number
    read = pa_csv.ReadOptions(use_threads=False, block_size=16 << 20)
    parse = pa_csv.ParseOptions(
        delimiter=file.delimiter,
        newlines_in_values=True,
        ignore_empty_lines=False,
        invalid_row_handler=skip,
    )
    as_text = pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()))
    text = pa.BufferReader(pa.py_buffer(file.data))
    table = pa_csv.read_csv(text, read, parse, as_text)
    lines, invalid_lines = _first_lines(file.data, table, invalid)
    malformed = [
        (line, _wrong_count(row.actual_columns, row.expected_columns, row.text))
        for line, row in zip(invalid_lines, invalid, strict=True)
    ]
    return table, lines, malformed


def _read_strictly(file: DelimitedFile, header: list[str]) -> Parsed:
    """Read record by record; see :func:`strict_records`."""
    rows, lines, malformed = [], [], []
    records = strict_records(file)
    next(records)  # the header
    for line, cells, fault in records:
        if not fault and len(cells) == len(header):
            rows.append(cells)
            lines.append(line)
        else:
            count = _wrong_count(len(cells), len(header), file.delimiter.join(cells))
            malformed.append((line, fault or (count if cells else "empty line")))
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    table = pa.table([pa.array(column, pa.string()) for column in columns], header)
    return table, np.array(lines, np.int64), malformed


def _wrong_count(cells: int, expected: int, text: str) -> str:
    return f"{cells} cells instead of {expected}: {text}"


def _header(path: Path, expected: tuple[str, ...], layout: str) -> list[str]:
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    with path.open("rb") as file:
        # other rows may hold a byte of value 0; they alone are dropped
        if (start := file.readline(4096)).startswith(b"PAR1") or b"\0" in start:
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
            f"missing {', '.join(missing)}; found {printable(', '.join(header)[:300]) or 'nothing'}"
        )
    if len(set(header)) != len(header):
        raise TableError(f"{path}: the header repeats a column: {printable(', '.join(header))}")
    return header


def _first_lines(
    data: np.ndarray, table: pa.Table, invalid: list[pa_csv.InvalidRow]
) -> tuple[np.ndarray, list[int]]:
    """The lines on which the rows and the malformed rows begin."""
    records = table.num_rows + len(invalid) + 1  # record 1 is the header
    numbers = np.array([row.number for row in invalid], np.int64)
    is_valid = np.ones(records + 1, bool)
    is_valid[[0, 1, *numbers]] = False
    rows = np.flatnonzero(is_valid)
    n_lines = np.count_nonzero(data == ord("\n")) + (data[-1] != ord("\n"))
    if n_lines <= records:  # usually no cell contains a line break
        return rows, numbers.tolist()
    breaks = np.zeros(records + 2, np.int64)
    for column in table.columns:
        breaks[rows] += pc.count_substring(column, "\n").to_numpy()
    breaks[numbers] = [row.text.count("\n") for row in invalid]
    first_line = np.arange(records + 2) + np.concatenate([[0], np.cumsum(breaks)[:-1]])
    return first_line[rows], first_line[numbers].tolist()
