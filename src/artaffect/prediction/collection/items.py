"""List the items of a collection: a folder of images, or a table that names them."""

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artaffect.data.annotations import AnnotationTable
from artaffect.data.fetch import is_address
from artaffect.data.images import SUFFIXES, is_image_file
from artaffect.data.readers.iiif import iiif_document, read_iiif
from artaffect.errors import FetchError, TableError
from artaffect.prediction.collection.downloads import Web, fetch_json
from artaffect.prediction.collection.records import (
    ITEMS,
    TableOptions,
    encode_path,
    items_from_table,
    read_records,
)

_logger = logging.getLogger(__name__)


def read_items(
    source: str | os.PathLike[str], options: TableOptions | None = None, web: Web | None = None
) -> pa.Table:
    """List a collection: a table of ``ITEMS`` with unique ids, in the order of the source.

    Items of one image are neighbours, so that it is read once.

    Args:
        source: a folder, in which an image's id is its relative path, and hidden files are left out;
            or a table: CSV, TSV, JSON Lines, Parquet or Excel, or one made by ``artaffect import``; or a
            IIIF Presentation manifest or collection, as a file or an address.
        web: whether manifests may be requested; by default nothing is.

    Raises:
        TableError: the collection is empty, a column is missing, or an id is repeated.
        FetchError: an address cannot be read.
    """
    options, web = options or TableOptions(), web or Web()
    if is_address(os.fspath(source)):
        items = _from_address(os.fspath(source), options, web)
        source = Path(os.fspath(source).partition("://")[2])
        return _checked(items, source)
    source = Path(source)
    if source.is_dir():
        if options.columns:
            raise TableError(f"{source} is a folder, which has no columns: leave out --column")
        items = _from_folder(source.absolute())
    elif source.is_file() and is_image_file(source):
        raise TableError(
            f"{source} is a single image: name the folder that holds it, or use artaffect predict --image"
        )
    elif source.is_file():
        document = iiif_document(source)
        if document is None:
            items = _from_file(source, options)
        else:
            items = _from_iiif(document, source, options, web)
    else:
        raise TableError(f"{source}: no such folder or table")
    return _checked(items, source)


def _checked(items: pa.Table, source: Path) -> pa.Table:
    """The items in their order, with what must hold for every collection."""
    if not items.num_rows:
        raise TableError(f"{source} contains no images and no rows")
    _check_ids(items, source)
    _check_images(items, source)
    return items.take(_order(items["image"].combine_chunks()))


def _from_address(url: str, options: TableOptions, web: Web) -> pa.Table:
    with web.fetcher() as fetcher:
        try:
            document = fetch_json(fetcher, url)
        except FetchError as error:
            raise FetchError(f"{url} cannot be read: {error}") from None
    return _from_iiif(document, Path(url.partition("://")[2]), options, web)


def _from_iiif(document: Any, name: Path, options: TableOptions, web: Web) -> pa.Table:
    """The canvases of a manifest or a collection; its manifests are requested if that is allowed."""
    # the reader says which language each caption has
    columns = replace(options, language=None)
    if not web.allowed:
        return items_from_table(read_iiif(document, name, None, options.language), columns)
    with web.fetcher() as fetcher:
        fetch = partial(fetch_json, fetcher)
        return items_from_table(read_iiif(document, name, fetch, options.language), columns)


def _order(images: pa.Array) -> pa.Array:
    """The order in which an image's other items follow its first."""
    position = np.arange(len(images))
    codes = np.array(images.dictionary_encode().indices.fill_null(-1))
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    group = np.where(codes < 0, position, first[inverse])
    return pa.array(np.lexsort((position, group)))


def readable(name: str | bytes | os.PathLike[str]) -> str:
    """A path, or a text with a path in it, as Unicode: bytes that are not UTF-8 are escaped."""
    return encode_path(os.fspath(name)).decode("utf-8", "backslashreplace")


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
    images = [encode_path(os.fspath(folder / name)) for name in names]
    nulls = [pa.nulls(len(names), pa.string())] * 3
    ordered = sorted(zip(images, map(readable, names), strict=True))
    return pa.table(
        [[name for _, name in ordered], [image for image, _ in ordered], *nulls], schema=ITEMS
    )


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


def _from_file(path: Path, options: TableOptions) -> pa.Table:
    if not _is_imported(path):
        return read_records(path, options)
    if options.columns:
        raise TableError(f"{path} is a table of `artaffect import`: leave out --column")
    table = AnnotationTable.load(path, options.root)
    root = table.images
    if root is None:
        raise TableError(
            f"{path} does not say where its images are, because another program wrote it: "
            "name their folder with --root"
        )
    rows = table.rows.rename_columns({"annotation_id": "id"})
    columns = {name: _text(rows[name]) for name in ITEMS.names if name in rows.column_names}
    if not root.is_dir():
        raise TableError(f"{root}: no such folder of images; name the right one with --root")
    columns["image"] = pa.array(
        [
            name and encode_path(os.path.join(root.absolute(), name))
            for name in columns["image"].to_pylist()
        ],
        pa.binary(),
    )
    return pa.table(
        [columns.get(f.name, pa.nulls(rows.num_rows, f.type)) for f in ITEMS], schema=ITEMS
    )


def _is_imported(path: Path) -> bool:
    """Whether a file is a table of ``artaffect import``."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return False
    return {"annotation_id", "artwork_id"} <= set(names)


def _text(column: pa.ChunkedArray) -> pa.Array:
    """A column as text; an empty cell is null."""
    text = pa.chunked_array(column.cast(pa.string())).combine_chunks()
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _check_images(items: pa.Table, source: Path) -> None:
    """Refuse a table whose rows all have images of which none exists: their folder is another one."""
    paths = items["image"].to_pylist()
    if not any(
        path is None or is_address(os.fsdecode(path)) or os.path.exists(path) for path in paths
    ):
        raise TableError(
            f"{source}: none of its images exists, first: {readable(paths[0])}; "
            "name their folder with --root"
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
