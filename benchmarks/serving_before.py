"""The service and a cold prediction beside those of an older checkout, in turn.

    python benchmarks/serving_before.py RUN OLDER OLDER_RUN [--rounds 15] [--seconds 2] [--starts 5]
                                        [--clients 1 8]

OLDER is a checkout of the older version, whose dependencies are those of this environment, and OLDER_RUN a
model folder that it wrote. Both services run all the time, and each round puts load on one after the other.
The ratio is that of a pair of neighbours, new / old; its median and quartiles are printed.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from extraction import captions, pictures
from serving import COMMAND, RATES, form, load, memory, serving


@contextlib.contextmanager
def version(source: Path) -> Iterator[None]:
    """Let the commands that are started in this block import a version."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(source / "src")
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def in_turn(measures: dict[str, Callable[[], float]], rounds: int, what: str, unit: str) -> None:
    """Measure each side once a round, the first one changing, and print the ratio new / old."""
    values: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for name in list(measures)[:: 1 if number % 2 else -1]:
            values[name].append(measures[name]())
    ratios = [new / old for new, old in zip(values["new"], values["old"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    medians = {name: statistics.median(figures) for name, figures in values.items()}
    print(
        f"{what}: new {medians['new']:.2f} {unit}, old {medians['old']:.2f} {unit}, "
        f"new / old {middle:.3f} [{low:.3f}, {high:.3f}]",
        flush=True,
    )


def seconds_until_ready(source: Path, run: Path) -> float:
    """From the start of the service until it is ready."""
    started = time.perf_counter()
    with version(source), serving(run):
        return time.perf_counter() - started


def seconds_of_a_prediction(source: Path, run: Path, image: Path) -> float:
    """Of a whole process that predicts for one artwork."""
    arguments = [*COMMAND, "predict", str(run), "--caption", "Waves.", "--image", str(image)]
    started = time.perf_counter()
    with version(source):
        subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("run", "older", "older_run"):
        parser.add_argument(name, type=lambda text: Path(text).resolve())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    sides = {"new": (here, options.run), "old": (options.older, options.older_run)}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        texts, images = captions(1024), pictures(Path(folder), 64)
        if options.starts:
            for what, start in {
                "cold predict": lambda *side: seconds_of_a_prediction(*side, images[0]),
                "service ready": seconds_until_ready,
            }.items():
                in_turn(
                    {name: lambda s=side, f=start: f(*s) for name, side in sides.items()},
                    options.starts,
                    what,
                    "s",
                )
        services = {}
        for name, (source, run) in sides.items():
            with version(source):
                services[name] = stack.enter_context(serving(run))
        files = [image.read_bytes() for image in images]
        kinds = {
            "caption": [form(text, None) for text in texts],
            "both": [form(text, image) for text, image in zip(texts, cycle(files), strict=False)],
        }
        for kind, requests in kinds.items():
            endless = cycle(requests)
            for clients in options.clients:

                def rate(port: int, clients: int = clients, endless=endless) -> float:
                    load(port, endless, clients, options.seconds)
                    return RATES[-1]

                measures = {n: lambda port=port: rate(port) for n, (port, _) in services.items()}
                for measure in measures.values():
                    measure()
                in_turn(measures, options.rounds, f"{kind}, {clients} clients", "requests/s")
        for name, (_, process) in services.items():
            print(f"{name}: {memory(process)[1]} MiB at most in the service's own process")
            process.send_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
