"""Read the data sets of the field into an :class:`AnnotationTable`.

Nothing is guessed, mended or replaced: what cannot be used is dropped and listed.
"""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from artaffect.data.annotations import AnnotationTable
from artaffect.data.filtering import ImportReport, IncomingRows
from artaffect.data.images import ImageStore
from artaffect.data.readers.csv import SourceRows, read_csv
from artaffect.data.readers.hf_parquet import read_embedded
from artaffect.errors import TableError
from artaffect.runtime import file_digest

_logger = logging.getLogger(__name__)

ARTELINGO_COLUMNS = ("art_style", "emotion", "language", "painting", "split", "utterance")
ARTEMIS_COLUMNS = ("art_style", "painting", "emotion", "utterance")


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
    return import_rows(raw, Path(path), images, keep_unpictured)


def read_artemis(
    path: Path | str, images: Path | str | None = None, keep_unpictured: bool = False
) -> tuple[AnnotationTable, ImportReport]:
    """Read ``artemis_dataset_release_v0.csv`` (Achlioptas et al. 2021): English, without splits.

    Arguments and errors as for :func:`read_artelingo`. Rows get no split: see ``artaffect split``.
    """
    raw = read_csv(Path(path), ARTEMIS_COLUMNS, "ArtEmis")
    raw.columns["language"] = pa.repeat("english", raw.size)
    raw.columns.pop("split", None)
    return import_rows(raw, Path(path), images, keep_unpictured)


def read_hf_parquet(
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
    return import_rows(raw, Path(path), images, keep_unpictured)


def import_rows(
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
    _logger.info(f"{report.source}: {report.read:,} rows read, {report.kept:,} kept")
    examples = {} if report.rows is None else _examples(report.rows)
    for reason, count in report.dropped.items():
        _logger.info(f"  dropped {count:>9,}  {reason}  (first: {examples[reason]})")
    if report.missing_artworks or report.unreadable_artworks:
        _logger.info(
            f"  paintings without a picture: {report.missing_artworks:,}, "
            f"with an unreadable one: {report.unreadable_artworks:,}"
        )
    if report.unpictured_rows:
        _logger.info(
            f"  kept without a picture: {report.unpictured_rows:,} rows "
            f"of {report.unpictured_artworks:,} paintings"
        )
    if report.leaking_artworks:
        _logger.info(
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
