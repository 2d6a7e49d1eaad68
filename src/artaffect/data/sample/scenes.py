"""The scenes of the sample. Each function paints one of them, with random variations."""

from collections.abc import Callable
from itertools import pairwise, product

import numpy as np

from artaffect.data.sample.canvas import Canvas


def waterfall(c: Canvas) -> None:
    c.sky((150, 200, 235), (225, 238, 240), 0.5)
    c.ridge(0.28, 0.08, (96, 118, 108))
    x, wide = c.between(0.38, 0.6), c.between(0.08, 0.14)
    c.polygon([(0, 0.3), (x - wide, 0.22), (x - wide, 0.8), (0, 0.86)], (84, 92, 78))
    c.polygon([(1, 0.26), (x + wide, 0.22), (x + wide, 0.8), (1, 0.86)], (74, 84, 72))
    c.box(x - wide, 0.22, x + wide, 0.8, (205, 228, 240))
    for dx, top in c.scatter(40, (-wide, wide), (0.22, 0.5)):
        at = x + dx
        c.line([(at, top), (at + c.between(-0.01, 0.01), 0.8)], c.shade((240, 248, 252), 12), 0.005)
    c.polygon([(0, 0.82), (1, 0.8), (1, 1), (0, 1)], (70, 130, 160))
    for dx, y in c.scatter(34, (-wide * 2, wide * 2), (0.76, 0.86)):
        width, height = c.between(0.015, 0.05), c.between(0.012, 0.03)
        c.ellipse((x + dx, y), width, height, c.shade((235, 243, 246), 10))
    bark = (70, 50, 36)
    for _ in range(9):
        c.tree(c.between(0, x - wide - 0.06), c.between(0.4, 0.9), 0.22, (52, 112, 62), bark)
        c.tree(c.between(x + wide + 0.06, 1), c.between(0.4, 0.9), 0.22, (46, 104, 60), bark)


def storm_at_sea(c: Canvas) -> None:
    c.sky((58, 64, 80), (122, 130, 140), 0.55)
    for place in c.scatter(26, (0, 1), (0, 0.34)):
        c.ellipse(place, c.between(0.08, 0.2), c.between(0.03, 0.09), c.shade((72, 76, 90), 20))
    x = c.between(0.15, 0.85)
    bolt = [(x, 0.05), (x - 0.03, 0.2), (x + 0.02, 0.22), (x - 0.04, 0.42)]
    c.line(bolt, (250, 246, 200), 0.008)
    for depth in range(6):
        base = 0.45 + depth * 0.1
        xs = np.linspace(-0.05, 1.05, 60)
        phase, high = c.between(0, 6), 0.03 + depth * 0.012
        tops = [(float(v), base + high * float(np.sin(v * (14 - depth) + phase))) for v in xs]
        c.polygon([(0, 1), *tops, (1, 1)], c.shade((28, 62 + depth * 6, 84 + depth * 5), 8))
        c.line(tops, (200, 215, 220), 0.006)
        if depth == 2:
            _ship(c, c.between(0.3, 0.7), base)


def _ship(c: Canvas, x: float, y: float) -> None:
    tilt = c.between(-0.05, 0.05)
    deck = [(x - 0.1, y - 0.02 + tilt), (x + 0.1, y - 0.02 - tilt)]
    c.polygon([*deck, (x + 0.07, y + 0.05), (x - 0.07, y + 0.05)], (70, 42, 28))
    for mast in (x - 0.04, x + 0.04):
        c.line([(mast, y), (mast + tilt, y - 0.22)], (50, 34, 26), 0.006)
        sail = [(mast, y - 0.05), (mast + tilt, y - 0.2), (mast + 0.06, y - 0.07)]
        c.polygon(sail, (226, 218, 200))


def feast(c: Canvas) -> None:
    c.sky((150, 84, 52), (196, 132, 84))
    for i in range(4):
        x = 0.14 + i * 0.24
        c.box(x - 0.05, 0.06, x + 0.05, 0.3, (98, 58, 40))
        c.box(x - 0.04, 0.08, x + 0.04, 0.28, (248, 206, 120))
    for _ in range(9):
        c.person(c.between(0.05, 0.95), 0.68, c.between(0.3, 0.36), c.shade((150, 60, 60), 70))
    c.polygon([(0.02, 0.62), (0.98, 0.62), (1, 0.86), (0, 0.86)], (238, 228, 208))
    c.box(0.03, 0.86, 0.97, 0.96, (120, 74, 44))
    foods = ((196, 60, 40), (226, 160, 50), (120, 150, 60), (150, 90, 50))
    for x, y in c.scatter(26, (0.06, 0.94), (0.65, 0.82)):
        c.ellipse((x, y), 0.035, 0.018, (250, 248, 240))
        food = c.choice(foods)
        c.ellipse((x, y - 0.012), 0.022, 0.018, c.shade(food))
    for _ in range(8):
        x = c.between(0.08, 0.92)
        c.box(x - 0.008, 0.6, x + 0.008, 0.68, (110, 24, 40))
        c.ellipse((x, 0.6), 0.017, 0.024, (150, 30, 52))


def night_forest(c: Canvas) -> None:
    c.sky((24, 36, 74), (52, 76, 98))
    x = c.between(0.2, 0.8)
    c.ellipse((x, 0.16), 0.055, 0.07, (238, 234, 205))
    for centre in c.scatter(50, (0, 1), (0, 0.45)):
        c.ellipse(centre, 0.002, 0.0026, (220, 224, 235))
    for depth in range(4):
        grey = 46 - depth * 10
        for _ in range(9):
            at, wide = c.between(-0.02, 1.02), 0.01 + depth * 0.007
            trunk = (grey, grey + 4, grey + 8)
            c.box(at - wide, 0, at + wide, 0.7 + depth * 0.1, trunk)
            for _ in range(3):
                y, reach = c.between(0.05, 0.5), c.between(-0.12, 0.12)
                c.line([(at, y), (at + reach, y - 0.09)], trunk, 0.006)
    c.polygon([(0, 0.84), (1, 0.8), (1, 1), (0, 1)], (10, 14, 16))
    for x, y in c.scatter(int(c.rng.integers(1, 4)), (0.1, 0.9), (0.5, 0.75)):  # eyes in the dark
        for eye in (-0.012, 0.012):
            c.ellipse((x + eye, y), 0.006, 0.008, (250, 214, 70))


def mourning(c: Canvas) -> None:
    c.sky((120, 126, 136), (186, 188, 190), 0.62)
    c.box(0, 0.6, 1, 1, (98, 104, 92))
    for x, y in c.scatter(8, (0.03, 0.97), (0.6, 0.7)):
        c.box(x - 0.02, y - 0.09, x + 0.02, y, (150, 150, 148))
        c.ellipse((x, y - 0.09), 0.02, 0.03, (150, 150, 148))
    for x, y in c.scatter(10, (0.08, 0.92), (0.78, 0.84)):
        c.person(x, y, c.between(0.26, 0.34), (28, 28, 34))
    x = c.between(0.35, 0.65)
    c.polygon([(x - 0.2, 0.84), (x + 0.2, 0.84), (x + 0.16, 0.95), (x - 0.16, 0.95)], (78, 50, 34))
    c.polygon([(x - 0.2, 0.84), (x + 0.2, 0.84), (x + 0.17, 0.8), (x - 0.17, 0.8)], (104, 68, 46))
    for dx, y in c.scatter(12, (-0.12, 0.12), (0.79, 0.83)):
        c.ellipse((x + dx, y), 0.014, 0.018, (236, 232, 226))
    bare = c.between(0.05, 0.25)
    c.line([(bare, 0.66), (bare, 0.2)], (52, 46, 44), 0.016)
    for _ in range(9):
        y = c.between(0.2, 0.45)
        c.line([(bare, y), (bare + c.between(-0.14, 0.14), y - 0.12)], (52, 46, 44), 0.006)


def garden(c: Canvas) -> None:
    c.sky((160, 208, 240), (228, 240, 244), 0.4)
    for _ in range(9):
        c.tree(c.between(0, 1), 0.5, 0.3, (86, 150, 78), (96, 66, 44))
    c.box(0, 0.42, 1, 1, (124, 176, 84))
    x = c.between(0.3, 0.7)
    c.polygon([(x - 0.03, 0.42), (x + 0.03, 0.42), (x + 0.22, 1), (x - 0.22, 1)], (226, 206, 164))
    palette = ((224, 70, 96), (246, 200, 70), (240, 240, 250), (170, 90, 190), (240, 130, 60))
    for left, top in c.scatter(260, (0, 1), (0.48, 1)):
        if abs(left - x) >= 0.04 + (top - 0.42) * 0.36:  # beside the path
            size = 0.004 + (top - 0.42) * 0.016
            c.ellipse((left, top), size, size * 1.2, c.shade(c.choice(palette)))
    bench = x + (0.3 if x < 0.5 else -0.3)
    c.box(bench - 0.08, 0.62, bench + 0.08, 0.64, (140, 96, 60))
    c.box(bench - 0.07, 0.64, bench - 0.055, 0.71, (120, 80, 50))
    c.box(bench + 0.055, 0.64, bench + 0.07, 0.71, (120, 80, 50))


def mountain_dawn(c: Canvas) -> None:
    c.sky((96, 120, 190), (252, 196, 140), 0.9)
    x = c.between(0.2, 0.8)
    c.ellipse((x, 0.52), 0.06, 0.075, (255, 236, 180))
    far, middle, near = (150, 140, 176), (112, 106, 146), (70, 72, 104)
    for base, rough, colour in ((0.5, 0.12, far), (0.62, 0.1, middle), (0.76, 0.06, near)):
        for _ in range(4):
            x, top = c.between(0, 1), base - c.between(rough, rough * 2.4)
            wide = c.between(0.16, 0.3)
            c.peak(x, top, wide, 1, c.shade(colour, 8))
            c.peak(x, top, wide * 0.16, top + 0.09, (246, 240, 240))
    c.box(0, 0.86, 1, 1, (196, 156, 150))
    for y, left in c.scatter(18, (0.87, 0.99), (0, 0.9)):
        c.line([(left, y), (left + c.between(0.05, 0.16), y)], (250, 214, 180), 0.004)


def carnival(c: Canvas) -> None:
    c.sky((36, 30, 92), (120, 60, 130), 0.75)
    fireworks = ((255, 220, 90), (255, 110, 120), (120, 230, 255), (180, 255, 140))
    for x, y in c.scatter(6, (0.08, 0.92), (0.08, 0.36)):
        colour = c.choice(fireworks)
        for angle in np.linspace(0, 2 * np.pi, 18, endpoint=False):
            far = c.between(0.06, 0.11)
            end = (x + far * float(np.cos(angle)), y + far * 1.2 * float(np.sin(angle)))
            c.line([(x, y), end], colour, 0.004)
    c.box(0, 0.74, 1, 1, (96, 64, 70))
    for i in range(3):
        x, wide = 0.18 + i * 0.32 + c.between(-0.04, 0.04), 0.14
        for stripe in range(6):
            left = x - wide + stripe * wide / 3
            colour = (214, 50, 60) if stripe % 2 else (246, 240, 226)
            c.polygon([(left, 0.62), (x, 0.42), (left + wide / 3, 0.62)], colour)
            c.box(left, 0.62, left + wide / 3, 0.78, colour)
    for x, y in c.scatter(22, (0.02, 0.98), (0.84, 0.98)):
        c.person(x, y, c.between(0.16, 0.22), c.shade((170, 120, 90), 85))
    for x in np.linspace(0.02, 0.98, 22):
        c.ellipse((float(x), 0.38 + 0.03 * float(np.sin(x * 12))), 0.009, 0.012, (255, 226, 120))


def burning_city(c: Canvas) -> None:
    c.sky((50, 24, 24), (214, 96, 40), 0.75)
    for centre in c.scatter(18, (0, 1), (0, 0.35)):
        c.ellipse(centre, c.between(0.07, 0.16), c.between(0.05, 0.1), c.shade((46, 38, 40), 14))
    for _ in range(11):
        x, wide, top = c.between(0, 1), c.between(0.04, 0.09), c.between(0.3, 0.58)
        c.box(x - wide, top, x + wide, 0.82, c.shade((44, 30, 30), 10))
        for _ in range(4):
            at, y = x + c.between(-wide, wide) * 0.7, c.between(top + 0.04, 0.78)
            c.box(at - 0.01, y - 0.02, at + 0.01, y + 0.02, (255, 170, 60))
        _flame(c, x, top, wide)
    c.box(0, 0.8, 1, 1, (34, 26, 26))
    for x, y in c.scatter(9, (0.05, 0.95), (0.86, 0.97)):
        c.person(x, y, 0.16, (24, 18, 18))
        c.line([(x, y - 0.1), (x + 0.05, y - 0.2)], (24, 18, 18), 0.006)


def _flame(c: Canvas, x: float, y: float, wide: float) -> None:
    for colour, size in (((226, 70, 24), 1.0), ((252, 150, 40), 0.65), ((255, 232, 130), 0.35)):
        high = c.between(0.14, 0.22) * size
        tips = ((-1, 0), (-0.4, 0.7), (-0.1, 0.4), (0.2, 1), (1, 0))
        c.polygon([(x + wide * dx * size, y - high * dy) for dx, dy in tips], colour)


def rotten_still_life(c: Canvas) -> None:
    c.sky((74, 66, 50), (104, 92, 64))
    c.box(0, 0.62, 1, 1, (92, 66, 44))
    c.ellipse((0.5, 0.72), 0.36, 0.1, (170, 164, 146))
    c.ellipse((0.5, 0.71), 0.31, 0.075, (146, 140, 118))
    fruits = ((126, 92, 40), (98, 104, 50), (116, 60, 44))
    mould = ((150, 176, 150), (44, 34, 26), (206, 210, 190))
    for x, y in c.scatter(8, (0.28, 0.72), (0.58, 0.72)):
        fruit, size = c.choice(fruits), c.between(0.05, 0.085)
        c.ellipse((x, y), size, size * 1.1, c.shade(fruit, 14))
        for _ in range(6):
            at = (x + c.between(-size, size) * 0.6, y + c.between(-size, size) * 0.7)
            spot = c.choice(mould)
            c.ellipse(at, c.between(0.006, 0.018), c.between(0.006, 0.02), spot)
    for x, y in c.scatter(6, (0.3, 0.7), (0.62, 0.74)):
        c.line([(x, y), (x + 0.015, y - 0.012), (x + 0.03, y)], (226, 214, 180), 0.009)
    for x, y in c.scatter(16, (0.1, 0.9), (0.15, 0.7)):
        c.ellipse((x, y), 0.008, 0.007, (20, 20, 22))
        for wing in (-0.008, 0.008):
            c.ellipse((x + wing, y - 0.008), 0.007, 0.004, (170, 174, 180))


def coloured_squares(c: Canvas) -> None:
    c.sky((228, 222, 208), (228, 222, 208))
    red, blue, yellow = (200, 48, 44), (36, 66, 140), (240, 196, 56)
    palette = (red, blue, yellow, (24, 24, 26), (244, 240, 230), (90, 140, 120))
    columns = sorted([0.0, 1.0, *(c.between(0.08, 0.92) for _ in range(4))])
    rows = sorted([0.0, 1.0, *(c.between(0.08, 0.92) for _ in range(4))])
    for (left, right), (top, bottom) in product(pairwise(columns), pairwise(rows)):
        c.box(left, top, right, bottom, c.choice(palette))
    for x in columns:
        c.line([(x, 0), (x, 1)], (20, 20, 20), 0.016)
    for y in rows:
        c.line([(0, y), (1, y)], (20, 20, 20), 0.016)


def snowy_village(c: Canvas) -> None:
    c.sky((176, 196, 218), (232, 234, 238), 0.5)
    c.ridge(0.42, 0.05, (204, 214, 226))
    c.box(0, 0.55, 1, 1, (240, 243, 247))
    for x, y in c.scatter(6, (0.08, 0.92), (0.62, 0.84)):
        wide, high = c.between(0.06, 0.09), c.between(0.1, 0.14)
        c.box(x - wide, y - high, x + wide, y, c.shade((150, 100, 76), 20))
        c.peak(x, y - high - 0.12, wide + 0.02, y - high, (250, 251, 253))
        for at in (x - 0.5 * wide, x + 0.5 * wide):
            c.box(at - 0.014, y - high * 0.7, at + 0.014, y - high * 0.35, (255, 214, 110))
        for puff in range(4):
            smoke = (x + wide * 0.5 + puff * 0.014, y - high - 0.12 - puff * 0.04)
            c.ellipse(smoke, 0.014 + puff * 0.004, 0.018, (206, 210, 216))
    for x, y in c.scatter(7, (0, 1), (0.6, 0.95)):
        for level in range(3):
            wide, top = 0.05 - level * 0.012, y - 0.07 - level * 0.06
            c.peak(x, top - 0.03, wide, top + 0.07, (70, 104, 92))
            c.peak(x, top - 0.03, wide * 0.5, top + 0.01, (246, 248, 250))
    for centre in c.scatter(120, (0, 1), (0, 1)):
        c.ellipse(centre, 0.003, 0.004, (255, 255, 255))


_PAINTERS: list[Callable[[Canvas], None]] = [
    *(waterfall, storm_at_sea, feast, night_forest, mourning, garden, mountain_dawn, carnival),
    *(burning_city, rotten_still_life, coloured_squares, snowy_village),
]
SCENES = {painter.__name__.replace("_", " "): painter for painter in _PAINTERS}
"""By name."""
