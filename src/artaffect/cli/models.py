"""Commands about models: demo, train, reproduce, evaluate, report, cultures, predict, encoders."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from artaffect.cli.options import (
    AsJson,
    Cache,
    Caption,
    Culture,
    Data,
    Image,
    Language,
    Overwrite,
    RecipeName,
    Run,
    Settings,
    Split,
)

if TYPE_CHECKING:
    from artaffect.metrics.evaluation import EvaluationResult
    from artaffect.reports.results import CultureReport

MinVotes = Annotated[
    int,
    typer.Option("--least", min=2, help="Votes that a culture needs on an artwork to be counted."),
]
ArtworkPages = Annotated[
    int,
    typer.Option("--paintings", min=0, help="How many divisive artworks get a page of their own."),
]
Explanations = Annotated[
    int,
    typer.Option(
        min=0, help="Artworks whose explanations are put to the deletion test (extra: explain)."
    ),
]
EmbedImages = Annotated[
    bool,
    typer.Option(
        "--embed-images", help="Copy the images into the pages. Check that their licence allows it."
    ),
]


def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder to create.")] = Path(
        "artaffect-demo"
    ),
    artworks: Annotated[
        int, typer.Option("--paintings", min=36, help="How many artworks to draw.")
    ] = 480,
    cache: Cache = None,
) -> None:
    """Generate synthetic data, train, report, and predict for a new artwork. Needs no data or network.

    An older demo in the same folder is replaced.
    """
    from artaffect.cli.demo import run_demo

    run_demo(out, artworks, cache)


def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The model folder to write.")],
    recipe: RecipeName = "compact",
    settings: Settings = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a model for image, caption and both, and score it on the validation split.

    An interrupted training resumes: run the same command again.
    """
    from artaffect import api

    predictor = api.train(data, out, recipe, settings, cache=cache, overwrite=overwrite)
    _print_result(predictor.evaluation, as_json)
    typer.echo(f"model folder: {out}; report: {out / 'report.html'}", err=True)


def reproduce(
    out: Annotated[Path, typer.Option("--out", help="The folder for runs, tables and the page.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A table made by `artaffect import`; optional with --quick."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small encoders, few epochs; synthetic data without --data."),
    ] = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Train the MVIP 2024 paper's models and print its tables beside honest ones.

    Three image models, the text model, both combined, and the recipe compact. Finished runs in --out
    are kept, and an interrupted one resumes from its checkpoint.
    """
    from artaffect import api
    from artaffect.reports.evaluation import print_tables

    result = api.reproduce(data, out, quick, cache=cache)
    if as_json:
        _print_json(asdict(result))
    else:
        print_tables(result.tables())
    typer.echo(f"tables: {out / 'tables.md'}; training curves: {out / 'report.html'}", err=True)


def evaluate(
    run: Run,
    data: Data,
    split: Split = "test",
    out: Annotated[
        Path | None, typer.Option("--out", help="The folder for metrics.json and report.html.")
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on one split, overall and per culture, beside the baseline."""
    from artaffect import api

    folder = out or _evaluation_folder(run, data, split)
    result = api.evaluate(run, data, split, out=folder, cache=cache)
    _print_result(result, as_json)
    typer.echo(f"report: {folder / 'report.html'}", err=True)


def _evaluation_folder(run: str, data: Path, split: str) -> Path:
    name = f"evaluation-{data.stem}-{split}"
    return Path(run) / name if Path(run).is_dir() else Path(name)


def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN…", help="Model folders, or hf:OWNER/MODEL on the hub."),
    ],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path(
        "artaffect-report"
    ),
    split: Split = "test",
    min_votes: MinVotes = 4,
    artwork_pages: ArtworkPages = 10,
    explanations: Explanations = 8,
    embed_images: EmbedImages = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Compare cultures, and one or several models culture by culture.

    Do cultures read an artwork differently beyond chance, how far do annotators agree, what does the
    image add, which culture is served worst, is confidence earned, do explanations hold? The answers
    are written as one HTML page, Markdown and JSON, with a page for each of the most divisive
    artworks. The other runs are compared with the first.
    """
    from artaffect import api

    result = api.report(
        runs,
        data,
        out,
        split,
        min_votes=min_votes,
        artwork_pages=artwork_pages,
        explanations=explanations,
        embed_images=embed_images,
        cache=cache,
    )
    _print_report(result, out, as_json)


def cultures(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder for runs and report.")],
    recipe: RecipeName = "compact",
    settings: Settings = None,
    split: Split = "test",
    min_votes: MinVotes = 4,
    artwork_pages: ArtworkPages = 10,
    explanations: Explanations = 8,
    embed_images: EmbedImages = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether knowing the culture helps: train a recipe in four ways, and compare them.

    Without culture, with an embedding for each culture, with a head for each, and with fusion weights
    for each. Finished runs in --out are kept.
    """
    from artaffect import api

    runs = api.train_culture_models(data, out / "runs", recipe, settings, cache=cache)
    report(
        [str(run) for run in runs],
        data,
        out,
        split,
        min_votes,
        artwork_pages,
        explanations,
        embed_images,
        cache,
        as_json,
    )


def predict(
    run: Run,
    image: Image = None,
    caption: Caption = None,
    language: Language = None,
    culture: Culture = None,
    as_json: AsJson = False,
) -> None:
    """Predict which emotion an artwork evokes in each culture, from an image, a caption or both."""
    from artaffect import api
    from artaffect.cli.show import print_prediction

    prediction = api.load_predictor(run).predict(image, caption, language, culture or None)
    if as_json:
        _print_json(prediction.to_json())
    else:
        print_prediction(prediction)


def encoders(as_json: AsJson = False) -> None:
    """List the encoders that have a name here, and which of them need no network."""
    from artaffect import api
    from artaffect.cli.show import print_encoders

    rows = api.list_encoders()
    if as_json:
        _print_json(rows)
    else:
        print_encoders(rows)


def _print_result(result: EvaluationResult, as_json: bool) -> None:
    from artaffect.reports.evaluation import print_result

    if as_json:
        _print_json(result.to_json())
    else:
        print_result(result)


def _print_report(result: CultureReport, out: Path, as_json: bool) -> None:
    from artaffect.reports.findings import findings

    if as_json:
        _print_json(result.to_json())
    else:
        for line in (*result.notes, *findings(result)):
            typer.echo(f"- {line}")
    typer.echo(f"report: {out / 'report.html'}", err=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
