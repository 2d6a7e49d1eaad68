"""Read the records of a collection from a table of any layout: what to predict from, and the rest."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.fetch import is_address
from artaffect.data.formats import SUFFIXES
from artaffect.data.images import name_forms
from artaffect.data.readers.table_columns import (
    COLUMNS,
    ColumnNames,
    check_kinds,
    describe_columns,
    join_texts,
    match_columns,
)
from artaffect.data.readers.table_formats import Cells, TableFile, check_delimiter, open_table
from artaffect.errors import TableError
from artaffect.runtime import printable

ITEM_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "object_number", "accession_number", "inventory_number", "object_id"),
    "image": (*COLUMNS["image"], "filename"),
    "caption": (*COLUMNS["caption"], "title"),
    "language": COLUMNS["language"],
}
"""What a column of a collection can hold, and the names by which it is recognised."""

ITEMS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("image", pa.binary()),
        *(pa.field(name, pa.string()) for name in ("caption", "language", "fault")),
    ]
)
"""The columns that every list of items has; unknown values are null.

``image`` is an absolute path as bytes, because it need not be UTF-8. ``fault`` says why a row cannot be
used. A list may have another column, ``record``: a struct of texts, the item's other columns.
"""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableOptions:
    """How the table of a collection is read; what is not given is detected."""

    columns: ColumnNames = field(default_factory=dict)
    """The column, or the columns, of each kind of ``ITEM_COLUMNS``."""
    root: Path | None = None
    """The folder of the images; by default that of the table."""
    language: str | None = None
    """The language of all captions."""
    encoding: str | None = None
    delimiter: str | None = None


def read_records(path: Path, options: TableOptions) -> pa.Table:
    """The rows of a table as ``ITEMS``, with their other columns; blank rows are left out.

    A row that cannot be read is an item with its fault, which has the line for an id.

    Raises:
        TableError: the file cannot be read, a column is missing, or the rows have no id.
    """
    delimiter = None if options.delimiter is None else check_delimiter(options.delimiter)
    return items_from_table(open_table(path, options.encoding, delimiter), options)


def items_from_table(file: TableFile, options: TableOptions) -> pa.Table:
    """As :func:`read_records`, for an open table."""
    path, header = file.path, file.header
    given = check_kinds(options.columns, ITEM_COLUMNS)
    if options.language is not None:
        given["language"] = []
    positions = match_columns(path, header, given, ITEM_COLUMNS)
    if not {"image", "caption"} & positions.keys():
        raise TableError(
            f"{path} has no column for an image or a caption: expected one named "
            f"{' or '.join((*ITEM_COLUMNS['image'][:2], *ITEM_COLUMNS['caption']))}, and it has "
            f"{printable(', '.join(header)[:500])}; name it with --column caption=NAME"
        )
    used = sorted({i for columns in positions.values() for i in columns})
    others = [i for i in range(len(header)) if i not in file.binary and i not in used]
    cells = file.read([*used, *others], set(others))
    texts = dict(zip([*used, *others], cells.columns, strict=True))
    is_blank = cells.is_blank
    kept = pa.array(np.flatnonzero(~is_blank))
    texts = {i: column.take(kept) for i, column in texts.items()}
    _say(file, positions, options.language)
    columns = _columns(path, positions, texts, cells.line[~is_blank], options)
    carried = [
        i
        for i in sorted(texts)
        if i not in positions.get("id", ()) and (header[i].strip() or _has_text(texts[i]))
    ]
    record = dict(zip(_carried_names(header, carried), (texts[i] for i in carried), strict=True))
    rows = pa.table(columns, schema=ITEMS)
    if record:
        rows = rows.append_column(
            "record", pa.StructArray.from_arrays([*record.values()], [*record])
        )
    return _with_faults(rows, cells)


def _columns(
    path: Path,
    positions: Mapping[str, Sequence[int]],
    texts: Mapping[int, pa.Array],
    lines: np.ndarray,
    options: TableOptions,
) -> list[pa.Array]:
    """The columns of ``ITEMS``."""
    count = len(lines)
    columns = {
        kind: _without_blanks(join_texts([texts[i] for i in indices]))
        for kind, indices in positions.items()
    }
    if options.language is not None:
        columns["language"] = pa.array([options.language] * count, pa.string())
    if "id" not in columns:
        columns["id"] = _ids_from_images(path, columns, lines)
    if columns["id"].null_count:
        row = pc.index(pc.is_null(columns["id"]), True).as_py()
        raise TableError(f"{path}, line {lines[row]}: column id is empty")
    if "image" in columns:
        columns["image"] = _paths(path, columns["image"], options.root)
    return [columns.get(f.name, pa.nulls(count, f.type)) for f in ITEMS]


def _without_blanks(column: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _ids_from_images(path: Path, columns: Mapping[str, pa.Array], lines: np.ndarray) -> pa.Array:
    remedy = "name one with --column id=NAME"
    if "image" not in columns:
        raise TableError(f"{path}: rows without images need a column id: {remedy}")
    ids = columns["image"]
    if ids.null_count:
        row = pc.index(pc.is_null(ids), True).as_py()
        raise TableError(f"{path}, line {lines[row]}: neither an id nor an image: {remedy}")
    if pc.count_distinct(ids).as_py() != len(ids):
        raise TableError(
            f"{path}: some images occur in several rows, so the rows need a column id: {remedy}"
        )
    return ids


def _paths(table: Path, names: pa.Array, root: Path | None) -> pa.Array:
    """Absolute paths, as the file system encodes them."""
    base = (root or table.parent).absolute()
    distinct = [name for name in names.unique().to_pylist() if name is not None]
    if not base.is_dir() and not all(map(is_address, distinct)):
        raise TableError(f"{base}: no such folder of images; name the right one with --root")
    paths = {name: _path(base, name) for name in distinct}
    return pa.array([paths.get(name) for name in names.to_pylist()], pa.binary())


def _path(base: Path, name: str) -> bytes:
    """The file of an image: by its name, or by its name without the suffix, or with backslashes.

    A web address is not one of a file, and stays as it is.
    """
    if is_address(name):
        return encode_path(name)
    endings = ("", *SUFFIXES, *map(str.upper, SUFFIXES))
    if name.lower().endswith(SUFFIXES):
        endings = ("",)
    for form in dict.fromkeys((*name_forms(name), *name_forms(name.replace("\\", "/")))):
        for ending in endings:
            path = encode_path(os.path.join(base, form + ending))
            if os.path.isfile(path):
                return path
    return encode_path(os.path.join(base, name))


def encode_path(path: str | bytes) -> bytes:
    """A path as bytes: in UTF-8 whatever the locale is, and bytes that are not UTF-8 as they are."""
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")


def _has_text(column: pa.Array) -> bool:
    return bool(pc.any(pc.not_equal(pc.utf8_trim_whitespace(column), "")).as_py())


def _carried_names(header: Sequence[str], positions: Sequence[int]) -> list[str]:
    """The names of some columns, each once; one without a name has that of its place."""
    names: list[str] = []
    for position in positions:
        name = plain = " ".join(header[position].split()) or f"column {position + 1}"
        number = 1
        while name in names:
            number += 1
            name = f"{plain} ({number})"
        names.append(name)
    return names


def _with_faults(rows: pa.Table, cells: Cells) -> pa.Table:
    """Add the rows that cannot be read; an empty line is no row."""
    faults = [(line, text) for line, text in cells.malformed if text != "empty line"]
    if not faults:
        return rows
    _logger.warning(
        f"{len(faults):,} rows cannot be read and will be listed, first: line {faults[0][0]}: "
        f"{printable(faults[0][1][:200])}"
    )
    broken = [{"id": f"line {line}", "fault": text} for line, text in faults]
    return pa.concat_tables([rows, pa.Table.from_pylist(broken, rows.schema)])


def _say(file: TableFile, positions: Mapping[str, Sequence[int]], language: str | None) -> None:
    """Say in one line how a table is read."""
    columns = describe_columns(file.header, positions)
    fixed = f", language: {language} for all rows" if language else ""
    _logger.info("%s", printable(f"{file.path}: {file.layout}; {columns}{fixed}"))
