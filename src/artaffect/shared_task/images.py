"""What a model expects of a painting's publics from the picture alone, for subtask 2."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from artaffect.data.images import SUFFIXES
from artaffect.errors import InputError
from artaffect.features import encode_images
from artaffect.labels import EMOTIONS
from artaffect.models.checkpoint import load_model
from artaffect.shared_task.emotions import culture_codes
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.shares import Expected


def find_images(folder: Path, paintings: Sequence[str]) -> dict[str, Path]:
    """Each painting's file, in whatever style's folder it lies; those without one are left out.

    Raises:
        InputError: none has one.
    """
    wanted = set(paintings)
    found = {
        file.stem: file
        for file in sorted(folder.rglob("*"))
        if file.stem in wanted and file.suffix.lower() in SUFFIXES
    }
    if not found:
        raise InputError(f"{folder} holds no picture of the {len(wanted):,} paintings asked for")
    return found


def expected_shares(
    run: Path,
    pictures: dict[str, Path],
    languages: Sequence[str],
    rules: SharedTaskRules,
    cache: Path | None = None,
) -> Expected:
    """Positive shares of every painting and language.

    Args:
        pictures: painting → its file.

    Raises:
        InputError: the run does not look at pictures.
    """
    model = load_model(run)
    if model.image is None:
        raise InputError(f"{run} does not look at pictures")
    names = list(pictures)
    image, usable, _ = encode_images([pictures[n] for n in names], model.encoders[0], cache)
    kept = [name for name, there in zip(names, usable, strict=True) if there]
    features = torch.from_numpy(image[usable])
    order = [str(emotion) for emotion in EMOTIONS]
    positive = [order.index(name) for name in rules.positive]
    negative = [order.index(name) for name in rules.negative]
    widths = [0 if e is None else e.feature_dim for e in model.encoders]
    found: dict[tuple[str, str], float] = {}
    for language in dict.fromkeys(name.strip().lower() for name in languages):
        code = torch.full((len(kept),), culture_codes(model, [language])[0])
        present = torch.tensor([[True, False]]).expand(len(kept), 2)
        said = model.answer(features, torch.zeros(len(kept), widths[1]), present, code)[0].numpy()
        good, bad = said[:, positive].sum(1), said[:, negative].sum(1)
        shares = good / np.maximum(good + bad, 1e-12)
        found |= {(name, language): float(p) for name, p in zip(kept, shares, strict=True)}
    return found
