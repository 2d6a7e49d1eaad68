"""Score a model on rows: image, caption and both, beside the baseline, on the same rows."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import Elsewhere, OutsidePredictions, read_outside
from artaffect.errors import InputError, TableError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.metrics.classification import hamming_accuracy
from artaffect.metrics.conformal import LEVEL, SetScores
from artaffect.metrics.evaluation import PAIRS, ByGroup, EvaluationResult, evaluate
from artaffect.metrics.partial import score_partial_labels
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config, read_seeds, seed_folders
from artaffect.models.fusion import LinearFusion
from artaffect.models.stored_features import attach_features
from artaffect.prediction.priors import TrainingPriors
from artaffect.prediction.set_scores import evaluate_sets
from artaffect.prediction.sets import check_sets

_logger = logging.getLogger(__name__)

_CHUNK = 8192


def evaluate_run(
    run: Path,
    table: AnnotationTable,
    split: str,
    cache: Path | None = None,
    n_resamples: int = 1000,
    sets: float | None = None,
    elsewhere: Elsewhere | None = None,
) -> EvaluationResult:
    """Score a model folder, or the mean of the seeds in a folder of several, on one split of a table.

    A model that reads captions is scored on the rows that have one.

    Args:
        sets: the level of the prediction sets that are scored; by default ``LEVEL``.
        elsewhere: predictions and features that were made elsewhere.

    Raises:
        ModelFolderError: the folder is incomplete or altered.
        TableError: the split has no rows or captions, a label that the model lacks, or its images
            are missing.
        InputError: none of the rows has an image, or the model makes no prediction sets.
    """
    folders = seed_folders(run)
    elsewhere = elsewhere or Elsewhere()
    config, model = read_config(folders[0]), load_run(folders[0], elsewhere)
    check_sets(sets, model.conformal)
    priors = TrainingPriors.from_json(config["training_priors"])
    part = table.of_split(split).with_labels(model.labels)
    has_caption = part.has_caption | (model.caption is None)
    if not has_caption.any():
        raise TableError(f"no row of split {split!r} has a caption, so the model cannot be scored")
    part = part if has_caption.all() else part.select(has_caption)
    sources = read_outside(elsewhere.outside, model.labels)
    part, left_out = with_outside(part, sources)
    rows = extract_arrays(part, *model.encoders, model.cultures, cache, sources)
    predictions = None
    if len(folders) > 1:
        predictions = predict_seeds(folders, part, cache, sources, elsewhere)
    chosen = {"chosen_on_this_split": True} if chosen_on(config, table, split) else {}
    level = None if chosen else sets or LEVEL
    result = evaluate_rows(model, rows, priors, split, n_resamples, level, predictions)
    synthetic = {"synthetic": True} if table.provenance.get("synthetic") else {}
    # a result that is passed on does not tell where its author keeps images
    unreadable = [fault.removeprefix(f"{table.images}/") for fault in rows.unreadable]
    protocol = {**result.protocol, "unreadable": unreadable, **synthetic, **chosen}
    if len(folders) > 1:
        protocol["seeds"] = read_seeds(run)["seeds"]
    if sources:
        protocol["rows_without_outside"] = left_out
    if table.audience != "culture":
        protocol["audience"] = table.audience
    if not has_caption.all():
        protocol["rows_without_caption"] = int((~has_caption).sum())
    return replace(result, protocol=protocol)


def load_run(folder: Path, elsewhere: Elsewhere) -> EmotionModel:
    """Load a model with the features that were made elsewhere, if it was trained on such."""
    model = load_model(folder)
    attach_features(model.encoders[0], elsewhere.features)
    return model


def predict_seeds(
    folders: Sequence[Path],
    table: AnnotationTable,
    cache: Path | None,
    sources: Sequence[OutsidePredictions],
    elsewhere: Elsewhere,
) -> dict[str, np.ndarray]:
    """What the models of several seeds predict for the rows of a table: [seeds, n, k] for each input.

    One model is in memory at a time. Where an input is missing, the predictions mean nothing.
    """
    predictions = []
    for folder in folders:
        _logger.info(f"predicting with {folder.name}")
        model = load_run(folder, elsewhere)
        rows = extract_arrays(table, *model.encoders, model.cultures, cache, sources)
        predictions.append(_predict(model, rows))
    return {name: np.stack([part[name] for part in predictions]) for name in predictions[0]}


def chosen_on(config: Mapping[str, Any], table: AnnotationTable, split: str) -> bool:
    """Whether a model's settings, temperatures and prediction sets were fitted on these rows."""
    return split == "val" and config["data"].get("sha256") == table.provenance.get("sha256")


def with_outside(
    table: AnnotationTable, sources: Sequence[OutsidePredictions]
) -> tuple[AnnotationTable, dict[str, int]]:
    """The rows for which all sources have a prediction, and how many rows each of them lacks.

    Raises:
        TableError: there are no such rows.
    """
    lacks = {source.name: np.isnan(source.find(table)[:, 0]) for source in sources}
    counts = {name: int(mask.sum()) for name, mask in lacks.items()}
    known = ~np.logical_or.reduce([np.zeros(len(table), bool), *lacks.values()])
    if not known.any():
        listed = ", ".join(f"{source.name} ({source.file})" for source in sources)
        raise TableError(
            f"no row of {table.name} has a prediction of {listed}: their {sources[0].key} must be those "
            "of the table"
        )
    return table if known.all() else table.select(known), counts


def evaluate_rows(
    model: EmotionModel,
    rows: AnnotationArrays,
    priors: TrainingPriors,
    split: str,
    n_resamples: int = 1000,
    sets: float | None = None,
    predictions: Mapping[str, np.ndarray] | None = None,
) -> EvaluationResult:
    """Score a model on the rows that have an image, or on all rows if it reads captions only.

    Rows with a partial label are scored apart, in ``extra["partial_labels"]``, see
    :func:`artaffect.metrics.partial.score_partial_labels`.

    Args:
        sets: the level of the prediction sets that are scored, if the model makes any; None for none.
        predictions: of the models of several seeds for ``rows``, [seeds, n, k] for each input; they are
            scored instead, and what only one model has, such as its sets and weights, is left out.

    Raises:
        InputError: the model needs images, and none of the rows has one; or all have partial labels.
    """
    for fault in rows.unreadable:
        _logger.info(f"left out because the image cannot be read: {fault}")
    scored = rows if model.image is None else rows.select(rows.has_image)
    if not len(scored):
        raise InputError(f"no row of split {split!r} has an image, so the model cannot be scored")
    exact = scored.is_exact
    if not exact.any():
        raise InputError(f"every row of split {split!r} has a partial label: none can be scored")
    baseline = priors.baseline.predict_proba(scored.culture_names)
    several = predictions is not None
    if predictions is None:
        predictions = _predict(model, scored)
    elif model.image is not None:
        predictions = select_rows(predictions, rows.has_image)
    pairs = [*PAIRS, *_outside_pairs(predictions, model, scored)]
    extra = {} if several else _extra(model, scored, priors, {"baseline": baseline, **predictions})
    if not exact.all():
        scored, baseline = scored.select(exact), baseline[exact.numpy()]
        predictions = select_rows(predictions, exact)
    result = evaluate_predictions(predictions, scored, n_resamples, baseline=baseline, pairs=pairs)
    protocol = {
        "split": split,
        **result.protocol,
        "rows_without_image": len(rows) - len(scored),
        "unreadable_images": len(rows.unreadable),
        "baseline": "each culture's distribution in the training split",
    }
    scored_sets: dict[str, ByGroup[SetScores]] = {}
    if sets is not None and model.conformal is not None and not several:
        scored_sets = evaluate_sets(model.conformal, predictions, scored, sets)
        protocol["sets"] = {"level": sets, "score": model.conformal.score}
    return replace(result, protocol=protocol, prediction_sets=scored_sets, extra=extra)


def select_rows(predictions: Mapping[str, np.ndarray], mask: torch.Tensor) -> dict[str, np.ndarray]:
    """The predictions [n, k] or [seeds, n, k] of some rows, given their mask: bool [n]."""
    return {name: values[..., mask.numpy(), :] for name, values in predictions.items()}


def _predict(model: EmotionModel, rows: AnnotationArrays) -> dict[str, np.ndarray]:
    """A model's predictions, and those with and of outside sources."""
    predictions = predict_all_inputs(model, rows)
    if name := _name_with_outside(predictions, model, rows):
        predictions[name] = predict_proba(model, rows, outside=True)
    # a source that lacks rows is a missing source there, and cannot be scored beside the others
    return predictions | outside_predictions(rows)


def _name_with_outside(
    predictions: Iterable[str], model: EmotionModel, rows: AnnotationArrays
) -> str | None:
    """The name of the predictions with outside sources; None if the model has none, or the rows."""
    if model.outside_names and set(model.outside_names) <= set(rows.outside_names):
        return with_sources(top_input(predictions), model.outside_names)
    return None


def _outside_pairs(
    predictions: Iterable[str], model: EmotionModel, rows: AnnotationArrays
) -> list[tuple[str, str]]:
    """The models that are to be compared if there are outside sources."""
    top, pairs = top_input(predictions), []
    if name := _name_with_outside(predictions, model, rows):
        pairs = [(name, top), *((name, source) for source in model.outside_names)]
    return [*pairs, *((top, source) for source in rows.outside_names)]


def _extra(
    model: EmotionModel,
    rows: AnnotationArrays,
    priors: TrainingPriors,
    predictions: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """What only some kinds of runs and rows have, as plain JSON."""
    extra: dict[str, Any] = {}
    if model.image is not None and model.image.head.multi_label:
        extra["hamming"] = hamming(model, rows, priors)
    if model.fusion is not None:
        extra["fusion"] = describe_fusion(model.fusion, model.cultures)
    if model.outside is not None:
        extra["outside"] = describe_fusion(model.outside, model.cultures)
    if not rows.is_exact.all():
        extra["partial_labels"] = _partial_scores(predictions, rows)
    return extra


def outside_predictions(rows: AnnotationArrays) -> dict[str, np.ndarray]:
    """What each outside source predicts for rows: [n, k]; without sources that lack some of them."""
    if rows.outside is None:
        return {}
    given = {name: rows.outside[:, i].numpy() for i, name in enumerate(rows.outside_names)}
    return {name: values for name, values in given.items() if np.isfinite(values).all()}


def top_input(models: Iterable[str]) -> str:
    """The most complete of a model's own inputs: ``both``, or the only one that it reads."""
    names = list(models)
    return "both" if "both" in names else names[0]


def with_sources(top: str, names: Iterable[str]) -> str:
    """The name of predictions from a model's own inputs and its outside sources: ``both_with_clip``."""
    return f"{top}_with_{'_'.join(names)}"


def _partial_scores(
    predictions: Mapping[str, np.ndarray], rows: AnnotationArrays
) -> dict[str, Any]:
    """The scores of the rows with partial labels, as plain JSON."""
    partial = ~rows.is_exact.numpy()
    labels, artworks = rows.emotion.numpy()[partial], rows.artwork.numpy()[partial]
    chosen = {name: values[partial] for name, values in predictions.items()}
    scores = score_partial_labels(chosen, labels, rows.candidates, artworks)
    return {
        "rows": int(partial.sum()),
        "artworks": len(np.unique(artworks)),
        "models": {
            model: {metric: asdict(estimate) for metric, estimate in metrics.items()}
            for model, metrics in scores.items()
        },
    }


def evaluate_predictions(
    predictions: Mapping[str, np.ndarray],
    rows: AnnotationArrays,
    n_resamples: int = 1000,
    *,
    baseline: np.ndarray | None = None,
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> EvaluationResult:
    """Score the predictions [n, k] of several models for rows: see :func:`evaluate`."""
    arrays = (rows.emotion.numpy(), rows.culture_names, rows.artwork.numpy())
    result = evaluate(predictions, *arrays, n_resamples, baseline=baseline, pairs=pairs)
    return replace(result, labels=rows.labels.names)


def predict_all_inputs(model: EmotionModel, rows: AnnotationArrays) -> dict[str, np.ndarray]:
    """Distributions [n, k] for every kind of input that the model takes.

    The keys are ``image``, ``caption``, ``both`` and ``both_without_culture``; a model of one modality
    has that one only.
    """
    predictions = {name: predict_proba(model, rows, (name,)) for name in model.modalities}
    if model.fusion is not None:
        predictions["both"] = predict_proba(model, rows)
        if len(model.cultures) > 1:
            predictions["both_without_culture"] = predict_proba(model, rows, culture=0)
    return predictions


def predict_proba(
    model: EmotionModel,
    rows: AnnotationArrays,
    modalities: Sequence[str] = ("image", "caption"),
    culture: int | None = None,
    calibrated: bool = True,
    outside: bool = False,
) -> np.ndarray:
    """A model's distributions for rows: [n, k].

    Args:
        modalities: what the model may use.
        culture: index of the culture to predict for, in the model's order; each row's own if None.
        calibrated: see :meth:`EmotionModel.answer`.
        outside: use the rows' predictions of the model's outside sources, where there are any.
    """
    usable = torch.tensor([[name in modalities for name in ("image", "caption")]])
    parts = [np.zeros((0, len(model.labels)))]
    for start in range(0, len(rows), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        image, caption = rows.image[rows.artwork[chunk]], rows.caption[rows.caption_index[chunk]]
        cultures = rows.culture[chunk]
        if culture is not None:
            cultures = torch.full_like(cultures, culture)
        present = usable.expand(len(cultures), 2)
        given = (image, caption, present, cultures)
        if outside and rows.outside is not None:
            order = [rows.outside_names.index(name) for name in model.outside_names]
            elsewhere = rows.outside[chunk][:, order]
            answer = model.answer_with_outside(*given, elsewhere, calibrated)
        else:
            answer = model.answer(*given, calibrated)
        parts.append(answer[0].numpy())
    return np.concatenate(parts)


def hamming(
    model: EmotionModel, rows: AnnotationArrays, priors: TrainingPriors
) -> dict[str, float]:
    """The metric of the MVIP 2024 paper: the share of correct bits in "did any annotator choose it?".

    Raises:
        ValueError: the model has no multi-label image head.
    """
    if model.image is None or not model.image.head.multi_label:
        raise ValueError("the Hamming accuracy is defined for multi-label image models only")
    votes = rows.votes()[:, 0, : len(rows.labels)]
    voted = votes.sum(1) > 0
    chosen = (votes[voted] > 0).numpy()
    with torch.no_grad():
        logits = model.image.head(rows.image[voted], torch.zeros(len(chosen), dtype=torch.int64))
    constant = np.broadcast_to(priors.chosen_share > 0.5, chosen.shape)
    return {
        "image": hamming_accuracy(chosen, (logits > 0).numpy()),
        "constant_baseline": hamming_accuracy(chosen, constant),
        "artworks": len(chosen),
    }


def describe_fusion(fusion: LinearFusion, cultures: Sequence[str]) -> dict[str, Any]:
    """The weights of a fusion under readable names: culture → source → weight."""
    weight = fusion.weight.detach()
    names = ["any", *cultures] if len(weight) > 1 else ["all"]
    return {
        "form": fusion.form,
        "weights": {
            name: dict(zip(fusion.sources, row.tolist(), strict=True))
            for name, row in zip(names, weight, strict=True)
        },
    }
