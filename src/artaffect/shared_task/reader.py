"""Read ArtELingo-28, the data set of ArtEmotion-28 at SemEval-2027."""

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.annotations import AnnotationTable
from artaffect.data.filtering import import_rows
from artaffect.data.published import with_dataset
from artaffect.data.readers.csv import SourceRows, read_csv
from artaffect.errors import UnknownNameError
from artaffect.labels import ARTEMIS, LabelSet
from artaffect.runtime import as_path
from artaffect.shared_task.rules import ARTELINGO28, region_of

ARTEMOTION28_COLUMNS = (
    "painting", "image_name", "art_style", "language", "caption", "emotion", "split"
)  # fmt: skip


_LABELS: Mapping[str, LabelSet] = {
    "keep": ARTELINGO28,
    "merge": ARTEMIS,
    "drop": replace(ARTEMIS, aliases={}),
}
"""The label set for each treatment of the label ``other``."""


def read_artemotion28(
    path: str | PathLike[str],
    images: str | PathLike[str] | None = None,
    keep_unpictured: bool = False,
    by_region: bool = False,
    other: Literal["keep", "merge", "drop"] = "keep",
) -> AnnotationTable:
    """Read ``artelingo28_train_val.csv`` (ArtELingo-28, Mohamed et al. 2024; ArtEmotion-28).

    An artwork is identified by ``image_name``, ``<art_style>/<painting>.jpg``, because ``image_id``
    is not unique. Every row is one annotator's vote, so identical rows are all kept.

    Args:
        images: The folder that ``image_name`` is relative to.
        keep_unpictured: Keep the rows whose image is missing or broken.
        by_region: Use the organisers' region as the culture instead of the language.
        other: What becomes of the tenth label, ``other``: it is a label of its own, counts as
            ``something else``, or its rows are dropped.

    Raises:
        TableError: The file does not have this layout, or no row can be kept.
    """
    path = as_path(path, "path")
    if other not in _LABELS:
        raise UnknownNameError("treatment of the label other", other, _LABELS)
    raw = read_csv(path, ARTEMOTION28_COLUMNS, "ArtEmotion-28")
    _take_names_from_file(raw)
    raw.columns["utterance"] = raw.columns.pop("caption")
    table = import_rows(
        raw,
        path,
        images,
        keep_unpictured,
        labels=_LABELS[other],
        keep_duplicates=True,
        culture_of=region_of if by_region else str,
    )
    return with_dataset(table, "ArtELingo-28")


def _take_names_from_file(raw: SourceRows) -> None:
    """Replace style and artwork by the two parts of ``image_name`` where it has both."""
    encoded = raw.columns.pop("image_name").dictionary_encode()
    styles, artworks = [], []
    for name in encoded.dictionary.to_pylist():
        style, slash, file = name.rpartition("/")
        has_both = slash and "/" not in style
        styles.append(style if has_both else None)
        artworks.append(file.rpartition(".")[0] or file if has_both else None)
    for column, values in (("art_style", styles), ("painting", artworks)):
        from_file = pa.array(values, pa.string()).take(encoded.indices)
        raw.columns[column] = pc.coalesce(from_file, raw.columns[column])
