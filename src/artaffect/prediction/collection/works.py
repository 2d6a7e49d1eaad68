"""The works of a collection: its answers by work, with images, texts and origin."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import fsdecode
from pathlib import Path

import numpy as np

from artaffect.data.fetch import is_address
from artaffect.data.images import name_forms
from artaffect.data.readers.table_columns import ColumnNames, check_kinds, match_columns, name_key
from artaffect.errors import TableError
from artaffect.labels import LabelSet, built_in_set
from artaffect.prediction.collection.answers import DIRECTION, REVIEW, REVIEWER
from artaffect.prediction.collection.companion import Companion
from artaffect.prediction.collection.records import ITEM_COLUMNS
from artaffect.prediction.collection.saved_answers import ORIGIN, Answer, Review, SavedAnswers

WORK_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "titel", "titre", "título", "name", "object_title", "label"),
    "image": ITEM_COLUMNS["image"],
    "caption": ("description", "summary", "beschreibung", "caption", "utterance", "text"),
}
"""What a column of the answers can hold beside them, and the names by which it is recognised."""

_OF_ANSWERS = (
    "culture",
    "top",
    "probability",
    "prediction_set",
    "set_level",
    "entropy_bits",
    "note",
)


@dataclass(frozen=True)
class Works:
    """Works in the order of the answers, and what each culture is predicted to feel."""

    labels: LabelSet
    cultures: tuple[str, ...]
    ids: list[str]
    titles: list[str]
    """Empty where there is none."""
    texts: list[str]
    """Descriptions."""
    images: list[str | None]
    """Absolute paths or web addresses."""
    records: Mapping[str, list[str]]
    """The collection's own columns: name → a text for each work."""
    probabilities: np.ndarray
    """float32 [works, cultures, labels]."""
    tops: np.ndarray
    """The position of the most likely label: int [works, cultures]."""
    divergence: np.ndarray
    """How far the cultures lie apart, in bits: float32 [works]; nan for a single culture."""
    missing: list[str]
    notes: list[str]
    origins: list[tuple[str, ...]]
    """The model, its digest, the version of the software, and the date, of each work."""
    reviews: Mapping[tuple[int, int], Review]
    """Work and culture → what people think of the answer, where they think anything."""
    directions: np.ndarray | None
    """float32 [works, k]; 0 for a work without an image. None if nothing tells which images are alike."""

    def __len__(self) -> int:
        return len(self.ids)


def read_works(path: Path, columns: ColumnNames, root: Path | None) -> Works:
    """Gather a file of answers by work.

    Args:
        columns: the column of each kind of ``WORK_COLUMNS``.
        root: the folder of the images; by default they are where they were predicted from.

    Raises:
        TableError: the file holds no answers, or a work lacks a culture.
    """
    saved = SavedAnswers.read(path)
    companion = Companion.read(path)
    if companion and companion.model_digest not in {"", *saved.columns["model_digest"]}:
        companion = None  # of other answers that had this name
    labels = _labels(saved, companion)
    grid, cultures = _grid(saved)
    rows = [answers[0].row for answers in grid]
    ids = [saved.cell(row, "id") for row in rows]
    own = _own_columns(saved, labels)
    records = {name: [saved.cell(row, name) for row in rows] for name in own}
    positions = match_columns(path, own, check_kinds(columns, WORK_COLUMNS), WORK_COLUMNS)
    items = [companion.items.get(name, {}) if companion else {} for name in ids]

    def joined(positions: Sequence[int]) -> list[str]:
        parts = [records[own[i]] for i in positions]
        return ["\n\n".join(filter(None, (p[i] for p in parts))) for i in range(len(rows))]

    titles = joined(positions.get("title") or _translated(own))
    described = joined(positions.get("caption", []))
    captions = [item.get("caption") or "" for item in items]
    probabilities, tops = _numbers(saved, grid, labels)
    reviews = {
        (i, j): review
        for i, answers in enumerate(grid)
        for j, answer in enumerate(answers)
        if (review := saved.review(answer)) != Review()
    }
    return Works(
        labels,
        cultures,
        ids,
        titles,
        [a or _without_title(b, c) for a, b, c in zip(described, captions, titles, strict=True)],
        _images(items, ids, joined(positions.get("image", [])), root or path.parent),
        records,
        probabilities,
        tops,
        _divergence(saved, rows),
        [saved.cell(row, "missing") for row in rows],
        [_notes(saved, answers) for answers in grid],
        [tuple(saved.cell(row, name) for name in ORIGIN) for row in rows],
        reviews,
        _directions(items),
    )


def _labels(saved: SavedAnswers, companion: Companion | None) -> LabelSet:
    """The labels of the answers, with what is known of their valence and translations."""
    names = saved.labels
    if companion and companion.labels and set(companion.labels.names) == set(names):
        return companion.labels
    if len(names) < 2:
        raise TableError(
            f"{saved.path}: the columns of the labels are not where `artaffect predict-collection` wrote "
            "them, after caption_share: put the columns back in their order"
        )
    known = built_in_set(names)
    return known if known and set(known.names) == set(names) else LabelSet(names)


def _grid(saved: SavedAnswers) -> tuple[list[list[Answer]], tuple[str, ...]]:
    """The answers of each work, one for each culture in the same order; and the cultures."""
    by_work: dict[str, dict[str, Answer]] = {}
    for answer in saved:
        by_work.setdefault(saved.cell(answer.row, "id"), {})[answer.culture] = answer
    if not by_work:
        raise TableError(f"{saved.path} holds no answers")
    cultures = tuple(dict.fromkeys(name for answers in by_work.values() for name in answers))
    for name, answers in by_work.items():
        if len(answers) < len(cultures):
            lacking = next(culture for culture in cultures if culture not in answers)
            raise TableError(
                f"{saved.path}: the item {name!r} has no answer for the culture {lacking}: each item needs "
                "its rows for all cultures"
            )
    return [[answers[culture] for culture in cultures] for answers in by_work.values()], cultures


def _own_columns(saved: SavedAnswers, labels: LabelSet) -> list[str]:
    """The columns that the collection brought along: those that are no part of an answer."""
    common = {
        "id",
        "divergence_bits",
        "similarity",
        "missing",
        "note",
        REVIEWER,
        *ORIGIN,
        "set_level",
    }
    stems = (*_OF_ANSWERS, REVIEW, "image_share", "caption_share", *labels.names)
    ends = {"", *saved.ends.values()}
    taken = common | {stem + end for stem in stems for end in ends}
    return [name for name in saved.columns if name not in taken and name]


def _translated(own: Sequence[str]) -> list[int]:
    """A title in some language, such as ``label_en`` of IIIF."""
    keys = [name_key(name).partition(" ")[0] for name in own]
    return [i for i, key in enumerate(keys) if key in ("title", "label")][:1]


def _without_title(text: str, title: str) -> str:
    """A caption that was joined of title and description, without the title."""
    return text.removeprefix(title).strip() if title else text


def _images(
    items: Sequence[Mapping[str, object]], ids: Sequence[str], named: Sequence[str], root: Path
) -> list[str | None]:
    """Where each work's image is: where it was predicted from, or else as its column or its id says."""

    def place(item: Mapping[str, object], name: str) -> str | None:
        kept = item.get("image")
        if isinstance(kept, bytes):
            return fsdecode(kept)
        if is_address(name):
            return name
        files = (root / form for form in name_forms(name))
        return next((str(file.absolute()) for file in files if file.is_file()), None)

    return [place(item, n or key) for item, n, key in zip(items, named, ids, strict=True)]


def _numbers(
    saved: SavedAnswers, grid: Sequence[Sequence[Answer]], labels: LabelSet
) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities and the most likely labels."""
    shape = (len(grid), len(grid[0]), len(labels))
    flat = [answer for answers in grid for answer in answers]
    values = [[saved.number(a.row, name + a.end) for name in labels.names] for a in flat]
    probabilities = np.array(values, np.float32).reshape(shape)
    wrong = np.flatnonzero(~(np.abs(probabilities.sum(2).ravel() - 1) < 0.01))
    if len(wrong):
        raise TableError(
            f"{saved.place(flat[wrong[0]].row)}: the probabilities of the labels do not sum to 1"
        )
    tops = [labels.index(labels.parse(saved.cell(a.row, f"top{a.end}"))) for a in flat]
    return probabilities, np.array(tops).reshape(shape[:2])


def _divergence(saved: SavedAnswers, rows: Sequence[int]) -> np.ndarray:
    name = "divergence_bits"
    values = [saved.number(row, name) if saved.cell(row, name) else np.nan for row in rows]
    return np.array(values, np.float32)


def _notes(saved: SavedAnswers, answers: Sequence[Answer]) -> str:
    """What is to be kept in mind of a work, once."""
    return "; ".join(filter(None, dict.fromkeys(saved.cell(a.row, "note") for a in answers)))


def _directions(items: Sequence[Mapping[str, object]]) -> np.ndarray | None:
    kept = [item.get(DIRECTION) for item in items]
    width = next((len(direction) for direction in kept if isinstance(direction, list)), 0)
    if not width:
        return None
    blank = [0.0] * width
    return np.array([direction or blank for direction in kept], np.float32)
