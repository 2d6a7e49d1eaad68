"""Do a run's explanations hold? The deletion test over many paintings of a split."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ImageError
from artaffect.evaluation.culture.result import CulturalReport, DeletionTest
from artaffect.evaluation.metrics import Score
from artaffect.explain.explainer import Check, Explainer
from artaffect.inference.predictor import PredictionInput
from artaffect.inference.torch_predictor import TorchPredictor
from artaffect.runtime import track


def with_deletion_tests(
    report: CulturalReport, runs: Sequence[Path], table: AnnotationTable, count: int, seed: int = 0
) -> CulturalReport:
    """The report, with each run's explanations tested on so many paintings of its split.

    Args:
        runs: model folders, in the report's order.
    """
    part = table.of_split(report.split)
    scores = [
        replace(scores, deletion=deletion_tests(TorchPredictor.load(run), part, count, seed))
        for scores, run in zip(report.runs, runs, strict=True)
    ]
    return replace(report, runs=scores)


def deletion_tests(
    predictor: TorchPredictor, table: AnnotationTable, count: int, seed: int = 0
) -> dict[str, DeletionTest]:
    """Explain the answers to one caption of each of some paintings, and test the explanations.

    Returns:
        By ``image`` and ``caption``, for what the model looks at; intervals by bootstrap over paintings.
    """
    explainer = Explainer(predictor)
    checks: dict[str, list[Check]] = {}
    asked = _one_for_each_painting(predictor, table, count, seed)
    for item in track(asked, "testing explanations", len(asked)):
        try:
            explained = explainer.explain(item, check=True)
        except ImageError:  # broken since it was imported: the report's scores leave it out too
            continue
        for reading in explained.readings:
            for name, check in reading.checks.items():
                checks.setdefault(name, []).append(check)
    return {name: _summary(found, seed) for name, found in checks.items()}


def _one_for_each_painting(
    predictor: TorchPredictor, table: AnnotationTable, count: int, seed: int
) -> list[PredictionInput]:
    rng = np.random.default_rng(seed)
    root = table.images if "image" in predictor.description.modalities else None
    images, artworks = table.strings("image"), table.strings("artwork_id")
    order = rng.permutation(len(table)).tolist()
    usable = [row for row in order if root is None or images[row] is not None]
    first = {artworks[row]: row for row in reversed(usable)}
    chosen = [row for row in usable if first[artworks[row]] == row][:count]
    captions, cultures = table.strings("caption"), table.strings("culture")
    return [
        PredictionInput(root / images[row] if root else None, captions[row], None, [cultures[row]])
        for row in chosen
    ]


def _summary(checks: Sequence[Check], seed: int, draws: int = 1000) -> DeletionTest:
    gains = np.array([check.deletion.gain for check in checks])
    drawn = np.random.default_rng(seed).integers(0, len(gains), (draws, len(gains)))
    agreements = [check.occlusion for check in checks if check.occlusion is not None]
    return DeletionTest(
        paintings=len(gains),
        gain=Score.of(gains.mean(), gains[drawn].mean(1)),
        faster=float((gains > 0).mean()),
        occlusion=float(np.mean(agreements)) if agreements else None,
    )
