"""What is done to a picture and to a caption before a model sees them. No torch here.

Both rules are saved with a model and read back with it: there is one way in, for training, for
prediction and for every export.
"""

import contextlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from artaffect.errors import ImageError

MAX_PIXELS = 178_956_970
"""Pillow's own bound against decompression bombs; large WikiArt scans stay below it."""

# Pillow warns at half its bound; the bound itself is an error, which is what we act on.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
}

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
"""What pictures of artworks come in; Pillow's rarer decoders would only be a risk."""

ImageSource = Path | str | bytes | Image.Image


def image_size(source: bytes) -> tuple[int, int]:
    """Width and height as a file's header says them, before any rotation; nothing is decoded.

    Raises:
        ImageError: it is no picture, or larger than any that is read.
    """
    with _errors_named("the picture"), Image.open(io.BytesIO(source), formats=_FORMATS) as image:
        _check_size(image, "the picture")
        return image.size


def open_image(source: ImageSource, smallest_side: int | None = None) -> Image.Image:
    """Decode a picture to upright RGB.

    Args:
        source: a path, a file's bytes, or a Pillow image.
        smallest_side: lets a JPEG be decoded at a fraction of its size (a half, a quarter or an
            eighth), as long as no side falls below twice this many pixels.

    Raises:
        ImageError: with the file's name and what is wrong with it.
    """
    name = str(source) if isinstance(source, Path | str) else "the picture"
    with _errors_named(name):
        if isinstance(source, Image.Image):
            return _upright_rgb(source)
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=_FORMATS) as image:
            _check_size(image, name)
            if smallest_side:
                image.draft("RGB", (2 * smallest_side, 2 * smallest_side))
            return _upright_rgb(image)


@contextlib.contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """Say of which picture, and what is wrong with it."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name}: more than the allowed {MAX_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name}: not a picture that can be read (JPEG, PNG, WebP …)") from None
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow's decoders raise
        raise ImageError(f"{name}: broken picture ({error})") from None


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {image.width:,} x {image.height:,} pixels is more than the allowed "
            f"{MAX_PIXELS:,}"
        )


def _upright_rgb(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        upright = upright.convert("RGBA")
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright)
    if upright.mode.startswith(
        "I"
    ):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        grey = np.asarray(upright, np.float32) / 257
        upright = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    return upright.convert("RGB")


@dataclass(frozen=True)
class ImagePreprocessing:
    """From a picture to the array an image encoder takes."""

    size: int = 224
    """Side of the square that the encoder sees, in pixels."""
    fit: str = "crop"
    """``crop``: the middle of the picture, undistorted; ``stretch``: all of it, squeezed square."""
    crop_fraction: float = 0.875
    """With ``crop``: share of the shorter side that the square covers."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Subtracted from each channel, on the scale 0 to 1."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Divides each channel afterwards."""
    interpolation: str = "bicubic"
    """Resampling: ``bicubic`` or ``bilinear``."""

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 < self.crop_fraction <= 1:
            raise ValueError("size must be at least 1 and crop_fraction in (0, 1]")
        for name, allowed in (("fit", ("crop", "stretch")), ("interpolation", _RESAMPLING)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")

    def __call__(self, source: ImageSource) -> np.ndarray:
        """Give float32 [3, size, size].

        Raises:
            ImageError: the picture cannot be read.
        """
        image = open_image(source, smallest_side=round(self.size / self.crop_fraction))
        # resampling only the box that is kept spares a long frieze from growing huge on the way
        box = self.visible_box(image.width, image.height)
        return self._normalise(self._resize(image, self.size, box))

    def view(self, source: ImageSource, share: float, place: tuple[float, float]) -> np.ndarray:
        """A part of the picture for training: float32 [3, size, size].

        Args:
            share: of the side, that is shown.
            place: of the part, from left and top: 0 to 1.

        Raises:
            ImageError: the picture cannot be read.
        """
        image = open_image(source, smallest_side=round(self.size / share))
        return self._normalise(self.square(image, self.size, share, place))

    def square(
        self, image: Image.Image, side: int, share: float, place: tuple[float, float]
    ) -> Image.Image:
        """A part of a picture, square: of ``share`` of its sides, at ``place`` from left and top."""
        width, height = image.width * share, image.height * share
        if self.fit == "crop":
            width = height = min(width, height)
        left, top = (image.width - width) * place[0], (image.height - height) * place[1]
        return self._resize(image, side, (left, top, left + width, top + height))

    def _resize(
        self, image: Image.Image, side: int, box: tuple[float, float, float, float]
    ) -> Image.Image:
        return image.resize((side, side), _RESAMPLING[self.interpolation], box=box)

    def _normalise(self, square: Image.Image) -> np.ndarray:
        pixels = np.asarray(square, np.float32) / 255
        pixels = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def visible_box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """What part of a picture the encoder sees: left, top, right, bottom in its pixels."""
        if self.fit == "stretch":
            return (0.0, 0.0, float(width), float(height))
        side = min(width, height) * self.crop_fraction
        left, top = (width - side) / 2, (height - side) / 2
        return (left, top, left + side, top + side)


@dataclass(frozen=True)
class TextPreprocessing:
    """From a caption to the text that a tokenizer takes, and where it is cut."""

    prefix: str = ""
    """Put before each caption; e5 models were trained with ``query: ``."""
    max_length: int = 128
    """Most tokens that the encoder sees; longer captions are cut, shorter ones are not padded."""

    def __post_init__(self) -> None:
        if self.max_length < 3:
            raise ValueError(f"max_length must be at least 3, got {self.max_length}")

    def __call__(self, caption: str) -> str:
        return self.prefix + " ".join(caption.split())
