"""Commands about models: demo, train, evaluate, predict, encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from artaffect.cli.options import AsJson, Cache, Culture, Data, Overwrite, Run

if TYPE_CHECKING:
    from artaffect.metrics.evaluation import EvaluationResult


def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")] = Path(
        "artaffect-demo"
    ),
    paintings: Annotated[int, typer.Option(min=36, help="How many paintings to draw.")] = 480,
    cache: Cache = None,
) -> None:
    """Draw sample data, train on it, report, and predict a new painting. Needs no data, no network.

    An older demo in the same folder is replaced.
    """
    from artaffect.cli.demo import run_demo

    run_demo(out, paintings, cache)


def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The model folder to write.")],
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", help="A recipe's name, or a TOML file of yours.")
    ] = "compact",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting: --set caption.train.epochs=20. Repeatable."),
    ] = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train image, caption and their combination; scores on the validation split at the end."""
    from artaffect.config import Recipe, load_recipe
    from artaffect.data.annotations import AnnotationTable
    from artaffect.training.run import train_run

    config = load_recipe(recipe, Recipe, set_ or ())
    result = train_run(AnnotationTable.load(data), config, out, cache, overwrite)
    _show(result, as_json, f"model folder: {out}; report: {out / 'report.html'}")


def reproduce(
    out: Annotated[Path, typer.Option("--out", help="The folder for runs, tables and the page.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A table made by artaffect import; --quick can do without."),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small encoders, few epochs; on drawn data unless --data."),
    ] = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Train the MVIP 2024 paper's models and print its tables beside honest ones.

    Three image models, the text model, both combined, and the recipe compact. Finished runs in --out
    are not trained again, and one that was killed goes on from its checkpoint.
    """
    from artaffect.cli.reproduce import run_reproduction

    run_reproduction(data, out, quick, cache, as_json)


def evaluate(
    run: Run,
    data: Data,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[
        Path | None, typer.Option("--out", help="Also write metrics.json and report.html here.")
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Score a model folder on one split, overall and per culture, beside the baseline."""
    from artaffect.data.annotations import AnnotationTable
    from artaffect.prediction.evaluation import evaluate_run
    from artaffect.report.evaluation import save_metrics, save_report

    result = evaluate_run(run, AnnotationTable.load(data), split, cache)
    folder = out or run / f"evaluation-{data.stem}-{split}"
    save_metrics(result, folder / "metrics.json")
    save_report(result, folder / "report.html", f"artaffect: {run.name} on {data.stem}, {split}")
    _show(result, as_json, f"report: {folder / 'report.html'}")


def predict(
    run: Run,
    image: Annotated[Path | None, typer.Option("--image", help="A picture.")] = None,
    caption: Annotated[
        str | None, typer.Option("--caption", help="What was written of it.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="What the caption is written in.")
    ] = None,
    culture: Culture = None,
    as_json: AsJson = False,
) -> None:
    """Say what an artwork evokes, from an image, a caption or both, for each culture side by side."""
    from artaffect.cli.show import print_prediction
    from artaffect.prediction.predictor import load_predictor

    prediction = load_predictor(run).predict(image, caption, language, culture or None)
    if as_json:
        typer.echo(json.dumps(prediction.to_json(), indent=2, ensure_ascii=False))
    else:
        print_prediction(prediction)


def encoders(as_json: AsJson = False) -> None:
    """List the encoders that have a name here, and which need no network."""
    from artaffect.cli.encoders import list_encoders, print_encoders

    found = list_encoders()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_encoders(found)


def _show(result: EvaluationResult, as_json: bool, where: str) -> None:
    from artaffect.report.evaluation import print_result
    from artaffect.runtime import say

    if as_json:
        typer.echo(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
    else:
        print_result(result)
    say(where)
