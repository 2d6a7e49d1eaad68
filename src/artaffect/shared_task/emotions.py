"""Subtask 1: predict the emotion behind each caption, without the image and with it."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.features import AnnotationArrays, encode_images, extract_distinct
from artaffect.labels import LabelSet
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.hub import resolve_run
from artaffect.prediction.evaluation import predict_proba
from artaffect.shared_task.images import find_images, report_unusable
from artaffect.shared_task.items import EmotionItems, make_emotion_items
from artaffect.shared_task.rules import SharedTaskRules, label_indices, region_of
from artaffect.shared_task.scorer import EmotionScores, score_emotions


def predict_emotions(
    run: str | Path,
    items: EmotionItems,
    images: Path,
    rules: SharedTaskRules,
    text_run: str | Path | None = None,
    cache: Path | None = None,
) -> tuple[list[str], list[str]]:
    """Predict labels with a model that takes an image and a caption.

    Args:
        run: A model folder or ``hf:OWNER/MODEL``.
        text_run: Another model for the predictions without the image, such as a fine-tuned text
            model. By default ``run`` makes them from the caption alone.

    Returns:
        Labels predicted without the image, and labels predicted with it. An item whose image is missing
        or cannot be read has its label from the caption alone; a warning counts those artworks.

    Raises:
        InputError: ``run`` does not take both an image and a caption, ``text_run`` takes no caption, or
            no image can be used.
    """
    model = load_model(resolve_run(run))
    if set(model.modalities) != {"image", "caption"}:
        raise InputError(
            f"{run} uses the {' and '.join(model.modalities)} only; the predictions with the image need "
            "a model of image and caption, such as one trained with the recipe compact"
        )
    arrays = _extract_items(model, items, images, cache)
    text_probabilities = predict_proba(model, arrays, ("caption",))
    probabilities = predict_proba(model, arrays)
    multimodal = _to_labels(
        np.where(arrays.has_image[:, None], probabilities, text_probabilities), model.labels, rules
    )
    if text_run is not None:
        model = load_model(resolve_run(text_run))
        if "caption" not in model.modalities:
            raise InputError(
                f"{text_run} does not use captions; the predictions without the image need them"
            )
        arrays = _extract_items(model, items, None, cache)
        text_probabilities = predict_proba(model, arrays, ("caption",))
    return _to_labels(text_probabilities, model.labels, rules), multimodal


def score_majority_baseline(
    table: AnnotationTable, split: str, rules: SharedTaskRules
) -> EmotionScores:
    """Score the most frequent training label of each caption's language."""
    train = make_emotion_items(table.of_split("train"), rules)
    items = make_emotion_items(table.of_split(split), rules)
    counts: dict[str, Counter[str]] = {}
    for language, label in zip(train.languages, train.labels or (), strict=True):
        counts.setdefault(language, Counter())[label] += 1
    overall: Counter[str] = sum(counts.values(), Counter())
    predictions = [counts.get(name, overall).most_common(1)[0][0] for name in items.languages]
    return score_emotions(items.labels or (), predictions, items.languages, rules)


def culture_index(model: EmotionModel, language: str) -> int:
    """The index of the model's culture of that name, else of its region, else 0: any culture."""
    own = model.culture_index(language.strip().lower())
    return own or model.culture_index(region_of(language))


def _extract_items(
    model: EmotionModel, items: EmotionItems, images: Path | None, cache: Path | None
) -> AnnotationArrays:
    """The items' features, without images if no folder is given."""
    image_encoder, text_encoder = model.encoders
    assert text_encoder is not None
    names, artwork = np.unique(np.array(items.images, str), return_inverse=True)
    file_of = find_images(images, names.tolist()) if images else {}
    files = [file_of.get(name) for name in names.tolist()]
    image, has_image, unreadable = encode_images(files, image_encoder, cache)
    if images:
        consequence = "their captions are labelled without an image"
        report_unusable(names.tolist(), file_of, unreadable, consequence)
    caption, caption_index, _ = extract_distinct(text_encoder, list(items.captions), cache)
    return AnnotationArrays(
        artwork_ids=names,
        image=torch.from_numpy(image),
        artwork_has_image=torch.from_numpy(has_image),
        artwork=torch.from_numpy(artwork.astype(np.int64)),
        caption=torch.from_numpy(caption),
        caption_index=torch.from_numpy(caption_index),
        emotion=torch.zeros(len(items), dtype=torch.int64),
        culture=torch.tensor([culture_index(model, name) for name in items.languages]),
        culture_names=np.array(items.languages, object),
        unreadable=unreadable,
    )


def _to_labels(probabilities: np.ndarray, labels: LabelSet, rules: SharedTaskRules) -> list[str]:
    """The most likely of the task's labels for each row of a model's ``probabilities`` [n, k]."""
    scores = [
        probabilities[:, label_indices(group, labels)].sum(1)
        for group in rules.label_emotions.values()
    ]
    return [list(rules.label_emotions)[i] for i in np.argmax(scores, 0)]
