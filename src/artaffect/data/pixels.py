"""From the pixels of any mode to upright RGB. No mode silently becomes black or white."""

import contextlib
from functools import partial

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.ImageFile import ImageFile

from artaffect.data.formats import DecoderError, decoder_errors
from artaffect.data.metadata import exif_orientation
from artaffect.errors import ImageError

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GREY_TAGS = (Base.BitsPerSample, Base.SampleFormat, Base.PhotometricInterpretation)
_BLOCK = 256
_NO_DATA = 1e30
"""Measuring instruments mark missing values with numbers beyond this one."""


def upright_rgb(image: Image.Image, kind: str, exif: bytes = b"") -> Image.Image:
    """A decoded image as upright RGB; what is transparent becomes white.

    Args:
        exif: the EXIF block of the file, if the image does not have it.

    Raises:
        ImageError: nothing can be seen, because the range of values is unknown and they do not differ.
    """
    with decoder_errors(kind):
        _scale_transparency(image)
        image.load()
    if not image.width * image.height:
        raise ImageError("the image has no pixels")
    transpose = _TRANSPOSE.get(_orientation(image, exif))
    if image.mode == "F" or image.mode.startswith("I"):
        image = _grey(image)
    with decoder_errors(kind):
        if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
            image = image.convert("LA") if image.mode == "La" else image
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        image = image.convert("RGB")
        return image if transpose is None else image.transpose(transpose)


def _orientation(image: Image.Image, exif: bytes) -> int:
    """EXIF's orientation; 1, which means upright, where it cannot be read."""
    block = exif or image.info.get("exif")
    if isinstance(block, bytes) and (orientation := exif_orientation(block)):
        return orientation
    with contextlib.suppress(DecoderError), decoder_errors("EXIF"):  # of a TIFF, or in XMP
        value = image.getexif().get(Base.Orientation)
        return value if isinstance(value, int) else 1
    return 1


def _grey(image: Image.Image) -> Image.Image:
    """A grey image of more than 8 bits, as RGB of 8 bits.

    16 bits (or 12) are scaled. The range of other numbers is unknown: they are stretched from the
    darkest to the brightest that the image holds, without the outermost half percent on either side.
    """
    values = np.asarray(image)
    bits, form, photometric = map(partial(_tag, image), _GREY_TAGS)
    if image.mode.startswith("I;16"):
        low, high = 0.0, 4095.0 if bits == 12 else 65535.0
    else:
        if image.mode == "I" and (bits, form) == (32, 1):
            values = values.view(np.uint32)  # Pillow has only signed ones
        low, high = _range(values)
    clear = image.info.get("transparency")
    grey = np.empty(values.shape, np.uint8)
    # in blocks, since numbers take more space than pixels
    for rows in range(0, len(values), _BLOCK):
        block = values[rows : rows + _BLOCK]
        scaled = (block.clip(low, high).astype(np.float64) - low) / (high - low)
        scaled = np.nan_to_num(scaled, nan=0)
        if photometric == 0:  # in a TIFF: 0 is white
            scaled = 1 - scaled
        if isinstance(clear, int):
            scaled[block == clear] = 1
        grey[rows : rows + _BLOCK] = (scaled * 255).round()
    return Image.fromarray(grey)


def _tag(image: Image.Image, tag: int) -> object:
    """The first value of a TIFF's tag; 1, the default of the tags used here, if it is absent."""
    value: object = 1
    with contextlib.suppress(DecoderError), decoder_errors("TIFF"):
        value = getattr(image, "tag_v2", {}).get(tag, 1)
    return value[0] if isinstance(value, tuple) and value else value


def _range(values: np.ndarray) -> tuple[float, float]:
    usable = values[:0]
    for step in (max(1, values.size // 1_000_000), 1):  # a sample shows the range of most images
        usable = values.reshape(-1)[::step]
        usable = usable[np.isfinite(usable) & (np.abs(usable) < _NO_DATA)]
        if usable.size:
            for bounds in (np.percentile(usable, (0.5, 99.5)), (usable.min(), usable.max())):
                low, high = map(float, bounds)
                if high > low:
                    return low, high
    raise ImageError(
        "nothing can be seen in the image: the range of its values is unknown, and "
        + ("all of them are equal" if usable.size else "none of them is a number")
    )


def _scale_transparency(image: Image.Image) -> None:
    """Bring a PNG's transparent colour to the 8 bits to which Pillow brings the pixels."""
    raw = image.tile[0][3] if isinstance(image, ImageFile) and image.tile else None
    clear = image.info.get("transparency")
    if raw in ("L;2", "L;4") and isinstance(clear, int):
        image.info["transparency"] = clear * {"L;2": 85, "L;4": 17}[raw]
    elif raw == "RGB;16B" and isinstance(clear, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in clear)
