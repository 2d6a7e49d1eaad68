"""Make a text encoder smaller, and choose which layers of an encoder are trained."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn

from artaffect.errors import ConfigError
from artaffect.models.text_encoders import TextEncoder


def blocks_of(network: nn.Module) -> tuple[str, nn.ModuleList | nn.Sequential]:
    """The sequence of blocks that holds most of a network's weights, and its name.

    Raises:
        ConfigError: the network has no sequence of blocks.
    """
    candidates = [
        (name, module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
        and sum(any(True for _ in block.parameters()) for block in module)
        > isinstance(module, nn.Sequential)  # one block is enough for a list, not for a Sequential
    ]
    if not candidates:
        raise ConfigError(f"{type(network).__name__} has no sequence of blocks to choose from")
    return max(candidates, key=lambda item: sum(w.numel() for w in item[1].parameters()))


def million_weights(module: nn.Module) -> float:
    """Number of weights, in millions."""
    return sum(weight.numel() for weight in module.parameters()) / 1e6


def trainable(encoder: nn.Module) -> str:
    """How much of an encoder is trained, in words."""
    trained = sum(w.numel() for w in encoder.parameters() if w.requires_grad) / 1e6
    return f"{trained:.1f} of {million_weights(encoder):.1f} million weights"


def train_only(network: nn.Module, layers: str | int) -> None:
    """Freeze all weights except those to be trained.

    Args:
        layers: ``all``, ``none``, or the number of last blocks to train, with what follows them.

    Raises:
        ConfigError: the network has fewer blocks.
    """
    network.requires_grad_(layers == "all")
    if isinstance(layers, str):
        return
    name, blocks = blocks_of(network)
    numbers = [i for i, block in enumerate(blocks) if any(True for _ in block.parameters())]
    if layers > len(numbers):
        raise ConfigError(f"layers = {layers}, but the encoder has {len(numbers)} blocks")
    first = f"{name}.{numbers[-layers]}."
    reached = False
    for weight_name, weight in network.named_parameters():
        reached = reached or weight_name.startswith(first)
        weight.requires_grad_(reached)


def prune_layers(encoder: TextEncoder, depth: int) -> TextEncoder:
    """A copy with ``depth`` of the layers, evenly spaced from first to last.

    Every other layer is how DistilBERT was initialised (Sanh et al. 2019).

    Raises:
        ConfigError: the encoder has fewer layers.
    """
    name, blocks = blocks_of(encoder.network)
    if not 1 <= depth <= len(blocks):
        raise ConfigError(f"depth = {depth}, but the encoder has {len(blocks)} layers")
    kept = np.linspace(0, len(blocks) - 1, depth).round().astype(int).tolist()
    prefix = f"{name}."
    weights = {}
    for key, value in encoder.network.state_dict().items():
        if not key.startswith(prefix):
            weights[key] = value.clone()
            continue
        number, _, rest = key.removeprefix(prefix).partition(".")
        for new in (i for i, old in enumerate(kept) if old == int(number)):
            weights[f"{prefix}{new}.{rest}"] = value.clone()
    config = _with(encoder.architecture["config"], ("num_hidden_layers", "n_layers"), depth)
    return _rebuild(encoder, config, encoder.tokenizer.to_str(), weights)


def prune_vocabulary(encoder: TextEncoder, captions: Sequence[str]) -> TextEncoder:
    """A copy whose vocabulary holds the tokens of these captions, and all single characters.

    The captions keep their segmentation; other text may be split into smaller pieces. Most of a
    multilingual model's weights are token embeddings, of which one data set needs few.

    Raises:
        ConfigError: the tokenizer is neither of Unigram nor of WordPiece type.
    """
    definition = json.loads(encoder.tokenizer.to_str())
    model = definition["model"]
    if model["type"] not in ("Unigram", "WordPiece"):
        raise ConfigError(
            f"vocabulary = 'data' needs a Unigram or WordPiece tokenizer, not {model['type']}"
        )
    # truncation does not matter here: it does not change how the rest of a caption is segmented
    kept = {i for caption in encoder.tokenize(captions) for i in caption}
    kept |= {token["id"] for token in definition["added_tokens"]} | {encoder.tokens.pad_id}
    kept |= set(_special_ids(definition["post_processor"] or {}))
    vocabulary = encoder.tokenizer.get_vocab(with_added_tokens=True)
    kept |= {i for piece, i in vocabulary.items() if len(piece.removeprefix("##").lstrip("▁")) <= 1}
    unknown = model.get("unk_id")
    kept.add(vocabulary[model["unk_token"]] if unknown is None else unknown)

    embeddings = encoder.network.get_input_embeddings().weight  # type: ignore[operator]
    old_ids = sorted(i for i in kept if i < len(embeddings))
    new_id = {old: new for new, old in enumerate(old_ids)}
    _renumber(definition, new_id)
    config = _with(encoder.architecture["config"], ("vocab_size",), len(old_ids))
    for name, value in config.items():
        if name.endswith("_token_id") and isinstance(value, int):
            config[name] = new_id.get(value)
    weights = {key: value.clone() for key, value in encoder.network.state_dict().items()}
    name = next(n for n, weight in encoder.network.named_parameters() if weight is embeddings)
    weights[name] = weights[name][torch.tensor(old_ids)]
    return _rebuild(encoder, config, json.dumps(definition), weights)


def _renumber(definition: dict[str, Any], new_id: Mapping[int, int]) -> None:
    """Give a tokenizer's definition its new ids, in place."""
    model = definition["model"]
    if model["type"] == "Unigram":
        pieces = model["vocab"]
        model["vocab"] = [pieces[i] for i in sorted(new_id) if i < len(pieces)]
        model["unk_id"] = new_id[model["unk_id"]]
    else:
        model["vocab"] = {p: new_id[i] for p, i in model["vocab"].items() if i in new_id}
    added = [token for token in definition["added_tokens"] if token["id"] in new_id]
    definition["added_tokens"] = [{**token, "id": new_id[token["id"]]} for token in added]
    processor = definition["post_processor"] or {}
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [new_id[i] for i in token["ids"]]
    for name in ("sep", "cls"):
        if name in processor:
            processor[name][1] = new_id[processor[name][1]]


def _special_ids(processor: Mapping[str, Any]) -> Iterator[int]:
    for token in processor.get("special_tokens", {}).values():
        yield from token["ids"]
    yield from (processor[name][1] for name in ("sep", "cls") if name in processor)


def _with(config: Mapping[str, Any], names: Sequence[str], value: int) -> dict[str, Any]:
    """A copy with another value under the first of these names that it has."""
    return {**config, next(name for name in names if name in config): value}


def _rebuild(
    encoder: TextEncoder, config: dict[str, Any], tokenizer: str, weights: Mapping[str, Any]
) -> TextEncoder:
    architecture = {**encoder.architecture, "config": config}
    smaller = TextEncoder(architecture, encoder.preprocessing, Tokenizer.from_str(tokenizer))
    smaller.network.load_state_dict(dict(weights))
    return smaller.eval()
