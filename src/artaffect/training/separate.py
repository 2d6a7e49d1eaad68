"""Recipes of the kind ``separate``: sources trained one by one, then combined.

A combination fitted on predictions for rows that the sources have learned from trusts them too much,
which is why naive fusions harm. Here it is fitted on predictions for artworks that the sources have not
seen: out of fold if all sources are frozen (stacking, Wolpert 1992), else on artworks held out.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artaffect.config import FusionConfig, SeparateConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel, log_of
from artaffect.models.folder import read_config
from artaffect.models.fusion import FUSION_FORMS, FusionSetup, LinearFusion, SourceOutputs
from artaffect.models.heads import FeatureScaler
from artaffect.models.hub import resolve_run
from artaffect.training.batches import TensorRows
from artaffect.training.calibration import TrainedModel, finish
from artaffect.training.combination import check_folds, fit_weights, fold_of_artwork, log_prior
from artaffect.training.data import TrainingData, check_artworks, hold_out
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.objectives import FusionTask, label_loss
from artaffect.training.sources import Source, SourceContext
from artaffect.training.trainer import FitResult, Scores, Trainer

_logger = logging.getLogger(__name__)

_ENOUGH_ROWS = 100_000


def train_separate(data: TrainingData, config: SeparateConfig) -> TrainedModel:
    """Train the sources of a recipe, and their combination if there are several.

    Raises:
        TableError: images are needed, and a split has none.
        ConfigError: a run whose model is used does not fit.
    """
    _check_runs(config)
    images = config.image is not None
    data = data.for_sources(images, config.caption is not None)
    table = held_out = data.train
    if config.held_out:
        table, held_out = hold_out(data.train, config.held_out, config.seed, images)
    _check_unseen(data, config, table)
    context = SourceContext.from_recipe(data, config, _load_initial(data, config))
    sources = _create_sources(config, context, table)
    frozen = {name: s.encoder if s.config.frozen else None for name, s in sources.items()}
    encoders = (frozen.get("image"), frozen.get("caption"))
    rules = None
    if config.image is not None and not (config.image.frozen or config.image.run):
        rules = sources["image"].encoder.preprocessing
    train, val = (data.arrays(t, *encoders, images, rules) for t in (table, data.val))
    models = {name: source.fit(train, val) for name, source in sources.items()}
    log = {name: source.log() for name, source in sources.items()}
    histories = {name: s.result_.history for name, s in sources.items() if not s.config.run}
    pair = (models.get("image"), models.get("caption"))
    fusion = outside = logits = None
    if len(sources) > 1 or data.outside:
        unseen = train
        if config.frozen:
            logits = out_of_fold_logits(list(sources.values()), train, config.folds, config.seed)
        else:
            image, caption = (source.encoder if source else None for source in pair)
            unseen, val = (data.arrays(t, image, caption, images) for t in (held_out, data.val))
        unseen, val = (rows.with_images() if images else rows for rows in (unseen, val))
        training, validation = _outputs(sources, unseen, logits), _outputs(sources, val)
        if len(sources) > 1:
            fusion, result, log["fusion"] = fit_fusion(config.fusion, training, validation, context)
            histories["fusion"] = result.history
        if data.outside:
            rows = (add_outside(training, unseen, "train"), add_outside(validation, val, "val"))
            form = replace(config.fusion, form="logits")
            outside, result, log["outside"] = fit_fusion(form, *rows, context)
            histories["outside"] = result.history
    names = (data.cultures, data.languages)
    model = EmotionModel(*pair, fusion, *names, data.train.labels, outside)
    return finish(data, model, log, histories)


def _check_unseen(data: TrainingData, config: SeparateConfig, table: AnnotationTable) -> None:
    """Refuse a combination for which there are no artworks that its sources have not learned from."""
    if data.outside and not (config.frozen or config.held_out):
        raise ConfigError(
            "held_out = 0 leaves no unseen artworks to fit the weights of outside sources on: set "
            "held_out to 0.1"
        )
    if config.frozen and (len(config.sources) > 1 or data.outside):
        codes = table.codes("artwork_id")[1]
        if config.image is not None:
            codes = codes[table.codes("image")[1] >= 0]
        check_folds(config.folds, len(np.unique(codes)))


def _load_initial(data: TrainingData, config: SeparateConfig) -> EmotionModel | None:
    """The model with which the sources begin.

    Raises:
        ConfigError: it has none of the sources, or other labels.
    """
    if not config.initial:
        return None
    model = load_model(resolve_run(config.initial)).float()
    if not set(config.sources) & set(model.modalities):
        raise ConfigError(
            f"{config.initial} reads {' and '.join(model.modalities)}, and the recipe "
            f"{' and '.join(config.sources)}: they have no source in common to begin with"
        )
    if model.labels.names != data.train.labels.names:
        raise ConfigError(
            f"{config.initial} predicts {', '.join(model.labels)}, and this table has the labels "
            f"{', '.join(data.train.labels)}: import it with --labels {model.labels.name} or a label map "
            "(--map-label), or train without it"
        )
    return model


def _create_sources(
    config: SeparateConfig, context: SourceContext, table: AnnotationTable
) -> dict[str, Source[Any, Any]]:
    sources: dict[str, Source[Any, Any]] = {}
    if config.image is not None:
        sources["image"] = ImageSource.create(config.image, context)
    if config.caption is not None:
        sources["caption"] = CaptionSource.create(config.caption, context, table.strings("caption"))
    return sources


def _check_runs(config: SeparateConfig) -> None:
    """Refuse runs that have learned from the artworks on which the combination is to be fitted."""
    for run in (s.run for s in config.sources.values() if s.run and config.held_out):
        recipe = read_config(resolve_run(run))["recipe"]
        held_out, seed = recipe.get("held_out", 0.0), recipe.get("seed")
        if (held_out, seed) != (config.held_out, config.seed):
            raise ConfigError(
                f"{run} has seen the artworks that held_out = {config.held_out} keeps for the "
                f"combination (its held_out is {held_out}, its seed {seed}): train it with the same "
                "held_out and seed"
            )


def out_of_fold_logits(
    sources: Sequence[Source[Any, Any]],
    train: AnnotationArrays,
    folds: int,
    seed: int,
    enough: int = _ENOUGH_ROWS,
) -> dict[str, Tensor]:
    """Logits for training rows, by heads that have not seen their artworks.

    If one of the sources is of images, only the rows with an image count.

    Args:
        enough: no further fold is predicted after so many rows: each costs another training, and the weights
            of a combination are few.

    Returns:
        For each source [2, n, k]; see :meth:`Source.logits`. NaN for rows that are not predicted.
    """
    usable = train.artwork_has_image
    if not any(source.modality == "image" for source in sources):
        usable = torch.ones_like(usable)
    check_folds(folds, int(usable.sum()))
    # an artwork without an image is in no fold: all heads may learn from its captions
    fold = torch.full((len(train.artwork_ids),), -1)
    fold[usable] = fold_of_artwork(train.artwork_ids[usable.numpy()], folds, seed)
    complete = train.select(usable[train.artwork])
    shape = (2, len(complete), len(train.labels))
    logits = {source.name: torch.full(shape, torch.nan) for source in sources}
    for number in range(folds):
        if int((fold[complete.artwork] < number).sum()) >= enough:
            break
        rows = train.select(fold[train.artwork] != number)
        mask = fold[complete.artwork] == number
        for source in sources:
            head = source.refit(rows)
            logits[source.name][:, mask] = source.logits(head, complete.select(mask))
    return logits


def _outputs(
    sources: Mapping[str, Source[Any, Any]],
    rows: AnnotationArrays,
    logits: Mapping[str, Tensor] | None = None,
) -> SourceOutputs:
    """Stored features and logits of rows, by default those of the trained heads."""
    features = {name: source.stored(rows) for name, source in sources.items()}
    if logits is None:
        logits = {name: s.logits(s.model_.head, rows) for name, s in sources.items()}
    return SourceOutputs(features, logits, rows.culture, rows.emotion, rows.partial)


def add_outside(outputs: SourceOutputs, rows: AnnotationArrays, split: str) -> SourceOutputs:
    """The logits of rows with those of their outside sources, for the rows for which all have one.

    Raises:
        TableError: there are fewer than two such artworks.
    """
    assert rows.outside is not None  # the data of this training have outside sources
    known = rows.outside.isfinite().all(-1).all(-1)
    names = ", ".join(rows.outside_names)
    check_artworks(
        len(np.unique(rows.artwork[known].numpy())), split, f" with a prediction of {names}"
    )
    _logger.info(f"{names}: predictions for {int(known.sum()):,} of {len(known):,} rows of {split}")
    logits = {name: values[:, known] for name, values in outputs.logits.items()}
    for i, name in enumerate(rows.outside_names):
        logits[name] = log_of(rows.outside[known, i]).expand(2, -1, -1)
    # a combination of logits needs no features, but every source has an entry
    features = {name: (values[0], torch.arange(len(values[0]))) for name, values in logits.items()}
    culture, emotion = outputs.culture[known], outputs.emotion[known]
    return SourceOutputs(features, logits, culture, emotion, outputs.partial)


def fit_fusion(
    config: FusionConfig, training: SourceOutputs, validation: SourceOutputs, context: SourceContext
) -> tuple[LinearFusion, FitResult, dict[str, Any]]:
    """Fit every form and variant that the settings allow; the best on validation is kept.

    Args:
        training: rows that no source has learned from.

    Returns:
        The fusion, its training, and what was chosen, as plain JSON.
    """
    cultures, labels = len(context.cultures), len(context.labels)
    blind = not context.n_cultures
    known = (training.emotion, training.culture)
    prior = log_prior(*known, cultures, labels, blind, training.partial)
    widths = {name: values.shape[1] for name, (values, _) in training.features.items()}
    scalers = {
        name: FeatureScaler(widths[name]).fit(
            values, counts=torch.bincount(index, minlength=len(values)) > 0
        )
        for name, (values, index) in training.features.items()
    }
    setup = FusionSetup(config, widths, cultures, context.n_cultures, labels)
    torch.manual_seed(context.seed)
    candidates: dict[str, LinearFusion] = {}
    for form in config.forms:
        candidates |= FUSION_FORMS[form].candidates(setup)
    results = {}
    for name, fusion in candidates.items():
        fusion.initialize(prior, scalers)
        plan = fusion.plan_training(training, config)
        validate = partial(_scores, fusion, fusion.inputs(validation), validation)
        if plan.config is None:
            inputs = [plan.columns[source] for source in fusion.sources]
            rows = (plan.columns["culture"], plan.columns["emotion"], training.partial)
            loss = fit_weights(fusion, inputs, *rows, views=2)
            results[name] = FitResult.at_once(loss, validate(), "log_loss")
        else:
            task = FusionTask(fusion, plan.modality_dropout, plan.cultures, training.partial)
            trainer = Trainer(plan.config, context.seed, section="fusion.features")
            results[name] = trainer.fit(task, TensorRows(plan.shared, **plan.columns), validate)
    scores = {name: result.best_score for name, result in results.items()}
    best = min(scores, key=lambda name: scores[name])
    line = ", ".join(f"{name} {score:.4f}" for name, score in scores.items())
    _logger.info(f"fusion: validation log-loss {line}")
    log = {"form": best, **results[best].summary()}
    log["rejected"] = {name: score for name, score in scores.items() if name != best}
    return candidates[best], results[best], log


@torch.no_grad()
def _scores(fusion: LinearFusion, inputs: Sequence[Tensor], rows: SourceOutputs) -> Scores:
    present = torch.ones(len(rows.emotion), len(inputs), dtype=torch.bool)
    logits = fusion(inputs, present, rows.culture)
    return {"log_loss": float(label_loss(logits, rows.emotion, rows.partial))}
