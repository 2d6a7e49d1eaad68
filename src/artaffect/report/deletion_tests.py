"""Do a run's explanations hold? The deletion test over many paintings of a split."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ImageError
from artaffect.explain.explainer import Check, Explainer
from artaffect.metrics.classification import ratio_scores
from artaffect.prediction.predictor import PredictionInput
from artaffect.prediction.torch import TorchPredictor
from artaffect.report.results import CulturalReport, DeletionTest
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
        for reading in explained.by_culture:
            for name, check in reading.checks.items():
                checks.setdefault(name, []).append(check)
    return {name: _summary(found) for name, found in checks.items()}


def _one_for_each_painting(
    predictor: TorchPredictor, table: AnnotationTable, count: int, seed: int
) -> list[PredictionInput]:
    rng = np.random.default_rng(seed)
    root = table.images if "image" in predictor.description.modalities else None
    images, artworks = table.strings("image"), table.strings("artwork_id")
    order = rng.permutation(len(table)).tolist()
    usable = [row for row in order if root is None or images[row] is not None]
    first: dict[str, int] = {}
    for row in usable:
        first.setdefault(artworks[row], row)
    captions, cultures = table.strings("caption"), table.strings("culture")
    return [
        PredictionInput(root / images[row] if root else None, captions[row], None, [cultures[row]])
        for row in list(first.values())[:count]
    ]


def _summary(checks: Sequence[Check]) -> DeletionTest:
    gains = np.array([check.deletion.deletion_auc_gap for check in checks])
    agreements = [check.occlusion for check in checks if check.occlusion is not None]
    return DeletionTest(
        paintings=len(gains),
        gain=ratio_scores(gains[:, None], np.ones((len(gains), 1)))[0],
        faster=float((gains > 0).mean()),
        occlusion=float(np.mean(agreements)) if agreements else None,
    )
