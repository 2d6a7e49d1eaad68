"""The base class of image encoders: from pixels to one feature vector per image."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

import torch
from torch import Tensor, nn

from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.models.lora import Adapters
from artaffect.models.precision import computing

Settings = Mapping[str, Any]

_CPU_BATCH = 4


class ImageEncoder(nn.Module):
    """A network with the preprocessing that its weights were trained with.

    A family builds its network from ``architecture``, so a saved model needs neither package nor hub.
    """

    network: nn.Module
    feature_dim: int
    precision: str = "float32"
    """One of ``PRECISIONS``: how :meth:`encode` computes."""
    adapters: Adapters | None = None
    """What LoRA has trained and merged into the weights."""
    reads_images = True
    """Whether it encodes images; otherwise it knows artworks by their ids."""

    def __init__(self, architecture: Settings, preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        self.architecture = dict(architecture)
        """Plain JSON from which :func:`build_image_encoder` builds the same network."""
        self.preprocessing = preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        """Features [n, feature_dim] of pixels float32 [n, 3, size, size]."""
        return self.network(pixels)

    @classmethod
    def pretrained(cls, name: str) -> Self:
        """An encoder with its pretrained weights, in evaluation mode."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """As ``forward``, in the encoder's precision and without gradients: float32 [n, feature_dim]."""
        with computing(self.precision):
            return self._encode(pixels).float()

    def _encode(self, pixels: Tensor) -> Tensor:
        # On a CPU, the feature maps of 32 images are so large that the allocator returns them to the
        # system after each layer, and clearing new pages costs more than the arithmetic.
        if pixels.device.type != "cpu":
            return self(pixels)
        # With the channels last, convolutions on a CPU are half as fast again.
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        return torch.cat([self(batch) for batch in torch.split(pixels, _CPU_BATCH)])

    def check_size(self) -> None:
        """Raise an error unless the network takes images of its preprocessing's size."""
        size = self.preprocessing.size
        self(torch.zeros(1, 3, size, size))

    def target_layers(self) -> list[nn.Module]:
        """The layers whose feature maps the features are computed from; none: the last spatial one."""
        return []

    def train(self, mode: bool = True) -> Self:
        """Set the mode; frozen batch norms keep the statistics of their training."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
                weight.requires_grad for weight in module.parameters()
            ):
                module.eval()
        return self

    def settings(self) -> dict[str, Any]:
        """The settings that a saved model keeps beside the weights."""
        settings = {"architecture": self.architecture, "preprocessing": asdict(self.preprocessing)}
        return settings | ({} if self.precision == "float32" else {"precision": self.precision})
