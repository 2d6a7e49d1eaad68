"""Read ArtELingo-28, the data of ArtEmotion-28 at SemEval-2027."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.annotations import AnnotationTable
from artaffect.data.filtering import import_rows
from artaffect.data.readers.csv import SourceRows, read_csv
from artaffect.shared_task.regions import region_of

ARTEMOTION28_COLUMNS = (
    "painting",
    "image_name",
    "art_style",
    "language",
    "caption",
    "emotion",
    "split",
)


def read_artemotion28(
    path: Path | str,
    images: Path | str | None = None,
    keep_unpictured: bool = False,
    by_region: bool = False,
    merge_other: bool = False,
) -> AnnotationTable:
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
    return import_rows(
        raw,
        Path(path),
        images,
        keep_unpictured,
        drop_other=not merge_other,
        keep_duplicates=True,
        culture_of=region_of if by_region else str,
    )


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
