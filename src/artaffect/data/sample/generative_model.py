"""The generative model of the sample, and the best scores that it allows.

All of it is invented and says nothing about real cultures. A painting shows a scene in a palette. An
annotator of a culture feels an emotion with probability

    P(e | scene, palette, culture) = softmax(1.3 (scene[e] + palette[e] + culture[scene, e]))

and writes a caption that describes the scene, names a feeling, or does both. A caption that names a
feeling names the felt emotion with probability ``P_HONEST``, and otherwise one of the other eight.
Everything is discrete, so the best possible score of any predictor is a finite sum.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from itertools import combinations

import numpy as np

from artaffect.data.sample.painting_styles import PALETTES
from artaffect.data.sample.scenes import SCENES
from artaffect.labels import EMOTIONS

CULTURES = ("english", "arabic", "chinese")

P_HONEST = 0.6
"""How often a caption that names a feeling names the felt emotion."""

CAPTION_KINDS = {"describes": 0.35, "names and describes": 0.20, "names": 0.45}

_LOGITS = tomllib.loads((files(__package__) / "generative_model.toml").read_text("utf-8"))


def feelings(culture_strength: float = 1.0) -> np.ndarray:
    """P(emotion | scene, palette, culture): [12, 3, 3, 9]; at strength 0 all cultures are the same."""
    scene = _terms(_LOGITS["scene"], SCENES)[:, None, None]
    palette = _terms(_LOGITS["palette"], PALETTES)[:, None]
    culture = np.stack([_terms(_LOGITS["culture"][name], SCENES) for name in CULTURES], 1)
    weights = np.exp(1.3 * (scene + palette + culture_strength * culture[:, None]))
    return weights / weights.sum(-1, keepdims=True)


def _terms(logits: dict[str, dict[str, float]], names: Iterable[str]) -> np.ndarray:
    """The logits of each name as an array [n, 9]; absent ones are 0."""
    return np.array([[logits.get(name, {}).get(e, 0.0) for e in EMOTIONS] for name in names])


def divergences(culture_strength: float = 1.0) -> dict[str, float]:
    """Mean Jensen-Shannon divergence (base 2) of each pair of cultures over all kinds of paintings."""
    felt = dict(zip(CULTURES, np.moveaxis(feelings(culture_strength), 2, 0), strict=True))
    divergence_of = {}
    for (a, p), (b, q) in combinations(felt.items(), 2):
        mean = (p + q) / 2
        terms = (p * np.log2(p / mean) + q * np.log2(q / mean)) / 2
        divergence_of[f"{a} / {b}"] = float(terms.sum(-1).mean())
    return divergence_of


def cues() -> np.ndarray:
    """P(named emotion | felt emotion) in captions that name a feeling: [9, 9]."""
    count = len(EMOTIONS)
    return np.eye(count) * P_HONEST + (1 - np.eye(count)) * (1 - P_HONEST) / (count - 1)


@dataclass(frozen=True)
class BestScore:
    """The score that no predictor can exceed with the given inputs."""

    accuracy: float
    log_loss: float
    """Mean -ln p in nats: the remaining entropy."""


def best_scores(culture_strength: float = 1.0) -> dict[str, BestScore]:
    """The exact best accuracy and log-loss for each set of inputs.

    Scenes, palettes and cultures are equally frequent. A caption reveals its scene if it describes,
    and an emotion if it names a feeling. The culture is that of the caption's author.
    """
    joint = _joint(culture_strength)
    scene, palette, culture, described, named = range(5)  # the axes; the last one is the emotion
    return {
        "nothing but the culture": _best(joint, hidden=(scene, palette, described, named)),
        "image": _best(joint, hidden=(culture, described, named)),
        "image and culture": _best(joint, hidden=(described, named)),
        "caption": _best(joint, hidden=(scene, palette, culture)),
        "caption and culture": _best(joint, hidden=(scene, palette)),
        "both": _best(joint, hidden=(culture,)),
        "both and culture": _best(joint, hidden=()),
    }


def _joint(culture_strength: float) -> np.ndarray:
    """P(scene, palette, culture, described scene, named emotion, felt emotion).

    The last index of the described scene and of the named emotion means that there is none.
    """
    felt = feelings(culture_strength)
    scenes, palettes, cultures, emotions = felt.shape
    joint = np.zeros((scenes, palettes, cultures, scenes + 1, emotions + 1, emotions))
    felt = felt / (scenes * palettes * cultures)
    named = felt[..., None, :] * cues().T  # [..., named, felt]
    for scene in range(scenes):
        joint[scene, :, :, scene, -1] += CAPTION_KINDS["describes"] * felt[scene]
        joint[scene, :, :, scene, :-1] += CAPTION_KINDS["names and describes"] * named[scene]
        joint[scene, :, :, -1, :-1] += CAPTION_KINDS["names"] * named[scene]
    return joint


def _best(joint: np.ndarray, hidden: tuple[int, ...]) -> BestScore:
    visible = joint.sum(hidden).reshape(-1, len(EMOTIONS))
    visible = visible[visible.sum(1) > 0]
    posterior = visible / visible.sum(1, keepdims=True)
    loss = -(visible * np.log(np.where(visible > 0, posterior, 1))).sum()
    return BestScore(float(visible.max(1).sum()), float(loss))
