"""Images for training: random views, and a cache of decoded images on disk."""

import contextlib
import errno
import hashlib
import logging
import mmap
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from artaffect.data.decoders import shared_decoders
from artaffect.data.preprocessing import Crop, ImagePreprocessing

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageViews:
    """Random views of images: parts of them, perhaps mirrored.

    The colours stay, nothing is rotated or distorted, and most of the composition is visible. A view
    depends only on the seed, the epoch and the image, so resumed training sees the same views.
    """

    files: Sequence[Path]
    preprocessing: ImagePreprocessing
    crop: float = 1.0
    """Smallest visible fraction of each side; with 1, the view is the input of prediction."""
    flip: bool = False
    """Mirror half of the views."""
    seed: int = 0
    cache: "ImageCache | None" = None

    def read(self, index: int, epoch: int) -> np.ndarray:
        """The view of one image in one epoch: float32 [3, size, size]."""
        if self.crop == 1 and not self.flip and self.cache is None:
            return shared_decoders().prepare(self.preprocessing, self.files[index])
        source = self.files[index] if self.cache is None else self.cache.read(index)
        rng = np.random.default_rng((self.seed, epoch, index))
        fraction = rng.uniform(self.crop, 1.0)
        left, top = rng.uniform(size=2)
        is_mirrored = self.flip and rng.uniform() < 0.5
        crop = Crop.of(self.preprocessing.size, fraction, (left, top))
        square = shared_decoders().square(self.preprocessing, source, crop)
        pixels = self.preprocessing.normalise(square)
        return np.ascontiguousarray(pixels[..., ::-1]) if is_mirrored else pixels


@dataclass(frozen=True)
class ImageCache:
    """Images decoded to squares on disk, each when it is first read.

    80,000 squares of 256 pixels take 16 GB. Each image has its own position in one sparse file, so that
    several processes may write at the same time. Its checksum is written after its pixels: a square that
    is half-written or damaged is decoded anew. A cache never stops the training and never changes it:
    where nothing can be kept, the same squares are decoded again in each epoch.
    """

    files: Sequence[Path]
    preprocessing: ImagePreprocessing
    folder: Path | None
    """None keeps nothing."""

    def __post_init__(self) -> None:
        if self.path is not None:
            _warned(self.path.parent)  # worker processes inherit both

    @property
    def side(self) -> int:
        """Side of a cached square in pixels: the size to which prediction resizes."""
        return round(self.preprocessing.size / min(self.preprocessing.crop_fraction, 0.875))

    def read(self, index: int) -> Image.Image:
        """The image as a square."""
        pixels = self._load(index)
        if pixels is not None:
            return Image.frombytes("RGB", (self.side, self.side), pixels)
        crop = Crop.of(self.side, 1.0, (0.5, 0.5))
        square = shared_decoders().square(self.preprocessing, self.files[index], crop).pixels
        self._store(index, square.tobytes())
        return Image.fromarray(square)

    @cached_property
    def path(self) -> Path | None:
        """The file of the squares; anything else in its place is set aside."""
        if self.folder is None:
            return None
        path = self.folder / f"{self._digest()}.squares"
        with contextlib.suppress(OSError):  # there is none; or writing will say what is wrong
            if not stat.S_ISREG(path.lstat().st_mode) or not _is_current(path):
                damaged = path.rename(path.with_suffix(".damaged"))
                _logger.warning(
                    f"{path} is no file of decoded images, or one of another version: set aside as "
                    f"{damaged.name}, and its images are decoded anew"
                )
        return path

    def _digest(self) -> str:
        rules = (self.side, self.preprocessing.fit, self.preprocessing.interpolation)
        digest = hashlib.blake2b(repr(rules).encode(), digest_size=10)
        for image in self.files:
            digest.update(os.fsencode(image) + b"\0")
            with contextlib.suppress(OSError, ValueError):  # reported when the image is read
                status = image.stat()
                # also the time of the last change: another file may have the same size and date
                state = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                digest.update(repr(state).encode())
        return digest.hexdigest()

    def _position(self, index: int) -> tuple[int, int]:
        """Where the pixels of an image begin and how many bytes they take; its mark follows them."""
        size = self.side * self.side * 3
        return len(_VERSION) + index * (size + _MARK), size

    def _load(self, index: int) -> memoryview | None:
        if self.path is None:
            return None
        position, size = self._position(index)
        try:
            with _opened(self.path, os.O_RDONLY) as file:
                record = memoryview(os.pread(file, size + _MARK, position))
        except OSError:
            return None
        pixels, mark = record[:size], record[size:]
        if not any(mark):  # nothing is stored, or not yet all of it
            return None
        if mark == _mark(index, pixels):
            return pixels
        message = f"{self.path} is damaged: images whose checksum differs are decoded anew"
        _warn(self.path, _DAMAGED, message)
        return None

    def _store(self, index: int, pixels: bytes) -> None:
        if self.path is None:
            return
        position, size = self._position(index)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _opened(self.path, os.O_WRONLY | os.O_CREAT) as file:
                system = os.fstatvfs(file)
                if system.f_bavail * system.f_frsize < _FREE:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                _write(file, _VERSION, 0)
                _write(file, pixels, position)
                _write(file, _mark(index, pixels), position + size)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"the cache {self.path.parent} cannot be written ({reason})"
            _warn(self.path, _UNWRITABLE, f"no more decoded images are kept: {message}")


_VERSION = b"artaffect squares 2\n"
"""How a file of squares begins."""
_MARK = 8
"""Bytes behind the pixels of a complete square: four letters, and a checksum."""
_FREE = 1 << 30
"""Bytes that the cache leaves free on its disk: a full one would cost the training its checkpoints."""
_UNWRITABLE, _DAMAGED = 0, 1


def _mark(index: int, pixels: bytes | memoryview) -> bytes:
    return b"full" + zlib.crc32(pixels, index).to_bytes(4, "little")


def _is_current(path: Path) -> bool:
    with path.open("rb") as file:
        return _VERSION.startswith(file.read(len(_VERSION)))  # one that is cut short is none yet


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """A file that is read and written by position: unlike a mapping of it, that raises OSError."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, data: bytes, position: int) -> None:
    rest = memoryview(data)
    while rest:  # the rest of a write that is cut short says why
        written = os.pwrite(file, rest, position)
        rest, position = rest[written:], position + written


@cache
def _warned(folder: Path) -> mmap.mmap:
    """Which warnings were given, in memory that worker processes share with the one that starts them."""
    return mmap.mmap(-1, 2)


def _warn(path: Path, kind: int, message: str) -> None:
    warned = _warned(path.parent)
    if not warned[kind]:
        warned[kind] = True
        _logger.warning(message)
