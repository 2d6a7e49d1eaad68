"""Commands that put a model to use: explain, predict-collection, export, push, serve."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.options import (
    AsJson,
    Cache,
    Caption,
    Culture,
    Image,
    Language,
    Overwrite,
    Run,
)
from artaffect.errors import InputError
from artaffect.server.limits import ServiceLimits

_LIMITS = ServiceLimits()


class Engine(StrEnum):
    """Where the worker processes run."""

    LOCAL = "local"
    RAY = "ray"


def explain(
    run: Run,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML page to write.")] = None,
    image: Image = None,
    caption: Caption = None,
    language: Language = None,
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
    from artaffect import api

    if out is None and not as_json:
        raise InputError("choose an output: --out page.html for a page, or --json")
    explanation = api.explain_prediction(
        run,
        image,
        caption,
        language,
        culture or None,
        emotion=emotion,
        table=data,
        out=out,
        cache=cache,
    )
    if out is not None:
        typer.echo(f"page: {out}", err=True)
    if as_json:
        typer.echo(json.dumps(explanation.to_json(), indent=2, ensure_ascii=False))


def predict_collection(
    run: Run,
    images: Annotated[
        Path,
        typer.Option(
            "--images",
            help="A folder of images; or a table, CSV or Parquet, with the columns image or caption "
            "or both, and optionally id and language.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The Parquet file to write.")],
    culture: Culture = None,
    root: Annotated[
        Path | None,
        typer.Option("--root", help="The folder of a table's images. Default: the table's folder."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; 0: one per core, or a single one with a GPU.")
    ] = 0,
    engine: Annotated[
        Engine, typer.Option(help="Processes on this machine, or on a Ray cluster (RAY_ADDRESS).")
    ] = Engine.LOCAL,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older result or other unfinished work.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Predict for a whole collection of any size: one row for each item and culture.

    Finished work is kept, so the same command continues after a kill. Items that cannot be read are
    listed beside the result with the reason; every other item is in the result exactly once.
    """
    from artaffect import api
    from artaffect.prediction.collection.plan import skipped_path

    summary = api.predict_collection(
        run,
        images,
        out,
        culture or None,
        root=root,
        workers=workers,
        engine=engine.value,
        overwrite=overwrite,
    )
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2, ensure_ascii=False))
    cultures = ", ".join(summary.cultures)
    typer.echo(
        f"predicted {summary.answered:,} of {summary.items:,} items for {cultures}: {out}", err=True
    )
    if summary.skipped:
        typer.echo(
            f"skipped {summary.skipped:,} items, listed with the reasons: {skipped_path(out)}",
            err=True,
        )


def export(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")],
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Text encoder in eight bits: smaller and faster, not exact."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Export a model to ONNX, to predict without torch.

    Every command that predicts with a RUN takes the new folder. Before it is written, its predictions
    are compared with the original ones, for images and captions of many sizes.
    """
    from artaffect import api

    api.export_onnx(run, out, int8, overwrite=overwrite)


def push(
    run: Run,
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/MODEL", help="The name of the model on the hub.")
    ],
    private: Annotated[bool, typer.Option("--private", help="Visible only to you.")] = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, with its model card and scores.

    Log in first, with `hf auth login` or HF_TOKEN. Afterwards you can pass `hf:OWNER/MODEL` wherever a
    command takes a RUN.
    """
    from artaffect import api

    typer.echo(api.push_to_hub(run, repository, private), err=True)


def serve(
    run: Run,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8000,
    key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            envvar="ARTAFFECT_API_KEY",
            help="The key that clients of /v1 must send. Prefer the variable ARTAFFECT_API_KEY.",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--max-batch", min=1, help="Artworks in one batch of the model.")
    ] = _LIMITS.batch_size,
    queue_size: Annotated[
        int, typer.Option("--queue", min=1, help="Artworks in the queue; more are refused (503).")
    ] = _LIMITS.queue_size,
    upload_mib: Annotated[
        int, typer.Option("--max-upload-mb", min=1, help="Largest request body, in MiB.")
    ] = _LIMITS.upload_bytes // 2**20,
    pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, help="Largest image: width times height.")
    ] = _LIMITS.pixels,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Time limit of one request, in seconds.")
    ] = _LIMITS.timeout_seconds,
) -> None:
    """Serve a model as a REST API, with a web page at `/`.

    Requests that arrive together are processed in one batch. Needs the extra `serve`; a model
    exported to ONNX is served without torch.
    """
    from artaffect.prediction.predictor import load_predictor
    from artaffect.server.app import create_app
    from artaffect.server.app import serve as serve_app

    limits = ServiceLimits(
        upload_bytes=upload_mib * 2**20,
        pixels=pixels,
        timeout_seconds=timeout_seconds,
        queue_size=queue_size,
        explanation_queue_size=min(_LIMITS.explanation_queue_size, queue_size),
        batch_size=batch_size,
        batch_items=min(_LIMITS.batch_items, queue_size),
    )
    serve_app(create_app(load_predictor(run), limits, key or None), host, port)
