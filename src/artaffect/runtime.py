"""What depends on the machine: paths, progress bars, atomic writes, the cache folder."""

import contextlib
import ctypes
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from rich import progress
from rich.console import Console

from artaffect.errors import InputTypeError, OutputExistsError

T = TypeVar("T")

console = Console(stderr=True, highlight=False)
"""Progress and notes go to standard error, so that standard output stays readable for scripts."""


def as_path(value: object, name: str) -> Path:
    """Check an argument that holds a path, or raise InputTypeError with the argument's name."""
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if isinstance(path, str) and path:  # a PathLike may also return bytes
        return Path(path)
    given = "an empty string" if isinstance(path, str) else type(path).__name__
    raise InputTypeError(f"{name} must be a path (str or os.PathLike), got {given}")


def progress_bar(transient: bool = False) -> progress.Progress:
    """A bar with counts and times on a terminal; with ``transient``, it disappears at the end."""
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=not console.is_terminal,
    )


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Iterate with a progress bar."""
    with progress_bar() as bar:
        yield from bar.track(items, total=total, description=description)


def say(message: str) -> None:
    """Print a message on standard error, for the person who runs the command."""
    console.print(message, markup=False, soft_wrap=True)


def is_main_process() -> bool:
    """Whether this process writes the results when several train together (``torchrun``)."""
    return int(os.environ.get("RANK", "0")) == 0


def cache_folder() -> Path:
    """The folder that keeps features between runs: ``ARTAFFECT_CACHE``, or the user's cache folder."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ARTAFFECT_CACHE", caches / "artaffect"))


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to ``path`` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # the temporary name is short, because the final one may be as long as the file system allows
    handle, name = tempfile.mkstemp(prefix=".", suffix=".partial", dir=path.parent)
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
    """Yield a temporary folder, which is renamed to ``path`` when the block succeeds.

    ``path`` must be free in the sense of :func:`check_free`.
    """
    check_free(path, marker, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{hashlib.blake2b(os.fsencode(path.name), digest_size=6).hexdigest()}."
    for stale in path.parent.glob(f"{prefix}*.partial"):  # left by a killed run
        shutil.rmtree(stale, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=".partial", dir=path.parent))
    try:
        yield temporary
        for entry in (temporary, *temporary.iterdir()):
            entry.chmod(_mode(0o777 if entry.is_dir() else 0o666))
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _mode(mode: int) -> int:
    """Apply the umask: temporary files are private to their owner, results are not."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask


def check_free(path: Path, marker: str, overwrite: bool) -> None:
    """Check that a folder can be written, before the work that fills it begins.

    Args:
        marker: a file that every folder of this kind contains; no other folder is replaced.

    Raises:
        OutputExistsError: ``path`` exists and is not an older result that ``overwrite`` allows.
    """
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / marker).is_file():
        raise OutputExistsError(f"{path} exists and holds no {marker}: choose another name")
    if not overwrite:
        raise OutputExistsError(f"{path} exists: choose another name, or add --overwrite")


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees instead of returning it to the system.

    By default glibc returns a network's large activations after each layer; on a CPU, getting them
    back page by page takes a third of the time. Other C libraries are left alone.
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
