"""The items of both subtasks, read from a task file or made from a table of annotations."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ArtAffectError, InputError, TableError
from artaffect.labels import EMOTIONS
from artaffect.metrics.votes import Votes
from artaffect.runtime import atomic_file
from artaffect.shared_task.rules import SharedTaskRules


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
    def keys(self) -> list[tuple[str, str, str]]:
        """Artwork, source and target of each item."""
        columns = (self.artworks, self.sources, self.targets)
        return [(str(a), str(s), str(t)) for a, s, t in zip(*columns, strict=True)]


def read_emotion_items(path: Path, rules: SharedTaskRules) -> EmotionItems:
    """Read a task file of subtask 1. Items without an id are numbered.

    Raises:
        TableError: A column is missing, a cell is empty, or an id is repeated.
    """
    required = (rules.image_column, rules.language_column, rules.caption_column)
    rows = _read_csv(path, required)
    for line, row in rows:
        for column in required:
            if not row[column].strip():
                raise TableError(f"{path} line {line}: column {column} is empty")
    ids = [row.get(rules.id_column) or rules.id_format.format(n) for n, (_, row) in enumerate(rows)]
    _check_unique(path, rules.id_column, ids, [line for line, _ in rows])
    known = [name for name in (rules.label_column, "emotion") if rows and name in rows[0][1]]
    images, languages, captions = ([row[column] for _, row in rows] for column in required)
    labels = [row[known[0]].strip().lower() for _, row in rows] if known else None
    return EmotionItems(ids, images, languages, captions, labels)


def read_share_items(path: Path, rules: SharedTaskRules) -> ShareItems:
    """Read a task file of subtask 2, with its column of answers if it has one.

    Raises:
        TableError: A column is missing, a share is not a number from 0 to 1, or a triple is repeated.
    """
    triple = (rules.artwork_column, rules.source_column, rules.target_column)
    rows = _read_csv(path, (*triple, rules.source_share_column))
    keys = [" / ".join(row[column] for column in triple) for _, row in rows]
    _check_unique(path, ", ".join(triple), keys, [line for line, _ in rows])

    def shares(column: str) -> np.ndarray:
        return np.array(
            [parse_share(row, column, f"{path} line {line}", TableError) for line, row in rows]
        )

    artworks, sources, targets = (np.array([row[c] for _, row in rows], object) for c in triple)
    known = bool(rows) and rules.target_share_column in rows[0][1]
    target_shares = shares(rules.target_share_column) if known else None
    return ShareItems(artworks, sources, shares(rules.source_share_column), targets, target_shares)


def is_share_file(path: Path, rules: SharedTaskRules) -> bool:
    """Whether a task file belongs to subtask 2."""
    return any(rules.target_column in row for _, row in _read_csv(path, ()))


def parse_csv(
    text: Iterable[str],
    required: Sequence[str],
    where: str,
    error: type[ArtAffectError],
    exact: bool = False,
) -> list[tuple[int, dict[str, str]]]:
    """Parse CSV into rows, each with the line on which it ends; a fault raises ``error``.

    Args:
        exact: Allow no columns but the required ones, in their order, and no empty lines.
    """
    try:
        reader = csv.reader(text, strict=True)
        header = next(reader, [])
        missing = [name for name in required if name not in header]
        if missing or (exact and header != list(required)):
            hint = f"; missing {', '.join(missing)}" if missing else ""
            raise error(
                f"{where}: the header must {'be' if exact else 'include'} {','.join(required)}, "
                f"got {','.join(header) or 'nothing'}{hint}"
            )
        rows = []
        for cells in reader:
            if len(cells) != len(header) and (cells or exact):
                count = f"{len(cells)} cells instead of {len(header)}"
                raise error(f"{where} line {reader.line_num}: {count}")
            if cells:
                rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
        return rows
    except (UnicodeDecodeError, csv.Error) as fault:
        raise error(f"{where} cannot be read as CSV in UTF-8: {fault}") from None


def parse_share(
    row: Mapping[str, str], column: str, where: str, error: type[ArtAffectError]
) -> float:
    """Parse a number from 0 to 1; anything else raises ``error``."""
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # true for nan as well
        raise error(f"{where}: column {column} must be a number from 0 to 1, got {row[column]!r}")
    return value


def format_csv(columns: Mapping[str, Sequence[object]]) -> str:
    """Write columns under their names."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue()


def make_emotion_items(table: AnnotationTable, rules: SharedTaskRules) -> EmotionItems:
    """The items of subtask 1 for a table: every row whose emotion the rules include."""
    included = {*rules.positive, *rules.negative}
    rows = [row for row in table if str(row.emotion) in included]
    labels = [str(row.emotion) for row in rows]
    if rules.labels == "sentiment":
        labels = ["positive" if label in rules.positive else "negative" for label in labels]
    return EmotionItems(
        ids=[rules.id_format.format(number) for number in range(len(rows))],
        images=[row.image or f"{row.artwork_id}.jpg" for row in rows],
        languages=[row.language for row in rows],
        captions=[row.caption for row in rows],
        labels=labels,
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
        votes = Votes.count(
            table.codes("artwork_id"), table.codes("language"), table.emotion_codes()
        )
        names = list(map(str, EMOTIONS))
        positive = votes.counts[..., [names.index(name) for name in rules.positive]].sum(-1)
        negative = votes.counts[..., [names.index(name) for name in rules.negative]].sum(-1)
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
        pairs = enough[:, :, None] & enough[:, None, :]
        pairs[:, np.arange(len(self.languages)), np.arange(len(self.languages))] = False
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
    columns: dict[str, Sequence[object]] = {
        rules.id_column: captions.ids,
        rules.image_column: captions.images,
        rules.language_column: captions.languages,
        rules.caption_column: captions.captions,
        rules.label_column: captions.labels or (),
    }
    _write_text(out / "st1_items.csv", format_csv(columns))
    triples = PositiveVotes.from_table(table, rules).to_items(rules)
    assert triples.target_shares is not None
    columns = {
        rules.artwork_column: triples.artworks.tolist(),
        rules.source_column: triples.sources.tolist(),
        rules.source_share_column: triples.source_shares.tolist(),
        rules.target_column: triples.targets.tolist(),
        rules.target_share_column: triples.target_shares.tolist(),
    }
    _write_text(out / "st2_items.csv", format_csv(columns))
    return captions, triples


def _read_csv(path: Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return parse_csv(file, required, str(path), TableError)
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error.strerror}") from None


def _check_unique(path: Path, what: str, keys: Sequence[str], lines: Sequence[int]) -> None:
    first_line: dict[str, int] = {}
    for key, line in zip(keys, lines, strict=True):
        if key in first_line:
            raise TableError(f"{path} line {line}: {what} {key!r} repeats line {first_line[key]}")
        first_line[key] = line


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")
