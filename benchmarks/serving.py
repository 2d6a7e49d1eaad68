"""The service under load, gathered and not; ONNX in full precision and in int8 beside torch; cold starts.

    python benchmarks/serving.py RUN ONNX INT8 [--seconds 8] [--repeats 2] [--part engines|load|start|all]
                                 [--data TABLE] [--clients 1 8 64]

RUN is a model folder, ONNX and INT8 what `artaffect export` makes of it, without and with `--int8`.

*engines*: milliseconds a caption, a picture, and both, asked one by one and 32 together, each engine in
turn. With `--data`, the accuracy of each engine's answers from captions on the table's validation split.

*load*: requests a second and their latency on loopback, from clients of which each sends its next request
when it has its answer: caption and picture, no two alike. The service gathers requests into batches, or
answers each by itself (`--max-batch 1`); both are started in turn, on the same model.

*start*: seconds of a whole `artaffect predict` from a cold process, and the memory that `artaffect serve`
holds when it is ready and at its most after the load.
"""

import argparse
import asyncio
import contextlib
import io
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
from extraction import captions, pictures

from artaffect.data.annotations import AnnotationTable
from artaffect.prediction.predictor import ModelPredictor, PredictionInput, load_predictor

COMMAND = [sys.executable, "-m", "artaffect.cli.main"]


def form(caption: str, image: bytes | None) -> bytes:
    """A whole HTTP request for one artwork."""
    body = io.BytesIO()
    body.write(
        f'--x\r\nContent-Disposition: form-data; name="caption"\r\n\r\n{caption}\r\n'.encode()
    )
    if image is not None:
        body.write(b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n')
        body.write(image + b"\r\n")
    body.write(b"--x--\r\n")
    head = "POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    return f"{head}Content-Length: {body.tell()}\r\n\r\n".encode() + body.getvalue()


async def client(port: int, requests: Iterator[bytes], until: float, took: list[float]) -> None:
    """Ask, wait for the answer, ask again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        started = time.perf_counter()
        writer.write(next(requests))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise RuntimeError(head.decode())
        took.append(time.perf_counter() - started)
    writer.close()


def load(port: int, requests: Iterator[bytes], clients: int, seconds: float) -> str:
    took: list[float] = []

    async def run() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(port, requests, until, took) for _ in range(clients)))

    started = time.perf_counter()
    asyncio.run(run())
    rate = len(took) / (time.perf_counter() - started)
    p50, p99 = np.quantile(took, [0.5, 0.99]) * 1000
    RATES.append(rate)
    return f"{rate:6.1f} requests/s, p50 {p50:6.0f} ms, p99 {p99:6.0f} ms"


RATES: list[float] = []


@contextlib.contextmanager
def serving(run: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*COMMAND, "serve", str(run), "--port", str(port), *options], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz")
                break
            time.sleep(0.05)
        yield port, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def memory(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """Resident MiB: now, and at most."""
    status = dict(
        line.split(":\t", 1)
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
    )
    return tuple(int(status[name].split()[0]) // 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def measure_load(runs: dict[str, Path], texts: list[str], images: list[bytes], options) -> None:
    kinds = {
        "caption": [form(text, None) for text in texts],
        "both": [form(t, i) for t, i in zip(texts, cycle(images), strict=False)],
    }
    for engine, run in runs.items():
        for repeat in range(options.repeats):
            rates: dict[tuple[str, int, str], float] = {}
            for name, batch in (("gathered", 32), ("each alone", 1)):
                with serving(run, "--max-batch", str(batch)) as (port, process):
                    ready, _ = memory(process)
                    for kind, requests in kinds.items():
                        endless = cycle(requests)
                        load(port, endless, 4, 1.0)  # warm
                        for clients in options.clients:
                            line = load(port, endless, clients, options.seconds)
                            rates[kind, clients, name] = RATES[-1]
                            print(
                                f"{engine:5} {kind:7} {clients:3} clients, {name:10}: {line}",
                                flush=True,
                            )
                    print(
                        f"{engine:5} {name}: {ready} MiB when ready, {memory(process)[1]} at most"
                    )
            for kind in kinds:
                for clients in options.clients:
                    ratio = rates[kind, clients, "gathered"] / rates[kind, clients, "each alone"]
                    print(
                        f"{engine:5} {kind:7} {clients:3} clients, gathered / alone: {ratio:.2f} x"
                        f" (pair {repeat + 1})"
                    )


def per_item(predictor: ModelPredictor, inputs: list[PredictionInput], together: int) -> float:
    """Milliseconds an artwork."""
    started = time.perf_counter()
    for start in range(0, len(inputs), together):
        predictor.answer(predictor.prepare(inputs[start : start + together]))
    return 1000 * (time.perf_counter() - started) / len(inputs)


def measure_engines(runs: dict[str, Path], texts: list[str], images: list[Path], options) -> None:
    predictors = {name: load_predictor(run) for name, run in runs.items()}
    by_kind = {
        "caption": [PredictionInput(caption=text) for text in texts[:128]],
        "picture": [PredictionInput(image=image) for image in images[:64]],
        "both": [PredictionInput(i, t) for i, t in zip(images[:64], texts, strict=False)],
    }
    for predictor in predictors.values():
        per_item(predictor, by_kind["both"][:8], 8)
    for kind, inputs in by_kind.items():
        for together in (1, 32):
            times: dict[str, list[float]] = {name: [] for name in predictors}
            for _ in range(options.repeats + 1):
                for name, predictor in predictors.items():
                    times[name].append(per_item(predictor, inputs, together))
            medians = {name: statistics.median(seconds) for name, seconds in times.items()}
            line = ", ".join(
                f"{name} {value:.1f} ms ({value / medians['torch']:.2f} x)"
                for name, value in medians.items()
            )
            print(f"{kind:7} {together:2} together: {line}", flush=True)
    if options.data:
        rows = AnnotationTable.load(options.data).of_split("val")
        inputs = [PredictionInput(caption=caption) for caption in rows.strings("caption")]
        culture = rows.strings("culture")
        for name, predictor in predictors.items():
            answers = predictor.predict_batch(inputs)
            right = [
                answer[whose].top == emotion
                for answer, whose, emotion in zip(
                    answers, culture, rows.strings("emotion"), strict=True
                )
            ]
            print(f"{name:5} accuracy from {len(right):,} captions: {np.mean(right):.4f}")


def measure_start(runs: dict[str, Path], image: Path, options) -> None:
    given = {"caption": ["--caption", "Waves tower over a small boat."], "both": []}
    given["both"] = [*given["caption"], "--image", str(image)]
    for kind, arguments in given.items():
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(options.repeats + 2):
            for name, run in runs.items():
                started = time.perf_counter()
                subprocess.run(
                    [*COMMAND, "predict", str(run), *arguments], check=True, capture_output=True
                )
                times[name].append(time.perf_counter() - started)
        line = ", ".join(
            f"{name} {statistics.median(seconds):.2f} s" for name, seconds in times.items()
        )
        print(f"cold predict, {kind}: {line}")
    for name, run in runs.items():
        started = time.perf_counter()
        with serving(run) as (_, process):
            seconds = time.perf_counter() - started
            print(f"serve, {name}: ready in {seconds:.1f} s, {memory(process)[0]} MiB")
        size = sum(file.stat().st_size for file in run.iterdir() if file.is_file())
        print(f"folder, {name}: {size / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("torch", "onnx", "int8"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--part", choices=["engines", "load", "start", "all"], default="all")
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    runs = {name: getattr(options, name) for name in ("torch", "onnx", "int8")}
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as name:
        texts, files = captions(1024), pictures(Path(name), 128)
        if options.part in ("engines", "all"):
            measure_engines(runs, texts, files, options)
        if options.part in ("start", "all"):
            measure_start(runs, files[0], options)
        if options.part in ("load", "all"):
            measure_load(runs, texts, [file.read_bytes() for file in files], options)


if __name__ == "__main__":
    main()
