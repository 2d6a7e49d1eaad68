"""The items of ArtEmotion-28: what a task file asks, or what a table of annotations would ask."""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, TableError
from artaffect.labels import EMOTIONS
from artaffect.metrics.votes import Votes
from artaffect.runtime import atomic_file
from artaffect.shared_task.rules import SharedTaskRules


@dataclass(frozen=True)
class EmotionItems:
    """Subtask 1: one caption each."""

    ids: Sequence[str]
    images: Sequence[str]
    """Relative to the folder of pictures."""
    languages: Sequence[str]
    captions: Sequence[str]
    labels: Sequence[str] | None = None
    """What the reader felt, where it is known."""


@dataclass(frozen=True)
class ShareItems:
    """Subtask 2: one painting, the source's positive share, and the target asked for."""

    paintings: np.ndarray
    """object [n]."""
    sources: np.ndarray
    """object [n]: languages, as the file writes them."""
    source_shares: np.ndarray
    """[n], 0 to 1; nan in a file of answers, which does not state them."""
    targets: np.ndarray
    """object [n]."""
    shares: np.ndarray | None = None
    """The targets' positive shares [n], where they are known."""

    def __len__(self) -> int:
        return len(self.paintings)

    @property
    def keys(self) -> list[tuple[str, str, str]]:
        """Painting, source and target of each item."""
        columns = (self.paintings, self.sources, self.targets)
        return [(str(p), str(s), str(t)) for p, s, t in zip(*columns, strict=True)]


def read_emotion_items(path: Path, rules: SharedTaskRules) -> EmotionItems:
    """Read a task file of subtask 1; items without an id are numbered.

    Raises:
        TableError: a column is missing, a cell is empty, or an id stands twice.
    """
    needed = (rules.image_name, rules.language, rules.caption)
    rows = list(read_rows(path, needed))
    for line, row in rows:
        for column in needed:
            if not row[column].strip():
                raise TableError(f"{path} line {line}: column {column} is empty")
    ids = [row.get(rules.id) or rules.id_form.format(n) for n, (_, row) in enumerate(rows)]
    _refuse_repeated(path, rules.id, ids, [line for line, _ in rows])
    label = next((name for name in (rules.label, "emotion") if rows and name in rows[0][1]), None)
    return EmotionItems(
        ids=ids,
        images=[row[rules.image_name] for _, row in rows],
        languages=[row[rules.language] for _, row in rows],
        captions=[row[rules.caption] for _, row in rows],
        labels=None if label is None else [row[label].strip().lower() for _, row in rows],
    )


def read_share_items(path: Path, rules: SharedTaskRules) -> ShareItems:
    """Read a task file of subtask 2; with the column of the answers where it has one.

    Raises:
        TableError: a column is missing, a share is no number from 0 to 1, or a triple stands twice.
    """
    needed = (rules.painting, rules.source, rules.source_share, rules.target)
    rows = list(read_rows(path, needed))
    keys = [" / ".join(row[c] for c in (needed[0], needed[1], needed[3])) for _, row in rows]
    _refuse_repeated(path, "painting, source, target", keys, [line for line, _ in rows])
    known = bool(rows) and rules.share in rows[0][1]
    return ShareItems(
        paintings=np.array([row[rules.painting] for _, row in rows], object),
        sources=np.array([row[rules.source] for _, row in rows], object),
        source_shares=np.array([parse_share(path, n, row, rules.source_share) for n, row in rows]),
        targets=np.array([row[rules.target] for _, row in rows], object),
        shares=np.array([parse_share(path, n, row, rules.share) for n, row in rows])
        if known
        else None,
    )


def is_share_file(path: Path, rules: SharedTaskRules) -> bool:
    """Whether a task file is of subtask 2."""
    first = next(read_rows(path, ()), (0, {}))[1]
    return rules.target in first


def read_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of a CSV file with the line on which it ends.

    Raises:
        TableError: no such file, no CSV in UTF-8, or a column or a cell is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in needed if name not in (reader.fieldnames or [])]
            if missing:
                found = ", ".join(reader.fieldnames or []) or "nothing"
                raise TableError(
                    f"{path}: expected the columns {', '.join(needed)}; missing "
                    f"{', '.join(missing)}; found {found}"
                )
            for row in reader:
                if None in row or any(row[name] is None for name in needed):
                    raise TableError(f"{path} line {reader.line_num}: too few or too many cells")
                yield reader.line_num, row
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} cannot be read as CSV: {error}") from None


def parse_share(path: Path, line: int, row: dict[str, str], column: str) -> float:
    """A number from 0 to 1.

    Raises:
        TableError: it is none.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:  # also where it is no number
        raise TableError(
            f"{path} line {line}: column {column} must be a number from 0 to 1, got {row[column]!r}"
        )
    return value


def emotion_items(table: AnnotationTable, rules: SharedTaskRules) -> EmotionItems:
    """The items that subtask 1 would make of a table: rows whose emotion it asks for."""
    asked = set(rules.positive) | set(rules.negative)
    rows = [row for row in table if str(row.emotion) in asked]
    return EmotionItems(
        ids=[rules.id_form.format(number) for number in range(len(rows))],
        images=[row.image or f"{row.artwork_id}.jpg" for row in rows],
        languages=[row.language for row in rows],
        captions=[row.caption for row in rows],
        labels=[label_of(str(row.emotion), rules) for row in rows],
    )


def label_of(emotion: str, rules: SharedTaskRules) -> str:
    """What subtask 1 calls an emotion."""
    if rules.labels == "emotions":
        return emotion
    return "positive" if emotion in rules.positive else "negative"


@dataclass(frozen=True)
class PositiveVotes:
    """Positive and negative votes of each language on each painting."""

    paintings: np.ndarray
    """object [p]."""
    languages: tuple[str, ...]
    positive: np.ndarray
    """[p, languages]."""
    total: np.ndarray
    """[p, languages]."""

    @classmethod
    def of(cls, table: AnnotationTable, rules: SharedTaskRules) -> "PositiveVotes":
        """Count the votes of a table; other emotions are left out."""
        votes = Votes.count(
            table.codes("artwork_id"), table.codes("language"), table.emotion_codes()
        )
        names = [str(emotion) for emotion in EMOTIONS]
        positive = votes.counts[..., [names.index(name) for name in rules.positive]].sum(-1)
        negative = votes.counts[..., [names.index(name) for name in rules.negative]].sum(-1)
        paintings = np.array([str(one).rpartition("/")[2] for one in votes.artworks], object)
        return cls(paintings, votes.cultures, positive, positive + negative)

    @property
    def priors(self) -> dict[str, float]:
        """Each language's positive share, one vote of each kind added."""
        positive, total = self.positive.sum(0), self.total.sum(0)
        shares = (positive + 1) / (total + 2)
        return {name: float(p) for name, p in zip(self.languages, shares, strict=True)}

    def items(self, rules: SharedTaskRules) -> ShareItems:
        """Every ordered pair of languages that both have enough votes on a painting.

        Raises:
            InputError: there is none.
        """
        enough = self.total >= rules.least_annotators
        share = self.positive / np.maximum(self.total, 1)
        both = enough[:, :, None] & enough[:, None, :]
        both[:, np.arange(len(self.languages)), np.arange(len(self.languages))] = False
        painting, source, target = np.nonzero(both)
        if not len(painting):
            raise InputError(
                f"no painting has {rules.least_annotators} votes of each of two languages: "
                "there is nothing to transfer; least_annotators can be lowered"
            )
        names = np.array(self.languages, object)
        return ShareItems(
            self.paintings[painting],
            names[source],
            share[painting, source],
            names[target],
            share[painting, target],
        )


def check_languages(asked: Sequence[str], known: Sequence[str], where: str) -> None:
    """Refuse a language that is not known.

    Raises:
        InputError: naming the first one.
    """
    lower = {name.lower() for name in known}
    for name in dict.fromkeys(asked):
        if name.strip().lower() not in lower:
            raise InputError(f"{where} has no votes in {name!r}; it has {', '.join(sorted(lower))}")


def _refuse_repeated(path: Path, what: str, keys: Sequence[str], lines: Sequence[int]) -> None:
    first: dict[str, int] = {}
    for key, line in zip(keys, lines, strict=True):
        if key in first:
            raise TableError(f"{path} line {line}: {what} {key!r} stands on line {first[key]} too")
        first[key] = line


def write_csv(path: Path, header: Sequence[str], columns: Sequence[Sequence[object]]) -> None:
    """Write columns under a header, whole or not at all."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(zip(*columns, strict=True))
