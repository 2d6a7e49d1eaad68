"""Score prediction sets: how often they hold the true label, and how many labels they hold."""

from collections.abc import Mapping

import numpy as np

from artaffect.features import AnnotationArrays
from artaffect.metrics.conformal import ConformalScores, SetScores, score_sets
from artaffect.metrics.evaluation import ByGroup, for_each_group


def evaluate_sets(
    conformal: ConformalScores,
    predictions: Mapping[str, np.ndarray],
    rows: AnnotationArrays,
    level: float,
) -> dict[str, ByGroup[SetScores]]:
    """Score the prediction sets of each kind of input, overall and for each culture.

    Args:
        predictions: distributions [n, k] by kind of input; other entries are left out.
        rows: with exact labels.
    """
    labels, names, artworks = rows.emotion.numpy(), rows.culture_names, rows.artwork.numpy()
    results: dict[str, ByGroup[SetScores]] = {}
    for kind in (name for name in predictions if name in conformal.inputs):
        members = conformal.members(kind, predictions[kind], names, level)

        def score(mask: np.ndarray, kind: str = kind, members: np.ndarray = members) -> SetScores:
            cultures = set(names[mask])
            bases = {conformal.threshold(kind, name, level).basis for name in cultures}
            basis = bases.pop() if len(cultures) == 1 else None
            return score_sets(members[mask], labels[mask], artworks[mask], basis)

        results[kind] = for_each_group(names, score)
    return results
