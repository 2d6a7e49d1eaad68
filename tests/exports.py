"""Exports as collection systems write them, and answers that no model made."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.labels import LabelSet, Sentiment
from artaffect.prediction.collection.answers import AnswerTable, Layout, prediction_schema
from artaffect.prediction.collection.plan import Plan

LABELS = ("awe", "fear", "something else")
VALENCE = (Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.OTHER)
CULTURES = ("arabic", "chinese")
ORIGIN = {
    "model": "first",
    "model_digest": "ab" * 32,
    "artaffect_version": "0.1.0",
    "predicted_on": "2026-11-26",
}
FORMULAS = (
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    '=HYPERLINK("http://x.example","y")',
    "\t=1",
    "a\n=2",
)
SCRIPTS = (
    "تعلو الأمواج فوق قارب صغير",
    "黑色的天空下,巨浪高过一条小船。",
    "Müller, »Sturm«",
    "Ωκεανός",
)

RECORDS = [
    ("SK-A-1", "=1+1", "Ein Sturm über dem Meer; Öl auf Leinwand"),
    ("SK-A-2", "Ruhe", ""),
    ("007", "@SUM(A1)", "Größe: 3 m²"),
]


def _cp1252(path: Path) -> Path:
    lines = ["Objektnummer;TITEL;Beschreibung;Standort"]
    lines += [f'{a};"{b}";"{c}";Saal 3' for a, b, c in RECORDS]
    path = path / "export.csv"
    path.write_bytes("\r\n".join(lines).encode("cp1252"))
    return path


def _utf16(path: Path) -> Path:
    lines = ["OBJECT NUMBER\tTITLE\tDESCRIPTION_AR\tROOM"]
    lines += [f"{a}\t{b}\t{SCRIPTS[0]} {a}\t3" for a, b, _ in RECORDS]
    path = path / "export.txt"
    path.write_text("\r\n".join(lines), "utf-16")
    return path


def _tsv(path: Path) -> Path:
    lines = ["object_number\ttitle\tdescription_zh\troom"]
    lines += [f"{a}\t{b}\t{SCRIPTS[1]}\t3" for a, b, _ in RECORDS]
    path = path / "export.tsv"
    path.write_text("\n".join(lines), "utf-8")
    return path


def _excel(path: Path) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    for i, row in enumerate([("OBJECT_NUMBER", "TITLE", "DESCRIPTION", "ROOM"), *RECORDS], start=2):
        for j, text in enumerate(row, start=1):
            sheet.cell(i, j, text).data_type = "s"
    path = path / "export.xlsx"
    book.save(path)
    return path


def _json_lines(path: Path) -> Path:
    rows = [
        {"Object-Number": a, "title": b, "description_en": c, "subjects": ["sea", "风"]}
        for a, b, c in RECORDS
    ]
    path = path / "export.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def _parquet(path: Path) -> Path:
    ids, titles, texts = zip(*RECORDS, strict=True)
    columns = {"object_number": ids, "title": titles, "description": texts}
    thumbnails, subjects = [b"\xff\xd8"] * 3, [["sea"], None, []]
    path = path / "export.parquet"
    pq.write_table(pa.table({**columns, "thumbnail": thumbnails, "subjects": subjects}), path)
    return path


EXPORTS: dict[str, tuple[Callable[[Path], Path], dict[str, str]]] = {
    "semicolons, cp1252": (_cp1252, {"id": "Objektnummer", "caption": "Titel,Beschreibung"}),
    "UTF-16 with a mark": (_utf16, {"caption": "title,description_ar"}),
    "tabs": (_tsv, {"caption": "title,description_zh"}),
    "Excel with a blank first row": (_excel, {"caption": "Title,Description"}),
    "JSON Lines": (_json_lines, {"id": "object_number", "caption": "title,description_en"}),
    "Parquet": (_parquet, {"caption": "title,description"}),
}
"""By name, what writes an export into a folder, and the columns that have to be given."""


def drawn_predictions(ids: Sequence[str], seed: int = 0) -> pa.Table:
    """Predictions for some items, drawn at random."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in ids:
        for culture in CULTURES:
            p = rng.dirichlet(np.ones(len(LABELS)))
            direction = rng.normal(size=8)
            numbers = dict(zip(LABELS, p.tolist(), strict=True))
            rows.append(
                {
                    **{"id": name, "culture": culture, "top": LABELS[int(p.argmax())], **numbers},
                    **{
                        "probability": p.max(),
                        "entropy_bits": 1.0,
                        "divergence_bits": 0.125,
                        "similarity": None,
                    },
                    **{"image_share": 0.0, "caption_share": 1.0, "missing": "image"},
                    "note": f"about {culture}",
                    "image_direction": (direction / np.linalg.norm(direction))
                    .astype("<f2")
                    .tobytes(),
                    "prediction_set": [LABELS[i] for i in np.argsort(-p)[:2]],
                }
            )
    return pa.Table.from_pylist(rows, prediction_schema(LABELS))


def write_answers(items: pa.Table, out: Path, layout: Layout = "long") -> pa.Table:
    """Write answers as a collection does, and return what was predicted."""
    plan = Plan.for_output(out)
    plan.begin(items, {"labels": LABELS}, 256, overwrite=True)
    parts = []
    for shard in range(len(plan.shards())):
        parts.append(drawn_predictions(plan.items(shard)["id"].to_pylist(), shard))
        plan.save(shard, parts[-1], [], plan.inputs_digest(shard))
    record = items["record"].type.names if "record" in items.column_names else ()
    about = {**ORIGIN, "labels": LabelSet(LABELS, VALENCE).to_json()}
    plan.merge(out, AnswerTable(layout, CULTURES, LABELS, tuple(record), ORIGIN, True), about)
    return pa.concat_tables(parts)
