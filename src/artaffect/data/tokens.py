"""From captions to token ids, identically for every engine and without torch."""

import contextlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from artaffect.data.preprocessing import TextPreprocessing
from artaffect.errors import ModelFolderError
from artaffect.runtime import printable

_NAME = "tokenizer.json"
_MOST_GROWTH = 1000


class CaptionTokenizer:
    """A tokenizer with the preprocessing and the padding that its encoder expects."""

    def __init__(
        self,
        load: Callable[[], Tokenizer],
        preprocessing: TextPreprocessing,
        pad_id: int | None,
        vocabulary: int,
    ) -> None:
        """Create a tokenizer without loading it.

        Args:
            load: called before the first caption: a multilingual vocabulary takes a second.
            vocabulary: the number of tokens that the encoder has an embedding for.
        """
        self._load = load
        self.preprocessing = preprocessing
        self.pad_id = pad_id or 0
        self.vocabulary = vocabulary

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The loaded tokenizer, with truncation and without padding.

        Raises:
            ModelFolderError: it has more tokens than the encoder.
        """
        tokenizer = self._load()
        with tokenizer_errors(f"{_NAME} cannot be used"):
            tokenizer.no_padding()
            tokenizer.enable_truncation(self.preprocessing.max_length)
        if tokenizer.get_vocab_size() > self.vocabulary:
            raise ModelFolderError(
                f"{_NAME} has {tokenizer.get_vocab_size():,} tokens, and its text encoder "
                f"{self.vocabulary:,}"
            )
        return tokenizer

    def encodings(self, captions: Sequence[str]) -> list[Encoding]:
        """Tokens with their offsets in the preprocessed text.

        Raises:
            ModelFolderError: the tokenizer fails, or gives the number of a token that does not exist.
        """
        texts = [self.preprocessing(text) for text in captions]
        tokenizer = self.tokenizer
        with tokenizer_errors(f"{_NAME} cannot be used"):
            encodings = tokenizer.encode_batch(texts)
        # a vocabulary may number its tokens as it likes, and special tokens are never cut
        largest = max((max(e.ids, default=0) for e in encodings), default=0)
        longest = max((len(e.ids) for e in encodings), default=0)
        if largest >= self.vocabulary or longest > self.preprocessing.max_length:
            raise ModelFolderError(
                f"{_NAME} gives token {largest:,} or {longest:,} tokens, and its text encoder "
                f"takes {self.vocabulary:,} different tokens, {self.preprocessing.max_length} at once"
            )
        return encodings

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


def read_tokenizer(content: bytes, source: str) -> Tokenizer:
    """The tokenizer in a file's bytes; ``source`` names the file in messages.

    Raises:
        ModelFolderError: it is not a tokenizer, or makes captions much longer before it splits them.
    """
    with tokenizer_errors(f"{source} is not a tokenizer"):
        tokenizer = Tokenizer.from_buffer(content)
        steps = tokenizer.normalizer and json.loads(tokenizer.normalizer.__getstate__())
        growth = math.prod(_growth(steps or {}))
    if growth > _MOST_GROWTH:
        raise ModelFolderError(
            f"{source}: its normalizer may make a caption {growth:,} times longer"
        )
    return tokenizer


def _growth(step: Mapping[str, Any]) -> Iterator[int]:
    """By how much each step of a normalizer may multiply the length of a text."""
    for part in step.get("normalizers", ()):
        yield from _growth(part)
    if step.get("type") in ("Replace", "Prepend"):
        yield 1 + len(step.get("content") or step.get("prepend") or "")


@contextlib.contextmanager
def tokenizer_errors(problem: str) -> Iterator[None]:
    """Raise whatever the library raises as one line.

    Its errors are plain Exceptions; a panic of its Rust code is a BaseException of its own.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - as the docstring says
        raise ModelFolderError(f"{problem}: {printable(str(error)[:300])}") from None
