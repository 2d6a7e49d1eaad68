"""Count what a table holds, in the terms of the data sets' papers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from artaffect.data.annotations import AnnotationTable
from artaffect.labels import EMOTIONS


@dataclass(frozen=True)
class TableStatistics:
    """The figures by which ArtELingo compares data sets, and each culture's emotions."""

    images: int
    pictured: int
    """Artworks that have a picture here."""
    annotations: int
    emotions: int
    languages: dict[str, int]
    splits: dict[str, int]
    by_culture: dict[str, dict[str, float]]
    """Share of each emotion among a culture's annotations."""
    culture_support: dict[str, int]

    @property
    def annotations_per_image(self) -> float:
        return self.annotations / self.images if self.images else 0.0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "annotations_per_image": self.annotations_per_image}


def describe_table(table: AnnotationTable) -> TableStatistics:
    """Count a table."""
    emotions = table.emotion_codes()
    cultures, culture_codes = table.codes("culture")
    artworks = table.codes("artwork_id")[1]
    images = table.codes("image")[1]
    counts = np.zeros((len(cultures), len(EMOTIONS)), np.int64)
    np.add.at(counts, (culture_codes, emotions), 1)
    order = [int(np.flatnonzero(cultures == name)[0]) for name in table.cultures]
    return TableStatistics(
        images=len(np.unique(artworks)),
        pictured=len(np.unique(artworks[images >= 0])),
        annotations=len(table),
        emotions=len(np.unique(emotions)),
        languages=_tally(table, "language"),
        splits=_tally(table, "split"),
        by_culture={
            str(cultures[i]): dict(
                zip(map(str, EMOTIONS), (counts[i] / counts[i].sum()).tolist(), strict=True)
            )
            for i in order
        },
        culture_support={str(cultures[i]): int(counts[i].sum()) for i in order},
    )


def print_statistics(found: TableStatistics) -> None:
    """Print the table by which the data sets' papers describe themselves, and the emotions."""
    console = Console()
    counts = Table("what", "count", title="annotations", title_justify="left")
    for name, value in (
        ("images", f"{found.images:,}"),
        ("images with a picture here", f"{found.pictured:,}"),
        ("annotations", f"{found.annotations:,}"),
        ("annotations / image", f"{found.annotations_per_image:.2f}"),
        ("emotions", f"{found.emotions}"),
        ("languages", _listing(found.languages)),
        ("splits", _listing(found.splits)),
    ):
        counts.add_row(name, value)
    console.print(counts)
    shares = Table(title="share of each emotion, per culture", title_justify="left")
    shares.add_column("emotion")
    for culture, support in found.culture_support.items():
        shares.add_column(f"{culture} ({support:,})", justify="right")
    for emotion in EMOTIONS:
        row = [f"{found.by_culture[culture][emotion]:.1%}" for culture in found.by_culture]
        shares.add_row(emotion, *row)
    console.print(shares)


def _listing(tally: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in tally.items())


def _tally(table: AnnotationTable, column: str) -> dict[str, int]:
    names, codes = table.codes(column)
    counts = np.bincount(codes + 1, minlength=len(names) + 1)
    tally = {str(name): int(n) for name, n in zip(names, counts[1:], strict=True) if n}
    if counts[0]:
        tally["none"] = int(counts[0])
    return dict(sorted(tally.items(), key=lambda item: -item[1]))
