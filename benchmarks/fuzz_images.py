"""Damage images of every format at random and read them: each is read, or refused in one line.

Anything else is a traceback, and the run exits with 1. What Pillow's libraries say of damaged TIFFs on
the error stream is no fault.
"""

import argparse
import io
import resource
import struct
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from artaffect.data.preprocessing import check_image, frame_count, image_size, open_image
from artaffect.errors import ImageError

SAVED = {
    "JPEG": ("JPEG", {"quality": 90}),
    "progressive JPEG": ("JPEG", {"progressive": True}),
    "CMYK JPEG": ("JPEG", {}),
    "PNG": ("PNG", {}),
    "APNG": ("PNG", {"save_all": True}),
    "16-bit PNG": ("PNG", {}),
    "WebP": ("WEBP", {}),
    "lossless WebP": ("WEBP", {"lossless": True}),
    "GIF": ("GIF", {"save_all": True}),
    "TIFF": ("TIFF", {}),
    "LZW TIFF": ("TIFF", {"compression": "tiff_lzw"}),
    "float TIFF": ("TIFF", {}),
    "BMP": ("BMP", {}),
    "AVIF": ("AVIF", {}),
    "JPEG 2000": ("JPEG2000", {}),
    "HEIC": ("HEIF", {}),
}
MODES = {"CMYK JPEG": "CMYK", "16-bit PNG": "I;16", "float TIFF": "F", "GIF": "P"}


def sample(name: str, side: int) -> bytes:
    """A small image of one format."""
    y, x = np.mgrid[0:side, 0:side] / side
    noise = np.random.default_rng(0).normal(0, 12, (side, side, 3))
    colours = np.stack([200 * x, 200 * y, 200 * (1 - x)], -1) + noise + 20
    image = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    mode = MODES.get(name, "RGB")
    image = (
        Image.fromarray((x * 65535).astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    )
    saved_as, options = SAVED[name]
    if "save_all" in options:
        options = {**options, "append_images": [image.transpose(Image.Transpose.ROTATE_90)]}
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    if saved_as in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "HEIF"):
        options = {**options, "exif": exif.tobytes()}
    buffer = io.BytesIO()
    image.save(buffer, saved_as, **options)
    return buffer.getvalue()


def flip_bits(data: bytearray, rng: np.random.Generator) -> bytearray:
    for position in rng.integers(0, len(data), rng.integers(1, 20)):
        data[position] ^= 1 << int(rng.integers(8))
    return data


def truncate(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: rng.integers(0, len(data))]


def zero(data: bytearray, rng: np.random.Generator) -> bytearray:
    start, end = sorted(rng.integers(0, len(data) + 1, 2))
    data[start:end] = bytes(end - start)
    return data


def swap_parts(data: bytearray, rng: np.random.Generator) -> bytearray:
    a, b, c, d = sorted(int(n) for n in rng.integers(0, len(data) + 1, 4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def edit_header(data: bytearray, rng: np.random.Generator) -> bytearray:
    for position in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
        data[position] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return data


def edit_number(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number of four bytes in the header becomes an extreme one."""
    position = int(rng.integers(0, max(1, min(len(data), 600) - 4)))
    number = int(rng.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, 0x10000]))
    data[position : position + 4] = struct.pack(rng.choice(["<I", ">I"]), number)
    return data


def odd_exif(data: bytearray, rng: np.random.Generator) -> bytearray:
    """Odd types and values in the tags of an EXIF block; other bytes stay."""
    start = data.find(b"Exif\0\0")
    start = start + 6 if start >= 0 else max(data.find(b"MM\0*"), data.find(b"II*\0"), 0)
    for position in rng.integers(start, min(len(data), start + 90), rng.integers(1, 10)):
        data[position] = int(rng.integers(256))
    return data


MUTATIONS = (flip_bits, truncate, zero, swap_parts, edit_header, edit_number, odd_exif)


def read(data: bytes, file: Path) -> str:
    """Read an image in all ways: the outcome, in a word."""
    outcome = "answered"
    file.write_bytes(data)
    for attempt in (
        lambda: np.asarray(open_image(data, smallest_side=32)),
        lambda: check_image(file),
        lambda: image_size(data),
        lambda: frame_count(data),
    ):
        try:
            attempt()
        except ImageError as error:
            outcome = "refused" if "\n" not in str(error) else "refused in several lines"
        except Exception:  # noqa: BLE001 -- what this script looks for
            traceback.print_exc()
            return "traceback"
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000, help="mutations of each format")
    parser.add_argument("--side", type=int, default=48, help="side of the images, in pixels")
    parser.add_argument("--only", choices=sorted(SAVED))
    parser.add_argument("--folder", type=Path, default=Path("/tmp"), help="keeps the slowest files")
    options = parser.parse_args()
    if options.only in (None, "HEIC"):
        __import__("pillow_heif").register_heif_opener()
    faults = 0
    for name in [options.only] if options.only else SAVED:
        original, counts, slowest = sample(name, options.side), Counter(), (0.0, "", b"")
        file = options.folder / f"fuzz-{name.replace(' ', '-')}"
        for index in range(options.count):
            rng = np.random.default_rng((options.seed, index))
            mutation = MUTATIONS[index % len(MUTATIONS)]
            data = bytes(mutation(bytearray(original), rng))
            start = time.perf_counter()
            outcome = read(data, file)
            counts[outcome] += 1
            if outcome not in ("answered", "refused"):
                faults += 1
                print(f"{name}: mutation {index} ({mutation.__name__}): {outcome}")
            slowest = max(slowest, (time.perf_counter() - start, mutation.__name__, data))
        file.write_bytes(slowest[2])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{name:17} answered {counts['answered']:6,}   refused {counts['refused']:6,}   "
            f"tracebacks {counts['traceback']:3}   slowest {slowest[0]:6.2f} s ({slowest[1]}, {file})   "
            f"peak memory {memory:,.0f} MB",
            flush=True,
        )
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
