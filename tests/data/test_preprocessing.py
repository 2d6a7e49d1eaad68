"""One way in for pictures and captions."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.data.images import ImageStore, is_plain_name
from artaffect.data.preprocessing import ImagePreprocessing, TextPreprocessing, open_image
from artaffect.errors import ImageError, TableError


def gradient(width: int, height: int) -> Image.Image:
    x = np.linspace(0, 255, width)[None, :, None].repeat(height, 0).repeat(3, 2)
    return Image.fromarray(x.astype(np.uint8))


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (30, 20), (1000, 8), (224, 224)])
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_every_picture_becomes_one_square(size: tuple[int, int], fit: str) -> None:
    pixels = ImagePreprocessing(fit=fit)(gradient(*size))
    assert pixels.shape == (3, 224, 224)
    assert pixels.dtype == np.float32


def test_crop_sees_the_middle_and_stretch_sees_all() -> None:
    plain = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
    wide = gradient(400, 100)
    crop = ImagePreprocessing(fit="crop", **plain)(wide)
    stretch = ImagePreprocessing(fit="stretch", **plain)(wide)
    assert stretch.max() - stretch.min() > 0.98
    # the crop covers 0.875 of the height, 87.5 of 400 columns
    assert crop.max() - crop.min() == pytest.approx(87.5 / 400, abs=0.02)


def test_colour_modes_end_as_rgb_and_transparency_as_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert np.asarray(open_image(clear)).min() == 255
    deep = Image.fromarray(np.full((8, 8), 65535, np.uint16))
    assert np.asarray(open_image(deep)).min() == 255
    for mode in ("L", "1", "P", "CMYK", "LA"):
        assert open_image(Image.new(mode, (8, 8))).mode == "RGB"


def test_a_picture_lying_on_its_side_is_put_upright() -> None:
    image = gradient(40, 20)
    exif = image.getexif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    assert open_image(buffer.getvalue()).size == (20, 40)


def test_bad_pictures_are_named_with_their_fault(tmp_path: Path, picture: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("words")
    with pytest.raises(ImageError, match=r"text.jpg: not a picture"):
        open_image(text)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(picture.read_bytes()[:900])
    with pytest.raises(ImageError, match=r"cut.jpg: broken picture"):
        open_image(cut)
    with pytest.raises(ImageError, match=r"none.jpg: no such file"):
        open_image(tmp_path / "none.jpg")
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    with pytest.raises(ImageError, match="more than the allowed 178,956,970 pixels"):
        open_image(huge)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same() -> None:
    buffer = io.BytesIO()
    gradient(3000, 2000).save(buffer, "JPEG", quality=95)
    assert open_image(buffer.getvalue(), smallest_side=224).width < 3000
    rules = ImagePreprocessing()
    drafted, exact = rules(buffer.getvalue()), rules(open_image(buffer.getvalue()))
    assert np.abs(drafted - exact).mean() < 0.02


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="fit must be one of"):
        ImagePreprocessing(fit="squash")
    with pytest.raises(ValueError, match="crop_fraction"):
        ImagePreprocessing(crop_fraction=0)
    with pytest.raises(ValueError, match="max_length"):
        TextPreprocessing(max_length=1)


def test_captions_get_their_prefix_and_plain_blanks() -> None:
    assert TextPreprocessing(prefix="query: ")("  two\n words ") == "query: two words"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0"])
def test_names_that_lead_elsewhere_are_not_plain(name: str) -> None:
    assert not is_plain_name(name)


def test_a_store_never_looks_outside(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (tmp_path / "root" / "Style").mkdir(parents=True)
    store = ImageStore(tmp_path / "root")
    with pytest.raises(ValueError, match="unsafe name"):
        store.find("..", "secret")
    assert store.find("Style", "none") is None
    with pytest.raises(TableError, match="no such folder"):
        ImageStore(tmp_path / "nowhere")


def test_a_jpeg_with_bytes_after_its_end_is_whole(tmp_path: Path, picture: Path) -> None:
    folder = tmp_path / "w" / "S"
    folder.mkdir(parents=True)
    (folder / "tail.jpg").write_bytes(picture.read_bytes() + b"\0" * 500)
    (folder / "cut.jpg").write_bytes(picture.read_bytes()[:-200])
    broken = ImageStore(tmp_path / "w").find_broken(["S/tail.jpg", "S/cut.jpg"])
    assert list(broken) == ["S/cut.jpg"]
