"""Put weights into a module, strictly, and tell what a module's weights are."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from artaffect.errors import ModelFolderError


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Load every weight, and only those the module has.

    Raises:
        ModelFolderError: names or shapes differ; the message lists the first of them.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unexpected = sorted(weights.keys() - own.keys())
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if own[name].shape != weights[name].shape
    ]
    if missing or unexpected or shapes:
        raise ModelFolderError(
            f"{source} does not fit {type(module).__name__}: {len(missing)} missing {missing[:3]}, "
            f"{len(unexpected)} unexpected {unexpected[:3]}, {len(shapes)} of other shape {shapes[:3]}"
        )
    module.load_state_dict(dict(weights))


def fingerprint(module: nn.Module, *settings: Any) -> str:
    """A digest of all weights and of the given JSON settings: equal when answers are equal."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in sorted(module.state_dict().items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
