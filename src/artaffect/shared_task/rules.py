"""The rules of ArtEmotion-28: labels, file formats, and the regions of its 28 languages."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from artaffect.errors import InputError
from artaffect.labels import LabelSet, label_sets
from artaffect.settings import parse_config, read_toml

REGIONS: dict[str, list[str]] = tomllib.loads(
    (files(__package__) / "languages.toml").read_text("utf-8")
)["regions"]
"""The organisers' regions and their languages, in lower case."""

LANGUAGES = tuple(sorted(language for group in REGIONS.values() for language in group))


def region_of(language: str) -> str:
    """The region of a language; ``other`` for a language that is not part of the task."""
    name = language.strip().lower()
    return next((region for region, group in REGIONS.items() if name in group), "other")


ARTELINGO28 = label_sets()["artelingo28"]
"""The labels of the data set."""


def label_indices(names: Sequence[str], labels: LabelSet) -> list[int]:
    """The positions of some of the task's labels in those of a table or a model.

    Raises:
        InputError: one of them is missing there.
    """
    if missing := [name for name in names if name not in labels]:
        raise InputError(
            f"the task has the label {missing[0]!r}, which is not one of {', '.join(labels)}"
        )
    return [labels.index(name) for name in names]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", use_attribute_docstrings=True))
class SharedTaskRules:
    """The rules of ArtEmotion-28 (SemEval-2027) as last published; all are settings, as they may change."""

    labels: Literal["emotions", "sentiment"] = "emotions"
    """Labels of subtask 1: the eight emotions, or the older pair `positive` and `negative`."""
    positive: tuple[str, ...] = ("amusement", "awe", "contentment", "excitement")
    """Emotions that count as positive."""
    negative: tuple[str, ...] = ("anger", "disgust", "fear", "sadness")
    """Emotions that count as negative. Any other emotion is left out."""
    absent_labels: Literal["skip", "zero"] = "skip"
    """How macro-F1 treats a label that a language has neither in the truth nor in the predictions:
    leave it out, or count it as 0."""
    text_file: str = "predictions_text.csv"
    """Subtask 1: the file of predictions made without the image."""
    multimodal_file: str = "predictions_multimodal.csv"
    """Subtask 1: the file of predictions made with the image."""
    id_format: str = "st1_{:06d}"
    """Subtask 1: the id given to each numbered item of a file without ids."""
    share_file: str = "predictions.csv"
    """Subtask 2: the file of predictions."""
    min_annotators: Annotated[int, Field(ge=1)] = 5
    """Subtask 2: the fewest votes that a language needs on an artwork."""
    use_jensen_shannon_distance: bool = False
    """Subtask 2: score with the square root of the divergence (the distance) instead."""
    id_column: str = "id"
    """Column of the item's id."""
    image_column: str = "image_name"
    """Column of the image's path, relative to the folder of images."""
    artwork_column: str = "painting"
    """Column of the artwork's name."""
    language_column: str = "language"
    """Column of the caption's language."""
    caption_column: str = "caption"
    """Column of the caption."""
    label_column: str = "label"
    """Column of the label: the answer of subtask 1."""
    source_column: str = "source_language"
    """Column of the language whose votes are given."""
    source_share_column: str = "source_p_positive"
    """Column of the positive share of the source language's votes."""
    target_column: str = "target_language"
    """Column of the language to predict."""
    target_share_column: str = "p_positive"
    """Column of the positive share of the target language's votes: the answer of subtask 2."""

    def __post_init__(self) -> None:
        names = [*self.positive, *self.negative]
        if not self.positive or not self.negative or len(set(names)) < len(names):
            raise ValueError("positive and negative must name emotions, and none twice")
        for name in set(names) - set(ARTELINGO28):
            known = ", ".join(ARTELINGO28)
            raise ValueError(f"unknown emotion {name!r} in positive or negative; known: {known}")

    @property
    def triple_columns(self) -> tuple[str, str, str]:
        """Columns of the artwork, source and target of an item of subtask 2."""
        return (self.artwork_column, self.source_column, self.target_column)

    @property
    def label_emotions(self) -> dict[str, tuple[str, ...]]:
        """The labels that subtask 1 allows, and the emotions that each stands for."""
        if self.labels == "sentiment":
            return {"positive": self.positive, "negative": self.negative}
        return {name: (name,) for name in (*self.positive, *self.negative)}


def load_rules(path: Path | None, overrides: Sequence[str] | None = None) -> SharedTaskRules:
    """The published rules, changed by a TOML file and then by ``key=value`` overrides.

    Raises:
        ConfigError: a key is unknown or a value does not fit.
    """
    name = "rules" if path is None else str(path)
    return parse_config(read_toml(path, name, overrides or ()), SharedTaskRules, name)
