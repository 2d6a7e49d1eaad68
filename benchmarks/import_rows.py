"""Rows per second of `artaffect import artelingo` and of `pandas.read_csv` for the same file.

    python benchmarks/import_rows.py [--rows 1200000] [--paintings 80000] [--repeats 3]

The generated file has the layout and the length of ArtELingo: 1.2 million captions in three scripts for
80,000 paintings, each with a tiny image. Both read it in turn, in separate processes, and the ratio of
each pair is printed. The import does everything that it does for a user: it checks every row, opens
every image and writes the table.
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

WORDS = {
    "english": "the light falls on a quiet river and I feel calm because of the soft blue sky".split(),
    "arabic": "يسقط الضوء على نهر هادئ وأشعر بالسكينة بسبب السماء الزرقاء الناعمة في هذه اللوحة".split(),
    "chinese": [
        "光",
        "落在",
        "安静的",
        "河上",
        "我",
        "感到",
        "平静",
        "因为",
        "柔和的",
        "蓝天",
        "和",
        "树",
    ],
}
EMOTIONS = ["amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness"]


def make(folder: Path, rows: int, paintings: int) -> Path:
    rng = random.Random(0)
    styles = [f"Style_{i}" for i in range(27)]
    tiny = folder / "tiny.jpg"
    Image.new("RGB", (8, 8), "grey").save(tiny)
    data = tiny.read_bytes()
    names = []
    for number in range(paintings):
        style = styles[number % 27]
        (folder / "wikiart" / style).mkdir(parents=True, exist_ok=True)
        (folder / "wikiart" / style / f"artist_painting-{number}.jpg").write_bytes(data)
        names.append((style, f"artist_painting-{number}", rng.choices(SPLITS, (85, 5, 10))[0]))
    path = folder / "artelingo_release_lite.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["art_style", "emotion", "language", "painting", "split", "utterance"])
        languages = list(WORDS)
        for number in range(rows):
            style, name, split = names[number % paintings]
            language = languages[number // paintings % 3]
            caption = " ".join(rng.choices(WORDS[language], k=16)) + f", {number}"
            writer.writerow([style, rng.choice(EMOTIONS), language, name, split, caption])
    return path


SPLITS = ["train", "val", "test"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_200_000)
    parser.add_argument("--paintings", type=int, default=80_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make(folder, options.rows, options.paintings)
        print(
            f"{options.rows:,} rows, {options.paintings:,} images, {path.stat().st_size / 1e6:.0f} MB"
        )
        read = f"import pandas; pandas.read_csv({str(path)!r})"
        artaffect = [sys.executable, "-m", "artaffect.cli.main", "import", "artelingo", str(path)]
        artaffect += ["--out", str(folder / "table.parquet")]
        ours = {
            "rows and images": [*artaffect, "--images", str(folder / "wikiart")],
            "rows only": [*artaffect, "--keep-unpictured"],
        }
        for _ in range(options.repeats):
            pandas = seconds([sys.executable, "-c", read])
            line = f"pandas.read_csv {pandas:5.1f} s ({options.rows / pandas:,.0f} rows/s)"
            for what, command in ours.items():
                took = seconds(command)
                line += f"; {what} {took:5.1f} s ({options.rows / took:,.0f} rows/s, {pandas / took:.2f} x)"
            print(line, flush=True)


if __name__ == "__main__":
    main()
