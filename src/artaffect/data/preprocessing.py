"""How images and captions are prepared for a model. No torch here.

Both sets of rules are saved with a model and loaded with it, so that training, prediction and every
export prepare their inputs in the same way.
"""

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, TypeVar

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

from artaffect.data.cost import (
    DecodingLimits,
    check_before_opening,
    jpeg_bytes,
    needed_bytes,
    tiff_part_bytes,
)
from artaffect.data.formats import DecoderError, decoder_errors, identify, open_decoder
from artaffect.data.jpeg import WholeJpeg
from artaffect.data.metadata import png_looks_whole, without_metadata
from artaffect.data.pixels import upright_rgb
from artaffect.errors import ImageError

_LIMITS = DecodingLimits()
Read = TypeVar("Read", ImageFile, Image.Image)
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class DecodedSquare:
    """The square of an image that a model sees."""

    pixels: np.ndarray
    """uint8 [side, side, 3]."""
    size: tuple[int, int]
    """Width and height of the upright image, which may have been decoded at a part of its size."""
    is_first_frame: bool = False
    """Whether the file has further frames or pages."""


_FRAMES = "artaffect.frames"
"""In the info of a decoded image: whether its file has further frames or pages."""

FileSource = str | os.PathLike[str] | bytes
"""A path, or the bytes of a file."""

ImageSource = FileSource | Image.Image | np.ndarray | DecodedSquare
"""A path, the bytes of a file, a Pillow image, an array, or what a decoder has made of an image.

An array is uint8, or float from 0 to 1, of shape [height, width, 3] or [height, width].
"""


def image_size(source: FileSource, limits: DecodingLimits = _LIMITS) -> tuple[int, int]:
    """Width and height from a file's header, before any rotation; nothing is decoded."""
    with open_header(source, limits) as image:
        return image.size


def frame_count(source: FileSource) -> int:
    """How many frames or pages a file has; of several, :func:`open_image` reads the first."""
    with open_header(source) as image:
        with contextlib.suppress(ImageError), decoder_errors("animated"):
            return int(getattr(image, "n_frames", 1))
        return 1  # frames after the first are broken


def check_image(source: FileSource, limits: DecodingLimits = _LIMITS) -> None:
    """Check that an image can be read; a JPEG or PNG is decoded only if its structure looks damaged.

    A whole JPEG with one pass cannot be told from one that was cut and given a new end: in half of
    these cases, only :func:`open_image` notices.

    Raises:
        ImageError: the image is broken, or too large.
    """
    with _opened(source) as (kind, stream):
        image = _read(partial(_read_header, limits=limits), kind, stream)
        stream.seek(0)
        if kind == "JPEG":
            jpeg = WholeJpeg(stream.read())
            limits.check_scans(*image.size, jpeg.scans)
            if jpeg.looks_whole:
                return
        if kind == "PNG" and png_looks_whole(stream.read()):
            return
        stream.seek(0)
        _read(partial(_decode, smallest_side=1, limits=limits), kind, stream)


def open_image(
    source: ImageSource, smallest_side: int | None = None, limits: DecodingLimits = _LIMITS
) -> Image.Image:
    """Decode an image as upright RGB; of several frames or pages, the first.

    Of the metadata only the orientation counts, and only if it can be read.

    Args:
        smallest_side: lets a JPEG be decoded at a half, a quarter or an eighth of its size, as long
            as no side becomes shorter than twice this number of pixels.
        limits: what decoding may cost, judged by the structure of the file.

    Raises:
        ImageError: the message has the file's name and the problem.
    """
    if isinstance(source, DecodedSquare):
        return Image.fromarray(source.pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with _named_errors("the image"):
            return upright_rgb(source, source.format or source.mode)
    with _opened(source) as (kind, stream):
        decode = partial(_decode, smallest_side=smallest_side, limits=limits)
        return _read(decode, kind, stream)


@contextlib.contextmanager
def open_header(source: FileSource, limits: DecodingLimits = _LIMITS) -> Iterator[ImageFile]:
    """Open an image file without decoding it; an ImageError in the block gets the file's name."""
    with _opened(source) as (kind, stream):
        yield _read(partial(_read_header, limits=limits), kind, stream)


@contextlib.contextmanager
def _opened(source: FileSource) -> Iterator[tuple[str, BinaryIO]]:
    """An image file's format and content."""
    if not isinstance(source, str | os.PathLike | bytes):
        raise ImageError(
            "an image must be a path (str or os.PathLike), bytes, a PIL.Image or a numpy array, "
            f"got {type(source).__name__}"
        )
    with (
        _named_errors("the image" if isinstance(source, bytes) else os.fspath(source)),
        io.BytesIO(source) if isinstance(source, bytes) else _open_file(source) as stream,
    ):
        yield identify(stream), stream


class _BoundedFile(io.BufferedReader):
    """A file that a damaged header cannot ask for more bytes than it has."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a file but a folder or a device")
        self._size = status.st_size
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1) -> bytes:
        """Read at most as many bytes as there are."""
        return super().read(-1 if size is None or size > self._size else size)


def _open_file(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return _BoundedFile(path)
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except ValueError as error:  # a name with a zero byte, or with half a character
        raise ImageError(f"no such file ({error})") from None


@contextlib.contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except OSError as error:  # of the disk
        raise ImageError(f"{name}: cannot be read ({error.strerror or error})") from None


def _read(read: Callable[[str, BinaryIO, bytes], Read], kind: str, stream: BinaryIO) -> Read:
    """Read an image, and try without its metadata if that fails."""
    try:
        return read(kind, stream, b"")
    except DecoderError:
        stream.seek(0)
        pixels, exif = without_metadata(kind, stream.read())
        with contextlib.suppress(ImageError):  # else the fault of the file as it is
            return read(kind, io.BytesIO(pixels), exif)
        raise


def _decode(
    kind: str, stream: BinaryIO, exif: bytes, smallest_side: int | None, limits: DecodingLimits
) -> Image.Image:
    needed = 0
    if kind == "JPEG":
        stream = WholeJpeg(stream.read())
    elif kind == "TIFF":
        needed = tiff_part_bytes(stream)
    image = _read_header(kind, stream, exif, limits)
    if isinstance(stream, WholeJpeg):
        limits.check_scans(*image.size, stream.scans)
        needed = jpeg_bytes(*image.size, len(image.getbands()), stream.scans)
        if smallest_side:
            with decoder_errors(kind):
                image.draft("RGB", (2 * smallest_side, 2 * smallest_side))
    limits.admit(needed + needed_bytes(kind, image))
    upright = upright_rgb(image, kind, exif)
    if isinstance(stream, WholeJpeg):
        stream.check_end()
    with contextlib.suppress(DecoderError), decoder_errors(kind):
        upright.info[_FRAMES] = bool(getattr(image, "is_animated", False))
    return upright


def _read_header(kind: str, stream: BinaryIO, _: bytes, limits: DecodingLimits) -> ImageFile:
    check_before_opening(kind, stream, limits)
    image = open_decoder(kind, stream)
    limits.check_size(*image.size)
    return image


def _from_array(pixels: np.ndarray) -> Image.Image:
    if pixels.size and (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        if pixels.dtype == np.uint8:
            return Image.fromarray(pixels).convert("RGB")
        if pixels.dtype.kind == "f" and pixels.min() >= 0 and pixels.max() <= 1:
            return Image.fromarray((pixels * 255).round().astype(np.uint8)).convert("RGB")
    raise ImageError(
        "an image array must be uint8, or float from 0 to 1, of shape [height, width, 3] or "
        f"[height, width], got {pixels.dtype} {list(pixels.shape)}"
    )


@dataclass(frozen=True)
class Crop:
    """Which part of an image becomes a square, and how."""

    side: int
    """Side of the square, in pixels."""
    fraction: float
    """How much of each side of the image is visible."""
    position: tuple[float, float]
    """Where the part is, from left and top, each from 0 to 1."""
    smallest_side: int
    """See :func:`open_image`."""

    @classmethod
    def of(cls, side: int, fraction: float, position: tuple[float, float]) -> "Crop":
        """A part that is decoded at the size that it needs."""
        return cls(side, fraction, position, round(side / fraction))


@dataclass(frozen=True)
class ImagePreprocessing:
    """From an image to the input array of an image encoder."""

    size: int = 224
    """Side of the square input, in pixels."""
    fit: str = "crop"
    """``crop``: the centre of the image, undistorted; ``stretch``: the whole image, made square."""
    crop_fraction: float = 0.875
    """With ``crop``: the fraction of the shorter side that the square covers."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from each channel, on a scale from 0 to 1; the result is divided by ``std``."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    interpolation: str = "bicubic"
    """``bicubic`` or ``bilinear``."""

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.crop_fraction <= 1:
            raise ValueError("size must be at least 1 and crop_fraction in (0, 1]")
        for name, allowed in (("fit", ("crop", "stretch")), ("interpolation", _RESAMPLING)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")

    def __call__(self, source: ImageSource) -> np.ndarray:
        """Prepare an image for prediction: float32 [3, size, size]."""
        return self.normalise(self.decode(source, self.crop))

    @property
    def crop(self) -> "Crop":
        """The part of an image that prediction sees."""
        return Crop(self.size, *self._visible, round(self.size / self.crop_fraction))

    def decode(
        self, source: ImageSource, crop: "Crop", limits: DecodingLimits = _LIMITS
    ) -> DecodedSquare:
        """Decode a part of an image as a square."""
        if isinstance(source, DecodedSquare):
            return source
        image = open_image(source, crop.smallest_side, limits)
        square = self.square(image, crop.side, crop.fraction, crop.position)
        return DecodedSquare(np.asarray(square), image.size, bool(image.info.get(_FRAMES)))

    def square(
        self, image: Image.Image, side: int, fraction: float, position: tuple[float, float]
    ) -> Image.Image:
        """A part of an image as a square of ``side`` pixels; see :class:`Crop`."""
        box = self._box(image.width, image.height, fraction, position)
        # resizing only this box avoids a huge intermediate image for a long frieze
        return image.resize((side, side), _RESAMPLING[self.interpolation], box=box)

    def normalise(self, square: DecodedSquare) -> np.ndarray:
        """The input array of a square: float32 [3, side, side]."""
        pixels = square.pixels.astype(np.float32) / 255
        pixels = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def visible_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an image that the encoder sees: left, top, right, bottom, in pixels."""
        return self._box(width, height, *self._visible)

    @property
    def _visible(self) -> tuple[float, tuple[float, float]]:
        return (self.crop_fraction if self.fit == "crop" else 1.0, (0.5, 0.5))

    def _box(
        self, width: int, height: int, fraction: float, position: tuple[float, float]
    ) -> tuple[float, float, float, float]:
        sides = (width * fraction, height * fraction)
        if self.fit == "crop":
            sides = (min(sides), min(sides))
        left, top = (width - sides[0]) * position[0], (height - sides[1]) * position[1]
        return (left, top, left + sides[0], top + sides[1])


@dataclass(frozen=True)
class TextPreprocessing:
    """From a caption to the input text of a tokenizer."""

    prefix: str = ""
    """Put before each caption; e5 models were trained with ``query: ``."""
    max_length: int = 128
    """The maximum number of tokens; longer captions are cut, shorter ones are not padded."""

    def __post_init__(self) -> None:
        if self.max_length < 3:
            raise ValueError(f"max_length must be at least 3, got {self.max_length}")

    def __call__(self, caption: str) -> str:
        return self.prefix + " ".join(caption.split())
