"""Read the data sets of the field into an :class:`AnnotationTable`.

Nothing is guessed, mended or replaced: what cannot be used is dropped and listed.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.annotations import AnnotationTable
from artaffect.data.cleaning import ImportReport, IncomingRows
from artaffect.data.csv_lines import SourceRows, read_csv
from artaffect.data.embedded import read_embedded
from artaffect.data.images import ImageStore
from artaffect.data.regions import region_of
from artaffect.errors import TableError
from artaffect.runtime import file_digest, say

ARTELINGO_COLUMNS = ("art_style", "emotion", "language", "painting", "split", "utterance")
ARTEMIS_COLUMNS = ("art_style", "painting", "emotion", "utterance")
ARTEMOTION28_COLUMNS = (
    "painting",
    "image_name",
    "art_style",
    "language",
    "caption",
    "emotion",
    "split",
)


def read_artelingo(
    path: Path | str, images: Path | str | None = None, keep_unpictured: bool = False
) -> tuple[AnnotationTable, ImportReport]:
    """Read ``artelingo_release.csv`` or ``artelingo_release_lite.csv`` (Mohamed et al. 2022).

    Args:
        images: the WikiArt folder; pictures are ``<images>/<art_style>/<painting>.jpg``.
        keep_unpictured: keep rows whose picture is missing or broken, without it.

    Raises:
        TableError: the file has another shape, or no row could be kept.
    """
    raw = read_csv(Path(path), ARTELINGO_COLUMNS, "ArtELingo")
    return _import(raw, Path(path), images, keep_unpictured)


def read_artemis(
    path: Path | str, images: Path | str | None = None, keep_unpictured: bool = False
) -> tuple[AnnotationTable, ImportReport]:
    """Read ``artemis_dataset_release_v0.csv`` (Achlioptas et al. 2021): English, without splits.

    Arguments and errors as for :func:`read_artelingo`. Rows get no split: see ``artaffect split``.
    """
    raw = read_csv(Path(path), ARTEMIS_COLUMNS, "ArtEmis")
    raw.columns["language"] = pa.repeat("english", raw.size)
    raw.columns.pop("split", None)
    return _import(raw, Path(path), images, keep_unpictured)


def read_artemotion28(
    path: Path | str,
    images: Path | str | None = None,
    keep_unpictured: bool = False,
    by_region: bool = False,
    merge_other: bool = False,
) -> tuple[AnnotationTable, ImportReport]:
    """Read ``artelingo28_train_val.csv`` (ArtELingo-28, Mohamed et al. 2024; ArtEmotion-28).

    A painting is known by ``image_name``, ``<art_style>/<painting>.jpg``, because ``image_id`` is not
    unique. Every row is one reader's vote, so equal rows are all kept.

    Args:
        images: the folder that ``image_name`` is relative to.
        by_region: the culture is the organisers' region instead of the language.
        merge_other: count the tenth label, ``other``, as ``something else``; it is dropped otherwise.

    Other arguments and errors as for :func:`read_artelingo`.
    """
    raw = read_csv(Path(path), ARTEMOTION28_COLUMNS, "ArtEmotion-28")
    _name_by_file(raw)
    raw.columns["utterance"] = raw.columns.pop("caption")
    rows = IncomingRows(raw)
    if not merge_other:
        rows.set_other_aside()
    return _import(raw, Path(path), images, keep_unpictured, rows, region_of if by_region else None)


def _name_by_file(raw: SourceRows) -> None:
    """Take style and painting from ``image_name`` where it has both."""
    encoded = raw.columns.pop("image_name").dictionary_encode()
    styles, paintings = [], []
    for name in encoded.dictionary.to_pylist():
        style, slash, file = name.rpartition("/")
        plain = slash and "/" not in style
        styles.append(style if plain else None)
        paintings.append(file.rpartition(".")[0] or file if plain else None)
    for column, values in (("art_style", styles), ("painting", paintings)):
        named = pa.array(values, pa.string()).take(encoded.indices)
        raw.columns[column] = pc.coalesce(named, raw.columns[column])


def read_parquet(
    path: Path | str, images: Path | str, keep_unpictured: bool = False
) -> tuple[AnnotationTable, ImportReport]:
    """Read the Hugging Face layout: a Parquet file, or a folder of them, with embedded pictures.

    Args:
        images: the folder into which pictures are written, byte for byte, once per painting.

    Raises:
        TableError: as for :func:`read_artelingo`.
    """
    Path(images).mkdir(parents=True, exist_ok=True)
    raw = read_embedded(Path(path), Path(images))
    return _import(raw, Path(path), images, keep_unpictured)


def _import(
    raw: SourceRows,
    path: Path,
    images: Path | str | None,
    keep_unpictured: bool,
    votes: IncomingRows | None = None,
    culture_of: Callable[[str], str] | None = None,
) -> tuple[AnnotationTable, ImportReport]:
    """The way of all data sets.

    Args:
        votes: the rows, where each is a vote and equal ones are no mistake.
        culture_of: names the culture after the language.
    """
    if images is None and not keep_unpictured:
        raise TableError("no folder of pictures given: name it, or keep the rows without pictures")
    store = None if images is None else ImageStore(Path(images))
    rows = votes or IncomingRows(raw)
    report = ImportReport(source=str(path), read=raw.size + len(raw.malformed))

    rows.check_labels()
    if culture_of is not None:
        rows.name_cultures(culture_of)
    rows.check_names()
    if "split" in raw.columns:
        rows.check_splits()
    if store is not None:
        rows.find_images(store, report, keep_unpictured)
    if votes is None:
        rows.check_duplicates()

    table = rows.table(
        {
            "source": str(path.resolve()),
            "sha256": file_digest(path) if path.is_file() else None,
            "images": str(store.root.resolve()) if store else None,
        }
    )
    rows.report(report, table)
    if not len(table):
        why = ", ".join(f"{reason} {count:,}" for reason, count in report.dropped.items())
        raise TableError(f"{path}: none of its {report.read:,} rows can be used ({why or 'empty'})")
    return table, report


def describe(report: ImportReport) -> None:
    """Say on the terminal what an import did."""
    say(f"{report.source}: {report.read:,} rows read, {report.kept:,} kept")
    examples = {} if report.rows is None else _examples(report.rows)
    for reason, count in report.dropped.items():
        say(f"  dropped {count:>9,}  {reason}  (first: {examples[reason]})")
    if report.missing_artworks or report.unreadable_artworks:
        say(
            f"  paintings without a picture: {report.missing_artworks:,}, "
            f"with an unreadable one: {report.unreadable_artworks:,}"
        )
    if report.unpictured_rows:
        say(
            f"  kept without a picture: {report.unpictured_rows:,} rows "
            f"of {report.unpictured_artworks:,} paintings"
        )
    if report.leaking_artworks:
        say(
            f"  warning: {report.leaking_artworks:,} paintings stand in more than one split; "
            "scores will flatter the model. `artaffect split` makes clean ones."
        )


def _examples(rows: pa.Table) -> dict[str, str]:
    first: dict[str, str] = {}
    reasons = rows["reason"].to_numpy()
    for reason in np.unique(reasons):
        row = rows.slice(int(np.flatnonzero(reasons == reason)[0]), 1).to_pylist()[0]
        first[str(reason)] = f"{row['file']} line {row['line']}: {row['detail'][:120]}"
    return first
