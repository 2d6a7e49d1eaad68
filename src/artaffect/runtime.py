"""What depends on the machine: seeds, progress on the terminal, atomic writes, the cache folder."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from artaffect.errors import OutputExistsError

T = TypeVar("T")

console = Console(stderr=True, highlight=False)
"""Progress and notes go to standard error, so that standard output stays readable for scripts."""


def progress_bar(transient: bool = False) -> Progress:
    """A bar with counts and the time left; n_resamples nothing where standard error is no terminal.

    Args:
        transient: wipe the bar when the work is done.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=not console.is_terminal,
    )


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate with a progress bar."""
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)


def say(message: str) -> None:
    """One line for the person who waits."""
    console.print(message, markup=False, soft_wrap=True)


def is_main_process() -> bool:
    """Whether this process writes the results, where several train together (``torchrun``)."""
    return int(os.environ.get("RANK", "0")) == 0


def cache_folder() -> Path:
    """Where features are kept between runs: ``ARTAFFECT_CACHE``, else the user's cache folder."""
    if "ARTAFFECT_CACHE" in os.environ:
        return Path(os.environ["ARTAFFECT_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "artaffect"


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; it takes the name only when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_mode(0o666))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary folder beside ``path``; it takes the name only when the block succeeds.

    Args:
        marker: a file that every folder of this kind holds: only such a folder is ever replaced.

    Raises:
        OutputExistsError: ``path`` may not be replaced.
    """
    check_free(path, marker, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.partial"):  # left by a run that was killed
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(_mode(0o777))
        for file in temporary.iterdir():
            if file.is_file():
                file.chmod(_mode(0o666))
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _mode(most: int) -> int:
    """What a new file may be: temporary ones are private to their owner, results are not."""
    umask = os.umask(0)
    os.umask(umask)
    return most & ~umask


def check_free(path: Path, marker: str, overwrite: bool) -> None:
    """Refuse to write a folder over something, before the work that fills it begins.

    Raises:
        OutputExistsError: ``path`` exists, and is not an older result that ``overwrite`` allows.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / marker).is_file():
        raise OutputExistsError(f"{path} exists and holds no {marker}: choose another name")
    if not overwrite:
        raise OutputExistsError(f"{path} exists: choose another name, or add --overwrite")


def keep_freed_memory() -> None:
    """Let this process reuse the memory that it frees, for one that computes and does little else.

    By default glibc returns a network's large activations to the system after each layer; on a CPU,
    getting them back page by page takes a third of the time. With another C library nothing happens.
    """
    trim_threshold, mmap_max = -1, -4  # mallopt(3)
    with contextlib.suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**30)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
