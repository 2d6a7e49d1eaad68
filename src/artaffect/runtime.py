"""What depends on the machine: paths, terminal and progress bars, the cache folder, memory."""

import codecs
import contextlib
import ctypes
import gc
import hashlib
import io
import json
import logging
import math
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from rich import progress
from rich.console import Console
from rich.text import Text

from artaffect.errors import InputError, InputTypeError

T = TypeVar("T")

_logger = logging.getLogger(__name__)

_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What moves a cursor, ends a line, reorders the text around it, or has no encoding."""
_LOOKALIKES = {"◀": "<", "↑": "^", "↓": "v", "→": "->", "–": "-", "—": "-", "×": "x", "…": "..."}


def printable(text: str) -> str:
    """One line for a log or a terminal: line breaks and control characters are escaped."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def visible(value: object) -> Any:
    """A text whose control characters, other than line breaks and tabs, are shown as escapes.

    It is also what a template does with each value; one that is markup already stays as it is.
    """
    if hasattr(value, "__html__"):
        return value
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], str(value))


class Terminal(Console):
    """A console that shows text as it is: a name in brackets is neither markup nor an emoji.

    A string is one line, in a table too: a name cannot add a line that seems to be of the program.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does, with line breaks and control characters escaped."""
        return super().render_str(printable(text), **options)


console = Terminal(stderr=True)
"""Progress and notes go to standard error, so that standard output stays readable for scripts."""


def show_any_character() -> None:
    """Let standard output and standard error replace what their encoding cannot hold.

    If one of them is closed, what is written to it is discarded.
    """
    codecs.register_error("artaffect", _replace)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - to the end
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="artaffect")


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(_LOOKALIKES.get(c) or ascii(c)[1:-1] for c in unknown), error.end


def to_json_text(value: Any, indent: int | None = 2, ascii_only: bool = False) -> str:
    """JSON as every reader accepts it: a number that is not finite becomes null.

    Half a character, as in a file's name that is not UTF-8, is escaped: no file can hold it.
    """
    text = json.dumps(_finite(value), indent=indent, ensure_ascii=ascii_only, allow_nan=False)
    return re.sub("[\ud800-\udfff]", lambda match: ascii(match[0])[1:-1], text)


def print_json(value: Any) -> None:
    """Print JSON on standard output, in ASCII where its encoding does not hold every character."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    text = to_json_text(value, ascii_only=not encoding.lower().startswith("utf"))
    sys.stdout.write(text + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_path(value: object, name: str) -> Path:
    """Check an argument that holds a path, or raise InputTypeError with the argument's name."""
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else value
    if isinstance(path, str) and path:  # a PathLike may also return bytes
        return Path(path)
    given = "an empty string" if isinstance(path, str) else type(path).__name__
    raise InputTypeError(f"{name} must be a path (str or os.PathLike), got {given}")


def as_list(values: Any, name: str) -> list[Any]:
    """A list of paths or names; a single one counts as a list of one."""
    if isinstance(values, str | os.PathLike):
        return [values]
    items = list(values)
    if not items:
        raise InputError(f"{name} is empty: give at least one, or leave it out")
    return items


def progress_bar(transient: bool = False) -> progress.Progress:
    """A bar with counts and times on a terminal; with ``transient``, it disappears at the end."""
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
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
        yield from bar.track(items, total=total, description=printable(description))


def say(*lines: str) -> None:
    """Print lines on standard error, for the person who runs the command."""
    for line in lines:
        console.print(line, soft_wrap=True)


def is_main_process() -> bool:
    """Whether this process writes the results when several train together (``torchrun``)."""
    return int(os.environ.get("RANK", "0")) == 0


@cache
def _warn_homeless() -> None:
    _logger.warning(
        "nothing is kept for the next run, because this user has no home folder: name a folder for "
        "it in the variable ARTAFFECT_CACHE"
    )


def cache_folder(name: str) -> Path | None:
    """The folder of one kind of cache, in ``ARTAFFECT_CACHE`` or the user's cache folder.

    A variable that is empty counts as not set. Without a home folder there is none, and a warning.
    """
    folder = os.environ.get("ARTAFFECT_CACHE")
    if folder:
        return Path(folder) / name
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        _warn_homeless()
        return None
    return caches / "artaffect" / name


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


@contextlib.contextmanager
def collector_off() -> Iterator[None]:
    """Switch Python's garbage collector off, for work that creates many lasting objects."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listen(host: str, port: int) -> socket.socket:
    """Listen at an address; port 0 is any free port.

    Raises:
        InputError: the address cannot be listened on.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not the name of a host"
        raise InputError(f"cannot listen on {host}, port {port}: {reason}") from None
    # connections inherit it: the body of an answer must not wait until its head is acknowledged,
    # which takes 40 ms. asyncio sets it only for sockets that were made with a protocol number.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
