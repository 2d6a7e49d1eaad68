"""Words are kept whole in every script, and no weight is lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artaffect.explain.words import split_words, weigh_words


def texts(caption: str, tokens: list[tuple[int, int]] | None = None) -> list[str]:
    return [caption[a:b] for a, b in split_words(caption, tokens or [])]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("I don't like the blood-red sky.", ["I", "don't", "like", "the", "blood-red", "sky"]),
        ("شلال طبيعي، جميل!", ["شلال", "طبيعي", "جميل"]),
        ("مُدَرِّسٌ حزين", ["مُدَرِّسٌ", "حزين"]),  # vowel marks stay with their letters
        ("नीला आकाश", ["नीला", "आकाश"]),
        ("'quoted' - dash", ["quoted", "dash"]),
        ("", []),
        ("?! …", []),
    ],
)
def test_words_are_split_at_spaces_and_punctuation(caption: str, words: list[str]) -> None:
    assert texts(caption) == words


def test_tokens_are_the_words_of_scripts_without_spaces() -> None:
    caption = "雪后的村庄,very安静"
    tokens = [(0, 2), (2, 3), (3, 5), (5, 6), (6, 10), (10, 12)]
    assert texts(caption, tokens) == ["雪后", "的", "村庄", "very", "安静"]
    # tokens do not split a word of a script with spaces
    assert texts("waterfall", [(0, 5), (5, 9)]) == ["waterfall"]


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=12),
)
def test_the_text_and_the_weights_are_kept(text: str, cuts: list[tuple[int, int]]) -> None:
    tokens = [(min(a, len(text)), min(a + n, len(text))) for a, n in cuts]
    weights = np.linspace(-1, 1, len(tokens))
    words = weigh_words(text, tokens, weights)
    assert "".join(word.text for word in words) == text
    spans = split_words(text, tokens)
    on_words = [
        w for (a, b), w in zip(tokens, weights, strict=True)
        if any(min(b, end) > max(a, start) for start, end in spans)
    ]  # fmt: skip
    assert sum(word.weight for word in words) == pytest.approx(sum(on_words), abs=1e-9)
