"""Score model folders public by public: what ``artaffect report`` shows."""

import base64
import io
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.data.preprocessing import open_image
from artaffect.errors import InputError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.labels import ANY_CULTURE
from artaffect.metrics.agreement import agreement
from artaffect.metrics.divergence import MIN_VOTES, DivisiveArtwork, compare_publics
from artaffect.metrics.evaluation import EvaluationResult, evaluate, reliability
from artaffect.metrics.histograms import distribution_scores
from artaffect.metrics.votes import Votes
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import read_config
from artaffect.prediction.evaluation import (
    TrainingPriors,
    evaluate_rows,
    predict_all_inputs,
    predict_proba,
)
from artaffect.prediction.torch import TorchPredictor
from artaffect.report.results import ArtworkPage, CulturalReport, RunScores, gaps

_logger = logging.getLogger(__name__)

T = TypeVar("T")

_CAPTIONS_SHOWN = 8
_EMBEDDED_SIDE = 640
"""Pixels of the longer side of a picture that is put into a page."""
_MANY = 8
"""Cultures above which readers are not set against each other one by one."""


@dataclass(frozen=True)
class ReportOptions:
    """What a report looks at."""

    split: str = "test"
    least: int = MIN_VOTES
    """Votes of a culture on a painting below which it is not counted."""
    n_resamples: int = 1000
    """Permutations, and bootstrap n_resamples."""
    shown: int = 10
    """Divisive paintings that get a page."""
    seed: int = 0


@dataclass(frozen=True)
class _Run:
    name: str
    path: Path
    model: EmotionModel
    rows: AnnotationArrays


def cultural_report(
    runs: Sequence[Path],
    table: AnnotationTable,
    name: str,
    options: ReportOptions | None = None,
    cache: Path | None = None,
) -> CulturalReport:
    """Compare the publics of a table, and score model folders on one of its splits.

    All runs are scored on the same rows: those with a picture, where any run looks at pictures.

    Args:
        runs: model folders; the first one is what the others are compared with.
        name: the table's name, for titles.

    Raises:
        InputError: no row of the split can be scored by all runs.
        ModelFolderError: a folder is incomplete or altered.
        TableError: the split has no rows.
    """
    options = options or ReportOptions()
    part = table.of_split(options.split)
    notes: list[str] = []
    loaded, left_out = _load(runs, part, cache)
    rows = loaded[0].rows
    divergence = _or_note(
        lambda: compare_publics(
            votes_of(table), options.least, options.n_resamples, options.seed, options.shown
        ),
        notes,
    )
    votes = votes_of(part)
    common = votes.cultures[:_MANY]
    if len(votes.cultures) > _MANY:
        notes.append(f"Readers are set against each other for the {_MANY} largest publics only.")
    ceiling = _or_note(
        lambda: agreement(votes, options.least, seed=options.seed, cultures=common), notes
    )
    found = []
    for run in loaded:
        _logger.info(f"scoring {run.name}")
        found.append(_score(run, options, table))
    return CulturalReport(
        table=name,
        split=options.split,
        rows=len(rows),
        artworks=len(np.unique(rows.artwork.numpy())),
        left_out=left_out,
        divergence=divergence,
        agreement=ceiling,
        notes=notes,
        comparison=_compare(loaded, options),
        runs=found,
        paintings=[
            _page(painting, table, loaded[0].model)
            for painting in (divergence.paintings if divergence else ())
        ],
    )


def votes_of(table: AnnotationTable) -> Votes:
    """Count the votes of a table's publics."""
    return Votes.count(
        table.codes("artwork_id"),
        table.codes("culture"),
        table.emotion_codes(),
        table.codes("art_style"),
    )


def picture_addresses(report: CulturalReport, folder: Path, embed: bool = False) -> dict[str, str]:
    """Where the pages of a report find the pictures of their paintings.

    Args:
        folder: in which the pages stand.
        embed: as a small copy inside the page, instead of the file where it is. Whether that is
            allowed is a question of the pictures' licence.

    Raises:
        ImageError: a picture that is to be embedded cannot be read.
    """
    found = {}
    for painting in report.paintings:
        if painting.image is None:
            continue
        if embed:
            small = open_image(Path(painting.image))
            small.thumbnail((_EMBEDDED_SIDE, _EMBEDDED_SIDE))
            buffer = io.BytesIO()
            small.save(buffer, "JPEG", quality=85)
            address = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        else:
            address = quote(Path(os.path.relpath(painting.image, folder.resolve())).as_posix())
        found[painting.artwork] = address
    return found


def shuffled_pictures(rows: AnnotationArrays, seed: int) -> AnnotationArrays:
    """The same captions, each painting with another painting's picture."""
    pictured = torch.nonzero(rows.artwork_has_image).squeeze(1)
    order = pictured[torch.from_numpy(np.random.default_rng(seed).permutation(len(pictured)))]
    image = rows.image.clone()
    # a cycle through a random order: no painting keeps its own
    image[order] = rows.image[order.roll(1)]
    return replace(rows, image=image)


def image_contribution(
    model: EmotionModel, rows: AnnotationArrays, options: ReportOptions
) -> EvaluationResult | None:
    """What the image adds to the caption, public by public; None for a model of one modality.

    ``caption`` is the caption model by itself; ``both, image left out`` is what the combination
    makes of the caption alone.
    """
    if model.fusion is None or model.caption is None:
        return None
    alone = EmotionModel(None, model.caption, None, model.cultures, model.languages)
    alone.temperature.copy_(model.temperature)
    said = {
        "image": predict_proba(model, rows, ("image",)),
        "caption": predict_proba(alone, rows, ("caption",)),
        "both": predict_proba(model, rows),
        "both, image shuffled": predict_proba(model, shuffled_pictures(rows, options.seed)),
        "both, image left out": predict_proba(model, rows, ("caption",)),
        "both, caption left out": predict_proba(model, rows, ("image",)),
    }
    pairs = [(name, "caption") for name in said if name.startswith("both")]
    pairs += [("both", "both, image shuffled"), ("both", "image")]
    return _evaluate(said, rows, options, pairs, "both")


def _load(
    runs: Sequence[Path], part: AnnotationTable, cache: Path | None
) -> tuple[list[_Run], int]:
    """Models with the features of the rows that all of them can be scored on."""
    names = _names(runs)
    loaded = []
    for name, path in zip(names, runs, strict=True):
        model = load_model(path)
        rows = extract_arrays(part, *model.encoders, model.cultures, cache)
        for fault in rows.unreadable:
            _logger.info(f"left out, picture cannot be read: {fault}")
        loaded.append(_Run(name, path, model, rows))
    keep = torch.ones(len(part), dtype=torch.bool)
    for run in loaded:
        if run.model.image is not None:
            keep &= run.rows.has_image
    if not keep.any():
        raise InputError("no row of the split has a picture that the runs could look at")
    return [replace(run, rows=run.rows.select(keep)) for run in loaded], int((~keep).sum())


def _names(runs: Sequence[Path]) -> list[str]:
    """Folder names; with as much of the path before them as tells them apart."""
    paths = [run.resolve() for run in runs]
    if len(set(paths)) != len(paths):
        raise InputError(f"a run is named twice: {', '.join(map(str, runs))}")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def _compare(loaded: Sequence[_Run], options: ReportOptions) -> dict[str, EvaluationResult]:
    """The runs side by side, for every kind of input that all of them take."""
    first, *others = [run.name for run in loaded]
    pairs = [(other, first) for other in others]
    rows = loaded[0].rows
    priors = TrainingPriors.from_json(read_config(loaded[0].path)["training_priors"])
    baseline = {"baseline": priors.baseline.predict_proba(rows.culture_names)}
    found = {}
    for kind, shown in _pieces(loaded[0].model).items():
        if all(kind in _pieces(run.model) for run in loaded):
            said = baseline | {
                run.name: predict_proba(run.model, run.rows, shown) for run in loaded
            }
            found[kind] = _evaluate(said, rows, options, pairs, first)
    return found


def _score(run: _Run, options: ReportOptions, table: AnnotationTable) -> RunScores:
    model, rows = run.model, run.rows
    config = read_config(run.path)
    priors = TrainingPriors.from_json(config["training_priors"])
    said = {
        "baseline": priors.baseline.predict_proba(rows.culture_names),
        **predict_all_inputs(model, rows),
    }
    labels = (rows.emotion.numpy(), rows.culture_names, rows.artwork.numpy())
    pieces = _pieces(model)
    raw = {
        name: predict_proba(model, rows, shown, calibrated=False) for name, shown in pieces.items()
    }
    last = list(raw)[-1]
    groups = {"overall": np.ones(len(rows), bool)}
    groups |= {c: rows.culture_names == c for c in sorted(set(rows.culture_names.tolist()))}
    return RunScores(
        name=run.name,
        encoders=config["encoders"],
        culture_input=str(config["recipe"]["culture"]),
        chosen_on_this_split=options.split == "val"
        and config["data"].get("sha256") == table.provenance.get("sha256"),
        evaluation=evaluate_rows(model, rows, priors, options.split, options.n_resamples),
        gaps=gaps(said, *labels, options.n_resamples),
        distributions=distribution_scores(said, *labels, options.least),
        least=options.least,
        calibration=_evaluate(
            {
                f"{name}, {how}": answer[name]
                for name in raw
                for how, answer in (("as trained", raw), ("calibrated", said))
            },
            rows,
            options,
            [(f"{name}, calibrated", f"{name}, as trained") for name in raw],
            f"{last}, calibrated",
        ),
        reliability={
            how: {g: reliability(labels[0][mine], answer[mine]) for g, mine in groups.items()}
            for how, answer in (("as trained", raw[last]), ("calibrated", said[last]))
        },
        temperatures={
            name: {
                culture: float(model.temperature[place, c])
                for c, culture in enumerate((ANY_CULTURE, *model.cultures))
            }
            for place, name in enumerate(("image", "caption", "both"))
            if name in raw
        },
        heads=_heads(model, rows, options),
        contribution=image_contribution(model, rows, options),
    )


def _pieces(model: EmotionModel) -> dict[str, tuple[str, ...]]:
    """Kind of input → what the model is shown."""
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in model.modalities}
    if model.fusion is not None:
        found["both"] = ("image", "caption")
    return found


def _heads(
    model: EmotionModel, rows: AnnotationArrays, options: ReportOptions
) -> EvaluationResult | None:
    """Each culture's answers on the labels of all cultures."""
    if len(model.cultures) < 2:
        return None
    said = {
        f"asked for {name}": predict_proba(model, rows, culture=place)
        for place, name in enumerate((ANY_CULTURE, *model.cultures))
    }
    return _evaluate(said, rows, options, [], f"asked for {ANY_CULTURE}")


def _evaluate(
    said: Mapping[str, np.ndarray],
    rows: AnnotationArrays,
    options: ReportOptions,
    pairs: Sequence[tuple[str, str]],
    shown: str,
) -> EvaluationResult:
    return evaluate(
        said,
        rows.emotion.numpy(),
        rows.culture_names,
        rows.artwork.numpy(),
        options.n_resamples,
        pairs=pairs,
        shown=shown,
    )


def _or_note(compute: Callable[[], T], notes: list[str]) -> T | None:
    """What is found, or why nothing could be."""
    try:
        return compute()
    except InputError as error:
        text = str(error)
        notes.append(f"{text[:1].upper()}{text[1:]}.")
        return None


def _page(painting: DivisiveArtwork, table: AnnotationTable, model: EmotionModel) -> ArtworkPage:
    ids, codes = table.codes("artwork_id")
    mine = table.select(np.flatnonzero(codes == int(np.flatnonzero(ids == painting.artwork)[0])))
    captions: dict[str, list[tuple[str, str, str]]] = {}
    for row in mine:
        shown = captions.setdefault(row.culture, [])
        if len(shown) < _CAPTIONS_SHOWN:
            shown.append((str(row.emotion), row.caption, row.language))
    first = next(iter(mine))
    image = str(table.images / first.image) if first.image and table.images else None
    answered: dict[str, Sequence[float]] = {}
    if image is not None and model.image is not None:
        seen = TorchPredictor(model).predict(image=Path(image))
        answered = {reading.culture: reading.distribution.values for reading in seen.by_culture}
    return ArtworkPage(
        artwork=painting.artwork,
        split=first.split,
        image=image,
        votes=painting.votes,
        captions=captions,
        answers=answered,
    )
