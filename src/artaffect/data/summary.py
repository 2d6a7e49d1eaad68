"""Count the contents of a table, in the terms of the data sets' papers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.labels import EMOTIONS


@dataclass(frozen=True)
class TableStatistics:
    """The numbers by which ArtELingo compares data sets, and the emotions of each culture."""

    images: int
    """Artworks, with or without an image."""
    with_image: int
    """Artworks with an image."""
    annotations: int
    emotions: int
    languages: dict[str, int]
    splits: dict[str, int]
    by_culture: dict[str, dict[str, float]]
    """The share of each emotion among the annotations of a culture."""
    culture_support: dict[str, int]
    """The annotations of each culture."""
    annotations_per_image: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def describe_table(table: AnnotationTable) -> TableStatistics:
    """Count artworks, annotations, languages and splits, and the emotions of each culture."""
    emotions = table.emotion_codes()
    cultures, culture_codes = table.codes("culture")
    artworks = table.codes("artwork_id")[1]
    images = table.codes("image")[1]
    counts = np.zeros((len(cultures), len(EMOTIONS)), np.int64)
    np.add.at(counts, (culture_codes, emotions), 1)
    counts_of = {name: counts[int(np.flatnonzero(cultures == name)[0])] for name in table.cultures}
    n_artworks = len(np.unique(artworks))
    return TableStatistics(
        images=n_artworks,
        with_image=len(np.unique(artworks[images >= 0])),
        annotations=len(table),
        emotions=len(np.unique(emotions)),
        languages=_tally(table, "language"),
        splits=_tally(table, "split"),
        by_culture={
            name: dict(zip(map(str, EMOTIONS), (row / row.sum()).tolist(), strict=True))
            for name, row in counts_of.items()
        },
        culture_support={name: int(row.sum()) for name, row in counts_of.items()},
        annotations_per_image=len(table) / n_artworks if n_artworks else 0.0,
    )


def _tally(table: AnnotationTable, column: str) -> dict[str, int]:
    names, codes = table.codes(column)
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    tally = {str(name): int(n) for name, n in zip(names, counts[1:], strict=True) if n}
    if counts[0]:
        tally["none"] = int(counts[0])
    return dict(sorted(tally.items(), key=lambda item: -item[1]))
