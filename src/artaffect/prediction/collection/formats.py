"""Write answers in the format that the name of their file says."""

import contextlib
import csv
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.data.listing import guard_formulas
from artaffect.errors import OutputError
from artaffect.runtime import to_json_text, visible

_EXCEL_ROWS, _EXCEL_COLUMNS, _EXCEL_TEXT = 1_048_576, 16_384, 32_767
"""What a sheet of Excel holds: rows, columns, and characters in a cell."""

Write = Callable[[pa.Table], None]
"""Appends rows to a file."""

_logger = logging.getLogger(__name__)


def check_format(out: Path, rows: int, columns: int) -> None:
    """Check that answers of a size can be written in the format of a name, before the work begins.

    Args:
        rows: without the header.

    Raises:
        OutputError: the format is unknown, or needs a package that is missing, or holds fewer rows.
    """
    suffix = out.suffix.lower()
    if suffix not in _WRITERS:
        raise OutputError(
            f"{out}: answers are written as {', '.join(_WRITERS)}: expected NAME.parquet or another of "
            "these endings"
        )
    if suffix != ".xlsx":
        return
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise OutputError(
            f"{out}: writing Excel needs openpyxl: pip install 'artaffect[excel]'"
        ) from None
    if rows >= _EXCEL_ROWS or columns > _EXCEL_COLUMNS:
        raise OutputError(
            f"{out}: a sheet of Excel holds {_EXCEL_ROWS:,} rows and {_EXCEL_COLUMNS:,} columns, and the "
            f"answers have {rows:,} and {columns:,}: write .csv or .parquet, or use --layout wide"
        )


@contextlib.contextmanager
def open_answers(
    path: Path, suffix: str, schema: pa.Schema, provenance: dict[str, Any]
) -> Iterator[Write]:
    """Open a file to be written, and yield the function that appends rows of ``schema``.

    Texts are written as they are. A spreadsheet takes none of them for a formula: a cell of Excel has the
    type text, and in CSV an apostrophe stands before what would begin a formula.

    Args:
        suffix: one that :func:`check_format` knows.
        provenance: for the metadata of formats that have any.
    """
    with _WRITERS[suffix.lower()](path, schema, provenance) as write:
        yield write


@contextlib.contextmanager
def _parquet(path: Path, schema: pa.Schema, provenance: dict[str, Any]) -> Iterator[Write]:
    schema = schema.with_metadata({"artaffect": to_json_text(provenance, indent=None)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield lambda table: writer.write_table(table.cast(schema))


@contextlib.contextmanager
def _csv(path: Path, schema: pa.Schema, provenance: dict[str, Any]) -> Iterator[Write]:
    # Excel takes a file for UTF-8 only if it begins with the byte order mark
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)

        def write(table: pa.Table) -> None:
            writer.writerows(
                ["" if v is None else guard_formulas(v) if isinstance(v, str) else v for v in row]
                for row in _text_rows(table)
            )

        writer.writerow(map(guard_formulas, schema.names))
        yield write


@contextlib.contextmanager
def _json_lines(path: Path, schema: pa.Schema, provenance: dict[str, Any]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:

        def write(table: pa.Table) -> None:
            for row in _rows(table):
                cells = dict(zip(schema.names, row, strict=True))
                file.write(json.dumps(cells, ensure_ascii=False, allow_nan=False) + "\n")

        yield write


@contextlib.contextmanager
def _excel(path: Path, schema: pa.Schema, provenance: dict[str, Any]) -> Iterator[Write]:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ERROR_CODES
    from openpyxl.styles import Font

    book = Workbook(write_only=True)
    sheet = book.create_sheet("answers")
    sheet.freeze_panes = "B2"
    cut = 0

    def cell(value: Any) -> Any:
        nonlocal cut
        if not isinstance(value, str):
            return value
        text = visible(value.replace("\r\n", "\n"))
        cut += len(text) > _EXCEL_TEXT
        text = text[:_EXCEL_TEXT]
        if guard_formulas(text) == text and text not in ERROR_CODES:
            return text
        typed = WriteOnlyCell(sheet, text)
        typed.data_type = "s"  # openpyxl takes it for a formula or an error
        typed.quotePrefix = True  # and so would Excel, once somebody edits it
        return typed

    def header(name: str) -> Any:
        typed = WriteOnlyCell(sheet, name)
        typed.data_type, typed.font = "s", Font(bold=True)
        return typed

    def write(table: pa.Table) -> None:
        for row in _text_rows(table):
            sheet.append([cell(value) for value in row])

    sheet.append([header(name) for name in schema.names])
    yield write
    book.save(path)
    if cut:
        _logger.warning(
            f"{cut:,} texts are longer than the {_EXCEL_TEXT:,} characters that a cell of Excel holds, and "
            "were cut; the other formats hold them"
        )


def _rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """The rows as Python values; numbers have as few digits as single precision needs."""
    columns = []
    for column in table.columns:
        values = column.to_pylist()
        if pa.types.is_float32(column.type):
            values = [None if value is None else float(str(np.float32(value))) for value in values]
        columns.append(values)
    return zip(*columns, strict=True)


def _text_rows(table: pa.Table) -> Iterator[tuple[Any, ...]]:
    """As :func:`_rows`; lists are texts with ``|`` between the labels, which none of them contains."""
    for row in _rows(table):
        yield tuple("|".join(v) if isinstance(v, list) else v for v in row)


_WRITERS = {".parquet": _parquet, ".csv": _csv, ".xlsx": _excel, ".jsonl": _json_lines}
