"""Drawing in relative coordinates: (0, 0) is the upper left corner of the image, (1, 1) the lower right."""

from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

SIZE = (384, 300)


class Canvas:
    """An image to draw on; its shapes are filled."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.image = Image.new("RGB", SIZE)
        self.pen = ImageDraw.Draw(self.image)
        self.rng = rng

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def scatter(self, count: int, xs: Point, ys: Point) -> Iterator[Point]:
        """Random points whose coordinates lie between the given bounds."""
        return ((self.between(*xs), self.between(*ys)) for _ in range(count))

    def choice(self, colours: Sequence[Colour]) -> Colour:
        return colours[int(self.rng.integers(len(colours)))]

    def sky(self, top: Colour, bottom: Colour, horizon: float = 1.0) -> None:
        """A vertical gradient from the upper edge to the horizon."""
        height = round(horizon * SIZE[1])
        ramp = np.linspace(0, 1, height)[:, None]
        colours = np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp
        strip = np.repeat(colours[:, None, :], SIZE[0], axis=1).astype(np.uint8)
        self.image.paste(Image.fromarray(strip), (0, 0))

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self.pen.polygon([self._at(p) for p in points], fill=colour)

    def peak(self, x: float, top: float, half_width: float, base: float, colour: Colour) -> None:
        """A triangle that points upwards."""
        self.polygon([(x - half_width, base), (x, top), (x + half_width, base)], colour)

    def ellipse(self, centre: Point, width: float, height: float, colour: Colour) -> None:
        """An ellipse; ``width`` and ``height`` are radii."""
        (x, y) = centre
        corners = [self._at((x - width, y - height)), self._at((x + width, y + height))]
        self.pen.ellipse(corners, colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        self.pen.rectangle([self._at((left, top)), self._at((right, bottom))], fill=colour)

    def line(self, points: Sequence[Point], colour: Colour, width: float = 0.006) -> None:
        """A line; its width is relative to the width of the canvas."""
        thickness = max(1, round(width * SIZE[0]))
        self.pen.line([self._at(p) for p in points], fill=colour, width=thickness, joint="curve")

    def ridge(self, base: float, rough: float, colour: Colour, steps: int = 9) -> None:
        """A jagged ridge, filled down to the lower edge."""
        tops = [(x, base + self.between(-rough, rough)) for x in np.linspace(0, 1, steps)]
        self.polygon([(0, 1), *tops, (1, 1)], colour)

    def shade(self, colour: Colour, spread: int = 18) -> Colour:
        """A random colour close to the given one."""
        r, g, b = (int(np.clip(c + self.rng.integers(-spread, spread + 1), 0, 255)) for c in colour)
        return (r, g, b)

    def person(self, x: float, y: float, height: float, colour: Colour) -> None:
        """A standing figure whose feet are at (x, y)."""
        half_width, shoulders = height * 0.16, y - height * 0.72
        top = [(x - half_width * 0.6, shoulders), (x + half_width * 0.6, shoulders)]
        self.polygon([(x - half_width, y), *top, (x + half_width, y)], colour)
        self.ellipse((x, y - height * 0.84), height * 0.10, height * 0.13, (222, 184, 152))

    def tree(self, x: float, y: float, height: float, crown: Colour, trunk: Colour) -> None:
        """A tree with a round crown, whose foot is at (x, y)."""
        self.box(x - 0.01, y - height * 0.5, x + 0.01, y, trunk)
        for _ in range(7):
            centre = (x + self.between(-0.06, 0.06), y - height * self.between(0.5, 0.95))
            radii = (self.between(0.035, 0.06), self.between(0.045, 0.07))
            self.ellipse(centre, *radii, self.shade(crown))

    def _at(self, point: Point) -> tuple[float, float]:
        return (point[0] * SIZE[0], point[1] * SIZE[1])
