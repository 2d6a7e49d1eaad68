"""The words of a caption, in any script, and their weights."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "BOPOMOFO")
"""Scripts without spaces between words; in these, the tokens are the words."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Word:
    """A word, or the text between two words."""

    text: str
    weight: float
    """How much it supports the emotion, in log-probability; 0 for text between words."""

    @property
    def is_word(self) -> bool:
        """Whether it contains a letter or a digit."""
        return any(unicodedata.category(c)[0] in "LN" for c in self.text)


def split_words(text: str, tokens: Sequence[Span] = ()) -> list[Span]:
    """Find the words of a text, without spaces and punctuation.

    Combining marks, such as Arabic and Indic vowel signs, stay with their letter. An apostrophe or hyphen
    between letters does not split a word. In scripts without spaces, each token is a word.

    Args:
        tokens: the span of each token in the text.
    """
    breaks = {end for span in tokens for end in span}
    words: list[Span] = []
    for i in (i for i in range(len(text)) if _in_word(text, i)):
        unspaced = _unspaced(text[i])
        follows = bool(words) and words[-1][1] == i and _unspaced(text[i - 1]) == unspaced
        if follows and not (unspaced and i in breaks):
            words[-1] = (words[-1][0], i + 1)
        else:
            words.append((i, i + 1))
    return words


def weigh_words(text: str, tokens: Sequence[Span], weights: np.ndarray) -> list[Word]:
    """Split the whole text into words and the text between them; a word has the weight of its tokens.

    Args:
        tokens: the span of each token in the text; empty for special tokens.
        weights: of the tokens [n].
    """
    spans = split_words(text, tokens)
    totals = np.zeros(len(spans))
    for (start, end), weight in zip(tokens, weights, strict=True):
        overlap = np.array([max(0, min(end, b) - max(start, a)) for a, b in spans], float)
        if overlap.sum() > 0:
            totals += weight * overlap / overlap.sum()
    weight_of = dict(zip(spans, totals.tolist(), strict=True))
    edges = sorted({0, len(text), *chain.from_iterable(spans)})
    return [Word(text[a:b], weight_of.get((a, b), 0.0)) for a, b in pairwise(edges)]


def _in_word(text: str, i: int) -> bool:
    kind = unicodedata.category(text[i])
    if kind[0] in "LN" or (kind[0] == "M" and i > 0):
        return True
    joins = text[i] in "'’-\u200c\u200d" and 0 < i < len(text) - 1
    return joins and all(unicodedata.category(text[j])[0] in "LMN" for j in (i - 1, i + 1))


def _unspaced(c: str) -> bool:
    return unicodedata.name(c, "").startswith(_UNSPACED)
