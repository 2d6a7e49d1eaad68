"""The nine emotions of ArtEmis and ArtELingo, in their published order, and distributions over them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from artaffect.errors import UnknownNameError


class Sentiment(StrEnum):
    """The valence that ArtEmis assigns to an emotion."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    OTHER = "other"


class Emotion(StrEnum):
    """The label set of ArtEmis (Achlioptas et al. 2021) and ArtELingo (Mohamed et al. 2022)."""

    AMUSEMENT = "amusement"
    AWE = "awe"
    CONTENTMENT = "contentment"
    EXCITEMENT = "excitement"
    ANGER = "anger"
    DISGUST = "disgust"
    FEAR = "fear"
    SADNESS = "sadness"
    SOMETHING_ELSE = "something else"

    @property
    def valence(self) -> int:
        """1 for positive, -1 for negative, 0 for something else."""
        index = EMOTIONS.index(self)
        return 1 if index < 4 else -1 if index < 8 else 0

    @property
    def sentiment(self) -> Sentiment:
        return {1: Sentiment.POSITIVE, -1: Sentiment.NEGATIVE, 0: Sentiment.OTHER}[self.valence]


EMOTIONS: tuple[Emotion, ...] = tuple(Emotion)

_ARABIC = ("تسلية", "رهبة", "رضا", "إثارة", "غضب", "اشمئزاز", "خوف", "حزن", "شيء آخر")
_CHINESE = ("有趣", "敬畏", "满足", "兴奋", "愤怒", "厌恶", "恐惧", "悲伤", "其他")

EMOTION_NAMES: Mapping[str, Mapping[Emotion, str]] = {
    "english": {emotion: str(emotion) for emotion in EMOTIONS},
    "arabic": dict(zip(EMOTIONS, _ARABIC, strict=True)),
    "chinese": dict(zip(EMOTIONS, _CHINESE, strict=True)),
}
"""The name of each emotion in the languages of ArtELingo."""

# Some releases of ArtELingo write "other"; copies of it spell "something else" in two other ways.
_EMOTION_BY_NAME = {
    **{str(emotion): emotion for emotion in EMOTIONS},
    **dict.fromkeys(("other", "something_else", "something-else"), Emotion.SOMETHING_ELSE),
}

ANY_CULTURE = "any"
"""The name of the culture-blind prediction, for all cultures together."""


def parse_emotion(text: str) -> Emotion:
    """Parse a label as data sets spell it, ignoring case and blanks, or raise UnknownNameError."""
    emotion = _EMOTION_BY_NAME.get(" ".join(text.split()).lower())
    if emotion is None:
        raise UnknownNameError("emotion", text, EMOTIONS)
    return emotion


@dataclass(frozen=True)
class EmotionDistribution:
    """A probability for each emotion, in the order of ``EMOTIONS``."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(EMOTIONS):
            raise ValueError(f"expected {len(EMOTIONS)} probabilities, got {len(self.values)}")
        if min(self.values) < 0 or not math.isclose(sum(self.values), 1, abs_tol=1e-4):
            raise ValueError(f"probabilities must be at least 0 and sum to 1, got {self.values}")

    @property
    def probabilities(self) -> Mapping[Emotion, float]:
        return dict(zip(EMOTIONS, self.values, strict=True))

    @property
    def top(self) -> Emotion:
        return EMOTIONS[self.values.index(max(self.values))]

    @property
    def entropy(self) -> float:
        """Shannon entropy in bits: 0 when certain, log2(9) = 3.17 when uniform."""
        return -sum(p * math.log2(p) for p in self.values if p > 0)

    def sentiment(self) -> Mapping[Sentiment, float]:
        """The probability of each valence."""
        return {
            sentiment: sum(p for e, p in self.probabilities.items() if e.sentiment is sentiment)
            for sentiment in Sentiment
        }
