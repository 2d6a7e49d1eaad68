"""LoRA (Hu et al. 2021): adapt linear layers of an encoder by a product of two small matrices.

An adapted layer computes with W + alpha / rank * B A, where W stays as it is and only A [rank, inputs] and
B [outputs, rank] are trained, by the library peft. Afterwards they are merged into W, here and without
peft, by the same arithmetic whether the encoder was trained just now or is loaded from a thin folder.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from artaffect.config import LoraConfig
from artaffect.errors import ConfigError, ModelFolderError


@dataclass(frozen=True)
class Adapters:
    """The adapters of an encoder."""

    rank: int
    alpha: float
    weights: Mapping[str, Tensor]
    """A and B of each adapted layer by its name, such as
    ``network.encoder.layer.0.attention.self.query.lora_A.weight``."""


_A, _B = ".lora_A.weight", ".lora_B.weight"
_MOST_NAMES = 8


def check_peft() -> None:
    """Raise ConfigError if peft, which trains adapters, is not installed."""
    if find_spec("peft") is None:
        raise ConfigError("lora needs the package peft: pip install 'artaffect[lora]'")


def add_adapters(network: nn.Module, config: LoraConfig) -> None:
    """Freeze a network, and give its target layers adapters to train; it computes the same at first.

    Raises:
        ConfigError: no layer, or one that is not linear, has the name of a target.
    """
    from peft import LoraConfig as PeftConfig
    from peft import inject_adapter_in_model

    named = [(name.rpartition(".")[2], module) for name, module in network.named_modules()]
    linear = {name for name, module in named if isinstance(module, nn.Linear)}
    other = {name for name, module in named if not isinstance(module, nn.Linear)}
    if unusable := [name for name in config.targets if name not in linear or name in other]:
        known = ", ".join(sorted(linear - other)[:_MOST_NAMES]) or "none"
        raise ConfigError(
            f"lora.targets: {unusable[0]} is no linear layer of this encoder: {known}"
        )
    settings = PeftConfig(
        r=config.rank, lora_alpha=config.alpha, target_modules=list(config.targets)
    )
    inject_adapter_in_model(settings, network)


@torch.no_grad()
def merge_adapters(encoder: nn.Module, config: LoraConfig) -> Adapters:
    """Replace each adapted layer of an encoder by a plain one that computes the same.

    Returns:
        What was merged, on the CPU.
    """
    layers: dict[str, Any] = {n: m for n, m in encoder.named_modules() if hasattr(m, "lora_A")}
    weights = {
        name + suffix: getattr(layer, part)["default"].weight.detach().cpu()
        for name, layer in layers.items()
        for suffix, part in ((_A, "lora_A"), (_B, "lora_B"))
    }
    adapters = Adapters(config.rank, config.alpha, weights)
    before = {f"{n}.weight": layer.base_layer.weight.detach().cpu() for n, layer in layers.items()}
    after = merged(before, adapters)
    for name, layer in layers.items():
        parent, _, last = name.rpartition(".")
        layer.base_layer.weight.copy_(after[f"{name}.weight"])
        setattr(encoder.get_submodule(parent), last, layer.base_layer)
    return adapters


def merged(weights: Mapping[str, Tensor], adapters: Adapters) -> dict[str, Tensor]:
    """An encoder's weights with its adapters, which may come from a stranger, merged in.

    Raises:
        ModelFolderError: an adapter belongs to no weight, has no counterpart, or does not fit.
    """
    result, rank = dict(weights), adapters.rank
    for layer, a, b in _pairs(adapters.weights):
        weight = weights.get(f"{layer}.weight")
        if weight is None or weight.dim() != 2:
            raise ModelFolderError(f"the adapter {layer} belongs to no linear layer")
        outputs, inputs = weight.shape
        if a.shape != (rank, inputs) or b.shape != (outputs, rank):
            raise ModelFolderError(
                f"the adapter {layer} has the shapes {tuple(a.shape)} and {tuple(b.shape)}, expected "
                f"{(rank, inputs)} and {(outputs, rank)}"
            )
        change = b.float() @ a.float()
        result[f"{layer}.weight"] = weight.float() + adapters.alpha / rank * change
    return result


def _pairs(adapters: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    layers = {name.removesuffix(_A).removesuffix(_B) for name in adapters}
    if {layer + suffix for layer in layers for suffix in (_A, _B)} != set(adapters):
        raise ModelFolderError("an adapter has not exactly one matrix A and one matrix B")
    for layer in sorted(layers):
        yield layer, adapters[layer + _A], adapters[layer + _B]
