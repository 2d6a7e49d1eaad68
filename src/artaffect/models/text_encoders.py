"""Text encoders by name: from captions to one feature vector per caption."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.data.preprocessing import TextPreprocessing
from artaffect.data.tokens import CaptionTokenizer
from artaffect.errors import EncoderUnavailableError, UnknownNameError
from artaffect.models import hub
from artaffect.models.bundled.e5_small import load_e5_small
from artaffect.models.lora import Adapters
from artaffect.models.networks import build_config, build_network, saved_settings
from artaffect.models.precision import computing

POOLINGS = ("cls", "mean", "max")

_MAX_TOKENS = 128
_REMEDY = f"set `pooling` to {', '.join(POOLINGS)} to pool the token states"


class TextEncoder(nn.Module):
    """A transformers encoder with its tokenizer and the pooling of its token states.

    ``architecture`` is plain JSON: the transformers configuration, ``pooling`` (``cls``: the first
    token; ``mean`` or ``max``: over the caption's tokens) and optionally ``normalize`` (scale the
    features to length 1).
    """

    precision: str = "float32"
    """One of ``PRECISIONS``: how :meth:`encode` computes."""
    adapters: Adapters | None = None
    """What LoRA has trained and merged into the weights."""

    def __init__(
        self,
        architecture: Mapping[str, Any],
        preprocessing: TextPreprocessing,
        tokenizer: Tokenizer | None,
        network: nn.Module | None = None,
    ) -> None:
        """``tokenizer`` is None for an encoder of which only the shapes are needed."""
        super().__init__()
        if architecture["pooling"] not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, got {architecture['pooling']!r}")
        self.architecture = dict(architecture)
        config = build_config(architecture["config"])
        pad, size = config.pad_token_id, int(config.vocab_size)
        self._tokenizer = tokenizer
        self.tokens = CaptionTokenizer(
            lambda: cast(Tokenizer, self._tokenizer), preprocessing, pad, size
        )
        built: Any = network if network is not None else build_network(config)
        if hasattr(built, "pooler"):
            built.pooler = None  # a layer for another task, which not every file contains
        self.network: nn.Module = built
        self.feature_dim = int(config.hidden_size)

    @property
    def preprocessing(self) -> TextPreprocessing:
        """The preprocessing of a caption before it is tokenized."""
        return self.tokens.preprocessing

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, which an encoder of which only the shapes were needed may get later."""
        return self.tokens.tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer

    def tokenize(self, captions: Sequence[str]) -> list[list[int]]:
        """Token ids of each caption, truncated to the maximum length, without padding."""
        return self.tokens.tokenize(captions)

    def collate(self, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids and attention mask, both int64 [n, longest caption]."""
        ids, mask = self.tokens.collate(tokens)
        return torch.from_numpy(ids), torch.from_numpy(mask)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Features [n, feature_dim]."""
        states = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
        features = self._pool(states, mask)
        return F.normalize(features, dim=-1) if self.architecture.get("normalize") else features

    @torch.no_grad()
    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """As ``forward``, in the encoder's precision and without gradients: float32 [n, feature_dim]."""
        with computing(self.precision):
            return self(ids, mask).float()

    def _pool(self, states: Tensor, mask: Tensor) -> Tensor:
        pooling = self.architecture["pooling"]
        if pooling == "cls":
            return states[:, 0]
        weights = mask.unsqueeze(-1).to(states.dtype)
        if pooling == "max":
            return states.masked_fill(weights == 0, torch.finfo(states.dtype).min).amax(1)
        return (states * weights).sum(1) / weights.sum(1)

    def settings(self) -> dict[str, Any]:
        """The settings that a saved model keeps beside the weights and the tokenizer."""
        settings = {"architecture": self.architecture, "preprocessing": asdict(self.preprocessing)}
        return settings | ({} if self.precision == "float32" else {"precision": self.precision})


@dataclass(frozen=True)
class TextEncoderSpec:
    """A registered encoder, with the pooling and prefix to use where its files define none."""

    feature_dim: int
    hub_name: str | None
    """None for an encoder whose weights come with the installation."""
    pooling: str = "cls"
    prefix: str = ""
    digest: str | None = None
    """That of its weights and tokens in references to it, for an encoder that never changes."""

    @property
    def offline(self) -> bool:
        """Whether the weights come with the installation."""
        return self.hub_name is None


# E5 models are trained with mean pooling and this prefix (Wang et al. 2022)
_E5 = {"pooling": "mean", "prefix": "query: "}

TEXT_ENCODERS: dict[str, TextEncoderSpec] = {
    "e5_small": TextEncoderSpec(
        384,
        None,
        **_E5,
        digest="b311de3abb438f46ac6379317b5fb1e6aa19016fcb5039cca5a81df5a7de25be",
    ),
    "distilbert-base-multilingual-cased": TextEncoderSpec(
        768, "distilbert/distilbert-base-multilingual-cased"
    ),
    "bert-base-multilingual-cased": TextEncoderSpec(
        768, "google-bert/bert-base-multilingual-cased"
    ),
    "xlm-roberta-base": TextEncoderSpec(768, "FacebookAI/xlm-roberta-base"),
    **{
        f"intfloat/multilingual-e5-{size}": TextEncoderSpec(
            feature_dim, f"intfloat/multilingual-e5-{size}", **_E5
        )
        for size, feature_dim in (("small", 384), ("base", 768), ("large", 1024))
    },
}


def create_text_encoder(
    name: str = "e5_small", pooling: str | None = None, prefix: str | None = None
) -> TextEncoder:
    """An encoder with its pretrained weights, in evaluation mode.

    The table of tokens of ``e5_small`` is in half precision, which loses nothing; ``encoder.float()``
    makes it trainable.

    Pooling and prefix come from the arguments, else from the model's own sentence-transformers files
    (``modules.json``, the pooling's ``config.json``, ``config_sentence_transformers.json``), else from
    ``TEXT_ENCODERS``, else they are the first token and no prefix.

    Args:
        name: one of ``TEXT_ENCODERS``, or an encoder of transformers: its name on the hub
            (``hf:OWNER/MODEL``) or its folder.
        pooling: ``cls``, ``mean`` or ``max``.
        prefix: text before each caption. A folder with an E5 model but without the files above needs
            ``pooling="mean"`` and ``prefix="query: "``.

    Raises:
        UnknownNameError: the encoder or the pooling is unknown.
        EncoderUnavailableError: the weights are not available on this machine, or the model's files
            define a pooling or a module that is not supported.
    """
    if pooling not in (None, *POOLINGS):
        raise UnknownNameError("pooling", str(pooling), POOLINGS)
    spec = TEXT_ENCODERS.get(name)
    if spec is None:
        source = hub.encoder_files(name)
        if source is None:
            raise UnknownNameError("text encoder", name, TEXT_ENCODERS)
        spec = TEXT_ENCODERS.get(source) or TextEncoderSpec(0, source)
    if not spec.offline:
        return _load_transformers(spec, pooling, prefix)
    network, tokenizer = load_e5_small()
    architecture = {
        "config": saved_settings(network.config),
        "pooling": pooling or spec.pooling,
    }
    preprocessing = TextPreprocessing(spec.prefix if prefix is None else prefix)
    return TextEncoder(architecture, preprocessing, tokenizer, network).eval()


def build_text_encoder(settings: Mapping[str, Any], tokenizer: Tokenizer | None) -> TextEncoder:
    """The encoder of a saved model, without weights."""
    preprocessing = TextPreprocessing(**settings["preprocessing"])
    encoder = TextEncoder(settings["architecture"], preprocessing, tokenizer)
    encoder.precision = settings.get("precision", "float32")
    return encoder


def _load_transformers(
    spec: TextEncoderSpec, pooling: str | None, prefix: str | None
) -> TextEncoder:
    from transformers import AutoModel, AutoTokenizer

    name = str(spec.hub_name)
    files, network, tokenizer = hub.load_encoder_files(
        name,
        lambda: (
            _read_sentence_files(name, pooling),
            AutoModel.from_pretrained(name, trust_remote_code=False),
            AutoTokenizer.from_pretrained(name, trust_remote_code=False),
        ),
        "e5_small",
    )
    if not tokenizer.is_fast:
        raise EncoderUnavailableError(
            f"{name} has no tokenizer.json: save it with its fast tokenizer, and pass that folder"
        )
    architecture: dict[str, Any] = {
        "config": saved_settings(network.config),
        "pooling": files.pooling or spec.pooling,
    }
    if files.normalize:
        architecture["normalize"] = True
    positions = _position_count(network.config)
    preprocessing = TextPreprocessing(
        prefix=next(text for text in (prefix, files.prefix, spec.prefix) if text is not None),
        max_length=min(_MAX_TOKENS, positions, files.max_length or positions),
    )
    return TextEncoder(architecture, preprocessing, tokenizer.backend_tokenizer, network).eval()


class _SentenceFiles(NamedTuple):
    """What the files of a sentence-transformers model define; None where they define nothing."""

    pooling: str | None
    normalize: bool
    prefix: str | None
    max_length: int | None


def _read_sentence_files(name: str, pooling: str | None) -> _SentenceFiles:
    """Read the files; an explicit ``pooling`` replaces the modules between encoder and features."""
    explicit, normalize = pooling is not None, False
    for module in hub.read_json(name, "modules.json") or ():
        kind = str(module.get("type")).rpartition(".")[2]
        if kind == "Pooling" and not explicit:
            pooling = _read_pooling(name, f"{module['path']}/config.json")
        elif kind == "Normalize":
            normalize = True
        elif kind not in ("Transformer", "Pooling") and not explicit:
            raise EncoderUnavailableError(
                f"{name}: the module {kind} (modules.json) is not supported: {_REMEDY}"
            )
    prompts = hub.read_json(name, "config_sentence_transformers.json") or {}
    limits = hub.read_json(name, "sentence_bert_config.json") or {}
    default_prompt = prompts.get("default_prompt_name")
    prefix = prompts.get("prompts", {}).get(default_prompt) if default_prompt else None
    return _SentenceFiles(pooling, normalize, prefix, limits.get("max_seq_length"))


def _read_pooling(name: str, file: str) -> str:
    settings = hub.read_json(name, file) or {}
    modes = [
        key.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for key, active in settings.items()
        if key.startswith("pooling_mode_") and active
    ] or [str(settings.get("pooling_mode"))]
    if not settings.get("include_prompt", True):
        modes.append("without the prompt")
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise EncoderUnavailableError(
            f"{name}: the pooling {' + '.join(modes)} ({file}) is not supported: {_REMEDY}"
        )
    return modes[0]


def _position_count(config: Any) -> int:
    """The largest number of tokens for which the model has position embeddings."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    # RoBERTa's positions start behind the padding index
    return positions - 2 if "roberta" in str(config.model_type) else positions
