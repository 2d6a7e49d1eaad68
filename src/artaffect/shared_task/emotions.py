"""Subtask 1: a model folder's label for each caption, without the image and with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from artaffect.errors import InputError, TableError
from artaffect.features import AnnotationArrays, encode_images, extract_features
from artaffect.labels import EMOTIONS
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.prediction.evaluation import predict_proba
from artaffect.shared_task.items import EmotionItems
from artaffect.shared_task.regions import region_of
from artaffect.shared_task.rules import SharedTaskRules


@dataclass(frozen=True)
class EmotionAnswers:
    """Labels of both runs, in the order of the items."""

    text: list[str]
    multimodal: list[str]

    @property
    def changed(self) -> float:
        """Share of the items on which the image changes the label."""
        pairs = zip(self.text, self.multimodal, strict=True)
        return sum(a != b for a, b in pairs) / max(len(self.text), 1)


def answer_emotions(
    run: Path,
    items: EmotionItems,
    images: Path,
    rules: SharedTaskRules,
    text_run: Path | None = None,
    cache: Path | None = None,
) -> EmotionAnswers:
    """Ask a model that reads captions and looks at pictures.

    Args:
        images: the folder that the items' pictures are relative to.
        text_run: another model folder for the run without the image, a trained text model for
            example; the first one, shown the caption alone, by default.

    Raises:
        InputError: the run does not look at pictures, or does not read captions.
        TableError: a picture is missing or broken: every item needs an answer that uses it.
    """
    model = load_model(run)
    if set(model.modalities) != {"image", "caption"}:
        raise InputError(
            f"{run} reads {' and '.join(model.modalities)} only; the run with the image needs a model "
            "of both, such as those of the recipe compact"
        )
    rows = rows_of(model, items, images, cache)
    if not bool(rows.has_image.all()):
        position = int(torch.nonzero(~rows.has_image)[0])
        faults = [fault for fault in rows.unreadable if items.images[position] in fault]
        why = faults[0] if faults else f"{images / items.images[position]}: no such file"
        missing = int((~rows.artwork_has_image).sum())
        raise TableError(f"{missing:,} pictures cannot be used (first: {why})")
    multimodal = _labels(predict_proba(model, rows), rules)
    reader, read = model, rows
    if text_run is not None:
        reader = load_model(text_run)
        if "caption" not in reader.modalities:
            raise InputError(f"{text_run} reads no captions: the run without the image needs one")
        read = rows_of(reader, items, None, cache)
    return EmotionAnswers(_labels(predict_proba(reader, read, ("caption",)), rules), multimodal)


def rows_of(
    model: EmotionModel, items: EmotionItems, images: Path | None, cache: Path | None
) -> AnnotationArrays:
    """The items' features; each picture and each caption is encoded once."""
    image_encoder, text_encoder = model.encoders
    names, artwork = np.unique(np.array(items.images, object).astype(str), return_inverse=True)
    files: list[Path | None] = [None] * len(names)
    if images is not None:
        files = [images / name if (images / name).is_file() else None for name in names]
    image, has_image, broken = encode_images(files, image_encoder, cache)
    assert text_encoder is not None
    caption = extract_features(text_encoder, list(items.captions), cache).values
    return AnnotationArrays(
        artwork_ids=names,
        image=torch.from_numpy(image),
        artwork_has_image=torch.from_numpy(has_image),
        artwork=torch.from_numpy(artwork.astype(np.int64)),
        caption=torch.from_numpy(caption),
        emotion=torch.zeros(len(items.ids), dtype=torch.int64),
        culture=torch.tensor(culture_codes(model, items.languages)),
        culture_names=np.array(items.languages, object),
        unreadable=broken,
    )


def culture_codes(model: EmotionModel, languages: Sequence[str]) -> list[int]:
    """Each language as the model's culture: itself, its region, or the public as a whole."""
    index = {}
    for language in set(languages):
        own = model.culture_index(language.strip().lower())
        index[language] = own or model.culture_index(region_of(language))
    return [index[language] for language in languages]


def _labels(probabilities: np.ndarray, rules: SharedTaskRules) -> list[str]:
    """The likeliest of the labels that the task has."""
    names = [str(emotion) for emotion in EMOTIONS]
    groups: Sequence[Sequence[str]] = [(name,) for name in rules.names]
    if rules.labels == "sentiment":
        groups = (rules.positive, rules.negative)
    scores = np.stack(
        [probabilities[:, [names.index(n) for n in group]].sum(1) for group in groups], 1
    )
    return [rules.names[i] for i in scores.argmax(1)]
