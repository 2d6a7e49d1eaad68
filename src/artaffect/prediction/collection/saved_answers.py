"""Read a file of answers again, in any format and layout; people may have edited it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path

from artaffect.data.listing import unguard_formulas
from artaffect.data.readers.table_formats import open_table
from artaffect.errors import TableError
from artaffect.prediction.collection.answers import REVIEW, REVIEWER

ORIGIN = ("model", "model_digest", "artaffect_version", "predicted_on")
"""The columns that say where an answer comes from."""

_CONFIRMED, _REJECTED = "confirmed", "rejected"
_BEFORE_LABELS = "caption_share"
"""The column after which those of the labels stand."""


@dataclass(frozen=True)
class Answer:
    """Where a file holds the answer for one item and culture."""

    row: int
    culture: str
    end: str
    """What follows the names of the culture's columns."""


@dataclass(frozen=True)
class Review:
    """What people think of an answer."""

    is_rejected: bool = False
    reviewer: str = ""
    """Who confirmed it; empty if nobody did."""


@dataclass(frozen=True)
class SavedAnswers:
    """The cells of a file of answers, as text."""

    path: Path
    columns: Mapping[str, list[str]]
    line: Sequence[int]

    @classmethod
    def read(cls, path: Path, *needed: str) -> "SavedAnswers":
        """Read all cells.

        Args:
            needed: the names of further columns that the file must have.

        Raises:
            TableError: it is no file of answers, or lacks a column.
        """
        file = open_table(path)
        cells = file.read(
            [i for i in range(len(file.header)) if i not in file.binary], range(len(file.header))
        )
        if cells.malformed:
            line, fault = cells.malformed[0]
            raise TableError(f"{path}, line {line} cannot be read: {fault[:200]}")
        names = [name.strip() for i, name in enumerate(file.header) if i not in file.binary]
        texts = [column.to_pylist() for column in cells.columns]
        if path.suffix.lower() in (".csv", ".tsv", ".txt"):
            names = [unguard_formulas(name) for name in names]
            texts = [[unguard_formulas(text) for text in column] for column in texts]
        answers = cls(path, dict(zip(names, texts, strict=True)), cells.line.tolist())
        missing = [name for name in ("id", *ORIGIN, *needed) if name not in answers.columns]
        if missing or not answers.ends:
            missing = missing or ["culture and top, or top_CULTURE"]
            raise TableError(
                f"{path} is no file of answers of `artaffect predict-collection`: it lacks the column "
                f"{', '.join(missing)}"
            )
        return answers

    @cached_property
    def ends(self) -> Mapping[str, str]:
        """The end of the names of each culture's columns; that of a long file is empty."""
        if {"culture", "top"} <= self.columns.keys():
            return {"": ""}
        names = [name.removeprefix("top_") for name in self.columns if name.startswith("top_")]
        return {name: f"_{name}" for name in names if f"probability_{name}" in self.columns}

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels whose probabilities the file holds, in its order."""
        names, end = list(self.columns), next(iter(self.ends.values()))
        start = self.columns.keys() >= {_BEFORE_LABELS + end} and names.index(_BEFORE_LABELS + end)
        following = names[start + 1 :] if start else []
        own = takewhile(lambda name: name.endswith(end) and name not in ORIGIN, following)
        stems = (name.removesuffix(end) for name in own)
        return tuple(takewhile(lambda stem: stem != "image_share", stems))

    def __iter__(self) -> Iterator[Answer]:
        """All answers; rows without an id have none."""
        for row, item in enumerate(self.columns["id"]):
            if item:
                for culture, end in self.ends.items():
                    yield Answer(row, culture or self.cell(row, "culture"), end)

    def cell(self, row: int, name: str) -> str:
        """The text of a cell; empty if there is no such column."""
        return self.columns[name][row].strip() if name in self.columns else ""

    def number(self, row: int, name: str) -> float:
        """The number in a cell, as programs and as spreadsheets of some countries write it, with a comma.

        Raises:
            TableError: it holds none.
        """
        try:
            return float(self.cell(row, name).replace(",", "."))
        except ValueError:
            raise TableError(f"{self.place(row)}: column {name} holds no number") from None

    def review(self, answer: Answer) -> Review:
        """What people think of an answer.

        Raises:
            TableError: a cell is not what its column says.
        """
        name = REVIEW + answer.end
        review = self.cell(answer.row, name).lower()
        reviewer = self.cell(answer.row, REVIEWER)
        if review not in ("", _CONFIRMED, _REJECTED):
            raise TableError(
                f"{self.place(answer.row)}: column {name} says {review!r}: expected {_CONFIRMED}, "
                f"{_REJECTED} or nothing"
            )
        if review == _CONFIRMED and not reviewer:
            raise TableError(
                f"{self.place(answer.row)} is confirmed, but column {REVIEWER} does not say by whom"
            )
        return Review(review == _REJECTED, reviewer if review == _CONFIRMED else "")

    def place(self, row: int) -> str:
        """The file and the line of a row, for messages."""
        return f"{self.path}, line {self.line[row]}"
