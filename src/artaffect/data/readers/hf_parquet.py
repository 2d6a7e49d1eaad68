"""Read the Hugging Face layout of ArtELingo: Parquet files with the images inside."""

import json
from os import PathLike
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.data.annotations import AnnotationTable
from artaffect.data.filtering import import_rows
from artaffect.data.images import is_plain_name
from artaffect.data.readers.csv import SourceRows
from artaffect.errors import TableError
from artaffect.runtime import as_path, atomic_file, track

PARQUET_COLUMNS = ("image", "art_style", "painting", "emotion", "language", "text", "split")
_RENAMED = {name: name for name in PARQUET_COLUMNS[1:]} | {"text": "utterance"}
_SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}
_BATCH_SIZE = 256


def read_hf_parquet(
    path: str | PathLike[str], images: str | PathLike[str], keep_unpictured: bool = False
) -> AnnotationTable:
    """Read a Parquet file with embedded images, or a folder of such files.

    Args:
        images: the folder to which each artwork's image is written once, byte for byte. Existing
            images are not written again, so an interrupted import can be repeated.
        keep_unpictured: keep rows without an image.

    Raises:
        TableError: a file is missing or has another layout, or no row can be kept.
    """
    path, images = as_path(path, "path"), as_path(images, "images")
    images.mkdir(parents=True, exist_ok=True)
    return import_rows(_read(path, images), path, images, keep_unpictured)


def _read(path: Path, images: Path) -> SourceRows:
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise TableError(f"{path}: no such Parquet file or folder of Parquet files")
    columns: dict[str, list[pa.Array]] = {name: [] for name in _RENAMED.values()}
    names, lines = [], []
    written: set[tuple[str, str]] = set()
    for file in files:
        parquet = _open(file)
        n_rows = parquet.metadata.num_rows
        batches = parquet.iter_batches(batch_size=_BATCH_SIZE, columns=list(PARQUET_COLUMNS))
        class_names = _class_names(parquet.schema_arrow)
        for batch in track(batches, f"reading {file.name}", -(-n_rows // _BATCH_SIZE)):
            for original, name in _RENAMED.items():
                columns[name].append(_text(batch[original], class_names.get(original)))
            _write_images(batch, images, written)
        names.append(pa.repeat(file.name, n_rows))
        lines.append(pa.array(range(1, n_rows + 1), pa.int64()))
    empty = pa.array([], pa.string())
    text = {name: pa.concat_arrays([empty, *parts]) for name, parts in columns.items()}
    return SourceRows(text, pa.concat_arrays(names), pa.concat_arrays(lines))


def _open(file: Path) -> pq.ParquetFile:
    try:
        parquet = pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{file} is not a Parquet file: {error}") from None
    names = parquet.schema_arrow.names
    missing = [name for name in PARQUET_COLUMNS if name not in names]
    if missing:
        raise TableError(
            f"{file} does not have the Hugging Face layout: expected the columns "
            f"{', '.join(PARQUET_COLUMNS)}; missing {', '.join(missing)}; found {', '.join(names)}"
        )
    image = parquet.schema_arrow.field("image").type
    if not (pa.types.is_struct(image) and image.get_field_index("bytes") >= 0):
        raise TableError(f"{file}: column image must hold bytes and path, found {image}")
    return parquet


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """The names of integer labels, which ``datasets`` keeps in the schema's metadata."""
    info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = info.get("info", {}).get("features", {}).items()
    return {name: f["names"] for name, f in features if isinstance(f, dict) and "names" in f}


def _text(column: pa.Array, class_names: list[str] | None) -> pa.Array:
    if class_names is not None and pa.types.is_integer(column.type):
        column = pa.array(class_names, pa.string()).take(column)
    return column.cast(pa.string()).fill_null("")


def _write_images(batch: pa.RecordBatch, images: Path, written: set[tuple[str, str]]) -> None:
    styles, names = batch["art_style"].to_pylist(), batch["painting"].to_pylist()
    for row, pair in enumerate(zip(styles, names, strict=True)):
        if pair in written or not all(is_plain_name(str(part)) for part in pair):
            continue
        data = (batch["image"][row].as_py() or {}).get("bytes")
        if not data:
            continue
        suffix = next((s for magic, s in _SUFFIXES.items() if data.startswith(magic)), ".jpg")
        target = images / pair[0] / f"{pair[1]}{suffix}"
        if not target.is_file() or target.stat().st_size != len(data):
            with atomic_file(target) as temporary:
                temporary.write_bytes(data)
        written.add(pair)
