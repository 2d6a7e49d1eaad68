"""Alter a model folder in many ways, signed anew as a stranger would: each is loaded, or refused in a line.

Anything else is a traceback, and the run exits with 1. A folder whose alteration must not change the model
and whose predictions differ all the same counts as a wrong answer.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from PIL import Image

from artaffect.errors import ArtAffectError
from artaffect.labels import EMOTIONS
from artaffect.models.checkpoint import save_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import (
    CARD,
    CHECKSUMS,
    CONFIG,
    FILES,
    SCORES,
    write_checksums,
)
from artaffect.models.fusion import LogitFusion
from artaffect.models.heads import EmotionClassifier, EmotionHead
from artaffect.models.hub import copy_folder, push_folder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.export import export_onnx
from artaffect.prediction.predictor import load_predictor
from artaffect.prediction.priors import TrainingPriors
from artaffect.runtime import file_digest
from benchmarks.attack.alterations import (
    Alteration,
    checksum_alterations,
    config_alterations,
    file_alterations,
    graph_alterations,
    tokenizer_alterations,
    weight_alterations,
)
from tests import tiny

CULTURES = ("arabic", "english")
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8))
CAPTION = "Waves tower over a small boat"


def honest_folder(place: Path) -> Path:
    """A tiny model of image and caption, with weights by chance."""
    torch.manual_seed(0)
    image = create_image_encoder(str(tiny.save_resnet(place / "resnet")))
    caption = create_text_encoder(str(tiny.save_bert(place / "bert")))
    dims = (image.feature_dim, caption.feature_dim)
    heads = [EmotionHead(dim, len(CULTURES), (8,)) for dim in dims]
    fusion = LogitFusion(("image", "caption"), len(CULTURES))
    model = EmotionModel(
        EmotionClassifier(image, heads[0]), EmotionClassifier(caption, heads[1]), fusion, CULTURES
    ).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1 and parameter.abs().max() < 1e-6:
            torch.nn.init.normal_(parameter, std=0.3)
    share = [1 / len(EMOTIONS)] * len(EMOTIONS)
    priors = {"prior": share, "priors": dict.fromkeys(CULTURES, share), "chosen_share": share}
    folder = place / "torch"
    folder.mkdir()
    encoders = {"image": "resnet", "caption": "bert"}
    save_model(model, folder, {"training_priors": priors, "encoders": encoders, "recipe": {}})
    (folder / SCORES).write_text("{}")
    (folder / CARD).write_text("# A model\n")
    write_checksums(folder)
    return folder


def use(folder: Path) -> list[float]:
    """Do with a folder what the commands do: its predictions."""
    predictor = load_predictor(folder)
    predictor.warm()
    prediction = predictor.predict(IMAGE, CAPTION)
    values = [value for item in prediction for value in item.distribution.values]
    attempts: list[Callable[[], Any]] = [
        lambda: predictor.predict(caption=CAPTION, cultures="atlantic"),
        lambda: predictor.evaluation,
        lambda: push_folder(folder, "nobody/nothing", synthetic=True),
    ]
    if predictor.engine == "torch":
        from artaffect.models.folder import read_config

        attempts.append(lambda: TrainingPriors.from_json(read_config(folder)["training_priors"]))
    for attempt in attempts:
        try:
            attempt()
        except ArtAffectError as error:
            _check_line(error)
    with tempfile.TemporaryDirectory() as place:
        copy_folder(folder, Path(place) / "copy")
    return values


def outcome_of(alteration: Alteration, honest: Path, expected: list[float]) -> tuple[str, int]:
    """What becomes of one altered folder, and by how many bytes memory grew at most."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        shutil.copytree(honest, folder)
        alteration.apply(folder)
        if alteration.signed:
            _sign(folder)
        before = _memory("VmRSS", reset=True)
        try:
            values = use(folder)
            wrong = alteration.same and not np.allclose(values, expected, atol=1e-4)
            outcome = "wrong answer" if wrong else "loaded"
        except ArtAffectError as error:
            outcome = _check_line(error)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            traceback.print_exc()
            outcome = "traceback"
        return outcome, _memory("VmHWM") - before


def run(count: int, seed: int) -> Counter[str]:
    """Use altered folders of both engines: how many were loaded, refused, and neither.

    Args:
        count: altered folders of each engine, chosen at random; 0 for all of them.
    """
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        torch_folder, onnx_folder = honest_folder(Path(place)), Path(place) / "onnx"
        export_onnx(torch_folder, onnx_folder)
        config = json.loads((torch_folder / CONFIG).read_text("utf-8"))
        for honest in (torch_folder, onnx_folder):
            rng = random.Random(seed)
            names = [name for name in FILES if (honest / name).is_file()]
            alterations = [*file_alterations(names, rng), *checksum_alterations()]
            alterations += [*config_alterations(config), *tokenizer_alterations()]
            own = weight_alterations if honest == torch_folder else graph_alterations
            alterations += own()
            if count:
                alterations = rng.sample(alterations, min(count, len(alterations)))
            expected = use(honest)
            before = _memory("VmRSS", reset=True)
            use(honest)
            honest_growth, highest = _memory("VmHWM") - before, (0, "")
            for alteration in alterations:
                outcome, growth = outcome_of(alteration, honest, expected)
                outcomes[outcome] += 1
                highest = max(highest, (growth, alteration.name))
                if outcome not in ("loaded", "refused"):
                    print(f"{honest.name}: {alteration.name}: {outcome}", flush=True)
            print(
                f"{honest.name}: {len(alterations):,} folders, highest growth of memory "
                f"{highest[0] / 2**20:,.0f} MiB ({highest[1]}), of the honest folder "
                f"{honest_growth / 2**20:,.0f} MiB",
                flush=True,
            )
    return outcomes


def _check_line(error: ArtAffectError) -> str:
    text = str(error)
    return "refused" if "\n" not in text and len(text) < 2000 else "refused in several lines"


def _sign(folder: Path) -> None:
    names = [name for name in FILES if (folder / name).is_file()]
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines))


def _memory(field: str, reset: bool = False) -> int:
    """A size of this process in bytes, as Linux counts it; ``reset`` forgets the highest one."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=0, help="folders of each engine; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = run(options.count, options.seed)
    print("folders outcome:", ", ".join(f"{name}: {n:,}" for name, n in outcomes.most_common()))
    return 0 if set(outcomes) <= {"loaded", "refused"} else 1


if __name__ == "__main__":
    raise SystemExit(main())
