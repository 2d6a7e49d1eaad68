"""Write, check and score the zip files of both subtasks."""

import contextlib
import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from artaffect.errors import InputError, SubmissionError
from artaffect.outputs import atomic_file
from artaffect.shared_task.items import (
    CsvRow,
    EmotionItems,
    ShareItems,
    excerpt,
    format_csv,
    is_share_file,
    parse_csv,
    read_emotion_items,
    read_share_items,
)
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.scorer import EmotionScores, ShareScores, score_emotions, score_shares

T = TypeVar("T")

_MAX_EXAMPLES = 3
_MAX_BYTES = 64 << 20
"""Of a zip, and of an unpacked file: many times the largest submission, and no danger to the memory."""
_MAX_MEMBERS = 100
"""A submission has one or two; some programs add files of their own."""
_MAX_LINES = 10
"""For each item, whatever is wrong with a file."""
_MEMBER = b"PK\x01\x02"
"""How the entry of each member begins in a zip's directory."""


def write_emotions(
    path: Path,
    items: EmotionItems,
    text: Sequence[str],
    multimodal: Sequence[str],
    rules: SharedTaskRules,
) -> None:
    """Write the zip of subtask 1, unless :func:`check_emotions` rejects it."""
    files = {
        file: format_csv({rules.id_column: items.ids, rules.label_column: labels})
        for file, labels in ((rules.text_file, text), (rules.multimodal_file, multimodal))
    }
    _parse_emotions(files, items, rules, path.name)
    _write_zip(path, files)


def write_shares(
    path: Path, items: ShareItems, predictions: np.ndarray, rules: SharedTaskRules
) -> None:
    """Write the zip of subtask 2 from positive shares [n], unless :func:`check_shares` rejects it."""
    header = (*rules.triple_columns, rules.target_share_column)
    shares = [f"{value:.6f}" for value in predictions]
    columns = (items.artworks, items.sources, items.targets, shares)
    text = format_csv(dict(zip(header, columns, strict=True)))
    _parse_shares(text, items, rules, path.name)
    _write_zip(path, {rules.share_file: text})


def check_emotions(path: Path, items: EmotionItems, rules: SharedTaskRules) -> dict[str, list[str]]:
    """Read a zip of subtask 1 as the organisers would: file → labels in the order of the items.

    Raises:
        SubmissionError: A file, header, id or label is wrong; or both files have the same labels,
            which excludes a submission from the ranking.
    """
    files = _read_zip(path, (rules.text_file, rules.multimodal_file))
    return _parse_emotions(files, items, rules, path.name)


def check_shares(path: Path, items: ShareItems, rules: SharedTaskRules) -> np.ndarray:
    """Read a zip of subtask 2 as the organisers would: positive shares in the items' order [n].

    Raises:
        SubmissionError: The file, its header, a triple or a share is wrong.
    """
    text = _read_zip(path, (rules.share_file,))[rules.share_file]
    return _parse_shares(text, items, rules, path.name)


def score_submission(
    path: Path, items_file: Path, rules: SharedTaskRules
) -> dict[str, EmotionScores] | ShareScores:
    """Score a zip, or for subtask 1 each of its files, against a task file with answers.

    Raises:
        InputError: The task file has no answers, or one that the rules do not allow.
        SubmissionError: See :func:`check_emotions` and :func:`check_shares`.
    """
    if is_share_file(items_file, rules):
        triples = read_share_items(items_file, rules)
        if triples.target_shares is None:
            raise InputError(f"{items_file} has no answers: no column {rules.target_share_column}")
        return score_shares(triples, check_shares(path, triples, rules), rules)
    items = read_emotion_items(items_file, rules)
    if items.labels is None:
        raise InputError(f"{items_file} has no answers: no column {rules.label_column}")
    for label in items.labels:
        if label not in rules.label_emotions:
            allowed = ", ".join(rules.label_emotions)
            raise InputError(f"{items_file}: unknown answer {label!r}; allowed: {allowed}")
    return {
        file: score_emotions(items.labels, labels, items.languages, rules)
        for file, labels in check_emotions(path, items, rules).items()
    }


def _parse_emotions(
    files: Mapping[str, str], items: EmotionItems, rules: SharedTaskRules, name: str
) -> dict[str, list[str]]:
    labels = {
        file: _parse_labels(text, items, rules, f"{name}: {file}") for file, text in files.items()
    }
    if labels[rules.text_file] == labels[rules.multimodal_file]:
        raise SubmissionError(
            f"{name}: both files have the same label for all {len(items):,} items; the organisers "
            "exclude submissions that do not use the image"
        )
    return labels


def _parse_labels(text: str, items: EmotionItems, rules: SharedTaskRules, name: str) -> list[str]:
    digits = {"1": "positive", "0": "negative"} if rules.labels == "sentiment" else {}

    def label_of(row: CsvRow) -> str:
        label = digits.get(row[rules.label_column], row[rules.label_column])
        if label not in rules.label_emotions:
            allowed = ", ".join(rules.label_emotions)
            given = excerpt(label)
            raise SubmissionError(f"{row.where}: unknown label {given!r}; allowed: {allowed}")
        return label

    return _parse_values(
        text, (rules.id_column, rules.label_column), label_of, items.ids, "id", name
    )


def _parse_shares(text: str, items: ShareItems, rules: SharedTaskRules, name: str) -> np.ndarray:
    header = (*rules.triple_columns, rules.target_share_column)

    def share_of(row: CsvRow) -> float:
        return row.share(rules.target_share_column)

    name = f"{name}: {rules.share_file}"
    return np.array(_parse_values(text, header, share_of, items.keys, "triple", name))


def _parse_values(
    text: str,
    header: Sequence[str],
    value_of: Callable[[CsvRow], T],
    expected: Sequence[str],
    what: str,
    name: str,
) -> list[T]:
    """The values in the order of the expected keys, each of which must appear exactly once."""
    n_lines = text.count("\n") + text.count("\r")
    if n_lines > _MAX_LINES * (len(expected) + 100):
        raise SubmissionError(f"{name}: {n_lines:,} lines for {len(expected):,} {what}s")
    lines = io.StringIO(text, newline=None)  # any line ends
    rows = parse_csv(lines, header, name, SubmissionError, exact=True)
    values = [value_of(row) for row in rows]
    keys = [", ".join(row[column] for column in header[:-1]) for row in rows]
    counts = Counter(keys)
    faults = {
        "missing": [key for key in expected if key not in counts],
        "repeated": [key for key, count in counts.items() if count > 1],
        "unknown": sorted(counts.keys() - set(expected)),
    }
    messages = [
        f"{len(examples):,} {what}s {fault} "
        f"(first: {'; '.join(map(excerpt, examples[:_MAX_EXAMPLES]))})"
        for fault, examples in faults.items()
        if examples
    ]
    if messages:
        fault = f"{', '.join(messages)}; each {what} must appear exactly once"
        raise SubmissionError(f"{name}: {fault}")
    by_key = dict(zip(keys, values, strict=True))
    return [by_key[key] for key in expected]


def _read_zip(path: Path, files: Sequence[str]) -> dict[str, str]:
    with _zip_errors(path), zipfile.ZipFile(_bounded(path)) as archive:
        members = archive.namelist()
        missing = [file for file in files if file not in members]
        if missing:
            nested = [m for m in members if m.rpartition("/")[2] in missing and "/" in m]
            hint = f" ({excerpt(nested[0])} is not at the top level)" if nested else ""
            raise SubmissionError(
                f"{path.name} must contain {' and '.join(files)} at the top level; "
                f"missing {', '.join(missing)}{hint}"
            )
        for file in files:
            if members.count(file) > 1:
                raise SubmissionError(f"{path.name} holds {file} {members.count(file)} times")
        return {file: _read_member(archive, file, path.name) for file in files}


def _bounded(path: Path) -> io.BytesIO:
    """The content of a zip, whose members can be listed without danger."""
    if not path.is_file():
        raise SubmissionError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise SubmissionError(f"{path.name} is larger than {_MAX_BYTES >> 20} MiB")
    with path.open("rb") as file:
        data = file.read(size)
    if (members := data.count(_MEMBER)) > _MAX_MEMBERS:  # whatever number the archive claims
        raise SubmissionError(f"{path.name} has {members:,} members; allowed: {_MAX_MEMBERS}")
    return io.BytesIO(data)


def _read_member(archive: zipfile.ZipFile, file: str, name: str) -> str:
    method = archive.getinfo(file).compress_type
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # what the others have compressed, zipfile unpacks without a bound
        raise zipfile.BadZipFile(f"the compression of {file} is not deflate but method {method}")
    with archive.open(file) as stream:
        data = stream.read(_MAX_BYTES + 1)  # whatever size the archive claims
    if len(data) > _MAX_BYTES:
        raise SubmissionError(f"{name}: {file} is larger than {_MAX_BYTES >> 20} MiB")
    return data.decode("utf-8-sig")


@contextlib.contextmanager
def _zip_errors(path: Path) -> Iterator[None]:
    """Raise whatever reading a zip raises as SubmissionError.

    zipfile has no base class of its errors: an encrypted, damaged or oddly compressed member raises
    RuntimeError, NotImplementedError, EOFError or the error of the library that unpacks it.
    """
    try:
        yield
    except SubmissionError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        reason = excerpt(str(error)) or type(error).__name__
        raise SubmissionError(f"{path.name} is not a zip of CSV files in UTF-8: {reason}") from None


def _write_zip(path: Path, files: Mapping[str, str]) -> None:
    compression = zipfile.ZIP_DEFLATED
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", compression) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
