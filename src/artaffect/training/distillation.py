"""Recipes of the kind ``distillation``: a caption model, and a smaller one that learns from it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter

import numpy as np
import torch

from artaffect.config import DistillationConfig
from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays, extract_arrays, extract_features
from artaffect.metrics.baseline import PriorBaseline
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.pruning import million_weights, prune_layers, trainable
from artaffect.prediction.evaluation import evaluate_predictions, predict_proba
from artaffect.training.calibration import TrainedModel, finish
from artaffect.training.data import TrainingData
from artaffect.training.modalities import CaptionSource
from artaffect.training.objectives import ClassificationTask, DistillationTask
from artaffect.training.sources import CaptionModel, SourceContext, current_features

_logger = logging.getLogger(__name__)

_TIMED = 512
"""Captions on which speed is measured."""


def train_distillation(data: TrainingData, config: DistillationConfig) -> TrainedModel:
    """Train a teacher, then a student with and without it; the student with it is the model.

    Raises:
        ConfigError: a run whose model is used does not fit, or the student is larger than its teacher.
    """
    data = data.for_sources(image=False, caption=True)
    context = SourceContext.from_recipe(data, config)
    train, val = (data.arrays(table, images=False) for table in (data.train, data.val))
    captions = train.captions
    teacher = CaptionSource.create(config.teacher, context, captions, "teacher")
    teacher.fit(train, val)
    sources = {"teacher": teacher, "student": _distil(data, config, teacher, train, val)}
    if config.alone:
        # the student as it would be without a trained teacher
        settings = config.student
        if settings.encoder == "teacher":
            settings = replace(config.teacher, depth=settings.depth)
        encoder = CaptionSource.create(settings, context, captions).encoder
        alone = CaptionSource(config.student, encoder, context, "student_alone")
        alone.fit(train, val)
        sources[alone.name] = alone
    models = {name: source.model_ for name, source in sources.items()}
    known = (data.cultures, data.languages, data.train.labels)
    model = EmotionModel(None, models["student"], None, *known)
    log = {name: source.log() for name, source in sources.items()}
    histories = {n: s.result_.history for n, s in sources.items() if not s.config.run}
    trained = finish(data, model, log, histories)
    evaluation = replace(
        _compare(data, models, trained.priors.baseline),
        protocol=trained.evaluation.protocol,
        extra={"size_and_speed": _sizes(models, data.val.strings("caption")[:_TIMED])},
    )
    return replace(trained, evaluation=evaluation)


def _distil(
    data: TrainingData,
    config: DistillationConfig,
    teacher: CaptionSource,
    train: AnnotationArrays,
    val: AnnotationArrays,
) -> CaptionSource:
    settings, context, captions = config.student, teacher.context, train.captions
    trained = teacher.model_
    if settings.encoder != "teacher":
        student = CaptionSource.create(settings, context, captions, "student")
    elif settings.depth:
        encoder = prune_layers(trained.encoder, settings.depth)
        student = CaptionSource(settings, encoder, context, "student")
    else:
        raise ConfigError("student.encoder = 'teacher' needs student.depth: how many of its layers")
    model = student.start(train)
    _logger.info(f"student: learning from the teacher ({trainable(student.encoder)})")
    # the teacher encodes each caption once: its features are stored, its logits follow from them
    features = extract_features(trained.encoder, captions, data.cache).values
    rows = student.encoder_rows(train, teacher=torch.from_numpy(features))

    def distil(task: ClassificationTask) -> DistillationTask:
        weights = (config.hard, config.soft, config.hidden)
        width = student.encoder.feature_dim
        return DistillationTask(task, width, trained.head, weights, config.temperature)

    student.fine_tune(model, rows, val, train.partial, distil)
    return student


def _compare(
    data: TrainingData, models: Mapping[str, CaptionModel], baseline: PriorBaseline
) -> EvaluationResult:
    predictions: dict[str, np.ndarray] = {}
    for name, source in models.items():
        rows = extract_arrays(data.val, None, source.encoder, data.cultures, data.cache)
        known = (data.cultures, data.languages, data.train.labels)
        model = EmotionModel(None, source, None, *known)
        predictions[name] = predict_proba(model, rows, ("caption",))
    pairs = [("student", name) for name in models if name != "student"]
    prior = baseline.predict_proba(rows.culture_names)
    return evaluate_predictions(predictions, rows, baseline=prior, pairs=pairs)


def _sizes(
    models: Mapping[str, CaptionModel], captions: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Weights, and time per caption: the best of three rounds in which the models take turns."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(3):
        for name, source in models.items():
            start = perf_counter()
            current_features(source.encoder, captions)
            times[name].append(1000 * (perf_counter() - start) / len(captions))
    return {
        n: {"million_weights": million_weights(s), "milliseconds_per_caption": min(times[n])}
        for n, s in models.items()
    }
