"""Read the first sheet of an Excel workbook."""

import contextlib
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from artaffect.errors import TableError

_MAX_BYTES = 2 << 30
"""The most that the parts of a workbook may hold when unpacked."""


def read_excel(path: Path) -> tuple[str, list[str], list[tuple[int, list[Any]]]]:
    """The name of the first sheet, the cells of its first row, and the other rows with their number.

    A formula is read as its stored result, and a merged cell fills every row and column that it spans.
    Empty rows at the start and at the end are left out.

    Raises:
        TableError: the file is not a workbook or is damaged, the sheet is empty, or openpyxl is missing.
    """
    with _excel_errors(path):
        rows, name, count = _cells(path)
    while rows and not any(cell is not None for cell in rows[-1]):
        rows.pop()
    if not rows:
        raise TableError(f"{path}: sheet {name!r} is empty: put the table on the first sheet")
    first = next(i for i, row in enumerate(rows) if any(cell is not None for cell in row))
    header = ["" if cell is None else str(cell) for cell in rows[first]]
    sheet = f"sheet {name!r}" + (f", the first of {count}" if count > 1 else "")
    return sheet, header, list(enumerate(rows[first + 1 :], start=first + 2))


def _cells(path: Path) -> tuple[list[list[Any]], str, int]:
    """The values of the first sheet, its name, and the number of sheets."""
    from openpyxl import load_workbook

    with zipfile.ZipFile(path) as archive:
        if sum(part.file_size for part in archive.infolist()) > _MAX_BYTES:
            raise ValueError("it unpacks to more than 2 GiB")
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of parts that do not matter, such as rules for typing
        book = load_workbook(file, data_only=True, keep_links=False)
    sheet = book.worksheets[0]
    rows = [
        [None if cell.data_type == "e" else cell.value for cell in row] for row in sheet.iter_rows()
    ]
    for area in sheet.merged_cells.ranges:
        value = rows[area.min_row - 1][area.min_col - 1]
        for row in rows[area.min_row - 1 : area.max_row]:
            row[area.min_col - 1 : area.max_col] = [value] * (area.max_col - area.min_col + 1)
    return rows, sheet.title, len(book.worksheets)


@contextlib.contextmanager
def _excel_errors(path: Path) -> Iterator[None]:
    """Raise whatever openpyxl raises as TableError; nothing but its calls stands inside."""
    try:
        yield
    except MemoryError:
        raise
    except ImportError:
        raise TableError(
            f"{path}: reading Excel needs openpyxl: pip install 'artaffect[excel]'"
        ) from None
    except Exception as error:  # noqa: BLE001 -- damaged parts raise anything: KeyError, ParseError
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise TableError(
            f"{path} is not an Excel workbook, or a damaged one ({reason}): open it and save it again"
        ) from None
