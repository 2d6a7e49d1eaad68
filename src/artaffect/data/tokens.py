"""From captions to token ids, identically for every engine and without torch."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from tokenizers import Encoding, Tokenizer

from artaffect.data.preprocessing import TextPreprocessing


class CaptionTokenizer:
    """A tokenizer with the preprocessing and the padding that its encoder expects."""

    def __init__(
        self, load: Callable[[], Tokenizer], preprocessing: TextPreprocessing, pad_id: int | None
    ) -> None:
        """``load`` is called before the first caption: a multilingual vocabulary takes a second."""
        self._load = load
        self.preprocessing = preprocessing
        self.pad_id = pad_id or 0

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The loaded tokenizer, with truncation and without padding."""
        tokenizer = self._load()
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.preprocessing.max_length)
        return tokenizer

    def encodings(self, captions: Sequence[str]) -> list[Encoding]:
        """Tokens with their offsets in the preprocessed text."""
        return self.tokenizer.encode_batch([self.preprocessing(text) for text in captions])

    def tokenize(self, captions: Sequence[str]) -> list[list[int]]:
        """Token ids of each caption, truncated to the maximum length, without padding."""
        return [encoding.ids for encoding in self.encodings(captions)]

    def collate(self, tokens: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Ids and attention mask, both int64 [n, longest caption]."""
        ids = np.full((len(tokens), max(map(len, tokens))), self.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, caption in enumerate(tokens):
            ids[row, : len(caption)] = caption
            mask[row, : len(caption)] = 1
        return ids, mask
