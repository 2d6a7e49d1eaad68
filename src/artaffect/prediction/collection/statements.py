"""Make statements for other systems of a collection's answers, which people may have reviewed."""

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

from artaffect.data.listing import unguard_formulas
from artaffect.data.readers.table_formats import open_table
from artaffect.errors import InputError, TableError, UnknownNameError
from artaffect.outputs import atomic_file, check_output, output_lock
from artaffect.prediction.collection.answers import REVIEW, REVIEWER
from artaffect.runtime import as_path

Format = Literal["w3c", "linked-art", "csv"]

_ORIGIN = ("model", "model_digest", "artaffect_version", "predicted_on")
_CONFIRMED, _REJECTED = "confirmed", "rejected"
_ADDRESS = re.compile(r"(https?://|urn:)[^\s<>\"{}|\\^`]+")


@dataclass(frozen=True)
class Statement:
    """What a model says that the readers of one culture most likely feel."""

    target: str
    """The address of the artwork or its canvas; empty if it is not known."""
    item: str
    """The id of the item in the answers."""
    culture: str
    label: str
    probability: float
    origin: Mapping[str, str]
    """The model's name and digest, the version of the software, and the date."""
    note: str
    reviewer: str
    """Who confirmed it; empty if nobody did."""

    @property
    def id(self) -> str:
        """A name that is the same whenever the same answer is exported."""
        name = "\n".join([self.origin["model_digest"], self.target or self.item, self.culture])
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"

    @property
    def status(self) -> str:
        """Whether a person has reviewed it, in words."""
        return f"machine statement, {f'confirmed by {self.reviewer}' if self.reviewer else 'not reviewed'}"

    @property
    def sentence(self) -> str:
        """The statement in words."""
        note = f" Note: {self.note}." if self.note else ""
        return (
            f"A model predicts that readers of the culture {self.culture} most likely report "
            f"{self.label} (probability {self.probability:.2f}). This is a {self.status}.{note}"
        )


@dataclass(frozen=True)
class StatementSummary:
    """How many statements were exported, and how many were left out for each reason."""

    exported: int
    confirmed: int
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Reason -> statements."""


def export_annotations(
    answers: str | PathLike[str],
    out: str | PathLike[str],
    format: Format = "w3c",
    *,
    labels: Sequence[str] | None = None,
    floor: float = 0.0,
    base: str | None = None,
    target: str | None = None,
) -> StatementSummary:
    """Write the most likely label of each item and culture as a statement for other systems.

    An answer whose column ``review`` says ``rejected`` is left out; of one that says ``confirmed``, the
    column ``reviewed_by`` must say by whom.

    Args:
        answers: a file of :func:`predict_collection` in any format and layout; people may have edited it.
        format: ``w3c`` for Web Annotations in JSON-LD (https://www.w3.org/TR/annotation-model/),
            ``linked-art`` for attribute assignments (https://linked.art/model/assertion/), or ``csv``.
        labels: the labels that may be published; all by default.
        floor: the smallest probability that is published, 0 to 1.
        base: the start of the items' addresses, to which their ids are added.
        target: the column that holds the items' addresses; by default an id that is one.

    Raises:
        TableError: the file holds no answers, or a cell is not what its column says.
        InputError: an item has no address, which ``w3c`` and ``linked-art`` need.
        UnknownNameError: a label is unknown.
    """
    from artaffect.prediction.collection.statement_formats import WRITERS

    source, path = as_path(answers, "answers"), as_path(out, "out")
    if format not in get_args(Format):
        raise UnknownNameError("format", str(format), get_args(Format))
    if not 0 <= floor <= 1:
        raise InputError(f"the floor is a probability from 0 to 1, got {floor}")
    if base is not None and not _ADDRESS.fullmatch(base):
        raise InputError(f"--base must begin with https:// or http:// or urn:, got {base!r}")
    check_output(path, [source])
    rows = _Rows.read(source, target)
    allowed = None if labels is None else _check_labels(labels, rows)
    left_out: Counter[str] = Counter()
    kept = []
    for row in rows.statements(_addresses(base, target, format != "csv")):
        reason = _reason(row, allowed, floor)
        if reason:
            left_out[reason] += 1
        else:
            kept.append(row.statement)
    with output_lock(path), atomic_file(path) as temporary:
        WRITERS[format](kept, temporary)
    confirmed = sum(bool(statement.reviewer) for statement in kept)
    return StatementSummary(len(kept), confirmed, dict(left_out))


@dataclass(frozen=True)
class _Row:
    """A statement, and what people think of it."""

    statement: Statement
    is_rejected: bool


def _reason(row: _Row, allowed: set[str] | None, floor: float) -> str:
    """Why a statement is left out; empty if it is not."""
    if row.is_rejected:
        return "rejected by a reviewer"
    if allowed is not None and row.statement.label not in allowed:
        return "another label"
    return f"probability below {floor:g}" if row.statement.probability < floor else ""


def _check_labels(labels: Sequence[str], rows: "_Rows") -> set[str]:
    known = rows.labels()
    for label in labels:
        if label not in known:
            raise UnknownNameError("label", label, sorted(known))
    return set(labels)


def _addresses(base: str | None, target: str | None, is_needed: bool) -> Callable[[str, str], str]:
    """The address of an item, given its id and its cell in the column of addresses."""

    def address(item: str, cell: str) -> str:
        given = cell if target is not None else item
        if base is not None and target is None:
            given = base + quote(item, safe="/")
        if _ADDRESS.fullmatch(given):
            return given
        if is_needed:
            raise InputError(
                f"the item {item!r} has no address ({given!r} is none): name the start of the addresses "
                "with --base https://…/, or the column that holds them with --target COLUMN"
            )
        return ""

    return address


@dataclass(frozen=True)
class _Rows:
    """The cells of a file of answers, as text."""

    path: Path
    columns: Mapping[str, list[str]]
    line: Sequence[int]
    target: str | None

    @classmethod
    def read(cls, path: Path, target: str | None) -> "_Rows":
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
        rows = cls(path, dict(zip(names, texts, strict=True)), cells.line.tolist(), target)
        needed = ("id", *_ORIGIN, *(() if target is None else (target,)))
        missing = [name for name in needed if name not in rows.columns]
        if missing or not rows.cultures():
            missing = missing or ["culture and top, or top_CULTURE"]
            raise TableError(
                f"{path} is no file of answers of `artaffect predict-collection`: it lacks the column "
                f"{', '.join(missing)}"
            )
        return rows

    def cultures(self) -> Mapping[str, str]:
        """The end of the names of each culture's columns; that of a long file is empty."""
        if {"culture", "top"} <= self.columns.keys():
            return {"": ""}
        names = [name.removeprefix("top_") for name in self.columns if name.startswith("top_")]
        return {name: f"_{name}" for name in names if f"probability_{name}" in self.columns}

    def labels(self) -> set[str]:
        """The labels that the answers can have."""
        tops = {top for end in self.cultures().values() for top in self.columns[f"top{end}"]}
        shares = {"image_share", "caption_share", "entropy_bits", "probability"}
        if "" in self.cultures():
            return tops | {name for name in self.columns if self._is_label(name)} - shares
        ends = tuple(self.cultures().values())
        stems = {
            name.removesuffix(end) for name in self.columns for end in ends if name.endswith(end)
        }
        return tops | {stem for stem in stems if self._is_label(stem + ends[0])} - shares

    def _is_label(self, name: str) -> bool:
        """Whether a column holds a probability in every row."""
        try:
            return all(0 <= _number(text) <= 1 for text in self.columns.get(name, [""]))
        except ValueError:
            return False

    def statements(self, address: Callable[[str, str], str]) -> Iterator[_Row]:
        for row, item in enumerate(self.columns["id"]):
            if item:
                place = address(item, self._cell(row, self.target or "id"))
                for culture, end in self.cultures().items():
                    yield self._row(row, place, culture, end)

    def _row(self, row: int, target: str, culture: str, end: str) -> _Row:
        review = self._cell(row, REVIEW + end).lower()
        reviewer = self._cell(row, REVIEWER)
        where = f"{self.path}, line {self.line[row]}"
        if review not in ("", _CONFIRMED, _REJECTED):
            raise TableError(
                f"{where}: column {REVIEW + end} says {review!r}: expected {_CONFIRMED}, {_REJECTED} or "
                "nothing"
            )
        if review == _CONFIRMED and not reviewer:
            raise TableError(f"{where} is confirmed, but column {REVIEWER} does not say by whom")
        try:
            probability = _number(self._cell(row, f"probability{end}"))
        except ValueError:
            raise TableError(f"{where}: column probability{end} holds no number") from None
        statement = Statement(
            target,
            self._cell(row, "id"),
            culture or self._cell(row, "culture"),
            self._cell(row, f"top{end}"),
            probability,
            {name: self._cell(row, name) for name in _ORIGIN},
            self._cell(row, "note"),
            reviewer if review == _CONFIRMED else "",
        )
        return _Row(statement, review == _REJECTED)

    def _cell(self, row: int, name: str) -> str:
        return self.columns[name][row].strip() if name in self.columns else ""


def _number(text: str) -> float:
    """A number as programs and as spreadsheets of some countries write it, with a comma."""
    return float(text.replace(",", "."))
