"""ArtEmotion-28 at its full size: import, publics compared, and every model of subtask 2.

    python benchmarks/shared_task.py [--rows 173745] [--paintings 1658]

The data set is drawn here in the release's exact layout: 28 invented publics. Each step runs as a
command of its own, as a user would run it; its wall time is printed.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from artaffect.shared_task.sample import FILE, write_artemotion28

PUBLICS = """
import sys
from artaffect import AnnotationTable
from artaffect.metrics.divergence import compare_cultures
from artaffect.report.culture import votes_of
found = compare_cultures(votes_of(AnnotationTable.load(sys.argv[1])))
print(f"{found.artworks} paintings, {len(found.pairs)} pairs, p = {found.overall.p_value:.3f}")
"""


def timed(name: str, command: list[str]) -> None:
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    print(f"{name}: {time.perf_counter() - begun:.1f} s")
    print("    " + "\n    ".join((done.stdout or done.stderr).strip().splitlines()[-12:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=173_745)
    parser.add_argument("--paintings", type=int, default=1658)
    options = parser.parse_args()
    command = [sys.executable, "-m", "artaffect.cli.main"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        begun = time.perf_counter()
        write_artemotion28(root / "a28", options.paintings, options.rows)
        print(f"drawn: {time.perf_counter() - begun:.1f} s")
        table = str(root / "a28.parquet")
        images = str(root / "a28" / "images")
        file = str(root / "a28" / FILE)
        importing = ["import", "artemotion28", file, "--images", images, "--out", table]
        timed("import, every picture opened", [*command, *importing])
        timed("import again, files in the system's cache", [*command, *importing])
        timed("publics compared", [sys.executable, "-c", PUBLICS, table])
        items = str(root / "items")
        timed("task files", [*command, "semeval", "items", "--data", table, "--out", items])
        timed("subtask 2, five models", [*command, "semeval", "baselines", "--data", table])
        asked = ["--items", str(root / "items" / "st2_items.csv"), "--out", str(root / "st2.zip")]
        timed("subtask 2, zip", [*command, "semeval", "shares", "--data", table, *asked, "--json"])


if __name__ == "__main__":
    main()
