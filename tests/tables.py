"""Small tables of annotations in the formats that people use, and what an import makes of them."""

import csv
import json
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import artaffect as aa
from artaffect.data.annotations import AnnotationTable, ImportReport

Row = dict[str, Any]
ROWS: list[Row] = [
    {"File": "a.jpg", "title": "Storm; night", "text": "Très 海, 怖い", "Feeling": "fear"},
    {"File": "b", "title": "", "text": 'a "calm"\nlake', "Feeling": "Contentment"},
    {"File": "sub/c.PNG", "title": "رهبة", "text": "", "Feeling": "awe"},
    {"File": "a.jpg", "title": "", "text": "", "Feeling": "sadness"},
]
COLUMNS = {"image": "file", "caption": ["title", "text"], "label": "feeling", "culture": "land"}


def rows_with(**more: Any) -> list[Row]:
    return [{**row, " Land ": "Chile", "fold": "dev"} | more for row in ROWS]


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (9, len(path.name), 99)).save(path)


def write_images(folder: Path) -> Path:
    """The images that the rows name."""
    for name in ("a.jpg", "b.jpg", "sub/c.PNG"):
        write_image(folder / name)
    return folder


def write_text(path: Path, rows: list[Row], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_json_lines(path: Path, rows: list[Row], encoding: str = "utf-8") -> Path:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding, newline="")
    return path


def write_excel(path: Path, rows: list[Row]) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    for cells in (list(rows[0]), *(list(row.values()) for row in rows)):
        sheet.append(cells)
    book.save(path)
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def report_of(table: AnnotationTable) -> ImportReport:
    assert table.report is not None and table.report.dropped_rows is not None
    report = table.report
    assert report.read == report.kept + sum(report.dropped.values())
    return report


def read(path: Path, **options: Any) -> AnnotationTable:
    table = aa.read_table(path, **options)
    report_of(table)
    return table


def captions(path: Path, text: str | bytes, **options: Any) -> list[str]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(caption) for caption in read(path, culture="x", **options).strings("caption")]


def comparable(table: AnnotationTable) -> list[Row]:
    return table.rows.drop(["annotation_id"]).to_pylist()


def imagefolder(folder: Path, rows: list[Row]) -> Path:
    """The rows and their images in the layout of Hugging Face, with a folder for the split."""
    write_images(folder / "validation")
    kept = [{"file_name": row["File"]} | row for row in rows]
    for row in kept:
        del row["File"], row["fold"]
    write_json_lines(folder / "validation" / "metadata.jsonl", kept)
    return folder
