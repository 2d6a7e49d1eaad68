"""The nine emotions of ArtEmis and ArtELingo, in their published order, and answers made of them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from artaffect.errors import UnknownNameError


class Sentiment(StrEnum):
    """The valence that ArtEmis gives to an emotion."""

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
    def sentiment(self) -> Sentiment:
        index = EMOTIONS.index(self)
        if index < 4:
            return Sentiment.POSITIVE
        return Sentiment.NEGATIVE if index < 8 else Sentiment.OTHER

    @property
    def valence(self) -> int:
        """1 where positive, -1 where negative, 0 for something else."""
        return {Sentiment.POSITIVE: 1, Sentiment.NEGATIVE: -1, Sentiment.OTHER: 0}[self.sentiment]


EMOTIONS: tuple[Emotion, ...] = tuple(Emotion)

_ARABIC = ("تسلية", "رهبة", "رضا", "إثارة", "غضب", "اشمئزاز", "خوف", "حزن", "شيء آخر")
_CHINESE = ("有趣", "敬畏", "满足", "兴奋", "愤怒", "厌恶", "恐惧", "悲伤", "其他")

EMOTION_NAMES: Mapping[str, Mapping[Emotion, str]] = {
    "english": {emotion: str(emotion) for emotion in EMOTIONS},
    "arabic": dict(zip(EMOTIONS, _ARABIC, strict=True)),
    "chinese": dict(zip(EMOTIONS, _CHINESE, strict=True)),
}
"""What each emotion is called in the languages of ArtELingo."""

# ArtELingo writes "other" in some releases; two spellings with a joiner occur in derived copies.
_ALIASES = {
    "other": Emotion.SOMETHING_ELSE,
    "something_else": Emotion.SOMETHING_ELSE,
    "something-else": Emotion.SOMETHING_ELSE,
}

ANY_CULTURE = "any"
"""Name of the culture-blind answer: the public as a whole."""


def parse_emotion(text: str) -> Emotion:
    """Read a label as data sets write it; case and surrounding blanks do not matter.

    Raises:
        UnknownNameError: the text is none of the nine emotions.
    """
    name = " ".join(text.split()).lower()
    if name in _ALIASES:
        return _ALIASES[name]
    try:
        return Emotion(name)
    except ValueError:
        raise UnknownNameError("emotion", text, EMOTIONS) from None


@dataclass(frozen=True)
class EmotionDistribution:
    """How likely each emotion is: nine probabilities, in the order of ``EMOTIONS``, that sum to 1."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) != len(EMOTIONS):
            raise ValueError(f"expected {len(EMOTIONS)} probabilities, got {len(self.values)}")
        if min(self.values) < 0 or not math.isclose(sum(self.values), 1, abs_tol=1e-4):
            raise ValueError(f"probabilities must be at least 0 and sum to 1, got {self.values}")

    @classmethod
    def of(cls, values: Iterable[float]) -> "EmotionDistribution":
        return cls(tuple(float(value) for value in values))

    @property
    def probabilities(self) -> Mapping[Emotion, float]:
        return dict(zip(EMOTIONS, self.values, strict=True))

    @property
    def top(self) -> Emotion:
        return EMOTIONS[max(range(len(EMOTIONS)), key=self.values.__getitem__)]

    @property
    def entropy(self) -> float:
        """Shannon entropy in bits: 0 when certain, log2(9) = 3.17 when all are equally likely."""
        return -sum(p * math.log2(p) for p in self.values if p > 0)

    def sentiment(self) -> Mapping[Sentiment, float]:
        """The probability of each valence."""
        return {
            sentiment: sum(p for e, p in self.probabilities.items() if e.sentiment is sentiment)
            for sentiment in Sentiment
        }
