"""What it costs to decode an image, from its structure, and how much of that is allowed.

A file of a few kilobytes may need gigabytes or minutes. All of this is known before decoding.
"""

import contextlib
import math
import struct
from dataclasses import dataclass
from typing import BinaryIO

from PIL.ImageFile import ImageFile

from artaffect.data.metadata import TIFF_PIXELS
from artaffect.errors import ImageError

MAX_PIXELS = 178_956_970
"""Pillow's own limit against decompression bombs; large WikiArt scans stay below it."""

SCANS = 20
"""Passes of a JPEG of the largest allowed size; usual progressive JPEGs have about ten."""

_TIFF_ENTRIES = 2**18
"""Values of one tag: twice as many as a TIFF of the largest size has strips of one row."""
_TILE_PIXELS = 2**24
_TRANSPARENT = ("RGBA", "RGBa", "LA", "La", "PA")
_BYTES_PER_PIXEL = {"WebP": 20, "AVIF": 20, "HEIC": 20}
"""Measured, and rounded up: the decoder's own copies, the image and its conversion to RGB."""
# per TIFF type, the format of one value; others are not used for the tags read here
_TIFF_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _ROWS = 256, 257, 258, 277, 278
_TILE_WIDTH, _TILE_HEIGHT, _JPEG_TABLES = 322, 323, 347
_SIDES = _WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT


@dataclass(frozen=True)
class DecodingLimits:
    """How much one image may cost; by default, what any photograph or scan stays below."""

    pixels: int = MAX_PIXELS
    """Width times height."""
    scanned_pixels: int = SCANS * MAX_PIXELS
    """Width times height times passes of a JPEG."""
    memory: int = 8 * 2**30
    """Memory in bytes, also that of all images which are decoded in processes at the same time."""
    seconds: float = 120.0
    """Time, where images are decoded in processes; see :mod:`artaffect.data.decoders`."""

    def check_size(self, width: int, height: int) -> None:
        """Raise an ImageError if an image of this size has too many pixels."""
        if width * height > self.pixels:
            raise ImageError(
                f"{width:,} x {height:,} is more than the allowed {self.pixels:,} pixels"
            )

    def check_scans(self, width: int, height: int, scans: int) -> None:
        """Raise an ImageError if a JPEG has too many passes for its size."""
        if width * height * scans > self.scanned_pixels:
            allowed = self.scanned_pixels // max(1, width * height)
            raise ImageError(
                f"{scans:,} passes are more than the allowed {allowed:,} for a JPEG of "
                f"{width:,} x {height:,} pixels"
            )

    def admit(self, needed: int) -> None:
        """Called before an image is decoded, with the bytes of memory that it needs.

        Raises:
            ImageError: they are too many.
        """
        if needed > self.memory:
            raise ImageError(
                f"decoding needs about {needed:,} bytes of memory, more than the allowed "
                f"{self.memory:,}"
            )


def check_before_opening(kind: str, stream: BinaryIO, limits: DecodingLimits) -> None:
    """Check what costs something as soon as Pillow opens a file, which is at its start.

    Raises:
        ImageError: a WebP is too large, or a TIFF has too many parts or too large ones.
    """
    if kind == "WebP":
        width, height = webp_size(stream.read(30))
        limits.check_size(width, height)
        limits.admit(_BYTES_PER_PIXEL[kind] * width * height)
    elif kind == "TIFF":
        tags = tiff_tags(stream)
        count = max([0, *(count for tag, (count, _) in tags.items() if tag != _JPEG_TABLES)])
        width, height, *tile = (tags.get(tag, (1, 0))[1] for tag in _SIDES)
        if math.prod(tile) > max(_TILE_PIXELS, 4 * width * height):
            raise ImageError(
                f"tiles of {tile[0]:,} x {tile[1]:,} pixels are too large for a TIFF of {width:,} x "
                f"{height:,} pixels; at most {_TILE_PIXELS:,} pixels are allowed"
            )
        if count > _TIFF_ENTRIES:
            raise ImageError(
                f"a TIFF with {count:,} strips or tiles, or values of another tag, is not read; at "
                f"most {_TIFF_ENTRIES:,} are allowed"
            )
    stream.seek(0)


def needed_bytes(kind: str, image: ImageFile) -> int:
    """The memory for decoding an opened image to RGB, apart from what its format needs besides."""
    if kind in _BYTES_PER_PIXEL:
        each = _BYTES_PER_PIXEL[kind]
    elif kind == "JPEG 2000":
        each = 6 + 6 * len(image.getbands())
    elif image.mode in _TRANSPARENT or "transparency" in image.info:
        each = 16
    else:
        each = 20 if image.mode in ("F", "I") else 9
    return each * image.width * image.height


def jpeg_bytes(width: int, height: int, bands: int, scans: int) -> int:
    """The memory for the coefficients of a JPEG, which are kept where it has several passes."""
    return 2 * bands * width * height if scans > 1 else 0


def tiff_part_bytes(stream: BinaryIO) -> int:
    """The memory for one strip or tile of a TIFF, which may be larger than the image."""
    tags = tiff_tags(stream)
    stream.seek(0)
    values = {tag: value for tag, (_, value) in tags.items()}
    width, height = values.get(_WIDTH, 0), values.get(_HEIGHT, 0)
    rows = min(values.get(_ROWS, height), height)
    area = max(width * rows, values.get(_TILE_WIDTH, 0) * values.get(_TILE_HEIGHT, 0))
    return math.ceil(area * values.get(_SAMPLES, 1) * values.get(_BITS, 8) / 8)


def tiff_tags(stream: BinaryIO) -> dict[int, tuple[int, int]]:
    """Of the tags that a TIFF's pixels need: how many values each has, and the first one.

    What cannot be read is left out; the decoder will notice it.
    """
    start = stream.read(16)
    order, is_big = ("<" if start[:2] == b"II" else ">"), 43 in start[2:4]
    tags = {}
    with contextlib.suppress(struct.error, OverflowError, ValueError):
        (first,) = struct.unpack_from(order + ("Q" if is_big else "I"), start, 8 if is_big else 4)
        stream.seek(first)
        number = _unpack(stream, order + ("Q" if is_big else "H"))
        size, offset = (20, 12) if is_big else (12, 8)
        for _ in range(min(number, 2**16)):
            entry = stream.read(size)
            tag, kind, count = struct.unpack_from(order + ("HHQ" if is_big else "HHI"), entry)
            if tag in TIFF_PIXELS:
                tags[tag] = count, 0
            if tag in TIFF_PIXELS and kind in _TIFF_TYPES:
                form = order + _TIFF_TYPES[kind]
                is_inside = struct.calcsize(form) * count <= size - offset
                tags[tag] = count, _first(stream, form, entry[offset:], is_inside, order)
    return tags


def _first(stream: BinaryIO, form: str, field: bytes, is_inside: bool, order: str) -> int:
    """The first value of a tag, which is in its entry or elsewhere in the file; 0 beyond its end."""
    if is_inside:
        return int(struct.unpack_from(form, field)[0])
    (place,) = struct.unpack(order + ("Q" if len(field) == 8 else "I"), field)
    position = stream.tell()
    with contextlib.suppress(struct.error, OverflowError, ValueError):
        stream.seek(place)
        value = _unpack(stream, form)
        stream.seek(position)
        return value
    stream.seek(position)
    return 0


def _unpack(stream: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, stream.read(struct.calcsize(form)))[0])


def webp_size(start: bytes) -> tuple[int, int]:
    """Width and height from the first 30 bytes of a WebP; 0 x 0 if they do not say."""
    kind, data = start[12:16], start[20:]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        sides = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height = sides
        return width, height
    return 0, 0
