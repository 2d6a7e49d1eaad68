"""From captions to token ids, for PyTorch and ONNX alike. No torch here."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from tokenizers import Encoding, Tokenizer

from artaffect.data.preprocessing import TextPreprocessing


class CaptionTokenizer:
    """A tokenizer with the preprocessing and padding that its encoder expects."""

    def __init__(
        self, load: Callable[[], Tokenizer], preprocessing: TextPreprocessing, pad_id: int | None
    ) -> None:
        """Prepare a tokenizer that ``load`` returns.

        It is loaded with the first caption, because a vocabulary of many languages takes a second.
        """
        self._load = load
        self.preprocessing = preprocessing
        self.pad_id = pad_id or 0

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, loaded on first use."""
        tokenizer = self._load()
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.preprocessing.max_length)
        return tokenizer

    def encodings(self, captions: Sequence[str]) -> list[Encoding]:
        """Tokens with their positions in the preprocessed text."""
        return self.tokenizer.encode_batch([self.preprocessing(c) for c in captions])

    def tokenize(self, captions: Sequence[str]) -> list[list[int]]:
        """Token ids of each caption, cut at the maximum length and not padded."""
        return [encoding.ids for encoding in self.encodings(captions)]

    def collate(self, tokens: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Padded ids and attention mask, both int64 [n, length of the longest caption]."""
        longest = max(map(len, tokens))
        ids = np.full((len(tokens), longest), self.pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, caption in enumerate(tokens):
            ids[row, : len(caption)] = caption
            mask[row, : len(caption)] = 1
        return ids, mask
