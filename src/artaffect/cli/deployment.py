"""Commands that put a model to use: explain, export, pack, push, serve."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from artaffect import api
from artaffect.cli import checks, options
from artaffect.cli.show import print_json
from artaffect.errors import InputError
from artaffect.outputs import check_free
from artaffect.runtime import listen, say
from artaffect.server.limits import ServiceLimits

_LIMITS = ServiceLimits()
_KEY_VARIABLE = "ARTAFFECT_API_KEY"


def explain(
    run: options.Run,
    out: Annotated[Path | None, Option(help="The HTML page to write.")] = None,
    image: options.Image = None,
    caption: options.Caption = None,
    language: options.Language = None,
    culture: options.Culture = None,
    emotion: Annotated[
        str | None, Option(help="The emotion to explain. Default: each culture's most likely one.")
    ] = None,
    data: Annotated[
        Path | None, Option(help="The training table, to show the most similar training artworks.")
    ] = None,
    images: options.ImageFolder = None,
    new_culture: options.NewCulture = False,
    no_check: Annotated[
        bool,
        Option("--no-check", help="Leave out the deletion test, which takes most of the time."),
    ] = False,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Explain a prediction: image regions, words, and the part of image, caption and culture.

    Every explanation is put to the deletion test, unless --no-check is given: when the most important
    parts are deleted first, the probability must fall faster than when parts are deleted in random
    order.
    """
    if out is None and not as_json:
        raise InputError("choose an output: --out page.html for a page, or --json")
    checks.check_cultures(run, culture, new_culture)
    checks.check_artwork(image, caption, language)
    checks.check_label(run, emotion)
    table = None if data is None else checks.load_table(data, images)
    inputs = (image, caption, language, culture or None)
    explanation = api.explain_prediction(
        run, *inputs, emotion=emotion, table=table, out=out, check=not no_check, cache=cache
    )
    if out is not None:
        say(f"page: {out}")
    if as_json:
        print_json(explanation)


def export(
    run: options.Run,
    out: Annotated[Path, Option(help="The folder to write.")],
    int8: Annotated[
        bool, Option("--int8", help="Text encoder in eight bits: smaller and faster, not exact.")
    ] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Export a model to ONNX, to predict without torch.

    Every command that predicts with a RUN takes the new folder. Before it is written, its predictions
    are compared with the original ones, for images and captions of many sizes.
    """
    from artaffect.models.folder import CHECKSUMS
    from artaffect.models.hub import resolve_run

    checks.check_run(run)
    check_free(out, CHECKSUMS, overwrite, [resolve_run(run)])
    api.export_onnx(run, out, int8, overwrite=overwrite)


def pack(
    run: options.Run,
    out: Annotated[Path, Option(help="The folder to write.")],
    overwrite: options.Overwrite = False,
) -> None:
    """Make a self-contained copy of a thin model folder, which refers to its encoders.

    The copy predicts exactly the same, and needs neither a hub nor the encoders' packages. A thin folder
    is written by `artaffect train --set save=thin`.
    """
    checks.check_run(run)
    from artaffect.models import packing

    packing.pack(run, out, overwrite=overwrite)
    say(f"model folder: {out}")


def push(
    run: options.Run,
    repository: Annotated[
        str, Argument(metavar="OWNER/MODEL", help="The name of the model on the hub.")
    ],
    private: Annotated[bool, Option("--private", help="Visible only to you.")] = False,
    synthetic: Annotated[
        bool, Option("--synthetic", help="Upload a model although its training data are synthetic.")
    ] = False,
) -> None:
    """Upload a model folder to the Hugging Face hub, with its model card and scores.

    Log in first, with `hf auth login` or HF_TOKEN. Afterwards you can pass `hf:OWNER/MODEL` wherever a
    command takes a RUN.
    """
    say(api.push_to_hub(run, repository, private, synthetic))


def serve(
    run: options.Run,
    host: Annotated[
        str, Option(help="Address to listen on; 0.0.0.0 for other machines too.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    key: Annotated[
        str | None,
        Option(
            "--api-key",
            envvar=_KEY_VARIABLE,
            help="The key that clients of /v1 must send. Prefer the variable ARTAFFECT_API_KEY.",
        ),
    ] = None,
    protect_metrics: Annotated[
        bool, Option("--protect-metrics", help="Require the key for /metrics too.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        Option(
            help="A name or an address by which clients may call the service; repeatable. Always "
            "allowed: localhost, 127.0.0.1, ::1 and --host."
        ),
    ] = None,
    batch_size: Annotated[
        int, Option("--max-batch", min=1, help="Artworks in one batch of the model.")
    ] = _LIMITS.batch_size,
    queue_size: Annotated[
        int, Option("--queue", min=1, help="Artworks in the queue; more are refused (503).")
    ] = _LIMITS.queue_size,
    upload_mib: Annotated[
        int, Option("--max-upload-mb", min=1, help="Largest request body, in MiB.")
    ] = _LIMITS.upload_bytes // 2**20,
    pixels: Annotated[
        int, Option("--max-pixels", min=1, help="Largest image: width times height.")
    ] = _LIMITS.pixels,
    timeout_seconds: Annotated[
        float, Option("--timeout", min=0.1, help="Time limit of one request, in seconds.")
    ] = _LIMITS.timeout_seconds,
) -> None:
    """Serve a model as a REST API, with a web page at `/`.

    Requests that arrive together are processed in one batch. Needs the extra `serve`; a model
    exported to ONNX is served without torch.
    """
    checks.check_run(run)
    from artaffect.server.access import Access, allowed_hosts

    hosts = allowed_hosts(host, allow_host or ())
    key = os.environ.get(_KEY_VARIABLE) if key is None else key  # also if it is empty
    Access(hosts, key, protect_metrics)  # reports an empty key before the model is loaded
    listen(host, port).close()  # and a port in use
    from artaffect.server import app

    limits = ServiceLimits(
        upload_bytes=upload_mib * 2**20,
        held_bytes=max(_LIMITS.held_bytes, upload_mib * 2**20),
        pixels=pixels,
        timeout_seconds=timeout_seconds,
        peer_bodies=min(_LIMITS.peer_bodies, (queue_size + 1) // 2),
        queue_size=queue_size,
        explanation_queue_size=min(_LIMITS.explanation_queue_size, queue_size),
        batch_size=batch_size,
        batch_items=min(_LIMITS.batch_items, queue_size),
    )
    # Each thread that computes keeps helpers of its own, and more helpers than processors halve the speed:
    # those of this thread end with it, and the model's own thread has all processors.
    with ThreadPoolExecutor(1) as loading:
        predictor = loading.submit(api.load_predictor, run).result()
    service = app.create_app(predictor, limits, key, hosts, protect_metrics)
    try:
        app.serve(service, host, port)
    except KeyboardInterrupt:  # Ctrl+C, once the requests in progress are answered
        say("stopped")
