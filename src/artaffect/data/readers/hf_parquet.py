"""Read the Hugging Face layout of ArtELingo: Parquet files with the images inside."""

import errno
import json
import logging
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artaffect.data.annotations import AnnotationTable
from artaffect.data.arrow import arrow_errors
from artaffect.data.filtering import import_rows
from artaffect.data.images import is_plain_name
from artaffect.data.published import with_dataset
from artaffect.data.readers.csv import SourceRows
from artaffect.errors import TableError
from artaffect.outputs import atomic_file
from artaffect.runtime import as_path, printable, track

PARQUET_COLUMNS = ("image", "art_style", "painting", "emotion", "language", "text", "split")
_RENAMED = {name: name for name in PARQUET_COLUMNS[1:]} | {"text": "utterance"}
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}
_BATCH_SIZE = 256
_TEXT = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_integer,
    pa.types.is_null,
)
_BYTES = (pa.binary(), pa.large_binary(), pa.binary_view())
_logger = logging.getLogger(__name__)


def read_hf_parquet(
    path: str | PathLike[str], images: str | PathLike[str], keep_unpictured: bool = False
) -> AnnotationTable:
    """Read a Parquet file with embedded images, or a folder of such files.

    Args:
        images: the folder to which each artwork's image is written once, byte for byte. An equal
            image is not written again, so an interrupted import can be repeated; a different one is
            replaced, and a warning counts those.
        keep_unpictured: keep rows without an image.

    Raises:
        TableError: a file is missing or has another layout, or no row can be kept.
    """
    path, images = as_path(path, "path"), as_path(images, "images")
    images.mkdir(parents=True, exist_ok=True)
    table = import_rows(_read(path, images), path, images, keep_unpictured)
    return with_dataset(table, "ArtELingo")


def _read(path: Path, images: Path) -> SourceRows:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise TableError(f"{path}: no such Parquet file or folder of Parquet files")
    columns: dict[str, list[pa.Array]] = {name: [] for name in _RENAMED.values()}
    names, lines = [], []
    written: set[tuple[str, str]] = set()
    replaced = 0
    for file in files:
        parquet = _open(file)
        n_rows = parquet.metadata.num_rows
        classes = class_names(parquet.schema_arrow)
        batches = _batches(file, parquet)
        for batch in track(batches, f"reading {file.name}", -(-n_rows // _BATCH_SIZE)):
            for original, name in _RENAMED.items():
                with arrow_errors(file, f"Parquet, column {original}"):
                    columns[name].append(text_column(batch[original], classes.get(original)))
            names_of_rows = zip(columns["art_style"][-1], columns["painting"][-1], strict=True)
            pairs = [(style.as_py(), name.as_py()) for style, name in names_of_rows]
            replaced += _write_images(batch["image"], pairs, images, written)
        names.append(pa.repeat(file.name, n_rows))
        lines.append(pa.array(range(1, n_rows + 1), pa.int64()))
    if replaced:
        noun = "image" if replaced == 1 else "images"
        _logger.warning(
            "%s: replaced %s %s with those of %s", images, f"{replaced:,}", noun, path.name
        )
    empty = pa.array([], pa.string())
    text = {name: pa.concat_arrays([empty, *parts]) for name, parts in columns.items()}
    return SourceRows(text, pa.concat_arrays(names), pa.concat_arrays(lines))


def _open(file: Path) -> pq.ParquetFile:
    with arrow_errors(file):
        parquet = pq.ParquetFile(file)
    names = parquet.schema_arrow.names
    missing = [name for name in PARQUET_COLUMNS if name not in names]
    if missing:
        raise TableError(
            f"{file} does not have the Hugging Face layout: expected the columns "
            f"{', '.join(PARQUET_COLUMNS)}; missing {', '.join(missing)}; found {printable(', '.join(names))}"
        )
    for name in PARQUET_COLUMNS:
        if names.count(name) > 1:
            raise TableError(f"{file}: column {name} occurs {names.count(name)} times")
        kind = parquet.schema_arrow.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if name != "image" and not any(is_kind(kind) for is_kind in _TEXT):
            raise TableError(
                f"{file}: column {name} must hold text or the codes of labels, got {kind}"
            )
    image = parquet.schema_arrow.field("image").type
    index = image.get_field_index("bytes") if pa.types.is_struct(image) else -1
    if index < 0 or image.field(index).type not in _BYTES:
        raise TableError(f"{file}: column image must hold bytes and path, found {image}")
    return parquet


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of integer labels, which ``datasets`` keeps in the schema's metadata."""
    try:
        info = json.loads((schema.metadata or {})[b"huggingface"])
        features = dict(info["info"]["features"])
    except (ValueError, LookupError, TypeError):  # codes without names are listed, row by row
        return {}
    names = {name: f.get("names") for name, f in features.items() if isinstance(f, dict)}
    return {
        name: values
        for name, values in names.items()
        if isinstance(values, list) and all(isinstance(value, str) for value in values)
    }


def text_column(column: pa.Array, classes: list[str] | None) -> pa.Array:
    """A column as text; integers take the names of their classes, where they have one."""
    if classes is not None and pa.types.is_integer(column.type):
        # a code without a name, such as -1 for "no label", stays as it is and is listed
        names = pa.array(classes, pa.string())
        codes = column.cast(pa.int64(), safe=False)  # beyond its range, a code becomes negative
        is_named = pc.and_(pc.greater_equal(codes, 0), pc.less(codes, len(classes)))
        codes = pc.if_else(is_named, codes, None)
        column = pc.coalesce(names.take(codes), column.cast(pa.string()))
    text = column.cast(pa.string()).fill_null("")
    text.validate(full=True)  # it may not be UTF-8
    return text


def _batches(file: Path, parquet: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    rows = 0
    with arrow_errors(file):
        for batch in parquet.iter_batches(batch_size=_BATCH_SIZE, columns=list(PARQUET_COLUMNS)):
            rows += batch.num_rows
            yield batch
    if rows != parquet.metadata.num_rows:
        expected = parquet.metadata.num_rows
        raise TableError(f"{file} is damaged: it holds {rows:,} rows instead of {expected:,}")


def _write_images(
    cells: pa.Array, pairs: list[tuple[str, str]], images: Path, written: set[tuple[str, str]]
) -> int:
    """Write the image of each artwork that has none yet; the number of other images replaced."""
    replaced = 0
    for row, pair in enumerate(pairs):
        if pair in written or not all(map(is_plain_name, pair)):
            continue
        data = (cells[row].as_py() or {}).get("bytes")
        if not data:
            continue
        suffix = next((s for magic, s in _SUFFIXES.items() if data.startswith(magic)), ".jpg")
        target = images / pair[0] / f"{pair[1]}{suffix}"
        try:
            exists = target.is_file()
            if not exists or target.read_bytes() != data:
                with atomic_file(target) as temporary:
                    temporary.write_bytes(data)
                replaced += exists
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            continue  # the rows of this artwork are listed as without an image
        written.add(pair)
    return replaced
