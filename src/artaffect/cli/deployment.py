"""Commands that put a model to use: explain, predict-collection, export-annotations, browse, export,
pack, push, serve."""

from __future__ import annotations

import csv
import os
from enum import StrEnum
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


class Engine(StrEnum):
    """Where the worker processes run."""

    LOCAL = "local"
    RAY = "ray"


class Layout(StrEnum):
    """The rows of a collection's answers."""

    LONG = "long"
    WIDE = "wide"


class StatementFormat(StrEnum):
    """How statements are written."""

    W3C = "w3c"
    LINKED_ART = "linked-art"
    CSV = "csv"


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


def predict_collection(
    run: options.Run,
    out: Annotated[
        Path, Option(help="The file to write: NAME.parquet, NAME.csv, NAME.xlsx or NAME.jsonl.")
    ],
    items: Annotated[
        str | None,
        Argument(
            metavar="ITEMS",
            help="A folder of images; or a table in CSV, TSV, Excel, JSON Lines or Parquet; or a IIIF "
            "manifest or collection, as a file or an address.",
        ),
    ] = None,
    images: Annotated[str | None, Option("--images", help="Another name of ITEMS.")] = None,
    culture: options.Culture = None,
    column: Annotated[
        list[str] | None,
        Option(
            help="What a column of a table holds, for example image=file, caption=title,description or "
            "id=object_number; repeatable. Default: by the names of the columns."
        ),
    ] = None,
    sets: options.Sets = None,
    root: Annotated[
        Path | None, Option(help="The folder of a table's images. Default: the table's folder.")
    ] = None,
    language: options.AllLanguage = None,
    encoding: options.Encoding = None,
    delimiter: options.Delimiter = None,
    fetch: Annotated[
        bool,
        Option(
            "--fetch", help="Request the images and manifests that a file names by their addresses."
        ),
    ] = False,
    allow_private: Annotated[
        bool, Option("--allow-private", help="Request from addresses inside private networks, too.")
    ] = False,
    rate: Annotated[float, Option(min=0.01, help="Requests a second to one host.")] = 2.0,
    layout: Annotated[
        Layout, Option(help="A row for each item and culture, or for each item.")
    ] = Layout.LONG,
    workers: Annotated[
        int, Option(min=0, help="Processes; 0: one per core, or a single one with a GPU.")
    ] = 0,
    engine: Annotated[
        Engine, Option(help="Processes on this machine, or on a Ray cluster (RAY_ADDRESS).")
    ] = Engine.LOCAL,
    new_culture: options.NewCulture = False,
    overwrite: Annotated[
        bool, Option("--overwrite", help="Replace an older result or other unfinished work.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Predict for a whole collection of any size, and write a table that other programs open.

    Finished work is kept, so the same command continues after a kill. Items that cannot be read are
    listed beside the result with the reason; every other item is in the result exactly once.
    """
    from artaffect.data.readers.table_columns import parse_assignments
    from artaffect.prediction.collection import run as collection
    from artaffect.prediction.collection.plan import skipped_path

    source = items or images
    if source is None or (items and images):
        raise InputError("name the folder or the table of the collection once, as ITEMS")
    checks.check_cultures(run, culture, new_culture)
    summary = collection.predict_collection(
        run,
        source,
        out,
        culture or None,
        columns=parse_assignments(column or []),
        sets=sets,
        root=root,
        language=language,
        encoding=encoding,
        delimiter=delimiter,
        fetch=fetch,
        allow_private=allow_private,
        rate=rate,
        layout=layout.value,
        workers=workers,
        engine=engine.value,
        overwrite=overwrite,
    )
    if as_json:
        print_json(summary)
    cultures = ", ".join(summary.cultures)
    say(f"predicted {summary.answered:,} of {summary.items:,} items for {cultures}: {out}")
    if summary.skipped:
        say(f"skipped {summary.skipped:,} items, listed with the reasons: {skipped_path(out)}")
    if not summary.answered:
        with skipped_path(out).open(encoding="utf-8", newline="") as file:
            first = next(csv.DictReader(file))["reason"]
        raise InputError(f"no item of {source} could be predicted, first: {first}")


def export_annotations(
    answers: Annotated[
        Path, Argument(metavar="ANSWERS", help="A file of `artaffect predict-collection`.")
    ],
    out: Annotated[Path, Option(help="The file to write.")],
    format: Annotated[
        StatementFormat,
        Option("--as", help="W3C Web Annotations, Linked Art, or a table (JSON-LD, JSON-LD, CSV)."),
    ] = StatementFormat.W3C,
    labels: Annotated[
        str | None, Option(help="The labels that may be published, between commas. Default: all.")
    ] = None,
    floor: Annotated[
        float, Option(min=0, max=1, help="The smallest probability that is published.")
    ] = 0.0,
    base: Annotated[
        str | None, Option(help="The start of the addresses; the ids of the items are added to it.")
    ] = None,
    target: Annotated[
        str | None,
        Option(help="The column that holds the addresses. Default: ids that are addresses."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write answers as statements of a machine, for the systems of a museum.

    Each statement says for one item and one culture what the most likely label is, with its probability,
    the model and the date, and that nobody has reviewed it. Write `rejected` into the column review of the
    answers to leave one out, or `confirmed`, and your name into the column reviewed_by.
    """
    from artaffect.prediction.collection import statements

    allowed = None if labels is None else [name.strip() for name in labels.split(",")]
    summary = statements.export_annotations(
        answers, out, format.value, labels=allowed, floor=floor, base=base, target=target
    )
    if as_json:
        print_json(summary)
    say(f"exported {summary.exported:,} statements, {summary.confirmed:,} of them confirmed: {out}")
    for reason, count in summary.left_out.items():
        say(f"left out {count:,}: {reason}")


def browse(
    answers: Annotated[
        Path, Argument(metavar="ANSWERS", help="A file of `artaffect predict-collection`.")
    ],
    out: Annotated[Path, Option(help="The folder to write.")],
    title: Annotated[str, Option(help="The heading of the gallery.")] = "What a collection evokes",
    column: Annotated[
        list[str] | None,
        Option(
            help="What a column of the answers holds: title=NAME, image=NAME, or caption=NAME,NAME for the "
            "description; repeatable. Default: by the names of the columns."
        ),
    ] = None,
    root: Annotated[
        Path | None,
        Option(help="The folder of the images, if nothing is kept beside the answers."),
    ] = None,
    embed_images: Annotated[
        bool,
        Option("--embed-images", help="Put small copies of the images into the site."),
    ] = False,
    overwrite: options.Overwrite = False,
    as_json: options.Json = False,
) -> None:
    """Write a gallery of answers: a site to filter, sort and compare the works of a collection.

    It opens from a file and from any web server, and needs nothing from elsewhere. Images are referred
    to where they are, unless you add --embed-images.
    """
    from artaffect.data.readers.table_columns import parse_assignments

    summary = api.browse(
        answers,
        out,
        title=title,
        columns=parse_assignments(column or []),
        root=root,
        embed_images=embed_images,
        overwrite=overwrite,
    )
    if as_json:
        print_json(summary)
    say(
        f"gallery of {summary.works:,} works, {summary.with_image:,} with an image: {out / 'index.html'}"
    )
    if not summary.finds_similar:
        say("left out: works that look alike; predict with images to keep what tells")
    elif not summary.knows_opposites:
        say("left out: works with the opposite emotion; the valence of the labels is not known")


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
    service = app.create_app(api.load_predictor(run), limits, key, hosts, protect_metrics)
    try:
        app.serve(service, host, port)
    except KeyboardInterrupt:  # Ctrl+C, once the requests in progress are answered
        say("stopped")
