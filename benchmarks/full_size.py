"""The recipe `compact` at ArtELingo's size, from features to report: seconds and memory of each phase.

    python -m benchmarks.full_size OUT --rows 920000 --artworks 64000

The table is synthetic: captions in three cultures, about equally many in each. Features are random, with a
spectrum that falls as that of real ones does, and labels are drawn from a distribution that depends on them.
They are put into the feature cache under the keys of the captions and images, so that nothing is encoded; the
rest is an ordinary training. It runs in a process of its own. OUT may be used again: what exists is not made
again, except the model folder. The encoders' weights have to be on this machine, or reachable.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotation_schema import SCHEMA
from artaffect.data.annotations import AnnotationTable
from artaffect.labels import ARTEMIS
from artaffect.models.feature_cache import FeatureCache
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.training import calibration, data, run, separate
from artaffect.training.modalities import CaptionSource, ImageSource

CULTURES = {"english": 0.34, "arabic": 0.33, "chinese": 0.33}
VALIDATION = 0.05
"""Share of the artworks."""
RANK = 64
"""Directions of the features on which the labels depend."""
SHARD = 65_536


def make_data(out: Path, rows: int, artworks: int) -> None:
    """Write the table, the images' stand-ins and the feature cache."""
    recipe = load_recipe("compact", SeparateConfig)
    assert recipe.image is not None and recipe.caption is not None
    encoders = (
        create_image_encoder(recipe.image.encoder),
        create_text_encoder(recipe.caption.encoder),
    )
    rng = np.random.default_rng(0)
    artwork = np.concatenate([np.arange(artworks), rng.integers(0, artworks, rows - artworks)])
    culture = rng.choice(len(CULTURES), rows, p=list(CULTURES.values()))
    of_image, of_caption = (
        rng.standard_normal((count, RANK), np.float32) for count in (artworks, rows)
    )
    effects = rng.standard_normal((2, len(CULTURES), RANK, len(ARTEMIS)), np.float32) * 0.05
    effects += rng.standard_normal((2, 1, RANK, len(ARTEMIS)), np.float32) * [
        [[[0.07]]],
        [[[0.22]]],
    ]
    prior = np.linspace(1.5, -1, len(ARTEMIS))
    logits = prior + rng.gumbel(size=(rows, len(ARTEMIS)))
    for i in range(len(CULTURES)):
        of = culture == i
        # what a caption tells is not a linear function of the features alone
        told = of_caption[of]
        told = told + 0.5 * np.tanh(told) * np.roll(told, 1, 1)
        logits[of] += of_image[artwork[of]] @ effects[0, i] + told @ effects[1, i]
    captions = [
        f"{i:07}: what the annotator says, in about sixteen words of text" for i in range(rows)
    ]
    images = [f"{i // 1000:03}/{i:06}.jpg" for i in range(artworks)]
    _write_images(out / "images", images)
    names = np.array(list(CULTURES))[culture]
    is_val = rng.random(artworks) < VALIDATION
    columns: dict[str, Any] = {
        "annotation_id": [str(i) for i in range(rows)],
        "artwork_id": np.array(images)[artwork],
        "art_style": ["synthetic"] * rows,
        "caption": captions,
        "emotion": np.array(list(ARTEMIS))[logits.argmax(1)],
        "culture": names,
        "language": names,
        "split": np.where(is_val[artwork], "val", "train"),
        "image": np.array(images)[artwork],
        "annotator": pa.nulls(rows, pa.string()),
    }
    table = pa.table(columns).cast(SCHEMA).unify_dictionaries()
    provenance = {"synthetic": True, "images": str(out / "images")}
    AnnotationTable(table, provenance).save(out / "table.parquet")
    text = [encoders[1].preprocessing(caption) for caption in captions]
    for encoder, latent, keys in zip(encoders, (of_image, of_caption), (images, text), strict=True):
        width = encoder.feature_dim
        mixing = rng.standard_normal((RANK, width), np.float32) / RANK**0.5
        mixing *= np.arange(1, RANK + 1, dtype=np.float32)[:, None] ** -0.25
        cache = FeatureCache(out / "cache", encoder)
        for start in range(0, len(keys), SHARD):
            part = latent[start : start + SHARD]
            noise = rng.standard_normal((len(part), width), np.float32)
            cache.add(
                [_digest(key) for key in keys[start : start + SHARD]],
                (part @ mixing + 0.3 * noise).astype(np.float32),
            )


def _write_images(folder: Path, names: list[str]) -> None:
    """Files that hold nothing but their name: their features are known, and so they are never decoded."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, "utf-8")


def _digest(text: str) -> bytes:
    """The key of an image's bytes or a caption's text in the feature cache."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


PHASES: dict[str, tuple[Any, str]] = {
    "load features": (data, "extract_arrays"),
    "image head": (ImageSource, "fit"),
    "caption head": (CaptionSource, "fit"),
    "out-of-fold refits": (separate, "out_of_fold_logits"),
    "fusion": (separate, "fit_fusion"),
    "load features again": (calibration, "extract_arrays"),
    "calibration": (calibration, "calibrate"),
    "evaluation": (calibration, "evaluate_rows"),
    "prediction sets": (calibration, "conformal_scores"),
    "familiarity": (calibration, "learn_familiarity"),
    "report and folder": (run, "_save"),
}
"""Where each phase begins and ends: a function, which is replaced by one that also measures."""


class Phases:
    """Seconds, seconds of processor time, and peak memory in GB, of each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self.memory: dict[str, float] = {}

    def measure(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **kwargs: Any) -> Any:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
            start = time.perf_counter(), time.process_time()
            result = work(*args, **kwargs)
            taken = time.perf_counter() - start[0], time.process_time() - start[1]
            self.seconds[name] = self.seconds.get(name, 0) + taken[0]
            self.processor[name] = self.processor.get(name, 0) + taken[1]
            self.memory[name] = max(self.memory.get(name, 0), _peak())
            spent = f"{self.seconds[name]:.1f} s, processor {self.processor[name]:.1f} s"
            print(f"{name}: {spent}, {self.memory[name]:.2f} GB", flush=True)
            return result

        return measured

    def add_rest(self, seconds: float, processor: float) -> None:
        """Add what is left of the time of everything, and that itself."""
        for known, total in ((self.seconds, seconds), (self.processor, processor)):
            known["other"] = total - sum(known.values())
            known["total"] = total
        self.memory["total"] = max(self.memory.values())


def _peak() -> float:
    """Peak memory of this process in GB, since it was last cleared."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1e6


def train(out: Path, settings: list[str]) -> None:
    """Train, and write ``phases.json``."""
    phases = Phases()
    for name, (owner, function) in PHASES.items():
        setattr(owner, function, phases.measure(name, getattr(owner, function)))
    start = time.perf_counter(), time.process_time()
    table = AnnotationTable.load(out / "table.parquet")
    recipe = load_recipe("compact", SeparateConfig, settings)
    result = run.train_run(table, recipe, out / "run", out / "cache", overwrite=True)
    phases.add_rest(time.perf_counter() - start[0], time.process_time() - start[1])
    scores = {
        model: {name: s.metrics[name].value for name in ("accuracy", "log_loss")}
        for model, s in ((m, result[m].overall) for m in ("baseline", "image", "caption", "both"))
    }
    (out / "phases.json").write_text(json.dumps({**vars(phases), "scores": scores}, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=920_000)
    parser.add_argument("--artworks", type=int, default=64_000)
    parser.add_argument("--set", action="append", default=[], help="change a setting of the recipe")
    parser.add_argument("--part", choices=("data", "train"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    out = options.out.absolute()
    if options.part == "data":
        return make_data(out, options.rows, options.artworks)
    if options.part == "train":
        return train(out, options.set)
    parts = ["train"] if (out / "table.parquet").is_file() else ["data", "train"]
    for part in parts:  # each in a process of its own, so that memory is that of the training alone
        command = [sys.executable, "-m", "benchmarks.full_size", *sys.argv[1:], "--part", part]
        subprocess.run(command, check=True)
    report = json.loads((out / "phases.json").read_text())
    print("| phase | seconds | processor | peak memory, GB |\n| --- | --- | --- | --- |")
    for name, seconds in report["seconds"].items():
        memory = report["memory"].get(name, "")
        print(f"| {name} | {seconds:.1f} | {report['processor'][name]:.1f} | {memory} |")
    print(json.dumps(report["scores"]))
    return None


if __name__ == "__main__":
    main()
