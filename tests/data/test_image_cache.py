"""The cache of decoded images gives the right pixels whatever becomes of its file and its disk."""

import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from logging import LogRecord, getLogger
from logging.handlers import QueueHandler
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from PIL import Image

from artaffect.data.image_cache import ImageCache
from artaffect.data.preprocessing import ImagePreprocessing
from tests.disk import files_at_most

RULES = ImagePreprocessing(size=14, fit="stretch")
SQUARE = 16 * 16 * 3


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for file in files:
        Image.fromarray(rng.integers(1, 255, (20, 24, 3), dtype=np.uint8)).save(file)
    return files


def pixels(cache: ImageCache) -> np.ndarray:
    """uint8 [n, side, side, 3]."""
    return np.stack([np.asarray(cache.read(i)) for i in range(len(cache.files))])


def filled(images: list[Path], folder: Path) -> tuple[Path, np.ndarray]:
    """The file of a cache that holds every image, and the right pixels."""
    cache = ImageCache(images, RULES, folder)
    right = pixels(cache)
    assert cache.path is not None
    return cache.path, right


def _change(file: Path, position: int, data: bytes) -> None:
    with file.open("r+b") as stream:
        stream.seek(position, os.SEEK_END if position < 0 else os.SEEK_SET)
        stream.write(data)


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "a flipped bit": lambda file: _change(file, 400, bytes([file.read_bytes()[400] ^ 4])),
    "black pixels": lambda file: _change(file, 100, bytes(200)),
    "another checksum": lambda file: _change(file, -4, b"\0\0\0\0"),
    "the squares of other images": lambda file: _change(
        file, len(file.read_bytes()) - SQUARE - 8, file.read_bytes()[20 : 20 + SQUARE + 8]
    ),
}
_OTHERS: dict[str, Callable[[Path], object]] = {
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "another version": lambda file: _change(file, 0, b"artaffect squares 1\n"),
    "no squares": lambda file: file.write_text("something else", "utf-8"),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a link": lambda file: file.symlink_to(file.rename(file.with_name("elsewhere"))),
    "a link to nothing": lambda file: (file.unlink(), file.symlink_to("nothing")),
    "a pipe": lambda file: (file.unlink(), os.mkfifo(file)),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_square_is_decoded_anew_with_one_line(
    images: list[Path], tmp_path: Path, damage: str, log_messages: list[str]
) -> None:
    file, right = filled(images, tmp_path / damage)
    _DAMAGES[damage](file)
    np.testing.assert_array_equal(pixels(ImageCache(images, RULES, file.parent)), right)
    (message,) = log_messages
    assert "damaged" in message and str(file) in message
    np.testing.assert_array_equal(pixels(ImageCache(images, RULES, file.parent)), right)
    assert len(log_messages) == 1


@pytest.mark.parametrize("other", _OTHERS)
def test_anything_else_in_the_place_of_the_squares_is_set_aside_with_one_line(
    images: list[Path], tmp_path: Path, other: str, log_messages: list[str]
) -> None:
    file, right = filled(images, tmp_path / other)
    _OTHERS[other](file)
    np.testing.assert_array_equal(pixels(ImageCache(images, RULES, file.parent)), right)
    (message,) = log_messages
    assert "set aside" in message and str(file) in message
    assert os.path.lexists(file.with_suffix(".damaged"))
    for image in images:
        image.write_bytes(bytes(image.stat().st_size))
    assert file.read_bytes()[:20] == b"artaffect squares 2\n"


def test_a_square_that_was_cut_short_by_a_kill_is_decoded_anew(
    images: list[Path], tmp_path: Path, log_messages: list[str]
) -> None:
    file, right = filled(images, tmp_path / "decoded")
    whole = file.read_bytes()
    for size in range(0, len(whole), 97):  # an interrupted write has no mark, as a hole has none
        file.write_bytes(whole[:size])
        np.testing.assert_array_equal(pixels(ImageCache(images, RULES, file.parent)), right)
        assert file.read_bytes() == whole
    for message in log_messages:  # only of a file or a mark that is cut
        assert "set aside" in message or "damaged" in message


def test_no_changed_byte_changes_a_pixel(images: list[Path], tmp_path: Path) -> None:
    file, right = filled(images[:1], tmp_path / "decoded")
    whole = file.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        file.write_bytes(changed)
        np.testing.assert_array_equal(pixels(ImageCache(images[:1], RULES, file.parent)), right)


@pytest.mark.parametrize("size", [0, 10, SQUARE // 2, 2 * SQUARE])
def test_a_full_disk_costs_no_image_and_is_one_warning(
    images: list[Path], tmp_path: Path, size: int, log_messages: list[str]
) -> None:
    right = pixels(ImageCache(images, RULES, None))
    folder = tmp_path / f"decoded{size}"
    with files_at_most(size):
        for _ in range(2):
            np.testing.assert_array_equal(pixels(ImageCache(images, RULES, folder)), right)
    (message,) = log_messages
    assert "no more decoded images are kept" in message and str(folder) in message
    np.testing.assert_array_equal(pixels(ImageCache(images, RULES, folder)), right)
    assert len(log_messages) == 1, "what was cut short is not taken for damaged"


def test_a_folder_that_cannot_be_written_is_one_warning(
    images: list[Path], tmp_path: Path, log_messages: list[str]
) -> None:
    right = pixels(ImageCache(images, RULES, None))
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file" / "decoded", tmp_path / ("x" * 300)):
        log_messages.clear()
        for _ in range(2):
            np.testing.assert_array_equal(pixels(ImageCache(images, RULES, folder)), right)
        (message,) = log_messages
        assert str(folder) in message


def test_a_cache_serves_several_threads_and_processes(images: list[Path], tmp_path: Path) -> None:
    right = pixels(ImageCache(images, RULES, None))
    cache = ImageCache(images, RULES, tmp_path / "decoded")
    with ThreadPoolExecutor(4) as pool:
        for decoded in pool.map(pixels, [cache] * 8):
            np.testing.assert_array_equal(decoded, right)
    with get_context("fork").Pool(2) as processes:
        for decoded in processes.map(pixels, [cache] * 4):
            np.testing.assert_array_equal(decoded, right)


def _warnings(cache: ImageCache) -> list[str]:
    """What a process logs when it reads all images."""
    records = SimpleQueue[LogRecord]()
    logger = getLogger("artaffect")
    logger.addHandler(QueueHandler(records))
    pixels(cache)
    return [records.get().getMessage() for _ in range(records.qsize())]


def test_worker_processes_warn_once_together(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = ImageCache(images, RULES, tmp_path / "file" / "decoded")
    messages = []
    for _ in range(2):  # each epoch starts workers of its own
        with get_context("fork").Pool(1) as processes:
            messages += processes.map(_warnings, [cache, cache])
    assert [len(each) for each in messages] == [1, 0, 0, 0]


def test_images_resized_in_another_way_are_other_squares(
    images: list[Path], tmp_path: Path
) -> None:
    rules = ImagePreprocessing(size=14, fit="stretch", interpolation="bilinear")
    before = ImageCache(images, RULES, tmp_path / "decoded")
    assert not np.array_equal(
        pixels(before), pixels(ImageCache(images, rules, tmp_path / "decoded"))
    )


def test_the_checksum_is_that_of_the_documented_form(images: list[Path], tmp_path: Path) -> None:
    file, right = filled(images, tmp_path / "decoded")
    data = file.read_bytes()
    record = data[20 + (SQUARE + 8) * 2 :][: SQUARE + 8]
    assert record[:SQUARE] == right[2].tobytes()
    assert record[SQUARE:] == b"full" + zlib.crc32(right[2].tobytes(), 2).to_bytes(4, "little")
