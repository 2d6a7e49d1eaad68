"""What every predictor takes, gives and promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from artaffect.data.preprocessing import ImageSource
from artaffect.errors import InputError
from artaffect.labels import EmotionDistribution


@dataclass(frozen=True)
class PredictionInput:
    """One artwork, as far as it is known: a picture, a caption, or both."""

    image: ImageSource | None = None
    caption: str | None = None
    language: str | None = None
    """What the caption is written in, where it is known; it is kept apart from ``cultures``."""
    cultures: Sequence[str] | None = None
    """Whose reading is asked for; every culture of the model where none is named."""

    def __post_init__(self) -> None:
        if self.caption is not None and not self.caption.strip():
            raise InputError("the caption is empty: leave it out, or write one")
        if self.image is None and self.caption is None:
            raise InputError("nothing to predict from: give an image, a caption, or both")


@dataclass(frozen=True)
class Reading:
    """What one culture feels."""

    culture: str
    emotions: EmotionDistribution
    shares: Mapping[str, float]
    """How much ``image`` and ``caption`` moved the answer; they sum to 1."""
    note: str | None = None
    """What to know about this answer, for example that the culture was not in training."""

    def to_json(self) -> dict[str, Any]:
        return {
            "culture": self.culture,
            "top": str(self.emotions.top),
            "emotions": {str(e): round(p, 6) for e, p in self.emotions.probabilities.items()},
            "entropy_bits": round(self.emotions.entropy, 4),
            "shares": {name: round(share, 4) for name, share in self.shares.items()},
            "note": self.note,
        }


@dataclass(frozen=True)
class Prediction:
    """The answers for one artwork, in the order in which the cultures were asked for."""

    readings: Sequence[Reading] = field(default_factory=tuple)

    def of(self, culture: str) -> Reading:
        """One culture's reading; KeyError where it was not asked for."""
        for reading in self.readings:
            if reading.culture == culture:
                return reading
        raise KeyError(culture)

    def to_json(self) -> dict[str, Any]:
        return {"readings": [reading.to_json() for reading in self.readings]}


class Predictor(Protocol):
    """Answers for artworks. Every kind gives the same answers to 1e-4."""

    @property
    def cultures(self) -> Sequence[str]:
        """Whose readings it knows apart."""
        ...

    def predict(
        self,
        image: ImageSource | None = None,
        caption: str | None = None,
        language: str | None = None,
        cultures: Sequence[str] | None = None,
    ) -> Prediction:
        """What one artwork evokes; the arguments are those of :class:`PredictionInput`.

        Raises:
            ImageError: the picture cannot be read.
            InputError: nothing is given that the model looks at.
        """
        ...

    def predict_batch(self, inputs: Sequence[PredictionInput]) -> list[Prediction]:
        """One prediction for each input, in order; the same as one by one, and faster.

        Raises:
            ImageError: a picture cannot be read.
            InputError: an input holds nothing that the model looks at.
        """
        ...
