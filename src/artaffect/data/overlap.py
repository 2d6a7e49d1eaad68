"""Paintings that two tables share: what is learned from one must not be tested on in the other."""

import unicodedata
from dataclasses import dataclass

import numpy as np

from artaffect.data.annotations import AnnotationTable


@dataclass(frozen=True)
class Overlap:
    """Paintings of one table that stand in another too."""

    artworks: list[str]
    """Their ids in the first table."""
    splits: dict[str, dict[str, int]]
    """Split in the first table → split in the other → paintings; ``none`` where there is no split."""
    shared: np.ndarray
    """Whether each row of the first table belongs to one of them: bool [n]."""


def shared_artworks(table: AnnotationTable, other: AnnotationTable) -> Overlap:
    """Find the paintings of ``table`` that stand in ``other``.

    Paintings are known by their name, whatever art style they are filed under: releases of WikiArt
    disagree on styles, and a leak that is missed is worse than a painting too many held out.
    """
    ids, codes = table.codes("artwork_id")
    known = _split_of(other)
    names = [_name(str(one)) for one in ids]
    hit = np.array([name in known for name in names], bool)
    mine = _split_of(table)
    splits: dict[str, dict[str, int]] = {}
    found = []
    for position in np.unique(codes):
        if hit[position]:
            found.append(str(ids[position]))
            row = splits.setdefault(mine[names[position]], {})
            theirs = known[names[position]]
            row[theirs] = row.get(theirs, 0) + 1
    return Overlap(sorted(found), splits, hit[codes])


def _split_of(table: AnnotationTable) -> dict[str, str]:
    """Painting → its split."""
    ids, codes = table.codes("artwork_id")
    names, splits = table.codes("split")
    first = np.unique(codes, return_index=True)
    return {
        _name(str(ids[code])): str(names[splits[row]]) if splits[row] >= 0 else "none"
        for code, row in zip(*first, strict=True)
    }


def _name(artwork: str) -> str:
    return unicodedata.normalize("NFC", artwork.rpartition("/")[2])
