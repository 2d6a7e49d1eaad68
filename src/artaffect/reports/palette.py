"""One colour for each label, the same in the page, the reports and the gallery.

A positive label is warm, a negative one cool, one of neither valence grey, and one of unknown valence
green. Within a valence, lightness varies as well as hue, so that colour-blind readers tell labels apart.
"""

import math
from dataclasses import asdict, dataclass

from artaffect.labels import LabelSet, Sentiment

Oklch = tuple[float, float, float]
"""Lightness and chroma, each 0 to 1, and hue in degrees (Ottosson 2020)."""


@dataclass(frozen=True)
class Colour:
    """A colour in hexadecimal notation, for a light and for a dark ground."""

    light: str
    dark: str

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True)
class _Ramp:
    """The first and the last colour of a valence on a light ground."""

    first: Oklch
    last: Oklch

    def at(self, position: float, lift: float) -> Oklch:
        """A colour between the first, 0, and the last, 1; ``lift`` is added to its lightness."""
        pairs = zip(self.first, self.last, strict=True)
        lightness, chroma, hue = (a + (b - a) * position for a, b in pairs)
        return lightness + lift, chroma, hue


_RAMPS = {
    Sentiment.POSITIVE: _Ramp((0.675, 0.15, 82), (0.38, 0.14, 20)),
    Sentiment.NEGATIVE: _Ramp((0.36, 0.13, 305), (0.655, 0.13, 236)),
    Sentiment.OTHER: _Ramp((0.57, 0.0, 0), (0.40, 0.0, 0)),
    None: _Ramp((0.67, 0.13, 118), (0.38, 0.09, 152)),
}
_DARK_LIFT = 0.18
"""Added to the lightness on a dark ground."""

SUPPORTS = Colour("#00594b", "#7fe3cd")
"""What counts for an answer; it is also underlined."""
AGAINST = Colour("#a45d8b", "#c587ae")
"""What counts against an answer; it is also dotted."""


def label_colours(labels: LabelSet) -> dict[str, Colour]:
    """The colour of each label, by its valence and its place among the labels of that valence."""
    colours = {}
    for sentiment, ramp in _RAMPS.items():
        pairs = zip(labels.names, labels.sentiments, strict=True)
        names = [name for name, valence in pairs if valence is sentiment]
        for place, name in enumerate(names):
            position = place / max(1, len(names) - 1)
            light, dark = (_to_hex(ramp.at(position, lift)) for lift in (0.0, _DARK_LIFT))
            colours[name] = Colour(light, dark)
    return {name: colours[name] for name in labels}


def _to_hex(colour: Oklch) -> str:
    """The sRGB colour; where the screen cannot show it, the chroma is reduced."""
    lightness, chroma, hue = colour
    channels = _linear_rgb(lightness, chroma, hue)
    while chroma > 0 and not all(0 <= c <= 1 for c in channels):
        chroma = max(0.0, chroma - 0.002)
        channels = _linear_rgb(lightness, chroma, hue)
    encoded = (_encode(min(1.0, max(0.0, c))) for c in channels)
    return "#" + "".join(f"{round(255 * c):02x}" for c in encoded)


def _linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _encode(linear: float) -> float:
    if linear <= 0.0031308:
        return 12.92 * linear
    return float(1.055 * linear ** (1 / 2.4) - 0.055)
