"""Read ArtELingo and ArtEmis from CSV.

Nothing is guessed, repaired or replaced: rows that cannot be used are dropped and listed.
"""

from os import PathLike

import pyarrow as pa

from artaffect.data.annotations import AnnotationTable
from artaffect.data.filtering import import_rows
from artaffect.data.published import with_dataset
from artaffect.data.readers.csv import read_csv
from artaffect.runtime import as_path

ARTELINGO_COLUMNS = ("art_style", "emotion", "language", "painting", "split", "utterance")
ARTEMIS_COLUMNS = ("art_style", "painting", "emotion", "utterance")


def read_artelingo(
    path: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    keep_unpictured: bool = False,
) -> AnnotationTable:
    """Read ``artelingo_release.csv`` or ``artelingo_release_lite.csv`` (Mohamed et al. 2022).

    The table's ``report`` says which rows were dropped, and why.

    Args:
        images: the WikiArt folder, which holds ``<art_style>/<painting>.jpg``.
        keep_unpictured: keep rows whose image is missing or unreadable, without an image.

    Raises:
        TableError: the file has another layout, or no row can be kept.
    """
    path = as_path(path, "path")
    source = read_csv(path, ARTELINGO_COLUMNS, "ArtELingo")
    return with_dataset(import_rows(source, path, images, keep_unpictured), "ArtELingo")


def read_artemis(
    path: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    keep_unpictured: bool = False,
) -> AnnotationTable:
    """Read ``artemis_dataset_release_v0.csv`` (Achlioptas et al. 2021), which is in English.

    The data set has no splits: see :meth:`AnnotationTable.split`. Arguments and errors are those of
    :func:`read_artelingo`.
    """
    path = as_path(path, "path")
    source = read_csv(path, ARTEMIS_COLUMNS, "ArtEmis")
    source.columns["language"] = pa.repeat("english", source.size)
    source.columns.pop("split", None)
    return with_dataset(import_rows(source, path, images, keep_unpictured), "ArtEmis")
