"""What a model owes to its inputs: scores without the image, the caption or the row's own culture."""

from dataclasses import replace

import numpy as np
import torch

from artaffect.features import AnnotationArrays
from artaffect.metrics.evaluation import ByGroup, EvaluationResult, ModelScores
from artaffect.models.emotion_model import EmotionModel
from artaffect.prediction.evaluation import evaluate_predictions, predict_proba


def shuffle_images(rows: AnnotationArrays, seed: int) -> AnnotationArrays:
    """The same captions, with the image of another artwork for each artwork."""
    with_image = torch.nonzero(rows.artwork_has_image).squeeze(1)
    order = with_image[torch.from_numpy(np.random.default_rng(seed).permutation(len(with_image)))]
    image = rows.image.clone()
    # a cycle through a random order: no artwork keeps its own image
    image[order] = rows.image[order.roll(1)]
    return replace(rows, image=image)


def modality_ablation(
    model: EmotionModel, rows: AnnotationArrays, n_resamples: int = 1000, seed: int = 0
) -> EvaluationResult | None:
    """What the image adds to the caption, culture by culture; None for a model of one modality.

    ``caption`` is the caption model by itself; ``both_image_left_out`` is what the combination predicts
    from the caption alone.
    """
    if model.fusion is None or model.caption is None:
        return None
    alone = EmotionModel(None, model.caption, None, model.cultures, model.languages, model.labels)
    alone.temperature.copy_(model.temperature)
    predictions = {
        "image": predict_proba(model, rows, ("image",)),
        "caption": predict_proba(alone, rows, ("caption",)),
        "both": predict_proba(model, rows),
        "both_image_shuffled": predict_proba(model, shuffle_images(rows, seed)),
        "both_image_left_out": predict_proba(model, rows, ("caption",)),
        "both_caption_left_out": predict_proba(model, rows, ("image",)),
    }
    pairs = [(name, "caption") for name in predictions if name.startswith("both")]
    pairs += [("both", "both_image_shuffled"), ("both", "image")]
    return evaluate_predictions(predictions, rows, n_resamples, pairs=pairs)


def cross_culture_scores(
    model: EmotionModel, rows: AnnotationArrays, n_resamples: int = 1000
) -> ByGroup[ModelScores] | None:
    """Predictions for each culture, scored on the rows of every culture; None for a single culture.

    The overall scores are those of predictions that name no culture.
    """
    if len(model.cultures) < 2:
        return None
    predictions = {
        str(index): predict_proba(model, rows, culture=index)
        for index in range(1 + len(model.cultures))
    }
    result = evaluate_predictions(predictions, rows, n_resamples, pairs=())
    overall, *others = result.models.values()
    return ByGroup(overall, dict(zip(model.cultures, others, strict=True)))
