"""Splits by artwork, and the artworks that two tables share.

All captions of an artwork belong to one split, so that no model is tested on an image it has seen.
"""

import hashlib
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from artaffect.errors import TableError

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable

SPLITS = ("train", "val", "test")


def split_by_artwork(
    artworks: np.ndarray, fractions: Mapping[str, float], seed: int = 0
) -> np.ndarray:
    """Assign artworks, ``<art_style>/<painting>`` [n], to splits by a hash of the name: object [n].

    The split of an artwork depends only on its name, the seed and the fractions: adding or reordering
    rows changes no other artwork's split. An artwork under two art styles stays in one split.

    Raises:
        TableError: a split is unknown, or the fractions do not sum to 1.
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
    hashes = np.array([_hash_to_unit(_artwork_name(str(id_)), seed) for id_ in artworks])
    bins = np.minimum(np.searchsorted(edges, hashes, side="right"), len(names) - 1)
    return np.array(names, object)[bins]


@dataclass(frozen=True)
class Overlap:
    """The artworks of one table that another table also contains."""

    artworks: list[str]
    """Their ids in the first table."""
    splits: Mapping[str, Mapping[str, int]]
    """Artworks by their split in the first table, then in the other; ``none`` without a split."""
    shared: np.ndarray
    """Whether each row of the first table belongs to one of them: bool [n]."""


def shared_artworks(table: "AnnotationTable", other: "AnnotationTable") -> Overlap:
    """Find the artworks of ``table`` that are also in ``other``.

    Artworks are matched by name regardless of their art style, because releases of WikiArt disagree
    on styles, and holding out one artwork too many is better than missing a leak.
    """
    ids, codes = table.codes("artwork_id")
    names = [_artwork_name(str(artwork)) for artwork in ids]
    split_of, other_split_of = _splits_by_name(table), _splits_by_name(other)
    is_shared = np.array([name in other_split_of for name in names], bool)[codes]
    shared = np.unique(codes[is_shared])
    splits: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for code in shared:
        splits[split_of[names[code]]][other_split_of[names[code]]] += 1
    return Overlap(sorted(str(ids[code]) for code in shared), splits, is_shared)


def _splits_by_name(table: "AnnotationTable") -> dict[str, str]:
    ids, codes = table.codes("artwork_id")
    names, splits = table.codes("split")
    artworks, first_rows = np.unique(codes, return_index=True)
    return {
        _artwork_name(str(ids[code])): str(names[splits[row]]) if splits[row] >= 0 else "none"
        for code, row in zip(artworks, first_rows, strict=True)
    }


def _artwork_name(artwork_id: str) -> str:
    """The name without the art style, in one Unicode form."""
    return unicodedata.normalize("NFC", artwork_id.rpartition("/")[2])


def _hash_to_unit(name: str, seed: int) -> float:
    """A number in [0, 1) that looks random and is the same on every machine."""
    digest = hashlib.blake2b(f"{seed}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
