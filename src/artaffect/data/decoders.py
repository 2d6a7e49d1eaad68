"""Decodes images in processes of their own, each with a memory limit and a clock.

What a damaged or hostile image does to its process, costs this image only. A few kilobytes cross the
pipe for a path, and the small square that a model sees comes back.
"""

import contextlib
import json
import math
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, BinaryIO, cast

import numpy as np

from artaffect.data.cost import DecodingLimits
from artaffect.data.decoder_worker import (
    Check,
    CheckEach,
    Job,
    Measure,
    Preview,
    Square,
    read_frame,
    write_frame,
)
from artaffect.data.preprocessing import (
    Crop,
    DecodedSquare,
    FileSource,
    ImagePreprocessing,
    ImageSource,
)
from artaffect.errors import ArtAffectError, ImageError, ResourceError

_PROGRAM = (
    "import sys; sys.path[:] = {path!r}; from artaffect.data.decoder_worker import main; main()"
)
_REPLY_BYTES = 256 * 2**20
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class DecodingStopped(ArtAffectError):
    """The result of a decoding is no longer wanted."""


@dataclass
class Decoding:
    """One image in a decoder; :meth:`Decoders.stop` ends it."""

    is_stopped: bool = False
    worker: "_Worker | None" = None
    granted: int = 0
    """Memory in bytes, of that which all decoders share."""


class _Worker:
    """A process that decodes one image at a time."""

    def __init__(self, limits: DecodingLimits) -> None:
        self.limits = limits
        self.is_ready = self.expired = False
        self.is_usable = True
        self.deadline = math.inf
        """When the clock ends it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libtiff and others write there what they think of a file
            env=os.environ | _ONE_THREAD,
        )
        self._requests = cast(BinaryIO, self._process.stdin)
        self._replies = cast(BinaryIO, self._process.stdout)
        write_frame(self._requests, pickle.dumps(asdict(limits)))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process, whatever it does; whoever waits for its reply learns that."""
        self._process.kill()

    def close(self) -> None:
        """End the process, and leave nothing of it."""
        self.kill()
        self._process.wait()
        for stream in (self._requests, self._replies):
            with contextlib.suppress(OSError):  # what was not sent
                stream.close()

    def wait_until_ready(self) -> None:
        if self.is_ready:
            return
        try:
            read_frame(self._replies, 0)
        except EOFError:
            code = self._process.wait()
            raise ResourceError(
                f"the process that decodes images could not be started (exit code {code})"
            ) from None
        self.is_ready = True

    def send(self, job: Job, source: str | bytes) -> None:
        is_path = isinstance(source, str)
        write_frame(self._requests, pickle.dumps((job, source if is_path else None)))
        if isinstance(source, bytes):
            write_frame(self._requests, source)

    def grant(self) -> None:
        write_frame(self._requests, b"")

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Wait for a reply or a request for memory, while the clock runs."""
        self.deadline = time.monotonic() + self.limits.seconds
        try:
            head: dict[str, Any] = json.loads(read_frame(self._replies, _REPLY_BYTES))
            return head, read_frame(self._replies, _REPLY_BYTES)
        finally:
            self.deadline = math.inf

    def fault(self) -> str:
        """Why the process ended in the middle of an image."""
        code = self._process.wait()
        if self.expired:
            return f"decoding takes longer than the allowed {self.limits.seconds:g} seconds"
        return f"its decoding ended the process that did it (exit code {code})"

    def expire(self) -> None:
        """End the process because its time is over."""
        self.expired = True
        self.kill()


@dataclass
class _Shared:
    """What the threads that use decoders share, under the lock of ``changed``."""

    owner: int
    free_bytes: int
    workers: set[_Worker] = field(default_factory=set)
    idle: list[_Worker] = field(default_factory=list)
    is_closed: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)
    clock: threading.Thread | None = None

    def watch(self, every: float) -> None:
        """End the processes whose time is over; one thread does it for all images."""
        while not self.is_closed:
            time.sleep(every)
            with self.changed:
                for worker in self.workers:
                    if worker.deadline < time.monotonic():
                        worker.expire()

    def close(self) -> None:
        if os.getpid() != self.owner:  # a fork: the processes are not its own
            return
        with self.changed:
            self.is_closed = True
            workers = list(self.workers)
            self.changed.notify_all()
        for worker in workers:
            worker.kill()
        for worker in self.idle:
            worker.close()


class Decoders:
    """A few processes that decode images, for any number of threads.

    They are started when they are first needed, and end with this process.
    """

    def __init__(self, limits: DecodingLimits, count: int) -> None:
        self.limits, self.count = limits, count
        self._shared = _Shared(os.getpid(), limits.memory)
        self.close = weakref.finalize(self, self._shared.close)
        """Ends all processes at once, whatever they do."""

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        with self._shared.changed:
            return [worker.pid for worker in self._shared.workers]

    def start(self) -> None:
        """Start the processes now, without waiting for them."""
        with self._shared.changed:
            while len(self._shared.workers) < self.count and not self._shared.is_closed:
                self._shared.idle.append(self._new_worker())

    def find_faults(self, files: Sequence[str | os.PathLike[str]]) -> list[str | None]:
        """What :func:`artaffect.data.preprocessing.check_image` says of each of a few files."""
        with contextlib.suppress(ImageError):
            faults: list[str | None] = self.run(CheckEach([*map(os.path.abspath, files)]), b"")
            return faults
        return [self._fault(file) for file in files]  # one of them ended the process

    def _fault(self, file: str | os.PathLike[str]) -> str | None:
        try:
            self.run(Check(), file)
        except ImageError as error:
            return str(error).removeprefix(f"{file!s}: ")
        return None

    def prepare(self, preprocessing: ImagePreprocessing, source: ImageSource) -> np.ndarray:
        """Prepare an image for prediction, as the preprocessing itself does: float32 [3, s, s]."""
        return preprocessing.normalise(self.square(preprocessing, source, preprocessing.crop))

    def square(
        self,
        preprocessing: ImagePreprocessing,
        source: ImageSource,
        crop: Crop,
        decoding: Decoding | None = None,
    ) -> DecodedSquare:
        """Decode a part of an image as a square."""
        if not isinstance(source, str | os.PathLike | bytes):  # somebody has decoded it
            return preprocessing.decode(source, crop, self.limits)
        square: DecodedSquare = self.run(Square(preprocessing, crop), source, decoding)
        return square

    def measure(self, source: bytes, decoding: Decoding | None = None) -> tuple[int, int]:
        """Width and height from an image's header."""
        size: tuple[int, int] = self.run(Measure(), source, decoding)
        return size

    def preview(self, source: bytes, side: int, decoding: Decoding | None = None) -> bytes:
        """An image as an upright JPEG of at most ``side`` pixels in width and height."""
        content: bytes = self.run(Preview(side), source, decoding)
        return content

    def run(self, job: Job, source: FileSource, decoding: Decoding | None = None) -> Any:
        """Do a job with an image in one of the processes, and wait for its result.

        Raises:
            ImageError: the image cannot be read, or exceeds a limit; the message has the file's name.
            DecodingStopped: :meth:`stop` was called, or these decoders were closed.
            ResourceError: no process can be started.
        """
        name = "the image" if isinstance(source, bytes) else str(source)
        if not isinstance(source, bytes):
            source = os.path.abspath(source)  # the process keeps the folder in which it was started
        decoding = decoding or Decoding()
        with self._worker(decoding) as worker:
            head, content = self._exchange(worker, job, source, decoding, name)
        if "error" in head:
            raise RuntimeError(f"{name}: {head['error']}")
        if "image_error" in head:
            fault = head["image_error"] or (
                f"decoding needs more memory than the allowed {self.limits.memory:,} bytes"
            )
            prefix = source if isinstance(source, str) else name
            raise ImageError(f"{name}: {fault.removeprefix(f'{prefix}: ')}")
        width, height = head["size"]
        return job.result((width, height), content)

    def stop(self, decoding: Decoding) -> None:
        """End a decoding whose result is no longer wanted, from any thread."""
        with self._shared.changed:
            decoding.is_stopped = True
            if decoding.worker is not None:
                decoding.worker.kill()
            self._shared.changed.notify_all()

    def _exchange(
        self, worker: _Worker, job: Job, source: str | bytes, decoding: Decoding, name: str
    ) -> tuple[dict[str, Any], bytes]:
        worker.is_usable = False  # until its reply has been read
        try:
            worker.wait_until_ready()
            worker.send(job, source)
            head, content = worker.receive()
            while "needs" in head:
                self._reserve(int(head["needs"]), decoding)
                worker.grant()
                head, content = worker.receive()
        except (EOFError, BrokenPipeError, ResourceError):
            with self._shared.changed:
                self._check_wanted(decoding)
            if not worker.is_ready:
                raise
            raise ImageError(f"{name}: {worker.fault()}") from None
        worker.is_usable = head["usable"]
        return head, content

    @contextlib.contextmanager
    def _worker(self, decoding: Decoding) -> Iterator[_Worker]:
        """A process for one image; it is replaced if it cannot be used again."""
        shared = self._shared
        with shared.changed:
            worker = self._take(decoding)
        try:
            yield worker
        finally:
            with shared.changed:
                decoding.worker = None
                shared.free_bytes += decoding.granted
                if worker.is_usable and not (decoding.is_stopped or shared.is_closed):
                    shared.idle.append(worker)
                else:
                    shared.workers.discard(worker)
                    worker.close()
                    if not shared.is_closed:
                        shared.idle.insert(0, self._new_worker())
                shared.changed.notify_all()

    def _take(self, decoding: Decoding) -> _Worker:
        shared = self._shared
        while True:
            self._check_wanted(decoding)
            if shared.idle:
                decoding.worker = worker = shared.idle.pop()
                if worker.is_alive:
                    return worker
                shared.workers.discard(worker)
                worker.close()
            elif len(shared.workers) < self.count:
                shared.idle.append(self._new_worker())
            else:
                shared.changed.wait()

    def _new_worker(self) -> _Worker:
        if self._shared.clock is None:
            every = min(0.25, self.limits.seconds / 4)
            clock = threading.Thread(target=self._shared.watch, args=[every], daemon=True)
            self._shared.clock = clock
            clock.start()
        worker = _Worker(self.limits)
        self._shared.workers.add(worker)
        return worker

    def _reserve(self, needed: int, decoding: Decoding) -> None:
        """Wait until so much memory is free: one budget for all images that are being decoded."""
        shared = self._shared
        with shared.changed:
            missing = min(needed, self.limits.memory) - decoding.granted
            while missing > shared.free_bytes:
                self._check_wanted(decoding)
                shared.changed.wait()
            shared.free_bytes -= max(0, missing)
            decoding.granted += max(0, missing)

    def _check_wanted(self, decoding: Decoding) -> None:
        if decoding.is_stopped or self._shared.is_closed:
            raise DecodingStopped("the decoding of an image was stopped")


def shared_decoders() -> Decoders:
    """The decoders of this process for its own files, as many as cores, with generous limits."""
    return _decoders_of(os.getpid())


@cache
def _decoders_of(process: int) -> Decoders:
    """By process: a fork must not talk to the decoders of the process from which it was made."""
    return Decoders(DecodingLimits(), os.cpu_count() or 1)
