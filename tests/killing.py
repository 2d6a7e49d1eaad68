"""Processes that are killed at an exact point."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


_KILLED = """
import os, signal, sys
from artaffect.cli.main import main
left = 2
def hook(name, arguments):
    global left
    if name == "os.rename" and os.fsdecode(arguments[1]).endswith({ending!r}):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
main()
"""


def kill_command_at_second(
    ending: str, *arguments: object, environment: Mapping[str, str] | None = None
) -> None:
    """Run ``artaffect``, and kill it just before it renames a second file to a name with this ending."""
    code = _KILLED.format(ending=ending)
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=400)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-3000:]


def killed_at(event: int, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process that is killed before its n-th change of the file system, if it has one."""
    child = os.fork()
    if child == 0:
        changes = 0

        def hook(name: str, arguments: tuple[object, ...]) -> None:
            nonlocal changes
            if name in _CHANGES:
                changes += 1
                if changes == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def killed_while_writing(folder: Path, work: Callable[[], object]) -> bool:
    """Run ``work`` in a process that is killed once it has written a part of a result into ``folder``.

    A result is written under a hidden name that ends in ``.partial``.
    """
    child = os.fork()
    if child == 0:

        def watch() -> None:
            while True:
                for path in folder.glob(".*.partial"):
                    with contextlib.suppress(OSError):
                        if path.stat().st_size:
                            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=watch, daemon=True).start()
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
