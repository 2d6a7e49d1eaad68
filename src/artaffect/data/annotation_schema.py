"""The columns of a table of annotations, and what every table must satisfy."""

from dataclasses import dataclass, fields

import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.splits import SPLITS
from artaffect.errors import TableError
from artaffect.labels import SEPARATOR, LabelSet
from artaffect.runtime import printable


@dataclass(frozen=True)
class Annotation:
    """One row of a table."""

    annotation_id: str
    artwork_id: str
    art_style: str
    caption: str
    emotion: str
    culture: str
    language: str
    split: str | None
    image: str | None
    """A path relative to the folder of images."""
    annotator: str | None = None
    """Who made it; None if that is unknown."""


LABEL = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    pa.field(
        f.name,
        pa.string() if f.name in ("annotation_id", "caption") else LABEL,
        nullable=f.name in ("split", "image", "annotator"),
    )
    for f in fields(Annotation)
)
"""The columns of a table. Columns with few distinct values are dictionaries.

Columns that an import carried along may follow; they are dictionaries of text.
"""


def to_schema(rows: pa.Table, path: object) -> pa.Table:
    """The rows of a file in the columns of ``SCHEMA``, followed by the other columns of text.

    Raises:
        TableError: a column is missing.
    """
    if not set(SCHEMA.names) - {"annotator"} <= set(rows.column_names):
        raise TableError(
            f"{path} is not a table of annotations: expected columns {', '.join(SCHEMA.names)}; "
            f"found {printable(', '.join(rows.column_names))}; make one with `artaffect import`"
        )
    if "annotator" not in rows.column_names:  # written by an older version
        rows = rows.append_column("annotator", pa.nulls(len(rows), pa.string()))
    carried = [f.name for f in rows.schema if f.name not in SCHEMA.names and _is_text(f.type)]
    schema = pa.schema([*SCHEMA, *(pa.field(name, LABEL) for name in carried)])
    return _without_views(rows.select(schema.names)).cast(schema)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_string_view(kind)


def _without_views(rows: pa.Table) -> pa.Table:
    """The rows with plain strings instead of views of strings, which polars writes."""
    types = [pa.string() if pa.types.is_string_view(kind) else kind for kind in rows.schema.types]
    return rows.cast(pa.schema(zip(rows.column_names, types, strict=True)))


def check_rows(rows: pa.Table, source: str, labels: LabelSet) -> None:
    """Refuse a table that breaks an assumption of the later steps."""
    carried = list(rows.schema)[len(SCHEMA) :]
    if not rows.schema.equals(pa.schema([*SCHEMA, *(pa.field(f.name, LABEL) for f in carried)])):
        raise TableError(f"{source}: expected the columns {SCHEMA}, found {rows.schema}")
    for name in SCHEMA.names:
        if not SCHEMA.field(name).nullable and rows[name].null_count:
            raise TableError(f"{source}: column {name} has {rows[name].null_count} empty cells")
    for name, allowed in (("emotion", set(labels)), ("split", set(SPLITS))):
        present = set(pc.drop_null(pc.unique(rows[name].cast(pa.string()))).to_pylist())
        if name == "emotion":
            present = {label for cell in present for label in cell.split(SEPARATOR)}
        if unknown := sorted(present - allowed):
            choices = ", ".join(sorted(allowed))
            raise TableError(f"{source}: column {name} holds {unknown}; allowed: {choices}")
    if pc.count_distinct(rows["annotation_id"]).as_py() != rows.num_rows:
        raise TableError(f"{source}: column annotation_id repeats a value; each row needs its own")
