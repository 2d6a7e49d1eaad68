"""Altered tables, altered zips and hostile names: rows add up, files are refused in one line, names are text.

    python -m benchmarks.attack.tables [--count 3000] [--seed 0] [--only csv]

Every row of a CSV or Parquet file is kept or listed, or the file is refused; a zip of the shared task is
read as it was written, or refused; a name is shown as it is wherever people read it.
"""

import argparse
import csv
import io
import logging
import random
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from markdown_it import MarkdownIt
from PIL import Image

from artaffect.data.annotations import AnnotationTable
from artaffect.data.listing import write_listing
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.readers.hf_parquet import read_hf_parquet
from artaffect.errors import ArtAffectError
from artaffect.reports.pages import render
from artaffect.reports.tables import TextTable, markdown_line
from artaffect.runtime import Terminal, visible
from artaffect.shared_task.items import EmotionItems
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.submissions import check_emotions

HEADER = "art_style,emotion,language,painting,split,utterance"
PIECES = ['"', '""', ",", "\n", "\r", "\r\n", "\\", "\0", "\ufeff", ";", "\t", "é", "😱", "'", " "]
MARKUP = [
    *PIECES, "=1+1", "+", "-", "@x", "# ", "> ", "1. ", "*", "_", "`", "$x$", "|", "[a](b)", "](", "<b>",
    "<script>", "-->", "&lt;", "http://x", "\x1b[2J", "\u202e", "\u2066", "\u2028", "\ud800", "a", "b",
]  # fmt: skip
RULES = SharedTaskRules()
ITEMS = EmotionItems([f"st1_{i}" for i in range(20)], ["a.jpg"] * 20, ["Thai"] * 20, ["x"] * 20)
LABELS = {
    RULES.text_file: ["awe"] * 20,
    RULES.multimodal_file: ["awe"] * 19 + ["fear"],
}


def csv_file(random: random.Random) -> bytes:
    """A sound file with some quoted cells, then mutated in a few places."""
    captions = ["one", '"two, three"', '"say ""hi"""', "wörter", '"two\nlines"', ""]
    rows = [f"S,awe,english,p{i % 5},train,{random.choice(captions)}" for i in range(30)]
    text = "\n".join([HEADER, *rows]) + "\n"
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text))
        cut = random.choice([0, 0, 1, 5])
        text = text[:at] + random.choice([*PIECES, ""]) + text[at + cut :]
    if random.random() < 0.1:
        text = text[: random.randrange(len(text))]
    encoding = random.choice(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"])
    return text.encode(encoding, "replace")


def parquet_file(random: random.Random) -> bytes:
    """A sound file of three rows in which some bytes are changed or cut off."""
    buffer, image = io.BytesIO(), io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    names = ("art_style", "painting", "emotion", "language", "text", "split")
    values = ("S", "p", "awe", "english", "words", "train")
    columns = {name: [value] * 3 for name, value in zip(names, values, strict=True)}
    columns["painting"] = ["a", "b", "c"]
    images = [{"bytes": image.getvalue(), "path": None}] * 3
    pq.write_table(pa.table({"image": images, **columns}), buffer)
    return altered(buffer.getvalue(), random, 8)


def altered(data: bytes, random: random.Random, most: int) -> bytes:
    """Data in which some bytes are changed, and of which the end may be cut off."""
    changed = bytearray(data)
    for _ in range(random.randint(1, most)):
        changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed[: random.randrange(len(changed))] if random.random() < 0.1 else changed)


def zip_file(random: random.Random) -> bytes:
    """A submission with members that do not belong in it, other methods, and changed bytes."""
    buffer = io.BytesIO()
    method = random.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED])
    method = random.choice([method] * 8 + [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, labels in LABELS.items():
            rows = zip(ITEMS.ids, labels, strict=True)
            text = "id,label\n" + "".join(f"{item},{label}\n" for item, label in rows)
            if random.random() < 0.02:
                text += "\n" * (80 << 20)
            folder = random.choice([""] * 9 + ["run/", "../", "/", "\x1b[2J/"])
            archive.writestr(folder + name, text)
        for _ in range(random.choice([0] * 8 + [1, 3, 200])):
            archive.writestr(f"{random.choice(['__MACOSX/', '../', '='])}{random.random()}", "x")
    data = buffer.getvalue()
    return data if random.random() < 0.3 else altered(data, random, 4)


def outcome(read: Callable[[], Counter[str]]) -> Counter[str]:
    """What became of a file."""
    try:
        return read()
    except ArtAffectError as error:
        lines = str(error).strip().splitlines()
        return Counter(["refused in one line" if len(lines) == 1 else "refused in several lines"])
    except Exception:  # noqa: BLE001 - this is what the fuzz looks for
        traceback.print_exc()
        return Counter(["tracebacks"])


def rows_of(table: AnnotationTable) -> Counter[str]:
    """How many rows of a file were kept and dropped."""
    report = table.report
    assert report is not None
    dropped = sum(report.dropped.values())
    adds_up = report.read == report.kept + dropped == len(table) + dropped and report.kept
    counts = Counter({"rows kept": report.kept, "rows dropped": dropped})
    counts["files read" if adds_up else "files whose rows do not add up"] += 1
    # whole rows within a caption: two stray quotes have swallowed them
    counts["captions that hold rows"] += sum("S,awe," in text for text in table.strings("caption"))
    return counts


def submission(file: Path) -> Counter[str]:
    """Whether a zip is read as it was written."""
    is_whole = check_emotions(file, ITEMS, RULES) == LABELS
    return Counter(["files read" if is_whole else "files read with other labels"])


def is_text(name: str, folder: Path) -> Counter[str]:
    """Where a name is read as anything but text."""
    line = " ".join(visible(name).split())
    faults = []
    (inline,) = (t for t in MarkdownIt().parse(f"- {markdown_line(name)}x") if t.type == "inline")
    if "".join(child.content for child in inline.children or ()) != f"{line}x".lstrip():
        faults.append("Markdown")
    table = TextTable(name, [name, "b"], [[name, "c"]])
    page = render(
        "reproduction.html.j2", title=name, paragraphs=[], figures=[], curves=[], tables=[table]
    )
    parser = Texts()
    parser.feed(page)
    if name.strip() and parser.texts.count(line) < 3:
        faults.append("HTML")
    stream = io.StringIO()
    Terminal(file=stream, width=200).print(f"note: {name}", soft_wrap=True)
    if stream.getvalue().count("\n") != 1 or visible(stream.getvalue()) != stream.getvalue():
        faults.append("the terminal")
    write_listing(folder / "list.csv", ("name",), [(name,)])
    with (folder / "list.csv").open(encoding="utf-8", newline="") as file:
        ((cell,),) = list(csv.reader(file))[1:] or [("",)]
    if any(part.lstrip().startswith(tuple("=+-@\t\r")) for part in cell.split(";")):
        faults.append("a spreadsheet")
    return Counter([f"names read as markup by {fault}" for fault in faults] or ["names shown"])


class Texts(HTMLParser):
    """Collects the texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))


def examine(kind: str, generator: random.Random, folder: Path) -> Counter[str]:
    """Make one input of a kind, and tell what became of it."""
    file = folder / f"input.{kind}"
    if kind == "names":
        name = "".join(generator.choices(MARKUP, k=generator.randint(1, 6)))
        return outcome(lambda: is_text(name, folder))
    make = {"csv": csv_file, "parquet": parquet_file, "zip": zip_file}[kind]
    file.write_bytes(make(generator))
    if kind == "csv":
        return outcome(lambda: rows_of(read_artelingo(file, keep_unpictured=True)))
    if kind == "parquet":
        return outcome(lambda: rows_of(read_hf_parquet(file, folder / "images", True)))
    return outcome(lambda: submission(file))


KINDS = ("csv", "parquet", "zip", "names")


def run(count: int, seed: int, kinds: tuple[str, ...] = KINDS) -> Counter[str]:
    """Examine ``count`` inputs of each kind, and count the outcomes."""
    counts = Counter[str]()
    for kind in kinds:
        generator = random.Random(seed)
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(count):
                counted = examine(kind, generator, Path(folder))
                counts.update({f"{kind} {what}": number for what, number in counted.items()})
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    kinds = (options.only,) if options.only else KINDS
    counts = run(options.count, options.seed, kinds)
    print("tables " + ", ".join(f"{name}: {number:,}" for name, number in sorted(counts.items())))


if __name__ == "__main__":
    main()
