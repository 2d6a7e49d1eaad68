"""The command serve."""

from __future__ import annotations

from typing import Annotated

import typer

from artaffect.cli.options import Run
from artaffect.server.limits import ServiceLimits

_LIMITS = ServiceLimits()


def serve(
    run: Run,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Where to listen.")] = 8000,
    key: Annotated[
        str | None,
        typer.Option(
            "--api-key",
            envvar="ARTAFFECT_API_KEY",
            help="What callers of /v1 must send; better given as ARTAFFECT_API_KEY.",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option("--max-batch", min=1, help="Artworks answered together.")
    ] = _LIMITS.batch,
    places: Annotated[
        int, typer.Option("--queue", min=1, help="Artworks that may wait; past it: 503.")
    ] = _LIMITS.places,
    upload: Annotated[
        int, typer.Option("--max-upload-mb", min=1, help="Largest request, in MiB.")
    ] = _LIMITS.upload_bytes // 2**20,
    pixels: Annotated[
        int, typer.Option("--max-pixels", min=1, help="Largest picture: width times height.")
    ] = _LIMITS.pixels,
    seconds: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Seconds for one request.")
    ] = _LIMITS.seconds,
) -> None:
    """Serve a model to programs, and to people on a page at `/`.

    Requests that come together are answered together. Needs the extra `serve`, and no torch where RUN
    was exported to ONNX.
    """
    from artaffect.prediction.predictor import load_predictor
    from artaffect.server.app import create_app
    from artaffect.server.app import serve as serve_app

    limits = ServiceLimits(
        upload_bytes=upload * 2**20,
        pixels=pixels,
        seconds=seconds,
        places=places,
        explanations=min(_LIMITS.explanations, places),
        batch=batch,
        batch_items=min(_LIMITS.batch_items, places),
    )
    serve_app(create_app(load_predictor(run), limits, key or None), host, port)
