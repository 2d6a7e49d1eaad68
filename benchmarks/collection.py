"""Pictures a second of `predict-collection` beside the bare encoder on prepared tensors; what a kill costs.

    python benchmarks/collection.py RUN [--pictures 1536] [--workers 2] [--repeats 1]

The bare encoder gets tensors that lie ready in memory, with all threads, in batches of 2 to 32, of which
the fastest counts. The collection reads JPEGs of 640 x 500 pixels, decodes, encodes, answers for each
culture and writes Parquet: by its own worker processes, and by Ray Data with as many. Starting takes its
time (each process loads a model), so that two collections are measured, one of a third of the pictures:
*steady* is what the larger one has more, over the time that it takes longer.

Then the command is killed (`kill -9`) when a third is done, and started again.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
import torch
from extraction import pictures

from artaffect.prediction.collection.plan import Plan
from artaffect.prediction.predictor import load_predictor
from artaffect.prediction.torch import TorchPredictor


def command(run: Path, images: Path, out: Path, engine: str, workers: int) -> list[str]:
    return [
        *(sys.executable, "-m", "artaffect.cli.main", "predict-collection", str(run)),
        *("--images", str(images), "--out", str(out), "--overwrite"),
        *("--engine", engine, "--workers", str(workers)),
    ]


@torch.inference_mode()
def bare(run: Path, files: list[Path]) -> float:
    """Pictures a second, at the batch that suits it best."""
    predictor = load_predictor(run)
    assert isinstance(predictor, TorchPredictor)
    encoder, _ = predictor.model.encoders
    assert encoder is not None
    pixels = torch.stack([torch.from_numpy(encoder.preprocessing(file)) for file in files[:128]])
    best = 0.0
    for size in (2, 4, 8, 32, 2, 4, 8, 32):
        started = time.perf_counter()
        for part in torch.split(pixels, size):
            encoder(part)
        best = max(best, len(pixels) / (time.perf_counter() - started))
    return best


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - started


def kill_and_go_on(run: Path, images: Path, out: Path, workers: int, count: int) -> None:
    arguments = command(run, images, out, "local", workers)
    plan = Plan.for_output(out)
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
    wanted = max(1, count // 256 // 3)
    while len(list(plan.folder.glob("part-*.parquet"))) < wanted:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(plan.folder.glob("part-*.parquet")))
    took = seconds(arguments)
    answers = pq.read_table(out)
    pairs = answers.group_by(["id", "culture"]).aggregate([]).num_rows
    assert pairs == answers.num_rows, "a row is repeated"
    ids = len(answers["id"].unique())
    print(
        f"killed after {kept} of {-(-count // 256)} shards; going on took {took:.0f} s; "
        f"{ids} of {count} pictures predicted, each once"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--pictures", type=int, default=1536)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name) / "few", Path(name) / "many"
        few.mkdir()
        many.mkdir()
        pictures(few, options.pictures // 3)
        files = pictures(many, options.pictures)
        for _ in range(options.repeats):
            rate = bare(options.run, files)
            print(f"bare encoder: {rate:.1f} pictures/s", flush=True)
            for engine in ("local", "ray"):
                out = Path(name) / f"{engine}.parquet"
                start, whole = (
                    seconds(command(options.run, folder, out, engine, options.workers))
                    for folder in (few, many)
                )
                steady = (options.pictures - options.pictures // 3) / (whole - start)
                total = options.pictures / whole
                print(
                    f"{engine}, {options.workers} workers: steady {steady:.1f} pictures/s "
                    f"({steady / rate:.0%} of the bare encoder), with the start {total:.1f} "
                    f"({whole:.0f} s in all)",
                    flush=True,
                )
        kill_and_go_on(
            options.run, many, Path(name) / "killed.parquet", options.workers, options.pictures
        )


if __name__ == "__main__":
    main()
