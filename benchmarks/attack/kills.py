"""Jobs that are killed at random moments, and finished by the same command: the result is the same.

    python -m benchmarks.attack.kills DEMO [--count 20] [--seed 0]
                                   [--jobs import collection export train] [--set KEY=VALUE ...]

DEMO is a folder that `artaffect demo` made; a small one (`--paintings 48`) takes less time, because each
attempt begins with an empty cache. Each job is killed, with all of its processes, once at a random moment
of its usual time, and the same command is started again. At the start, a different result is in its
place: of the table without images, or of a model that was trained with another seed. `--set` passes
settings on to training.
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
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from artaffect.models.folder import CHECKSUMS, WEIGHTS

JOBS = ("import", "collection", "export", "train")


@dataclass(frozen=True)
class Base:
    """What the jobs read, and the settings of trainings."""

    demo: Path
    settings: list[str]


def command(job: str, base: Base, out: Path, run: Path, older: bool = False) -> list[str]:
    """The command of a job, which writes ``out``.

    Args:
        run: the model that the job uses.
        older: whether to make a different result.
    """
    demo = base.demo
    data, table = demo / "data", demo / "annotations.parquet"
    arguments: dict[str, list[object]] = {
        "import": ["import", "artelingo", data / "artelingo_release_lite.csv"],
        "collection": ["predict-collection", run, "--images", data / "wikiart", "--overwrite"],
        "export": ["export", run, "--overwrite"],
        "train": ["train", "--data", table, "--overwrite"],
    }
    for setting in base.settings if job == "train" else ():
        arguments[job] += ["--set", setting]
    if job == "import" and not older:
        arguments[job] += ["--images", data / "wikiart"]
    if job == "train" and older:
        arguments[job] += ["--set", "seed=1"]
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


def finish(arguments: list[str], cache: Path, seconds: float | None = None) -> tuple[int, str]:
    """Run a command to its end, or kill it with all of its processes after some seconds."""
    environment = os.environ | {"ARTAFFECT_CACHE": str(cache)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            arguments, stdout=log, stderr=log, start_new_session=True, env=environment
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        log.seek(0)
        return code, log.read().decode("utf-8", "replace")


def complete(job: str, base: Base, out: Path, cache: Path, run: Path, older: bool = False) -> Path:
    """The result of a job that nothing disturbs."""
    code, text = finish(command(job, base, out, run, older), cache)
    assert code == 0, text
    return out


def attack(job: str, base: Base, count: int, generator: random.Random) -> Counter[str]:
    """Kill a job so many times."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder, cache, run = Path(name), Path(name) / "cache", base.demo / "run"
        other = run
        if job in ("collection", "export"):
            other = complete("train", base, folder / "other", cache, run, older=True)
        older = complete(job, base, folder / "older.parquet", cache, other, older=True)
        shutil.rmtree(cache, ignore_errors=True)
        started = time.monotonic()
        whole = complete(job, base, folder / "whole.parquet", cache, run)
        usual = time.monotonic() - started
        assert content(older) != content(whole), "the older result has to be a different one"
        for _ in range(count):
            shutil.rmtree(cache, ignore_errors=True)
            attempt = folder / "attempt"
            attempt.mkdir()
            out = attempt / "out.parquet"
            (shutil.copytree if older.is_dir() else shutil.copy)(older, out)
            code, _ = finish(command(job, base, out, run), cache, generator.uniform(0, usual))
            counts["killed" if code < 0 else "done before"] += 1
            code, text = finish(command(job, base, out, run), cache)
            if "Traceback" in text or code:
                counts["failed"] += 1
                print(text[-2000:])
            elif content(out) == content(whole):
                counts["same result"] += 1
            else:
                counts["another result"] += 1
            counts["files left beside it"] += len(list(attempt.iterdir())) - 1
            shutil.rmtree(attempt)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=lambda text: Path(text).resolve())
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=JOBS)
    parser.add_argument("--set", action="append", dest="settings", default=[])
    options = parser.parse_args()
    generator = random.Random(options.seed)
    for job in options.jobs:
        counts = attack(job, Base(options.demo, options.settings), options.count, generator)
        print(job, ", ".join(f"{name}: {n}" for name, n in sorted(counts.items())), flush=True)


if __name__ == "__main__":
    main()
