"""Read the Hugging Face Parquet layout of ArtELingo, with its pictures inside."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.data.images import is_plain_name
from artaffect.data.readers.csv import SourceRows
from artaffect.errors import TableError
from artaffect.runtime import atomic_file, track

PARQUET_COLUMNS = ("image", "art_style", "painting", "emotion", "language", "text", "split")
_TEXT_COLUMNS = {
    "art_style": "art_style",
    "painting": "painting",
    "emotion": "emotion",
    "language": "language",
    "text": "utterance",
    "split": "split",
}

_SUFFIX = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"RIFF": ".webp"}


def read_embedded(path: Path, images: Path) -> SourceRows:
    """Read the rows, and write each painting's picture to ``images`` once, byte for byte.

    A picture that is already there is not written again, so an import that was killed goes on.

    Raises:
        TableError: no such file, not Parquet, or a column of the layout is missing.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not path.exists():
        raise TableError(f"{path}: no such Parquet file, or folder of them")
    columns: dict[str, list[pa.Array]] = {name: [] for name in _TEXT_COLUMNS.values()}
    names: list[pa.Array] = []
    lines: list[pa.Array] = []
    written: set[tuple[str, str]] = set()
    for file in files:
        reader = _open(file)
        row = 1
        batches = reader.iter_batches(batch_size=256, columns=list(PARQUET_COLUMNS))
        total = -(-reader.metadata.num_rows // 256)
        labels = _class_labels(reader.schema_arrow)
        for batch in track(batches, f"reading {file.name}", total):
            for theirs, ours in _TEXT_COLUMNS.items():
                columns[ours].append(_text(batch[theirs], labels.get(theirs)))
            _write_images(batch, images, written)
            names.append(pa.repeat(file.name, batch.num_rows))
            lines.append(pa.array(range(row, row + batch.num_rows), pa.int64()))
            row += batch.num_rows
    return SourceRows(
        columns={
            name: pa.concat_arrays(parts) if parts else pa.array([], pa.string())
            for name, parts in columns.items()
        },
        file=pa.concat_arrays(names) if names else pa.array([], pa.string()),
        line=pa.concat_arrays(lines) if lines else pa.array([], pa.int64()),
    )


def _open(file: Path) -> pq.ParquetFile:
    try:
        reader = pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{file} is not a Parquet file: {error}") from None
    found = reader.schema_arrow.names
    missing = [name for name in PARQUET_COLUMNS if name not in found]
    if missing:
        raise TableError(
            f"{file} has not the Hugging Face layout: expected the columns "
            f"{', '.join(PARQUET_COLUMNS)}; missing {', '.join(missing)}; found {', '.join(found)}"
        )
    image = reader.schema_arrow.field("image").type
    if not (pa.types.is_struct(image) and image.get_field_index("bytes") >= 0):
        raise TableError(f"{file}: column image must hold bytes and path, found {image}")
    return reader


def _class_labels(schema: pa.Schema) -> dict[str, list[str]]:
    """Names behind integer columns, which ``datasets`` keeps in the schema's metadata."""
    info = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features: dict[str, Any] = info.get("info", {}).get("features", {})
    return {
        name: f["names"] for name, f in features.items() if isinstance(f, dict) and "names" in f
    }


def _text(column: pa.Array, names: list[str] | None) -> pa.Array:
    if names is not None and pa.types.is_integer(column.type):
        column = pa.array(names, pa.string()).take(column)
    return column.cast(pa.string()).fill_null("")


def _write_images(batch: pa.RecordBatch, images: Path, written: set[tuple[str, str]]) -> None:
    styles, paintings = batch["art_style"].to_pylist(), batch["painting"].to_pylist()
    for row, pair in enumerate(zip(styles, paintings, strict=True)):
        if pair in written or not all(is_plain_name(str(part)) for part in pair):
            continue
        cell = batch["image"][row].as_py() or {}
        data = cell.get("bytes")
        if not data:
            continue
        suffix = next((s for magic, s in _SUFFIX.items() if data.startswith(magic)), ".jpg")
        target = images / pair[0] / f"{pair[1]}{suffix}"
        if not target.is_file() or target.stat().st_size != len(data):
            with atomic_file(target) as temporary:
                temporary.write_bytes(data)
        written.add(pair)
