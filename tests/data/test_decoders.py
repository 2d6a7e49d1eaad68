"""Decoding costs what the structure of a file allows, and what it does to its process costs one image."""

import importlib
import io
import os
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from artaffect.data.cost import DecodingLimits, needed_bytes, webp_size
from artaffect.data.decoders import Decoders, Decoding, DecodingStopped, shared_decoders
from artaffect.data.images import ImageStore
from artaffect.data.preprocessing import (
    Crop,
    ImagePreprocessing,
    check_image,
    image_size,
    open_image,
)
from artaffect.errors import ImageError
from tests.waiting import is_gone, wait_until

PREPROCESSING = ImagePreprocessing(size=32)
UNLIMITED = {"scanned_pixels": 10**15, "memory": 2**40}


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def jpeg_of_many_passes(side: int, passes: int) -> bytes:
    """A progressive JPEG whose last pass is repeated: each takes as long as the whole image."""
    data = saved(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    table, end = data.rindex(b"\xff\xc4"), data.rindex(b"\xff\xd9")
    return data[:end] + data[table:end] * passes + data[end:]


def tiff_of_one_tile(tile: int) -> bytes:
    tags = {
        256: 100,
        257: 100,
        258: 8,
        259: 8,
        262: 1,
        277: 1,
        322: tile,
        323: tile,
        324: 8,
        325: 8,
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def tiff_of_strips(count: int, kind: int) -> bytes:
    tags = {256: (4, 1, 9), 257: (4, 1, 9), 258: (3, 1, 8), 262: (3, 1, 1), 273: (kind, count, 8)}
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


HEADERS = {
    "JPEG": (jpeg_of_many_passes(400, 30), r"4\d passes are more than the allowed 6 for a JPEG"),
    "TIFF with a tile": (tiff_of_one_tile(30_000), "tiles of 30,000 x 30,000 pixels are too large"),
    "TIFF with strips": (tiff_of_strips(10**7, 4), "10,000,000 strips or tiles.*at most 262,144"),
    "TIFF with odd strips": (tiff_of_strips(10**7, 12), "10,000,000 strips or tiles"),
    "lossless WebP": (saved(Image.new("RGB", (900, 900)), "WEBP", lossless=True), "900 x 900"),
    "WebP": (saved(Image.new("RGB", (900, 900)), "WEBP"), "900 x 900 is more than the allowed"),
    "animated WebP": (
        saved(Image.new("RGBA", (900, 900)), "WEBP", exif=b"Exif\0\0II"),
        "900 x 900 is more than the allowed",
    ),
    "PNG": (saved(Image.new("RGB", (900, 900)), "PNG"), "900 x 900 is more than the allowed"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_what_would_cost_too_much_is_refused_before_decoding(name: str) -> None:
    data, reason = HEADERS[name]
    limits = DecodingLimits(pixels=500_000, scanned_pixels=10**6)
    for read in (open_image, check_image):
        with pytest.raises(ImageError, match=reason):
            read(data, limits=limits)


FORMATS: dict[str, tuple[str, str, dict[str, object]]] = {
    "JPEG": ("RGB", "JPEG", {}),
    "progressive JPEG": ("RGB", "JPEG", {"progressive": True}),
    "PNG": ("RGB", "PNG", {}),
    "transparent PNG": ("RGBA", "PNG", {}),
    "GIF": ("P", "GIF", {}),
    "WebP": ("RGB", "WEBP", {}),
    "TIFF": ("RGB", "TIFF", {}),
    "TIFF of numbers": ("F", "TIFF", {}),
    "compressed TIFF": ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    "BMP": ("RGB", "BMP", {}),
    "AVIF": ("RGB", "AVIF", {"speed": 10}),
    "JPEG 2000": ("RGB", "JPEG2000", {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_too_little_memory_is_known_from_the_header_in_every_format(name: str) -> None:
    mode, format, options = FORMATS[name]
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1))).convert(mode)
    data = saved(ramp, format, **options)
    with pytest.raises(
        ImageError, match=r"needs about [\d,]+ bytes of memory, more than the allowed"
    ):
        open_image(data, limits=DecodingLimits(memory=256 * 256))
    assert open_image(data, limits=DecodingLimits(memory=40 * 256 * 256)).size == (256, 256)


def test_photographs_and_scans_stay_below_every_limit() -> None:
    largest, limits = (13_377, 13_377), DecodingLimits()
    limits.check_size(*largest)
    limits.check_scans(*largest, 10)  # a progressive JPEG of the largest allowed size
    image = Image.new("RGBA", (1, 1))
    limits.admit(needed_bytes("PNG", image) * largest[0] * largest[1])  # type: ignore[arg-type]
    strips = tiff_of_strips(3 * largest[1], 4)
    with pytest.raises(ImageError, match="broken"):  # it gets as far as the decoder
        open_image(strips)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\0\0II"}])
def test_the_size_of_a_webp_is_read_without_a_decoder(options: dict[str, object]) -> None:
    assert webp_size(saved(Image.new("RGB", (301, 77)), "WEBP", **options)[:30]) == (301, 77)


def test_a_process_prepares_an_image_as_this_one_does(picture: Path) -> None:
    decoders = shared_decoders()
    expected = PREPROCESSING(picture)
    for source in (picture, str(picture), picture.read_bytes(), Image.open(picture)):
        np.testing.assert_array_equal(decoders.prepare(PREPROCESSING, source), expected)
    crop = Crop.of(16, 0.5, (0.2, 0.9))
    square = decoders.square(PREPROCESSING, picture, crop)
    np.testing.assert_array_equal(square.pixels, PREPROCESSING.decode(picture, crop).pixels)
    assert decoders.measure(picture.read_bytes()) == image_size(picture)
    assert Image.open(io.BytesIO(decoders.preview(picture.read_bytes(), 40))).size == (40, 30)


def test_a_process_says_of_a_broken_file_what_this_one_says(
    tmp_path: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("words")
    monkeypatch.chdir(tmp_path)  # the processes may have been started in another folder
    for source in (text, "text.jpg", "none.jpg", b"words", b""):
        messages = []
        for read in (PREPROCESSING, lambda s: shared_decoders().prepare(PREPROCESSING, s)):
            with pytest.raises(ImageError, match="text.jpg|none.jpg|the image") as caught:
                read(source)
            messages.append(str(caught.value))
        assert messages[0] == messages[1]
    store = ImageStore(tmp_path)
    names = [text.name, picture.name] * 20 + ["none.jpg"]
    assert list(store.find_broken(names)) == [text.name, "none.jpg"]
    assert store.find_broken(["none.jpg"]) == {"none.jpg": "no such file"}


def test_a_process_that_exceeds_the_clock_costs_its_own_image(picture: Path) -> None:
    decoders = Decoders(DecodingLimits(**UNLIMITED, seconds=2), count=1)
    decoders.prepare(PREPROCESSING, picture)
    before = decoders.pids
    started = time.monotonic()
    with pytest.raises(ImageError, match="the image: .* longer than the allowed 2 seconds"):
        decoders.prepare(PREPROCESSING, jpeg_of_many_passes(5000, 1000))
    assert time.monotonic() - started < 5
    decoders.prepare(PREPROCESSING, picture)
    assert len(decoders.pids) == 1 and decoders.pids != before
    decoders.close()


HUNGRY = """
import os, signal
class Hungry:  # takes more memory than it asks for, as a damaged file may make a decoder do
    def run(self, source, limits):
        return (0, 0), bytes([1]) * 10**9
class Crashing:
    def run(self, source, limits):
        os.kill(os.getpid(), signal.SIGSEGV)
class Odd:
    def run(self, source, limits):
        raise KeyError("odd")
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "hungry_jobs.py").write_text(HUNGRY)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("hungry_jobs")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Hungry", "needs more memory than the allowed"),
        ("Crashing", r"ended the process that did it \(exit code -11\)"),
    ],
)
def test_a_process_that_exceeds_its_memory_or_crashes_costs_its_own_image(
    picture: Path, jobs: ModuleType, name: str, reason: str
) -> None:
    decoders = Decoders(DecodingLimits(), count=1)
    decoders.prepare(PREPROCESSING, picture)
    before = decoders.pids
    with pytest.raises(ImageError, match=f"picture.jpg: .*{reason}"):
        decoders.run(getattr(jobs, name)(), picture)
    decoders.prepare(PREPROCESSING, picture)
    assert len(decoders.pids) == 1 and decoders.pids != before
    decoders.close()


def test_a_fault_of_the_program_is_no_fault_of_the_image(picture: Path, jobs: ModuleType) -> None:
    decoders = Decoders(DecodingLimits(), count=1)
    with pytest.raises(RuntimeError, match="KeyError: 'odd'"):
        decoders.run(jobs.Odd(), picture)
    decoders.prepare(PREPROCESSING, picture)
    decoders.close()


def test_a_process_killed_from_outside_is_replaced_before_the_next_image(picture: Path) -> None:
    decoders = Decoders(DecodingLimits(), count=1)
    decoders.prepare(PREPROCESSING, picture)
    (pid,) = decoders.pids
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid))
    decoders.prepare(PREPROCESSING, picture)
    decoders.close()


def test_all_images_that_are_decoded_at_once_share_one_budget(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("RGB", (3500, 3500)).save(large)  # needs 110 MB
    decoders = Decoders(DecodingLimits(memory=150_000_000), count=3)
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda _: decoders.prepare(PREPROCESSING, large), range(6)))
    assert len(results) == 6
    with pytest.raises(ImageError, match="needs about .* more than the allowed 100,000,000"):
        Decoders(DecodingLimits(memory=100_000_000), count=1).prepare(PREPROCESSING, large)
    decoders.close()


def test_a_decoding_that_is_no_longer_wanted_ends_at_once(picture: Path) -> None:
    decoders, bomb = Decoders(DecodingLimits(**UNLIMITED), count=1), jpeg_of_many_passes(5000, 1000)
    decoders.prepare(PREPROCESSING, picture)
    running, waiting = Decoding(), Decoding()
    with ThreadPoolExecutor(2) as pool:
        jobs = []
        for decoding in (running, waiting):
            jobs.append(
                pool.submit(decoders.square, PREPROCESSING, bomb, PREPROCESSING.crop, decoding)
            )
            wait_until(lambda: running.worker is not None)
        started = time.monotonic()
        for decoding in (waiting, running):
            decoders.stop(decoding)
        for job in jobs:
            with pytest.raises(DecodingStopped, match="was stopped"):
                job.result(5)
    assert time.monotonic() - started < 3
    decoders.prepare(PREPROCESSING, picture)
    decoders.close()
    with pytest.raises(DecodingStopped, match="was stopped"):
        decoders.prepare(PREPROCESSING, picture)


PARENT = """
import sys, threading
from pathlib import Path
from artaffect.data.cost import DecodingLimits
from artaffect.data.decoders import Decoders
from artaffect.data.preprocessing import ImagePreprocessing
decoders = Decoders(DecodingLimits(scanned_pixels=10**15), 2)
decoders.start()
busy = threading.Thread(
    target=decoders.prepare, args=(ImagePreprocessing(), Path(sys.argv[1]).read_bytes())
)
busy.start()
decoders.prepare(ImagePreprocessing(), sys.argv[2])
print(*decoders.pids, flush=True)
busy.join()
"""


def test_no_process_survives_its_parent_and_none_runs_the_main_script(
    tmp_path: Path, picture: Path
) -> None:
    script, bomb = tmp_path / "script.py", tmp_path / "bomb.jpg"
    script.write_text(PARENT)  # without `if __name__ == "__main__"`
    bomb.write_bytes(jpeg_of_many_passes(6000, 2000))
    parent = subprocess.Popen([sys.executable, script, bomb, picture], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2 and not any(map(is_gone, pids))
    parent.kill()
    parent.communicate()
    wait_until(lambda: all(map(is_gone, pids)))
