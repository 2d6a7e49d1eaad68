"""Count the contents of a table, in the terms of the data sets' papers."""

from dataclasses import dataclass

import numpy as np

from artaffect.data.annotations import AnnotationTable


@dataclass(frozen=True)
class TableStatistics:
    """The numbers by which ArtELingo compares data sets, and the emotions of each culture."""

    images: int
    """Artworks, with or without an image."""
    with_image: int
    annotations: int
    emotions: int
    languages: dict[str, int]
    splits: dict[str, int]
    by_culture: dict[str, dict[str, float]]
    """The share of each emotion among the annotations of a culture."""
    culture_support: dict[str, int]
    audience: str
    """What a culture of the table is: see :attr:`AnnotationTable.audience`."""
    partial_labels: dict[str, int]
    """Rows whose label is one of several, by the labels; the shares leave them out."""
    annotations_per_image: float


def describe_table(table: AnnotationTable) -> TableStatistics:
    """Count artworks, annotations, languages and splits, and the emotions of each culture."""
    emotions, artworks = table.emotion_codes(), table.codes("artwork_id")[1]
    cultures, culture_codes = table.codes("culture")
    exact = table.has_exact_label
    counts = np.zeros((len(cultures), len(table.labels)), np.int64)
    np.add.at(counts, (culture_codes[exact], emotions[exact]), 1)
    counts_of = {name: counts[list(cultures).index(name)] for name in table.cultures}
    n_artworks = len(np.unique(artworks))
    return TableStatistics(
        images=n_artworks,
        with_image=len(np.unique(artworks[table.codes("image")[1] >= 0])),
        annotations=len(table),
        emotions=len(np.unique(emotions[exact])),
        audience=table.audience,
        partial_labels=table.counts_of_partial_labels(),
        languages=table.counts("language"),
        splits=table.counts("split"),
        by_culture={
            name: dict(zip(table.labels, (row / max(row.sum(), 1)).tolist(), strict=True))
            for name, row in counts_of.items()
        },
        culture_support={name: int(row.sum()) for name, row in counts_of.items()},
        annotations_per_image=len(table) / n_artworks if n_artworks else 0.0,
    )
