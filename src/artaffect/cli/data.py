"""Commands for annotations: import, split, count, compare, draw the sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from artaffect import api
from artaffect.cli import checks
from artaffect.cli.options import AllLanguage, CultureColumn, Delimiter, Encoding, Json
from artaffect.cli.show import print_json, print_statistics, show
from artaffect.errors import InputError, NoRowsError
from artaffect.outputs import check_output, check_output_folder
from artaffect.runtime import printable, say

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable

import_app = typer.Typer(
    help="Read a published data set, or a table of your own, for the other commands.",
    no_args_is_help=True,
)

File = Annotated[Path, Argument(metavar="FILE", help="The published file.")]
Out = Annotated[Path, Option(help="The table to write, for example artelingo.parquet.")]
Root = Annotated[Path | None, Option(help="The WikiArt folder, with ART_STYLE/PAINTING.jpg.")]
Keep = Annotated[
    bool,
    Option(
        "--keep-unpictured",
        help="Keep rows whose image is missing or unreadable; the caption model can use them.",
    ),
]
TableFile = Annotated[Path, Argument(metavar="TABLE", help="A table of artaffect import.")]
MORE_LAYOUTS: dict[str, Callable[[Path, int | None, int, int, bool], None]] = {}
"""Layouts of ``artaffect sample`` that an optional part of the package adds, by name."""


@import_app.command("artelingo")
def import_artelingo(
    file: File, out: Out, images: Root = None, keep_unpictured: Keep = False, as_json: Json = False
) -> None:
    """Read artelingo_release.csv or artelingo_release_lite.csv."""
    from artaffect.data.readers.artelingo import read_artelingo

    save_import(file, lambda: read_artelingo(file, images, keep_unpictured), out, as_json)


@import_app.command("artemis")
def import_artemis(
    file: File, out: Out, images: Root = None, keep_unpictured: Keep = False, as_json: Json = False
) -> None:
    """Read artemis_dataset_release_v0.csv, which has no splits: make them with artaffect split."""
    from artaffect.data.readers.artelingo import read_artemis

    save_import(file, lambda: read_artemis(file, images, keep_unpictured), out, as_json)


@import_app.command("parquet")
def import_parquet(
    file: Annotated[Path, Argument(metavar="FILE", help="A Parquet file or a folder of them.")],
    out: Out,
    images: Annotated[Path, Option(help="The folder for the embedded images.")],
    keep_unpictured: Keep = False,
    as_json: Json = False,
) -> None:
    """Read the Hugging Face layout of ArtELingo, with embedded images."""
    from artaffect.data.readers.hf_parquet import read_hf_parquet

    check_output_folder(images, [file])
    save_import(file, lambda: read_hf_parquet(file, images, keep_unpictured), out, as_json)


@import_app.command("table")
def import_table(
    file: Annotated[Path, Argument(metavar="FILE", help="The table, or a folder of images.")],
    out: Out,
    column: Annotated[
        list[str] | None,
        Option(
            help="What a column holds, for example label=feeling or caption=title,description; "
            "repeatable. Default: by the names of the columns."
        ),
    ] = None,
    images: Annotated[
        Path | None, Option(help="The folder of the images. Default: the folder of the table.")
    ] = None,
    labels: Annotated[
        str | None,
        Option(
            help="The label set: a name (artaffect labels lists them), a TOML file, or data for the "
            "labels that the table holds. Default: artemis, or the first set that knows all of them, "
            "or else those of the table."
        ),
    ] = None,
    map_label: Annotated[
        list[str] | None,
        Option(
            help="What a label stands for, for example happiness=contentment, or any of several: "
            "joy=contentment|awe; repeatable. Or a TOML file with such lines."
        ),
    ] = None,
    culture: Annotated[str | None, Option(help="The culture of all rows.")] = None,
    language: AllLanguage = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    votes: Annotated[
        str | None,
        Option(
            help="The columns that hold how often each label was chosen, with a star in place of the "
            "label, for example 'votes_*': whole numbers, or shares of the annotators."
        ),
    ] = None,
    annotators: Annotated[
        int | None,
        Option(
            min=1,
            help="With --votes: how many annotators each share stands for. Default: the smallest "
            "number that gives a row's shares.",
        ),
    ] = None,
    carry: Annotated[
        list[str] | None,
        Option(
            help="Another column that the table keeps, for example age, which --culture-column of "
            "other commands can name; repeatable."
        ),
    ] = None,
    keep_unpictured: Keep = False,
    as_json: Json = False,
) -> None:
    """Read a table of your own: CSV, TSV, JSON Lines, Parquet, Excel, or a Hugging Face imagefolder."""
    from artaffect.data.label_maps import parse_label_map
    from artaffect.data.readers.table import read_table
    from artaffect.data.readers.table_columns import parse_assignments

    def read() -> AnnotationTable:
        return read_table(
            file,
            images,
            parse_assignments(column or []),
            labels=labels,
            map_labels=parse_label_map(map_label or []),
            culture=culture,
            language=language,
            encoding=encoding,
            delimiter=delimiter,
            votes=votes,
            annotators=annotators,
            carry=carry or (),
            keep_unpictured=keep_unpictured,
        )

    save_import(file, read, out, as_json)


def save_import(file: Path, read: Callable[[], AnnotationTable], out: Path, as_json: bool) -> None:
    """Read a data set and save its table; say what was kept and dropped, even if nothing is kept."""
    dropped = out.with_suffix(".dropped.csv")
    for target in (out, dropped):
        check_output(target, [file])
    listed = f"  every dropped row, with its line and reason: {dropped}"
    try:
        table = read()
    except NoRowsError as error:
        if error.report.read:
            error.report.save_dropped(dropped)
            say(listed)
        raise
    table.save(out)
    report = table.report
    assert report is not None  # every reader reports what it did
    report.save_dropped(dropped)
    say(*report.summary().split("\n"))
    if dropped.is_file():
        say(listed)
    say(f"  table: {out}")
    if as_json:
        print_json({"table": str(out), **report.to_json()})


def split(
    table: TableFile,
    out: Out,
    train: Annotated[float, Option(help="Fraction of the paintings.")] = 0.85,
    val: Annotated[float, Option(help="Fraction of the paintings.")] = 0.05,
    test: Annotated[float, Option(help="Fraction of the paintings.")] = 0.10,
    seed: Annotated[int, Option(help="Another seed makes another split.")] = 0,
) -> None:
    """Split by painting; with the same seed, a painting has the same split in every table."""
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.summary import describe_table

    check_output(out, [table])
    annotations = AnnotationTable.load(table).split(train, val, test, seed)
    annotations.save(out)
    show(describe_table(annotations), False, print_statistics)


def stats(
    table: TableFile,
    culture_column: CultureColumn = None,
    croissant: Annotated[
        Path | None,
        Option(
            help="Also write the table's metadata to this file, in MLCommons' Croissant format."
        ),
    ] = None,
    about: Annotated[
        list[str] | None,
        Option(
            help="With --croissant: what the table does not tell, for example "
            "license=https://creativecommons.org/licenses/by/4.0/, or url, creator, citation, "
            "published, version; repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Count images, annotations, languages, splits, and the emotions of each culture."""
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.summary import describe_table

    annotations = AnnotationTable.load(table)
    if culture_column:
        annotations = annotations.with_culture(culture_column)
    if croissant is not None:
        api.write_croissant(annotations, croissant, checks.parse_pairs("--about", about or []))
        say(f"metadata: {croissant}")
    elif about:
        raise InputError("--about needs --croissant FILE, the metadata that it belongs to")
    show(describe_table(annotations), as_json, print_statistics)


def overlap(
    table: TableFile,
    other: Annotated[Path, Argument(metavar="OTHER", help="The table to compare with.")],
    out: Annotated[Path | None, Option(help="TABLE without the shared paintings.")] = None,
    as_json: Json = False,
) -> None:
    """List the paintings that two tables share, and remove them from the first one.

    ArtELingo-28 consists of paintings of ArtELingo, mostly of its training split. A model trained on
    one of the data sets must not be tested on these paintings in the other.
    """
    from artaffect.data.annotations import AnnotationTable
    from artaffect.data.splits import shared_artworks

    if out is not None:
        check_output(out, [table, other])
    annotations = AnnotationTable.load(table)
    shared = shared_artworks(annotations, AnnotationTable.load(other))
    if out is not None:
        annotations.select(~shared.shared).save(out)
    if as_json:
        print_json({"artworks": shared.artworks, "splits": shared.splits})
        return
    for artwork in shared.artworks:
        typer.echo(printable(artwork))
    rows = int(shared.shared.sum())
    say(f"{len(shared.artworks):,} paintings, {rows:,} rows of {table} are shared")
    for split_name, counts in shared.splits.items():
        listing = ", ".join(f"{count:,} in {name}" for name, count in counts.items())
        say(f"  {split_name} of {table.name}: {listing} of {other.name}")
    if out is not None:
        say(f"  {table.name} without them: {out}")


def sample(
    out: Annotated[Path, Option(help="The folder to create.")],
    artworks: Annotated[
        int | None,
        Option("--paintings", min=36, help="Number of paintings; 480 or 1658 by default."),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Another seed makes other paintings.")] = 0,
    layout: Annotated[
        str, Option(help="artelingo: 3 cultures; artemotion28: 28, with invented words.")
    ] = "artelingo",
    captions: Annotated[
        int, Option(min=1, max=20, help="artelingo: captions per culture and painting.")
    ] = 4,
    rows: Annotated[int, Option(min=1, help="artemotion28: annotations.")] = 173_745,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace a sample.")] = False,
) -> None:
    """Make a synthetic data set in the layout of a real one, with known best scores."""
    from artaffect.data.sample.write import write_sample
    from artaffect.errors import UnknownNameError

    if layout in MORE_LAYOUTS:
        MORE_LAYOUTS[layout](out, artworks, rows, seed, overwrite)
        return
    if layout != "artelingo":
        raise UnknownNameError("layout", layout, ["artelingo", *MORE_LAYOUTS])
    file = write_sample(out, artworks or 480, seed, overwrite, captions=captions)
    say(f"synthetic data: {file}; description and best possible scores: {out / 'SYNTHETIC.md'}")
    say(f"next: artaffect import artelingo {file} --images {out / 'wikiart'} --out sample.parquet")
