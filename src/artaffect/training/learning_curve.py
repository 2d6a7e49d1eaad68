"""How well a recipe learns from few labels: trained on samples of growing size, scored on the same rows."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.config import SeparateConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError, OutputExistsError, TableError
from artaffect.features import extract_arrays
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.hub import resolve_run
from artaffect.outputs import atomic_file, check_output_folder, discard_folder, output_lock
from artaffect.prediction.evaluation import (
    evaluate_predictions,
    predict_all_inputs,
    top_input,
)
from artaffect.prediction.priors import TrainingPriors
from artaffect.reports.learning_curve import CURVE_FILES, LearningCurve, save_learning_curve
from artaffect.training.data import TrainingData, hold_out
from artaffect.training.recipes import differences, recipe_of
from artaffect.training.run import REMEDY, digests_of, is_synthetic
from artaffect.training.separate import train_separate

_logger = logging.getLogger(__name__)

ALL = "all"
"""In place of a size: every row of the training split."""
VALIDATION_SHARE = 0.2
"""The share of a sample's artworks that choose the settings, as a validation split does."""

SCRATCH, INITIALIZED, INITIAL, BASELINE = "scratch", "initialized", "initial", "baseline"
"""The models of a curve: trained from scratch, begun with the initial model, the initial model as it is,
and the label frequencies of the sample."""

_STATE, _POINTS = "curve.state.json", "points"


def learning_curve(
    table: AnnotationTable,
    config: SeparateConfig,
    out: Path,
    sizes: Sequence[int | str],
    seeds: int,
    split: str,
    cache: Path | None = None,
) -> LearningCurve:
    """Train on samples of the training split, and score each model on the same rows of another split.

    A sample holds ``size`` rows drawn at random; the sample of a smaller size is a part of every larger
    one of the same seed. A fifth of its artworks chooses the settings, so that ``size`` counts all labels
    that a model has seen. If the recipe names an initial model, each sample trains two models: from
    scratch, and begun with that model.

    Predictions of finished trainings are kept in ``out``: an interrupted curve resumes, and more sizes or
    seeds add to it.

    Raises:
        ConfigError: ``out`` holds the curve of other settings, or on another table.
        OutputExistsError: ``out`` is something else.
        TableError: a split has no rows that the recipe can use.
        InputError: every size is larger than the training split.
    """
    pool, scored = (usable_rows(table, config, name) for name in ("train", split))
    numbers = _numbers(sizes, len(pool))
    check_output_folder(out, table.sources, CURVE_FILES)
    out.mkdir(parents=True, exist_ok=True)
    with output_lock(out / "curve"):
        _claim(table, config, out, split)
        kinds = (SCRATCH, INITIALIZED) if config.initial else (SCRATCH,)
        curve = _Curve(pool, scored, config, out, cache)
        seconds: dict[int, dict[str, list[float]]] = {}
        scores: dict[int, EvaluationResult] = {}
        initial = {INITIAL: curve.initial()} if config.initial else {}
        for size in numbers:
            several: dict[str, list[np.ndarray]] = {}
            seconds[size] = {kind: [] for kind in kinds}
            for seed in range(config.seed, config.seed + seeds):
                for kind in kinds:
                    point = curve.point(kind, size, seed)
                    several.setdefault(kind, []).append(point["predictions"])
                    seconds[size][kind].append(float(point["seconds"]))
                    if kind == SCRATCH:
                        several.setdefault(BASELINE, []).append(point["baseline"])
            stacked = {name: np.stack(values) for name, values in several.items()}
            predictions = {BASELINE: stacked.pop(BASELINE), **initial, **stacked}
            pairs = [(INITIALIZED, SCRATCH), (INITIALIZED, INITIAL), (SCRATCH, BASELINE)]
            scores[size] = evaluate_predictions(predictions, curve.rows, pairs=pairs)
    protocol = {
        "data": table.name,
        "split": split,
        "rows": len(curve.rows),
        "artworks": len(curve.rows.artwork_ids),
        "initial": config.initial or None,
        "seeds": list(range(config.seed, config.seed + seeds)),
        "validation_share": VALIDATION_SHARE,
        "synthetic": is_synthetic(table, config),
    }
    result = LearningCurve(protocol, scores, seconds)
    save_learning_curve(result, out)
    return result


class _Curve:
    """The trainings of a curve, each of which is done once."""

    def __init__(
        self,
        pool: AnnotationTable,
        scored: AnnotationTable,
        config: SeparateConfig,
        out: Path,
        cache: Path | None,
    ) -> None:
        self.pool, self.scored, self.config = pool, scored, config
        self.out, self.cache = out, cache
        self.rows = extract_arrays(scored, None, None, scored.cultures)

    def initial(self) -> np.ndarray:
        """What the initial model predicts for the scored rows: [n, k]."""
        return self._predict(load_model(resolve_run(self.config.initial)).float())

    def point(self, kind: str, size: int, seed: int) -> Mapping[str, Any]:
        """Predictions [n, k], those of the baseline [n, k], and the seconds of one training."""
        file = self.out / _POINTS / f"{kind}-{size}-seed-{seed}.npz"
        with suppress(OSError, ValueError, KeyError), np.load(file) as saved:
            return {name: saved[name] for name in ("predictions", "baseline", "seconds")}
        point = self._train(kind, size, seed)
        file.parent.mkdir(exist_ok=True)
        with atomic_file(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **point)
        return point

    def _train(self, kind: str, size: int, seed: int) -> dict[str, Any]:
        own = replace(
            self.config, seed=seed, initial=self.config.initial if kind == INITIALIZED else ""
        )
        images = own.image is not None and own.caption is None
        sample = draw_sample(self.pool, size, seed)
        train, val = hold_out(sample, VALIDATION_SHARE, seed, images)
        work = self.out / f"{kind}-{size}-seed-{seed}.training"
        data = TrainingData(train, val, train.cultures, (), self.cache, work)
        start = time.monotonic()
        try:
            trained = train_separate(data, own)
        except TableError as error:
            raise TableError(
                f"a sample of {size} rows (seed {seed}) cannot be trained on: {error}; leave out this size"
            ) from error
        seconds = time.monotonic() - start
        discard_folder(work)
        rows = extract_arrays(sample, None, None, train.cultures)
        baseline = TrainingPriors.from_rows(rows).baseline.predict_proba(self.rows.culture_names)
        predictions = self._predict(trained.model)
        accuracy = (predictions.argmax(1) == self.rows.emotion.numpy()).mean()
        _logger.info(
            f"{size:,} labels, seed {seed}, {kind}: accuracy {accuracy:.3f}, {seconds:.0f} s"
        )
        return {"predictions": predictions, "baseline": baseline, "seconds": seconds}

    def _predict(self, model: EmotionModel) -> np.ndarray:
        """Distributions [n, k] for the scored rows, from the most complete input."""
        rows = extract_arrays(self.scored, *model.encoders, model.cultures, self.cache)
        predictions = predict_all_inputs(model, rows)
        return predictions[top_input(predictions)]


def as_size(value: int | str) -> int | str:
    """A size as a number of at least 2, or ``"all"``; raises an InputError."""
    text = str(value).strip().lower()
    if text == ALL:
        return ALL
    if not text.isdecimal() or int(text) < 2:
        raise InputError(f"a size is a number of labels, at least 2, or all; got {value!r}")
    return int(text)


def draw_sample(table: AnnotationTable, size: int, seed: int) -> AnnotationTable:
    """``size`` rows at random, among them those of every smaller sample with the same seed."""
    mask = np.zeros(len(table), bool)
    mask[np.random.default_rng(seed).permutation(len(table))[:size]] = True
    return table.select(mask)


def usable_rows(table: AnnotationTable, config: SeparateConfig, split: str) -> AnnotationTable:
    """The rows of a split with a single label, and with what the recipe reads."""
    part = table.of_split(split).with_exact_labels()
    keep = np.ones(len(part), bool)
    if config.caption is not None:
        keep &= part.has_caption
    if config.image is not None:
        keep &= part.codes("image")[1] >= 0
    if not keep.any():
        reads = " and ".join(config.sources)
        raise TableError(
            f"no row of split {split!r} has one label and what the recipe reads: {reads}"
        )
    return part.select(keep)


def _numbers(sizes: Sequence[int | str], rows: int) -> list[int]:
    """The sizes as numbers in growing order; those beyond the training split are left out."""
    numbers = {rows if size == ALL else int(size) for size in sizes}
    if too_large := sorted(n for n in numbers if n > rows):
        listed = ", ".join(f"{n:,}" for n in too_large)
        _logger.warning(f"left out, because the training split has {rows:,} usable rows: {listed}")
    usable = sorted(numbers.difference(too_large))
    if not usable:
        raise InputError(f"no size is within the {rows:,} usable rows of the training split")
    return usable


def _claim(table: AnnotationTable, config: SeparateConfig, out: Path, split: str) -> None:
    """Record what all points of a curve have in common, or refuse the folder of another curve."""
    settings = {name: value for name, value in recipe_of(config).items() if name != "seed"}
    content = {"recipe": settings, "data": digests_of(table, ())[0], "split": split}
    state = out / _STATE
    if state.is_file():
        known = json.loads(state.read_text("utf-8"))
        if change := next(differences(known, content), None):
            raise ConfigError(f"{out} holds another curve ({change}): {REMEDY}")
        return
    if any(path.suffix != ".lock" for path in out.iterdir()):
        raise OutputExistsError(f"{out} exists and holds no learning curve: choose another name")
    with atomic_file(state) as temporary:
        temporary.write_text(json.dumps(content, indent=2), "utf-8")
