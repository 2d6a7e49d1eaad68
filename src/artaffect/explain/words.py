"""Whole words of a caption, in any script, and the weight of each."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "BOPOMOFO")
"""Scripts that write no blanks between words: there the tokenizer's pieces are the words."""

Span = tuple[int, int]


@dataclass(frozen=True)
class Word:
    """A word, or what stands between words."""

    text: str
    weight: float
    """How much it speaks for the answer, in units of log-probability; 0 for blanks."""

    @property
    def spoken(self) -> bool:
        """Whether it is a word: neither blank nor punctuation."""
        return any(unicodedata.category(c)[0] in "LN" for c in self.text)


def split_words(text: str, pieces: Sequence[Span] = ()) -> list[Span]:
    """Where words begin and end; blanks and punctuation belong to none.

    Marks stay with their letter, as Arabic vowels and Indic vowel signs must; an apostrophe or hyphen
    between letters does not part a word. In scripts without blanks a word is one of ``pieces``.

    Args:
        pieces: the tokens' places in the text.
    """
    breaks = {end for span in pieces for end in span}
    words: list[Span] = []
    start: int | None = None
    for i, c in enumerate(text):
        inside = _in_word(text, i)
        parted = start is not None and inside and i in breaks and _unspaced(text[i - 1])
        parted |= start is not None and inside and _unspaced(c) != _unspaced(text[i - 1])
        if start is not None and (not inside or parted):
            words.append((start, i))
            start = None
        if inside and start is None:
            start = i
    if start is not None:
        words.append((start, len(text)))
    return words


def weigh_words(text: str, pieces: Sequence[Span], weights: np.ndarray) -> list[Word]:
    """The whole text as words and what stands between them, each with the weight of its tokens.

    Args:
        pieces: each token's place in the text; an empty one belongs nowhere.
        weights: of the tokens [n].
    """
    words = split_words(text, pieces)
    totals = np.zeros(len(words))
    for (start, end), weight in zip(pieces, weights, strict=True):
        shared = np.array([max(0, min(end, b) - max(start, a)) for a, b in words], float)
        if shared.sum() > 0:
            totals += weight * shared / shared.sum()
    found: list[Word] = []
    at = 0
    for (start, end), total in zip(words, totals, strict=True):
        if start > at:
            found.append(Word(text[at:start], 0.0))
        found.append(Word(text[start:end], float(total)))
        at = end
    if at < len(text):
        found.append(Word(text[at:], 0.0))
    return found


def _in_word(text: str, i: int) -> bool:
    kind = unicodedata.category(text[i])
    if kind[0] in "LN" or (kind[0] == "M" and i > 0):
        return True
    joins = text[i] in "'’-\u200c\u200d" and 0 < i < len(text) - 1
    return joins and all(unicodedata.category(text[j])[0] in "LMN" for j in (i - 1, i + 1))


def _unspaced(c: str) -> bool:
    return unicodedata.name(c, "").startswith(_UNSPACED)
