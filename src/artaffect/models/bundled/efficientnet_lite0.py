"""EfficientNet-Lite0 (Tan and Le 2019), whose ImageNet weights come with a registry package.

The "Lite" form has no squeeze-and-excitation, ReLU6 instead of swish, and a fixed stem and head. The
parameters keep the names of the published weights.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# kernel, stride, expansion, output channels, repeats
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STAGE_ENDS = (2, 4, 7, 10, 14, 15)
"""The last block of each stage after the first."""


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class _SameConv(nn.Conv2d):
    """Convolution with TensorFlow's padding: at stride 2 the odd pixel is added right and below."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        total = kernel - stride if stride > 1 else kernel - 1
        self.edges = (total // 2, total - total // 2) * 2
        if total % 2 == 0:  # the convolution pads by itself, without a copy
            self.padding = (total // 2, total // 2)

    def forward(self, input: Tensor) -> Tensor:
        odd = self.edges[0] != self.edges[1]
        return super().forward(F.pad(input, self.edges) if odd else input)


class _Block(nn.Module):
    """Inverted residual block: expand, filter each channel, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = nn.Conv2d(inputs, width, 1, bias=False)
            self._bn0 = _norm(width)
        self._depthwise_conv = _SameConv(width, width, kernel, stride, groups=width)
        self._bn1 = _norm(width)
        self._project_conv = nn.Conv2d(width, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self.adds else y


class EfficientNetLite0(nn.Module):
    """The trunk and the ImageNet head, for pixels ``(rgb - 127) / 128`` [n, 3, 224, 224]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _SameConv(3, 32, 3, 2)
        self._bn0 = _norm(32)
        self._blocks = nn.ModuleList()
        inputs = 32
        for kernel, stride, expansion, outputs, repeats in _STAGES:
            for repeat in range(repeats):
                first_stride = 1 if repeat else stride
                self._blocks.append(_Block(inputs, outputs, kernel, first_stride, expansion))
                inputs = outputs
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, pixels: Tensor) -> Tensor:
        """ImageNet logits [n, 1000]."""
        return self._fc(self.pooled(pixels))

    def pooled(self, pixels: Tensor) -> Tensor:
        """The spatial average of the last feature map: [n, 1280]."""
        *_, last = self._stage_maps(pixels)
        return F.relu6(self._bn1(self._conv_head(last))).float().mean((2, 3))

    def stage_statistics(self, pixels: Tensor) -> Tensor:
        """Mean and standard deviation of each channel at six depths: [n, 1536].

        They describe texture and style as well as content (Gatys et al. 2016).
        """
        # statistics of many values are computed in float32, whatever the precision
        maps = [x.float() for x in self._stage_maps(pixels)]
        return torch.cat([s for x in maps for s in (x.mean((2, 3)), x.std((2, 3)))], 1)

    def stage_layers(self) -> list[nn.Module]:
        """The layers whose outputs are the feature maps at the six depths."""
        return [self._blocks[index] for index in _STAGE_ENDS]

    def _stage_maps(self, pixels: Tensor) -> Iterator[Tensor]:
        x = F.relu6(self._bn0(self._conv_stem(pixels)))
        for index, block in enumerate(self._blocks):
            x = block(x)
            if index in _STAGE_ENDS:
                yield x
