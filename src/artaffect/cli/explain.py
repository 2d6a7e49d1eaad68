"""The command explain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.options import AsJson, Cache, Culture, Run


def explain(
    run: Run,
    out: Annotated[Path | None, typer.Option("--out", help="The page to write.")] = None,
    image: Annotated[Path | None, typer.Option("--image", help="A picture.")] = None,
    caption: Annotated[
        str | None, typer.Option("--caption", help="What was written of it.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", help="What the caption is written in.")
    ] = None,
    culture: Culture = None,
    emotion: Annotated[
        str | None,
        typer.Option("--emotion", help="What to explain; default: each culture's likeliest."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="The table it was trained on, to show the nearest paintings of it."
        ),
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Say why: where in the picture, which words, how much image, caption and culture counted.

    Each explanation is put to the deletion test: what is said to matter is taken away first, and the
    answer must fall faster than when parts are taken away at random.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.errors import InputError
    from artaffect.explain.explainer import Explainer
    from artaffect.explain.neighbours import NearestArtworks
    from artaffect.labels import parse_emotion
    from artaffect.prediction.predictor import PredictionInput, load_predictor
    from artaffect.reports.pages import save_explanation
    from artaffect.runtime import say

    if out is None and not as_json:
        raise InputError("say where the page goes: --out page.html, or --json for the terminal")
    asked = PredictionInput(image, caption, language, culture or None)
    explained = parse_emotion(emotion) if emotion else None
    predictor = load_predictor(run)
    explainer = Explainer(predictor)
    branch = explainer.model.image
    if data is not None and image is not None and branch is not None:
        table = AnnotationTable.load(data)
        explainer.paintings = NearestArtworks(table, branch.encoder, branch.head, cache)
    explanation = explainer.explain(asked, explained, check=True)
    if out is not None:
        save_explanation(explanation, asked, out, predictor.description.image)
        say(f"page: {out}")
    if as_json:
        typer.echo(json.dumps(explanation.to_json(), indent=2, ensure_ascii=False))
