"""Images and captions are prepared in one way, wherever they come from."""

import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.data.images import ImageStore, is_plain_name
from artaffect.data.preprocessing import (
    ImagePreprocessing,
    TextPreprocessing,
    image_size,
    open_image,
)
from artaffect.errors import ImageError, TableError


def gradient(width: int, height: int) -> Image.Image:
    x = np.linspace(0, 255, width)[None, :, None].repeat(height, 0).repeat(3, 2)
    return Image.fromarray(x.astype(np.uint8))


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (30, 20), (1000, 8), (224, 224)])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_every_image_becomes_one_square(size: tuple[int, int], fit: str) -> None:
    pixels = ImagePreprocessing(fit=fit)(gradient(*size))
    assert pixels.shape == (3, 224, 224)
    assert pixels.dtype == np.float32


def test_crop_sees_the_centre_and_stretch_sees_the_whole_image() -> None:
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    wide = gradient(400, 100)
    crop = ImagePreprocessing(fit="crop", **plain)(wide)
    stretch = ImagePreprocessing(fit="stretch", **plain)(wide)
    assert stretch.max() - stretch.min() > 0.98
    # the crop covers 0.875 of the height, 87.5 of 400 columns
    assert crop.max() - crop.min() == pytest.approx(87.5 / 400, abs=0.02)


def test_every_mode_becomes_rgb_and_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert np.asarray(open_image(clear)).min() == 255
    deep = Image.fromarray(np.full((8, 8), 65535, np.uint16))
    assert np.asarray(open_image(deep)).min() == 255
    for mode in ("L", "1", "P", "CMYK", "LA"):
        assert open_image(Image.new(mode, (8, 8))).mode == "RGB"


def test_a_rotated_image_is_made_upright() -> None:
    image = gradient(40, 20)
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    assert open_image(buffer.getvalue()).size == (20, 40)


def test_an_unreadable_image_is_named_with_its_fault(tmp_path: Path, picture: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("words")
    with pytest.raises(ImageError, match=r"text.jpg: not an image"):
        open_image(text)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(picture.read_bytes()[:900])
    with pytest.raises(ImageError, match=r"cut.jpg: broken or unsupported JPEG image"):
        open_image(cut)
    with pytest.raises(ImageError, match=r"none.jpg: no such file"):
        open_image(tmp_path / "none.jpg")
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    with pytest.raises(ImageError, match="more than the allowed 178,956,970 pixels"):
        open_image(huge)


def test_a_large_image_opens_without_a_warning_in_any_thread(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    Image.new("1", (12_000, 8_000)).save(large)  # above Pillow's limit for a warning
    filters = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        sizes = list(pool.map(image_size, [large.read_bytes()] * 8))
    assert sizes == [(12_000, 8_000)] * 8
    assert ImageStore(tmp_path).find_broken(["large.png"]) == {}
    assert warnings.filters == filters


def test_importing_the_package_changes_no_warning_filter() -> None:
    code = """
import warnings
import numpy, PIL.Image  # numpy adds filters of its own
before = list(warnings.filters)
import artaffect.data.preprocessing, artaffect.data.images
print(PIL.Image.MAX_IMAGE_PIXELS, warnings.filters == before)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "89478485 True\n", result.stderr


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_each_format_is_decoded_as_pillow_decodes_it(format: str, tmp_path: Path) -> None:
    file = tmp_path / "image"  # the format is recognized by the content, not by the name
    gradient(40, 30).save(file, format)
    with Image.open(file) as image:
        expected = np.asarray(image.convert("RGB"))
    for source in (file, str(file), file.read_bytes()):
        np.testing.assert_array_equal(np.asarray(open_image(source)), expected)


def test_other_formats_are_refused() -> None:
    buffer = io.BytesIO()
    gradient(8, 8).save(buffer, "PPM")
    with pytest.raises(
        ImageError, match="the image: not an image that can be read, but a Netpbm image"
    ):
        open_image(buffer.getvalue())


def test_an_array_is_an_image() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(open_image(colours)), colours)
    for dtype in (np.float32, np.float64):
        image = open_image(colours.astype(dtype) / 255)
        np.testing.assert_array_equal(np.asarray(image), colours)
    grey = open_image(colours[..., 0])
    assert grey.size == (9, 6) and grey.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(grey)[..., 2], colours[..., 0])
    flipped = open_image(colours[::-1])
    np.testing.assert_array_equal(np.asarray(flipped), colours[::-1])
    rules = ImagePreprocessing(size=8)
    np.testing.assert_array_equal(rules(colours), rules(Image.fromarray(colours)))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), bool),
        np.full((4, 4, 3), 255.0),
        np.full((4, 4), -0.1),
        np.full((4, 4), np.nan),
    ],
)
def test_an_array_of_another_kind_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="must be uint8, or float from 0 to 1, of shape") as error:
        open_image(array)
    assert str(error.value).endswith(f"got {array.dtype} {list(array.shape)}")


@pytest.mark.parametrize("value", [3, None, ["a.jpg"]])
def test_a_value_of_another_type_is_refused(value: object) -> None:
    name = type(value).__name__
    with pytest.raises(ImageError, match=rf"must be a path .* or a numpy array, got {name}$"):
        open_image(value)  # type: ignore[arg-type]


def test_a_large_jpeg_decoded_at_a_fraction_of_its_size_looks_the_same() -> None:
    buffer = io.BytesIO()
    gradient(3000, 2000).save(buffer, "JPEG", quality=95)
    assert open_image(buffer.getvalue(), smallest_side=224).width < 3000
    rules = ImagePreprocessing()
    drafted, exact = rules(buffer.getvalue()), rules(open_image(buffer.getvalue()))
    assert np.abs(drafted - exact).mean() < 0.02


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="fit must be one of"):
        ImagePreprocessing(fit="squash")
    with pytest.raises(ValueError, match="crop_fraction"):
        ImagePreprocessing(crop_fraction=0)
    with pytest.raises(ValueError, match="max_length"):
        TextPreprocessing(max_length=1)


def test_captions_get_a_prefix_and_single_blanks() -> None:
    assert TextPreprocessing(prefix="query: ")("  two\n words ") == "query: two words"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0"])
def test_a_name_that_leads_outside_its_folder_is_not_plain(name: str) -> None:
    assert not is_plain_name(name)


def test_a_store_never_looks_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "root" / "Style").mkdir(parents=True)
    store = ImageStore(tmp_path / "root")
    with pytest.raises(ValueError, match="unsafe name"):
        store.find("..", "secret")
    assert store.find("Style", "none") is None
    with pytest.raises(TableError, match="no such folder"):
        ImageStore(tmp_path / "nowhere")


def test_a_jpeg_with_bytes_after_its_end_is_complete(tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "w" / "S"
    folder.mkdir(parents=True)
    (folder / "tail.jpg").write_bytes(picture.read_bytes() + b"\0" * 500)
    (folder / "cut.jpg").write_bytes(picture.read_bytes()[:-200])
    broken = ImageStore(tmp_path / "w").find_broken(["S/tail.jpg", "S/cut.jpg"])
    assert list(broken) == ["S/cut.jpg"]
