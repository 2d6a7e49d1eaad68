"""Predictions that were made elsewhere, for example by another model, read from a table.

A row holds the probabilities of one annotation (``annotation_id``) or of one artwork (``artwork_id``),
for all cultures or for one (``culture``), with one column for each label.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.table_columns import name_key
from artaffect.data.readers.table_formats import open_table
from artaffect.errors import ConfigError, InputError, InputTypeError, TableError, UnknownNameError
from artaffect.labels import LabelSet, spelling
from artaffect.runtime import as_path, file_digest, printable

OutsideFiles = Mapping[str, str | PathLike[str]]
"""The files of outside predictions, each under the name that results and models give it."""


@dataclass(frozen=True)
class Elsewhere:
    """Files that were made elsewhere, with which models are scored."""

    outside: OutsideFiles = field(default_factory=dict)
    """Predictions, each under its name; they are scored beside the models, on the rows that all have."""
    features: Path | None = None
    """Features of images, for a model that reads such a file and no images."""


_KEYS = {
    "annotation id": "annotation_id",
    **dict.fromkeys(("artwork id", "artwork", "painting"), "artwork_id"),
}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_RESERVED = ("image", "caption", "both", "baseline", "prior", "culture", "model")
_TOLERANCE = 0.01
"""How far a sum of rounded probabilities may be from 1; they are then divided by it."""


@dataclass(frozen=True, eq=False)
class OutsidePredictions:
    """The content of one file."""

    name: str
    file: Path
    sha256: str
    key: str
    """``annotation_id`` or ``artwork_id``."""
    rows: Mapping[tuple[str, str], int]
    """From a key and a culture, which is empty for all of them, to a row of the probabilities."""
    probabilities: np.ndarray
    """float64 [r, k], in the order of the labels; rows sum to 1."""

    def find(self, table: AnnotationTable) -> np.ndarray:
        """The probabilities for each row of a table, NaN where the file has none: float64 [n, k].

        An artwork may be named as in the table, or without its art style where that is unambiguous.
        """
        if self.key == "artwork_id":
            names, codes = table.codes("artwork_id")
            ends = Counter(_end(name) for name in names)
        else:
            names, ends = np.array(table.strings("annotation_id"), object), Counter()
            codes = np.arange(len(names))
        known = {key for key, _ in self.rows}

        def key_of(name: str) -> str:
            return _end(name) if name not in known and ends[_end(name)] == 1 else name

        cultures, culture_codes = table.codes("culture")
        pairs, index = np.unique(np.stack([codes, culture_codes]), axis=1, return_inverse=True)
        row_of = []
        for name, culture in zip(names[pairs[0]], cultures[pairs[1]], strict=True):
            key = key_of(name)
            row_of.append(self.rows.get((key, culture), self.rows.get((key, ""), -1)))
        padded = np.vstack([self.probabilities, np.full(self.probabilities.shape[1], np.nan)])
        return padded[np.array(row_of, np.int64)[index.ravel()]]

    def for_artwork(self, cultures: Sequence[str]) -> np.ndarray:
        """The probabilities of the one artwork of the file, for each culture: float64 [c, k].

        Raises:
            TableError: the file holds several artworks, or lacks a culture.
        """
        keys = {key for key, _ in self.rows}
        if len(keys) != 1:
            raise TableError(
                f"{self.file}: expected the predictions for one artwork, and it has {len(keys):,}"
            )
        (key,) = keys
        rows = [self.rows.get((key, name), self.rows.get((key, ""))) for name in cultures]
        if None in rows:
            culture = cultures[rows.index(None)]
            raise TableError(f"{self.file} has no prediction for the culture {culture!r}")
        return self.probabilities[np.array(rows, np.int64)]


def _end(name: str) -> str:
    """The name of an artwork without its art style."""
    return name.rpartition("/")[2]


def read_outside(files: OutsideFiles | None, labels: LabelSet) -> list[OutsidePredictions]:
    """Read the files of outside predictions.

    Raises:
        ConfigError: a name cannot be used.
        TableError: a file is no table of predictions for these labels; the message names row and column.
    """
    if not isinstance(files or {}, Mapping):
        raise InputTypeError(f"outside must be a mapping, got {type(files).__name__}")
    sources = []
    for name, file in (files or {}).items():
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ConfigError(
                f"{name!r} cannot be the name of an outside source: expected small letters, digits and "
                f"hyphens, and none of {', '.join(_RESERVED)}"
            )
        sources.append(_read(name, as_path(file, "outside"), labels))
    return sources


def read_answers(
    given: Mapping[str, str | PathLike[str] | Mapping[str, float]],
    names: Sequence[str],
    cultures: Sequence[str],
    labels: LabelSet,
) -> np.ndarray:
    """What outside sources predict for one artwork, for each culture: float64 [c, sources, k].

    Args:
        given: for each source a file, or label → probability.
        names: the sources; NaN stands for one that is not given.

    Raises:
        UnknownNameError: something else is given.
        TableError: a file does not hold the probabilities of one artwork for these labels.
        InputError: there are no sources, or probabilities that are given directly are none.
    """
    if not names:
        raise InputError("this model has no outside sources; a model that was exported has none")
    answers = np.full((len(cultures), len(names), len(labels)), np.nan)
    for name, answer in given.items():
        if name not in names:
            raise UnknownNameError("outside source", str(name), names)
        if isinstance(answer, Mapping):
            values = np.array([answer.get(label, np.nan) for label in labels], float)
            is_known = not answer.keys() - set(labels) and (values >= 0).all()
            if not is_known or abs(values.sum() - 1) > _TOLERANCE:
                raise InputError(
                    f"outside[{name!r}]: expected a probability for each of {', '.join(labels)}, whose "
                    "sum is 1"
                )
            answers[:, names.index(name)] = values / values.sum()
        else:
            (source,) = read_outside({name: answer}, labels)
            answers[:, names.index(name)] = source.for_artwork(cultures)
    return answers


def parse_outside(texts: Iterable[str]) -> dict[str, str]:
    """The files in texts such as ``clip=clip.parquet``; raises ConfigError for another form."""
    files: dict[str, str] = {}
    for text in texts:
        name, sign, file = text.partition("=")
        if not sign or not file:
            raise ConfigError(
                f"--with {text}: expected NAME=FILE, for example --with clip=clip.csv"
            )
        if name in files:
            raise ConfigError(f"--with {name} is given twice")
        files[name] = file
    return files


def _read(name: str, path: Path, labels: LabelSet) -> OutsidePredictions:
    table = open_table(path)
    keys = [i for i, title in enumerate(table.header) if name_key(title) in _KEYS]
    if not keys:
        raise TableError(
            f"{path} has no column annotation_id or artwork_id, so its rows cannot be matched"
        )
    ids = next((i for i in keys if name_key(table.header[i]) == "annotation id"), keys[0])
    culture = next(
        (i for i, title in enumerate(table.header) if name_key(title) == "culture"), None
    )
    others = {*keys, *([] if culture is None else [culture])}
    columns = _label_columns(path, table.header, others, labels)
    used = sorted({ids, *columns, *(others - set(keys))})
    cells = table.read(used, ())
    if cells.malformed:
        line, fault = cells.malformed[0]
        raise TableError(f"{path} row {line}: {fault}")
    text = {i: cells.columns[used.index(i)].to_pylist() for i in used}
    values = np.zeros((len(cells.line), len(labels)))
    for i, label in columns.items():
        for row, cell in enumerate(text[i]):
            values[row, labels.index(label)] = _probability(path, cells.line[row], label, cell)
    sums = values.sum(1)
    if len(wrong := np.flatnonzero(np.abs(sums - 1) > _TOLERANCE)):
        raise TableError(
            f"{path} row {cells.line[wrong[0]]}: its probabilities sum to {sums[wrong[0]]:.4g}, not 1"
        )
    rows: dict[tuple[str, str], int] = {}
    for row, key in enumerate(text[ids]):
        pair = (key.strip(), "" if culture is None else spelling(text[culture][row]))
        if not pair[0] or pair in rows:
            reason = "has a second prediction" if pair[0] else "is blank"
            named = printable(" ".join(filter(None, (table.header[ids], pair[0], pair[1])))[:200])
            raise TableError(f"{path} row {cells.line[row]}: {named} {reason}")
        rows[pair] = row
    if not rows:
        raise TableError(f"{path} has no rows")
    key = _KEYS[name_key(table.header[ids])]
    return OutsidePredictions(name, path, file_digest(path), key, rows, values / sums[:, None])


def _label_columns(
    path: Path, header: Sequence[str], others: set[int], labels: LabelSet
) -> dict[int, str]:
    """The positions of the columns of probabilities, each with its label."""
    columns: dict[int, str] = {}
    for i, title in enumerate(header):
        if i in others:
            continue
        label = labels.find(title.replace("_", " ")) or labels.find(title)
        if label is None:
            error = UnknownNameError("label", title.strip(), labels)
            raise TableError(f"{path}, column {i + 1}: {error}")
        if label in columns.values():
            raise TableError(f"{path}, column {i + 1}: a second column for {label}")
        columns[i] = label
    if missing := [label for label in labels if label not in columns.values()]:
        raise TableError(f"{path} has no column for {', '.join(missing)}")
    return columns


def _probability(path: Path, line: int, label: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1 + 1e-6:
        raise TableError(
            f"{path} row {line}, column {label}: expected a probability from 0 to 1, got {cell[:40]!r}"
        )
    return value
