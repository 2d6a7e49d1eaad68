"""Image files: any metadata, any pixel mode, whole or not, in any format, under any name."""

import io
import struct
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.data.images import SUFFIXES, ImageStore, is_image_file
from artaffect.data.preprocessing import check_image, frame_count, image_size, open_image
from artaffect.errors import ImageError
from tests.absent import run_without

RAMP = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
DEEP = RAMP.astype(np.uint16) * 257


def saved(image: Image.Image | np.ndarray, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noisy(width: int = 320, height: int = 240) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(bits: int, colours: int, rows: list[bytes], width: int, *extra: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colours, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(pixels: np.ndarray, form: int = 1, photometric: int = 1, **more: int) -> bytes:
    """A TIFF of one channel without compression; ``more`` are further tags as ``t274=6``."""
    order = ">" if pixels.dtype.byteorder == ">" else "<"
    (height, width), bits = pixels.shape, 8 * pixels.dtype.itemsize
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 277: 1, 278: height}
    tags |= {279: pixels.nbytes, 339: form} | {int(name[1:]): value for name, value in more.items()}
    tags[273] = 14 + 12 * (len(tags) + 1)
    kinds = {256: 4, 257: 4, 273: 4, 278: 4, 279: 4}
    entries = b""
    for tag, value in sorted(tags.items()):
        packed = struct.pack(order + ("I" if tag in kinds else "Hxx"), value)
        entries += struct.pack(order + "HHI", tag, kinds.get(tag, 3), 1) + packed
    start = b"II*\0" if order == "<" else b"MM\0*"
    header = start + struct.pack(order + "IH", 8, len(tags))
    return header + entries + bytes(4) + pixels.tobytes()


def exif_block(*entries: tuple[int, int, int, bytes], data: bytes = b"") -> bytes:
    """An EXIF block with entries of a tag, a type, a count and four bytes."""
    listing = b"".join(struct.pack(">HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + listing + bytes(4) + data


TURNED = (0x0112, 3, 1, b"\0\6\0\0")
ODD_EXIF = {
    "denominator of zero": exif_block(TURNED, (0x011A, 5, 1, struct.pack(">I", 38)), data=bytes(8)),
    "rational beyond the end": exif_block(TURNED, (0x011A, 5, 1, b"\x7f\0\0\0")),
    "text for a number": exif_block(TURNED, (0x011A, 2, 4, b"high"), (0x0128, 2, 4, b"inch")),
    "number that is none": exif_block(TURNED, (0x011A, 11, 1, struct.pack(">f", float("nan")))),
    "unknown type": exif_block(TURNED, (0x011A, 99, 1, b"\0\0\0\1")),
    "folder of tags beyond the end": exif_block(TURNED, (0x8769, 4, 1, b"\x7f\xff\xff\xff")),
    "number for a folder of tags": exif_block(TURNED, (0x8769, 2, 4, b"exif")),
}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", ODD_EXIF.values(), ids=ODD_EXIF)
def test_whole_pixels_are_read_and_turned_whatever_else_exif_says(exif: bytes, format: str) -> None:
    data = saved(noisy(60, 40), format, exif=exif)
    assert open_image(data).size == (40, 60)
    assert image_size(data) == (60, 40)
    check_image(data)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0rubbish",
        b"Exif\0\0MM\0*\xff\xff\xff\xff",
        exif_block((0x0112, 2, 4, b"six\0")),
        exif_block((0x0112, 3, 1, b"\0\x63\0\0")),
    ],
)
def test_an_orientation_that_cannot_be_read_turns_nothing(exif: bytes, format: str) -> None:
    whole = saved(noisy(60, 40), format)
    data = saved(noisy(60, 40), format, exif=exif)
    np.testing.assert_array_equal(np.asarray(open_image(data)), np.asarray(open_image(whole)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_obeyed_in_every_format(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = None
    for format in ("PNG", "WEBP", "TIFF", "AVIF", "JPEG"):
        image = noisy(64, 32)
        options = {"lossless": True} if format == "WEBP" else {}
        pixels = np.asarray(
            open_image(saved(image, format, exif=exif.tobytes(), **options)), np.float32
        )
        expected = pixels if expected is None else expected
        assert pixels.shape == expected.shape
        assert np.abs(pixels - expected).mean() < 12


def test_odd_chunks_of_a_png_do_not_matter() -> None:
    rows = [row.tobytes() for row in RAMP]
    bomb = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(70_000_000)))
    wrong_sum = struct.pack(">I", 3) + b"tEXtabcXXXX"
    odd = (
        chunk(b"iTXt", b"\xff"),
        chunk(b"iCCP", b"x\0\0z"),
        chunk(b"pHYs", b"1"),
        wrong_sum,
        bomb,
    )
    for extra in ((), odd, *((part,) for part in odd)):
        data = png(8, 0, rows, 256, *extra)
        check_image(data)
        np.testing.assert_array_equal(np.asarray(open_image(data))[..., 0], RAMP)


def test_odd_tags_of_a_tiff_do_not_matter() -> None:
    for more in ({"t282": 5, "t296": 9}, {"t700": 1, "t34377": 3}, {"t34665": 65535}, {"t330": 9}):
        assert open_image(tiff(RAMP, **more)).size == (256, 64)
    assert open_image(tiff(RAMP, t274=6, t34665=65535)).size == (64, 256)


def ramps() -> dict[str, bytes | Image.Image]:
    rows = [row.astype(">u2").tobytes() for row in DEEP]
    colours = [np.repeat(row[:, None], 3, 1).astype(">u2").tobytes() for row in DEEP]
    faulty = RAMP.astype("<f4")
    faulty[0, 5], faulty[1, 6], faulty[2, 7] = np.nan, np.inf, -3.4e38
    grey, rgb = Image.fromarray(RAMP), Image.fromarray(RAMP).convert("RGB")
    neutral = Image.new("L", grey.size, 128)
    return {
        "16-bit PNG": png(16, 0, rows, 256),
        "16-bit PNG with a clear colour": png(16, 0, rows, 256, chunk(b"tRNS", b"\xff\xff")),
        "16-bit colours": png(16, 2, colours, 256, chunk(b"tRNS", b"\xff\xff" * 3)),
        "4-bit PNG": png(4, 0, [bytes(range(0, 256, 17))] * 4, 32, chunk(b"tRNS", b"\0\x0f")),
        "16-bit TIFF": tiff(DEEP.astype("<u2")),
        "16-bit TIFF, big-endian": tiff(DEEP.astype(">u2")),
        "signed 16-bit TIFF": tiff((DEEP.astype(int) - 32768).astype("<i2"), form=2),
        "unsigned 32-bit TIFF": tiff(DEEP.astype("<u4") * 65537),
        "signed 32-bit TIFF": tiff(RAMP.astype("<i4") - 50, form=2),
        "float TIFF from 0 to 1": tiff((RAMP / 255).astype("<f4"), form=3),
        "float TIFF with faults": tiff(faulty, form=3),
        "float image": Image.fromarray(RAMP.astype(np.float32) * 1e-6),
        "32-bit image": Image.fromarray(RAMP.astype(np.int32)),
        "16-bit JPEG 2000": saved(DEEP, "JPEG2000"),
        "CMYK JPEG": saved(rgb.convert("CMYK"), "JPEG"),
        "CMYK TIFF": saved(rgb.convert("CMYK"), "TIFF"),
        "Lab TIFF": saved(Image.merge("LAB", (grey, neutral, neutral)), "TIFF"),
        "1-bit PNG": saved(grey.convert("1"), "PNG"),
        "grey and alpha": saved(grey.convert("LA"), "PNG"),
        "palette and alpha": grey.convert("PA"),
        "premultiplied grey": grey.convert("LA").convert("La"),
        "premultiplied colours": rgb.convert("RGBA").convert("RGBa"),
        "YCbCr": rgb.convert("YCbCr"),
    }


@pytest.mark.parametrize("name", ramps())
def test_a_ramp_from_black_to_white_is_one_in_every_pixel_mode(name: str) -> None:
    pixels = np.asarray(open_image(ramps()[name])).astype(float)
    assert abs(pixels.mean() - 127.5) < 8
    left, right = pixels[..., 0].mean(0)[[1, -2]]
    assert left < 60 and right > 190


def test_in_a_tiff_zero_may_be_white() -> None:
    pixels = np.asarray(open_image(tiff(DEEP.astype("<u2"), photometric=0)))[..., 0]
    np.testing.assert_array_equal(pixels, 255 - RAMP)


@pytest.mark.parametrize(("value", "reason"), [(7, "all of them are equal"), (np.nan, "a number")])
def test_values_that_show_nothing_are_refused(value: float, reason: str) -> None:
    for source in (tiff(np.full((8, 8), value, "<f4"), form=3), Image.new("F", (8, 8), value)):
        with pytest.raises(ImageError, match=f"the range of its values is unknown.*{reason}"):
            open_image(source)


def damaged(data: bytes) -> dict[str, bytes]:
    half = len(data) // 2
    return {
        "cut": data[:half],
        "zeros in the second half": data[:half] + bytes(len(data) - half),
        "cut and filled up": data[:half] + bytes(5000),
        "zeros before the end": data[:half] + bytes(len(data) - half - 2) + b"\xff\xd9",
        "zeros in the middle": data[:half] + bytes(half // 2) + data[half + half // 2 :],
    }


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_rows": 2}]
)
def test_a_jpeg_that_lost_pixels_is_told_at_the_import(
    options: dict[str, object], tmp_path: Path
) -> None:
    data = saved(noisy(), "JPEG", quality=85, **options)
    files = (
        damaged(data)
        if "progressive" not in options
        else {
            "cut and ended": data[: len(data) // 2] + b"\xff\xd9",
            "cut": data[: len(data) // 2],
            "zeros": data[: len(data) // 2] + bytes(len(data) // 2),
        }
    )
    (tmp_path / "S").mkdir()
    for name, content in {"whole": data, "with more behind": data + bytes(500), **files}.items():
        (tmp_path / "S" / name).write_bytes(content)
    names = [f"S/{path.name}" for path in sorted((tmp_path / "S").iterdir())]
    broken = ImageStore(tmp_path).find_broken(names)
    assert {name.removeprefix("S/") for name in broken} == set(files)
    for reason in broken.values():
        assert "broken" in reason and "\n" not in reason


def test_a_jpeg_that_was_cut_and_given_a_new_end_is_not_decoded() -> None:
    data = saved(noisy(), "JPEG")
    for size in range(len(data) // 4, len(data) - 100, len(data) // 16):
        with pytest.raises(ImageError, match="truncated"):
            open_image(data[:size] + b"\xff\xd9")


def test_a_whole_jpeg_may_lack_its_end_and_be_of_one_colour() -> None:
    data = saved(noisy(), "JPEG")
    assert open_image(data[:-2]).size == (320, 240)
    flat = saved(Image.new("RGB", (2000, 2000), "navy"), "JPEG", optimize=True)
    check_image(flat)
    assert open_image(flat).getpixel((1999, 1999)) == pytest.approx((0, 0, 128), abs=3)


def test_a_tiff_without_some_of_its_strips_is_refused() -> None:
    data = bytearray(tiff(RAMP))
    data[data.index(struct.pack("<HHII", 257, 4, 1, 64)) + 8] = 200  # rows for one strip of 64
    with pytest.raises(ImageError, match="some of its strips or tiles are missing"):
        open_image(bytes(data))


@pytest.mark.parametrize("start", [64, 2**32, 2**63, 2**64 - 1])
def test_a_big_tiff_whose_tags_are_beyond_its_end_is_refused(start: int) -> None:
    for order, magic in (("<", b"II+\0"), (">", b"MM\0+")):
        data = magic + struct.pack(order + "HHQ", 8, 0, start) + bytes(40)
        with pytest.raises(ImageError, match="the image: broken or unsupported TIFF image"):
            open_image(data)


def test_a_header_that_asks_for_too_many_bytes_is_refused(tmp_path: Path) -> None:
    data = saved(RAMP, "JPEG2000")
    file = tmp_path / "painting.jp2"
    position = data.index(b"jp2h")
    file.write_bytes(
        data[: position - 4] + struct.pack(">I4sQ", 1, b"jp2h", 2**62) + data[position + 4 :]
    )
    with pytest.raises(ImageError, match="painting.jp2: broken or unsupported JPEG 2000 image"):
        open_image(file)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_cut_anywhere_in_its_header_is_refused(options: dict[str, object]) -> None:
    data = saved(Image.new("RGB", (16, 16)), "JPEG", **options)
    for end in range(1, data.index(b"\xff\xda") + 14):
        with pytest.raises(ImageError, match="the image: "):
            open_image(data[:end])


def test_a_png_that_lost_pixels_is_told_at_the_import() -> None:
    data = saved(noisy(), "PNG")
    half, end = len(data) // 2, data[-12:]
    for content in (data[:half], data[:half] + end, data[:half] + bytes(half - 12) + end):
        with pytest.raises(ImageError, match="broken or unsupported PNG image"):
            check_image(content)


@pytest.mark.parametrize("format", ["AVIF", "JPEG2000"])
def test_modern_formats_are_recognised_by_their_content(format: str, tmp_path: Path) -> None:
    file = tmp_path / "painting.jpg"
    file.write_bytes(saved(RAMP, format))
    assert abs(np.asarray(open_image(file)).mean() - 127.5) < 2
    codestream = saved(RAMP, "JPEG2000", no_jp2=True)
    assert open_image(codestream).size == (256, 64)


def test_heic_is_read_with_its_extra() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(RAMP).convert("RGB")).save(buffer)
    assert abs(np.asarray(open_image(buffer.getvalue())).mean() - 127.5) < 2


def test_without_its_extra_the_message_names_heic_and_the_extra(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    code = """
from artaffect.data.preprocessing import open_image
from artaffect.errors import ImageError
try:
    open_image("a.jpg")
except ImageError as error:
    print(error)
"""
    result = run_without(["pillow_heif"], code, cwd=tmp_path)
    assert result.stdout.startswith("a.jpg: HEIC needs"), result.stderr
    assert "pip install 'artaffect[heic]'" in result.stdout


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"%PDF-1.7", "a PDF document"),
        (b"<?xml version='1.0'?>\n<!-- drawn -->\n<svg>", "an SVG drawing"),
        (b"\n<!DOCTYPE html><html>", "an HTML page"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"%!PS-Adobe-3.0 EPSF", "a PostScript file"),
        (b"\0\0\1\0\1\0", "an icon"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera raw file"),
        (tiff(RAMP, t254=1, t330=9), "a camera raw file"),
        (b"\0\0\0\x18ftypisom\0\0\2\0", "a video"),
        (b"PK\3\4\x14\0", "a zip archive"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL image"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"words", "a file of unknown format"),
        (b"BM is how this text begins, which is no bitmap", "a file of unknown format"),
    ],
)
def test_another_format_is_named_with_those_that_work(
    start: bytes, name: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageError, match=rf"but {name}.*formats that can be: JPEG, PNG, .*HEIC$"):
        open_image(start)
    (tmp_path / "file").write_bytes(start)
    assert is_image_file(tmp_path / "file") == (len(start) > 1000)


def test_an_empty_file_and_a_folder_are_no_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the image: the file is empty"):
        open_image(b"")
    with pytest.raises(ImageError, match="not a file but a folder"):
        open_image(tmp_path)
    with pytest.raises(ImageError, match="no such file"):
        open_image("a\0b.jpg")
    with pytest.raises(ImageError, match="no pixels"):
        open_image(Image.new("RGB", (0, 0)))


def test_of_several_frames_the_first_is_read_and_their_number_is_known(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for format in ("GIF", "TIFF", "WEBP", "PNG", "AVIF"):
        data = saved(frames[0], format, save_all=True, append_images=frames[1:])
        assert frame_count(data) == 3
        red, green, blue = open_image(data).getpixel((4, 4))
        assert red > 200 > 60 > max(green, blue)
    assert frame_count(saved(frames[0], "JPEG")) == 1


def test_an_image_is_found_by_its_name_or_its_first_bytes(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        (tmp_path / f"a{suffix.upper()}").touch()
        assert is_image_file(tmp_path / f"a{suffix.upper()}")
    (tmp_path / "scan").write_bytes(saved(RAMP, "JPEG"))
    (tmp_path / "notes").write_text("words")
    (tmp_path / "folder.jpg").mkdir()
    assert is_image_file(tmp_path / "scan")
    assert not is_image_file(tmp_path / "notes")
    assert not is_image_file(tmp_path / "folder.jpg")
    assert not is_image_file(tmp_path / "none.jpg")


def test_a_store_finds_every_suffix_and_the_very_name(tmp_path: Path) -> None:
    folder = tmp_path / "Style"
    folder.mkdir()
    for index, suffix in enumerate(SUFFIXES):
        for name in (f"small{index}{suffix}", f"capital{index}{suffix.upper()}"):
            (folder / name).touch()
    (folder / "no suffix").touch()
    (folder / "folder").mkdir()
    store = ImageStore(tmp_path)
    for index, suffix in enumerate(SUFFIXES):
        assert store.find("Style", f"small{index}") == f"Style/small{index}{suffix}"
        assert store.find("Style", f"capital{index}") == f"Style/capital{index}{suffix.upper()}"
        assert store.find("Style", f"small{index}{suffix}") == f"Style/small{index}{suffix}"
    assert store.find("Style", "no suffix") == "Style/no suffix"
    assert store.find("Style", "folder") is None
    assert store.find("Style", "Small0") is None
    assert store.find("Style" * 100, "small0") is None


def test_a_name_is_looked_up_as_it_is_before_any_other_form(tmp_path: Path) -> None:
    folder = tmp_path / "Style"
    folder.mkdir()
    mixed = unicodedata.normalize("NFD", "é") + "é"
    raw = [" blank", "blank ", "\u212b", mixed, "a\u0323\u0307"]
    for name in raw:
        (folder / f"{name}.jpg").touch()
    store = ImageStore(tmp_path)
    for name in raw:
        assert store.find("Style", name) == f"Style/{name}.jpg"
    assert store.find("Style", "blank") is None
    (folder / f"{unicodedata.normalize('NFC', mixed)}.jpg").touch()
    assert ImageStore(tmp_path).find("Style", mixed) == f"Style/{mixed}.jpg"
