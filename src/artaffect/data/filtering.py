"""From the rows of a file to a table: a chain of steps keeps each row or drops it with a reason.

A step is a pure function that takes the columns and the reasons so far, and returns both with what it
adds. A row has the reason of the first step that drops it.
"""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.annotation_schema import LABEL, SCHEMA
from artaffect.data.annotations import SYNTHETIC, AnnotationTable
from artaffect.data.images import ImageStore, is_plain_name
from artaffect.data.import_report import ImportReport
from artaffect.data.readers.csv import SourceRows
from artaffect.data.splits import SPLITS
from artaffect.errors import NoRowsError, TableError
from artaffect.labels import ARTEMIS, LabelSet
from artaffect.runtime import as_path, file_digest

REASONS = (
    "malformed row",
    "unknown emotion",
    "empty caption",
    "empty language",
    "empty culture",
    "unsafe painting name",
    "empty artwork name",
    "split rest or blank",
    "unknown split",
    "another image of the artwork",
    "unsafe image name",
    "image missing",
    "image unreadable",
    "duplicate",
)
"""Why a row is dropped, in the order of the steps."""

MISSING = "missing"
"""The fault of an image that does not exist."""


class Labels(NamedTuple):
    """A column as distinct values (object [k]) and each row's index into them (int64 [n]) or -1."""

    names: np.ndarray
    codes: np.ndarray

    @classmethod
    def clean(cls, cells: pa.Array, rule: Callable[[str], Any]) -> "Labels":
        """Apply a rule to each distinct cell; None marks an invalid cell."""
        encoded = cells.dictionary_encode()
        cleaned = [rule(value) for value in encoded.dictionary.to_pylist()]
        names = sorted({value for value in cleaned if value is not None})
        index = {value: position for position, value in enumerate(names)}
        lookup = np.array([*(index.get(value, -1) for value in cleaned), -1], np.int64)
        codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
        return cls(np.fromiter(names, object, len(names)), lookup[codes])


@dataclass(frozen=True)
class Columns:
    """The cells of a file and the columns cleaned so far; a column that no step adds is empty."""

    source: SourceRows
    caption: pa.Array
    labels: Mapping[str, Labels] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Labels:
        return self.labels.get(name, Labels(np.array([], object), np.full(self.source.size, -1)))

    def adding(self, **labels: Labels) -> "Columns":
        return replace(self, labels={**self.labels, **labels})

    @property
    def lacks_caption(self) -> np.ndarray:
        """Whether the caption of each row is blank: bool [n]."""
        return np.array(pc.equal(self.caption, ""), bool)

    def clean(self, name: str, rule: Callable[[str], str | None]) -> Labels:
        return Labels.clean(self.source.columns[name], rule)


Step = Callable[[Columns, np.ndarray], tuple[Columns, np.ndarray]]
"""Takes and returns the columns and, for each row, the index in ``REASONS`` or -1: int8 [n]."""


def import_rows(
    source: SourceRows,
    path: Path,
    images: object,
    keep_unpictured: bool,
    labels: LabelSet = ARTEMIS,
    keep_duplicates: bool = False,
    culture_of: Callable[[str], str] = str,
) -> AnnotationTable:
    """Turn the rows of a published data set into a table.

    Args:
        labels: the labels of the data set; rows with another one are dropped.
        keep_duplicates: each row is a vote, so equal rows are not duplicates.
        culture_of: names the culture of a language; by default it is the language.
    """
    if images is None and not keep_unpictured:
        raise TableError(
            "no folder of images given: pass it as images (--images), or keep rows without "
            "an image with keep_unpictured (--keep-unpictured)"
        )
    store = None if images is None else ImageStore(as_path(images, "images"))
    steps: list[Step | None] = [
        partial(clean_emotions, rule=labels.find),
        check_captions,
        partial(clean_languages, culture_of=culture_of),
        name_artworks,
        clean_splits if "split" in source.columns else None,
        partial(match_images, store=store, keep_unpictured=keep_unpictured) if store else None,
        None if keep_duplicates else drop_duplicates,
    ]
    return filter_rows(source, path, store, filter(None, steps), labels)


def filter_rows(
    source: SourceRows,
    path: Path,
    store: ImageStore | None,
    steps: Iterable[Step],
    labels: LabelSet,
) -> AnnotationTable:
    """Turn the rows that pass all steps into a table; every reader ends here.

    Raises:
        NoRowsError: there are none.
    """
    columns = Columns(source, pc.utf8_trim_whitespace(source.columns["utterance"]))
    reasons = np.full(source.size, -1, np.int8)
    for step in steps:
        columns, reasons = step(columns, reasons)
    provenance: dict[str, Any] = {
        "source": str(path.resolve()),
        "sha256": file_digest(path) if path.is_file() else None,
        "images": str(store.root.resolve()) if store else None,
    }
    if any((folder / SYNTHETIC).is_file() for folder in path.resolve().parents[:2]):
        provenance["synthetic"] = True  # every number that comes from these rows says so
    rows = _to_rows(columns, np.flatnonzero(reasons < 0))
    table = AnnotationTable(rows, provenance, labels=labels)
    report = _report(str(path), columns, reasons, table)
    if not len(table):
        counts = "; ".join(
            f"{reason} {count:,}{report.first_dropped(reason)}"
            for reason, count in report.dropped.items()
        )
        message = f"{path}: none of its {report.read:,} rows can be used ({counts or 'empty'})"
        if store and "image missing" in report.dropped:
            message += f"; images were looked for in {store.root} (--images names another folder)"
        raise NoRowsError("; ".join([message, *report.remedies()]), report)
    return replace(table, report=report)


def drop(reasons: np.ndarray, reason: str, rows: np.ndarray) -> np.ndarray:
    """Add a reason to the given rows (bool [n]) that have none yet."""
    index = np.int8(REASONS.index(reason))
    return np.where(rows & (reasons < 0), index, reasons)


def clean_emotions(
    columns: Columns, reasons: np.ndarray, rule: Callable[[str], str | None]
) -> tuple[Columns, np.ndarray]:
    """Add the column ``emotion``; the rule says what a cell stands for, and None if it is unknown."""
    emotion = columns.clean("emotion", rule)
    return columns.adding(emotion=emotion), drop(reasons, "unknown emotion", emotion.codes < 0)


def check_captions(columns: Columns, reasons: np.ndarray) -> tuple[Columns, np.ndarray]:
    """Drop rows with a blank caption; where rows name images, only those without one."""
    is_empty = columns.lacks_caption
    if "image" in columns.source.columns:
        is_empty &= np.array(pc.equal(columns.source.columns["image"], ""), bool)
    return columns, drop(reasons, "empty caption", is_empty)


def clean_languages(
    columns: Columns, reasons: np.ndarray, culture_of: Callable[[str], str]
) -> tuple[Columns, np.ndarray]:
    """Add the columns ``language`` and ``culture``."""
    language = columns.clean("language", lambda text: _key(text) or None)
    culture = columns.clean("language", lambda text: culture_of(_key(text)) if _key(text) else None)
    columns = columns.adding(language=language, culture=culture)
    return columns, drop(reasons, "empty language", language.codes < 0)


def name_artworks(columns: Columns, reasons: np.ndarray) -> tuple[Columns, np.ndarray]:
    """Add the columns ``art_style`` and ``artwork``, whose names are pairs of style and painting.

    Names are in Unicode's form NFC, so that copies of a data set agree on the artworks' ids.
    """
    cells = columns.source.columns
    joined = pc.binary_join_element_wise(cells["art_style"], cells["painting"], "\0")
    pairs, codes = Labels.clean(joined, _artwork)
    artwork = Labels(np.concatenate([pairs, [None]]), codes)  # the last one is that of the code -1
    columns = columns.adding(art_style=columns.clean("art_style", _plain), artwork=artwork)
    return columns, drop(reasons, "unsafe painting name", codes < 0)


def clean_splits(columns: Columns, reasons: np.ndarray) -> tuple[Columns, np.ndarray]:
    """Add the column ``split``."""
    split = columns.clean("split", lambda text: _key(text) or "rest")
    is_rest = np.isin(split.codes, np.flatnonzero(split.names == "rest"))
    is_known = np.isin(split.codes, np.flatnonzero(np.isin(split.names, SPLITS)))
    reasons = drop(reasons, "split rest or blank", is_rest)
    return columns.adding(split=split), drop(reasons, "unknown split", ~is_known)


def match_images(
    columns: Columns, reasons: np.ndarray, store: ImageStore, keep_unpictured: bool
) -> tuple[Columns, np.ndarray]:
    """Add the column ``image``, and ``fault``, which says why an artwork has no image."""
    pairs, codes = columns["artwork"]
    images, faults = np.full(len(pairs), None, object), np.full(len(pairs), "", object)
    for artwork, name in _names_of_artworks(columns, reasons):
        if images[artwork] is None:
            images[artwork] = store.find(*name)
        faults[artwork] = "" if images[artwork] else MISSING
    unreadable = store.find_broken([str(image) for image in images if image])
    is_unreadable = np.array([image in unreadable for image in images], bool)
    faults[is_unreadable] = [unreadable[image] for image in images[is_unreadable]]
    images[is_unreadable] = None
    if not keep_unpictured:
        reasons = drop(reasons, "image missing", (faults == MISSING)[codes])
        reasons = drop(reasons, "image unreadable", is_unreadable[codes])
    return columns.adding(image=Labels(images, codes), fault=Labels(faults, codes)), reasons


def _names_of_artworks(
    columns: Columns, reasons: np.ndarray
) -> Iterator[tuple[int, tuple[str, str]]]:
    """The names by which an artwork's image may be stored: as in the file, then cleaned."""
    cells, (pairs, codes) = columns.source.columns, columns["artwork"]
    joined = pc.binary_join_element_wise(cells["art_style"], cells["painting"], "\0")
    raw = joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined
    encoded = raw.dictionary_encode()
    kept = np.flatnonzero(reasons < 0)
    spellings = pa.table({"artwork": codes[kept], "raw": encoded.indices.take(pa.array(kept))})
    for row in spellings.group_by(["artwork", "raw"]).aggregate([]).to_pylist():
        style, _, name = encoded.dictionary[row["raw"]].as_py().partition("\0")
        if is_plain_name(style) and is_plain_name(name):
            yield row["artwork"], (style, name)
    for artwork in np.unique(codes[kept]):
        yield int(artwork), pairs[artwork]


def drop_duplicates(columns: Columns, reasons: np.ndarray) -> tuple[Columns, np.ndarray]:
    """Keep the first of the rows with the same artwork, caption, emotion, culture and language.

    Each row of another annotator, or without a caption, is a vote of its own.
    """
    if "annotator" in columns.source.columns:
        columns = columns.adding(
            annotator=columns.clean("annotator", lambda text: text.strip() or None)
        )
    kept = np.flatnonzero((reasons < 0) & ~columns.lacks_caption)
    names = ("artwork", "emotion", "culture", "language", "annotator")
    keys = {name: columns[name].codes[kept] for name in names}
    rows = pa.table({**keys, "caption": columns.caption.take(kept), "row": kept})
    first = rows.group_by([*keys, "caption"]).aggregate([("row", "min")])["row_min"]
    is_repeated = ~columns.lacks_caption
    is_repeated[first.to_numpy()] = False
    return columns, drop(reasons, "duplicate", is_repeated)


def _to_rows(columns: Columns, keep: np.ndarray) -> pa.Table:
    """The kept rows in the columns of a table."""
    pairs, codes = columns["artwork"]
    ids = np.array([pair and "/".join(filter(None, pair)) for pair in pairs], object)
    columns = columns.adding(artwork_id=Labels(ids, codes))
    files, lines = columns.source.file.take(keep), columns.source.line.take(keep)
    values = {name: _dictionary_column(columns[name], keep) for name in SCHEMA.names}
    place = [files, lines.cast(pa.string())]
    if columns.source.vote is not None:
        place.append(columns.source.vote.take(keep).cast(pa.string()))
    values["annotation_id"] = pc.binary_join_element_wise(*place, ":")
    values["caption"] = columns.caption.take(keep)
    rows = pa.table(values).cast(SCHEMA)
    for name, cells in columns.source.carried.items():
        text = pc.utf8_trim_whitespace(cells.take(keep))
        text = pc.if_else(pc.equal(text, ""), None, text)
        rows = rows.append_column(pa.field(name, LABEL), text.dictionary_encode().cast(LABEL))
    return rows


def _dictionary_column(labels: Labels, keep: np.ndarray) -> pa.Array:
    """A column with the names in use; a code of -1 or a name of None is null."""
    names, codes = labels.names, labels.codes[keep]
    used = [code for code in np.unique(codes) if code >= 0 and names[code] is not None]
    indices = pc.index_in(pa.array(codes), pa.array(used, pa.int64()))
    return pa.DictionaryArray.from_arrays(indices, pa.array(names[used], pa.string()))


def _report(
    path: str, columns: Columns, reasons: np.ndarray, table: AnnotationTable
) -> ImportReport:
    counts = np.bincount(reasons[reasons >= 0], minlength=len(REASONS))
    counts[0] += len(columns.source.malformed)
    artworks, images = table.codes("artwork_id")[1], table.codes("image")[1]
    faults = [fault for fault in columns["fault"].names if fault]
    n_missing = faults.count(MISSING)
    return ImportReport(
        source=path,
        read=len(reasons) + len(columns.source.malformed),
        kept=len(table),
        dropped={r: int(n) for r, n in zip(REASONS, counts, strict=True) if n},
        rows_without_image=int((images < 0).sum()),
        artworks_without_image=len(np.unique(artworks[images < 0])),
        missing_artworks=n_missing,
        partial_labels=int((~table.has_exact_label).sum()),
        unreadable_artworks=len(faults) - n_missing,
        leaking_artworks=_count_leaking(artworks, table.codes("split")[1]),
        dropped_rows=_dropped_rows(columns, reasons),
        known_labels=table.labels.names,
    )


def _count_leaking(artworks: np.ndarray, splits: np.ndarray) -> int:
    """The number of artworks in more than one split."""
    pairs = np.unique((artworks * len(SPLITS) + splits)[splits >= 0])
    return int((np.bincount(pairs // len(SPLITS)) > 1).sum())


def _dropped_rows(columns: Columns, reasons: np.ndarray) -> pa.Table:
    source, rows = columns.source, []
    for row in np.flatnonzero(reasons >= 0).tolist():
        reason = REASONS[reasons[row]]
        file, line = source.file[row].as_py(), source.line[row].as_py()
        rows.append((file, line, reason, _detail(columns, row, reason)))
    rows += [(file, line, REASONS[0], text) for file, line, text in source.malformed]
    names = ("file", "line", "reason", "detail")
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def _detail(columns: Columns, row: int, reason: str) -> str:
    """The cell for which a row was dropped, or the artwork's name."""
    cells = columns.source.columns
    column = reason.removeprefix("unknown ")
    if column in ("emotion", "split"):
        return str(cells[column][row])
    name = f"{cells['art_style'][row]}/{cells['painting'][row]}".removeprefix("/")
    if "image" in cells and "image" in reason:
        name = str(cells["image"][row])
    if reason == "image unreadable":
        faults, codes = columns["fault"]
        return f"{name}: {faults[codes[row]]}"
    return name


def _key(text: str) -> str:
    return text.strip().lower()


def _plain(name: str) -> str | None:
    name = unicodedata.normalize("NFC", name.strip())
    return name if is_plain_name(name) else None


def _artwork(cells: str) -> tuple[str, str] | None:
    style, _, name = map(_plain, cells.partition("\0"))
    return (style, name) if style and name else None
