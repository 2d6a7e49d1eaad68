"""Write statements as Web Annotations, as Linked Art, or as CSV."""

import csv
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from artaffect.data.listing import guard_formulas
from artaffect.prediction.collection.statements import Statement
from artaffect.runtime import to_json_text

_TERMS = "urn:artaffect:terms:"
_CONTEXT: list[Any] = [
    "http://www.w3.org/ns/anno.jsonld",
    {
        "culture": f"{_TERMS}culture",
        "probability": {
            "@id": f"{_TERMS}probability",
            "@type": "http://www.w3.org/2001/XMLSchema#decimal",
        },
        "review": f"{_TERMS}review",
        "modelDigest": f"{_TERMS}modelDigest",
        "softwareVersion": f"{_TERMS}softwareVersion",
    },
]
"""The context of the W3C, and a second one for what its vocabulary has no words for."""

_LINKED_ART = "https://linked.art/ns/v1/linked-art.json"
_DESCRIPTION = {
    "id": "http://vocab.getty.edu/aat/300435416",
    "type": "Type",
    "_label": "Description",
    "classified_as": [
        {"id": "http://vocab.getty.edu/aat/300418049", "type": "Type", "_label": "Brief Text"}
    ],
}
"""The types by which Linked Art knows a text about something."""

_COLUMNS = ("target", "id", "culture", "label", "probability", "statement", "note")
_ORIGIN = ("model", "model_digest", "artaffect_version", "predicted_on")


def _write_w3c(statements: Sequence[Statement], path: Path) -> None:
    """A collection of annotations with one page: https://www.w3.org/TR/annotation-model/."""
    name = "\n".join(statement.id for statement in statements)
    collection = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
    page = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{collection} page 1')}"
    document: dict[str, Any] = {
        "@context": _CONTEXT,
        "id": collection,
        "type": "AnnotationCollection",
        "label": "Emotions that a model predicts for readers of different cultures",
        "total": len(statements),
    }
    if statements:  # the specification wants no page of an empty collection
        document["last"] = page
        document["first"] = {
            "id": page,
            "type": "AnnotationPage",
            "startIndex": 0,
            "items": [_annotation(statement) for statement in statements],
        }
    path.write_text(to_json_text(document) + "\n", "utf-8")


def _annotation(statement: Statement) -> dict[str, Any]:
    origin = statement.origin
    software = f"artaffect {origin['artaffect_version']}"
    return {
        "id": statement.id,
        "type": "Annotation",
        "motivation": "tagging",
        "created": f"{origin['predicted_on']}T00:00:00Z",
        "creator": {
            "id": f"urn:artaffect:model:{origin['model_digest']}",
            "type": "Software",
            "name": f"{origin['model']} ({software})",
            "modelDigest": origin["model_digest"],
            "softwareVersion": origin["artaffect_version"],
        },
        "generator": {"type": "Software", "name": software},
        "body": [
            {"type": "TextualBody", "purpose": "tagging", "value": statement.label},
            {
                "type": "TextualBody",
                "purpose": "describing",
                "value": statement.sentence,
                "format": "text/plain",
                "language": "en",
            },
        ],
        "target": statement.target,
        "culture": statement.culture,
        "probability": round(statement.probability, 6),
        "review": statement.status,
    }


def _write_linked_art(statements: Sequence[Statement], path: Path) -> None:
    """A list of objects, each with its assignments: https://linked.art/model/assertion/."""
    ordered = sorted(statements, key=lambda statement: statement.target)
    records = [
        {
            "@context": _LINKED_ART,
            "id": target,
            "type": "HumanMadeObject",
            "_label": group[0].item,
            "attributed_by": [_assignment(statement) for statement in group],
        }
        for target, members in groupby(ordered, key=lambda statement: statement.target)
        if (group := list(members))
    ]
    path.write_text(to_json_text(records) + "\n", "utf-8")


def _assignment(statement: Statement) -> dict[str, Any]:
    day = statement.origin["predicted_on"]
    about = {
        "culture": statement.culture,
        "probability": f"{statement.probability:.4f}",
        "review": statement.status,
    }
    texts = [statement.sentence, *(f"{name}: {text}" for name, text in about.items())]
    return {
        "id": statement.id,
        "type": "AttributeAssignment",
        "_label": f"{statement.label} ({statement.culture}): {statement.status}",
        "assigned": [{"type": "Type", "_label": statement.label, **_named(statement.label)}],
        "timespan": {
            "type": "TimeSpan",
            "begin_of_the_begin": f"{day}T00:00:00Z",
            "end_of_the_end": f"{day}T23:59:59Z",
        },
        "used_specific_object": [_model(statement.origin)],
        "referred_to_by": [
            {"type": "LinguisticObject", "classified_as": [_DESCRIPTION], "content": text}
            for text in texts
        ],
    }


def _model(origin: Mapping[str, str]) -> dict[str, Any]:
    """The model, as a digital object with its name, its digest and the version of the software."""
    name = f"{origin['model']} (artaffect {origin['artaffect_version']})"
    digest = {"type": "Identifier", "content": f"sha256:{origin['model_digest']}"}
    return {
        "id": f"urn:artaffect:model:{origin['model_digest']}",
        "type": "DigitalObject",
        "_label": name,
        "identified_by": [{"type": "Name", "content": name}, digest],
    }


def _named(name: str) -> dict[str, Any]:
    return {"identified_by": [{"type": "Name", "content": name}]}


def _write_csv(statements: Sequence[Statement], path: Path) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *_ORIGIN, "reviewed_by", "statement_id"])
        for s in statements:
            probability = round(s.probability, 6)
            texts = [s.target, s.item, s.culture, s.label, probability, s.status, s.note]
            texts += [*(s.origin[name] for name in _ORIGIN), s.reviewer, s.id]
            writer.writerow([guard_formulas(t) if isinstance(t, str) else t for t in texts])


WRITERS: Mapping[str, Callable[[Sequence[Statement], Path], None]] = {
    "w3c": _write_w3c,
    "linked-art": _write_linked_art,
    "csv": _write_csv,
}
"""By the name of the format, what writes a file of it."""
