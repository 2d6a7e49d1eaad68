"""The answers for a collection as a table: a row for each item and culture, or a row for each item."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artaffect.errors import InputError

Layout = Literal["long", "wide"]
"""``long`` has a row for each item and culture, ``wide`` a row for each item."""

REVIEW, REVIEWER = "review", "reviewed_by"
"""Empty columns for people: what they think of an answer, and who they are."""

SET = "prediction_set"
"""The labels that cannot be ruled out, the most likely one first."""

DIRECTION = "image_direction"
"""What tells how alike two images are; kept beside the answers, not in them."""

_SHARES = ("image_share", "caption_share")
_OF_ITEM = ("divergence_bits", "similarity", "missing")
"""What is the same for all cultures of an item."""


def prediction_schema(labels: Sequence[str]) -> pa.Schema:
    """The columns of predictions, one row for each item and culture.

    The columns named by labels hold their probabilities, which sum to 1. ``divergence_bits`` is the mean
    Jensen-Shannon divergence of the item's cultures, 0 to 1; null for a single culture. ``similarity`` is
    that of the image to the nearest training artwork, -1 to 1. ``missing`` names the inputs that the model
    reads and the item lacks. ``prediction_set`` is null unless sets were asked for. ``image_direction``
    is that of :class:`Prediction` as bytes of little-endian float16.
    """
    numbers = ("probability", *labels, "entropy_bits", *_SHARES)
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in ("id", "culture", "top")),
            *(pa.field(name, pa.float32(), nullable=False) for name in numbers),
            *(pa.field(name, pa.float32()) for name in ("divergence_bits", "similarity")),
            pa.field("missing", pa.string()),
            pa.field("note", pa.string()),
            pa.field(SET, pa.list_(pa.string())),
            pa.field(DIRECTION, pa.binary()),
        ]
    )


def check_layout(layout: str) -> None:
    """Raise InputError if it is no layout."""
    if layout not in get_args(Layout):
        raise InputError(f"unknown layout {layout!r}: expected {' or '.join(get_args(Layout))}")


@dataclass(frozen=True)
class AnswerTable:
    """The columns of the answers, and how they follow from items and predictions."""

    layout: Layout
    cultures: tuple[str, ...]
    labels: tuple[str, ...]
    record: tuple[str, ...]
    """The names of the items' other columns."""
    provenance: Mapping[str, str]
    """Columns with the same text in all rows."""
    has_sets: bool = False
    """Whether there are prediction sets, a column for each culture."""

    def table(self, items: pa.Table, predictions: pa.Table) -> pa.Table:
        """The answers for some items, in their order; items without predictions are left out."""
        position = {
            key: row
            for row, key in enumerate(
                zip(*(predictions[name].to_pylist() for name in ("id", "culture")), strict=True)
            )
        }
        ids = items["id"].to_pylist()
        kept = [i for i, name in enumerate(ids) if (name, self.cultures[0]) in position]
        rows = np.array([[position[ids[i], culture] for culture in self.cultures] for i in kept])
        rows = rows.reshape(len(kept), len(self.cultures)).astype(np.int64)
        items = items.take(pa.array(kept, pa.int64()))
        if self.layout == "long":
            items = items.take(pa.array(np.repeat(np.arange(len(kept)), len(self.cultures))))
            columns = self._long(predictions.take(pa.array(rows.ravel())))
        else:
            columns = self._wide(predictions, rows)
        count = items.num_rows
        constants = {
            name: pa.repeat(pa.scalar(text), count) for name, text in self.provenance.items()
        }
        own = {"id": items["id"], **columns, **constants}
        record = self._record(items, own)
        return pa.table({"id": own.pop("id"), **record, **own})

    @property
    def schema(self) -> pa.Schema:
        """The columns of the answers."""
        record = pa.struct([(name, pa.string()) for name in self.record])
        items = pa.schema([("id", pa.string()), *([("record", record)] if self.record else [])])
        return self.table(items.empty_table(), prediction_schema(self.labels).empty_table()).schema

    @property
    def _of_culture(self) -> tuple[str, ...]:
        """What people read first of each culture's answer."""
        return ("top", "probability", *([SET] if self.has_sets else []), "entropy_bits")

    def _long(self, predictions: pa.Table) -> dict[str, pa.ChunkedArray]:
        first = ["culture", *self._of_culture, *_OF_ITEM, "note"]
        columns = {name: predictions[name] for name in first}
        empty = pa.nulls(predictions.num_rows, pa.string())
        rest = {name: predictions[name] for name in (*_SHARES, *self.labels)}
        return {**columns, REVIEW: empty, REVIEWER: empty, **rest}

    def _wide(self, predictions: pa.Table, rows: np.ndarray) -> dict[str, pa.ChunkedArray]:
        """``rows`` [items, cultures] are the rows of each item's predictions."""
        by_culture = {
            culture: predictions.take(pa.array(rows[:, i]))
            for i, culture in enumerate(self.cultures)
        }
        empty = pa.nulls(len(rows), pa.string())
        first = by_culture[self.cultures[0]]
        columns = {name: first[name] for name in _OF_ITEM}
        columns["note"] = pa.chunked_array([_joined_notes(by_culture.values())])
        for culture, part in by_culture.items():
            for name in self._of_culture:
                columns[f"{name}_{culture}"] = part[name]
            columns[f"{REVIEW}_{culture}"] = empty
        columns[REVIEWER] = empty
        for culture, part in by_culture.items():
            for name in (*_SHARES, *self.labels):
                columns[f"{name}_{culture}"] = part[name]
        return columns

    def _record(self, items: pa.Table, taken: Iterable[str]) -> dict[str, pa.ChunkedArray]:
        """The items' other columns; one with the name of an answer's column is called ``record_…``."""
        if not self.record:
            return {}
        names: list[str] = []
        for name in self.record:
            while name in {*taken, *names}:
                name = f"record_{name}"
            names.append(name)
        texts = items["record"].combine_chunks()
        return {
            name: pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
            for name, column in zip(names, texts.flatten(), strict=True)
        }


def _joined_notes(parts: Iterable[pa.Table]) -> pa.Array:
    """The distinct notes of each item's predictions, in one text."""
    notes = zip(*(part["note"].to_pylist() for part in parts), strict=True)
    return pa.array(["; ".join(filter(None, dict.fromkeys(n))) or None for n in notes], pa.string())
