"""Compare cultures, and score model folders culture by culture: what ``artaffect report`` shows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import OutsideFiles, OutsidePredictions, read_outside
from artaffect.data.preprocessing import open_image
from artaffect.errors import ImageError, InputError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.labels import LabelSet
from artaffect.metrics.agreement import agreement
from artaffect.metrics.conformal import LEVEL
from artaffect.metrics.distances import distribution_scores
from artaffect.metrics.divergence import MIN_VOTES, DivisiveArtwork, compare_cultures
from artaffect.metrics.evaluation import (
    ByGroup,
    EvaluationResult,
    Reliability,
    culture_gaps,
    for_each_group,
    reliability,
)
from artaffect.metrics.votes import Votes
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config
from artaffect.prediction.evaluation import (
    TrainingPriors,
    chosen_on,
    cross_culture_scores,
    evaluate_predictions,
    evaluate_rows,
    modality_ablation,
    outside_predictions,
    predict_all_inputs,
    predict_proba,
    with_outside,
)
from artaffect.prediction.sets import check_sets
from artaffect.prediction.torch import TorchPredictor
from artaffect.reports.deletion import deletion_tests
from artaffect.reports.findings import unreadable_images
from artaffect.reports.results import (
    ArtworkSummary,
    Calibration,
    Caption,
    CultureReport,
    RunScores,
)

_logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_CAPTIONS = 8
"""Captions of one culture that an artwork's page quotes."""
_MAX_CULTURES = 8
"""With more cultures, only the largest ones predict each other's votes."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report covers."""

    split: str = "test"
    min_votes: int = MIN_VOTES
    """Votes that a culture needs on an artwork to be counted."""
    n_resamples: int = 1000
    """Bootstrap resamples, and permutations."""
    top_k: int = 10
    """Divisive artworks that get a page of their own."""
    explanations: int = 0
    """Artworks on which explanations are put to the deletion test."""
    sets: float | None = None
    """The level of the prediction sets that are scored; ``LEVEL`` if None."""
    outside: OutsideFiles | None = None
    """Files of predictions that were made elsewhere, scored beside the runs."""
    seed: int = 0


@dataclass(frozen=True)
class _Run:
    name: str
    config: Mapping[str, Any]
    model: EmotionModel
    rows: AnnotationArrays

    @property
    def priors(self) -> TrainingPriors:
        return TrainingPriors.from_json(self.config["training_priors"])

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """Kind of input → modalities, for what the model takes."""
        inputs: dict[str, tuple[str, ...]] = {name: (name,) for name in self.model.modalities}
        return inputs | ({"both": ("image", "caption")} if self.model.fusion is not None else {})


def culture_report(
    runs: Sequence[Path],
    table: AnnotationTable,
    name: str,
    options: ReportOptions | None = None,
    cache: Path | None = None,
) -> CultureReport:
    """Compare the cultures of a table, and score model folders on one of its splits.

    All runs are scored on the same rows: those with an image, if any run uses images.

    Args:
        runs: model folders; the others are compared with the first one.
        name: the table's name, for titles.

    Raises:
        InputError: no row of the split can be scored by all runs.
        ModelFolderError: a folder is incomplete or altered.
        TableError: the split has no rows.
    """
    options = options or ReportOptions()
    notes: list[str] = []
    if partial := sum(table.counts_of_partial_labels().values()):
        notes.append(
            f"{partial:,} rows of the table have a partial label, one of several, and are left out: "
            "`artaffect evaluate` scores them."
        )
    table = table.with_exact_labels()
    sources = read_outside(options.outside, LabelSet.from_json(read_config(runs[0])["labels"]))
    part, lacking = with_outside(table.of_split(options.split), sources)
    notes += [
        f"{count:,} rows of the split are left out because {name} has no prediction for them."
        for name, count in lacking.items()
        if count
    ]
    loaded, left_out = _load(runs, part, cache, notes, sources)
    for run in loaded:
        check_sets(options.sets, run.model.conformal)
    rows, labels = loaded[0].rows, loaded[0].model.labels
    table, part = table.with_labels(labels), part.with_labels(labels)
    faults = dict.fromkeys(fault for run in loaded for fault in run.rows.unreadable)
    notes += unreadable_images(list(faults))
    _logger.info("comparing cultures")
    limits = (options.min_votes, options.n_resamples, options.seed, options.top_k)
    divergence = _or_note(lambda: compare_cultures(votes_of(table), *limits), notes)
    votes = votes_of(part)
    if len(votes.cultures) > _MAX_CULTURES:
        notes.append(f"Only the {_MAX_CULTURES} largest cultures predict each other's votes.")
    common = votes.cultures[:_MAX_CULTURES]
    ceilings = _or_note(
        lambda: agreement(votes, options.min_votes, seed=options.seed, cultures=common), notes
    )
    if options.explanations and find_spec("captum") is None:
        notes.append("Explanations are not tested: install artaffect[explain] to test them.")
    divisive = divergence.divisive_artworks if divergence else ()
    scored = [_score(run, options, table, part, notes) for run in loaded]
    return CultureReport(
        table=name,
        split=options.split,
        labels=labels.names,
        synthetic=bool(table.provenance.get("synthetic")),
        rows=len(rows),
        artworks=len(np.unique(rows.artwork.numpy())),
        rows_without_image=left_out,
        divergence=divergence,
        agreement=ceilings,
        notes=notes,
        comparison=_compare(loaded, options),
        runs=scored,
        divisive_artworks=[_summary(artwork, table, loaded[0].model) for artwork in divisive],
        audience=table.audience,
    )


def votes_of(table: AnnotationTable) -> Votes:
    """Count the votes of each culture in a table, without partial labels."""
    table = table.with_exact_labels()
    return Votes.count(
        table.codes("artwork_id"),
        table.codes("culture"),
        table.emotion_codes(),
        table.codes("art_style"),
        table.labels,
        table.codes("annotator")[1],
    )


def _load(
    runs: Sequence[Path],
    part: AnnotationTable,
    cache: Path | None,
    notes: list[str],
    sources: Sequence[OutsidePredictions],
) -> tuple[list[_Run], int]:
    """Models with the rows on which all of them can be scored, and how many lack an image."""
    loaded: list[_Run] = []
    keep = torch.ones(len(part), dtype=torch.bool)
    for name, path in zip(_names(runs), runs, strict=True):
        model = load_model(path)
        if loaded and model.labels.names != loaded[0].model.labels.names:
            raise InputError(
                f"{name} predicts {', '.join(model.labels)}, and {loaded[0].name} predicts "
                f"{', '.join(loaded[0].model.labels)}: only runs with the same labels can be compared"
            )
        labelled = part.with_labels(model.labels)
        rows = extract_arrays(labelled, *model.encoders, model.cultures, cache, sources)
        for fault in rows.unreadable:
            _logger.info(f"left out because the image cannot be read: {fault}")
        loaded.append(_Run(name, read_config(path), model, rows))
        if model.image is not None:
            keep &= rows.has_image
    if not keep.any():
        raise InputError("no row of the split has an image that the runs can use")
    left_out = int((~keep).sum())
    silent = keep & torch.from_numpy(~part.has_caption)
    if silent.any() and any(run.model.caption is not None for run in loaded):
        keep &= ~silent
        notes.append(f"{int(silent.sum()):,} annotations without a caption are not scored.")
    if not keep.any():
        raise InputError("no row of the split has a caption that the runs can use")
    return [replace(run, rows=run.rows.select(keep)) for run in loaded], left_out


def _names(runs: Sequence[Path]) -> list[str]:
    """Folder names, with as much of the path in front as is needed to tell them apart."""
    paths = [run.resolve() for run in runs]
    if len(set(paths)) != len(paths):
        raise InputError(f"a run is given twice: {', '.join(map(str, runs))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def _compare(loaded: Sequence[_Run], options: ReportOptions) -> dict[str, EvaluationResult]:
    first, *others = loaded
    baseline = first.priors.baseline.predict_proba(first.rows.culture_names)
    return {
        kind: evaluate_predictions(
            {run.name: predict_proba(run.model, run.rows, modalities) for run in loaded},
            first.rows,
            options.n_resamples,
            baseline=baseline,
            pairs=[(run.name, first.name) for run in others],
        )
        for kind, modalities in first.inputs.items()
        if all(kind in run.inputs for run in others)
    }


def _score(
    run: _Run,
    options: ReportOptions,
    table: AnnotationTable,
    part: AnnotationTable,
    notes: list[str],
) -> RunScores:
    _logger.info(f"scoring {run.name}")
    model, rows = run.model, run.rows
    seen = chosen_on(run.config, table, options.split)
    sets = None if seen else options.sets or LEVEL
    if seen and model.conformal:
        notes.append(f"{run.name}: prediction sets are not scored on the rows they were fitted on.")
    predictions = predict_all_inputs(model, rows)
    scored = {"baseline": run.priors.baseline.predict_proba(rows.culture_names), **predictions}
    scored |= outside_predictions(rows)
    arrays = (rows.emotion.numpy(), rows.culture_names, rows.artwork.numpy())
    return RunScores(
        name=run.name,
        encoders=run.config["encoders"],
        culture_input=str(run.config["recipe"].get("culture", "unknown")),
        chosen_on_this_split=seen,
        evaluation=evaluate_rows(model, rows, run.priors, options.split, options.n_resamples, sets),
        gaps=culture_gaps(scored, *arrays, options.n_resamples),
        distributions=distribution_scores(scored, *arrays, options.min_votes, rows.labels),
        min_votes=options.min_votes,
        calibration={
            kind: _calibration(run, kind, predictions[kind], options) for kind in run.inputs
        },
        cross_culture=cross_culture_scores(model, rows, options.n_resamples),
        ablation=modality_ablation(model, rows, options.n_resamples, options.seed),
        deletion_tests=deletion_tests(
            TorchPredictor(model), part, options.explanations, options.seed, notes
        ),
    )


def _calibration(
    run: _Run, kind: str, calibrated: np.ndarray, options: ReportOptions
) -> Calibration:
    rows, model = run.rows, run.model
    raw = predict_proba(model, rows, run.inputs[kind], calibrated=False)
    predictions = {"uncalibrated": raw, "calibrated": calibrated}
    pairs = [("calibrated", "uncalibrated")]
    result = evaluate_predictions(predictions, rows, options.n_resamples, pairs=pairs)
    labels = rows.emotion.numpy()

    def bins(probabilities: np.ndarray) -> ByGroup[Reliability]:
        return for_each_group(
            rows.culture_names, lambda mask: reliability(labels[mask], probabilities[mask])
        )

    overall, *others = model.temperature[("image", "caption", "both").index(kind)].tolist()
    return Calibration(
        result["uncalibrated"],
        result["calibrated"],
        result.comparison("calibrated", "uncalibrated"),
        bins(raw),
        bins(calibrated),
        ByGroup(overall, dict(zip(model.cultures, others, strict=True))),
    )


def _or_note(compute: Callable[[], T], notes: list[str]) -> T | None:
    try:
        return compute()
    except InputError as error:
        text = str(error)
        notes.append(f"{text[:1].upper()}{text[1:]}.")
        return None


def _summary(
    divisive: DivisiveArtwork, table: AnnotationTable, model: EmotionModel
) -> ArtworkSummary:
    ids, codes = table.codes("artwork_id")
    index = int(np.flatnonzero(ids == divisive.artwork)[0])
    rows = list(table.select(np.flatnonzero(codes == index)))
    captions: dict[str, list[Caption]] = {}
    for row in rows:
        quoted = captions.setdefault(row.culture, [])
        if len(quoted) < _MAX_CAPTIONS:
            quoted.append(Caption(str(row.emotion), row.caption, row.language))
    image = str(table.images / rows[0].image) if rows[0].image and table.images else None
    fault = None if image else "the table has none"
    predictions: dict[str, Sequence[float]] = {}
    try:
        if image is not None and model.image is not None:
            prediction = TorchPredictor(model).predict(image=Path(image))
            predictions = {p.culture: p.distribution.values for p in prediction}
        elif image is not None:
            open_image(image)
    except ImageError as error:  # broken since it was imported
        _logger.info(f"the page of {divisive.artwork} comes without its image: {error}")
        image, fault = None, str(error)
    return ArtworkSummary(
        artwork=divisive.artwork,
        split=rows[0].split,
        image=image,
        image_fault=fault,
        votes=divisive.votes,
        captions=captions,
        predictions=predictions,
    )
