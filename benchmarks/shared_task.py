"""ArtEmotion-28 at full size: import, comparison of cultures, and every model of subtask 2.

    python benchmarks/shared_task.py [--rows 173745] [--paintings 1658]

The data set is synthetic, in the exact layout of the release, with 28 invented cultures. Each step
runs as a separate command, as a user would run it, and its wall time is printed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from artaffect.shared_task.sample import CSV_FILE, write_artemotion28

COMPARE_CULTURES = """
import sys
from artaffect import AnnotationTable
from artaffect.metrics.divergence import compare_cultures
from artaffect.reports.culture import votes_of
comparison = compare_cultures(votes_of(AnnotationTable.load(sys.argv[1])))
print(f"{comparison.artworks} paintings, {len(comparison.pairs)} pairs, p = {comparison.overall.p_value:.3f}")
"""


def timed(name: str, command: list[str]) -> None:
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"{name}: {time.perf_counter() - start:.1f} s")
    print("    " + "\n    ".join((result.stdout or result.stderr).strip().splitlines()[-12:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=173_745)
    parser.add_argument("--paintings", type=int, default=1658)
    options = parser.parse_args()
    command = [sys.executable, "-m", "artaffect.cli.main"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        start = time.perf_counter()
        write_artemotion28(root / "a28", options.paintings, options.rows)
        print(f"sample written: {time.perf_counter() - start:.1f} s")
        table = str(root / "a28.parquet")
        images = str(root / "a28" / "images")
        file = str(root / "a28" / CSV_FILE)
        importing = ["import", "artemotion28", file, "--images", images, "--out", table]
        timed("import, every image opened", [*command, *importing])
        timed("import again, with the files in the page cache", [*command, *importing])
        timed("comparison of cultures", [sys.executable, "-c", COMPARE_CULTURES, table])
        items = str(root / "items")
        timed("task files", [*command, "semeval", "items", "--data", table, "--out", items])
        timed("subtask 2, five models", [*command, "semeval", "baselines", "--data", table])
        arguments = [
            "--items",
            str(root / "items" / "st2_items.csv"),
            "--out",
            str(root / "st2.zip"),
        ]
        timed(
            "subtask 2, zip", [*command, "semeval", "shares", "--data", table, *arguments, "--json"]
        )


if __name__ == "__main__":
    main()
