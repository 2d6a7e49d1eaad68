"""Make statements for other systems of a collection's answers, which people may have reviewed."""

import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Literal, get_args
from urllib.parse import quote

from artaffect.errors import InputError, UnknownNameError
from artaffect.outputs import atomic_file, check_output, output_lock
from artaffect.prediction.collection.saved_answers import ORIGIN, Answer, SavedAnswers
from artaffect.runtime import as_path

Format = Literal["w3c", "linked-art", "csv"]

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
    saved = SavedAnswers.read(source, *(() if target is None else (target,)))
    allowed = None if labels is None else _check_labels(labels, saved)
    address = _addresses(base, target, format != "csv")
    left_out: Counter[str] = Counter()
    kept = []
    for answer in saved:
        names = (saved.cell(answer.row, name) for name in ("id", target or "id"))
        row = _statement(saved, answer, address(*names))
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


def _check_labels(labels: Sequence[str], answers: SavedAnswers) -> set[str]:
    ends = answers.ends.values()
    known = {*answers.labels, *(top for end in ends for top in answers.columns[f"top{end}"])}
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


def _statement(answers: SavedAnswers, answer: Answer, target: str) -> _Row:
    def cell(name: str) -> str:
        return answers.cell(answer.row, name)

    review = answers.review(answer)
    statement = Statement(
        target,
        cell("id"),
        answer.culture,
        cell(f"top{answer.end}"),
        answers.number(answer.row, f"probability{answer.end}"),
        {name: cell(name) for name in ORIGIN},
        cell("note"),
        review.reviewer,
    )
    return _Row(statement, review.is_rejected)
