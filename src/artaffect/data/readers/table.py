"""Read a table of any layout: the caller, or the names of its columns, say what it holds."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.annotation_schema import SCHEMA
from artaffect.data.annotations import AnnotationTable
from artaffect.data.filtering import filter_rows
from artaffect.data.images import ImageStore
from artaffect.data.label_maps import LabelMap, LabelsOption, choose_labels, load_label_map
from artaffect.data.readers.csv import SourceRows
from artaffect.data.readers.table_columns import (
    ColumnNames,
    check_kinds,
    describe_columns,
    find_column,
    join_texts,
    match_columns,
    name_key,
    require_column,
)
from artaffect.data.readers.table_formats import TableFile, check_delimiter, open_table
from artaffect.data.readers.table_steps import table_steps
from artaffect.data.readers.table_votes import count_votes, match_votes
from artaffect.errors import InputTypeError, TableError
from artaffect.labels import ANY_CULTURE
from artaffect.runtime import as_path, printable

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""The usual names of the splits."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Options:
    """How the rows of a table are read."""

    culture: str = ""
    """That of all rows, where no column says it; empty if unknown. Likewise the language."""
    language: str = ""
    has_images: bool = False
    """Whether the folder of the images is given."""
    votes: str | None = None
    annotators: int | None = None
    carry: Sequence[str] = ()

    def check(self, kinds: Mapping[str, Sequence[str]]) -> None:
        """Raise TableError for options that exclude each other."""
        if self.votes is not None and (both := [k for k in ("label", "caption") if kinds.get(k)]):
            raise TableError(
                f"votes {self.votes!r} hold the labels, and votes have no captions: leave out the column "
                f"for {both[0]}"
            )
        if self.annotators is not None and (self.votes is None or self.annotators < 1):
            raise TableError(
                f"annotators = {self.annotators}: expected the number of annotators, at least 1, that "
                "the shares in the columns of votes stand for"
            )
        if taken := [name for name in self.carry if name_key(name) in map(name_key, SCHEMA.names)]:
            raise TableError(
                f"a column named {taken[0]!r} cannot be carried along, because every table has one: "
                "rename it in the file"
            )


class _Part(NamedTuple):
    """One file of a table."""

    rows: SourceRows
    """Its rows, in the columns that the steps of an import know."""
    audience: str
    """What a culture is there, see :attr:`AnnotationTable.audience`."""
    labels: list[str]
    """Its distinct labels, as they are written; a column of votes counts even if it has none."""


def read_table(  # noqa: PLR0913 -- it takes what its command takes
    path: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    columns: ColumnNames | None = None,
    *,
    labels: LabelsOption = None,
    map_labels: LabelMap | str | PathLike[str] | None = None,
    culture: str | None = None,
    language: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    votes: str | None = None,
    annotators: int | None = None,
    carry: Sequence[str] = (),
    keep_unpictured: bool = False,
) -> AnnotationTable:
    """Read a table of your own: CSV, TSV, JSON Lines, Parquet, Excel, or an ``imagefolder``.

    A row needs a label, a culture, an artwork or an image, and a caption or an image. The table's
    ``report`` says which rows were dropped, and why; the log says how the file was read.

    Args:
        path: the file, or a folder of images with ``metadata.csv`` or ``metadata.jsonl``.
        images: the folder of the images that the rows name; by default that of the table.
        columns: the column of each kind: ``label``, ``artwork``, ``image``, ``caption``, ``culture``,
            ``language``, ``art_style``, ``annotator``, ``split``. A caption may have several, which are
            joined with a blank line; None means no column. By default columns are known by their names.
        labels: the label set: the name of a built-in one, a TOML file, or ``data`` for the labels that
            the table holds. By default ``artemis``, or the first set that knows every label of the
            table, or else those labels themselves; the log says which.
        map_labels: what labels of the table stand for, such as ``{"happiness": "contentment"}``, or any
            of several, ``{"joy": ["contentment", "awe"]}``; or a TOML file with such lines. Other labels
            stand for themselves.
        culture: the culture of all rows; where there is no other, a row's language is its culture.
        language: the language of all captions.
        encoding: of a text file, such as ``cp1252``; by default it is detected.
        delimiter: the character between cells; by default it is detected.
        votes: the columns that hold how often each label was chosen for an artwork, with a star in place
            of the label: ``votes_*``. Each vote becomes a row without a caption. Whole numbers are
            counts; other numbers are shares of the annotators.
        annotators: how many annotators each share stands for; by default, the smallest number that
            gives the shares of a row to their last digit.
        carry: other columns that the table keeps, for :meth:`AnnotationTable.with_culture`.
        keep_unpictured: keep rows with a caption whose image is missing or unreadable, without an image.

    Raises:
        TableError: the file is missing or damaged, lacks a column, or no row can be kept.
        ConfigError: the label set or the map of labels cannot be used.
    """
    path = as_path(path, "path")
    for name, text in (("encoding", encoding), ("delimiter", delimiter)):
        _check_text(name, text)
    delimiter = None if delimiter is None else check_delimiter(delimiter)
    kinds = check_kinds({} if columns is None else columns)
    for kind, value in (("culture", culture), ("language", language)):
        if value is not None:
            _check_constant(kind, value, kinds)
            kinds[kind] = []
    options = _Options(
        culture or "", language or "", images is not None, votes, annotators, _names(carry)
    )
    options.check(kinds)
    parts = [
        _read(file, folder, kinds, options) for file, folder in _open(path, encoding, delimiter)
    ]
    source = _concatenate([part.rows for part in parts])
    default = path if path.is_dir() else path.parent
    root = default if images is None else as_path(images, "images")
    store = ImageStore(root) if "image" in source.columns else None
    if isinstance(map_labels, str | PathLike):
        map_labels = load_label_map(map_labels)
    cells = [label for part in parts for label in part.labels]
    label_set, rule = choose_labels(cells, labels, map_labels, str(path))
    has_splits, are_votes = "split" in source.columns, votes is not None
    steps = table_steps(store, keep_unpictured, has_splits, rule, are_votes)
    table = filter_rows(source, path, store, steps, label_set)
    return replace(table, provenance={**table.provenance, "audience": parts[0].audience})


def _names(carry: Sequence[str]) -> tuple[str, ...]:
    names = [carry] if isinstance(carry, str) else list(carry)
    for name in names:
        _check_text("carry", name)
    return tuple(dict.fromkeys(names))


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str | None):
        raise InputTypeError(f"{name} must be a str, got {type(value).__name__}")


def _check_constant(kind: str, value: str, kinds: Mapping[str, Sequence[str]]) -> None:
    """Refuse a culture or a language of all rows that cannot be one."""
    _check_text(kind, value)
    if not value.strip():
        raise TableError(f"the {kind} is empty: give it a name, or leave it out")
    if value.strip().lower() == ANY_CULTURE:
        raise TableError(f"{ANY_CULTURE!r} stands for all cultures together: name the {kind}")
    if kinds.get(kind):
        raise TableError(f"{kind} is given twice: as a column, and as one name for all rows")


def _open(
    path: Path, encoding: str | None, delimiter: str | None
) -> Iterator[tuple[TableFile, Path]]:
    """The table, or those of an ``imagefolder``, each with its folder relative to the whole."""
    if not path.is_dir():
        yield open_table(path, encoding, delimiter), Path()
        return
    folders = [path, *sorted(folder for folder in path.iterdir() if folder.is_dir())]
    files = [folder / name for folder in folders for name in _METADATA]
    files = [file for file in files if file.is_file()]
    if not files:
        raise TableError(
            f"{path} is a folder without {' or '.join(_METADATA[:2])}: name the file of the table, or "
            "write one there with the columns file_name, label and text"
        )
    for file in files:
        yield open_table(file, encoding, delimiter), file.parent.relative_to(path)


def _read(
    file: TableFile,
    folder: Path,
    kinds: Mapping[str, Sequence[str]],
    options: _Options,
) -> _Part:
    """Read one file."""
    path, header = file.path, file.header
    positions = match_columns(path, header, kinds)
    votes = {} if options.votes is None else match_votes(path, header, options.votes)
    if votes:
        positions = {k: v for k, v in positions.items() if k not in ("label", "caption")}
    carried = {name: find_column(path, header, name, "carry") for name in options.carry}
    _require(file, positions, options)
    of_kinds = {position for columns in positions.values() for position in columns}
    used = sorted(of_kinds | votes.keys() | set(carried.values()))
    cells = file.read(used, ())
    index = {position: cells.columns[i] for i, position in enumerate(used)}
    is_blank = cells.is_blank
    malformed = cells.malformed + [(int(line), "empty line") for line in cells.line[is_blank]]
    kept = pa.array(np.flatnonzero(~is_blank))
    texts = {kind: [index[i].take(kept) for i in columns] for kind, columns in positions.items()}
    line = cells.line[~is_blank]
    columns = _columns(texts, folder, options, len(line))
    further = {name: index[position].take(kept) for name, position in carried.items()}
    _say(file, positions, options)
    number = None
    if votes:
        labels = list(votes.values())
        counts, faults = count_votes(
            [index[i].take(kept) for i in votes], labels, options.annotators
        )
        malformed += [(int(line[row]), fault) for row, fault in faults.items()]
        row, label = _one_by_one(counts)
        columns = {name: cells.take(row) for name, cells in columns.items()}
        columns["emotion"] = pa.array(labels, pa.string()).take(label)
        further = {name: cells.take(row) for name, cells in further.items()}
        line = line[row]
        number = pa.array(np.arange(len(row)) - np.searchsorted(row, row), pa.int64())
    name = (folder / path.name).as_posix()
    listed = [(name, at, text) for at, text in sorted(malformed)]
    lines = pa.array(line, pa.int64())
    rows = SourceRows(columns, pa.repeat(name, len(line)), lines, listed, number, further)
    audience = header[positions["culture"][0]].strip() if "culture" in positions else "culture"
    return _Part(rows, audience, list(votes.values()) or pc.unique(columns["emotion"]).to_pylist())


def _one_by_one(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The row and the label of each vote, from how often each label was chosen in each row."""
    row, label = np.nonzero(counts)
    times = counts[row, label]
    return np.repeat(row, times), np.repeat(label, times)


def _require(
    file: TableFile,
    positions: Mapping[str, Sequence[int]],
    options: _Options,
) -> None:
    """Refuse a table that lacks what every row needs."""
    path, header = file.path, file.header
    has_votes = options.votes is not None
    if "label" not in positions and not has_votes:
        raise require_column(path, header, "label")
    if "image" not in positions and "artwork" not in positions:
        raise require_column(path, header, "artwork", ", or the images with --column image=NAME")
    has_content = has_votes or options.has_images or {"image", "caption"} & positions.keys()
    if not has_content:
        raise require_column(path, header, "caption", ", or the images with --column image=NAME")
    if not (options.culture or options.language or {"culture", "language"} & positions.keys()):
        remedy = ", or the culture of all rows with --culture NAME (in Python: culture=NAME)"
        raise require_column(path, header, "culture", remedy)


def _columns(
    texts: Mapping[str, list[pa.Array]],
    folder: Path,
    options: _Options,
    count: int,
) -> dict[str, pa.Array]:
    """The columns that the steps of an import know, from the texts of each kind of column."""
    blank = pa.array([""] * count, pa.string())

    def text(kind: str, constant: str = "") -> pa.Array:
        if kind in texts:
            return texts[kind][0]
        return pa.array([constant] * count, pa.string()) if constant else blank

    columns = {
        "emotion": text("label"),
        "utterance": join_texts(texts["caption"]) if "caption" in texts else blank,
        "art_style": text("art_style"),
        "painting": text("artwork"),
        "language": text("language", options.language),
    }
    has_culture = "culture" in texts or options.culture
    columns["culture"] = text("culture", options.culture) if has_culture else columns["language"]
    if "annotator" in texts:
        columns["annotator"] = text("annotator")
    if "image" in texts:
        columns["image"] = _mapped(text("image"), lambda name: _in_folder(name, folder))
    elif options.has_images:
        pairs = pc.binary_join_element_wise(columns["art_style"], columns["painting"], "/")
        columns["image"] = pc.utf8_ltrim(pairs, "/")
    split = _SPLITS.get(folder.name.lower())
    if "split" in texts and pc.any(pc.not_equal(text("split"), "")).as_py():
        columns["split"] = _mapped(text("split"), _split)
    elif split:
        columns["split"] = pa.array([split] * count, pa.string())
    return columns


def _mapped(cells: pa.Array, rule: Callable[[str], str]) -> pa.Array:
    encoded = cells.dictionary_encode()
    names = pa.array([rule(name) for name in encoded.dictionary.to_pylist()], pa.string())
    return names.take(encoded.indices)


def _in_folder(name: str, folder: Path) -> str:
    return (folder / name.strip()).as_posix() if name.strip() and folder.parts else name


def _split(name: str) -> str:
    return _SPLITS.get(name.strip().lower(), name)


def _concatenate(sources: Sequence[SourceRows]) -> SourceRows:
    """The rows of several files; a column that one of them lacks is blank there."""
    names = dict.fromkeys(name for source in sources for name in source.columns)
    columns = {
        name: pa.concat_arrays(
            source.columns.get(name, pa.array([""] * source.size, pa.string()))
            for source in sources
        )
        for name in names
    }
    numbers = [source.vote for source in sources if source.vote is not None]
    return SourceRows(
        columns,
        pa.concat_arrays(source.file for source in sources),
        pa.concat_arrays(source.line for source in sources),
        [row for source in sources for row in source.malformed],
        pa.concat_arrays(numbers) if numbers else None,
        {
            name: pa.concat_arrays([source.carried[name] for source in sources])
            for name in sources[0].carried
        },
    )


def _say(file: TableFile, positions: Mapping[str, Sequence[int]], options: _Options) -> None:
    """Say in one line how a table is read."""
    fixed = [
        f"{kind}: {value} for all rows"
        for kind, value in (("culture", options.culture), ("language", options.language))
        if value
    ]
    if options.votes is not None:
        fixed.append(f"votes = {options.votes}")
    if options.carry:
        fixed.append(f"carried along: {', '.join(options.carry)}")
    if "culture" not in positions and not options.culture:
        fixed.append("each row's language is its culture")
    columns = ", ".join([describe_columns(file.header, positions), *fixed])
    _logger.info("%s", printable(f"{file.path}: {file.layout}; {columns}"))
