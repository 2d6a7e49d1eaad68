"""The parts of an image file: take out the metadata, whose odd values make decoders fail."""

import struct
import zlib

_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
# not JFIF and Adobe, which define the colours
_JPEG_METADATA = {bytes([marker]) for marker in (*range(0xE1, 0xEE), 0xEF, 0xFE)}
TIFF_PIXELS = {
    *(256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324),
    *(325, 338, 339, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532),
}
_ORIENTATION, _SHORT = 274, 3


def without_metadata(kind: str, data: bytes) -> tuple[bytes, bytes]:
    """The same file with nothing but its pixels, and its EXIF block, empty if it has none."""
    if kind == "JPEG":
        return _jpeg(data)
    if kind == "PNG":
        return _png(data)
    if kind == "TIFF":
        return _tiff(data), b""
    # in these formats the orientation is a property of the pixels; an item of an unknown type is skipped
    return (data.replace(b"Exif", b"skip") if kind in ("AVIF", "HEIC") else data), b""


def exif_orientation(exif: bytes) -> int | None:
    """The orientation in an EXIF block, whatever else is in it; None if it cannot be read."""
    block = exif.removeprefix(b"Exif\0\0")
    order = "<" if block[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(order + "I", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", block, entry)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return int(value)
    except struct.error:  # the block ends early
        return None
    return None


def _jpeg(data: bytes) -> tuple[bytes, bytes]:
    pixels, exif, position = data[:2], b"", 2
    while data[position : position + 1] == b"\xff" and data[position + 1 : position + 2] != b"\xda":
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4])
        segment = data[position:end]
        if segment[1:2] not in _JPEG_METADATA:
            pixels += segment
        elif segment[4:10] == b"Exif\0\0":
            exif = segment[4:]
        position = end
    return pixels + data[position:], exif


def png_looks_whole(data: bytes) -> bool:
    """Whether all chunks of a PNG are there, up to its end, and those of its pixels are as written."""
    position, name = 8, b""
    while position < len(data) and name != b"IEND":
        end = position + 12 + int.from_bytes(data[position : position + 4])
        name = data[position + 4 : position + 8]
        checksum = zlib.crc32(memoryview(data)[position + 4 : end - 4])
        if name in _PNG_PIXELS and data[end - 4 : end] != checksum.to_bytes(4):
            return False
        position = end
    return name == b"IEND"


def _png(data: bytes) -> tuple[bytes, bytes]:
    pixels, exif, position = [data[:8]], b"", 8
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4])
        name = data[position + 4 : position + 8]
        if name in _PNG_PIXELS:
            pixels.append(data[position:end])
        elif name == b"eXIf":
            exif = data[position + 8 : end - 4]
        position = end
    return b"".join(pixels), exif


def _tiff(data: bytes) -> bytes:
    """A TIFF with the tags that its pixels need, and of all others only a readable orientation."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in data[2:4]
    count, tag = (order + "Q", 20) if is_big else (order + "H", 12)
    try:
        (start,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
        (number,) = struct.unpack_from(count, data, start)
    except (struct.error, OverflowError):  # the list of tags is beyond the end of the file
        return data
    first = start + struct.calcsize(count)
    entries = [
        data[at : at + tag] for at in range(first, min(first + number * tag, len(data)), tag)
    ]
    kept = [entry for entry in entries if len(entry) == tag and _is_needed(order, entry)]
    listing = struct.pack(count, len(kept)) + b"".join(kept) + bytes(8 if is_big else 4)
    return data[:start] + listing + data[start + len(listing) :]


def _is_needed(order: str, entry: bytes) -> bool:
    tag, kind = struct.unpack_from(order + "HH", entry)
    return tag in TIFF_PIXELS or (tag == _ORIENTATION and kind == _SHORT)
