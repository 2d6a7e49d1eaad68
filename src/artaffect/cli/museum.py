"""Commands for whole collections: predict-collection, export-annotations, browse."""

from __future__ import annotations

import csv
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from artaffect.cli import checks, options
from artaffect.cli.show import print_json
from artaffect.errors import InputError
from artaffect.runtime import say


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
    from artaffect.reports import gallery

    summary = gallery.browse(
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
