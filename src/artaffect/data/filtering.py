"""The one path of rows into a table: each is kept, or dropped for the first reason that applies."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from artaffect.data.annotations import SCHEMA, SPLITS, AnnotationTable
from artaffect.data.images import ImageStore, is_plain_name
from artaffect.data.readers.csv import SourceRows
from artaffect.errors import UnknownNameError
from artaffect.labels import parse_emotion
from artaffect.runtime import atomic_file

REASONS = (
    "malformed row",
    "emotion other",
    "unknown emotion",
    "empty caption",
    "empty language",
    "unsafe painting name",
    "split rest or blank",
    "unknown split",
    "image missing",
    "image unreadable",
    "duplicate",
)
"""Why a row is dropped, in the order in which the reasons are tried."""


@dataclass
class ImportReport:
    """What an importer did with a file."""

    source: str
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """Rows by reason; reasons that never applied are left out."""
    rows: pa.Table | None = None
    """The dropped rows: file, line, reason, detail."""
    unpictured_rows: int = 0
    unpictured_artworks: int = 0
    """Kept without a picture, because the caller asked for it."""
    missing_artworks: int = 0
    unreadable_artworks: int = 0
    leaking_artworks: int = 0
    """Paintings that the file puts into more than one split."""

    def to_json(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "rows"}

    def save_dropped(self, path: Path) -> None:
        """Write the dropped rows as CSV; an older file goes when nothing was dropped."""
        if self.rows is None or not self.rows.num_rows:
            path.unlink(missing_ok=True)
            return
        with atomic_file(path) as temporary:
            pa_csv.write_csv(self.rows, temporary)


class IncomingRows:
    """Rows on their way in: cleaned columns, and for each row the first reason to drop it."""

    def __init__(self, raw: SourceRows) -> None:
        self.raw = raw
        self.reason = np.full(raw.size, -1, np.int8)
        self.caption = pc.utf8_trim_whitespace(raw.columns["utterance"])
        self.image_names: np.ndarray | None = None
        self.split: tuple[np.ndarray, np.ndarray] | None = None

    def drop(self, reason: str, where: np.ndarray) -> None:
        self.reason[where & (self.reason < 0)] = REASONS.index(reason)

    def clean(
        self, column: str, rule: Callable[[str], str | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """A column's cleaned values and each row's index into them; -1 where the rule says None."""
        encoded = self.raw.columns[column].dictionary_encode()
        cleaned = [rule(value) for value in encoded.dictionary.to_pylist()]
        names = sorted({value for value in cleaned if value is not None})
        index = {name: i for i, name in enumerate(names)}
        lookup = np.array([-1 if v is None else index[v] for v in cleaned] + [-1], np.int64)
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        return np.array(names, object), lookup[codes]

    def set_other_aside(self) -> None:
        """Drop the label ``other`` of a data set that tells it from ``something else``."""
        names = self.raw.columns["emotion"].dictionary_encode()
        is_other = np.array(
            [name.strip().lower() == "other" for name in names.dictionary.to_pylist()]
        )
        self.drop("emotion other", is_other[names.indices.to_numpy(zero_copy_only=False)])

    def name_cultures(self, culture_of: Callable[[str], str]) -> None:
        """Name each reader's culture after the language, by a rule; it is the language otherwise."""
        names, codes = self.language
        found = [culture_of(str(name)) for name in names]
        distinct = sorted(set(found))
        place = np.array([*(distinct.index(name) for name in found), -1], np.int64)
        self.culture = (np.array(distinct, object), place[codes])

    def check_labels(self) -> None:
        self.emotion = self.clean("emotion", _emotion)
        self.drop("unknown emotion", self.emotion[1] < 0)
        empty = pc.equal(pc.utf8_length(self.caption), 0)
        self.drop("empty caption", empty.to_numpy(zero_copy_only=False))
        self.language = self.clean("language", lambda text: text.strip().lower() or None)
        self.drop("empty language", self.language[1] < 0)
        self.culture = self.language

    def check_names(self) -> None:
        """Name artworks by the NFC form, so that copies of a data set agree on their ids."""
        self.style = self.clean("art_style", _plain)
        painting = self.clean("painting", _plain)
        self.drop("unsafe painting name", (self.style[1] < 0) | (painting[1] < 0))
        width = len(painting[0]) + 1
        pairs, codes = np.unique(self.style[1] * width + painting[1], return_inverse=True)
        styles, paintings = (pairs // width, pairs % width)
        self.pairs = [
            (str(self.style[0][s]), str(painting[0][p])) if s >= 0 and p < width - 1 else ("", "")
            for s, p in zip(styles, paintings, strict=True)
        ]
        self.artwork = codes

    def check_splits(self) -> None:
        self.split = self.clean("split", lambda text: text.strip().lower() or "rest")
        names, codes = self.split
        self.drop("split rest or blank", np.isin(codes, np.flatnonzero(names == "rest")))
        self.drop("unknown split", ~np.isin(codes, np.flatnonzero(np.isin(names, SPLITS))))

    def find_images(self, store: ImageStore, report: ImportReport, keep: bool) -> None:
        wanted = np.unique(self.artwork[self.reason < 0])
        found = np.full(len(self.pairs), None, object)
        for code in wanted:
            found[code] = store.find(*self.pairs[code])
        present = [str(found[code]) for code in wanted if found[code] is not None]
        broken = store.find_broken(present)
        report.missing_artworks = len(wanted) - len(present)
        report.unreadable_artworks = len(broken)
        faults = np.array([broken.get(name, "") if name else "" for name in found], object)
        is_missing = np.array([name is None for name in found])
        is_broken = faults != ""
        if not keep:
            self.drop("image missing", is_missing[self.artwork])
            self.drop("image unreadable", is_broken[self.artwork])
        self.faults = faults
        found[is_broken] = None
        self.image_names = found

    def check_duplicates(self) -> None:
        captions = self.caption.dictionary_encode()
        key = self.artwork
        for codes, size in (
            (
                captions.indices.to_numpy(zero_copy_only=False).astype(np.int64),
                len(captions.dictionary),
            ),
            (self.emotion[1], len(self.emotion[0])),
            (self.language[1], len(self.language[0])),
        ):
            _, key = np.unique(key * (size + 1) + codes, return_inverse=True)
        kept = np.flatnonzero(self.reason < 0)
        _, first = np.unique(key[kept], return_index=True)
        repeated = np.ones(self.raw.size, bool)
        repeated[kept[first]] = False
        self.drop("duplicate", repeated)

    def table(self, provenance: dict[str, Any]) -> AnnotationTable:
        keep = np.flatnonzero(self.reason < 0)
        ids = pc.binary_join_element_wise(
            self.raw.file.take(keep), self.raw.line.take(keep).cast(pa.string()), ":"
        )
        artworks = np.array(["/".join(pair) for pair in self.pairs], object)
        columns = {
            "annotation_id": ids,
            "artwork_id": _labels(artworks, self.artwork[keep]),
            "art_style": _labels(*self.style, rows=keep),
            "caption": self.caption.take(keep),
            "emotion": _labels(*self.emotion, rows=keep),
            "culture": _labels(*self.culture, rows=keep),
            "language": _labels(*self.language, rows=keep),
            "split": _labels(*self.split, rows=keep) if self.split else _nulls(len(keep)),
            "image": _labels(self.image_names, self.artwork[keep])
            if self.image_names is not None
            else _nulls(len(keep)),
        }
        return AnnotationTable(pa.table(columns, schema=SCHEMA), provenance)

    def report(self, report: ImportReport, table: AnnotationTable) -> None:
        report.kept = len(table)
        counts = np.bincount(self.reason[self.reason >= 0], minlength=len(REASONS))
        counts[REASONS.index("malformed row")] += len(self.raw.malformed)
        report.dropped = {r: int(n) for r, n in zip(REASONS, counts, strict=True) if n}
        unpictured = table.codes("image")[1] < 0
        report.unpictured_rows = int(unpictured.sum())
        report.unpictured_artworks = len(np.unique(table.codes("artwork_id")[1][unpictured]))
        report.leaking_artworks = count_leaking(table)
        report.rows = self._dropped_rows()

    def _dropped_rows(self) -> pa.Table:
        dropped = np.flatnonzero(self.reason >= 0)
        details = [self._detail(row) for row in dropped.tolist()]
        malformed = self.raw.malformed
        return pa.table(
            {
                "file": [*self.raw.file.take(dropped).to_pylist(), *(f for f, _, _ in malformed)],
                "line": [*self.raw.line.take(dropped).to_pylist(), *(n for _, n, _ in malformed)],
                "reason": [REASONS[self.reason[row]] for row in dropped]
                + [REASONS[0]] * len(malformed),
                "detail": details + [text for _, _, text in malformed],
            }
        )

    def _detail(self, row: int) -> str:
        """What the row holds in the column that it was dropped for."""
        reason = REASONS[self.reason[row]]
        column = {
            "unknown emotion": "emotion",
            "emotion other": "emotion",
            "unknown split": "split",
        }.get(reason)
        if column:
            return str(self.raw.columns[column][row])
        name = "/".join(str(self.raw.columns[part][row]) for part in ("art_style", "painting"))
        if reason == "image unreadable":
            return f"{name}: {self.faults[self.artwork[row]]}"
        return name


def count_leaking(table: AnnotationTable) -> int:
    """How many artworks stand in more than one split."""
    artworks, splits = table.codes("artwork_id")[1], table.codes("split")[1]
    known = splits >= 0
    pairs = np.unique(np.stack([artworks[known], splits[known]]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum()) if pairs.size else 0


def _emotion(text: str) -> str | None:
    try:
        return str(parse_emotion(text))
    except UnknownNameError:
        return None


def _plain(name: str) -> str | None:
    name = unicodedata.normalize("NFC", name.strip())
    return name if is_plain_name(name) else None


def _labels(names: np.ndarray, codes: np.ndarray, rows: np.ndarray | None = None) -> pa.Array:
    """A dictionary column of the names in use; a code of -1, or a name of None, is null."""
    codes = codes if rows is None else codes[rows]
    used, compact = np.unique(codes, return_inverse=True)
    values = [None if code < 0 else names[code] for code in used]
    kept = {i: n for n, i in enumerate(i for i, value in enumerate(values) if value is not None)}
    lookup = pa.array([kept.get(i) for i in range(len(values))], pa.int32())
    indices = lookup.take(pa.array(compact.astype(np.int32)))
    return pa.DictionaryArray.from_arrays(indices, pa.array([values[i] for i in kept], pa.string()))


def _nulls(size: int) -> pa.Array:
    return pa.nulls(size, pa.string()).dictionary_encode()
