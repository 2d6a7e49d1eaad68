"""Write the sample: paintings, captions and readers' emotions, laid out like ArtELingo."""

import csv
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.data.sample.generative_model import (
    CAPTION_KINDS,
    CULTURES,
    P_HONEST,
    BestScore,
    best_scores,
    cues,
    divergences,
    feelings,
)
from artaffect.data.sample.painting_styles import MANNERS, PALETTES, paint
from artaffect.data.sample.scenes import SCENES
from artaffect.labels import EMOTIONS
from artaffect.runtime import atomic_folder, track

MARKER = "SYNTHETIC.md"
CAPTIONS_PER_CULTURE = 4
SPLITS = {"train": 0.7, "val": 0.15, "test": 0.15}

_COLUMNS = ("art_style", "emotion", "language", "painting", "split", "utterance")


@dataclass(frozen=True)
class _Painting:
    name: str
    scene: str
    palette: str
    manner: str
    split: str


def write_sample(
    out: Path,
    paintings: int = 480,
    seed: int = 0,
    overwrite: bool = False,
    culture_strength: float = 1.0,
    captions: int = CAPTIONS_PER_CULTURE,
) -> Path:
    """Write ``artelingo_release_lite.csv``, ``wikiart/`` and ``SYNTHETIC.md`` under ``out``.

    Args:
        paintings: how many; at least 36, so that each scene comes in each palette.
        culture_strength: see :func:`artaffect.data.sample.generative_model.feelings`.
        captions: of each culture for each painting, at most 20.

    Returns:
        The path of the CSV file.

    Raises:
        OutputExistsError: ``out`` may not be replaced.
    """
    rng = np.random.default_rng(seed)
    plan = _plan(paintings, rng)
    with atomic_folder(out, MARKER, overwrite) as folder:
        for painting in track(plan, "painting", len(plan)):
            picture = folder / "wikiart" / painting.manner / f"{painting.name}.jpg"
            picture.parent.mkdir(parents=True, exist_ok=True)
            paint(painting.scene, painting.palette, painting.manner, rng).save(picture, quality=88)
        with (folder / "artelingo_release_lite.csv").open(
            "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(_rows(plan, culture_strength, captions, rng))
        (folder / MARKER).write_text(
            _explanation(paintings, seed, culture_strength, captions), "utf-8"
        )
    return out / "artelingo_release_lite.csv"


def write_new_painting(path: Path, seed: int = 2024) -> Path:
    """Paint a storm at sea that belongs to no sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 1])
    paint("storm at sea", "dark", "Synthetic_Brushwork", rng).save(path, quality=90)
    return path


def _plan(paintings: int, rng: np.random.Generator) -> list[_Painting]:
    """Every scene in every palette equally often; manner and split by chance, each in its share."""
    kinds = [(scene, palette) for scene in SCENES for palette in PALETTES]
    manners = list(MANNERS)
    splits = np.repeat(list(SPLITS), [round(share * paintings) for share in SPLITS.values()])
    splits = np.resize(splits, paintings)
    rng.shuffle(splits)
    plan = []
    for number in range(paintings):
        scene, palette = kinds[number % len(kinds)]
        # WikiArt's names hold dots and parentheses too
        name = f"synthetic_{scene.replace(' ', '-')}-no.{number // len(kinds) + 1}({palette})"
        plan.append(
            _Painting(name, scene, palette, manners[int(rng.integers(4))], str(splits[number]))
        )
    return plan


def _rows(
    plan: list[_Painting], culture_strength: float, captions: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    texts = tomllib.loads((files(__package__) / "captions.toml").read_text("utf-8"))
    felt, named = feelings(culture_strength), cues()
    kinds, shares = list(CAPTION_KINDS), list(CAPTION_KINDS.values())
    scenes = list(SCENES)
    rows: list[tuple[str, ...]] = []
    for painting in plan:
        place = (scenes.index(painting.scene), PALETTES.index(painting.palette))
        for c, culture in enumerate(CULTURES):
            said: set[str] = set()
            for _ in range(captions):
                emotion = int(rng.choice(len(EMOTIONS), p=felt[place][c]))
                cue = EMOTIONS[int(rng.choice(len(EMOTIONS), p=named[emotion]))]
                kind = kinds[int(rng.choice(len(kinds), p=shares))]
                caption = _caption(texts[culture], painting.scene, str(cue), kind, said, rng)
                rows.append(
                    (
                        painting.manner,
                        str(EMOTIONS[emotion]),
                        culture,
                        painting.name,
                        painting.split,
                        caption,
                    )
                )
    return rows


def _caption(
    texts: dict[str, Any],
    scene: str,
    cue: str,
    kind: str,
    said: set[str],
    rng: np.random.Generator,
) -> str:
    """One way to say it that nobody of this culture has used for this painting."""
    name, *sentences = texts["scenes"][scene]
    sentences = {
        "describes": sentences,
        "names and describes": texts["feel"][cue],
        "names": texts["feel_plain"][cue],
    }[kind]
    ways = [
        f"{sentence.replace('{scene}', name)} {remark}".strip()
        for sentence in sentences
        for remark in texts["remarks"]
    ]
    ways = [f"{way[0].upper()}{way[1:]}" for way in ways]
    caption = str(rng.choice([way for way in ways if way not in said]))
    said.add(caption)
    return caption


def _explanation(paintings: int, seed: int, culture_strength: float, captions: int) -> str:
    apart = "\n".join(
        f"| {pair} | {value:.3f} |" for pair, value in divergences(culture_strength).items()
    )
    scores = best_scores(culture_strength)
    rows = "\n".join(_line(name, score) for name, score in scores.items())
    kinds = ", ".join(f"{name} {share:.0%}" for name, share in CAPTION_KINDS.items())
    return f"""# Synthetic data

Everything in this folder was made by `artaffect sample`: the paintings are drawn by code, the captions
are put together from phrases, the readers do not exist. It has the layout of ArtELingo so that it goes
the same way, and it says nothing about real art, real people or real cultures.

{paintings} paintings, seed {seed}: {len(SCENES)} scenes in {len(PALETTES)} palettes and
{len(MANNERS)} manners; {captions} captions for each of the cultures
{", ".join(CULTURES)}. Paintings are split
{", ".join(f"{name} {share:.0%}" for name, share in SPLITS.items())}.

## The law

A reader's emotion depends on the scene, the palette and the culture (differences between cultures
scaled by {culture_strength:g}); the manner has no influence. Captions: {kinds}.
A caption that names a feeling names the felt one in {P_HONEST:.0%} of the cases. The tables are in
`artaffect/data/sample/law.py`.

## Best possible

What no predictor can beat in the long run, computed exactly from the law. "Culture" is told by who
wrote the caption, which its language gives away.

| seen | accuracy | log-loss |
| --- | --- | --- |
{rows}

## How far apart the publics are

The mean Jensen-Shannon divergence (base 2) between two publics of a painting, exact:

| publics | divergence |
| --- | --- |
{apart}

## Files

- `artelingo_release_lite.csv`: art_style, emotion, language, painting, split, utterance
- `wikiart/<art_style>/<painting>.jpg`
"""


def _line(name: str, score: BestScore) -> str:
    return f"| {name} | {score.accuracy:.3f} | {score.log_loss:.3f} |"
