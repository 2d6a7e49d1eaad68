"""Processes that are killed at an exact point."""

import os
import signal
import sys
from collections.abc import Callable

_CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


def killed_at(event: int, work: Callable[[], None]) -> bool:
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
