"""Text encoders by name: from captions to one feature vector a caption."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from artaffect.data.preprocessing import TextPreprocessing
from artaffect.data.tokens import CaptionTokenizer
from artaffect.errors import EncoderUnavailableError, UnknownNameError
from artaffect.models import hub
from artaffect.models.bundled.e5_small import load_e5_small


class TextEncoder(nn.Module):
    """A transformers encoder, its tokenizer, and how token states become one vector.

    ``architecture`` is plain JSON: the transformers configuration and ``pooling``, which is
    ``mean`` (over the caption's tokens) or ``cls`` (the first token).
    """

    def __init__(
        self,
        architecture: Mapping[str, Any],
        preprocessing: TextPreprocessing,
        tokenizer: Tokenizer,
        network: nn.Module | None = None,
    ) -> None:
        from transformers import AutoModel

        super().__init__()
        self.architecture = dict(architecture)
        config = hub.config_of(architecture["config"])
        self.tokens = CaptionTokenizer(lambda: tokenizer, preprocessing, config.pad_token_id)
        self.network = network if network is not None else AutoModel.from_config(config)
        if hasattr(self.network, "pooler"):
            self.network.pooler = None  # a layer for another task, which only some files hold
        self.feature_dim = int(config.hidden_size)

    @property
    def preprocessing(self) -> TextPreprocessing:
        """What is done to a caption before it is cut into tokens."""
        return self.tokens.preprocessing

    @property
    def tokenizer(self) -> Tokenizer:
        """What cuts it."""
        return self.tokens.tokenizer

    def tokenize(self, captions: Sequence[str]) -> list[list[int]]:
        """Token ids of each caption, cut at the preprocessing's length, not padded."""
        return self.tokens.tokenize(captions)

    def collate(self, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both int64 [n, longest of these captions]."""
        ids, mask = self.tokens.collate(tokens)
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Features [n, feature_dim]."""
        states: Tensor = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.architecture["pooling"] == "cls":
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def settings(self) -> dict[str, Any]:
        """What a saved model keeps beside the weights and the tokenizer's file."""
        return {"architecture": self.architecture, "preprocessing": asdict(self.preprocessing)}


@dataclass(frozen=True)
class TextEncoderSpec:
    """An encoder that has a name of its own here."""

    load: Callable[[], TextEncoder]
    feature_dim: int
    offline: bool
    """Whether its weights come with the installation."""


TEXT_ENCODERS: dict[str, TextEncoderSpec] = {
    "e5_small": TextEncoderSpec(lambda: _load_offline(), 384, True),
    "distilbert-base-multilingual-cased": TextEncoderSpec(
        lambda: _load_transformers("distilbert/distilbert-base-multilingual-cased"), 768, False
    ),
    "bert-base-multilingual-cased": TextEncoderSpec(
        lambda: _load_transformers("google-bert/bert-base-multilingual-cased"), 768, False
    ),
    "xlm-roberta-base": TextEncoderSpec(
        lambda: _load_transformers("FacebookAI/xlm-roberta-base"), 768, False
    ),
}


def create_text_encoder(name: str = "e5_small") -> TextEncoder:
    """An encoder with its pretrained weights, in evaluation mode.

    Args:
        name: one of ``TEXT_ENCODERS``, or an encoder of transformers by its name on the hub
            (``owner/model``) or by its folder.

    Raises:
        UnknownNameError: no such name.
        EncoderUnavailableError: the weights cannot be had here.
    """
    if name in TEXT_ENCODERS:
        return TEXT_ENCODERS[name].load()
    if hub.looks_like_model(name):
        return _load_transformers(name)
    raise UnknownNameError("text encoder", name, TEXT_ENCODERS)


def build_text_encoder(settings: Mapping[str, Any], tokenizer: Tokenizer) -> TextEncoder:
    """The encoder of a saved model, without weights."""
    preprocessing = TextPreprocessing(**settings["preprocessing"])
    return TextEncoder(settings["architecture"], preprocessing, tokenizer)


def _load_offline() -> TextEncoder:
    network, tokenizer = load_e5_small()
    config: Any = network.config
    architecture = {"config": config.to_dict(), "pooling": "mean"}
    preprocessing = TextPreprocessing(prefix="query: ")
    return TextEncoder(architecture, preprocessing, tokenizer, network).eval()


def _load_transformers(name: str) -> TextEncoder:
    from transformers import AutoModel, AutoTokenizer

    network, tokenizer = hub.guarded(
        name,
        lambda: (AutoModel.from_pretrained(name), AutoTokenizer.from_pretrained(name)),
        "e5_small",
    )
    if not tokenizer.is_fast:
        raise EncoderUnavailableError(
            f"{name} has no tokenizer.json: save it with its fast tokenizer, and give that folder"
        )
    # E5 models are trained to average tokens behind this prefix (Wang et al. 2022); the others
    # are classified from their first token, as their authors fine-tune them
    is_e5 = "e5" in name.rpartition("/")[2].lower()
    architecture = {
        "config": network.config.to_dict(),
        "pooling": "mean" if is_e5 else "cls",
    }
    preprocessing = TextPreprocessing(
        prefix="query: " if is_e5 else "", max_length=min(128, _positions(network.config))
    )
    return TextEncoder(architecture, preprocessing, tokenizer.backend_tokenizer, network).eval()


def _positions(config: Any) -> int:
    """How many tokens a model can tell the places of."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    # RoBERTa counts places from behind the padding's own
    return positions - 2 if "roberta" in str(config.model_type) else positions
