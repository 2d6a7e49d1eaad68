"""The annotation table: one row holds the emotion and the caption of one annotator for one artwork.

All columns and checks are defined here. A table is saved as one Parquet file together with its
provenance: the source file, its digest, the folder of images, and what the import did.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artaffect.data.annotation_schema import LABEL, SCHEMA, Annotation, check_rows, to_schema
from artaffect.data.arrow import arrow_errors
from artaffect.data.import_report import ImportReport
from artaffect.data.splits import SPLITS, split_by_artwork
from artaffect.errors import ConfigError, TableError, UnknownNameError
from artaffect.labels import ARTEMIS, SEPARATOR, LabelSet, culture_name
from artaffect.outputs import atomic_file
from artaffect.runtime import as_path, printable, visible

if TYPE_CHECKING:
    import pandas as pd

_logger = logging.getLogger(__name__)

SYNTHETIC = "SYNTHETIC.md"
"""A file with this name beside a data set says that the data are synthetic."""


_RELATIVE = "images_relative"
"""In a saved table: the folder of images relative to the table's own folder."""


@dataclass(frozen=True, repr=False)
class AnnotationTable:
    """All annotations in memory, stored by column."""

    rows: pa.Table
    """The rows, with the columns of ``SCHEMA``."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """The origin of the rows, as plain JSON values."""
    report: ImportReport | None = field(default=None, compare=False)
    """What the import did with the source; None if the table was not imported from a data set."""
    file: Path | None = field(default=None, compare=False)
    """The file that the table was read from."""
    labels: LabelSet = ARTEMIS
    """The labels of the column ``emotion``."""

    def __post_init__(self) -> None:
        check_rows(self.rows, self.provenance.get("source", "table"), self.labels)

    @classmethod
    def load(
        cls, path: str | PathLike[str], images: str | PathLike[str] | None = None
    ) -> "AnnotationTable":
        """Read a table that :meth:`save` wrote; raise TableError if the file is not one.

        Args:
            images: the folder of the table's images. By default it is where it was relative to the
                table when that was saved, so that both can be moved together, or else where it was.
        """
        path = as_path(path, "path")
        if not path.is_file():
            raise TableError(f"{path}: no such file")
        with arrow_errors(path, "a table of annotations, as `artaffect import` makes them"):
            rows = pq.read_table(path)
        provenance, report, labels = _read_metadata(path, rows.schema)
        relative = provenance.pop(_RELATIVE, None)
        if images is not None:
            provenance["images"] = str(as_path(images, "images"))
        elif relative is not None:
            moved = os.path.normpath(path.absolute().parent / relative)
            saved = provenance.get("images", moved)
            # above a copied table may be another folder of the same name
            first, second = (saved, moved) if relative.startswith("..") else (moved, saved)
            provenance["images"] = first if Path(first).is_dir() else second
        with arrow_errors(path, "a table of annotations, as `artaffect import` makes them"):
            rows = to_schema(rows, path).unify_dictionaries()
            rows.validate(full=True)  # text may not be UTF-8
        return cls(rows, provenance, report, path, labels)

    def save(self, path: str | PathLike[str]) -> None:
        """Write one Parquet file, completely or not at all."""
        path, provenance = as_path(path, "path"), dict(self.provenance)
        if self.images is not None:
            provenance[_RELATIVE] = os.path.relpath(self.images, path.absolute().parent)
        metadata = {"artaffect": json.dumps(provenance, ensure_ascii=False)}
        if self.report is not None:
            metadata["artaffect.reports"] = json.dumps(self.report.to_json(), ensure_ascii=False)
        metadata["artaffect.labels"] = json.dumps(self.labels.to_json(), ensure_ascii=False)
        rows = self.rows.replace_schema_metadata(metadata)
        with atomic_file(path) as temporary:
            pq.write_table(rows, temporary, compression="zstd")

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def __iter__(self) -> Iterator[Annotation]:
        for batch in self.rows.select(SCHEMA.names).to_batches(max_chunksize=4096):
            for row in batch.to_pylist():
                yield Annotation(**row)

    def __repr__(self) -> str:
        counts = "; ".join(f"{name}: {value}" for name, value in self._overview().items())
        return f"AnnotationTable({printable(counts)})"

    def _repr_html_(self) -> str:
        from jinja2 import Template

        return Template(_OVERVIEW, autoescape=True, finalize=visible).render(
            overview=self._overview()
        )

    def _overview(self) -> dict[str, str]:
        counts = self.counts("split")
        splits = ", ".join(f"{name} {counts[name]:,}" for name in SPLITS if name in counts)
        cultures, more = self.cultures[:5], len(self.cultures) - 5
        return {
            "rows": f"{len(self):,}",
            "artworks": f"{len(np.unique(self.codes('artwork_id')[1])):,}",
            "cultures": ", ".join([*cultures, *([f"{more} more"] if more > 0 else [])]) or "none",
            "splits": splits or "none",
        }

    @property
    def images(self) -> Path | None:
        """The folder to which the ``image`` column is relative."""
        return Path(self.provenance["images"]) if self.provenance.get("images") else None

    @property
    def name(self) -> str:
        """The name of the table's file, or of the data set that it was imported from."""
        return (self.file or Path(self.provenance.get("source", "table"))).stem

    @property
    def audience(self) -> str:
        """What a culture of this table is, in the words of its source: the name of that column."""
        return str(self.provenance.get("audience", "culture"))

    @property
    def carried(self) -> tuple[str, ...]:
        """The names of the columns that the import carried along."""
        return tuple(self.rows.column_names[len(SCHEMA) :])

    def with_culture(self, column: str) -> "AnnotationTable":
        """The same rows with another column as their culture, such as one that was carried along.

        Rows that are blank in it are left out, with a line in the log.

        Raises:
            UnknownNameError: there is no such column.
            TableError: it is blank in all rows.
        """
        known = ("culture", "language", "art_style", "annotator", *self.carried)
        if column not in known:
            raise UnknownNameError("column for the culture", column, known)
        encoded = self.rows[column].cast(pa.string()).combine_chunks().dictionary_encode()
        cultures = pa.array(map(culture_name, encoded.dictionary.to_pylist()), pa.string())
        cells = cultures.take(encoded.indices)
        has_culture = np.array(cells.is_valid(), bool)
        if not has_culture.any():
            raise TableError(f"the column {column} of the table {self.name} is blank in all rows")
        if not has_culture.all():
            _logger.warning(f"{(~has_culture).sum():,} rows without {column} are left out")
        index, column_of_cultures = SCHEMA.get_field_index("culture"), cells.fill_null("")
        rows = self.rows.set_column(
            index, SCHEMA.field("culture"), column_of_cultures.dictionary_encode()
        )
        provenance = {**self.provenance, "audience": column}
        return replace(
            self, rows=rows.filter(has_culture).unify_dictionaries(), provenance=provenance
        )

    @property
    def sources(self) -> list[Path]:
        """What no output may replace: the table's file, and its folder of images."""
        return [path for path in (self.file, self.images) if path is not None]

    @property
    def has_caption(self) -> np.ndarray:
        """Whether the caption of each row is more than blanks: bool [n]."""
        return np.array(pc.not_equal(pc.utf8_trim_whitespace(self.rows["caption"]), ""), bool)

    def check_images(self) -> None:
        """Raise TableError if rows have images, and the folder of images is unknown or missing."""
        root = self.images
        if self.rows["image"].null_count == len(self) or (root is not None and root.is_dir()):
            return
        where = f"has its images in {root}, which does not exist"
        if root is None:
            where = "does not say where its images are, because another program wrote it"
        remedy = "name their folder with --images (in Python: AnnotationTable.load(path, images))"
        raise TableError(f"the table {where}: {remedy}")

    @property
    def cultures(self) -> tuple[str, ...]:
        """The cultures of the table, ordered by decreasing number of annotations."""
        return tuple(self.counts("culture"))

    def counts(self, column: str) -> dict[str, int]:
        """The number of rows with each label, in decreasing order; null counts as ``none``."""
        counted = self.rows[column].value_counts().to_pylist()
        counts = {str(item["values"] or "none"): int(item["counts"]) for item in counted}
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    @property
    def partial_labels(self) -> tuple[str, ...]:
        """The cells that name several labels, one of which is the row's: ``contentment|awe``."""
        return tuple(sorted(self.counts_of_partial_labels()))

    def counts_of_partial_labels(self) -> dict[str, int]:
        """The number of rows with each partial label, in decreasing order."""
        return {cell: n for cell, n in self.counts("emotion").items() if SEPARATOR in cell}

    @property
    def candidates(self) -> np.ndarray:
        """Whether each of ``partial_labels`` names each label: bool [s, k]."""
        named = [set(self.labels.members(cell)) for cell in self.partial_labels]
        return np.array([[n in names for n in self.labels] for names in named], bool).reshape(
            -1, len(self.labels)
        )

    @property
    def has_exact_label(self) -> np.ndarray:
        """Whether each row has one label, not several of which one is true: bool [n]."""
        names, codes = self.codes("emotion")
        return np.array([SEPARATOR not in name for name in names], bool)[codes]

    def with_exact_labels(self) -> "AnnotationTable":
        """The rows that have one label; raise TableError if there are none."""
        exact = self.has_exact_label
        if not exact.any():
            raise TableError(
                f"every row of {self.name} has a partial label, such as {self.partial_labels[0]}: rows "
                "with one label are needed here"
            )
        return self if exact.all() else self.select(exact)

    def emotion_codes(self) -> np.ndarray:
        """The label of each row as its index in ``labels``, then in ``partial_labels``: int64 [n]."""
        names, codes = self.codes("emotion")
        index = {name: i for i, name in enumerate((*self.labels, *self.partial_labels))}
        return np.array([index[name] for name in names], np.int64)[codes]

    def with_labels(self, labels: LabelSet) -> "AnnotationTable":
        """The same rows with another label set, such as that of a model.

        Raises:
            TableError: a row has a label that the set lacks.
        """
        named = {name for cell in self.counts("emotion") for name in cell.split(SEPARATOR)}
        if unknown := sorted(named - set(labels)):
            raise TableError(
                f"the table {self.name} holds the label {unknown[0]!r}, and the model knows only "
                f"{', '.join(labels)}: import the table with the label set of the model"
            )
        return replace(self, labels=labels)

    def codes(self, column: str) -> tuple[np.ndarray, np.ndarray]:
        """The distinct labels of the rows [k] and the index of each row [n]; null is -1."""
        values = self.rows[column].combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # an empty column keeps its chunks
            values = pa.array([], LABEL)
        codes = np.array(values.indices.fill_null(-1), np.int64)
        names = values.dictionary.to_numpy(zero_copy_only=False)
        # after a selection, the dictionary still holds the labels of the other rows
        used = np.flatnonzero(np.bincount(codes + 1, minlength=len(names) + 1)[1:])
        index = np.full(len(names) + 1, -1, np.int64)  # its last entry is null's
        index[used] = np.arange(len(used))
        return names[used], index[codes]

    def strings(self, column: str) -> list[Any]:
        """A column as Python strings; null is None."""
        return self.rows[column].to_pylist()

    def to_pandas(self) -> "pd.DataFrame":
        """The rows as a data frame, with categorical columns for labels."""
        try:
            return self.rows.to_pandas()
        except ModuleNotFoundError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error

    def select(self, rows: np.ndarray) -> "AnnotationTable":
        """The rows where a mask (bool [n]) is true, or those at the given positions (int [k])."""
        kept = self.rows.filter(pa.array(rows)) if rows.dtype == bool else self.rows.take(rows)
        return replace(self, rows=kept.unify_dictionaries())

    def of_split(self, split: str) -> "AnnotationTable":
        """The rows of one split; raise TableError if there are none."""
        present = sorted(self.counts("split").keys() - {"none"})
        if split not in present:
            has = f"it has {', '.join(present)}" if present else "make them with `artaffect split`"
            raise TableError(f"the table has no rows in split {split!r}: {has}")
        names, codes = self.codes("split")
        return self.select(np.isin(codes, np.flatnonzero(names == split)))

    def split(
        self, train: float = 0.85, val: float = 0.05, test: float = 0.10, seed: int = 0
    ) -> "AnnotationTable":
        """Assign every artwork, with all its rows, to a split.

        The fractions sum to 1. An artwork's split depends only on its name, the fractions and the
        seed, and not on the other artworks; see :func:`artaffect.data.splits.split_by_artwork`.
        """
        artworks, codes = self.codes("artwork_id")
        splits = split_by_artwork(artworks, {"train": train, "val": val, "test": test}, seed)
        column = pa.array(splits[codes], pa.string()).dictionary_encode()
        index = SCHEMA.get_field_index("split")
        return replace(self, rows=self.rows.set_column(index, SCHEMA.field("split"), column))


_OVERVIEW = """<table><caption>AnnotationTable</caption>
{%- for name, value in overview.items() %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>
{%- endfor %}</table>"""


def _read_metadata(
    path: Path, schema: pa.Schema
) -> tuple[dict[str, Any], ImportReport | None, LabelSet]:
    """The provenance, the report and the labels of a saved table."""
    metadata = schema.metadata or {}
    try:
        provenance = dict(json.loads(metadata.get(b"artaffect", b"{}")))
        report = json.loads(metadata.get(b"artaffect.reports", b"null"))
        for key in ("images", _RELATIVE):
            Path(provenance.get(key) or "")
        saved = json.loads(metadata.get(b"artaffect.labels", b"null"))
        labels = ARTEMIS if saved is None else LabelSet.from_json(saved)
        return provenance, ImportReport(**report) if report else None, labels
    except (ValueError, TypeError, ConfigError) as error:
        raise TableError(
            f"{path}: its metadata are not those of a table of annotations ({error}); make the table "
            "again with `artaffect import`"
        ) from None
