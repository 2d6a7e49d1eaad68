"""The commands that compare publics and models: report, cultures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from artaffect.cli.options import AsJson, Cache, Data

Split = Annotated[str, typer.Option(help="Scored on: train, val or test.")]
Least = Annotated[
    int, typer.Option(min=2, help="Votes that a culture needs on a painting to be counted.")
]
Paintings = Annotated[
    int, typer.Option(min=0, help="Divisive paintings that get a page of their own.")
]
Explanations = Annotated[
    int,
    typer.Option(
        min=0,
        help="Paintings on which explanations are put to the deletion test (with the extra explain).",
    ),
]
EmbedImages = Annotated[
    bool,
    typer.Option(
        "--embed-images",
        help="Copy the pictures into the pages. Only where their licence allows it.",
    ),
]


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Model folders made by artaffect train.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder to write.")] = Path(
        "artaffect-report"
    ),
    split: Split = "test",
    least: Least = 4,
    paintings: Paintings = 10,
    explanations: Explanations = 8,
    embed_images: EmbedImages = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Whose emotion? Compare publics, and one or several models public by public.

    Do cultures read a painting differently beyond chance, how far do readers agree, what does the
    image add, who is served worst, is confidence earned, do explanations hold: as one HTML page,
    Markdown and JSON, with a page for each of the most divisive paintings. The first run is what the
    others are compared with.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.report.culture import ReportOptions, culture_report
    from artaffect.report.findings import findings
    from artaffect.report.pages import JSON, PAGE, save_culture_report
    from artaffect.runtime import say

    options = ReportOptions(split, least, top_k=paintings, explanations=explanations)
    result = culture_report(runs, AnnotationTable.load(data), data.stem, options, cache)
    save_culture_report(result, out, embed_images)
    if as_json:
        typer.echo((out / JSON).read_text("utf-8"))
    else:
        for line in (*result.notes, *findings(result)):
            typer.echo(f"- {line}")
    say(f"report: {out / PAGE}")


def cultures(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="The folder for runs and report.")],
    recipe: Annotated[
        str, typer.Argument(metavar="[RECIPE]", help="A recipe's name, or a TOML file of yours.")
    ] = "compact",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of all four: --set folds=3. Repeatable."),
    ] = None,
    split: Split = "test",
    least: Least = 4,
    paintings: Paintings = 10,
    explanations: Explanations = 8,
    embed_images: EmbedImages = False,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Is it worth knowing the culture? Train a recipe in four ways, and compare them in a report.

    Blind to culture; with a vector for each culture; with a head for each; with fusion weights for
    each. Finished runs in --out are not trained again.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.training.cultures import train_culture_models

    runs = train_culture_models(AnnotationTable.load(data), recipe, set_ or (), out / "runs", cache)
    report(runs, data, out, split, least, paintings, explanations, embed_images, cache, as_json)
