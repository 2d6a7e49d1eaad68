"""Write what the organisers of ArtEmotion-28 take, and refuse what they would refuse."""

import csv
import io
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from artaffect.errors import SubmissionError
from artaffect.runtime import atomic_file
from artaffect.shared_task.items import EmotionItems, ShareItems
from artaffect.shared_task.rules import SharedTaskRules

_SHOWN = 3


def write_emotions(
    path: Path,
    items: EmotionItems,
    text: Sequence[str],
    multimodal: Sequence[str],
    rules: SharedTaskRules,
) -> None:
    """Write the zip of subtask 1, and check it as :func:`check_emotions` does before it gets its name.

    Args:
        text: each item's label without the image.
        multimodal: with it.

    Raises:
        SubmissionError: it would be refused.
    """
    files = {
        name: _csv((rules.id, rules.label), (items.ids, labels))
        for name, labels in ((rules.text_file, text), (rules.multimodal_file, multimodal))
    }
    with atomic_file(path) as temporary:
        _write_zip(temporary, files)
        check_emotions(temporary, items, rules, path.name)


def write_shares(
    path: Path, items: ShareItems, answers: np.ndarray, rules: SharedTaskRules
) -> None:
    """Write the zip of subtask 2, and check it as :func:`check_shares` does before it gets its name.

    Args:
        answers: positive shares [n].

    Raises:
        SubmissionError: it would be refused.
    """
    header = (rules.painting, rules.source, rules.target, rules.share)
    shown = [f"{value:.6f}" for value in answers]
    rows = _csv(header, (*map(list, zip(*items.keys, strict=True)), shown))
    with atomic_file(path) as temporary:
        _write_zip(temporary, {rules.share_file: rows})
        check_shares(temporary, items, rules, path.name)


def check_emotions(
    path: Path, items: EmotionItems, rules: SharedTaskRules, name: str | None = None
) -> dict[str, list[str]]:
    """Read a zip of subtask 1 as the organisers would.

    Args:
        name: how messages call it.

    Returns:
        File → labels in the order of the items.

    Raises:
        SubmissionError: a file, a header, an id or a label is not as it must be; or the run with the
            image answers exactly as the one without, which is excluded from the ranking.
    """
    name = name or path.name
    wanted = (rules.text_file, rules.multimodal_file)
    found = {}
    for file, text in _open(path, wanted, name).items():
        where = f"{name}: {file}"
        rows = _rows(text, (rules.id, rules.label), where)
        allowed = {*rules.names, *(("1", "0") if rules.labels == "sentiment" else ())}
        for line, row in rows:
            if row[rules.label] not in allowed:
                raise SubmissionError(
                    f"{where} line {line}: unknown label {row[rules.label]!r}; "
                    f"allowed: {', '.join(rules.names)}"
                )
        said = {row[rules.id]: row[rules.label] for _, row in rows}
        _check_complete([row[rules.id] for _, row in rows], items.ids, "id", where)
        digits = {"1": "positive", "0": "negative"}
        found[file] = [digits.get(said[key], said[key]) for key in items.ids]
    if found[rules.text_file] == found[rules.multimodal_file]:
        raise SubmissionError(
            f"{name}: both runs give all {len(items.ids):,} items the same label: the organisers exclude "
            "runs that do not use the image"
        )
    return found


def check_shares(
    path: Path, items: ShareItems, rules: SharedTaskRules, name: str | None = None
) -> np.ndarray:
    """Read a zip of subtask 2 as the organisers would.

    Returns:
        Positive shares in the order of the items [n].

    Raises:
        SubmissionError: the file, its header, a triple or a share is not as it must be.
    """
    name = name or path.name
    where = f"{name}: {rules.share_file}"
    text = _open(path, (rules.share_file,), name)[rules.share_file]
    rows = _rows(text, (rules.painting, rules.source, rules.target, rules.share), where)
    said: dict[str, float] = {}
    keys = []
    for line, row in rows:
        try:
            value = float(row[rules.share])
        except ValueError:
            value = float("nan")
        if not 0 <= value <= 1:
            raise SubmissionError(
                f"{where} line {line}: {rules.share} must be a number from 0 to 1, "
                f"got {row[rules.share]!r}"
            )
        keys.append(_key((row[rules.painting], row[rules.source], row[rules.target])))
        said[keys[-1]] = value
    wanted = [_key(key) for key in items.keys]
    _check_complete(keys, wanted, "triple", where)
    return np.array([said[key] for key in wanted])


def _key(parts: Sequence[str]) -> str:
    return ", ".join(parts)


def _open(path: Path, wanted: Sequence[str], name: str) -> dict[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            missing = [file for file in wanted if file not in names]
            if missing:
                deeper = [n for n in names if n.rpartition("/")[2] in missing and "/" in n]
                hint = f" ({deeper[0]} is not at the top level)" if deeper else ""
                raise SubmissionError(
                    f"{name} must hold {' and '.join(wanted)} at the top level; "
                    f"missing {', '.join(missing)}{hint}"
                )
            return {file: archive.read(file).decode("utf-8-sig") for file in wanted}
    except FileNotFoundError:
        raise SubmissionError(f"{path}: no such file") from None
    except (zipfile.BadZipFile, UnicodeDecodeError, OSError) as error:
        raise SubmissionError(f"{name} is no zip of CSV files in UTF-8: {error}") from None


def _rows(text: str, header: Sequence[str], where: str) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text))
    first = next(reader, [])
    if first != list(header):
        raise SubmissionError(
            f"{where}: the header must be {','.join(header)}, got {','.join(first) or 'nothing'}"
        )
    found = []
    for cells in reader:
        if len(cells) != len(header):
            raise SubmissionError(
                f"{where} line {reader.line_num}: {len(cells)} cells instead of {len(header)}"
            )
        found.append((reader.line_num, dict(zip(header, cells, strict=True))))
    return found


def _check_complete(found: Sequence[str], wanted: Sequence[str], what: str, where: str) -> None:
    counts = Counter(found)
    faults = {
        "missing": [key for key in wanted if key not in counts],
        "there twice": [key for key, times in counts.items() if times > 1],
        "unknown": sorted(counts.keys() - set(wanted)),
    }
    said = [
        f"{len(keys):,} {what}s {fault} (first: {'; '.join(keys[:_SHOWN])})"
        for fault, keys in faults.items()
        if keys
    ]
    if said:
        raise SubmissionError(f"{where}: {', '.join(said)}; every {what} must be there once")


def _csv(header: Sequence[str], columns: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue()


def _write_zip(path: Path, files: Mapping[str, str]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
