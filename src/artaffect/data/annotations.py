"""The annotation table: one row is one reader's emotion and caption for one artwork.

Columns and checks live here and nowhere else. A table is saved as one Parquet file that carries its
provenance: the source file, its digest, where the pictures are, and what was done to the rows.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artaffect.errors import TableError
from artaffect.labels import EMOTIONS, Emotion
from artaffect.runtime import atomic_file

_LABEL = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("annotation_id", pa.string(), nullable=False),
        pa.field("artwork_id", _LABEL, nullable=False),
        pa.field("art_style", _LABEL, nullable=False),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("emotion", _LABEL, nullable=False),
        pa.field("culture", _LABEL, nullable=False),
        pa.field("language", _LABEL, nullable=False),
        pa.field("split", _LABEL),
        pa.field("image", _LABEL),
    ]
)
"""``image`` is a path relative to the provenance's ``images``; null where there is no picture."""

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Annotation:
    """One row."""

    annotation_id: str
    artwork_id: str
    art_style: str
    caption: str
    emotion: Emotion
    culture: str
    language: str
    split: str | None
    image: str | None


@dataclass(frozen=True)
class AnnotationTable:
    """All rows, columnar, in memory."""

    rows: pa.Table
    """The rows, in the columns of ``SCHEMA``."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where the rows come from; plain JSON values."""

    def __post_init__(self) -> None:
        _check(self.rows, self.provenance.get("source", "table"))

    @classmethod
    def load(cls, path: Path | str) -> "AnnotationTable":
        """Read a table that :meth:`save` wrote.

        Raises:
            TableError: the file is missing, is no Parquet, or has not a table's columns.
        """
        path = Path(path)
        if not path.is_file():
            raise TableError(f"{path}: no such file")
        try:
            rows = pq.read_table(path)
        except pa.ArrowInvalid as error:
            raise TableError(
                f"{path} is not a table of annotations ({error}); make one with `artaffect import`"
            ) from None
        missing = [name for name in SCHEMA.names if name not in rows.column_names]
        if missing:
            raise TableError(
                f"{path} is not a table of annotations: expected columns {', '.join(SCHEMA.names)}; "
                f"found {', '.join(rows.column_names)}; make one with `artaffect import`"
            )
        metadata = rows.schema.metadata or {}
        provenance = json.loads(metadata.get(b"artaffect", b"{}"))
        return cls(rows.select(SCHEMA.names).cast(SCHEMA).unify_dictionaries(), provenance)

    def save(self, path: Path | str) -> None:
        """Write one Parquet file, whole or not at all."""
        metadata = {"artaffect": json.dumps(dict(self.provenance), ensure_ascii=False)}
        with atomic_file(Path(path)) as temporary:
            pq.write_table(
                self.rows.replace_schema_metadata(metadata), temporary, compression="zstd"
            )

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __iter__(self) -> Iterator[Annotation]:
        for batch in self.rows.to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield Annotation(**{**row, "emotion": Emotion(row["emotion"])})

    @property
    def images(self) -> Path | None:
        """The folder that the ``image`` column is relative to."""
        root = self.provenance.get("images")
        return Path(root) if root else None

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures present, most annotations first."""
        names, codes = self.codes("culture")
        counts = np.bincount(codes, minlength=len(names))
        order = sorted(np.flatnonzero(counts), key=lambda i: (-counts[i], names[i]))
        return tuple(str(names[i]) for i in order)

    def emotion_codes(self) -> np.ndarray:
        """Each row's emotion as its index in ``EMOTIONS``: int64 [n]."""
        names, codes = self.codes("emotion")
        order = np.array([EMOTIONS.index(Emotion(name)) for name in names], np.int64)
        found: np.ndarray = order[codes]
        return found

    def codes(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """A label column as its distinct values [k] and each row's index into them [n]; null is -1."""
        values = self.rows[column].combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # an empty column keeps its chunks
            values = pa.array([], _LABEL)
        codes = pc.fill_null(values.indices, -1).to_numpy(zero_copy_only=False)
        return values.dictionary.to_numpy(zero_copy_only=False), codes.astype(np.int64)

    def strings(self, column: str) -> list[Any]:
        """A column as Python strings; null is None."""
        return list(self.rows[column].to_pylist())

    def select(self, keep: np.ndarray) -> "AnnotationTable":
        """The rows where ``keep`` (bool [n]) is true, or those at the given positions (int [k])."""
        rows = self.rows.filter(pa.array(keep)) if keep.dtype == bool else self.rows.take(keep)
        return AnnotationTable(rows.unify_dictionaries(), self.provenance)

    def of_split(self, split: str) -> "AnnotationTable":
        """The rows of one split.

        Raises:
            TableError: no row belongs to it.
        """
        names, codes = self.codes("split")
        keep = np.isin(codes, np.flatnonzero(names == split))
        if not keep.any():
            present = sorted(str(names[i]) for i in np.unique(codes[codes >= 0]))
            has = f"it has {', '.join(present)}" if present else "make them with `artaffect split`"
            raise TableError(f"the table has no rows in split {split!r}: {has}")
        return self.select(keep)

    def with_split(self, split: pa.Array) -> "AnnotationTable":
        """The same rows under other splits."""
        index = SCHEMA.get_field_index("split")
        column = split.cast(pa.string()).dictionary_encode()
        return AnnotationTable(
            self.rows.set_column(index, SCHEMA.field("split"), column), self.provenance
        )


def _check(rows: pa.Table, source: str) -> None:
    """Refuse a table that breaks what every later step relies on."""
    if not rows.schema.equals(SCHEMA):
        raise TableError(f"{source}: expected the columns {SCHEMA}, found {rows.schema}")
    for name in SCHEMA.names:
        if not SCHEMA.field(name).nullable and rows[name].null_count:
            raise TableError(f"{source}: column {name} has {rows[name].null_count} empty cells")
    for name, allowed in (("emotion", set(map(str, EMOTIONS))), ("split", set(SPLITS))):
        present = set(pc.drop_null(pc.unique(rows[name].cast(pa.string()))).to_pylist())
        if present - allowed:
            raise TableError(
                f"{source}: column {name} holds {sorted(present - allowed)}; "
                f"allowed: {', '.join(sorted(allowed))}"
            )
    if pc.count_distinct(rows["annotation_id"]).as_py() != rows.num_rows:
        raise TableError(f"{source}: column annotation_id repeats a value; each row needs its own")
