"""Model folders side by side: loaded together, and scored on the rows that all of them can be scored on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import Elsewhere, OutsidePredictions
from artaffect.errors import InputError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config, read_seeds, seed_folders
from artaffect.models.stored_features import StoredFeatures, attach_features
from artaffect.prediction.evaluation import (
    evaluate_predictions,
    predict_proba,
    predict_seeds,
    select_rows,
)
from artaffect.prediction.priors import TrainingPriors

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedRun:
    """A model with the rows on which it is scored; of several seeds, the first one's model."""

    name: str
    config: Mapping[str, Any]
    model: EmotionModel
    rows: AnnotationArrays
    seeds: Sequence[int] = ()
    """The seeds of a folder of several runs; empty for a single run."""
    by_seed: Mapping[str, np.ndarray] | None = None
    """What the models of several seeds predict for the rows: [seeds, n, k] for each input."""

    @property
    def priors(self) -> TrainingPriors:
        """The label distributions of its training split."""
        return TrainingPriors.from_json(self.config["training_priors"])

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Kind of input → modalities, for what the model takes."""
        inputs: dict[str, tuple[str, ...]] = {name: (name,) for name in self.model.modalities}
        return inputs | ({"both": ("image", "caption")} if self.model.fusion is not None else {})

    def predictions(self, kind: str) -> np.ndarray:
        """Predictions from one kind of input: [n, k], or [seeds, n, k]."""
        if self.by_seed is not None:
            return self.by_seed[kind]
        return predict_proba(self.model, self.rows, self.inputs[kind])

    def select(self, mask: torch.Tensor) -> "LoadedRun":
        """The run with some of its rows: bool [n]."""
        by_seed = None if self.by_seed is None else select_rows(self.by_seed, mask)
        return replace(self, rows=self.rows.select(mask), by_seed=by_seed)


def load_runs(
    runs: Sequence[Path],
    part: AnnotationTable,
    cache: Path | None,
    notes: list[str],
    sources: Sequence[OutsidePredictions] = (),
    features: Path | None = None,
) -> tuple[list[LoadedRun], int]:
    """Models with the rows on which all of them can be scored, and how many lack an image.

    Args:
        runs: model folders, or folders of the runs of several seeds.
        part: the rows of one split.
        notes: is told how many rows without a caption are left out.
        sources: predictions that were made elsewhere.
        features: the file of the image features, for models that were trained on such a file.

    Raises:
        InputError: the runs predict different labels, or share no row that they can be scored on.
    """
    loaded: list[LoadedRun] = []
    keep = torch.ones(len(part), dtype=torch.bool)
    for name, path in zip(run_names(runs), runs, strict=True):
        folders = seed_folders(path)
        model = load_model(folders[0])
        if reads_stored := isinstance(model.encoders[0], StoredFeatures):
            attach_features(model.encoders[0], features)
        if loaded and model.labels.names != loaded[0].model.labels.names:
            raise InputError(
                f"{name} predicts {', '.join(model.labels)}, and {loaded[0].name} predicts "
                f"{', '.join(loaded[0].model.labels)}: only runs with the same labels can be compared"
            )
        labelled = part.with_labels(model.labels)
        rows = extract_arrays(labelled, *model.encoders, model.cultures, cache, sources)
        for fault in rows.unreadable:
            _logger.info(f"left out because the image cannot be read: {fault}")
        run = LoadedRun(name, read_config(folders[0]), model, rows)
        if len(folders) > 1:
            elsewhere = Elsewhere(features=features if reads_stored else None)
            predictions = predict_seeds(folders, labelled, cache, sources, elsewhere)
            run = replace(run, seeds=read_seeds(path)["seeds"], by_seed=predictions)
        loaded.append(run)
        if model.image is not None:
            keep &= rows.has_image
    if not keep.any():
        raise InputError("no row of the split has an image that the runs can use")
    left_out = int((~keep).sum())
    silent = keep & torch.from_numpy(~part.has_caption)
    if silent.any() and any(run.model.caption is not None for run in loaded):
        keep &= ~silent
        notes.append(f"{int(silent.sum()):,} annotations without a caption are not scored.")
    if not keep.any():
        raise InputError("no row of the split has a caption that the runs can use")
    return [run.select(keep) for run in loaded], left_out


def run_names(runs: Sequence[Path]) -> list[str]:
    """Folder names, with as much of the path in front as is needed to tell them apart."""
    paths = [run.resolve() for run in runs]
    if len(set(paths)) != len(paths):
        raise InputError(f"a run is given twice: {', '.join(map(str, runs))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def compare_runs(loaded: Sequence[LoadedRun], n_resamples: int) -> dict[str, EvaluationResult]:
    """The runs side by side for each kind of input that all take; the others minus the first one."""
    first, *others = loaded
    baseline = first.priors.baseline.predict_proba(first.rows.culture_names)
    return {
        kind: evaluate_predictions(
            {run.name: run.predictions(kind) for run in loaded},
            first.rows,
            n_resamples,
            baseline=baseline,
            pairs=[(run.name, first.name) for run in others],
        )
        for kind in first.inputs
        if all(kind in run.inputs for run in others)
    }
