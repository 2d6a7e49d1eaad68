"""Subtask 1: predict the emotion behind each caption, without the image and with it."""

from collections import Counter
from pathlib import Path

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.data.images import name_forms
from artaffect.errors import InputError, TableError
from artaffect.features import AnnotationArrays, encode_images, extract_features
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.hub import resolve_run
from artaffect.prediction.evaluation import predict_proba
from artaffect.shared_task.items import EmotionItems, make_emotion_items
from artaffect.shared_task.rules import SharedTaskRules, emotion_indices, region_of
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
        Labels predicted without the image, and labels predicted with it.

    Raises:
        InputError: ``run`` does not take both an image and a caption, or ``text_run`` no caption.
        TableError: An image is missing or broken; every item needs a prediction that uses it.
    """
    model = load_model(resolve_run(run))
    if set(model.modalities) != {"image", "caption"}:
        raise InputError(
            f"{run} uses the {' and '.join(model.modalities)} only; the predictions with the image need "
            "a model of image and caption, such as one trained with the recipe compact"
        )
    arrays = _extract_items(model, items, images, cache)
    if not bool(arrays.has_image.all()):
        first = items.images[int(torch.nonzero(~arrays.has_image)[0])]
        absent = f"{images / first}: no such file"
        reason = next((reason for reason in arrays.unreadable if first in reason), absent)
        n_missing = int((~arrays.artwork_has_image).sum())
        raise TableError(f"images that cannot be used: {n_missing:,} (first: {reason})")
    multimodal = _to_labels(predict_proba(model, arrays), rules)
    if text_run is not None:
        model = load_model(resolve_run(text_run))
        if "caption" not in model.modalities:
            raise InputError(
                f"{text_run} does not use captions; the predictions without the image need them"
            )
        arrays = _extract_items(model, items, None, cache)
    return _to_labels(predict_proba(model, arrays, ("caption",)), rules), multimodal


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
    files = [_find_image(images, name) if images else None for name in names.tolist()]
    image, has_image, unreadable = encode_images(files, image_encoder, cache)
    caption = extract_features(text_encoder, list(items.captions), cache).values
    return AnnotationArrays(
        artwork_ids=names,
        image=torch.from_numpy(image),
        artwork_has_image=torch.from_numpy(has_image),
        artwork=torch.from_numpy(artwork.astype(np.int64)),
        caption=torch.from_numpy(caption),
        emotion=torch.zeros(len(items), dtype=torch.int64),
        culture=torch.tensor([culture_index(model, name) for name in items.languages]),
        culture_names=np.array(items.languages, object),
        unreadable=unreadable,
    )


def _find_image(folder: Path, name: str) -> Path | None:
    candidates = (folder / form for form in name_forms(name))
    return next((file for file in candidates if file.is_file()), None)


def _to_labels(probabilities: np.ndarray, rules: SharedTaskRules) -> list[str]:
    """The most likely of the task's labels for each row of ``probabilities`` [n, 9]."""
    scores = [
        probabilities[:, emotion_indices(group)].sum(1) for group in rules.label_emotions.values()
    ]
    return [list(rules.label_emotions)[i] for i in np.argmax(scores, 0)]
