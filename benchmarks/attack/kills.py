"""Jobs that are killed at random moments, and finished by the same command: the result is the same.

    python -m benchmarks.attack.kills DEMO [--count 20] [--seed 0] [--jobs import collection export train]

DEMO is a folder that `artaffect demo` made. Each job is killed, with all of its processes, once at a random
moment of its usual time, and started again until it ends; an older result is in its place at the start.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from artaffect.models.folder import CHECKSUMS, WEIGHTS

JOBS = ("import", "collection", "export", "train")


def command(job: str, demo: Path, out: Path) -> list[str]:
    """The command of a job, which writes ``out``."""
    data, run = demo / "data", demo / "run"
    table = demo / "annotations.parquet"
    arguments: dict[str, list[object]] = {
        "import": ["import", "artelingo", data / "artelingo_release_lite.csv"],
        "collection": ["predict-collection", run, "--images", data / "wikiart", "--overwrite"],
        "export": ["export", run, "--overwrite"],
        "train": ["train", "--data", table, "--overwrite", "--set", "image.train.epochs=2"],
    }
    if job == "import":
        arguments[job] += ["--images", data / "wikiart"]
    start = [sys.executable, "-m", "artaffect.cli.main", *map(str, arguments[job])]
    return [*start, "--out", str(out)]


def content(out: Path) -> object:
    """What a job has written, without what may differ between two runs of it."""
    if out.is_dir():
        lines = (out / CHECKSUMS).read_text("utf-8").splitlines()
        kept = (WEIGHTS, "image.onnx", "caption.onnx", "answer.onnx", "metrics.jsonl")
        return [line for line in lines if line.endswith(kept)]
    rows = pq.read_table(out).to_pylist()
    return sorted(map(repr, rows))


def finish(arguments: list[str], seconds: float | None) -> tuple[int, str]:
    """Run a command to its end, or kill it with all of its processes after some seconds."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        log.seek(0)
        return code, log.read().decode("utf-8", "replace")


def attack(job: str, demo: Path, count: int, generator: random.Random) -> Counter[str]:
    """Kill a job so many times."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole.parquet"
        started = time.monotonic()
        code, text = finish(command(job, demo, whole), None)
        usual = time.monotonic() - started
        assert code == 0, text
        for number in range(count):
            folder = Path(name) / str(number)
            folder.mkdir()
            out = folder / "out.parquet"
            (shutil.copytree if whole.is_dir() else shutil.copy)(whole, out)
            code, _ = finish(command(job, demo, out), generator.uniform(0, usual))
            counts["killed" if code < 0 else "done before"] += 1
            code, text = finish(command(job, demo, out), None)
            if "Traceback" in text or code:
                counts["failed"] += 1
                print(text[-2000:])
            elif content(out) == content(whole):
                counts["same result"] += 1
            else:
                counts["another result"] += 1
            shutil.rmtree(folder)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=lambda text: Path(text).resolve())
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    for job in options.jobs:
        counts = attack(job, options.demo, options.count, generator)
        print(job, ", ".join(f"{name}: {n}" for name, n in sorted(counts.items())), flush=True)


if __name__ == "__main__":
    main()
