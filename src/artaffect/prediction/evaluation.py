"""Score a model on rows: image, caption and both, beside the baseline, on the same captions."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.labels import EMOTIONS
from artaffect.metrics.baseline import PriorBaseline
from artaffect.metrics.classification import hamming_accuracy
from artaffect.metrics.evaluation import EvaluationResult, evaluate
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config
from artaffect.models.fusion import LinearFusion

_logger = logging.getLogger(__name__)

_CHUNK = 8192


def evaluate_run(
    run: Path,
    table: AnnotationTable,
    split: str,
    cache: Path | None = None,
    n_resamples: int = 1000,
) -> EvaluationResult:
    """Score a model folder on one split of a table.

    Raises:
        ModelFolderError: the folder is incomplete or altered.
        TableError: the split has no rows, or its pictures are gone.
        InputError: none of the rows has a picture.
    """
    model = load_model(run)
    priors = TrainingPriors.from_json(read_config(run)["training_priors"])
    rows = extract_arrays(table.of_split(split), *model.encoders, model.cultures, cache)
    return evaluate_rows(model, rows, priors, split, n_resamples)


def evaluate_rows(
    model: EmotionModel,
    rows: AnnotationArrays,
    priors: "TrainingPriors",
    split: str,
    n_resamples: int = 1000,
) -> EvaluationResult:
    """Score a model on the rows that have a picture; on all of them where it reads captions only."""
    for fault in rows.unreadable:
        _logger.info(f"left out, picture cannot be read: {fault}")
    compared = rows if model.image is None else rows.select(rows.has_image)
    if not len(compared):
        raise InputError(f"no row of split {split!r} has a picture: image and both have no score")
    predictions = {"baseline": priors.baseline.predict_proba(compared.culture_names)}
    predictions |= predict_all_inputs(model, compared)
    result = evaluate(
        predictions,
        compared.emotion.numpy(),
        compared.culture_names,
        compared.artwork.numpy(),
        n_resamples,
    )
    protocol = {
        "split": split,
        **result.protocol,
        "rows_without_picture_left_out": len(rows) - len(compared),
        "unreadable_pictures": len(rows.unreadable),
        "baseline": "each culture's distribution in the training split",
    }
    extra: dict[str, Any] = {}
    if model.image is not None:
        extra["hamming"] = hamming(model, compared, priors)
    if model.fusion is not None:
        extra["fusion"] = describe_fusion(model.fusion, model.cultures)
    return replace(result, protocol=protocol, extra=extra)


def predict_all_inputs(model: EmotionModel, rows: AnnotationArrays) -> dict[str, np.ndarray]:
    """Distributions of image, caption and both, and of both when the culture is not told: [n, 9].

    A model of one modality gives that one.
    """
    found = {name: predict_proba(model, rows, (name,)) for name in model.modalities}
    if model.fusion is not None:
        found["both"] = predict_proba(model, rows)
        if len(model.cultures) > 1:
            found["both, culture not told"] = predict_proba(model, rows, culture=0)
    return found


def predict_proba(
    model: EmotionModel,
    rows: AnnotationArrays,
    modalities: Sequence[str] = ("image", "caption"),
    culture: int | None = None,
    calibrated: bool = True,
) -> np.ndarray:
    """A model's distributions for rows: [n, 9].

    Args:
        modalities: what it is shown.
        culture: whose answer is asked for, as the model counts; each row's own where none is given.
        calibrated: see :meth:`EmotionModel.answer`.
    """
    there = torch.tensor([[name in modalities for name in ("image", "caption")]])
    parts = [np.zeros((0, len(EMOTIONS)))]
    for start in range(0, len(rows), _CHUNK):
        piece = slice(start, start + _CHUNK)
        image, caption = rows.image[rows.artwork[piece]], rows.caption[piece]
        whose = rows.culture[piece]
        if culture is not None:
            whose = torch.full_like(whose, culture)
        present = there.expand(len(whose), 2)
        parts.append(model.answer(image, caption, present, whose, calibrated)[0].numpy())
    return np.concatenate(parts)


class TrainingPriors:
    """What constant answers need to know of the training split."""

    def __init__(self, baseline: PriorBaseline, readers: float | None, felt: np.ndarray) -> None:
        self.baseline = baseline
        self.readers = readers
        """See :func:`fit_readers`; None where no model looks at pictures."""
        self.felt = felt
        """Share of paintings for which anyone chose the emotion [9]."""

    @classmethod
    def of(cls, rows: AnnotationArrays, readers: float | None) -> "TrainingPriors":
        """Count the training rows."""
        votes = votes_by_artwork(rows).numpy()
        seen = votes[votes.sum(1) > 0]
        baseline = PriorBaseline().fit(rows.emotion.numpy(), rows.culture_names)
        return cls(baseline, readers, (seen > 0).mean(0))

    def to_json(self) -> dict[str, Any]:
        return {
            "prior": self.baseline.prior_.tolist(),
            "priors": {name: prior.tolist() for name, prior in self.baseline.priors_.items()},
            "readers": self.readers,
            "felt": self.felt.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TrainingPriors":
        baseline = PriorBaseline()
        baseline.prior_ = np.array(data["prior"])
        baseline.priors_ = {name: np.array(prior) for name, prior in data["priors"].items()}
        return cls(baseline, data["readers"], np.array(data["felt"]))


def votes_by_artwork(rows: AnnotationArrays) -> torch.Tensor:
    """How often each emotion was chosen for each artwork: float32 [p, 9]."""
    cells = rows.artwork * len(EMOTIONS) + rows.emotion
    counts = torch.bincount(cells, minlength=len(rows.artwork_ids) * len(EMOTIONS))
    return counts.view(len(rows.artwork_ids), len(EMOTIONS)).float()


def hamming(
    model: EmotionModel, rows: AnnotationArrays, priors: TrainingPriors
) -> dict[str, float]:
    """The paper's metric: the share of right bits in "did anyone feel it?"."""
    if model.image is None:
        raise ValueError("the paper's metric is about models that look at pictures")
    votes = votes_by_artwork(rows)
    seen = votes.sum(1) > 0
    felt = (votes[seen] > 0).numpy()
    with torch.no_grad():
        logits = model.image.head(rows.image[seen], torch.zeros(len(felt), dtype=torch.int64))
    if model.image.head.multi_label:
        predicted = (logits > 0).numpy()
    else:
        predicted = felt_by_anyone(logits.softmax(-1).numpy(), priors.readers or 1.0)
    constant = np.broadcast_to(priors.felt > 0.5, felt.shape)
    return {
        "image": hamming_accuracy(felt, predicted),
        "constant_baseline": hamming_accuracy(felt, constant),
        "paintings": len(felt),
    }


def felt_by_anyone(probabilities: np.ndarray, readers: float) -> np.ndarray:
    """Whether it is likelier than not that one of so many independent readers feels an emotion.

    Args:
        probabilities: each painting's distribution ``q`` [p, 9].

    Returns:
        bool [p, 9]: ``1 - (1 - q)^readers > 1/2``.
    """
    felt: np.ndarray = 1 - (1 - probabilities) ** readers > 0.5
    return felt


def fit_readers(votes: np.ndarray, probabilities: np.ndarray) -> float:
    """How many independent readers the readers of a painting are worth.

    Those who look at one painting agree more than its predicted distribution says, so they set
    fewer bits than as many independent ones would.

    Args:
        votes: how often each emotion was chosen for each painting [p, 9].
        probabilities: what a model that has not seen the painting predicts [p, 9].

    Returns:
        The number, in steps of one half up to the votes a painting has on average, with the best
        Hamming accuracy.
    """
    choices = np.arange(1, max(1.5, votes.sum(1).mean()) + 0.5, 0.5)
    scores = [hamming_accuracy(votes > 0, felt_by_anyone(probabilities, m)) for m in choices]
    return float(choices[int(np.argmax(scores))])


def describe_fusion(fusion: LinearFusion, cultures: Sequence[str]) -> dict[str, Any]:
    """The fusion's weights under readable names."""
    weight = fusion.weight.detach()
    names = ["any", *cultures] if len(weight) > 1 else ["all"]
    return {
        "form": fusion.form,
        "weights": {
            name: dict(zip(fusion.sources, row.tolist(), strict=True))
            for name, row in zip(names, weight, strict=True)
        },
    }
