"""What the rows of any table must have: a culture, an artwork, and the image that they name."""

import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from artaffect.data.filtering import (
    MISSING,
    Columns,
    Labels,
    Step,
    check_captions,
    clean_emotions,
    clean_splits,
    drop,
    drop_duplicates,
)
from artaffect.data.images import SUFFIXES, ImageStore, is_plain_name
from artaffect.data.label_maps import Rule
from artaffect.labels import culture_name, spelling

_UNSAFE = "unsafe"
_UNKNOWN = "unknown"
"""The art style or the language of a row that does not say."""


def table_steps(
    store: ImageStore | None,
    keep_unpictured: bool,
    has_splits: bool,
    label_rule: Rule,
    are_votes: bool,
) -> list[Step]:
    """The steps by which each row is kept or dropped.

    Args:
        store: the images that the rows name; None if they name none.
        keep_unpictured: keep rows with a caption whose image is missing or unreadable.
        label_rule: what a cell of the column of labels stands for.
        are_votes: whether rows are votes, which need no caption; without images, nor an image.
    """
    find = None
    if store:
        find = partial(
            find_images, store=store, keep_unpictured=keep_unpictured, are_votes=are_votes
        )
    root = store.root if store else Path()
    return [
        partial(clean_emotions, rule=label_rule),
        *([] if are_votes else [check_captions]),
        clean_cultures,
        partial(name_artworks, root=root),
        *([clean_splits] if has_splits else []),
        *([find] if find else []),
        drop_duplicates,
    ]


def clean_cultures(columns: Columns, reasons: np.ndarray) -> tuple[Columns, np.ndarray]:
    """Add the columns ``culture`` and ``language``, in small letters; any culture is no culture."""
    culture = columns.clean("culture", culture_name)
    language = columns.clean("language", lambda text: spelling(text) or _UNKNOWN)
    columns = columns.adding(culture=culture, language=language)
    return columns, drop(reasons, "empty culture", culture.codes < 0)


def name_artworks(columns: Columns, reasons: np.ndarray, root: Path) -> tuple[Columns, np.ndarray]:
    """Add the columns ``art_style`` and ``artwork``; an artwork without a name has that of its image.

    Names are in Unicode's form NFC, as those of other data sets.
    """
    cells = columns.source.columns
    parts = [cells[name] for name in ("art_style", "painting", "image") if name in cells]
    joined = pc.binary_join_element_wise(*parts, "\0")

    def name(text: str) -> tuple[str, str] | None:
        style, artwork, *image = map(_composed, text.split("\0"))
        artwork = artwork or (_without_suffix(image_path(image[0], root)) if image else "")
        return (style, artwork) if artwork else None

    pairs, codes = Labels.clean(joined, name)
    artwork = Labels(np.concatenate([pairs, [None]]), codes)  # the last one is that of the code -1
    style = columns.clean("art_style", lambda text: _composed(text) or _UNKNOWN)
    columns = columns.adding(art_style=style, artwork=artwork)
    return columns, drop(reasons, "empty artwork name", codes < 0)


def find_images(
    columns: Columns,
    reasons: np.ndarray,
    store: ImageStore,
    keep_unpictured: bool,
    are_votes: bool,
) -> tuple[Columns, np.ndarray]:
    """Add the column ``image``, and ``fault``, which says why a row does not have the image it names."""
    encoded = columns.source.columns["image"].dictionary_encode()
    names, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy(zero_copy_only=False)
    files, faults = np.full(len(names), None, object), np.full(len(names), "", object)
    for position in np.unique(codes[reasons < 0]):
        files[position], faults[position] = _find(names[position], store)
    broken = store.find_broken(sorted({file for file in files if file}))
    for position, file in enumerate(files):
        if file in broken:
            files[position], faults[position] = None, broken[file]
    is_needed = np.full(len(codes), not keep_unpictured)
    if keep_unpictured and not are_votes:
        is_needed = columns.lacks_caption
    for reason, is_fault in (
        ("unsafe image name", faults == _UNSAFE),
        ("image missing", faults == MISSING),
        ("image unreadable", faults != ""),
    ):
        reasons = drop(reasons, reason, is_fault[codes] & is_needed)
    image = _unique(files[codes])
    reasons = drop(reasons, "another image of the artwork", _is_other(columns, image, reasons))
    return columns.adding(image=image, fault=Labels(faults, codes)), reasons


def image_path(name: str, root: Path) -> str:
    """The name of an image relative to the folder of images, with slashes; it may still leave it."""
    path = name.strip().replace("\\", "/")
    for folder in (str(root), str(root.absolute())):
        path = path.removeprefix(folder.rstrip("/") + "/") if path.startswith("/") else path
    first, *others = [part for part in path.split("/") if part != "."] or [""]
    return "/".join([first, *filter(None, others)])


def _find(name: str, store: ImageStore) -> tuple[str | None, str]:
    """The file of an image, or its fault; neither for a blank name."""
    path = image_path(name, store.root)
    if not path:
        return None, ""
    if not all(map(is_plain_name, path.split("/"))):
        return None, _UNSAFE
    file = store.find(*path.split("/"))
    return file, "" if file else MISSING


def _unique(files: np.ndarray) -> Labels:
    """Files [n], or None, as distinct names and each row's index."""
    names = sorted({file for file in files if file is not None})
    index = {name: position for position, name in enumerate(names)} | {None: -1}
    codes = np.fromiter((index[file] for file in files), np.int64, len(files))
    return Labels(np.fromiter(names, object, len(names)), codes)


def _is_other(columns: Columns, image: Labels, reasons: np.ndarray) -> np.ndarray:
    """Whether each row has another image than the first of its artwork, which is the only one used."""
    artworks = columns["artwork"].codes
    rows = np.flatnonzero((reasons < 0) & (image.codes >= 0))
    _, first, inverse = np.unique(artworks[rows], return_index=True, return_inverse=True)
    is_other = np.zeros(len(reasons), bool)
    is_other[rows] = image.codes[rows] != image.codes[rows[first]][inverse]
    return is_other


def _without_suffix(path: str) -> str:
    suffix = next((s for s in SUFFIXES if path.lower().endswith(s)), "")
    return path[: len(path) - len(suffix)]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())
