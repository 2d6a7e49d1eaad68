"""Splits by painting: all captions of a painting stand on the same side, always."""

import hashlib
import math
import unicodedata
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from artaffect.data.annotations import SPLITS, AnnotationTable
from artaffect.errors import TableError


def split_by_artwork(
    artworks: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> np.ndarray:
    """Assign each artwork to a split by a hash of its name.

    The answer for an artwork depends on nothing but its name, the seed and the fractions: added
    rows or another order change no other artwork's split. A painting that is filed under two art
    styles stays on one side.

    Args:
        artworks: artwork ids, ``<art_style>/<painting>`` [n].
        fractions: the share of each split; they sum to 1.

    Returns:
        The split's name for each given id: object [n].

    Raises:
        TableError: unknown split names, or shares that do not sum to 1.
    """
    unknown = set(fractions) - set(SPLITS)
    total = sum(fractions.values())
    if unknown or min(fractions.values()) < 0 or not math.isclose(total, 1, abs_tol=1e-6):
        raise TableError(
            f"fractions must name {', '.join(SPLITS)}, be at least 0 and sum to 1: "
            f"got {dict(fractions)}"
        )
    names = list(fractions)
    edges = np.cumsum([fractions[name] for name in names])
    places = np.array([_place(str(artwork), seed) for artwork in artworks])
    chosen = np.minimum(np.searchsorted(edges, places, side="right"), len(names) - 1)
    return np.array(names, object)[chosen]


def split_table(
    table: AnnotationTable, fractions: Mapping[str, float], seed: int = 0
) -> AnnotationTable:
    """The same rows under splits made by :func:`split_by_artwork`."""
    artworks, codes = table.codes("artwork_id")
    splits = split_by_artwork(artworks, fractions, seed)
    return table.with_split(pa.array(splits[codes], pa.string()))


def _place(artwork: str, seed: int) -> float:
    """A number in [0, 1) that looks random and is the same on every machine."""
    painting = unicodedata.normalize("NFC", artwork.rpartition("/")[2])
    digest = hashlib.blake2b(f"{seed}\0{painting}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
