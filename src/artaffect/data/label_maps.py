"""From the labels of a file to those of a label set: which set, and what each cell stands for."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from artaffect.errors import ConfigError, InputTypeError, TableError
from artaffect.labels import (
    ARTEMIS,
    FROM_DATA,
    MOST_LABELS,
    SEPARATOR,
    LabelSet,
    built_in_set,
    choose_label_set,
    load_label_set,
    read_label_toml,
    spelling,
)
from artaffect.runtime import as_path, printable

_logger = logging.getLogger(__name__)

LabelsOption: TypeAlias = "LabelSet | str | os.PathLike[str] | None"
"""A label set, the name of a built-in one, ``data``, or a TOML file; None to choose one."""
LabelMap: TypeAlias = Mapping[str, str | Sequence[str]]
"""What a label of the file stands for in the set: one label, or any of several."""
Entries: TypeAlias = dict[str, tuple[str, ...]]
"""A label map by the spelling of its labels."""
Rule = Callable[[str], str | None]
"""From a cell to its label; None if it is unknown."""


def parse_label_map(texts: Iterable[str]) -> Entries:
    """The map in texts such as ``joy=contentment|awe`` and in TOML files, ending in ``.toml``.

    Raises:
        ConfigError: a text has another form, a file cannot be read, or a label is mapped twice.
    """
    entries: Entries = {}
    for text in texts:
        label, sign, meant = text.partition("=")
        if sign:
            new = check_label_map({label: meant})
        elif text.endswith(".toml"):
            new = load_label_map(text)
        else:
            raise ConfigError(
                f"--map-label {text}: expected LABEL=LABEL or LABEL=LABEL|LABEL, for example "
                "happiness=contentment, or a TOML file with lines such as "
                'happiness = "contentment" or joy = ["contentment", "awe"]'
            )
        if twice := sorted(new.keys() & entries.keys()):
            raise ConfigError(f"the label {twice[0]!r} is mapped twice")
        entries |= new
    return entries


def load_label_map(path: str | os.PathLike[str]) -> Entries:
    """The map in a TOML file; raises ConfigError if it holds something else."""
    data = read_label_toml(as_path(path, "path"))
    if label := next((label for label, meant in data.items() if not _is_meaning(meant)), None):
        raise ConfigError(
            f'{path}: {label}: expected a label in quotes, as in happiness = "contentment", or '
            'several, as in joy = ["contentment", "awe"]'
        )
    return check_label_map(data)


def check_label_map(mapping: Any) -> Entries:
    """A map by the spelling of its labels, without regard to case and blanks.

    Raises:
        InputTypeError: it is not a mapping from texts to texts or lists of texts.
        ConfigError: a label is empty, or mapped twice.
    """
    if not isinstance(mapping, Mapping):
        raise InputTypeError(f"map_labels must be a mapping, got {type(mapping).__name__}")
    entries: Entries = {}
    for label, meant in mapping.items():
        if not isinstance(label, str) or not _is_meaning(meant):
            raise InputTypeError(
                f"map_labels must map a str to a str or a list of str, got {label!r}: {meant!r}"
            )
        names = tuple(meant.split(SEPARATOR) if isinstance(meant, str) else meant)
        if not label.strip() or not names or not all(name.strip() for name in names):
            raise ConfigError(f"label map: {label!r} = {meant!r}: a label is empty")
        if spelling(label) in entries:
            raise ConfigError(f"the label {label!r} is mapped twice")
        entries[spelling(label)] = names
    return entries


def _is_meaning(value: Any) -> bool:
    """Whether a value can be what a label stands for."""
    if isinstance(value, list | tuple):
        return all(isinstance(name, str) for name in value)
    return isinstance(value, str)


def choose_labels(
    texts: Sequence[str], labels: LabelsOption, mapping: LabelMap | None, source: str
) -> tuple[LabelSet, Rule]:
    """The label set of a file, and the rule by which its cells are read.

    Args:
        texts: the distinct cells of its column of labels. One with several labels, ``joy|calm``, is a
            partial label: one of them is the row's.
        labels: the set. None takes the one that the map names, or else
            :func:`artaffect.labels.choose_label_set`; the log says which.
        mapping: what labels stand for; a label that is not mapped stands for itself. One that stands
            for any of several becomes a partial label, see :meth:`LabelSet.join`.
        source: the name of the file, for messages.

    Raises:
        TableError: the labels are to be taken from the file, and their number is not 2 to 200.
        ConfigError: the label set cannot be read, or the map leads to a label outside of it, or to
            any label of the set, which says nothing.
        UnknownNameError: there is no label set of that name.
    """
    entries = check_label_map(mapping or {})
    meant = list(dict.fromkeys(name for names in entries.values() for name in names))
    parts = {spelling(part) for text in texts for part in text.split(SEPARATOR)}
    unmapped = sorted(parts - {""} - entries.keys())
    if labels is not None:
        chosen = (
            _from_texts([*meant, *unmapped], source)
            if labels == FROM_DATA
            else load_label_set(labels)
        )
    elif meant:
        chosen = built_in_set(meant) or _from_texts(meant, source)
    else:
        chosen = _choose(unmapped, source)
    if outside := [name for name in meant if not chosen.knows(name)]:
        raise ConfigError(
            f"the map leads to the label {outside[0]!r}, which is not one of {', '.join(chosen)}"
        )
    cells = {label: chosen.join(names) for label, names in entries.items()}
    for label, cell in cells.items():
        if len(cell.split(SEPARATOR)) == len(chosen):
            raise ConfigError(
                f"the map leads from {label!r} to any of all labels, which says nothing: leave the "
                "label out, and its rows are dropped"
            )

    def rule(text: str) -> str | None:
        """The label of a cell; of one with several labels, the partial label that holds them all."""
        names = [cells.get(spelling(part)) or chosen.find(part) for part in text.split(SEPARATOR)]
        known = {label for name in names if name for label in name.split(SEPARATOR)}
        return None if None in names or len(known) == len(chosen) else chosen.join(known)

    return chosen, rule


def _choose(texts: Sequence[str], source: str) -> LabelSet:
    """The set that knows the labels of a file, or these labels themselves."""
    if len(texts) < 2:
        return ARTEMIS
    if not any(map(ARTEMIS.knows, texts)) and len(texts) > MOST_LABELS:
        return _from_texts(texts, source)  # says what is wrong
    chosen = choose_label_set(texts)
    if unknown := [text for text in texts if not chosen.knows(text)]:
        listed = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        line = (
            f"{source}: its labels are read as the set {chosen.name}, which lacks {listed}: these rows "
            "are dropped; --labels data keeps all labels, and --map-label says what one stands for"
        )
        _logger.warning("%s", printable(line))
    elif chosen is not ARTEMIS:
        kind = "of its own" if chosen.name == FROM_DATA else f"of the set {chosen.name}"
        _logger.info("%s", printable(f"{source}: labels {kind}: {', '.join(chosen)}"))
    return chosen


def _from_texts(texts: Sequence[str], source: str) -> LabelSet:
    count = len({spelling(text) for text in texts})
    if not 2 <= count <= MOST_LABELS:
        raise TableError(
            f"{source}: its labels cannot be a label set: expected 2 to {MOST_LABELS} distinct ones, "
            f"and there are {count:,}; --column label=NAME names their column"
        )
    return LabelSet.from_texts(texts)
