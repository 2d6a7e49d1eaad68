"""The nine emotions and distributions over them."""

import math

import pytest

from artaffect.errors import UnknownNameError
from artaffect.labels import EMOTIONS, Emotion, EmotionDistribution, Sentiment, parse_emotion


def test_the_order_is_that_of_artemis() -> None:
    assert list(map(str, EMOTIONS)) == [
        "amusement",
        "awe",
        "contentment",
        "excitement",
        "anger",
        "disgust",
        "fear",
        "sadness",
        "something else",
    ]
    signs = [e.sentiment for e in EMOTIONS]
    assert signs == [Sentiment.POSITIVE] * 4 + [Sentiment.NEGATIVE] * 4 + [Sentiment.OTHER]


@pytest.mark.parametrize(
    ("text", "emotion"),
    [
        (" Awe ", Emotion.AWE),
        ("other", Emotion.SOMETHING_ELSE),
        ("Something  Else", "something else"),
    ],
)
def test_labels_are_parsed_as_data_sets_spell_them(text: str, emotion: str) -> None:
    assert parse_emotion(text) == emotion


def test_an_unknown_label_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown emotion 'sadnes'. Did you mean 'sadness'"):
        parse_emotion("sadnes")


def test_a_distribution_has_a_top_emotion_an_entropy_and_a_sentiment() -> None:
    uniform = EmotionDistribution((1 / 9,) * 9)
    assert uniform.entropy == pytest.approx(math.log2(9))
    assert uniform.sentiment()[Sentiment.NEGATIVE] == pytest.approx(4 / 9)
    certain = EmotionDistribution((0, 0, 0, 0, 0, 0, 1, 0, 0))
    assert (certain.top, certain.entropy) == (Emotion.FEAR, 0)
    assert certain.probabilities[Emotion.FEAR] == 1


def test_invalid_distributions_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 9 probabilities, got 2"):
        EmotionDistribution((0.5, 0.5))
    with pytest.raises(ValueError, match="sum to 1"):
        EmotionDistribution((0.5,) * 9)
