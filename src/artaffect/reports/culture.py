"""Compare cultures, and score model folders culture by culture: what ``artaffect report`` shows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import Elsewhere, read_outside
from artaffect.data.preprocessing import open_image
from artaffect.errors import ImageError, InputError
from artaffect.features import AnnotationArrays
from artaffect.labels import LabelSet
from artaffect.metrics.agreement import agreement
from artaffect.metrics.annotators import (
    AnnotatorAgreement,
    annotator_agreement,
    perspectivist_scores,
    soft_scores,
)
from artaffect.metrics.conformal import LEVEL
from artaffect.metrics.distances import distribution_scores
from artaffect.metrics.divergence import (
    MIN_VOTES,
    CultureComparison,
    DivisiveArtwork,
    compare_cultures,
)
from artaffect.metrics.evaluation import (
    ByGroup,
    Reliability,
    culture_gaps,
    for_each_group,
    reliability,
)
from artaffect.metrics.votes import Votes
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config, seed_folders
from artaffect.prediction.ablation import cross_culture_scores, modality_ablation
from artaffect.prediction.evaluation import (
    chosen_on,
    evaluate_predictions,
    evaluate_rows,
    outside_predictions,
    predict_all_inputs,
    predict_proba,
    with_outside,
)
from artaffect.prediction.sets import check_sets
from artaffect.prediction.torch import TorchPredictor
from artaffect.reports.comparison import LoadedRun, compare_runs, load_runs
from artaffect.reports.deletion import deletion_tests
from artaffect.reports.findings import unreadable_images
from artaffect.reports.results import (
    ArtworkSummary,
    Calibration,
    Caption,
    CultureReport,
    Disagreement,
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
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    """Predictions and features that were made elsewhere."""
    seed: int = 0


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
    sources = read_outside(
        options.elsewhere.outside,
        LabelSet.from_json(read_config(seed_folders(runs[0])[0])["labels"]),
    )
    part, lacking = with_outside(table.of_split(options.split), sources)
    notes += [
        f"{count:,} rows of the split are left out because {name} has no prediction for them."
        for name, count in lacking.items()
        if count
    ]
    loaded, left_out = load_runs(runs, part, cache, notes, sources, options.elsewhere.features)
    for run in loaded:
        check_sets(options.sets, run.model.conformal)
    rows, labels = loaded[0].rows, loaded[0].model.labels
    table, part = table.with_labels(labels), part.with_labels(labels)
    faults = dict.fromkeys(fault for run in loaded for fault in run.rows.unreadable)
    notes += unreadable_images(list(faults))
    _logger.info("comparing cultures")
    limits = (options.min_votes, options.n_resamples, options.seed, options.top_k)
    divergence = _or_note(lambda: compare_table(table, *limits), notes)
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
        comparison=compare_runs(loaded, options.n_resamples),
        runs=scored,
        divisive_artworks=[_summary(artwork, table, loaded[0].model) for artwork in divisive],
        audience=table.audience,
        annotators=divergence.annotators if divergence else annotators_of(table),
    )


def compare_table(
    table: AnnotationTable, min_votes: int, n_permutations: int, seed: int, top_k: int
) -> CultureComparison:
    """Compare the cultures of a table; where it has annotator ids, also say what annotators agree on.

    The arguments and errors are those of :func:`artaffect.metrics.divergence.compare_cultures`.
    """
    result = compare_cultures(votes_of(table), min_votes, n_permutations, seed, top_k)
    return replace(result, annotators=annotators_of(table))


def annotators_of(table: AnnotationTable) -> ByGroup[AnnotatorAgreement] | None:
    """The agreement of the annotators of a table, without partial labels; None if it has no ids."""
    table = table.with_exact_labels()
    names, culture = table.codes("culture")
    columns = (table.codes("artwork_id")[1], table.codes("annotator")[1])
    cultures = names[culture].astype(str)
    return annotator_agreement(table.emotion_codes(), cultures, *columns, len(table.labels))


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


def _score(
    run: LoadedRun,
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
    baseline = run.priors.baseline.predict_proba(rows.culture_names)
    evaluation = evaluate_rows(
        model, rows, run.priors, options.split, options.n_resamples, sets, run.by_seed
    )
    first = predict_all_inputs(model, rows)
    scored = {"baseline": baseline, **first, **outside_predictions(rows)}
    if run.by_seed is not None:
        protocol = {**evaluation.protocol, "seeds": run.seeds}
        evaluation = replace(evaluation, protocol=protocol)
        notes.append(
            f"{run.name}: scores and differences are those of {len(run.seeds)} seeds; calibration, votes, "
            f"ablation, explanations and pages of artworks are those of the first, seed {run.seeds[0]}."
        )
    arrays = (rows.emotion.numpy(), rows.culture_names, rows.artwork.numpy())
    return RunScores(
        name=run.name,
        encoders=run.config["encoders"],
        culture_input=str(run.config["recipe"].get("culture", "unknown")),
        chosen_on_this_split=seen,
        evaluation=evaluation,
        gaps=culture_gaps({**scored, **(run.by_seed or {})}, *arrays, options.n_resamples),
        distributions=distribution_scores(scored, *arrays, options.min_votes, rows.labels),
        disagreement=_disagreement(scored, *arrays, rows),
        min_votes=options.min_votes,
        calibration={kind: _calibration(run, kind, first[kind], options) for kind in run.inputs},
        cross_culture=cross_culture_scores(model, rows, options.n_resamples),
        ablation=modality_ablation(model, rows, options.n_resamples, options.seed),
        deletion_tests=deletion_tests(
            TorchPredictor(model), part, options.explanations, options.seed, notes
        ),
    )


def _disagreement(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    rows: AnnotationArrays,
) -> Disagreement | None:
    """The evaluations of learning with disagreements; None if the rows have no annotator ids."""
    assert rows.annotator is not None  # of a table
    perspectivist = perspectivist_scores(predictions, labels, cultures, rows.annotator)
    if not perspectivist:
        return None
    soft = soft_scores(predictions, labels, cultures, artworks, rows.labels)
    return Disagreement(soft, perspectivist)


def _calibration(
    run: LoadedRun, kind: str, calibrated: np.ndarray, options: ReportOptions
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
        if image is not None and model.image is not None and model.image.encoder.reads_images:
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
