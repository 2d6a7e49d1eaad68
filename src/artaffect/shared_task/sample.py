"""Write a synthetic data set in the exact layout of ArtEmotion-28: 28 publics, invented tongues.

The paintings are those of the sample. The publics are invented: each follows one of the sample's three
publics and is a little readier than it for good or for bad feelings. Captions are made of words that
do not exist, in the letters of the language whose name they bear, so that every script is met.
"""

import csv
import shutil
from pathlib import Path

import numpy as np

from artaffect.data.sample.generative_model import CULTURES, cues, feelings
from artaffect.data.sample.painting_styles import PALETTES, STYLES, paint
from artaffect.data.sample.scenes import SCENES
from artaffect.data.sample.write import MARKER
from artaffect.labels import EMOTIONS
from artaffect.runtime import atomic_folder, track
from artaffect.shared_task.regions import LANGUAGES

COLUMNS = (
    "painting",
    "image_name",
    "image_id",
    "art_style",
    "genre",
    "language",
    "caption",
    "emotion",
    "split",
)
FILE = "annotations/artelingo28_train_val.csv"

_RARE = ("isindebele", "isixhosa", "kazakh", "emakhuwa", "urdu")
_OTHER = 0.006
"""Share of the tenth label."""
_VAL = 0.05
_VARIANTS = 4
"""Pictures drawn of each scene in each palette; paintings beyond them are copies."""

_LETTERS = {
    "arabic": "ابتجدرسعفقكلمنهوي",
    "darija": "ابتجدرسعفقكلمنهوي",
    "urdu": "ابپتجدرسعفقکلمنہوی",
    "chinese": "山水天地人心光火木石花雨风云月日",
    "korean": "가나다라마바사아자차카타파하",
    "hindi": "कखगचजटडतदनपबमरलसह",
    "tamil": "கசடதபறமநனலவயர",
    "thai": "กขคงจชดตนบปพมรลวส",
    "burmese": "ကခဂငစဆတထနပဖဘမယရလ",
    "kazakh": "абгдежзиклмнопрстуш",
    "kyrgyz": "абгдежзиклмнопрстуш",
}
_LATIN = "abdefghiklmnoprstuwyz"


def write_artemotion28(
    out: Path,
    paintings: int = 1658,
    rows: int = 173_745,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Write ``annotations/artelingo28_train_val.csv``, ``images/`` and ``SYNTHETIC.md`` under ``out``.

    Args:
        paintings: how many; at least 36.
        rows: how many annotations; about 3.7 for each painting and language by default.

    Returns:
        The path of the CSV file.

    Raises:
        OutputExistsError: ``out`` may not be replaced.
    """
    rng = np.random.default_rng(seed)
    kinds = [(scene, palette) for scene in SCENES for palette in PALETTES]
    manners = list(STYLES)
    kind = np.arange(paintings) % len(kinds)
    style = [manners[int(i)] for i in rng.integers(len(manners), size=paintings)]
    names = [
        f"invented_{kinds[k][0].replace(' ', '-')}-no-{n // len(kinds) + 1}({kinds[k][1]})"
        for n, k in enumerate(kind)
    ]
    val = rng.permutation(paintings) < round(_VAL * paintings)
    with atomic_folder(out, MARKER, overwrite) as folder:
        drawn: dict[tuple[int, str, int], Path] = {}
        for number in track(range(paintings), "painting", paintings):
            picture = folder / "images" / style[number] / f"{names[number]}.jpg"
            picture.parent.mkdir(parents=True, exist_ok=True)
            key = (int(kind[number]), style[number], number // len(kinds) % _VARIANTS)
            if key in drawn:
                shutil.copyfile(drawn[key], picture)
                continue
            drawn[key] = picture
            paint(*kinds[key[0]], style[number], rng).save(picture, quality=88)
        file = folder / FILE
        file.parent.mkdir()
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for painting, language, caption, emotion in _readings(kind, rows, rng):
                writer.writerow(
                    (
                        names[painting],
                        f"{style[painting]}/{names[painting]}.jpg",
                        painting % 1000,  # as in the release, no key
                        style[painting],
                        "invented",
                        _title(language),
                        caption,
                        emotion,
                        "val" if val[painting] else "train",
                    )
                )
        (folder / MARKER).write_text(_EXPLANATION.format(paintings, rows, seed), "utf-8")
    return out / FILE


def publics(seed: int = 0) -> np.ndarray:
    """P(emotion | scene, palette, language): [12, 3, 28, 9]; the sample's law, tilted by public."""
    rng = np.random.default_rng([seed, 28])
    followed = feelings()[:, :, np.arange(len(LANGUAGES)) % len(CULTURES)]
    valence = np.array([emotion.valence for emotion in EMOTIONS])
    tilt = rng.normal(0, 0.5, len(LANGUAGES))
    table = followed * np.exp(tilt[:, None] * valence)
    shares: np.ndarray = table / table.sum(-1, keepdims=True)
    return shares


def _readings(
    kind: np.ndarray, rows: int, rng: np.random.Generator
) -> list[tuple[int, str, str, str]]:
    """Painting, language, caption and emotion of each row."""
    weights = np.array([0.3 if name in _RARE else 1.0 for name in LANGUAGES])
    painting = rng.integers(len(kind), size=rows)
    language = rng.choice(len(LANGUAGES), size=rows, p=weights / weights.sum())
    felt = publics().reshape(-1, len(LANGUAGES), len(EMOTIONS))[kind[painting], language]
    emotion = _draw(felt, rng)
    cue = _draw(cues()[emotion], rng)
    # like the sample's captions: one describes, one describes and names, one names
    form = rng.choice(3, size=rows, p=(0.35, 0.20, 0.45))
    words = [_words(name, rng) for name in LANGUAGES]
    remark = rng.integers(5, size=rows)
    way = rng.integers(2, size=rows)
    other = rng.random(rows) < _OTHER
    scene = kind[painting] // len(PALETTES)
    found = []
    for row in range(rows):
        tongue = words[language[row]]
        parts = [tongue["remark"][remark[row]]]
        if form[row] < 2:
            parts.append(tongue["scene"][2 * scene[row] + way[row]])
        if form[row] > 0:
            parts.append(tongue["feeling"][2 * cue[row] + way[row]])
        label = "other" if other[row] else str(EMOTIONS[emotion[row]])
        found.append((int(painting[row]), LANGUAGES[language[row]], " ".join(parts), label))
    return found


def _title(language: str) -> str:
    """As the release writes it."""
    return (
        f"Isi{language[3:].capitalize()}" if language.startswith("isi") else language.capitalize()
    )


def _draw(shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One index for each row of distributions [n, k]."""
    edges = shares.cumsum(1)
    found: np.ndarray = (rng.random((len(shares), 1)) * edges[:, -1:] > edges).sum(1)
    return found


def _words(language: str, rng: np.random.Generator) -> dict[str, list[str]]:
    letters = list(_LETTERS.get(language, _LATIN))

    def phrase(words: int) -> str:
        return " ".join(
            "".join(rng.choice(letters, size=int(rng.integers(3, 7)))) for _ in range(words)
        )

    return {
        "remark": [phrase(3) for _ in range(5)],
        "scene": [phrase(3) for _ in range(2 * len(SCENES))],
        "feeling": [phrase(2) for _ in range(2 * len(EMOTIONS))],
    }


_EXPLANATION = """# Synthetic data

Everything in this folder was made by `artaffect sample --layout artemotion28`: the paintings are drawn by
code, the words do not exist in any language, the readers do not exist. It has the layout of ArtELingo-28
(ArtEmotion-28, SemEval-2027) so that it goes the same way, and it says nothing about real art, real people
or real cultures.

{} paintings, {} rows, seed {}. The law by which its readers feel is in
`artaffect/data/sample/many_tongues.py`.

- `annotations/artelingo28_train_val.csv`
- `images/<art_style>/<painting>.jpg`
"""
