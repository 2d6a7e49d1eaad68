"""Feature vectors of artworks that were made elsewhere: a Parquet or npz file."""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.data.annotation_schema import LABEL, SCHEMA
from artaffect.data.annotations import AnnotationTable
from artaffect.data.arrow import arrow_errors
from artaffect.errors import TableError
from artaffect.runtime import file_digest

_EXPECTED = "the columns artwork_id (text) and vector (a list of numbers of one length)"


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """The content of a file."""

    file: Path
    sha256: str
    row_of: dict[str, int]
    """Artwork id → row."""
    vectors: np.ndarray
    """float32 [r, d]."""

    @property
    def width(self) -> int:
        return int(self.vectors.shape[1])

    def find(self, artworks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of artworks, zero for those without one: float32 [p, d]; and which have one [p]."""
        rows = np.array([self.row_of.get(str(name), -1) for name in artworks], np.int64)
        values = np.zeros((len(rows), self.width), np.float32)
        values[rows >= 0] = self.vectors[rows[rows >= 0]]
        return values, rows >= 0

    def as_images(self, table: AnnotationTable) -> AnnotationTable:
        """The table in which the artworks that have a vector, and no others, have an image."""
        names, codes = table.codes("artwork_id")
        images = [str(name) if str(name) in self.row_of else None for name in names]
        column = pa.array(images, pa.string()).take(pa.array(codes)).dictionary_encode().cast(LABEL)
        index = SCHEMA.get_field_index("image")
        provenance = {**table.provenance, "images": str(self.file.absolute().parent)}
        rows = table.rows.set_column(index, SCHEMA.field("image"), column)
        return replace(table, rows=rows, provenance=provenance)


def read_vectors(path: Path) -> StoredVectors:
    """Read a Parquet file with the columns, or an npz file with the arrays, ``artwork_id`` and ``vector``.

    Raises:
        TableError: the file is missing or has other content, a vector is not finite, or an artwork has
            two.
    """
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    names, vectors = _read_npz(path) if path.suffix == ".npz" else _read_parquet(path)
    if vectors.ndim != 2 or not vectors.size or len(names) != len(vectors):
        raise TableError(f"{path}: expected {_EXPECTED}")
    if len(wrong := np.flatnonzero(~np.isfinite(vectors).all(1))):
        raise TableError(
            f"{path} row {wrong[0] + 1}: the vector of {names[wrong[0]]} is not finite"
        )
    row_of: dict[str, int] = {}
    for row, name in enumerate(names):
        if row_of.setdefault(name, row) != row:
            raise TableError(f"{path} row {row + 1}: {name} has a second vector")
    return StoredVectors(path, file_digest(path), row_of, vectors)


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["artwork_id"].astype(str).tolist(), arrays["vector"].astype(np.float32)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TableError(
            f"{path}: expected {_EXPECTED} as arrays of an npz file ({error})"
        ) from None


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    with arrow_errors(path, "a Parquet file of feature vectors"):
        rows = pq.read_table(path)
    if not {"artwork_id", "vector"} <= set(rows.column_names):
        raise TableError(f"{path}: expected {_EXPECTED}; it has {', '.join(rows.column_names)}")
    names, lists = rows["artwork_id"], rows["vector"]
    is_list = pa.types.is_list(lists.type) or pa.types.is_fixed_size_list(lists.type)
    if not is_list or names.null_count or lists.null_count:
        raise TableError(f"{path}: expected {_EXPECTED}, without blanks")
    lengths = np.unique([len(value) for value in lists.to_pylist()])
    if len(lengths) != 1:
        raise TableError(
            f"{path}: its vectors have different lengths, {lengths[0]} to {lengths[-1]}"
        )
    flat = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    return list(map(str, names.to_pylist())), flat.reshape(len(names), -1)
