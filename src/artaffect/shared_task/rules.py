"""The rules of the shared task, from their defaults, a TOML file and overrides."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from artaffect.config import parse_config, read_toml

_POSITIVE = ("amusement", "awe", "contentment", "excitement")
_NEGATIVE = ("anger", "disgust", "fear", "sadness")


@dataclass(frozen=True)
class SharedTaskRules:
    """The rules of ArtEmotion-28 (SemEval-2027), as its organisers last stated them.

    They have changed before; whatever they may change is a setting.
    """

    labels: Literal["emotions", "sentiment"] = "emotions"
    """Subtask 1: eight emotions, or the older form, positive and negative."""
    positive: tuple[str, ...] = _POSITIVE
    """Emotions that count as positive."""
    negative: tuple[str, ...] = _NEGATIVE
    """Emotions that count as negative; all others are left out."""
    absent_labels: Literal["skip", "zero"] = "skip"
    """A label that a language neither has nor is given: left out of macro-F1, or counted as 0."""
    text_file: str = "predictions_text.csv"
    """Subtask 1: the run without the image."""
    multimodal_file: str = "predictions_multimodal.csv"
    """Subtask 1: the run with the image."""
    id_form: str = "st1_{:06d}"
    """Subtask 1: ids of items that have none, by their number."""
    share_file: str = "predictions.csv"
    """Subtask 2: the one file."""
    least_annotators: int = 5
    """Subtask 2: votes of a language on a painting."""
    root: bool = False
    """Subtask 2: score with the root of the divergence (the distance) instead."""
    id: str = "id"
    """Column: an item's id."""
    image_name: str = "image_name"
    """Column: the picture, relative to the folder of pictures."""
    painting: str = "painting"
    """Column: the painting."""
    language: str = "language"
    """Column: the caption's language."""
    caption: str = "caption"
    """Column: the caption."""
    label: str = "label"
    """Column: an item's answer."""
    source: str = "source_language"
    """Column: the language whose votes are known."""
    source_share: str = "source_p_positive"
    """Column: the positive share of its votes."""
    target: str = "target_language"
    """Column: the language asked for."""
    share: str = "p_positive"
    """Column: the positive share of the target's votes."""

    def __post_init__(self) -> None:
        if self.least_annotators < 1:
            raise ValueError(f"least_annotators must be at least 1, got {self.least_annotators}")
        if set(self.positive) & set(self.negative) or not self.positive or not self.negative:
            raise ValueError("positive and negative must name emotions, and none twice")

    @property
    def names(self) -> tuple[str, ...]:
        """What subtask 1 may answer."""
        if self.labels == "sentiment":
            return ("positive", "negative")
        return (*self.positive, *self.negative)


def load_rules(path: Path | None, overrides: Sequence[str] = ()) -> SharedTaskRules:
    """The rules as last stated, changed by a TOML file and by ``key=value`` overrides.

    Raises:
        ConfigError: an unknown key or a value that does not fit.
    """
    name = "rules" if path is None else str(path)
    return parse_config(read_toml(path, name, overrides), SharedTaskRules, name)
