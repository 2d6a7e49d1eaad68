"""The label distributions of the training split, which a model folder keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from artaffect.errors import ModelFolderError
from artaffect.features import AnnotationArrays
from artaffect.metrics.baseline import PriorBaseline


@dataclass(frozen=True)
class TrainingPriors:
    """The label distributions of the training split, which constant predictions need."""

    baseline: PriorBaseline
    chosen_share: np.ndarray
    """Share of artworks for which at least one annotator chose each label [k]."""

    @classmethod
    def from_rows(cls, rows: AnnotationArrays) -> "TrainingPriors":
        """Count the training rows."""
        votes = rows.votes()[:, 0, : len(rows.labels)].numpy()
        chosen = votes[votes.sum(1) > 0] > 0
        known = (rows.emotion.numpy(), rows.culture_names, rows.candidates)
        baseline = PriorBaseline(len(rows.labels)).fit(*known)
        return cls(baseline, chosen.mean(0))

    def to_json(self) -> dict[str, Any]:
        return {
            "prior": self.baseline.prior_.tolist(),
            "priors": {name: prior.tolist() for name, prior in self.baseline.priors_.items()},
            "chosen_share": self.chosen_share.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> "TrainingPriors":
        if data is None:
            raise ModelFolderError("the model folder holds no training_priors: train it again")
        baseline = PriorBaseline(len(data["prior"]))
        baseline.prior_ = np.array(data["prior"])
        baseline.priors_ = {name: np.array(prior) for name, prior in data["priors"].items()}
        return cls(baseline, np.array(data["chosen_share"]))
