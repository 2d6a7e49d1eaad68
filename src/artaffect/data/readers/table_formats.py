"""Open a table in one of the usual formats: the names of its columns, then those that are needed."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artaffect.data.arrow import arrow_errors
from artaffect.data.readers.csv import DelimitedFile, read_records
from artaffect.data.readers.encoding import decode_file
from artaffect.data.readers.excel import read_excel
from artaffect.data.readers.hf_parquet import class_names, text_column
from artaffect.errors import TableError


@dataclass(frozen=True)
class Cells:
    """Columns of a table as text, and the rows that cannot be read."""

    columns: list[pa.Array]
    line: np.ndarray
    """Where each row begins: the line of a text, or the row of a sheet or of a Parquet file: int64 [n]."""
    malformed: list[tuple[int, str]]
    """Line and fault."""

    @property
    def is_blank(self) -> np.ndarray:
        """Whether all cells of each row are blank: bool [n]."""
        is_blank = np.ones(len(self.line), bool)
        for column in self.columns:
            is_blank &= np.array(pc.equal(pc.utf8_trim_whitespace(column), ""), bool)
        return is_blank


@dataclass(frozen=True)
class TableFile:
    """An open table."""

    path: Path
    layout: str
    """What the file is, and what was detected about it, in words."""
    header: list[str]
    read: Callable[[Sequence[int], Collection[int]], Cells]
    """Reads the columns at some positions; at those in the second argument, a list or an object is
    written as JSON, and is no fault."""
    binary: frozenset[int] = frozenset()
    """The positions of columns that hold bytes, which are no text."""


_BY_SUFFIX = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), "CSV"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "JSON Lines"),
    **dict.fromkeys((".parquet", ".pq"), "Parquet"),
    **dict.fromkeys((".xlsx", ".xlsm"), "Excel"),
}
_BY_CONTENT = {b"PAR1": "Parquet", b"PK\x03\x04": "Excel"}
_REFUSED = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls) or one with a password: save it as .xlsx",
    b"\x1f\x8b": "compressed: unpack it first",
    b"SQLite": "a database: export the table as CSV",
}
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_TABS = (".tsv", ".tab")
_DECLARATION = re.compile(r"sep=([!-/:-~\t])\r?\n", re.ASCII)
"""The line by which Excel knows the delimiter of a text."""
_SAMPLE = 1 << 20  # bytes
_EXACT = 2.0**53
"""Below it, a float that is a whole number is exactly that number."""


def open_table(path: Path, encoding: str | None = None, delimiter: str | None = None) -> TableFile:
    """Open a table: CSV, TSV, JSON Lines, Parquet or Excel, by its suffix or its content.

    Args:
        encoding: of a text file; by default it is detected, and so is the delimiter of a CSV file.

    Raises:
        TableError: the file is missing or empty, or is not what its name says.
    """
    layout = _layout(path)
    if layout == "Parquet":
        return _open_parquet(path)
    if layout == "Excel":
        name, header, rows = read_excel(path)
        return table_of_rows(path, f"Excel, {name}", header, rows, [])
    data, encoding = decode_file(path, encoding)
    if not data.tobytes().strip():
        raise TableError(f"{path} is empty: expected the names of the columns and rows")
    if layout == "JSON Lines" or (not layout and data.tobytes()[:100].lstrip()[:1] == b"{"):
        return _open_json_lines(path, data.tobytes().decode(), encoding)
    return _open_delimited(path, data, encoding, delimiter)


def _layout(path: Path) -> str:
    """The format of a file; empty for a text whose name does not say more."""
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise TableError(f"{path} is empty: expected the names of the columns and rows")
    for magic, remedy in _REFUSED.items():
        if start.startswith(magic):
            raise TableError(f"{path} is {remedy}")
    content = next((name for magic, name in _BY_CONTENT.items() if start.startswith(magic)), "")
    layout = _BY_SUFFIX.get(path.suffix.lower(), content)
    if content != (layout if layout in _BY_CONTENT.values() else ""):
        raise TableError(
            f"{path} is not {layout}, as its name says, but {content or 'another kind of file'}: "
            "give it the ending of what it is"
        )
    return layout


def _open_delimited(
    path: Path, data: np.ndarray, encoding: str, delimiter: str | None
) -> TableFile:
    start = data[:_SAMPLE].tobytes().decode("utf-8", "ignore")
    declared = _DECLARATION.match(start)
    if declared:
        start, data = start[declared.end() :], data[declared.end() :]
        delimiter = delimiter or declared[1]
    skipped = 1 if declared else 0
    if delimiter is None:
        is_tabular = path.suffix.lower() in _TABS
        delimiter = "\t" if is_tabular else detect_delimiter(start)
    file = DelimitedFile(path, data, delimiter)
    try:
        header = next(csv.reader(io.StringIO(start, newline=""), delimiter=delimiter), [])
    except csv.Error as error:
        raise TableError(f"{path} is not a CSV file: {error}") from None
    if not any(name.strip() for name in header):
        raise TableError(f"{path}: line {1 + skipped} is blank: expected the names of the columns")

    def read(positions: Sequence[int], nested: Collection[int]) -> Cells:
        table, lines, malformed = read_records(file, header)
        columns = [table.column(i).combine_chunks() for i in positions]
        return Cells(columns, lines + skipped, [(line + skipped, text) for line, text in malformed])

    name = _DELIMITERS.get(delimiter, repr(delimiter))
    return TableFile(path, f"text in {encoding}, cells between {name}", header, read)


def check_delimiter(delimiter: str) -> str:
    """A delimiter as typed, where ``tab`` and a backslash with a t are a tab.

    Raises:
        TableError: it is not one character of ASCII that can stand between cells.
    """
    delimiter = "\t" if delimiter.lower() in ("tab", "\\t") else delimiter
    is_usable = len(delimiter) == 1 and delimiter.isascii() and delimiter not in '"\r\n\0'
    if not is_usable or delimiter.isalnum():
        raise TableError(
            f"the delimiter must be one character such as , ; | or the word tab, got {delimiter!r}"
        )
    return delimiter


def detect_delimiter(text: str) -> str:
    """The character that splits most lines into as many cells as the first; a comma if none does."""

    def score(delimiter: str) -> tuple[float, int]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        try:
            widths = [len(cells) for cells in islice(reader, 200) if cells]
        except csv.Error:  # a cell that seems to be longer than any
            return 0.0, 0
        if not widths or widths[0] < 2:
            return 0.0, 0
        return widths.count(widths[0]) / len(widths), widths[0]

    return max(_DELIMITERS, key=score)


def _open_json_lines(path: Path, text: str, encoding: str) -> TableFile:
    if text.lstrip().startswith("["):
        raise TableError(f"{path} is one JSON array: write each object on a line of its own")
    header: dict[str, None] = {}
    rows: list[tuple[int, dict[str, Any]]] = []
    malformed: list[tuple[int, str]] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        try:
            cells = json.loads(line, object_pairs_hook=_object) if line.strip() else None
            if not isinstance(cells, dict):
                raise ValueError("not an object" if line.strip() else "empty line")
        except (ValueError, RecursionError) as error:
            malformed.append((number, f"{error}: {line[:200]}".removesuffix(": ")))
            continue
        header |= dict.fromkeys(cells)
        rows.append((number, cells))
    if not rows:
        number, fault = malformed[0]
        raise TableError(f"{path} is not JSON Lines: line {number}: {fault[:200]}")
    names = list(header)
    listed = ((number, [cells.get(name) for name in names]) for number, cells in rows)
    return table_of_rows(path, f"JSON Lines in {encoding}", names, listed, malformed)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise ValueError("an object with a key that occurs twice")
    return cells


def _open_parquet(path: Path) -> TableFile:
    with arrow_errors(path):
        parquet = pq.ParquetFile(path)
    schema = parquet.schema_arrow
    classes = class_names(schema)

    def read(positions: Sequence[int], nested: Collection[int]) -> Cells:
        columns, is_odd = [], np.zeros(parquet.metadata.num_rows, bool)
        for position in positions:
            name, kind = schema.names[position], schema.field(position).type
            if position not in nested:
                _check_type(path, name, kind)
            with arrow_errors(path, f"Parquet, column {name}"):
                column = parquet.read(columns=[name]).column(0).combine_chunks()
                if pa.types.is_nested(kind):
                    column = pa.array([_json(value) for value in column.to_pylist()], pa.string())
                text = text_column(column, classes.get(name))
                is_odd |= np.array(pc.match_substring(text, "\0"), bool)
            columns.append(text)
        kept = np.flatnonzero(~is_odd)
        malformed = [(int(row) + 1, "a byte of value 0") for row in np.flatnonzero(is_odd)]
        return Cells([column.take(pa.array(kept)) for column in columns], kept + 1, malformed)

    binary = (i for i, field in enumerate(schema) if _holds_bytes(field.type))
    return TableFile(path, "Parquet", schema.names, read, frozenset(binary))


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=str)


def _holds_bytes(kind: pa.DataType) -> bool:
    """Whether a type is binary, or has a part that is."""
    if pa.types.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    return any(check(kind) for check in checks)


def _check_type(path: Path, name: str, kind: pa.DataType) -> None:
    if pa.types.is_nested(kind) or _holds_bytes(kind):
        is_image = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        remedy = "embedded images are read by `artaffect import parquet`" if is_image else ""
        raise TableError(
            f"{path}: column {name} must hold text, got {kind}: "
            f"{remedy or 'write one value in each cell, or name another column with --column'}"
        )


def table_of_rows(
    path: Path,
    layout: str,
    header: list[str],
    rows: Iterable[tuple[int, Sequence[Any]]],
    faults: Sequence[tuple[int, str]],
) -> TableFile:
    """A table of rows of Python values, each with its line.

    Args:
        faults: the rows that cannot be read: line and fault.
    """

    def read(positions: Sequence[int], nested: Collection[int]) -> Cells:
        texts, lines, malformed = [], [], list(faults)
        for line, cells in rows:
            try:
                texts.append([_text(cells[i], header[i], i in nested) for i in positions])
                lines.append(line)
            except ValueError as error:
                malformed.append((line, str(error)))
        columns = list(zip(*texts, strict=True)) or [()] * len(positions)
        arrays = [pa.array(column, pa.string()) for column in columns]
        return Cells(arrays, np.array(lines, np.int64), malformed)

    return TableFile(path, layout, header, read)


def _text(value: Any, column: str, is_nested: bool) -> str:
    """A value as text: numbers and dates as people write them, nothing as an empty cell.

    Args:
        is_nested: whether a list or an object may be written as JSON.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | dict) and is_nested:
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise ValueError(f"column {column} holds {kind} instead of text")
    text = str(value)
    if "\0" in text:
        raise ValueError(f"column {column} holds a character of value 0")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise ValueError(f"column {column} holds half a character")
    return text
