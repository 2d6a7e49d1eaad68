"""What is published about data sets: true names, references, and the codes of languages."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable

SAMPLE = "artaffect sample"
"""The name of all synthetic data that `artaffect sample` writes, whatever layout they have."""


@dataclass(frozen=True)
class Reference:
    """Where a data set is described."""

    citation: str
    url: str


REFERENCES: Mapping[str, Reference] = {
    "ArtELingo": Reference(
        "Y. Mohamed et al. ArtELingo: A Million Emotion Annotations of WikiArt with Emphasis on Diversity "
        "over Language and Culture. EMNLP 2022",
        "https://arxiv.org/abs/2211.10780",
    ),
    "ArtEmis": Reference(
        "P. Achlioptas, M. Ovsjanikov, K. Haydarov, M. Elhoseiny and L. Guibas. ArtEmis: Affective Language "
        "for Visual Art. CVPR 2021",
        "https://arxiv.org/abs/2101.07396",
    ),
    "ArtELingo-28": Reference(
        "Y. Mohamed et al. No Culture Left Behind: ArtELingo-28, a Benchmark of WikiArt with Captions in 28 "
        "Languages. EMNLP 2024",
        "https://arxiv.org/abs/2411.03769",
    ),
}
"""Published data sets by their names."""


def with_dataset(table: "AnnotationTable", name: str) -> "AnnotationTable":
    """A table that records the name of the data set that it was read from; synthetic rows have their own."""
    name = SAMPLE if table.provenance.get("synthetic") else name
    return replace(table, provenance={**table.provenance, "dataset": name})


def dataset_name(provenance: Mapping[str, Any]) -> str:
    """The true name of the data set that rows come from, or else that of their file."""
    if name := provenance.get("dataset"):
        return str(name)
    return (
        SAMPLE
        if provenance.get("synthetic")
        else Path(str(provenance.get("source", "unknown"))).stem
    )


def language_codes(languages: Iterable[str]) -> list[str]:
    """The ISO 639 codes of languages given by name, without those that have none here."""
    return [code for name in languages if (code := _codes().get(name.lower()))]


@cache
def _codes() -> dict[str, str]:
    return tomllib.loads((Path(__file__).parent / "languages.toml").read_text("utf-8"))
