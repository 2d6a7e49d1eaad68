"""Commands about annotations: import, split, count, draw the sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.cleaning import ImportReport

import_app = typer.Typer(
    help="Read a data set of the field into a table that the other commands take.",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The published file.")]
Out = Annotated[
    Path, typer.Option("--out", help="The table to write, for example artelingo.parquet.")
]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="The WikiArt folder: DIR/<art_style>/<painting>.jpg."),
]
KeepUnpictured = Annotated[
    bool,
    typer.Option(
        "--keep-unpictured",
        help="Keep rows whose picture is missing or broken; the caption model can use them.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
TableFile = Annotated[
    Path, typer.Argument(metavar="TABLE", help="A table made by artaffect import.")
]


@import_app.command("artelingo")
def import_artelingo(
    file: File,
    out: Out,
    images: Images = None,
    keep_unpictured: KeepUnpictured = False,
    as_json: AsJson = False,
) -> None:
    """Read artelingo_release.csv or artelingo_release_lite.csv."""
    from artaffect.data.importers import read_artelingo

    _import(lambda: read_artelingo(file, images, keep_unpictured), out, as_json)


@import_app.command("artemis")
def import_artemis(
    file: File,
    out: Out,
    images: Images = None,
    keep_unpictured: KeepUnpictured = False,
    as_json: AsJson = False,
) -> None:
    """Read artemis_dataset_release_v0.csv. It has no splits: make them with artaffect split."""
    from artaffect.data.importers import read_artemis

    _import(lambda: read_artemis(file, images, keep_unpictured), out, as_json)


@import_app.command("parquet")
def import_parquet(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A Parquet file, or a folder of them.")
    ],
    out: Out,
    images: Annotated[
        Path, typer.Option("--images", help="The folder to write the embedded pictures to.")
    ],
    keep_unpictured: KeepUnpictured = False,
    as_json: AsJson = False,
) -> None:
    """Read the Hugging Face layout of ArtELingo, with its embedded pictures."""
    from artaffect.data.importers import read_parquet

    _import(lambda: read_parquet(file, images, keep_unpictured), out, as_json)


def _import(
    read: Callable[[], tuple[AnnotationTable, ImportReport]], out: Path, as_json: bool
) -> None:
    from artaffect.data.importers import describe
    from artaffect.runtime import say

    table, report = read()
    dropped = out.with_suffix(".dropped.csv")
    report.save_dropped(dropped)
    table.save(out)
    describe(report)
    if dropped.is_file():
        say(f"  every dropped row, with its line and reason: {dropped}")
    say(f"  table: {out}")
    if as_json:
        typer.echo(json.dumps({"table": str(out), **report.to_json()}, indent=2))


def split(
    table: TableFile,
    out: Out,
    train: Annotated[float, typer.Option(help="Share of the paintings.")] = 0.85,
    val: Annotated[float, typer.Option(help="Share of the paintings.")] = 0.05,
    test: Annotated[float, typer.Option(help="Share of the paintings.")] = 0.10,
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
) -> None:
    """Split by painting; the same seed gives a painting the same split, whatever else is added."""
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.splits import split_table

    shares = {"train": train, "val": val, "test": test}
    result = split_table(AnnotationTable.load(table), shares, seed)
    result.save(out)
    _show_stats(result, as_json=False)


def stats(table: TableFile, as_json: AsJson = False) -> None:
    """Count images, annotations, languages, splits, and each culture's emotions."""
    from artaffect.data.annotations import AnnotationTable

    _show_stats(AnnotationTable.load(table), as_json)


def _show_stats(table: AnnotationTable, as_json: bool) -> None:
    from artaffect.data.statistics import describe_table, print_statistics

    found = describe_table(table)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_statistics(found)


def sample(
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    paintings: Annotated[int, typer.Option(min=36, help="How many paintings.")] = 480,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other paintings.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older sample.")
    ] = False,
) -> None:
    """Draw a synthetic data set, laid out like ArtELingo, whose best possible scores are known."""
    from artaffect.data.sample.write import write_sample
    from artaffect.runtime import say

    csv = write_sample(out, paintings, seed, overwrite)
    say(f"synthetic data: {csv}; what it is, and the best possible scores: {out / 'SYNTHETIC.md'}")
    say(f"next: artaffect import artelingo {csv} --images {out / 'wikiart'} --out sample.parquet")
