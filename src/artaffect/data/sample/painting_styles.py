"""How a scene is painted: the palette influences the emotion, the style does not."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from artaffect.data.sample.canvas import Canvas
from artaffect.data.sample.scenes import SCENES

PALETTES = ("bright", "muted", "dark")


def paint(scene: str, palette: str, style: str, rng: np.random.Generator) -> Image.Image:
    """Draw a new painting."""
    canvas = Canvas(rng)
    SCENES[scene](canvas)
    return STYLES[style](_tone(canvas.image, palette), rng)


def _tone(image: Image.Image, palette: str) -> Image.Image:
    pixels = np.asarray(image, np.float32)
    grey = pixels.mean(2, keepdims=True)
    if palette == "bright":
        pixels = grey + (pixels - grey) * 1.35
        pixels = 255 * (np.clip(pixels, 0, 255) / 255) ** 0.8 + np.array([10, 6, 0])
    elif palette == "muted":
        pixels = (grey + (pixels - grey) * 0.35) * 0.78 + 42
    else:
        pixels = (grey + (pixels - grey) * 0.75) * np.array([0.5, 0.5, 0.62])
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _smooth(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Soft light and glazes."""
    return Image.blend(image, image.filter(ImageFilter.GaussianBlur(5)), 0.45)


def _brushwork(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Short visible strokes that ignore the outlines."""
    colours = np.asarray(image.filter(ImageFilter.GaussianBlur(2)))
    canvas = image.filter(ImageFilter.GaussianBlur(3))
    pen = ImageDraw.Draw(canvas)
    count = 3400
    xs, ys = rng.integers(0, image.width, count), rng.integers(0, image.height, count)
    angles = 0.6 + 0.5 * np.sin(xs / 70) + rng.normal(0, 0.3, count)
    dx, dy = 7 * np.cos(angles), 7 * np.sin(angles)
    ends = np.stack([xs - dx, ys - dy, xs + dx, ys + dy], 1).tolist()
    for stroke, colour in zip(ends, _jitter(colours[ys, xs], 14, rng), strict=True):
        pen.line(stroke, fill=colour, width=5)
    return canvas


def _poster(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A few flat colours, as in a screen print."""
    flat = image.filter(ImageFilter.MedianFilter(5))
    flat = flat.quantize(9, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    return flat.convert("RGB")


def _dots(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Dots of pure colour side by side."""
    colours = np.asarray(image.filter(ImageFilter.GaussianBlur(2)))
    canvas = Image.new("RGB", image.size, (226, 220, 206))
    pen = ImageDraw.Draw(canvas)
    grid = np.meshgrid(np.arange(2, image.width - 3, 6), np.arange(2, image.height, 5))
    xs, ys = np.reshape(grid, (2, -1))
    xs = xs + ys // 5 % 2 * 3
    boxes = np.stack([xs - 3, ys - 3, xs + 3, ys + 3], 1).tolist()
    for box, colour in zip(boxes, _jitter(colours[ys, xs], 20, rng), strict=True):
        pen.ellipse(box, fill=colour)
    return canvas


def _jitter(colours: np.ndarray, spread: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Colours [n, 3] with a little noise."""
    noisy = colours.astype(int) + rng.integers(-spread, spread + 1, colours.shape)
    return [tuple(colour) for colour in noisy.clip(0, 255).tolist()]


STYLES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "Synthetic_Glazes": _smooth,
    "Synthetic_Brushwork": _brushwork,
    "Synthetic_Poster": _poster,
    "Synthetic_Dots": _dots,
}
"""By the ``art_style`` of the data."""
