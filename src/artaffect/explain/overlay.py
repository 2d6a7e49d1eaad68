"""A heatmap as an image: transparent, and tinted the more a region supports the emotion."""

import io

import numpy as np
from PIL import Image

from artaffect.data.preprocessing import ImagePreprocessing, ImageSource, open_image

_SIDE = 640
_TINT = (0, 214, 176)
"""No label has it; see :mod:`artaffect.reports.palette`."""
_UNSEEN = (90, 90, 90, 120)


def overlay_png(
    heatmap: np.ndarray, size: tuple[int, int], preprocessing: ImagePreprocessing
) -> bytes:
    """Draw a heatmap as a PNG with the proportions of the image it is laid over.

    Args:
        heatmap: [s, s] over what the encoder sees; negative values are left transparent.
        size: width and height of the image.

    Returns:
        RGBA; what the encoder does not see is shaded grey.
    """
    scale = _SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    left, top, right, bottom = (round(v * scale) for v in preprocessing.visible_box(*size))
    strength = heatmap.clip(0)
    strength = strength / max(float(np.quantile(strength, 0.99)), 1e-12)
    alpha = Image.fromarray((255 * 0.65 * strength.clip(0, 1)).astype(np.uint8))
    layer = Image.new("RGBA", (width, height), _UNSEEN)
    visible = Image.new("RGBA", (max(1, right - left), max(1, bottom - top)), (*_TINT, 0))
    visible.putalpha(alpha.resize(visible.size, Image.Resampling.BICUBIC))
    layer.paste(visible, (left, top))
    buffer = io.BytesIO()
    layer.save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail_jpeg(source: ImageSource, side: int = _SIDE) -> bytes:
    """A small copy of an image.

    Raises:
        ImageError: the image cannot be read.
    """
    image = open_image(source, smallest_side=side)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
