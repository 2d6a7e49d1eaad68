"""The command that compares publics and models: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.models import AsJson, Cache, Data


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Model folders made by artaffect train.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path(
        "artaffect-report"
    ),
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    least: Annotated[
        int, typer.Option(min=2, help="Votes that a culture needs on a painting to be counted.")
    ] = 4,
    paintings: Annotated[
        int, typer.Option(min=0, help="Divisive paintings that get a page of their own.")
    ] = 10,
    embed_images: Annotated[
        bool,
        typer.Option(
            "--embed-images",
            help="Copy the pictures into the pages. Only where their licence allows it.",
        ),
    ] = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Whose emotion? Compare publics, and one or several models public by public.

    Do cultures read a painting differently beyond chance, how far do readers agree, what does the
    image add, who is served worst, is confidence earned: as one HTML page, Markdown and JSON, with a
    page for each of the most divisive paintings. The first run is what the others are compared with.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.evaluation.cultural_page import JSON, PAGE, PAINTINGS, save_cultural_report
    from artaffect.evaluation.verdicts import verdicts
    from artaffect.inference.culture import ReportOptions, cultural_report, picture_addresses
    from artaffect.runtime import say

    options = ReportOptions(split, least, shown=paintings)
    found = cultural_report(runs, AnnotationTable.load(data), data.stem, options, cache)
    save_cultural_report(found, out, picture_addresses(found, out / PAINTINGS, embed_images))
    if as_json:
        typer.echo((out / JSON).read_text("utf-8"))
    else:
        for line in (*found.notes, *verdicts(found)):
            typer.echo(f"- {line}")
    say(f"report: {out / PAGE}")
