"""BERT (Devlin et al. 2019) as an encoder, under the names of transformers' ``BertModel``.

It computes the same as ``BertModel`` without a pooling layer, from the same weights. Importing this
module takes milliseconds; importing transformers' takes longer than everything else that a prediction
needs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass
class BertSettings:
    """The settings of transformers' ``BertConfig`` that are BERT's own, with its defaults."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int | None = 0
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    use_cache: bool = True
    classifier_dropout: float | None = None
    is_decoder: bool = False
    add_cross_attention: bool = False
    tie_word_embeddings: bool = True

    model_type = "bert"
    _attn_implementation = "sdpa"

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON."""
        return {"model_type": self.model_type, **asdict(self)}


def is_plain_bert(settings: Mapping[str, Any]) -> bool:
    """Whether :class:`Bert` computes what these settings describe: an encoder in float32 with GELU."""
    return (
        settings["model_type"] == BertSettings.model_type
        and settings.get("hidden_act", "gelu") == "gelu"
        and settings.get("dtype") in (None, "float32")
        and not settings.get("is_decoder")
        and not settings.get("add_cross_attention")
    )


class Table(nn.Embedding):
    """Embeddings whose rows may be stored in half precision: they are converted when looked up.

    Most of a multilingual encoder is the table of its tokens, of which a caption needs a few rows.
    """

    def reset_parameters(self) -> None:
        """Draw random rows, unless they take no memory: torch imports its compiler for that."""
        if not self.weight.is_meta:
            super().reset_parameters()

    def forward(self, ids: Tensor) -> Tensor:
        """Rows float32 [..., width] of ids [...]."""
        return super().forward(ids).float()


def widen_tables(network: nn.Module) -> None:
    """Convert the tables in half precision, so that they can be trained; nothing else is changed."""
    for part in network.modules():
        if isinstance(part, Table):
            part.float()


class Output(NamedTuple):
    """What :class:`Bert` returns."""

    last_hidden_state: Tensor
    """The states of the tokens [n, length, width]."""


class Bert(nn.Module):
    """The encoder; padding in ``attention_mask`` does not change the states of the tokens."""

    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        if config.hidden_size % config.num_attention_heads:
            raise ValueError(
                f"hidden_size {config.hidden_size} is not a multiple of num_attention_heads "
                f"{config.num_attention_heads}"
            )
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Output:
        """States of the tokens, for ids and a mask (1 for a token, 0 for padding), both [n, length]."""
        mask = attention_mask.bool()[:, None, None, :]
        states = self.embeddings(input_ids)
        for layer in self.encoder.layer:
            states = layer(states, mask)
        return Output(states)

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.word_embeddings

    def set_attn_implementation(self, name: str) -> None:
        """Compute attention by torch's fused operation (``sdpa``) or by the plain formula (``eager``)."""
        self.config._attn_implementation = name


class _Embeddings(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = Table(config.vocab_size, width, config.pad_token_id)
        self.position_embeddings = Table(config.max_position_embeddings, width)
        self.token_type_embeddings = Table(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], device=ids.device)[None]
        states = self.word_embeddings(ids) + self.token_type_embeddings(torch.zeros_like(ids))
        return self.dropout(self.LayerNorm(states + self.position_embeddings(positions)))


class _Layers(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))


class _Layer(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention = nn.Module()
        self.attention.self = _SelfAttention(config)
        self.attention.output = _Residual(width, config)
        self.intermediate = nn.Module()
        self.intermediate.dense = nn.Linear(width, inner)
        self.output = _Residual(inner, config)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        attention: Any = self.attention
        states = attention.output(attention.self(states, mask), states)
        intermediate: Any = self.intermediate
        return self.output(F.gelu(intermediate.dense(states)), states)


class _Residual(nn.Module):
    def __init__(self, inputs: int, config: BertSettings) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, change: Tensor, states: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(change)) + states)


class _SelfAttention(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        width = config.hidden_size
        self.config = config
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        heads, width = self.config.num_attention_heads, states.shape[-1]
        shape = (*states.shape[:-1], heads, width // heads)
        query, key, value = (
            part(states).view(shape).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        dropout = self.config.attention_probs_dropout_prob if self.training else 0.0
        if self.config._attn_implementation == "sdpa":
            mixed = F.scaled_dot_product_attention(query, key, value, mask, dropout)
        else:
            scores = query @ key.transpose(2, 3) * (width // heads) ** -0.5
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            mixed = F.dropout(scores.softmax(-1), dropout, self.training) @ value
        return mixed.transpose(1, 2).reshape(states.shape)
