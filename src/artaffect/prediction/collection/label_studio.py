"""Hand works to people who vote in Label Studio, and read their votes back.

The formats are those of Label Studio: tasks (https://labelstud.io/guide/tasks), predictions
(https://labelstud.io/guide/predictions), labelling configurations (https://labelstud.io/tags) and its
export as JSON (https://labelstud.io/guide/export).
"""

import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from artaffect.data.annotations import AnnotationTable
from artaffect.data.fetch import is_address
from artaffect.errors import InputError, TableError
from artaffect.labels import LabelSet, culture_name
from artaffect.outputs import atomic_file, atomic_folder, check_free, check_output, output_lock
from artaffect.prediction.collection.companion import companion_path
from artaffect.prediction.collection.next_votes import Question
from artaffect.prediction.collection.works import read_works
from artaffect.runtime import as_list, as_path, to_json_text

MARKER = "annotate.json"
"""The file that every folder of tasks holds."""

TASKS, CONFIGURATION = "tasks.json", "labels.xml"
_CONTROL, _OBJECT = "label", "title"
"""The names of what is chosen, and of what it is about, in a configuration."""

_LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio calls a file below its own folder of documents."""


@dataclass(frozen=True)
class _Item:
    """A work that people are asked about."""

    name: str
    title: str
    text: str
    image: str | None
    answers: Mapping[str, tuple[str, float, str]]
    """Culture → the model's label, its probability, and the model; empty without a model."""


@dataclass(frozen=True)
class TaskSummary:
    """What was handed over."""

    items: int
    cultures: tuple[str, ...]
    document_root: str | None
    """The folder that Label Studio needs as its folder of documents; None if all images are on the web."""


@dataclass(frozen=True)
class VoteSummary:
    """The votes that came back, and what was left out for which reason."""

    votes: int
    annotators: int
    by_culture: Mapping[str, int]
    left_out: Mapping[str, int] = field(default_factory=dict)


def export_tasks(
    source: str | PathLike[str],
    out: str | PathLike[str],
    cultures: str | Sequence[str] | None = None,
    *,
    questions: Sequence[Question] | None = None,
    overwrite: bool = False,
) -> TaskSummary:
    """Write tasks and a labelling configuration for each culture, as a folder for Label Studio.

    Args:
        source: a file of :func:`predict_collection`, whose answers are the pre-annotations; or a table of
            annotations, whose artworks have none.
        out: the folder; each culture is a folder in it, with ``tasks.json`` and ``labels.xml``.
        cultures: whom to ask; by default the cultures of the source.
        questions: those of :func:`next_votes`, best first; by default every work, in each culture.

    Raises:
        TableError: the source cannot be read, or has nothing to show, or lacks a work of a question.
        OutputExistsError: ``out`` exists.
    """
    path, target = as_path(source, "source"), as_path(out, "out")
    check_free(target, MARKER, overwrite, [path, companion_path(path)])
    items, labels, known = _from_table(path) if _is_table(path) else _from_answers(path)
    chosen = known if cultures is None else as_list(cultures, "cultures")
    names = tuple(dict.fromkeys(filter(None, map(culture_name, chosen))))
    if not items or not names:
        raise TableError(
            f"{path} holds nothing to ask about: expected works with an image or a text"
        )
    works_of = {name: items for name in names}
    if questions is not None:
        works_of = _selected(items, names, questions, path)
        shown = {item.name for works in works_of.values() for item in works}
        items = [item for item in items if item.name in shown]
    files = [item.image for item in items if item.image and not is_address(item.image)]
    root = os.path.commonpath([os.path.dirname(file) for file in files]) if files else None
    with atomic_folder(target, MARKER, overwrite) as folder:
        for culture, works in works_of.items():
            place = folder / quote(culture, safe=" ")
            place.mkdir()
            tasks = [_task(item, culture, root) for item in works]
            (place / TASKS).write_text(to_json_text(tasks), "utf-8")
            (place / CONFIGURATION).write_text(
                _configuration(labels, culture, bool(files)), "utf-8"
            )
        about = {
            "source": path.name,
            "cultures": list(works_of),
            "labels": labels.to_json(),
            "root": root,
        }
        (folder / MARKER).write_text(to_json_text(about), "utf-8")
    return TaskSummary(len(items), tuple(works_of), root)


def _selected(
    items: Sequence[_Item], cultures: Sequence[str], questions: Sequence[Question], path: Path
) -> dict[str, list[_Item]]:
    """For each culture that is asked, the works that it is asked about, in the order of the questions."""
    by_name = {item.name: item for item in items}
    selected: dict[str, list[_Item]] = {}
    for question in questions:
        culture = culture_name(question.culture)
        if question.item not in by_name:
            raise TableError(f"{path} has no work {question.item!r} with an image or a text")
        if culture is not None and culture in cultures:
            selected.setdefault(culture, []).append(by_name[question.item])
    if not selected:
        raise TableError(f"none of the questions is for {', '.join(cultures)}")
    return selected


def import_votes(source: str | PathLike[str], out: str | PathLike[str]) -> VoteSummary:
    """Read what Label Studio exports as JSON, and write one vote in a line (JSON Lines).

    The file is one for :func:`read_table`: artwork, label, culture, annotator, image and caption.

    Raises:
        TableError: it is no export of such tasks, or holds no vote.
    """
    path, target = as_path(source, "source"), as_path(out, "out")
    check_output(target, [path])
    if target.suffix.lower() != ".jsonl":
        raise InputError(f"{target}: votes are written as JSON Lines: expected NAME.jsonl")
    left_out: Counter[str] = Counter()
    votes = list(_votes(path, left_out))
    if not votes:
        raise TableError(f"{path} holds no vote: expected tasks with completed annotations")
    with output_lock(target), atomic_file(target) as temporary:
        lines = (json.dumps(vote, ensure_ascii=False) + "\n" for vote in votes)
        temporary.write_text("".join(lines), "utf-8")
    return VoteSummary(
        len(votes),
        len({vote["annotator"] for vote in votes}),
        dict(Counter(vote["culture"] for vote in votes)),
        dict(left_out),
    )


def _is_table(path: Path) -> bool:
    import pyarrow.parquet as pq

    return (
        path.suffix == ".parquet" and path.is_file() and "artwork_id" in pq.read_schema(path).names
    )


def _from_answers(path: Path) -> tuple[list[_Item], LabelSet, Sequence[str]]:
    works = read_works(path, {}, None)
    items = []
    for i, name in enumerate(works.ids):
        model, digest, *_ = works.origins[i]
        answers = {
            culture: (
                works.labels.names[works.tops[i, c]],
                float(works.probabilities[i, c, works.tops[i, c]]),
                f"{model} {digest[:12]}",
            )
            for c, culture in enumerate(works.cultures)
        }
        items.append(_Item(name, works.titles[i] or name, works.texts[i], works.images[i], answers))
    return items, works.labels, works.cultures


def _from_table(path: Path) -> tuple[list[_Item], LabelSet, Sequence[str]]:
    table = AnnotationTable.load(path)
    images: dict[str, str | None] = {}
    for artwork, image in zip(table.strings("artwork_id"), table.strings("image"), strict=True):
        if image and table.images is not None:
            images.setdefault(str(artwork), str((table.images / str(image)).absolute()))
    items = [_Item(name, name, "", image, {}) for name, image in images.items()]
    return items, table.labels, sorted({str(name) for name in table.strings("culture")})


def _task(item: _Item, culture: str, root: str | None) -> dict[str, Any]:
    image = item.image
    if image is not None and root is not None and not is_address(image):
        image = _LOCAL_FILES + quote(os.path.relpath(image, root).replace(os.sep, "/"))
    data = {"item": item.name, "culture": culture, "title": item.title, "text": item.text}
    task: dict[str, Any] = {"data": {**data, "image": image or "", "file": item.image or ""}}
    if culture in item.answers:
        label, probability, model = item.answers[culture]
        result = {"from_name": _CONTROL, "to_name": _OBJECT, "type": "choices"}
        choice = {**result, "value": {"choices": [label]}}
        task["predictions"] = [
            {"model_version": model, "score": round(probability, 6), "result": [choice]}
        ]
    return task


def _configuration(labels: LabelSet, culture: str, has_images: bool) -> str:
    """What is shown and asked, with the labels in the culture's language where their names are known."""
    shown = {label: labels.names_of(label).get(culture, label) for label in labels.names}
    counts = Counter(shown.values())
    is_right_to_left = any(
        unicodedata.bidirectional(name[0]) in ("R", "AL") for name in shown.values()
    )
    view = ElementTree.Element("View", {"style": "direction: rtl"} if is_right_to_left else {})
    ElementTree.SubElement(view, "Text", {"name": _OBJECT, "value": "$title"})
    if has_images:
        ElementTree.SubElement(view, "Image", {"name": "image", "value": "$image"})
    ElementTree.SubElement(view, "Text", {"name": "text", "value": "$text"})
    settings = {"name": _CONTROL, "toName": _OBJECT, "choice": "single", "required": "true"}
    choices = ElementTree.SubElement(view, "Choices", settings)
    for label, name in shown.items():
        text = name if counts[name] == 1 else f"{name} ({label})"
        ElementTree.SubElement(choices, "Choice", {"alias": label, "value": text})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _votes(path: Path, left_out: Counter[str]) -> Iterator[dict[str, str]]:
    """One vote for each completed annotation; what is left out is counted."""
    for task in _tasks(path):
        data = task["data"]
        for annotation in task["annotations"]:
            chosen = [
                choice
                for result in annotation.get("result") or []
                if result.get("from_name") == _CONTROL and result.get("type") == "choices"
                for choice in result["value"]["choices"]
            ]
            if annotation.get("was_cancelled"):
                left_out["skipped by the annotator"] += 1
            elif len(chosen) != 1:
                left_out["not exactly one label"] += 1
            else:
                who = annotation.get("completed_by", "")
                person = who.get("email") or who.get("id") if isinstance(who, dict) else who
                yield {
                    "artwork": str(data["item"]),
                    "label": str(chosen[0]),
                    "culture": str(data["culture"]),
                    "annotator": str(person),
                    "image": str(data.get("file", "")),
                    "caption": str(data.get("text") or data.get("title", "")),
                    "voted_at": str(annotation.get("created_at", "")),
                }


def _tasks(path: Path) -> list[dict[str, Any]]:
    """The tasks of an export, checked."""
    try:
        tasks = json.loads(path.read_text("utf-8-sig"))
        is_export = isinstance(tasks, list) and all(
            {"item", "culture"} <= task["data"].keys() and isinstance(task["annotations"], list)
            for task in tasks
        )
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        is_export = False
    if not is_export:
        raise TableError(
            f"{path} is no export of Label Studio of tasks of `artaffect annotate export`: export the "
            "project as JSON, not as JSON-MIN or CSV"
        )
    return list(tasks)
