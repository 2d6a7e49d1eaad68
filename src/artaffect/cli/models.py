"""Commands about models: demo, train, reproduce, evaluate, report, cultures, predict, encoders, labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from artaffect import api, experiments
from artaffect.cli import checks, options
from artaffect.cli.show import (
    print_encoders,
    print_json,
    print_label_sets,
    print_prediction,
    show,
    show_scores,
)
from artaffect.labels import label_sets
from artaffect.outputs import check_free, check_output_folder
from artaffect.runtime import printable, say

if TYPE_CHECKING:
    from artaffect.reports.results import CultureReport

MinVotes = Annotated[
    int, Option("--least", min=2, help="Votes that a culture needs on an artwork to be counted.")
]
ArtworkPages = Annotated[
    int, Option("--paintings", min=0, help="How many divisive artworks get a page of their own.")
]
Explanations = Annotated[
    int,
    Option(
        min=0, help="Artworks whose explanations are put to the deletion test (extra: explain)."
    ),
]
EmbedImages = Annotated[
    bool,
    Option(
        "--embed-images", help="Copy the images into the pages. Check that their licence allows it."
    ),
]


def demo(
    out: Annotated[Path, Option(help="The folder to create.")] = Path("artaffect-demo"),
    artworks: Annotated[
        int, Option("--paintings", min=36, help="How many artworks to draw.")
    ] = 480,
    cache: options.Cache = None,
) -> None:
    """Generate synthetic data, train, report, and predict for a new artwork. Needs no data or network.

    An older demo in the same folder is replaced.
    """
    from artaffect.cli.demo import run_demo

    run_demo(out, artworks, cache)


def train(
    data: options.Data,
    out: Annotated[Path, Option(help="The model folder to write.")],
    recipe: options.RecipeName = "compact",
    settings: options.Settings = None,
    seeds: Annotated[
        int | None,
        Option(
            min=2,
            help="Train with this many seeds, from the recipe's one upwards, in a folder of runs that "
            "evaluate and report take as one.",
        ),
    ] = None,
    cache: options.Cache = None,
    source: options.Sources = None,
    init: options.Init = None,
    with_: options.With = None,
    tracker: Annotated[
        list[str] | None,
        Option(
            help="Record the run with tensorboard, mlflow, wandb or trackio, each with its extra; repeatable."
        ),
    ] = None,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Train a model for image, caption and both, and score it on the validation split.

    An interrupted training resumes: run the same command again.
    """
    from artaffect.config import Recipe, load_recipe
    from artaffect.data.outside import parse_outside
    from artaffect.models.folder import CHECKSUMS
    from artaffect.training.trackers import check_trackers

    check_trackers(tracker)
    outside = parse_outside(with_ or [])
    load_recipe(recipe, Recipe, settings or ())  # raises without the imports of a training
    if init is not None or source:
        from artaffect.training.recipes import resolve_recipe

        resolve_recipe(recipe, settings, source, init)
    if init is not None:
        checks.check_run(init)
    if seeds is None:
        check_free(out, CHECKSUMS, overwrite, [data, *filter(os.path.isfile, [recipe])])
    table = checks.load_table(data, images, "train", "val", culture_column=culture_column)
    from artaffect.reports.evaluation import print_result

    common: dict[str, Any] = {
        "sources": source,
        "initial": init,
        "outside": outside,
        "tracker": tracker,
        "cache": cache,
        "overwrite": overwrite,
    }
    if seeds is None:
        result = api.train(table, out, recipe, settings, **common).evaluation
    else:
        result = experiments.train_seeds(table, out, seeds, recipe, settings, **common)
    show(result, as_json, print_result)
    say(f"{'model folder' if seeds is None else 'runs'}: {out}; report: {out / 'report.html'}")


def reproduce(
    out: Annotated[Path, Option(help="The folder for runs, tables and the page.")],
    data: Annotated[
        Path | None, Option(help="A table made by `artaffect import`; optional with --quick.")
    ] = None,
    quick: Annotated[
        bool, Option("--quick", help="Small encoders, few epochs; synthetic data without --data.")
    ] = False,
    plan: Annotated[
        bool,
        Option(
            "--plan",
            help="Only print what each stage would take on this machine: rows, steps, memory, hours.",
        ),
    ] = False,
    images: options.ImageFolder = None,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Train the MVIP 2024 paper's models and print its tables beside honest ones.

    Three image models, the text model, both combined, and the recipe compact. Finished runs in --out
    are kept, and an interrupted one resumes from its checkpoint. With --plan, a few steps of each are
    measured, and nothing is written.
    """
    files = ("tables.md", "report.html", "results.json")
    check_output_folder(out, [] if data is None else [data], files)
    table = None if data is None else checks.load_table(data, images, "train", "val", "test")
    from artaffect.reports.evaluation import print_tables

    if plan:
        planned = experiments.plan_reproduction(table, out, quick)
        show(planned, as_json, lambda planned: print_tables(planned.tables()))
        say(*planned.notes())
        return
    result = api.reproduce(table, out, quick, cache=cache)
    show(result, as_json, lambda result: print_tables(result.tables()))
    say(*result.no_better)
    say(f"tables: {out / 'tables.md'}; training curves: {out / 'report.html'}")


def evaluate(
    run: options.Run,
    data: options.Data,
    split: options.Split = "test",
    out: Annotated[
        Path | None,
        Option(help="The folder for metrics.json and report.html. Default: they are not written."),
    ] = None,
    sets: options.ScoredSets = None,
    with_: options.With = None,
    features: options.Features = None,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    cache: options.Cache = None,
    output: options.ScoreFormat = options.Format.TEXT,
    as_json: options.Json = False,
) -> None:
    """Score a model on one split, overall and per culture, beside the baseline."""
    from artaffect.data.outside import parse_outside

    outside = parse_outside(with_ or [])
    checks.check_scored(run, sets)
    table = checks.load_table(data, images, split, culture_column=culture_column)
    from artaffect.reports.evaluation import print_result

    result = api.evaluate(
        run, table, split, out=out, sets=sets, outside=outside, features=features, cache=cache
    )
    from artaffect.reports.label_tables import all_tables

    output = options.Format.JSON if as_json else output
    show_scores(result, output, print_result, all_tables)
    say("--out FOLDER writes the report" if out is None else f"report: {out / 'report.html'}")


def report(
    runs: Annotated[
        list[str],
        Argument(metavar="RUN…", help="Model folders, hf:OWNER/MODEL on the hub, or starter."),
    ],
    data: options.Data,
    out: Annotated[Path, Option(help="The folder to write.")] = Path("artaffect-report"),
    split: options.Split = "test",
    min_votes: MinVotes = 4,
    artwork_pages: ArtworkPages = 10,
    explanations: Explanations = 8,
    embed_images: EmbedImages = False,
    sets: options.ScoredSets = None,
    with_: options.With = None,
    features: options.Features = None,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    cache: options.Cache = None,
    output: options.ScoreFormat = options.Format.TEXT,
    as_json: options.Json = False,
) -> None:
    """Compare cultures, and one or several models culture by culture.

    Do cultures read an artwork differently beyond chance, how far do annotators agree, what does the
    image add, which culture is served worst, is confidence earned, do explanations hold? The answers
    are written as one HTML page, Markdown and JSON, with a page for each of the most divisive
    artworks. The other runs are compared with the first.
    """
    from artaffect.data.outside import parse_outside

    outside = parse_outside(with_ or [])
    for run in runs:
        checks.check_scored(run, sets)
    table = checks.load_table(data, images, split, culture_column=culture_column)
    from artaffect.reports.culture_tables import report_tables
    from artaffect.reports.findings import findings

    result = api.report(
        runs,
        table,
        out,
        split,
        min_votes=min_votes,
        artwork_pages=artwork_pages,
        explanations=explanations,
        embed_images=embed_images,
        sets=sets,
        outside=outside,
        features=features,
        cache=cache,
    )

    def print_findings(result: CultureReport) -> None:
        for line in (*result.notes, *findings(result)):
            typer.echo(f"- {printable(line)}")

    output = options.Format.JSON if as_json else output
    show_scores(result, output, print_findings, report_tables)
    say(f"report: {out / 'report.html'}")


def cultures(
    data: options.Data,
    out: Annotated[Path, Option(help="The folder for runs and report.")],
    recipe: options.RecipeName = "compact",
    settings: options.Settings = None,
    split: options.Split = "test",
    min_votes: MinVotes = 4,
    artwork_pages: ArtworkPages = 10,
    explanations: Explanations = 8,
    embed_images: EmbedImages = False,
    images: options.ImageFolder = None,
    culture_column: options.CultureColumn = None,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Find out whether knowing the culture helps: train a recipe in four ways, and compare them.

    Without culture, with an embedding for each culture, with a head for each, and with fusion weights
    for each. Finished runs in --out are kept.
    """
    from artaffect.config import Recipe, load_recipe

    load_recipe(recipe, Recipe, settings or ())
    check_output_folder(out, [data])
    table = checks.load_table(data, images, "train", "val", split, culture_column=culture_column)
    runs = api.train_culture_models(table, out / "runs", recipe, settings, cache=cache)
    pages = (min_votes, artwork_pages, explanations, embed_images)
    report(
        [str(run) for run in runs],
        data,
        out,
        split,
        *pages,
        images=images,
        culture_column=culture_column,
        cache=cache,
        as_json=as_json,
    )


def predict(
    run: options.Run,
    image: options.Image = None,
    caption: options.Caption = None,
    language: options.Language = None,
    culture: options.Culture = None,
    new_culture: options.NewCulture = False,
    sets: options.Sets = None,
    with_: options.WithOne = None,
    as_json: options.Json = False,
) -> None:
    """Predict which emotion an artwork evokes in each culture, from an image, a caption or both."""
    outside = {}
    if with_:  # importing the readers of tables would slow down every other prediction
        from artaffect.data.outside import parse_outside

        outside = parse_outside(with_)
    checks.check_cultures(run, culture, new_culture)
    checks.check_sets(run, sets)
    checks.check_artwork(image, caption, language)
    about = (image, caption, language, culture or None, sets)
    predictor = api.load_predictor(run, mapped=True)
    prediction = predictor.predict(*about, outside or None)
    show(prediction, as_json, print_prediction)


def labels(as_json: options.Json = False) -> None:
    """List the label sets that have a name here."""
    if as_json:
        print_json({name: labels.to_json() for name, labels in label_sets().items()})
    else:
        print_label_sets(label_sets())


def encoders(as_json: options.Json = False) -> None:
    """List the encoders that have a name here, and which of them need no network."""
    from artaffect.models.encoder_list import list_encoders

    show(list_encoders(), as_json, print_encoders)
