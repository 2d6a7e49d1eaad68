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
