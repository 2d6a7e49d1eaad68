"""The items of both subtasks, read from a task file or made from a table of annotations."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ArtAffectError, InputError, TableError
from artaffect.metrics.votes import Votes
from artaffect.outputs import atomic_file
from artaffect.shared_task.rules import SharedTaskRules, label_indices

ErrorType = type[ArtAffectError]

_EXCERPT = 200
"""Characters of a cell that a message quotes."""


@dataclass(frozen=True)
class EmotionItems:
    """Items of subtask 1: one caption each."""

    ids: Sequence[str]
    images: Sequence[str]
    """Relative to the folder of images."""
    languages: Sequence[str]
    captions: Sequence[str]
    labels: Sequence[str] | None = None
    """The true labels, if known."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ShareItems:
    """Items of subtask 2: an artwork, a source language with its positive share, and a target."""

    artworks: np.ndarray
    """object [n]."""
    sources: np.ndarray
    """object [n]: languages, as the file spells them."""
    source_shares: np.ndarray
    """Positive shares [n], 0 to 1."""
    targets: np.ndarray
    """object [n]."""
    target_shares: np.ndarray | None = None
    """The true positive shares of the targets [n], if known."""

    def __len__(self) -> int:
        return len(self.artworks)

    @property
    def keys(self) -> list[str]:
        """Each item as "artwork, source, target"."""
        return list(map(", ".join, zip(self.artworks, self.sources, self.targets, strict=True)))


def read_emotion_items(path: Path, rules: SharedTaskRules) -> EmotionItems:
    """Read a task file of subtask 1. Items without an id are numbered.

    Raises:
        TableError: A column is missing, a cell is empty, or an id is repeated.
    """
    required = (rules.image_column, rules.language_column, rules.caption_column)
    rows = _read_csv(path, required)
    for row in rows:
        for column in required:
            if not row[column].strip():
                raise TableError(f"{row.where}: column {column} is empty")
    ids = [row.get(rules.id_column) or rules.id_format.format(n) for n, row in enumerate(rows)]
    _check_unique(rows, rules.id_column, ids)
    known = [name for name in (rules.label_column, "emotion") if rows and name in rows[0]]
    images, languages, captions = ([row[column] for row in rows] for column in required)
    labels = [row[known[0]].strip().lower() for row in rows] if known else None
    return EmotionItems(ids, images, languages, captions, labels)


def read_share_items(path: Path, rules: SharedTaskRules) -> ShareItems:
    """Read a task file of subtask 2, with its column of answers if it has one.

    Raises:
        TableError: A column is missing, a share is not a number from 0 to 1, or a triple is repeated.
    """
    triple, answer = rules.triple_columns, rules.target_share_column
    rows = _read_csv(path, (*triple, rules.source_share_column))
    artworks, sources, targets = (np.array([row[c] for row in rows], object) for c in triple)
    source_shares = np.array([row.share(rules.source_share_column) for row in rows])
    answered = rows and answer in rows[0]
    target_shares = np.array([row.share(answer) for row in rows]) if answered else None
    items = ShareItems(artworks, sources, source_shares, targets, target_shares)
    _check_unique(rows, ", ".join(triple), items.keys)
    return items


def is_share_file(path: Path, rules: SharedTaskRules) -> bool:
    """Whether a task file belongs to subtask 2."""
    return any(rules.target_column in row for row in _read_csv(path, ()))


class CsvRow(dict[str, str]):
    """The cells of a row of CSV by column; ``where`` is its file and line, for messages."""

    def __init__(self, cells: Iterable[tuple[str, str]], where: str, error: ErrorType) -> None:
        super().__init__(cells)
        self.where, self.error = where, error

    def share(self, column: str) -> float:
        """Parse a number from 0 to 1."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:  # true for nan as well
            given = excerpt(self[column])
            fault = f"column {column} must be a number from 0 to 1, got {given!r}"
            raise self.error(f"{self.where}: {fault}")
        return value


def excerpt(text: str) -> str:
    """The beginning of a cell, for a message."""
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"


def parse_csv(
    text: Iterable[str], required: Sequence[str], name: str, error: ErrorType, exact: bool = False
) -> list[CsvRow]:
    """Parse CSV into rows; a fault raises ``error``.

    Args:
        name: The file's name in messages.
        exact: Allow no columns but the required ones, in their order, and no empty lines.
    """
    try:
        reader = csv.reader(text, strict=True)
        header = next(reader, [])
        missing = [column for column in required if column not in header]
        if missing or (exact and header != list(required)):
            hint = f"; missing {', '.join(missing)}" if missing else ""
            raise error(
                f"{name}: the header must {'be' if exact else 'include'} {','.join(required)}, "
                f"got {excerpt(','.join(header)) or 'nothing'}{hint}"
            )
        rows = []
        for cells in reader:
            where = f"{name} line {reader.line_num}"
            if len(cells) != len(header) and (cells or exact):
                raise error(f"{where}: {len(cells)} cells instead of {len(header)}")
            if cells:
                rows.append(CsvRow(zip(header, cells, strict=True), where, error))
        return rows
    except (UnicodeDecodeError, csv.Error) as fault:
        raise error(f"{name} cannot be read as CSV in UTF-8: {fault}") from None


def format_csv(columns: Mapping[str, Iterable[object]]) -> str:
    """Write columns under their names, each cell as it is: programs compare ids and languages."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


def make_emotion_items(table: AnnotationTable, rules: SharedTaskRules) -> EmotionItems:
    """The items of subtask 1 for a table: every row whose emotion the rules include."""
    label_of = {name: label for label, group in rules.label_emotions.items() for name in group}
    rows = [row for row in table if row.emotion in label_of]
    return EmotionItems(
        ids=[rules.id_format.format(number) for number in range(len(rows))],
        images=[row.image or f"{row.artwork_id}.jpg" for row in rows],
        languages=[row.language for row in rows],
        captions=[row.caption for row in rows],
        labels=[label_of[row.emotion] for row in rows],
    )


@dataclass(frozen=True)
class PositiveVotes:
    """Positive and negative votes of each language on each artwork."""

    artworks: np.ndarray
    """object [p]."""
    languages: tuple[str, ...]
    positive: np.ndarray
    """Positive votes: int64 [p, languages]."""
    total: np.ndarray
    """Positive and negative votes: int64 [p, languages]."""

    @classmethod
    def from_table(cls, table: AnnotationTable, rules: SharedTaskRules) -> "PositiveVotes":
        """Count the votes of a table, without the emotions that are neither positive nor negative."""
        table = table.with_exact_labels()
        votes = Votes.count(
            table.codes("artwork_id"),
            table.codes("language"),
            table.emotion_codes(),
            labels=table.labels,
        )
        positive = votes.counts[..., label_indices(rules.positive, table.labels)].sum(-1)
        negative = votes.counts[..., label_indices(rules.negative, table.labels)].sum(-1)
        artworks = np.array([str(name).rpartition("/")[2] for name in votes.artworks], object)
        return cls(artworks, votes.cultures, positive, positive + negative)

    @property
    def priors(self) -> dict[str, float]:
        """Each language's positive share over all artworks, smoothed by one vote of each kind."""
        shares = (self.positive.sum(0) + 1) / (self.total.sum(0) + 2)
        return dict(zip(self.languages, shares.tolist(), strict=True))

    def to_items(self, rules: SharedTaskRules) -> ShareItems:
        """Make an item of every ordered pair of languages that have enough votes on an artwork.

        Raises:
            InputError: No artwork has such a pair.
        """
        enough = self.total >= rules.min_annotators
        share = self.positive / np.maximum(self.total, 1)
        pairs = enough[:, :, None] & enough[:, None, :] & ~np.eye(len(self.languages), dtype=bool)
        artwork, source, target = np.nonzero(pairs)
        if not len(artwork):
            raise InputError(
                f"no artwork has {rules.min_annotators} votes in each of two languages, so there are "
                "no items for subtask 2; lower min_annotators to allow fewer votes"
            )
        names = np.array(self.languages, object)
        return ShareItems(
            artworks=self.artworks[artwork],
            sources=names[source],
            source_shares=share[artwork, source],
            targets=names[target],
            target_shares=share[artwork, target],
        )


def write_task_files(
    table: AnnotationTable, out: Path, rules: SharedTaskRules
) -> tuple[EmotionItems, ShareItems]:
    """Write ``st1_items.csv`` and ``st2_items.csv``; the last column of each holds the answers."""
    captions = make_emotion_items(table, rules)
    columns: dict[str, Any] = {
        rules.id_column: captions.ids,
        rules.image_column: captions.images,
        rules.language_column: captions.languages,
        rules.caption_column: captions.captions,
        rules.label_column: captions.labels,
    }
    _write_csv(out / "st1_items.csv", columns)
    triples = PositiveVotes.from_table(table, rules).to_items(rules)
    columns = {
        rules.artwork_column: triples.artworks,
        rules.source_column: triples.sources,
        rules.source_share_column: triples.source_shares,
        rules.target_column: triples.targets,
        rules.target_share_column: triples.target_shares,
    }
    _write_csv(out / "st2_items.csv", columns)
    return captions, triples


def _read_csv(path: Path, required: Sequence[str]) -> list[CsvRow]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return parse_csv(file, required, str(path), TableError)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None


def _check_unique(rows: Sequence[CsvRow], what: str, keys: Sequence[str]) -> None:
    first: dict[str, CsvRow] = {}
    for row, key in zip(rows, keys, strict=True):
        if first.setdefault(key, row) is not row:
            line = first[key].where.rpartition(" ")[2]
            raise TableError(f"{row.where}: {what} {excerpt(key)!r} repeats line {line}")


def _write_csv(path: Path, columns: Mapping[str, Iterable[object]]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(format_csv(columns), "utf-8")
