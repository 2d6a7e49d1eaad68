"""List the items of a collection: a folder of images, or a table that names them."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from artaffect.data.annotations import AnnotationTable
from artaffect.data.images import SUFFIXES
from artaffect.errors import TableError

ITEMS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        *(pa.field(name, pa.string()) for name in ("image", "caption", "language")),
    ]
)
"""``image`` is an absolute path; unknown values are null."""

_IMAGE_SUFFIXES = (*SUFFIXES, ".gif", ".tif", ".tiff", ".bmp")


def read_items(
    source: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
) -> pa.Table:
    """List a collection: a table of ``ITEMS`` with unique ids.

    Args:
        source: a folder, in which an image's id is its relative path; or a CSV or Parquet file with
            the columns ``image`` or ``caption`` or both, and optionally ``id`` and ``language``; or a
            table made by ``artaffect import``.
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
    # captions of one artwork are neighbours, so that its image is read once
    return items.take(pc.sort_indices(items, [("image", "ascending"), ("id", "ascending")]))


def _from_folder(folder: Path) -> pa.Table:
    images: list[Path] = []
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (file for file in files if not file.startswith("."))
        images += [Path(path, f) for f in visible if f.lower().endswith(_IMAGE_SUFFIXES)]
    names = [image.relative_to(folder).as_posix() for image in images]
    nulls = pa.nulls(len(names), pa.string())
    return pa.table([names, list(map(str, images)), nulls, nulls], schema=ITEMS)


def _from_file(path: Path, root: Path | None) -> pa.Table:
    rows = _read(path)
    if {"annotation_id", "artwork_id"} <= set(rows.column_names):
        table = AnnotationTable.load(path)
        rows, root = table.rows, root or table.images
        rows = rows.rename_columns({"annotation_id": "id"})
    names = [name for name in ITEMS.names if name in rows.column_names]
    columns = {name: rows[name].cast(pa.string()).combine_chunks() for name in names}
    if not {"image", "caption"} & set(columns):
        raise TableError(
            f"{path}: expected a column image or caption (and perhaps id, language); "
            f"found {', '.join(rows.column_names)}"
        )
    if "image" in columns:
        base = str((root or path.parent).absolute())
        columns["image"] = pa.array(
            [os.path.join(base, name) if name else None for name in columns["image"].to_pylist()],
            pa.string(),
        )
    if "id" not in columns:
        if "image" not in columns:
            raise TableError(f"{path}: rows without images need a column id")
        ids = columns["id"] = rows["image"].cast(pa.string()).combine_chunks()
        if pc.count_distinct(ids).as_py() != len(ids):
            raise TableError(
                f"{path}: some images occur in several rows, so the rows need a column id"
            )
    nulls = pa.nulls(rows.num_rows, pa.string())
    arrays = [columns.get(name, nulls) for name in ITEMS.names]
    return pa.table([pc.if_else(pc.equal(a, ""), nulls, a) for a in arrays], ITEMS.names)


def _read(path: Path) -> pa.Table:
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        as_text = pa.csv.ConvertOptions(column_types={name: pa.string() for name in ITEMS.names})
        multiline = pa.csv.ParseOptions(newlines_in_values=True)
        return pa.csv.read_csv(path, parse_options=multiline, convert_options=as_text)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise TableError(f"{path} is neither a CSV nor a Parquet file: {error}") from None


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
