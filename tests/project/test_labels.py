"""The nine emotions and answers made of them."""

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
def test_labels_are_read_as_data_sets_write_them(text: str, emotion: str) -> None:
    assert parse_emotion(text) == emotion


def test_unknown_labels_get_a_hint() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown emotion 'sadnes'. Did you mean 'sadness'"):
        parse_emotion("sadnes")


def test_a_distribution_knows_its_top_entropy_and_valence() -> None:
    even = EmotionDistribution.of([1 / 9] * 9)
    assert even.entropy == pytest.approx(math.log2(9))
    assert even.sentiment()[Sentiment.NEGATIVE] == pytest.approx(4 / 9)
    sure = EmotionDistribution.of([0, 0, 0, 0, 0, 0, 1, 0, 0])
    assert (sure.top, sure.entropy) == (Emotion.FEAR, 0)
    assert sure.probabilities[Emotion.FEAR] == 1


def test_what_is_no_distribution_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 9 probabilities, got 2"):
        EmotionDistribution.of([0.5, 0.5])
    with pytest.raises(ValueError, match="sum to 1"):
        EmotionDistribution.of([0.5] * 9)
