"""Commands about annotations: import, split, count, draw the sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.filtering import ImportReport

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
MORE_LAYOUTS: dict[str, Callable[[Path, int | None, int, int, bool], None]] = {}
"""Layouts of ``artaffect sample`` that an optional part of the package adds, by name."""

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
    from artaffect.data.readers.artelingo import read_artelingo

    save_import(read_artelingo(file, images, keep_unpictured), out, as_json)


@import_app.command("artemis")
def import_artemis(
    file: File,
    out: Out,
    images: Images = None,
    keep_unpictured: KeepUnpictured = False,
    as_json: AsJson = False,
) -> None:
    """Read artemis_dataset_release_v0.csv. It has no splits: make them with artaffect split."""
    from artaffect.data.readers.artelingo import read_artemis

    save_import(read_artemis(file, images, keep_unpictured), out, as_json)


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
    from artaffect.data.readers.artelingo import read_hf_parquet

    save_import(read_hf_parquet(file, images, keep_unpictured), out, as_json)


def save_import(imported: tuple[AnnotationTable, ImportReport], out: Path, as_json: bool) -> None:
    """Save a table that was read, and say what was kept and dropped."""
    from artaffect.data.readers.artelingo import describe
    from artaffect.runtime import say

    table, report = imported
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
    from artaffect.data.summary import describe_table, print_statistics

    found = describe_table(table)
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print_statistics(found)


def overlap(
    table: TableFile,
    other: Annotated[
        Path, typer.Argument(metavar="OTHER", help="The table that is trained or tested on.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write TABLE without the shared paintings here.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the paintings that two tables share; hold them out of the first one.

    ArtELingo-28 is made of paintings of ArtELingo, most of them from its training split: a model that
    has learned from one must not be tested on them in the other.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.overlap import shared_artworks
    from artaffect.runtime import say

    mine = AnnotationTable.load(table)
    found = shared_artworks(mine, AnnotationTable.load(other))
    if out is not None:
        mine.select(~found.shared).save(out)
    if as_json:
        answer = {"artworks": found.artworks, "splits": found.splits}
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for artwork in found.artworks:
        typer.echo(artwork)
    say(
        f"{len(found.artworks):,} paintings, {int(found.shared.sum()):,} rows of {table} are shared"
    )
    for split, theirs in found.splits.items():
        counts = ", ".join(f"{count:,} in {name}" for name, count in theirs.items())
        say(f"  {split} of {table.name}: {counts} of {other.name}")
    if out is not None:
        say(f"  without them: {out}")


def sample(
    out: Annotated[Path, typer.Option("--out", help="The folder to make.")],
    paintings: Annotated[
        int | None, typer.Option(min=36, help="How many paintings; default 480, or 1658.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other paintings.")] = 0,
    layout: Annotated[
        str, typer.Option(help="artelingo: three cultures; artemotion28: 28, in invented words.")
    ] = "artelingo",
    captions: Annotated[
        int, typer.Option(min=1, max=20, help="Of artelingo: captions of each culture a painting.")
    ] = 4,
    rows: Annotated[int, typer.Option(min=1, help="Of artemotion28: annotations.")] = 173_745,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older sample.")
    ] = False,
) -> None:
    """Draw a synthetic data set, laid out like a real one, whose truth is known."""
    from artaffect.data.sample.write import write_sample
    from artaffect.errors import UnknownNameError
    from artaffect.runtime import say

    if layout in MORE_LAYOUTS:
        MORE_LAYOUTS[layout](out, paintings, rows, seed, overwrite)
        return
    if layout != "artelingo":
        raise UnknownNameError("layout", layout, ["artelingo", *MORE_LAYOUTS])
    csv = write_sample(out, paintings or 480, seed, overwrite, captions=captions)
    say(f"synthetic data: {csv}; what it is, and the best possible scores: {out / 'SYNTHETIC.md'}")
    say(f"next: artaffect import artelingo {csv} --images {out / 'wikiart'} --out sample.parquet")
