"""The recipes of the kind ``distillation``: a text model, and a smaller one that learns from it."""

import logging
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn

from artaffect.config import CaptionConfig, DistillationConfig
from artaffect.errors import ConfigError
from artaffect.features import extract_arrays, extract_features
from artaffect.metrics.evaluation import EvaluationResult, evaluate
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.pruning import prune_layers
from artaffect.models.text_encoders import TextEncoder
from artaffect.prediction.evaluation import predict_all_inputs
from artaffect.training.data import Part, TrainedModel, TrainingData
from artaffect.training.encoders import (
    CaptionModel,
    Choice,
    caption_encoder,
    caption_rows,
    course,
    create_trained_caption,
    encoded,
    start_caption,
    trainable,
    tune_caption,
)
from artaffect.training.objectives import ClassificationTask, DistillationTask
from artaffect.training.tuned import score

_logger = logging.getLogger(__name__)

_TIMED = 512
"""Captions on which speed is measured."""


def train_distillation(
    corpus: TrainingData, config: DistillationConfig, n_resamples: int = 1000
) -> TrainedModel:
    """Train a teacher, then a student with and without it; the student with it is the model.

    Raises:
        ConfigError: a run that is built on does not fit, or the student is larger than its teacher.
    """
    choice = Choice(config.culture, config.seed)
    parts = (
        corpus.part(corpus.train, pictures=False),
        corpus.part(corpus.val, pictures=False),
    )
    teacher, history = create_trained_caption(config.teacher, corpus, parts, choice, "teacher")
    chosen: dict[str, Any] = {"teacher": history}
    student, chosen["student"] = _distil(corpus, config, teacher, parts, choice)
    models = {"teacher": teacher, "student": student}
    if config.alone:
        encoder = _own_encoder(config, parts[0])
        alone = start_caption(
            encoder, config.student, parts[0], choice, corpus.n_cultures(config.culture)
        )
        _logger.info(f"student without the teacher: training ({trainable(encoder)})")
        rows = caption_rows(encoder, parts[0])
        folder = corpus.folder("student-alone")
        found = tune_caption(alone, config.student, rows, parts[1], choice, folder)
        chosen["student_not_distilled"] = course(found)
        models["student_not_distilled"] = alone
    model = EmotionModel(None, student, None, corpus.cultures, corpus.languages).eval()
    priors, result = score(corpus, model, n_resamples)
    compared = _compare(corpus, models, priors.baseline.predict_proba, n_resamples)
    compared = replace(
        compared,
        protocol=result.protocol,
        extra={"size_and_speed": _sizes(models, corpus)},
    )
    return TrainedModel(model, priors, chosen, compared)


def _distil(
    corpus: TrainingData,
    config: DistillationConfig,
    teacher: CaptionModel,
    parts: tuple[Part, Part],
    choice: Choice,
) -> tuple[CaptionModel, dict[str, Any]]:
    settings = config.student
    encoder = _student_encoder(settings, teacher.encoder, parts[0])
    cultures = corpus.n_cultures(config.culture)
    student = start_caption(encoder, settings, parts[0], choice, cultures)
    _logger.info(f"student: learning from the teacher ({trainable(encoder)})")
    # the teacher reads each caption once: its features are kept, its logits follow from them
    captions = parts[0].table.strings("caption")
    features = extract_features(teacher.encoder, captions, corpus.cache).values
    rows = caption_rows(encoder, parts[0], teacher=torch.from_numpy(features))

    def wrap(task: ClassificationTask) -> nn.Module:
        weights = (config.hard, config.soft, config.hidden)
        return DistillationTask(
            task, encoder.feature_dim, teacher.head, weights, config.temperature
        )

    folder = corpus.folder("student")
    found = tune_caption(student, settings, rows, parts[1], choice, folder, wrap)
    return student, course(found)


def _student_encoder(settings: CaptionConfig, teacher: TextEncoder, part: Part) -> TextEncoder:
    if settings.encoder != "teacher":
        return caption_encoder(settings, part.table)
    if not settings.depth:
        raise ConfigError("student.encoder = 'teacher' needs student.depth: how many of its layers")
    return prune_layers(teacher, settings.depth)


def _own_encoder(config: DistillationConfig, part: Part) -> TextEncoder:
    """The student as it would be if there had never been a trained teacher."""
    settings = config.student
    if settings.encoder == "teacher":
        settings = replace(config.teacher, depth=settings.depth)
    return caption_encoder(settings, part.table)


def _compare(
    corpus: TrainingData, models: dict[str, CaptionModel], baseline: Any, n_resamples: int
) -> EvaluationResult:
    said: dict[str, np.ndarray] = {}
    constant: np.ndarray | None = None
    for name, branch in models.items():
        rows = extract_arrays(corpus.val, None, branch.encoder, corpus.cultures, corpus.cache)
        if constant is None:
            constant = baseline(rows.culture_names)
        alone = EmotionModel(None, branch, None, corpus.cultures, corpus.languages)
        said[name] = predict_all_inputs(alone, rows)["caption"]
    pairs = [("student", name) for name in models if name != "student"]
    return evaluate(
        said,
        rows.emotion.numpy(),
        rows.culture_names,
        rows.artwork.numpy(),
        n_resamples,
        baseline=constant,
        pairs=pairs,
    )


def _sizes(models: dict[str, CaptionModel], corpus: TrainingData) -> dict[str, dict[str, float]]:
    """Weights, and time per caption in turns on the same captions: the best of three rounds."""
    captions = corpus.val.strings("caption")[:_TIMED]
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(3):
        for name, branch in models.items():
            begun = perf_counter()
            encoded(branch.encoder, captions)
            times[name].append((perf_counter() - begun) / len(captions))
    return {
        name: {
            "million_weights": sum(w.numel() for w in branch.parameters()) / 1e6,
            "milliseconds_per_caption": 1000 * min(times[name]),
        }
        for name, branch in models.items()
    }
