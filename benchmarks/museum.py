"""A museum's collection of drawn works: time of the predictions, of each format of answers, of statements.

    python benchmarks/museum.py RUN [--works 10000] [--workers 2]

The works are those of `artaffect sample`: an image each, and one of its captions as the description, in
three languages. `predict-collection` reads them from an Excel workbook and writes Parquet. The same
predictions are then written in every format and layout, and the wide workbook is exported as statements.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from openpyxl import Workbook

from artaffect.data.sample.write import write_sample
from artaffect.prediction.collection.answers import AnswerTable, Layout, prediction_schema
from artaffect.prediction.collection.formats import open_answers
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.records import TableOptions
from artaffect.prediction.collection.statements import export_annotations


def workbook(folder: Path, works: int) -> Path:
    """An export of a collection system: a row for each work."""
    table = write_sample(folder / "sample", works)
    rows: dict[str, tuple[str, str]] = {}
    with table.open(encoding="utf-8", newline="") as file:
        for i, row in enumerate(csv.DictReader(file)):
            image = f"{row['art_style']}/{row['painting']}.jpg"
            if image not in rows or i % 3 == 0:  # captions of all three languages
                rows[image] = (row["utterance"], row["language"])
    book = Workbook(write_only=True)
    sheet = book.create_sheet()
    sheet.append(["Object number", "Title", "Description", "Language", "File"])
    for i, (image, (text, language)) in enumerate(rows.items()):
        sheet.append([f"INV-{i:06}", f"Untitled ({i})", text, language, image])
    book.save(folder / "export.xlsx")
    return folder / "export.xlsx"


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--works", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = seconds(lambda: workbook(folder, options.works))
        print(f"{options.works:,} works drawn in {drawn:.0f} s", flush=True)
        out = folder / "answers.parquet"
        command = [
            *(sys.executable, "-m", "artaffect.cli.main", "predict-collection", str(options.run)),
            *(str(folder / "export.xlsx"), "--root", str(folder / "sample" / "wikiart")),
            *("--out", str(out), "--workers", str(options.workers)),
        ]
        took = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
        print(f"predict-collection: {took:.0f} s, {options.works / took:.0f} works/s", flush=True)
        answers = pq.read_table(out)
        cultures = tuple(answers["culture"].unique().to_pylist())
        columns = answers.column_names
        labels = tuple(columns[columns.index("caption_share") + 1 : columns.index("model")])
        of_answers = [n for n in prediction_schema(labels).names if n in columns]
        predictions = answers.select(of_answers)
        sheet = folder / "export.xlsx"
        items = read_items(sheet, TableOptions(root=folder / "sample" / "wikiart"))
        record = tuple(items["record"].type.names)
        layouts: tuple[Layout, ...] = ("long", "wide")
        for layout in layouts:
            table = AnswerTable(layout, cultures, labels, record, {"model": "first"})

            def write(path: Path, table: AnswerTable = table) -> None:
                with open_answers(path, path.suffix, table.schema, {}) as append:
                    append(table.table(items, predictions))

            for suffix in (".parquet", ".jsonl", ".csv", ".xlsx"):
                path = folder / f"{layout}{suffix}"
                took = seconds(lambda path=path, write=write: write(path))  # type: ignore[misc]
                size = path.stat().st_size / 2**20
                print(f"{layout} {suffix}: {took:.1f} s, {size:.1f} MiB", flush=True)
        for form in ("w3c", "linked-art", "csv"):
            path, base = folder / form, "https://museum.example/"
            took = seconds(lambda f=form, p=path: export_annotations(out, p, f, base=base))  # type: ignore[misc]
            print(f"{form}: {took:.1f} s, {path.stat().st_size / 2**20:.1f} MiB", flush=True)


if __name__ == "__main__":
    main()
