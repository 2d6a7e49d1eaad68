"""List the items of a collection: a folder of images, or a table that names them."""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from artaffect.data.annotations import AnnotationTable
from artaffect.data.arrow import arrow_errors
from artaffect.data.images import SUFFIXES, is_image_file
from artaffect.data.readers.csv import DelimitedFile, quotes_are_sound, strict_records
from artaffect.errors import TableError
from artaffect.runtime import printable

ITEMS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("image", pa.binary()),
        *(pa.field(name, pa.string()) for name in ("caption", "language")),
    ]
)
"""``image`` is an absolute path as bytes, because it need not be UTF-8; unknown values are null."""

_logger = logging.getLogger(__name__)


def read_items(
    source: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> pa.Table:
    """List a collection: a table of ``ITEMS`` with unique ids.

    Args:
        source: a folder, in which an image's id is its relative path, and hidden files are left out;
            or a CSV or Parquet file with the columns ``image`` or ``caption`` or both, and optionally
            ``id`` and ``language``; or a table made by ``artaffect import``.
        root: the folder of a table's images; the table's own folder if None.

    Raises:
        TableError: the collection is empty, a column is missing, or an id is repeated.
    """
    source = Path(source)
    if source.is_dir():
        items = _from_folder(source.absolute())
    elif source.is_file():
        items = _from_file(source, None if root is None else Path(root))
    else:
        raise TableError(f"{source}: no such folder or table")
    if not items.num_rows:
        raise TableError(f"{source} contains no images and no rows")
    _check_ids(items, source)
    _check_images(items, source)
    # captions of one artwork are neighbours, so that its image is read once
    return items.take(pc.sort_indices(items, [("image", "ascending"), ("id", "ascending")]))


def readable(name: str | bytes | os.PathLike[str]) -> str:
    """A path, or a text with a path in it, as Unicode: bytes that are not UTF-8 are escaped."""
    return _encoded(os.fspath(name)).decode("utf-8", "backslashreplace")


def _encoded(path: str | bytes) -> bytes:
    """A path as bytes: in UTF-8 whatever the locale is, and bytes that are not UTF-8 as they are."""
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")


def _from_folder(folder: Path) -> pa.Table:
    names: list[str] = []
    others: list[str] = []
    for path in _files(folder):
        # a broken link to an image is an item, which is skipped with its reason
        is_broken_link = not path.exists() and path.name.lower().endswith(SUFFIXES)
        group = names if is_broken_link or is_image_file(path) else others
        group.append(path.relative_to(folder).as_posix())
    if others:
        first = readable(min(others))
        _logger.info(f"left out {len(others):,} files that are not images, first: {first}")
    images = [_encoded(os.fspath(folder / name)) for name in names]
    nulls = pa.nulls(len(names), pa.string())
    return pa.table([list(map(readable, names)), images, nulls, nulls], schema=ITEMS)


def _files(folder: Path) -> Iterator[Path]:
    """All files that are not hidden; a folder with several links to it is entered once."""
    entered: set[tuple[int, int]] = set()
    for path, folders, files in os.walk(folder, onerror=_warn, followlinks=True):
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        # a folder itself comes before the links to it
        visible = (name for name in folders if not name.startswith("."))
        folders[:] = sorted(visible, key=lambda name: (Path(path, name).is_symlink(), name))
        yield from (Path(path, name) for name in files if not name.startswith("."))


def _warn(error: OSError) -> None:
    _logger.warning(f"left out the folder {readable(error.filename)}: {error.strerror}")


def _from_file(path: Path, root: Path | None) -> pa.Table:
    rows = _read(path)
    for name in ITEMS.names:
        if rows.column_names.count(name) > 1:
            raise TableError(f"{path}: column {name} occurs {rows.column_names.count(name)} times")
    if {"annotation_id", "artwork_id"} <= set(rows.column_names):
        table = AnnotationTable.load(path)
        rows, root = table.rows, root or table.images
        if root is None:
            raise TableError(
                f"{path} does not say where its images are, because another program wrote it: "
                "name their folder with --root"
            )
        rows = rows.rename_columns({"annotation_id": "id"})
    columns = {name: _text(path, rows, name) for name in ITEMS.names if name in rows.column_names}
    if not {"image", "caption"} & set(columns):
        raise TableError(
            f"{path}: expected a column image or caption (and perhaps id, language); "
            f"found {printable(', '.join(rows.column_names))}"
        )
    if "id" not in columns:
        columns["id"] = _ids_from_images(path, columns)
    if "image" in columns:
        columns["image"] = _paths(path, columns["image"], root)
    return pa.table(
        [columns.get(f.name, pa.nulls(rows.num_rows, f.type)) for f in ITEMS], schema=ITEMS
    )


def _ids_from_images(path: Path, columns: Mapping[str, pa.Array]) -> pa.Array:
    if "image" not in columns:
        raise TableError(f"{path}: rows without images need a column id")
    ids = columns["image"]
    if ids.null_count:
        row = pc.index(pc.is_null(ids), True).as_py()
        raise TableError(f"{path}, row {row + 1}: neither an id nor an image")
    if pc.count_distinct(ids).as_py() != len(ids):
        raise TableError(f"{path}: some images occur in several rows, so the rows need a column id")
    return ids


def _text(path: Path, rows: pa.Table, name: str) -> pa.Array:
    """A column as text; an empty cell is null."""
    kind = rows[name].type
    if name == "image" and (pa.types.is_nested(kind) or _is_binary(kind)):
        raise TableError(
            f"{path}: column image holds embedded images ({kind}), expected their paths: "
            "`artaffect import parquet` writes them out"
        )
    if pa.types.is_nested(kind) or _is_binary(kind):
        raise TableError(f"{path}: column {name} holds {kind}, expected text")
    with arrow_errors(path):
        column = pa.chunked_array(rows[name].cast(pa.string())).combine_chunks()
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)


def _is_binary(kind: pa.DataType) -> bool:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(
        check(values)
        for check in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    )


def _paths(table: Path, names: pa.Array, root: Path | None) -> pa.Array:
    """Absolute paths, as the file system encodes them."""
    base = (root or table.parent).absolute()
    if not base.is_dir():
        raise TableError(f"{base}: no such folder of images; name the right one with --root")
    paths = [name if name is None else os.path.join(base, name) for name in names.to_pylist()]
    return pa.array([path if path is None else _encoded(path) for path in paths], pa.binary())


def _read(path: Path) -> pa.Table:
    is_parquet = path.suffix.lower() == ".parquet"
    with arrow_errors(path, "Parquet" if is_parquet else "CSV"):
        if is_parquet:
            return pq.read_table(path)
        if not quotes_are_sound(file := DelimitedFile.open(path)):
            _check_quotes(file)
        as_text = pa.csv.ConvertOptions(column_types={name: pa.string() for name in ITEMS.names})
        multiline = pa.csv.ParseOptions(newlines_in_values=True)
        return pa.csv.read_csv(path, parse_options=multiline, convert_options=as_text)


def _check_images(items: pa.Table, source: Path) -> None:
    """Refuse a table whose rows all have images of which none exists: their folder is another one."""
    paths = items["image"].to_pylist()
    if not any(path is None or os.path.exists(path) for path in paths):
        raise TableError(
            f"{source}: none of its images exists, first: {readable(paths[0])}; "
            "name their folder with --root"
        )


def _check_quotes(file: DelimitedFile) -> None:
    """Refuse a CSV file in which a stray quote would swallow the rows after it."""
    for line, _, fault in strict_records(file):
        if fault:
            raise TableError(
                f"{file.path}: the row that begins on line {line} has a quote that is not closed or not "
                f"doubled ({printable(fault[:200])})"
            )


def _check_ids(items: pa.Table, source: Path) -> None:
    ids = items["id"].combine_chunks()
    if ids.null_count:
        row = pc.index(pc.is_null(ids), True).as_py()
        raise TableError(f"{source}, row {row + 1}: column id is empty")
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        name = repeated[0]["values"].as_py()
        rows = pc.indices_nonzero(pc.equal(ids, name)).to_pylist()
        raise TableError(
            f"{source}: column id repeats {len(repeated):,} values, {name!r} in rows "
            f"{', '.join(str(row + 1) for row in rows[:5])}; each row needs its own id"
        )
