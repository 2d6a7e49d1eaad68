"""Colours of labels are told apart by readers with every kind of colour vision."""

from base64 import b64encode
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest

from artaffect.labels import ARTEMIS, LabelSet, Sentiment, label_sets
from artaffect.reports.palette import AGAINST, SUPPORTS, label_colours

# Machado, Oliveira and Fernandes 2009, severity 1
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(colour: str, vision: str) -> np.ndarray:
    return TO_LAB @ np.cbrt(TO_LMS @ (VISION[vision] @ linear(colour)).clip(0, 1))


def contrast(first: str, second: str) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722])
    dark, light = sorted(float(weights @ linear(c)) + 0.05 for c in (first, second))
    return light / dark


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_labels_are_told_apart_with_every_colour_vision(vision: str, ground: str) -> None:
    seen = {n: oklab(getattr(c, ground), vision) for n, c in label_colours(ARTEMIS).items()}
    valence = dict(zip(ARTEMIS, ARTEMIS.sentiments, strict=True))
    for a, b in combinations(ARTEMIS, 2):
        least = 0.07 if valence[a] is valence[b] else 0.09
        assert np.linalg.norm(seen[a] - seen[b]) > least, (a, b)


@pytest.mark.parametrize(("ground", "paper"), [("light", "#ffffff"), ("dark", "#1b1e23")])
def test_every_colour_stands_out_from_its_ground(ground: str, paper: str) -> None:
    for labels in label_sets().values():
        if len(labels) <= 12:
            for name, colour in label_colours(labels).items():
                assert contrast(getattr(colour, ground), paper) >= 2.95, name
    for colour in (SUPPORTS, AGAINST):
        assert contrast(getattr(colour, ground), paper) >= 4.5


def test_a_colour_says_the_valence() -> None:
    labels = LabelSet(
        ("a", "b", "c", "d", "e"),
        (Sentiment.POSITIVE, Sentiment.NEGATIVE, Sentiment.OTHER, None, Sentiment.POSITIVE),
    )
    colours = {name: linear(c.light) for name, c in label_colours(labels).items()}
    assert list(colours) == list(labels), "in the order of the set"
    red, blue = 0, 2
    assert colours["a"][red] > colours["a"][blue] and colours["e"][red] > colours["e"][blue]
    assert colours["b"][blue] > colours["b"][red]
    assert np.ptp(colours["c"]) < 0.01
    assert colours["d"].argmax() == 1


@pytest.mark.parametrize("ground", ["light", "dark"])
@pytest.mark.parametrize("vision", VISION)
def test_support_is_told_from_its_opposite(vision: str, ground: str) -> None:
    first, second = (oklab(getattr(c, ground), vision) for c in (SUPPORTS, AGAINST))
    assert np.linalg.norm(first - second) > 0.07


def test_the_shared_style_holds_the_mark_and_the_colours_of_explanations() -> None:
    assets = files("artaffect.reports") / "assets"
    style = (assets / "base.css").read_text("utf-8")
    mark = b64encode((assets / "mark.svg").read_bytes().strip()).decode()
    assert style.count(mark) == 1, "a report is one file, so its style holds the mark"
    for name, colour in (("for", SUPPORTS), ("against", AGAINST)):
        for text in (colour.light, colour.dark):
            channels = ", ".join(str(int(text[i : i + 2], 16)) for i in (1, 3, 5))
            assert f"--{name}: {channels}" in style
