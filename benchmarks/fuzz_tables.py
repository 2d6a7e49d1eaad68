"""Import mutated CSV and Parquet files: every row is kept or listed, or the file is refused in one line.

python benchmarks/fuzz_tables.py --count 3000 --seed 0
"""

import argparse
import io
import logging
import random
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.readers.hf_parquet import read_hf_parquet
from artaffect.errors import ArtAffectError

HEADER = "art_style,emotion,language,painting,split,utterance"
PIECES = ['"', '""', ",", "\n", "\r", "\r\n", "\\", "\0", "\ufeff", ";", "\t", "é", "😱", "'", " "]


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
    data = bytearray(buffer.getvalue())
    for _ in range(random.randint(1, 8)):
        data[random.randrange(len(data))] = random.randrange(256)
    return bytes(data[: random.randrange(len(data))] if random.random() < 0.1 else data)


def outcome(read: Callable[[], AnnotationTable]) -> Counter[str]:
    """What became of a file, and how many of its rows were kept and dropped."""
    try:
        table = read()
    except ArtAffectError as error:
        lines = str(error).strip().splitlines()
        return Counter(["refused in one line" if len(lines) == 1 else "refused in several lines"])
    except Exception:  # noqa: BLE001 - this is what the fuzz looks for
        traceback.print_exc()
        return Counter(["tracebacks"])
    report = table.report
    assert report is not None
    dropped = sum(report.dropped.values())
    adds_up = report.read == report.kept + dropped == len(table) + dropped and report.kept
    counts = Counter({"rows kept": report.kept, "rows dropped": dropped})
    counts["files read" if adds_up else "files whose rows do not add up"] += 1
    # whole rows within a caption: two stray quotes have swallowed them
    counts["captions that hold rows"] += sum("S,awe," in text for text in table.strings("caption"))
    return counts


def main() -> None:
    """Count what becomes of the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    for name, make in (("csv", csv_file), ("parquet", parquet_file)):
        generator, counts = random.Random(options.seed), Counter[str]()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"table.{name}"
            for _ in range(options.count):
                file.write_bytes(make(generator))
                if name == "csv":
                    counts += outcome(lambda: read_artelingo(file, keep_unpictured=True))
                else:
                    counts += outcome(lambda: read_hf_parquet(file, file.with_name("i"), True))
        print(name, ", ".join(f"{what}: {count:,}" for what, count in sorted(counts.items())))


if __name__ == "__main__":
    main()
