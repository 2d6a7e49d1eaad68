"""The command explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.options import AsJson, Cache, Culture, Run


def explain(
    run: Run,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML page to write.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="An image of the artwork.")] = None,
    caption: Annotated[
        str | None, typer.Option("--caption", help="A caption of the artwork, in any language.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="The language the caption is written in.")
    ] = None,
    culture: Culture = None,
    emotion: Annotated[
        str | None,
        typer.Option(
            "--emotion", help="The emotion to explain. Default: each culture's most likely one."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="The training table, to show the most similar training artworks."
        ),
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Explain a prediction: image regions, words, and the part of image, caption and culture.

    Every explanation is put to the deletion test: when the most important parts are deleted first, the
    probability must fall faster than when parts are deleted in random order.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.errors import InputError
    from artaffect.explain.explainer import Explainer
    from artaffect.explain.neighbours import NearestArtworks
    from artaffect.prediction.predictor import PredictionInput, load_predictor
    from artaffect.report.explanation import save_explanation
    from artaffect.runtime import say

    if out is None and not as_json:
        raise InputError("choose an output: --out page.html for a page, or --json")
    item = PredictionInput(image, caption, language, culture or None)
    predictor = load_predictor(run)
    explainer = Explainer(predictor)
    source = explainer.model.image
    if data is not None and image is not None and source is not None:
        table = AnnotationTable.load(data)
        explainer.artworks = NearestArtworks(table, source.encoder, source.head, cache)
    explanation = explainer.explain(item, emotion, check=True)
    if out is not None:
        save_explanation(explanation, item, out, predictor.description.image)
        say(f"page: {out}")
    if as_json:
        typer.echo(json.dumps(explanation.to_json(), indent=2, ensure_ascii=False))
