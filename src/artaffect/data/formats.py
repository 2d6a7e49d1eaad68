"""Which formats of images are read, recognised by the first bytes of a file, never by its name."""

import contextlib
import importlib
import re
from collections.abc import Iterator
from typing import BinaryIO

from PIL import features
from PIL.ImageFile import ImageFile

from artaffect.errors import ImageError

# Pillow's rarer decoders would only add risk.
#
# Files are opened with these classes because Image.open warns about every image above half of
# MAX_PIXELS, and a warning can be silenced only for the whole process: a filter would change the
# caller's settings, warnings.catch_warnings is not thread-safe, and so is Image.MAX_IMAGE_PIXELS.
_DECODERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
}
_FEATURES = {"WebP": "webp", "AVIF": "avif", "JPEG 2000": "jpg_2000"}  # as Pillow names them

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp"),
    *(".avif", ".jp2", ".j2k", ".jpx", ".heic", ".heif"),
)
"""The usual endings of the formats that are read, the most frequent first."""

FORMATS = ", ".join(_DECODERS)
"""The formats that are read, in words."""

_DNG_VERSION, _SUBFILE_TYPE, _SUB_IMAGES = 50706, 254, 330
_RAW = "a camera raw file"
_MAGIC = (
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"II\*\0....CR|II[RU][OS\0]|MMOR|FUJIFILMCCD|....ftypcrx ", _RAW),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0", "BMP"),
    (rb"....ftyp(avif|avis|(mif1|msf1|miaf).{4}(.{4}){0,8}?avi[fs])", "AVIF"),
    (rb"....ftyp(he[iv][cxms]|mif1|msf1)", "HEIC"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG 2000"),
    (rb".{0,1000}?%PDF-", "a PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file (EPS)"),
    (rb"8BPS", "a Photoshop file (PSD)"),
    (rb"\0\0[\x01\x02]\0", "an icon (ICO)"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL image"),
    (rb"II\xbc", "a JPEG XR image"),
    (rb"AT&TFORM", "a DjVu document"),
    (rb"gimp xcf", "a GIMP file (XCF)"),
    (rb"v/1\x01", "an OpenEXR image"),
    (rb"#\?R", "a Radiance image (HDR)"),
    (rb"DDS ", "a DirectDraw texture (DDS)"),
    (rb"qoif", "a QOI image"),
    (rb"SIMPLE  =", "a FITS image"),
    (rb"P[1-7]\s", "a Netpbm image (PPM)"),
    (rb"....(ftyp|moov|mdat)|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]|FLV", "a video"),
    (rb"RIFF....WAVE|ID3|OggS|fLaC|\xff[\xfb\xf3\xf2]", "an audio file"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive (or an office document)"),
    (rb"\x1f\x8b|7z\xbc\xaf\x27\x1c|Rar!|BZh|\xfd7zXZ", "a compressed archive"),
    (rb"PAR1", "a Parquet table"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the image itself"),
    (rb"(?i:(\xef\xbb\xbf)?\s*<([?!].{0,900}?[< ])?svg)", "an SVG drawing"),
    (rb"(?i:(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body))", "an HTML page"),
    (rb"(\xef\xbb\xbf)?\s*<", "an XML or HTML file"),
)
_PATTERNS = [(re.compile(magic, re.DOTALL), name) for magic, name in _MAGIC]


class DecoderError(ImageError):
    """A decoder of Pillow failed."""


@contextlib.contextmanager
def decoder_errors(kind: str) -> Iterator[None]:
    """Raise whatever a decoder raises as DecoderError; nothing but calls of Pillow stands inside."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 -- damaged bytes raise anything: struct.error, TypeError
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise DecoderError(f"broken or unsupported {kind} image ({reason})") from None


def identify(stream: BinaryIO) -> str:
    """The format of a file that is open at its start: one of those that are read.

    Raises:
        ImageError: it is another format; the message names it where it is known.
    """
    start = stream.read(1024)
    stream.seek(0)
    name = next((name for pattern, name in _PATTERNS if pattern.match(start)), None)
    if name in _DECODERS:
        return name
    if not start:
        raise ImageError("the file is empty")
    raise _unreadable(name or "a file of unknown format")


def _unreadable(name: str) -> ImageError:
    return ImageError(f"not an image that can be read, but {name}; formats that can be: {FORMATS}")


def open_decoder(kind: str, stream: BinaryIO) -> ImageFile:
    """Read the header of an image in a format that :func:`identify` names.

    Raises:
        ImageError: Pillow cannot decode the format on this machine, or not this file.
    """
    module, name = _DECODERS[kind]
    try:
        decoder = getattr(importlib.import_module(module), name)
    except ImportError:
        hint = "; run: pip install 'artaffect[heic]'" if kind == "HEIC" else ""
        raise ImageError(f"{kind} needs a library that is not installed{hint}") from None
    if kind in _FEATURES and not features.check(_FEATURES[kind]):
        raise ImageError(f"{kind} is not supported by the installed Pillow")
    with decoder_errors(kind):
        image: ImageFile = decoder(stream)
    if kind == "TIFF" and _is_raw(image):
        raise _unreadable(_RAW)
    if kind == "TIFF" and not _is_covered(image):
        raise ImageError("broken TIFF image (some of its strips or tiles are missing)")
    return image


def _is_covered(image: ImageFile) -> bool:
    """Whether a TIFF has all of its parts; Pillow leaves what is missing black."""
    boxes = [tile[1] for tile in image.tile if tile[1]]
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    return area >= image.width * image.height


def _is_raw(image: ImageFile) -> bool:
    """Whether a TIFF is a camera's raw file, whose first image is only a small preview."""
    with contextlib.suppress(ImageError), decoder_errors("TIFF"):
        tags = image.tag_v2  # type: ignore[attr-defined]
        return _DNG_VERSION in tags or (tags.get(_SUBFILE_TYPE) == 1 and _SUB_IMAGES in tags)
    return False
