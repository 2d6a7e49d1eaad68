"""What a user does with artaffect, one function for each task. The command line calls these functions."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artaffect.arguments import (
    OutsideFiles,
    PathLike,
    Table,
    as_table,
    check_results_folder,
    optional_path,
)
from artaffect.errors import InputError
from artaffect.outputs import check_output
from artaffect.runtime import as_list, as_path

if TYPE_CHECKING:
    from artaffect.config import Recipe
    from artaffect.data.preprocessing import ImageSource
    from artaffect.data.splits import Overlap
    from artaffect.explain.explainer import Explanation
    from artaffect.metrics.divergence import CultureComparison
    from artaffect.metrics.evaluation import EvaluationResult
    from artaffect.prediction.predictor import ModelPredictor
    from artaffect.reports.results import CultureReport
    from artaffect.training.reproduction import Reproduction


def train(
    table: Table,
    out: PathLike,
    recipe: "str | os.PathLike[str] | Recipe" = "compact",
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    *,
    sources: str | Sequence[str] | None = None,
    initial: PathLike | None = None,
    outside: OutsideFiles | None = None,
    tracker: str | Sequence[str] | None = None,
    cache: PathLike | None = None,
    overwrite: bool = False,
) -> "ModelPredictor":
    """Train a recipe on the splits ``train`` and ``val``, and write a model folder.

    An interrupted training resumes: call the function again with the same arguments.

    Args:
        out: the model folder to write.
        recipe: the name of a recipe, the path of a TOML file, or a recipe object.
        settings: changes to the recipe, such as ``{"seed": 1, "caption.train.epochs": 20}``.
        sources: the sources of the recipe that are trained, ``image`` or ``caption``; all by default.
        initial: a model to begin with, such as ``starter``: a source that it also has reads its encoder, and
            weighs its answer against that of the head trained here. With few rows the initial model counts
            most, with many the new head. The same as the setting ``initial``.
        outside: predictions that were made elsewhere, such as ``{"clip": "clip.csv"}``: further sources of
            the linear combination, whose weights are fitted on artworks that no source has learned from.
        tracker: experiment trackers that record the run on this machine: ``tensorboard``, ``mlflow``,
            ``wandb`` or ``trackio``, each with its extra. All but Trackio write into the folder ``tracking``
            beside ``out``.
        cache: the folder of the feature cache; the user's cache folder by default.

    Returns:
        The predictor of the new folder; its scores on the validation split are its ``evaluation``.

    Raises:
        TableError: the table lacks a split or images that the recipe needs.
        ConfigError: a setting is unknown or out of range, ``out`` holds another training, or the package of a
            tracker is not installed.
        UnknownNameError: there is no such tracker.
        OutputExistsError: ``out`` exists.
    """
    from artaffect.training.recipes import resolve_recipe
    from artaffect.training.run import train_run

    folder, place = as_path(out, "out"), optional_path(cache, "cache")
    config = resolve_recipe(recipe, settings, sources, initial)
    train_run(as_table(table), config, folder, place, overwrite, outside, tracker)
    return load_predictor(folder)


def evaluate(
    run: PathLike,
    table: Table,
    split: str = "test",
    *,
    out: PathLike | None = None,
    sets: float | None = None,
    outside: OutsideFiles | None = None,
    features: PathLike | None = None,
    cache: PathLike | None = None,
) -> "EvaluationResult":
    """Score a model folder on one split, overall and per culture, beside the prior baseline.

    Args:
        run: a model folder, ``hf:OWNER/MODEL``, or a folder of :func:`train_seeds`, whose mean is scored.
        out: a folder for ``metrics.json`` and ``report.html``.
        sets: the level of the prediction sets that are scored; 0.9 by default.
        outside: predictions made elsewhere, ``{"clip": "clip.csv"}``, scored on the rows that all have.
        features: the file of the image features, for a model that was trained on such a file.

    Raises:
        TableError: the table has no rows in this split.
        InputError: the model needs images and no row has one, or it makes no prediction sets.
    """
    from artaffect.models.hub import resolve_run

    folder, annotations = resolve_run(run), as_table(table)
    target = optional_path(out, "out")
    if target is not None:
        check_results_folder(target, annotations, outside, ("metrics.json", "report.html"))
    from artaffect.data.outside import Elsewhere
    from artaffect.prediction.evaluation import evaluate_run
    from artaffect.reports.evaluation import save_evaluation

    elsewhere = Elsewhere(outside or {}, optional_path(features, "features"))
    place = optional_path(cache, "cache")
    result = evaluate_run(folder, annotations, split, place, sets=sets, elsewhere=elsewhere)
    if target is not None:
        save_evaluation(result, target, folder, split)
    return result


def report(
    runs: PathLike | Sequence[PathLike],
    table: Table,
    out: PathLike = "artaffect-report",
    split: str = "test",
    *,
    min_votes: int = 4,
    artwork_pages: int = 10,
    explanations: int = 8,
    embed_images: bool = False,
    sets: float | None = None,
    outside: OutsideFiles | None = None,
    features: PathLike | None = None,
    cache: PathLike | None = None,
) -> "CultureReport":
    """Compare cultures, and one or several models culture by culture; write HTML, Markdown and JSON.

    Args:
        runs: what :func:`evaluate` takes as a run; the others are compared with the first.
        out: the folder to write.
        min_votes: votes that a culture needs on an artwork to be counted.
        artwork_pages: how many of the most divisive artworks get a page.
        explanations: how many artworks the deletion test explains (extra ``explain``).
        embed_images: copy the images into the pages. Check that their licence allows it.
        sets: the level of the prediction sets that are scored; 0.9 by default.
        outside: predictions that were made elsewhere, as in :func:`evaluate`; likewise ``features``.

    Raises:
        InputError: the runs share no row that all of them can score.
    """
    from artaffect.models.hub import resolve_run
    from artaffect.reports.pages import FILES, save_culture_report

    folders = [resolve_run(run) for run in as_list(runs, "runs")]
    annotations, target = as_table(table), as_path(out, "out")
    check_results_folder(target, annotations, outside, FILES)
    from artaffect.data.outside import Elsewhere
    from artaffect.reports.culture import ReportOptions, culture_report

    options = ReportOptions(
        split,
        min_votes=min_votes,
        top_k=artwork_pages,
        explanations=explanations,
        sets=sets,
        elsewhere=Elsewhere(outside or {}, optional_path(features, "features")),
    )
    result = culture_report(
        folders, annotations, annotations.name, options, optional_path(cache, "cache")
    )
    save_culture_report(result, target, embed_images, annotations.labels)
    return result


def compare_cultures(
    table: Table, min_votes: int = 4, n_permutations: int = 1000, seed: int = 0, top_k: int = 20
) -> "CultureComparison":
    """Test whether cultures read the same artworks differently, beyond what chance explains.

    Where the table has annotator ids, the result also tells what the annotators of each culture agree on.

    Args:
        min_votes: votes that a culture needs on an artwork to be counted.
        top_k: how many of the most divisive artworks are listed.

    Raises:
        InputError: no artwork has enough votes of two cultures.
    """
    from artaffect.reports.culture import compare_table

    return compare_table(as_table(table), min_votes, n_permutations, seed, top_k)


def train_culture_models(
    table: Table,
    out: PathLike,
    recipe: str = "compact",
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    *,
    cache: PathLike | None = None,
) -> list[Path]:
    """Train a recipe in four ways of using the culture, so that :func:`report` can compare them.

    Without culture, with an embedding for each culture, with a head for each, and with fusion
    weights for each. Finished runs in ``out`` are kept. Returns the model folders, the one without
    culture first.
    """
    from artaffect.training import run
    from artaffect.training.recipes import overrides_from

    return run.train_culture_models(
        as_table(table),
        recipe,
        overrides_from(settings),
        as_path(out, "out"),
        optional_path(cache, "cache"),
    )


def reproduce(
    table: "Table | None", out: PathLike, quick: bool = False, *, cache: PathLike | None = None
) -> "Reproduction":
    """Train and score the models of the MVIP 2024 paper beside the recipe ``compact``.

    Args:
        table: the annotations; with ``quick`` it may be None, and synthetic data are used.
        quick: small encoders and few epochs, to see the whole in minutes.

    Raises:
        InputError: neither a table nor ``quick`` was given.
    """
    from artaffect.training import reproduction

    folder = as_path(out, "out")
    if table is None and not quick:
        raise InputError("reproduce needs a table (--data); with quick it can use synthetic data")
    annotations = (
        reproduction.synthetic_table(folder / "data") if table is None else as_table(table)
    )
    return reproduction.reproduce(annotations, folder, quick, optional_path(cache, "cache"))


def load_predictor(
    run: PathLike, revision: str | None = None, *, mapped: bool = False
) -> "ModelPredictor":
    """Open a model for prediction: with ONNX Runtime if it was exported, otherwise with torch.

    Args:
        run: a model folder, ``hf:OWNER/MODEL`` on the hub, or ``starter``, which comes with artaffect.
        revision: a branch, tag or commit of the model on the hub.
        mapped: start faster by leaving the table of tokens in its file, which must not change meanwhile.

    Raises:
        ModelFolderError: the folder is missing, incomplete or altered.
    """
    from artaffect.prediction import predictor

    def load_torch(folder: Path) -> "ModelPredictor":
        from artaffect.explain.explainer import ExplainingPredictor

        return ExplainingPredictor.load(folder, mapped)

    return predictor.load_predictor(run, revision, load_torch)


def explain_prediction(
    run: "PathLike | ModelPredictor",
    image: "ImageSource | None" = None,
    caption: str | None = None,
    language: str | None = None,
    cultures: str | Sequence[str] | None = None,
    *,
    emotion: str | None = None,
    table: "Table | None" = None,
    out: PathLike | None = None,
    check: bool = True,
    cache: PathLike | None = None,
) -> "Explanation":
    """Explain a prediction by image regions, words and similar artworks.

    Args:
        run: a model folder, ``hf:OWNER/MODEL``, or an open predictor.
        emotion: the emotion to explain; the most likely one of each culture by default.
        table: the table the model was trained on, to show the most similar training artworks.
        out: write the explanation to this HTML page.
        check: put the explanation to the deletion test, which takes most of the time.

    Raises:
        InputError: the model was exported to ONNX, or nothing was given that it uses.
    """
    annotations = None if table is None else as_table(table)
    target = optional_path(out, "out")
    if target is not None:
        inputs = [] if annotations is None else annotations.sources
        check_output(target, [image, *inputs] if isinstance(image, str | os.PathLike) else inputs)
    from artaffect.explain.explainer import Explainer
    from artaffect.explain.neighbours import NearestArtworks
    from artaffect.prediction.predictor import ModelPredictor, PredictionInput
    from artaffect.reports.explanation import save_explanation

    predictor = run if isinstance(run, ModelPredictor) else load_predictor(run, mapped=True)
    item = PredictionInput(image, caption, language, cultures)
    explainer = Explainer(predictor, show_progress=True)
    source = explainer.model.image
    if annotations is not None and image is not None and source is not None:
        image_source = (source.encoder, source.head)
        explainer.artworks = NearestArtworks(
            annotations, *image_source, optional_path(cache, "cache")
        )
    explanation = explainer.explain(item, emotion, check=check)
    if target is not None:
        save_explanation(explanation, item, target, predictor.description)
    return explanation


def export_onnx(
    run: PathLike, out: PathLike, int8: bool = False, *, overwrite: bool = False
) -> "ModelPredictor":
    """Export a model to ONNX, so that it predicts without torch. The result is checked before saving.

    Args:
        int8: quantise the text encoder to eight bits: smaller and faster, slightly inexact.

    Returns:
        The predictor of the new folder.

    Raises:
        ExportError: the exported model does not predict as the original does.
    """
    from artaffect.prediction import export

    export.export_onnx(run, out, int8, overwrite)
    return load_predictor(out)


def push_to_hub(
    run: PathLike, repository: str, private: bool = False, synthetic: bool = False
) -> str:
    """Upload a model folder to the Hugging Face hub as ``OWNER/MODEL``; returns its address.

    A model that learned from synthetic data is refused unless ``synthetic`` is true.
    """
    from artaffect.models.hub import push_folder, resolve_run

    return push_folder(resolve_run(run), repository, private, synthetic)


def write_sample(
    out: PathLike,
    artworks: int = 480,
    seed: int = 0,
    *,
    captions_per_culture: int = 4,
    overwrite: bool = False,
) -> Path:
    """Write a synthetic data set in ArtELingo's layout, whose best possible scores are known.

    Returns:
        The CSV file, for :func:`artaffect.read_artelingo`; the images are in ``wikiart`` beside it.
    """
    from artaffect.data.sample import write

    folder = as_path(out, "out")
    return write.write_sample(folder, artworks, seed, overwrite, captions=captions_per_culture)


def find_overlap(table: Table, other: Table) -> "Overlap":
    """Find the artworks that two tables share, so that no model is tested on what it was trained on."""
    from artaffect.data.splits import shared_artworks

    return shared_artworks(as_table(table), as_table(other))


def write_croissant(
    table: Table, out: PathLike, about: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Write the metadata of a saved table in Croissant, the format of MLCommons, with responsible-AI fields.

    What they say follows from the table; the data set's paper is cited if it is known.

    Args:
        table: a table that was read from a file, or the path of one.
        about: what the table does not tell: ``license``, ``url``, ``creator``, ``citation``, ``published``
            (a date) and ``version``.

    Returns:
        The metadata, which are JSON-LD.

    Raises:
        InputError: the table is no file, or a name in ``about`` is unknown.
    """
    from artaffect.data import croissant

    target, publication = as_path(out, "out"), croissant.publication_of(about or {})
    return croissant.write_croissant(as_table(table), target, publication)
