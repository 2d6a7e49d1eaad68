"""What a gallery of the answers needs, kept beside them: each item's image and text, and how it looks."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.data.arrow import arrow_errors
from artaffect.labels import LabelSet
from artaffect.prediction.collection.answers import DIRECTION
from artaffect.prediction.collection.downloads import Origins
from artaffect.runtime import to_json_text

_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("image", pa.binary()),
        pa.field("caption", pa.string()),
        pa.field("language", pa.string()),
        pa.field(DIRECTION, pa.list_(pa.float16())),
    ]
)


def companion_path(answers: Path) -> Path:
    """The file beside some answers."""
    return answers.with_name(answers.name + ".items.parquet")


class CompanionWriter:
    """Appends the items that have answers. Use it as a context."""

    def __init__(self, path: Path, provenance: Mapping[str, Any], origins: Origins) -> None:
        """Begin a file.

        Args:
            provenance: the model's digest, and its ``labels``.
            origins: where images come from; those from the web are named by their addresses.
        """
        metadata = {"artaffect": to_json_text(dict(provenance), indent=None)}
        self._writer = pq.ParquetWriter(path, _SCHEMA.with_metadata(metadata), compression="zstd")
        self._origins = origins

    def __enter__(self) -> "CompanionWriter":
        self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.__exit__(*error)

    def write(self, items: pa.Table, predictions: pa.Table) -> None:
        """Append the items that have predictions."""
        names = (predictions[name].to_pylist() for name in ("id", DIRECTION))
        directions = dict(zip(*names, strict=True))
        rows = [
            {
                **{name: item[name] for name in ("id", "caption", "language")},
                "image": self._place(item["image"]),
                DIRECTION: data and np.frombuffer(data, "<f2"),
            }
            for item in items.select(["id", "image", "caption", "language"]).to_pylist()
            if (data := directions.get(item["id"], b"")) != b""
        ]
        self._writer.write_table(pa.Table.from_pylist(rows, self._writer.schema))

    def _place(self, image: bytes | None) -> bytes | None:
        address = image and self._origins.get(os.fsdecode(image))
        return address[0].encode() if address else image


@dataclass(frozen=True)
class Companion:
    """The items of a file of answers."""

    model_digest: str
    labels: LabelSet | None
    """The model's labels, with their valences and translations."""
    items: Mapping[str, Mapping[str, Any]]
    """By id: ``image`` as bytes, an absolute path or an address; ``caption``; ``image_direction``."""

    @classmethod
    def read(cls, answers: Path) -> "Companion | None":
        """That of a file of answers; None if it has none.

        Raises:
            TableError: it is damaged.
        """
        path = companion_path(answers)
        if not path.is_file():
            return None
        with arrow_errors(path, "the items of answers"):
            table = pq.read_table(path).cast(_SCHEMA)
            about = json.loads(pq.read_schema(path).metadata[b"artaffect"])
            labels = about.get("labels")
            items = {item["id"]: item for item in table.to_pylist()}
            return cls(about.get("model_digest", ""), labels and LabelSet.from_json(labels), items)
