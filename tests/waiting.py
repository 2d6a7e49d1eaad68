"""Wait for what another thread or process does, instead of supposing how long that takes."""

import time
from collections.abc import Callable
from pathlib import Path

PATIENCE = 120.0
"""Seconds; far longer than a slow machine needs, so that only what never happens fails."""


def wait_until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, even if its parent has not yet read its exit status."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"
