"""How images and captions are prepared for a model. No torch here.

Both sets of rules are saved with a model and loaded with it, so that training, prediction and every
export prepare their inputs in the same way.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from artaffect.errors import ImageError

MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs; large WikiArt scans stay below it."""

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}

# The formats of images of artworks by their first bytes; Pillow's rarer decoders would only add risk.
#
# Files are opened with these classes because Image.open warns about every image above half of
# MAX_PIXELS, and a warning can be silenced only for the whole process: a filter would change the
# caller's settings, warnings.catch_warnings is not thread-safe, and so is Image.MAX_IMAGE_PIXELS.
_FORMATS: dict[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"RIFF": WebPImageFile,
    b"GIF8": GifImageFile,
    b"II*\0": TiffImageFile,
    b"MM\0*": TiffImageFile,
    b"BM": BmpImageFile,
}

ImageSource = str | os.PathLike[str] | bytes | Image.Image | np.ndarray
"""A path, the bytes of a file, a Pillow image, or an array.

An array is uint8, or float from 0 to 1, of shape [height, width, 3] or [height, width].
"""


def image_size(source: bytes) -> tuple[int, int]:
    """Width and height from a file's header, before any rotation; nothing is decoded."""
    with open_header(source) as image:
        return image.size


def open_image(source: ImageSource, smallest_side: int | None = None) -> Image.Image:
    """Decode an image as upright RGB.

    Args:
        smallest_side: lets a JPEG be decoded at a half, a quarter or an eighth of its size, as long
            as no side becomes shorter than twice this number of pixels.

    Raises:
        ImageError: the message has the file's name and the problem.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        with _named_errors("the picture"):
            return _upright_rgb(source)
    with open_header(source) as image:
        if smallest_side:
            image.draft("RGB", (2 * smallest_side, 2 * smallest_side))
        return _upright_rgb(image)


@contextlib.contextmanager
def open_header(source: str | os.PathLike[str] | bytes) -> Iterator[ImageFile]:
    """Open an image file without decoding it; raise every problem in the block as ImageError."""
    if not isinstance(source, str | os.PathLike | bytes):
        raise ImageError(
            "an image must be a path (str or os.PathLike), bytes, a PIL.Image or a numpy array, "
            f"got {type(source).__name__}"
        )
    name = "the picture" if isinstance(source, bytes) else os.fspath(source)
    with (
        _named_errors(name),
        io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as stream,
    ):
        image = _identify(stream)
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(
                f"{name}: {image.width:,} x {image.height:,} is more than the allowed "
                f"{MAX_PIXELS:,} pixels"
            )
        yield image


def _identify(stream: BinaryIO) -> ImageFile:
    prefix = stream.read(8)
    stream.seek(0)
    for magic, image_file in _FORMATS.items():
        if prefix.startswith(magic):
            with contextlib.suppress(SyntaxError):  # Pillow's error for a broken header
                return image_file(stream)
    raise UnidentifiedImageError


@contextlib.contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more than the allowed {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture that can be read (JPEG, PNG, WebP …)") from None
    except (OSError, SyntaxError, ValueError) as error:  # from Pillow's decoders
        raise ImageError(f"{name}: broken picture ({error})") from None


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


def _upright_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    if upright.mode.startswith("I"):  # 16-bit grey, which Pillow's own conversion clips
        grey = np.asarray(upright, np.float32) / 257
        upright = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    return upright.convert("RGB")


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
        image = open_image(source, smallest_side=round(self.size / self.crop_fraction))
        return self._normalise(self.square(image, self.size, *self._visible))

    def view(
        self, source: ImageSource, fraction: float, position: tuple[float, float]
    ) -> np.ndarray:
        """Prepare a part of an image for training: float32 [3, size, size].

        ``fraction`` of each side is visible; ``position`` is that of the part, from left and top,
        each from 0 to 1.
        """
        image = open_image(source, smallest_side=round(self.size / fraction))
        return self._normalise(self.square(image, self.size, fraction, position))

    def square(
        self, image: Image.Image, side: int, fraction: float, position: tuple[float, float]
    ) -> Image.Image:
        """A part of an image as a square of ``side`` pixels; see :meth:`view`."""
        box = self._box(image.width, image.height, fraction, position)
        # resizing only this box avoids a huge intermediate image for a long frieze
        return image.resize((side, side), _RESAMPLING[self.interpolation], box=box)

    def _normalise(self, square: Image.Image) -> np.ndarray:
        pixels = np.asarray(square, np.float32) / 255
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
