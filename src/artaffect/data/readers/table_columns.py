"""Which column of a table holds what: as the caller says, or by its name."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artaffect.errors import InputTypeError, TableError, UnknownNameError
from artaffect.runtime import printable

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "label": ("label", "emotion", "feeling"),
    "image": ("image", "file", "file_name", "path"),
    "artwork": ("artwork", "painting", "object_number", "id"),
    "caption": ("caption", "utterance", "description", "text"),
    "culture": ("culture",),
    "language": ("language", "lang"),
    "art_style": ("art_style",),
    "annotator": ("annotator",),
    "split": ("split",),
}
"""What a column can hold, and the names by which it is recognised, the likeliest first."""

_ROW_NUMBER = "id"
"""Where there are images, a column of this name may as well number the rows."""

ColumnNames = Mapping[str, str | Sequence[str] | None]
"""The column, or the columns, of each kind; None or an empty list for none."""


def parse_assignments(assignments: Iterable[str]) -> dict[str, list[str]]:
    """The columns in texts such as ``caption=title,description``; each kind may be repeated.

    Raises:
        TableError: a text is not of this form.
    """
    names: dict[str, list[str]] = {}
    for text in assignments:
        kind, sign, column = text.partition("=")
        if not sign:
            raise TableError(
                f"--column {text}: expected KIND=COLUMN, for example --column label=feeling"
            )
        names.setdefault(kind.strip(), []).extend([column] if column.strip() else [])
    return names


def check_kinds(
    columns: ColumnNames, known: Mapping[str, tuple[str, ...]] = COLUMNS
) -> dict[str, list[str]]:
    """The columns of each kind as a list.

    Args:
        known: the kinds that the table may have, each with the names by which it is recognised.

    Raises:
        UnknownNameError: a kind is unknown.
        InputTypeError: a name is not a text.
        TableError: several columns hold something that is not text to be joined.
    """
    if not isinstance(columns, Mapping):
        raise InputTypeError(f"columns must be a mapping, got {type(columns).__name__}")
    checked: dict[str, list[str]] = {}
    for kind, names in columns.items():
        if kind not in known:
            raise UnknownNameError("kind of column", str(kind), known)
        listed: Any = [names] if isinstance(names, str) else names or []
        if not isinstance(listed, list | tuple) or not all(isinstance(n, str) for n in listed):
            raise InputTypeError(f"columns[{kind!r}] must be a str or a list of str, got {names!r}")
        checked[kind] = list(listed)
        if len(checked[kind]) > 1 and kind != "caption":
            raise TableError(
                f"{kind} can be one column only, got {', '.join(checked[kind])}; "
                "the columns of a caption are joined"
            )
    return checked


def match_columns(
    path: Path,
    header: Sequence[str],
    given: Mapping[str, Sequence[str]],
    known: Mapping[str, tuple[str, ...]] = COLUMNS,
) -> dict[str, list[int]]:
    """The positions of the columns of each kind; kinds without are left out.

    Names are compared without regard to capitals, and a blank is as good as a hyphen or an underscore.
    A given column is not taken for anything else because of its name.

    Args:
        known: as in :func:`check_kinds`.

    Raises:
        TableError: a given column does not exist, or it is not clear which one is meant.
    """
    positions: dict[str, list[int]] = {}
    for kind, names in given.items():
        parts = [part for name in names for part in _parts(name, header)]
        positions[kind] = [find_column(path, header, part, kind) for part in parts]
    taken = {header[i] for columns in positions.values() for i in columns}
    present = {name_key(name) for name in header if name not in taken}
    for kind, defaults in known.items():
        if kind in given:
            continue
        if kind == "artwork" and positions.get("image"):
            present.discard(_ROW_NUMBER)
        if kind == "language":  # it may be the culture, too
            present |= {name_key(header[i]) for i in positions.get("culture", ())}
        name = next((name for name in defaults if name_key(name) in present), None)
        positions[kind] = [] if name is None else [find_column(path, header, name, kind)]
    return {kind: positions[kind] for kind in known if positions[kind]}


def require_column(path: Path, header: Sequence[str], kind: str, remedy: str = "") -> TableError:
    """The error of a table that lacks a column."""
    return TableError(
        f"{path} has no column for {kind}: expected one named {' or '.join(COLUMNS[kind])}, and it "
        f"has {_listed(header)}; name it with --column {kind}=NAME{remedy}"
    )


def describe_columns(header: Sequence[str], positions: Mapping[str, Sequence[int]]) -> str:
    """The mapping in words, such as ``label = feeling, caption = title + description``."""
    return ", ".join(
        f"{kind} = {' + '.join(header[i].strip() for i in columns)}"
        for kind, columns in positions.items()
    )


def join_texts(parts: Sequence[pa.Array]) -> pa.Array:
    """The texts of several columns with a blank line between them; blank ones are left out."""
    joined, *others = [pc.utf8_trim_whitespace(part) for part in parts]
    for part in others:
        is_between = pc.and_(pc.not_equal(joined, ""), pc.not_equal(part, ""))
        joined = pc.binary_join_element_wise(joined, part, pc.if_else(is_between, "\n\n", ""))
    return joined


def _parts(name: str, header: Sequence[str]) -> list[str]:
    """A column whose name has a comma, or several columns."""
    if name_key(name) in map(name_key, header):
        return [name]
    return [part for part in name.split(",") if part.strip()]


def find_column(path: Path, header: Sequence[str], name: str, kind: str) -> int:
    """The position of a column, whose name is compared as in :func:`match_columns`.

    Args:
        kind: what it holds, for messages.

    Raises:
        TableError: it does not exist, or several have its name.
    """
    same = [i for i, column in enumerate(header) if name_key(column) == name_key(name)]
    exact = [i for i in same if header[i] == name]
    same = exact if len(exact) == 1 else same
    if not same:
        keys = {name_key(column): column for column in header}
        close = difflib.get_close_matches(name_key(name), keys, n=1)
        nearest = f"; the nearest is {keys[close[0]].strip()!r}" if close else ""
        raise TableError(
            f"{path} has no column {name.strip()!r} for {kind}{nearest}; it has {_listed(header)}"
        )
    if len(same) > 1:
        numbers = ", ".join(str(i + 1) for i in same)
        raise TableError(
            f"{path}: the name {name.strip()!r} is that of the columns {numbers}, so it is not clear "
            f"which one holds the {kind}: rename one of them"
        )
    return same[0]


def _listed(header: Sequence[str]) -> str:
    names = [name.strip() for name in header if name.strip()]
    listed = f"the columns {', '.join(names)}" if names else "no named column"
    return printable(listed[:500])


def name_key(name: str) -> str:
    """A column's name without regard to capitals, blanks, hyphens and underscores."""
    return " ".join(re.split(r"[\s_-]+", name.strip())).casefold()
