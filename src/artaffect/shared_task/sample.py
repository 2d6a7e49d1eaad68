"""Write a synthetic data set in the exact layout of ArtEmotion-28, with 28 invented cultures.

The artworks are those of the sample. Each culture follows one of the sample's three cultures and leans
a little more towards positive or negative emotions. Captions are made of words that do not exist, in
the letters of the language whose name they carry, so that every script occurs.
"""

import csv
import shutil
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np

from artaffect.data.sample.generative_model import CULTURES, cues, feelings
from artaffect.data.sample.painting_styles import PALETTES, STYLES, paint
from artaffect.data.sample.scenes import SCENES
from artaffect.data.sample.write import MARKER
from artaffect.labels import ARTEMIS, EMOTIONS
from artaffect.outputs import atomic_folder
from artaffect.runtime import track
from artaffect.shared_task.rules import LANGUAGES

COLUMNS = (
    "painting", "image_name", "image_id", "art_style", "genre", "language", "caption", "emotion", "split"
)  # fmt: skip
CSV_FILE = "annotations/artelingo28_train_val.csv"
N_ARTWORKS = 1658
N_ROWS = 173_745

_RARE_LANGUAGES = ("isindebele", "isixhosa", "kazakh", "emakhuwa", "urdu")
_P_OTHER = 0.006  # the tenth label
_P_VAL = 0.05  # the validation split
_VARIANTS = 4
"""Images drawn for each scene, palette and style; any further artwork is a copy."""

_LETTERS = tomllib.loads((files(__package__) / "languages.toml").read_text("utf-8"))["letters"]


def write_artemotion28(
    out: Path,
    artworks: int = N_ARTWORKS,
    rows: int = N_ROWS,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write ``annotations/artelingo28_train_val.csv``, ``images/`` and ``SYNTHETIC.md`` under ``out``.

    Args:
        artworks: Number of artworks, at least 36.
        rows: Number of annotations; the default is about 3.7 for each artwork and language.

    Returns:
        The path of the CSV file.

    Raises:
        OutputExistsError: ``out`` exists and may not be replaced.
    """
    rng = np.random.default_rng(seed)
    kinds = [(scene, palette) for scene in SCENES for palette in PALETTES]
    kind = np.arange(artworks) % len(kinds)
    styles = [list(STYLES)[int(i)] for i in rng.integers(len(STYLES), size=artworks)]
    names = [
        f"invented_{kinds[k][0].replace(' ', '-')}-no-{n // len(kinds) + 1}({kinds[k][1]})"
        for n, k in enumerate(kind)
    ]
    is_val = rng.permutation(artworks) < round(_P_VAL * artworks)
    with atomic_folder(out, MARKER, overwrite) as folder:
        drawn: dict[tuple[int, str, int], Path] = {}
        for number in track(range(artworks), "painting", artworks):
            image = folder / "images" / styles[number] / f"{names[number]}.jpg"
            image.parent.mkdir(parents=True, exist_ok=True)
            key = (int(kind[number]), styles[number], number // len(kinds) % _VARIANTS)
            if key in drawn:
                shutil.copyfile(drawn[key], image)
            else:
                drawn[key] = image
                paint(*kinds[key[0]], styles[number], rng).save(image, quality=88)
        (folder / CSV_FILE).parent.mkdir()
        with (folder / CSV_FILE).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for artwork, language, caption, emotion in _draw_annotations(kind, rows, rng):
                name, style = names[artwork], styles[artwork]
                image_id = artwork % 1000  # not unique, as in the release
                split = "val" if is_val[artwork] else "train"
                cells = (f"{style}/{name}.jpg", image_id, style, "invented", _title(language))
                writer.writerow((name, *cells, caption, emotion, split))
        description = (files(__package__) / "sample.md").read_text("utf-8")
        (folder / MARKER).write_text(description.format(artworks, rows, seed), "utf-8")
    return out / CSV_FILE


def emotion_probabilities(seed: int = 0) -> np.ndarray:
    """P(emotion | scene, palette, language): [12, 3, 28, 9]; the sample's, tilted for each language."""
    rng = np.random.default_rng([seed, 28])
    followed = feelings()[:, :, np.arange(len(LANGUAGES)) % len(CULTURES)]
    tilt = rng.normal(0, 0.5, len(LANGUAGES))
    weights = followed * np.exp(np.outer(tilt, ARTEMIS.valence or ()))
    return weights / weights.sum(-1, keepdims=True)


def _draw_annotations(
    kind: np.ndarray, rows: int, rng: np.random.Generator
) -> Iterator[tuple[int, str, str, str]]:
    """Draw the artwork, language, caption and emotion of each row."""
    weights = np.array([0.3 if name in _RARE_LANGUAGES else 1.0 for name in LANGUAGES])
    artwork = rng.integers(len(kind), size=rows)
    language = rng.choice(len(LANGUAGES), size=rows, p=weights / weights.sum())
    probabilities = emotion_probabilities().reshape(-1, len(LANGUAGES), len(EMOTIONS))
    emotion = _draw(probabilities[kind[artwork], language], rng)
    cue = _draw(cues()[emotion], rng)
    # as in the sample, a caption describes the scene (0), also names a feeling (1), or only names it (2)
    form = rng.choice(3, size=rows, p=(0.35, 0.20, 0.45))
    vocabularies = [_invent_phrases(name, rng) for name in LANGUAGES]
    remark = rng.integers(5, size=rows)
    variant = rng.integers(2, size=rows)
    is_other = rng.random(rows) < _P_OTHER
    scene = kind[artwork] // len(PALETTES)
    for row in range(rows):
        phrases = vocabularies[language[row]]
        parts = [phrases["remark"][remark[row]]]
        if form[row] < 2:
            parts.append(phrases["scene"][2 * scene[row] + variant[row]])
        if form[row] > 0:
            parts.append(phrases["feeling"][2 * cue[row] + variant[row]])
        label = "other" if is_other[row] else EMOTIONS[emotion[row]]
        yield int(artwork[row]), LANGUAGES[language[row]], " ".join(parts), label


def _title(language: str) -> str:
    """The language's name as the release spells it."""
    prefix = "Isi" if language.startswith("isi") else ""
    return prefix + language.removeprefix(prefix.lower()).capitalize()


def _draw(probabilities: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw one index from each of the distributions [n, k]."""
    edges = probabilities.cumsum(1)
    return (rng.random((len(probabilities), 1)) * edges[:, -1:] > edges).sum(1)


def _invent_phrases(language: str, rng: np.random.Generator) -> dict[str, list[str]]:
    letters = list(_LETTERS.get(language, _LETTERS["latin"]))

    def phrase(words: int) -> str:
        lengths = (int(rng.integers(3, 7)) for _ in range(words))
        return " ".join("".join(rng.choice(letters, size=n)) for n in lengths)

    return {
        "remark": [phrase(3) for _ in range(5)],
        "scene": [phrase(3) for _ in range(2 * len(SCENES))],
        "feeling": [phrase(2) for _ in range(2 * len(EMOTIONS))],
    }
