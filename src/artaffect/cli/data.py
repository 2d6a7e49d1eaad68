"""Commands for annotations: import, split, count, compare, draw the sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable

import_app = typer.Typer(
    help="Read a published data set into a table for the other commands.", no_args_is_help=True
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The published file.")]
Out = Annotated[Path, typer.Option(help="The table to write, for example artelingo.parquet.")]
Root = Annotated[Path | None, typer.Option(help="The WikiArt folder, with ART_STYLE/PAINTING.jpg.")]
Keep = Annotated[
    bool,
    typer.Option(
        "--keep-unpictured",
        help="Keep rows whose image is missing or unreadable; the caption model can use them.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
TableFile = Annotated[Path, typer.Argument(metavar="TABLE", help="A table of artaffect import.")]
MORE_LAYOUTS: dict[str, Callable[[Path, int | None, int, int, bool], None]] = {}
"""Layouts of ``artaffect sample`` that an optional part of the package adds, by name."""


@import_app.command("artelingo")
def import_artelingo(
    file: File, out: Out, images: Root = None, keep_unpictured: Keep = False, as_json: Json = False
) -> None:
    """Read artelingo_release.csv or artelingo_release_lite.csv."""
    from artaffect.data.readers.artelingo import read_artelingo

    save_import(read_artelingo(file, images, keep_unpictured), out, as_json)


@import_app.command("artemis")
def import_artemis(
    file: File, out: Out, images: Root = None, keep_unpictured: Keep = False, as_json: Json = False
) -> None:
    """Read artemis_dataset_release_v0.csv, which has no splits: make them with artaffect split."""
    from artaffect.data.readers.artelingo import read_artemis

    save_import(read_artemis(file, images, keep_unpictured), out, as_json)


@import_app.command("parquet")
def import_parquet(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A Parquet file or a folder of them.")
    ],
    out: Out,
    images: Annotated[Path, typer.Option(help="The folder for the embedded images.")],
    keep_unpictured: Keep = False,
    as_json: Json = False,
) -> None:
    """Read the Hugging Face layout of ArtELingo, with embedded images."""
    from artaffect.data.readers.hf_parquet import read_hf_parquet

    save_import(read_hf_parquet(file, images, keep_unpictured), out, as_json)


def save_import(table: AnnotationTable, out: Path, as_json: bool) -> None:
    """Save a table that was read, and say what was kept and dropped."""
    from artaffect.runtime import say

    table.save(out)
    dropped = out.with_suffix(".dropped.csv")
    report = table.report
    assert report is not None  # every reader reports what it did
    report.save_dropped(dropped)
    say(report.summary())
    if dropped.is_file():
        say(f"  every dropped row, with its line and reason: {dropped}")
    say(f"  table: {out}")
    if as_json:
        _print_json({"table": str(out), **report.to_json()})


def split(
    table: TableFile,
    out: Out,
    train: Annotated[float, typer.Option(help="Fraction of the paintings.")] = 0.85,
    val: Annotated[float, typer.Option(help="Fraction of the paintings.")] = 0.05,
    test: Annotated[float, typer.Option(help="Fraction of the paintings.")] = 0.10,
    seed: Annotated[int, typer.Option(help="Another seed makes another split.")] = 0,
) -> None:
    """Split by painting; with the same seed, a painting has the same split in every table."""
    from artaffect.data.annotations import AnnotationTable

    result = AnnotationTable.load(table).split(train, val, test, seed)
    result.save(out)
    _print_statistics(result)


def stats(table: TableFile, as_json: Json = False) -> None:
    """Count images, annotations, languages, splits, and the emotions of each culture."""
    from artaffect.data.annotations import AnnotationTable

    _print_statistics(AnnotationTable.load(table), as_json)


def _print_statistics(table: AnnotationTable, as_json: bool = False) -> None:
    from rich.console import Console
    from rich.table import Table

    from artaffect.data.summary import describe_table

    statistics = describe_table(table)
    if as_json:
        _print_json(statistics.to_json())
        return
    counts = Table("what", "count", title="annotations", title_justify="left")
    counts.add_row("images", f"{statistics.images:,}")
    counts.add_row("images in the folder", f"{statistics.with_image:,}")
    counts.add_row("annotations", f"{statistics.annotations:,}")
    counts.add_row("annotations / image", f"{statistics.annotations_per_image:.2f}")
    counts.add_row("emotions", f"{statistics.emotions}")
    counts.add_row("languages", ", ".join(f"{k} {n:,}" for k, n in statistics.languages.items()))
    counts.add_row("splits", ", ".join(f"{k} {n:,}" for k, n in statistics.splits.items()))
    shares = Table("emotion", title="share of each emotion, per culture", title_justify="left")
    for culture, support in statistics.culture_support.items():
        shares.add_column(f"{culture} ({support:,})", justify="right")
    for emotion in next(iter(statistics.by_culture.values()), {}):
        row = [f"{emotions[emotion]:.1%}" for emotions in statistics.by_culture.values()]
        shares.add_row(emotion, *row)
    Console().print(counts, shares)


def overlap(
    table: TableFile,
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="The table to compare with.")],
    out: Annotated[Path | None, typer.Option(help="TABLE without the shared paintings.")] = None,
    as_json: Json = False,
) -> None:
    """List the paintings that two tables share, and remove them from the first one.

    ArtELingo-28 consists of paintings of ArtELingo, mostly of its training split. A model trained on
    one of the data sets must not be tested on these paintings in the other.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.splits import shared_artworks
    from artaffect.runtime import say

    annotations = AnnotationTable.load(table)
    shared = shared_artworks(annotations, AnnotationTable.load(other))
    if out is not None:
        annotations.select(~shared.shared).save(out)
    if as_json:
        _print_json({"artworks": shared.artworks, "splits": shared.splits})
        return
    for artwork in shared.artworks:
        typer.echo(artwork)
    rows = int(shared.shared.sum())
    say(f"{len(shared.artworks):,} paintings, {rows:,} rows of {table} are shared")
    for split_name, counts in shared.splits.items():
        listing = ", ".join(f"{count:,} in {name}" for name, count in counts.items())
        say(f"  {split_name} of {table.name}: {listing} of {other.name}")
    if out is not None:
        say(f"  {table.name} without them: {out}")


def sample(
    out: Annotated[Path, typer.Option(help="The folder to create.")],
    artworks: Annotated[
        int | None,
        typer.Option("--paintings", min=36, help="Number of paintings; 480 or 1658 by default."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other paintings.")] = 0,
    layout: Annotated[
        str, typer.Option(help="artelingo: 3 cultures; artemotion28: 28, with invented words.")
    ] = "artelingo",
    captions: Annotated[
        int, typer.Option(min=1, max=20, help="artelingo: captions per culture and painting.")
    ] = 4,
    rows: Annotated[int, typer.Option(min=1, help="artemotion28: annotations.")] = 173_745,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sample.")] = False,
) -> None:
    """Make a synthetic data set in the layout of a real one, with known best scores."""
    from artaffect.data.sample.write import write_sample
    from artaffect.errors import UnknownNameError
    from artaffect.runtime import say

    if layout in MORE_LAYOUTS:
        MORE_LAYOUTS[layout](out, artworks, rows, seed, overwrite)
        return
    if layout != "artelingo":
        raise UnknownNameError("layout", layout, ["artelingo", *MORE_LAYOUTS])
    file = write_sample(out, artworks or 480, seed, overwrite, captions=captions)
    say(f"synthetic data: {file}; description and best possible scores: {out / 'SYNTHETIC.md'}")
    say(f"next: artaffect import artelingo {file} --images {out / 'wikiart'} --out sample.parquet")


def _print_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
