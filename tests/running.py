"""The service as a process of its own, as `artaffect serve` starts it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx


@dataclass
class Running:
    """A process and where it listens; ``delays`` is written by ``tests.watched``."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path
    delays: Path
    _read: int = 0

    def longest_delays(self) -> tuple[float, float]:
        """Milliseconds for which the event loop was held up, and computed itself, since the last call."""
        lines = [tuple(map(float, line.split())) for line in self.delays.read_text().splitlines()]
        new = lines[self._read :]
        self._read = len(lines)
        return max((late for late, _ in new), default=0.0), max(
            (own for _, own in new), default=0.0
        )

    def resident_bytes(self) -> int:
        """Memory that the process holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> int:
        """Ask it to stop, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


_ROOT = Path(__file__).resolve().parents[1]
_ANNOUNCED = re.compile(r'"message": "serving", "address": "(http://[^"]+)"')


@contextlib.contextmanager
def serve(
    run: Path, folder: Path, *options: str, key: str | None = None, files: int | None = None
) -> Iterator[Running]:
    """Run the command until the block ends; its log is kept in ``folder``.

    Args:
        files: how many files it may open.
    """
    command = [sys.executable, "-m", "artaffect.cli.main", "serve", str(run), "--port", "0"]
    if files is not None:
        command = ["prlimit", f"--nofile={files}:{files}", *command]
    environment = os.environ | ({"ARTAFFECT_API_KEY": key} if key else {})
    with _started([*command, *options], folder, environment) as running:
        yield running


@contextlib.contextmanager
def serve_watched(run: Path, folder: Path) -> Iterator[Running]:
    """Run the service until the block ends, in a process that measures its event loop."""
    command = [sys.executable, "-m", "tests.watched", str(run), str(folder / "delays")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # so that time used is time lost to others
    with _started(command, folder, environment) as running:
        yield running


@contextlib.contextmanager
def _started(command: list[str], folder: Path, environment: dict[str, str]) -> Iterator[Running]:
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment, cwd=_ROOT
        )
    try:
        deadline = time.monotonic() + 120
        while not (announced := _ANNOUNCED.search(log.read_text("utf-8"))):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start:\n{log.read_text('utf-8')}")
            time.sleep(0.1)
        # an announced address answers at once
        assert httpx.get(announced[1] + "readyz", timeout=30).status_code == 200
        yield Running(process, announced[1], log, folder / "delays")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
