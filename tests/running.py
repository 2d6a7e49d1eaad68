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
    """A process and where it listens."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    def resident_bytes(self) -> int:
        """Memory that the process holds."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> int:
        """Ask it to stop, and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


_ANNOUNCED = re.compile(r'"message": "serving", "address": "(http://[^"]+)"')


@contextlib.contextmanager
def serve(run: Path, folder: Path, *options: str, key: str | None = None) -> Iterator[Running]:
    """Run the command until the block ends; its log is kept in ``folder``."""
    command = [sys.executable, "-m", "artaffect.cli.main", "serve", str(run), "--port", "0"]
    environment = os.environ | ({"ARTAFFECT_API_KEY": key} if key else {})
    log = folder / "serve.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *options], stdout=out, stderr=subprocess.STDOUT, env=environment
        )
    try:
        deadline = time.monotonic() + 120
        while not (announced := _ANNOUNCED.search(log.read_text("utf-8"))):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the service did not start:\n{log.read_text('utf-8')}")
            time.sleep(0.1)
        # an announced address answers at once
        assert httpx.get(announced[1] + "readyz").status_code == 200
        yield Running(process, announced[1], log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
