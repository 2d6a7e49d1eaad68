"""Small files that ask a decoder for gigabytes or minutes: each is answered, or refused in one line.

    python -m benchmarks.attack.images [--count 40] [--seed 0]

The images are decoded as the service decodes them, by processes with its limits. Between two of them a
normal image is decoded, which must be answered. Reported are the outcomes, the highest memory of a process
and the longest time of an image.
"""

import argparse
import io
import os
import re
import struct
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from artaffect.data.cost import SCANS, DecodingLimits
from artaffect.data.decoders import Decoders
from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import ImageError
from artaffect.server.limits import ServiceLimits

Bomb = Callable[[np.random.Generator], bytes]
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(side: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (side, side))


def noisy(side: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((side, side))


def with_passes(image: Image.Image, passes: int) -> bytes:
    """A progressive JPEG whose last pass is repeated."""
    data = saved(image, "JPEG", progressive=True)
    positions, position = [], 2
    while match := _MARKER.search(data, position):
        positions.append((data[match.start() + 1], match.start()))
        position = match.end() + int.from_bytes(data[match.end() : match.end() + 2])
    end = positions[-1][1]
    last = max(at for marker, at in positions if marker == 0xDA)
    table = max(at for marker, at in positions if marker == 0xC4 and at < last)
    return data[:end] + data[table:end] * passes + data[end:]


def tiff(tags: dict[int, tuple[int, int, int]], data: bytes) -> bytes:
    """A TIFF of any tags (type, count, value or offset), and any data from byte 512 on."""
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    listing = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return listing.ljust(512, b"\0") + data


def huge_tile(rng: np.random.Generator) -> bytes:
    side, data = int(rng.integers(100, 2000)) * 16, zlib.compress(bytes(10_000))
    tags = {256: 100, 257: 100, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side}
    tags |= {324: 512, 325: len(data)}
    return tiff({tag: (4, 1, value) for tag, value in tags.items()}, data)


def many_strips(rng: np.random.Generator) -> bytes:
    count, kind = int(rng.integers(10**5, 6 * 10**6)), int(rng.choice([1, 3, 4, 5, 12]))
    tags = {256: 1000, 257: 1000, 258: 8, 259: 1, 262: 1, 277: 1, 278: 1}
    entries = {tag: (4, 1, value) for tag, value in tags.items()}
    return tiff(entries | {273: (kind, count, 512), 279: (kind, count, 512)}, bytes(4 * count))


def chunks(rng: np.random.Generator) -> bytes:
    """A PNG with more chunks than pixels."""
    data = saved(flat(64), "PNG")
    empty = b"\0\0\0\0prVt" + struct.pack(">I", zlib.crc32(b"prVt"))
    return data[:33] + empty * int(rng.integers(10**5, 2 * 10**6)) + data[33:]


def segments(rng: np.random.Generator) -> bytes:
    """A JPEG with more comments than pixels."""
    data = saved(noisy(64), "JPEG")
    return data[:2] + b"\xff\xfe\0\2" * int(rng.integers(10**5, 6 * 10**6)) + data[2:]


def frames(rng: np.random.Generator) -> bytes:
    """A GIF with many frames, or with one that is larger than its screen."""
    data = bytearray(saved(flat(16, "P"), "GIF"))
    start = data.index(b",")
    if rng.integers(2):
        data[start + 5 : start + 9] = struct.pack("<HH", *rng.integers(1, 2**16, 2))
        return bytes(data)
    return bytes(data[:start] + data[start:-1] * int(rng.integers(10**4, 10**5)) + data[-1:])


def sides(rng: np.random.Generator) -> int:
    return int(rng.choice([3000, 5000, 6500, 7071, 12_000, 16_383]))


BOMBS: dict[str, Bomb] = {
    "JPEG of many passes": lambda rng: with_passes(
        flat(min(7071, sides(rng))), int(rng.integers(20, 1500))
    ),
    "JPEG of allowed passes": lambda rng: with_passes(noisy(5000), int(rng.integers(5, 25))),
    "CMYK JPEG of many passes": lambda rng: with_passes(noisy(4000).convert("CMYK"), 30),
    "JPEG of many segments": segments,
    "TIFF of one huge tile": huge_tile,
    "TIFF of many strips": many_strips,
    "compressed TIFF": lambda rng: saved(
        flat(sides(rng)), "TIFF", compression="tiff_adobe_deflate"
    ),
    "TIFF of numbers": lambda rng: saved(flat(7071, "F"), "TIFF", compression="tiff_adobe_deflate"),
    "WebP": lambda rng: saved(flat(sides(rng)), "WEBP", lossless=True, method=0),
    "PNG": lambda rng: saved(flat(sides(rng), "RGBA"), "PNG"),
    "PNG of 16 bits": lambda rng: saved(flat(7071, "I;16"), "PNG"),
    "PNG of many chunks": chunks,
    "GIF": frames,
    "large GIF": lambda rng: saved(flat(sides(rng), "P"), "GIF"),
    "AVIF": lambda rng: saved(flat(min(7071, sides(rng))), "AVIF", speed=10),
    "JPEG 2000": lambda rng: saved(flat(min(6500, sides(rng))), "JPEG2000"),
}


class Watch(threading.Thread):
    """Follows the memory of the processes that decode."""

    def __init__(self, decoders: Decoders) -> None:
        super().__init__(daemon=True)
        self.decoders, self.highest = decoders, 0

    def run(self) -> None:
        while True:
            for pid in self.decoders.pids:
                try:
                    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                except (OSError, ValueError, IndexError):
                    continue
                self.highest = max(self.highest, pages * os.sysconf("SC_PAGE_SIZE"))
            time.sleep(0.01)


def outcome(decoders: Decoders, data: bytes) -> str:
    try:
        decoders.prepare(ImagePreprocessing(), data)
    except ImageError as error:
        return "refused" if "\n" not in str(error) else "refused in several lines"
    except Exception:  # noqa: BLE001 -- what this script looks for
        traceback.print_exc()
        return "traceback"
    return "answered"


def run(count: int, seed: int) -> Counter[str]:
    """Decode bombs, and count the outcomes."""
    limits, counts = ServiceLimits(), Counter[str]()
    decoders = Decoders(
        DecodingLimits(
            limits.pixels, SCANS * limits.pixels, limits.decode_bytes, limits.decode_seconds
        ),
        1,
    )
    watch, normal, longest = Watch(decoders), saved(noisy(800), "JPEG"), (0.0, "")
    watch.start()
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        name = list(BOMBS)[index % len(BOMBS)]
        data = BOMBS[name](rng)
        started = time.perf_counter()
        result = outcome(decoders, data)
        longest = max(longest, (time.perf_counter() - started, name))
        counts[result] += 1
        if outcome(decoders, normal) != "answered":
            counts["normal image refused"] += 1
    decoders.close()
    print(
        f"highest memory of a process {watch.highest / 2**20:,.0f} MiB, "
        f"longest time {longest[0]:.1f} s ({longest[1]})"
    )
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = run(options.count, options.seed)
    print("images " + ", ".join(f"{name}: {number:,}" for name, number in sorted(counts.items())))


if __name__ == "__main__":
    main()
