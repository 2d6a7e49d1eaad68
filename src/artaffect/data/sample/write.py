"""Write the sample: synthetic paintings and captions in the layout of ArtELingo."""

import csv
import tomllib
from importlib.resources import files
from itertools import product
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from artaffect.data.annotations import SYNTHETIC
from artaffect.data.readers.artelingo import ARTELINGO_COLUMNS
from artaffect.data.sample import generative_model as model
from artaffect.data.sample.generative_model import CAPTION_KINDS, CULTURES
from artaffect.data.sample.painting_styles import PALETTES, STYLES, paint
from artaffect.data.sample.scenes import SCENES
from artaffect.labels import EMOTIONS
from artaffect.outputs import atomic_folder
from artaffect.runtime import as_path, track

MARKER = SYNTHETIC
_SPLITS = {"train": 0.7, "val": 0.15, "test": 0.15}
_FILE = "artelingo_release_lite.csv"


class _Artwork(NamedTuple):
    name: str
    scene: str
    palette: str
    style: str
    split: str


def write_sample(
    out: str | PathLike[str],
    artworks: int = 480,
    seed: int = 0,
    overwrite: bool = False,
    captions: int = 4,
) -> Path:
    """Write ``artelingo_release_lite.csv``, ``wikiart/`` and ``SYNTHETIC.md`` under ``out``.

    Args:
        artworks: at least 36, so that every scene occurs in every palette.
        captions: the number for each culture and painting, at most 20.

    Returns:
        The path of the CSV file.

    Raises:
        OutputExistsError: ``out`` exists and must not be replaced.
    """
    out = as_path(out, "out")
    rng = np.random.default_rng(seed)
    plan = _plan(artworks, rng)
    with atomic_folder(out, MARKER, overwrite) as folder:
        for artwork in track(plan, "painting", len(plan)):
            image = folder / "wikiart" / artwork.style / f"{artwork.name}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            paint(artwork.scene, artwork.palette, artwork.style, rng).save(image, quality=88)
        with (folder / _FILE).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([ARTELINGO_COLUMNS, *_rows(plan, captions, rng)])
        (folder / MARKER).write_text(_explanation(artworks, seed, captions), "utf-8")
    return out / _FILE


def write_new_artwork(path: str | PathLike[str], seed: int = 2024) -> Path:
    """Paint a storm at sea that is not part of any sample."""
    path = as_path(path, "path")
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 1])
    paint("storm at sea", "dark", "Synthetic_Brushwork", rng).save(path, quality=90)
    return path


def _plan(artworks: int, rng: np.random.Generator) -> list[_Artwork]:
    """Every scene in every palette equally often, with a random style and split."""
    kinds = [(scene, palette) for scene in SCENES for palette in PALETTES]
    splits = np.repeat(list(_SPLITS), [round(share * artworks) for share in _SPLITS.values()])
    splits = np.resize(splits, artworks)
    rng.shuffle(splits)
    plan = []
    for number, split in enumerate(splits):
        scene, palette = kinds[number % len(kinds)]
        # names in WikiArt contain dots and parentheses too
        name = f"synthetic_{scene.replace(' ', '-')}-no.{number // len(kinds) + 1}({palette})"
        style = list(STYLES)[int(rng.integers(len(STYLES)))]
        plan.append(_Artwork(name, scene, palette, style, str(split)))
    return plan


def _rows(
    artworks: list[_Artwork], captions: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    texts = tomllib.loads((files(__package__) / "captions.toml").read_text("utf-8"))
    p_felt, p_named = model.feelings(), model.cues()
    kinds, shares = list(CAPTION_KINDS), list(CAPTION_KINDS.values())
    rows: list[tuple[str, ...]] = []
    for art in artworks:
        p_emotion = p_felt[list(SCENES).index(art.scene), PALETTES.index(art.palette)]
        for culture, p in zip(CULTURES, p_emotion, strict=True):
            used: set[str] = set()
            for _ in range(captions):
                felt = int(rng.choice(len(EMOTIONS), p=p))
                cue = EMOTIONS[int(rng.choice(len(EMOTIONS), p=p_named[felt]))]
                kind = kinds[int(rng.choice(len(kinds), p=shares))]
                choices = _captions(texts[culture], art.scene, cue, kind)
                caption = str(rng.choice([text for text in choices if text not in used]))
                used.add(caption)
                rows.append((art.style, EMOTIONS[felt], culture, art.name, art.split, caption))
    return rows


def _captions(texts: dict[str, Any], scene: str, cue: str, kind: str) -> list[str]:
    name, *descriptions = texts["scenes"][scene]
    sentences = {
        "describes": descriptions,
        "names and describes": texts["feel"][cue],
        "names": texts["feel_plain"][cue],
    }[kind]
    captions = [
        f"{sentence.replace('{scene}', name)} {remark}".strip()
        for sentence, remark in product(sentences, texts["remarks"])
    ]
    return [f"{caption[0].upper()}{caption[1:]}" for caption in captions]


def _explanation(artworks: int, seed: int, captions: int) -> str:
    best, differences = model.best_scores().items(), model.divergences().items()
    template = (files(__package__) / "description.md").read_text("utf-8")
    return template.format(
        paintings=artworks,
        seed=seed,
        scenes=len(SCENES),
        palettes=len(PALETTES),
        styles=len(STYLES),
        captions=captions,
        cultures=", ".join(CULTURES),
        splits=_shares(_SPLITS),
        caption_kinds=_shares(CAPTION_KINDS),
        p_honest=model.P_HONEST,
        best="\n".join(f"| {name} | {s.accuracy:.3f} | {s.log_loss:.3f} |" for name, s in best),
        differences="\n".join(f"| {pair} | {value:.3f} |" for pair, value in differences),
    )


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
