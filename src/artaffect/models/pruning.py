"""Make a text encoder smaller, and choose what of an encoder is trained."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from artaffect.errors import ConfigError
from artaffect.models.text_encoders import TextEncoder


def blocks_of(network: nn.Module) -> tuple[str, nn.ModuleList | nn.Sequential]:
    """The row of blocks that makes up most of a network, and its name in it.

    Raises:
        ConfigError: the network has no row of blocks.
    """
    rows = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
        and sum(any(True for _ in block.parameters()) for block in module)
        > isinstance(module, nn.Sequential)  # a list may be of one block; a Sequential is a block
    ]
    if not rows:
        raise ConfigError(f"{type(network).__name__} has no row of blocks to choose from")
    return max(rows, key=lambda row: sum(weight.numel() for weight in row[1].parameters()))


def train_only(network: nn.Module, layers: str | int) -> None:
    """Freeze all weights but those to be trained.

    Args:
        layers: ``all``, ``none``, or a number: so many of the last blocks and what follows them.

    Raises:
        ConfigError: there are fewer blocks.
    """
    network.requires_grad_(layers == "all")
    if isinstance(layers, str):
        return
    name, row = blocks_of(network)
    filled = [number for number, block in enumerate(row) if any(True for _ in block.parameters())]
    if layers > len(filled):
        raise ConfigError(f"layers = {layers}, but the encoder has {len(filled)} blocks")
    first = f"{name}.{filled[-layers]}."
    begun = False
    for weight_name, weight in network.named_parameters():
        begun = begun or weight_name.startswith(first)
        weight.requires_grad_(begun)


def prune_layers(encoder: TextEncoder, depth: int) -> TextEncoder:
    """A copy with ``depth`` of the layers, evenly chosen from first to last.

    Half of the layers, one in two, is how DistilBERT was begun (Sanh et al. 2019).

    Raises:
        ConfigError: the encoder has fewer layers.
    """
    name, row = blocks_of(encoder.network)
    if not 1 <= depth <= len(row):
        raise ConfigError(f"depth = {depth}, but the encoder has {len(row)} layers")
    chosen = np.linspace(0, len(row) - 1, depth).round().astype(int).tolist()
    prefix = f"{name}."
    weights = {}
    for key, value in encoder.network.state_dict().items():
        if not key.startswith(prefix):
            weights[key] = value.clone()
            continue
        number, _, rest = key.removeprefix(prefix).partition(".")
        for new in (i for i, old in enumerate(chosen) if old == int(number)):
            weights[f"{prefix}{new}.{rest}"] = value.clone()
    config = _changed(encoder.architecture["config"], ("num_hidden_layers", "n_layers"), depth)
    return _rebuilt(encoder, config, encoder.tokenizer.to_str(), weights)


def prune_vocabulary(encoder: TextEncoder, captions: Sequence[str]) -> TextEncoder:
    """A copy whose vocabulary holds what these captions need, and every single character it had.

    The captions keep their segmentation; other text may be cut into smaller pieces. Most of a
    multilingual model is its table of token vectors, of which one data set needs a small part.

    Raises:
        ConfigError: the tokenizer is neither of Unigram nor of WordPiece type.
    """
    definition = json.loads(encoder.tokenizer.to_str())
    kind = definition["model"]["type"]
    if kind not in ("Unigram", "WordPiece"):
        raise ConfigError(
            f"vocabulary = 'data' is for Unigram and WordPiece tokenizers, not {kind}"
        )
    used = {i for caption in encoder.tokenize(captions) for i in caption}
    # a shorter caption than was cut is segmented alike, so cutting changes nothing here
    special = {token["id"] for token in definition["added_tokens"]} | {encoder.tokens.pad_id}
    special |= set(_special_ids(definition["post_processor"]))
    vocabulary = encoder.tokenizer.get_vocab(with_added_tokens=True)
    single = {
        i for piece, i in vocabulary.items() if len(piece.removeprefix("##").lstrip("▁")) <= 1
    }
    unknown = definition["model"].get("unk_id")
    if unknown is None:
        unknown = vocabulary[definition["model"]["unk_token"]]
    rows = len(encoder.network.get_input_embeddings().weight)  # type: ignore[operator]
    kept = sorted(i for i in used | special | single | {unknown} if i < rows)
    new_id = {old: new for new, old in enumerate(kept)}
    _renumber(definition, new_id)
    config = _changed(encoder.architecture["config"], ("vocab_size",), len(kept))
    for name, value in config.items():
        if name.endswith("_token_id") and isinstance(value, int):
            config[name] = new_id.get(value)
    weights = {key: value.clone() for key, value in encoder.network.state_dict().items()}
    table = encoder.network.get_input_embeddings().weight  # type: ignore[operator]
    name = next(n for n, weight in encoder.network.named_parameters() if weight is table)
    weights[name] = weights[name][torch.tensor(kept)]
    return _rebuilt(encoder, config, json.dumps(definition), weights)


def _renumber(definition: dict[str, Any], new_id: Mapping[int, int]) -> None:
    """Give a tokenizer's definition its new ids, in place."""
    model = definition["model"]
    if model["type"] == "Unigram":
        old = model["vocab"]
        model["vocab"] = [old[i] for i in sorted(new_id) if i < len(old)]
        model["unk_id"] = new_id[model["unk_id"]]
    else:
        model["vocab"] = {p: new_id[i] for p, i in model["vocab"].items() if i in new_id}
    kept = [token for token in definition["added_tokens"] if token["id"] in new_id]
    definition["added_tokens"] = [{**token, "id": new_id[token["id"]]} for token in kept]
    processor = definition["post_processor"] or {}
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [new_id[i] for i in token["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            processor[name][1] = new_id[processor[name][1]]


def _special_ids(processor: Mapping[str, Any] | None) -> Iterable[int]:
    processor = processor or {}
    for token in processor.get("special_tokens", {}).values():
        yield from token["ids"]
    for name in ("sep", "cls"):
        if name in processor:
            yield processor[name][1]


def _changed(config: Mapping[str, Any], names: Sequence[str], value: int) -> dict[str, Any]:
    """A copy in which the one of these settings that is there has another value."""
    name = next(n for n in names if n in config)
    return {**config, name: value}


def _rebuilt(
    encoder: TextEncoder, config: dict[str, Any], tokenizer: str, weights: Mapping[str, Any]
) -> TextEncoder:
    architecture = {**encoder.architecture, "config": config}
    smaller = TextEncoder(architecture, encoder.preprocessing, Tokenizer.from_str(tokenizer))
    smaller.network.load_state_dict(dict(weights))
    return smaller.eval()
