"""Put the explanations of a model to the deletion test, on some artworks of a table."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ImageError
from artaffect.metrics.bootstrap import mean_estimate
from artaffect.prediction.predictor import PredictionInput
from artaffect.prediction.torch import TorchPredictor
from artaffect.reports.results import DeletionTest
from artaffect.runtime import track

if TYPE_CHECKING:
    from artaffect.explain.explainer import Check


def deletion_tests(
    predictor: TorchPredictor, table: AnnotationTable, count: int, seed: int, notes: list[str]
) -> dict[str, DeletionTest]:
    """Explain the predictions for one caption of each of some artworks, and test the explanations.

    Args:
        count: how many artworks are drawn.
        notes: takes a sentence for each artwork that cannot be tested.

    Returns:
        The tests of ``image`` and ``caption``; none without the library that explains.
    """
    if not count or not predictor.description.modalities or find_spec("captum") is None:
        return {}
    from artaffect.explain.explainer import Explainer

    explainer = Explainer(predictor)
    checks: dict[str, list[Check]] = {}
    inputs = _one_input_per_artwork(predictor, table, count, seed)
    for item in track(inputs, "testing explanations", len(inputs)):
        try:
            explanation = explainer.explain(item, check=True)
        except ImageError as error:  # broken since it was imported: the scores leave it out too
            notes.append(f"Explanations of one painting are not tested: {error}.")
            continue
        for culture in explanation.by_culture:
            for name, check in culture.checks.items():
                checks.setdefault(name, []).append(check)
    return {name: _deletion_test(of_modality) for name, of_modality in checks.items()}


def _one_input_per_artwork(
    predictor: TorchPredictor, table: AnnotationTable, count: int, seed: int
) -> list[PredictionInput]:
    modalities = predictor.description.modalities
    root = table.images if "image" in modalities else None
    table = table.select(table.has_caption) if "caption" in modalities else table
    images, artworks = table.strings("image"), table.strings("artwork_id")
    captions, cultures = table.strings("caption"), table.strings("culture")
    rows: dict[str, int] = {}
    for row in np.random.default_rng(seed).permutation(len(table)).tolist():
        if root is None or images[row] is not None:
            rows.setdefault(artworks[row], row)
    return [
        PredictionInput(
            root / images[row] if root else None,
            captions[row].strip() or None,
            None,
            [cultures[row]],
        )
        for row in list(rows.values())[:count]
    ]


def _deletion_test(checks: "Sequence[Check]") -> DeletionTest:
    gaps = np.array([check.deletion.deletion_auc_gap for check in checks])
    correlations = [check.occlusion for check in checks if check.occlusion is not None]
    return DeletionTest(
        artworks=len(gaps),
        deletion_auc_gap=mean_estimate(gaps),
        faster_share=float((gaps > 0).mean()),
        occlusion_correlation=float(np.mean(correlations)) if correlations else None,
    )
