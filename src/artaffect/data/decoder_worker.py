"""The process that decodes images for another one, which may end it at any time.

It imports Pillow and numpy only. It gets a job and an image on its standard input, and answers with
JSON and bytes, never with a pickle, on its standard output.
"""

import contextlib
import importlib
import io
import json
import os
import pickle
import signal
import struct
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO, Protocol

import numpy as np
from PIL import Image

from artaffect.data.cost import DecodingLimits
from artaffect.data.preprocessing import (
    Crop,
    DecodedSquare,
    FileSource,
    ImagePreprocessing,
    check_image,
    image_size,
    open_image,
)
from artaffect.errors import ImageError

FREE_BYTES = 64 * 2**20
"""Memory for which a worker does not ask: it is enough for most images."""
_SLACK_BYTES = 2 * FREE_BYTES
_COPIES = 8
"""How often the bytes of a file may be copied while it is read."""
_GRACE_SECONDS = 5.0
_LENGTH = struct.Struct("<Q")

Size = tuple[int, int]


class Job(Protocol):
    """What a worker does with an image; the result crosses the pipe as a size and bytes."""

    def run(self, source: FileSource, limits: DecodingLimits) -> tuple[Size, bytes]:
        """Do it, in the worker."""

    def result(self, size: Size, content: bytes) -> Any:
        """The result, in the process that asked."""


@dataclass(frozen=True)
class Check:
    """Check an image file; the result is None."""

    def run(self, source: FileSource, limits: DecodingLimits) -> tuple[Size, bytes]:
        check_image(source, limits)
        return (0, 0), b""

    def result(self, size: Size, content: bytes) -> None:
        return None


@dataclass(frozen=True)
class CheckEach:
    """Check many files, because a message for each takes longer than to look at its structure.

    The result is what is wrong with each, or None.
    """

    files: Sequence[str]

    def run(self, source: FileSource, limits: DecodingLimits) -> tuple[Size, bytes]:
        return (0, 0), json.dumps([self._fault(file, limits) for file in self.files]).encode()

    def result(self, size: Size, content: bytes) -> list[str | None]:
        faults: list[str | None] = json.loads(content)
        return faults

    @staticmethod
    def _fault(file: str, limits: DecodingLimits) -> str | None:
        try:
            check_image(file, limits)
        except ImageError as error:
            return str(error).removeprefix(f"{file}: ")
        return None


@dataclass(frozen=True)
class Measure:
    """Read an image's header; the result is its size."""

    def run(self, source: FileSource, limits: DecodingLimits) -> tuple[Size, bytes]:
        return image_size(source, limits), b""

    def result(self, size: Size, content: bytes) -> Size:
        return size


@dataclass(frozen=True)
class Square:
    """Make a part of an image a square; the result is a DecodedSquare."""

    preprocessing: ImagePreprocessing
    crop: Crop

    def run(self, source: FileSource, limits: DecodingLimits) -> tuple[Size, bytes]:
        decoded = self.preprocessing.decode(source, self.crop, limits)
        return decoded.size, decoded.pixels.tobytes() + bytes([decoded.is_first_frame])

    def result(self, size: Size, content: bytes) -> DecodedSquare:
        side = self.crop.side
        pixels = np.frombuffer(content[:-1], np.uint8).reshape(side, side, 3)
        return DecodedSquare(pixels, size, is_first_frame=bool(content[-1]))


@dataclass(frozen=True)
class Preview:
    """Make an image a small JPEG; the result is its bytes."""

    side: int
    quality: int = 88

    def run(self, source: FileSource, limits: DecodingLimits) -> tuple[Size, bytes]:
        image = open_image(source, self.side // 2, limits)
        image.thumbnail((self.side, self.side))
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=self.quality)
        return image.size, buffer.getvalue()

    def result(self, size: Size, content: bytes) -> bytes:
        return content


def write_frame(stream: BinaryIO, content: bytes) -> None:
    """Write bytes after their length."""
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_frame(stream: BinaryIO, limit: int | None = None) -> bytes:
    """Read what :func:`write_frame` wrote.

    Raises:
        EOFError: the other process has ended, or wants to send more than ``limit`` bytes.
    """
    start = stream.read(_LENGTH.size)
    (length,) = _LENGTH.unpack(start) if len(start) == _LENGTH.size else (-1,)
    if length < 0 or (limit is not None and length > limit):
        raise EOFError
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return content


@dataclass(frozen=True, kw_only=True)
class _Granted(DecodingLimits):
    """The limits of one image in a worker, which asks for more memory than is free for every image."""

    worker: "_Worker"
    used: int
    """Memory that the file itself may need, in bytes."""

    def admit(self, needed: int) -> None:
        super().admit(needed)
        if needed > FREE_BYTES:
            self.worker.reply({"needs": needed})
            read_frame(self.worker.requests)
        _bound(self.used + needed, self.seconds)


class _Worker:
    """Answers jobs, each within the memory that it was granted."""

    def __init__(self, requests: BinaryIO, replies: BinaryIO) -> None:
        self.requests, self.replies = requests, replies
        self._settings: dict[str, Any] = pickle.loads(read_frame(requests))
        tiny = io.BytesIO()
        Image.new("RGB", (8, 8)).save(tiny, "JPEG")
        open_image(tiny.getvalue())  # loads what is loaded lazily
        self._initial = _data_bytes()
        write_frame(replies, b"")

    def reply(self, head: dict[str, Any], content: bytes = b"") -> None:
        write_frame(self.replies, json.dumps(head).encode())
        write_frame(self.replies, content)

    def answer(self) -> bool:
        """Answer one job, and return whether this process can be used again."""
        job, source = pickle.loads(read_frame(self.requests))
        if source is None:
            source = read_frame(self.requests)
        used = _SLACK_BYTES + _COPIES * _file_bytes(source)
        limits = _Granted(**self._settings, worker=self, used=used)
        content, usable = b"", True
        try:
            _bound(limits.used, limits.seconds)
            size, content = job.run(source, limits)
            head: dict[str, Any] = {"size": size}
        except ImageError as error:
            head = {"image_error": str(error)}
        except MemoryError:
            head, usable = {"image_error": None}, False
        except (EOFError, BrokenPipeError):
            raise
        except Exception:  # noqa: BLE001 -- it is raised again in the process that asked
            head, usable = {"error": traceback.format_exc()}, False
        _bound(None, None)
        usable = usable and (_data_bytes() - self._initial) < FREE_BYTES
        self.reply(head | {"usable": usable}, content)
        return usable


def _file_bytes(source: str | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    with contextlib.suppress(OSError, ValueError):
        return os.path.getsize(source)
    return 0


@cache
def _memory_file() -> int | None:
    """Where the system says how much memory a process has, or None."""
    with contextlib.suppress(OSError):
        return os.open("/proc/self/statm", os.O_RDONLY)
    return None


def _data_bytes() -> int:
    """The memory that counts for the limit; 0 where the system does not say."""
    file = _memory_file()
    if file is None:
        return 0
    return int(os.pread(file, 200, 0).split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _bound(more: int | None, seconds: float | None) -> None:
    """Limit the memory that this process may still take, where the system can, and its time.

    The alarm ends a process whose parent was killed, even inside a decoder. The parent's own clock is
    faster.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0 if seconds is None else seconds + _GRACE_SECONDS)
    used = _data_bytes()
    if used:  # only Linux says, and only there does the limit hold for all memory
        resource = importlib.import_module("resource")
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = resource.RLIM_INFINITY if more is None else used + more
        resource.setrlimit(resource.RLIMIT_DATA, (soft if hard < 0 else min(soft, hard), hard))


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    """Answer jobs until the other process closes its end or is gone."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "r+b") as nothing:  # what a decoder prints is not a reply
        os.dup2(nothing.fileno(), 0)
        os.dup2(nothing.fileno(), 1)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # sent to all processes of a terminal or a service
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(os, "getppid"):
        threading.Thread(target=_exit_with_parent, args=[os.getppid()], daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        worker = _Worker(requests, replies)
        while worker.answer():
            pass
    os._exit(0)  # nothing is left to do, and a decoder's own threads are not waited for
