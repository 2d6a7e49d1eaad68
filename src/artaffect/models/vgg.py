"""VGG-16 (Simonyan and Zisserman 2015), up to the second 4096-wide layer."""

from collections.abc import Mapping

from torch import Tensor, nn

_WIDTHS = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")

# The names of the fully connected layers in torchvision's state dict and in timm's
_FULLY_CONNECTED = {"classifier.0": "fc1", "classifier.3": "fc2"}
_FULLY_CONNECTED |= {f"pre_logits.{name}": name for name in ("fc1", "fc2")}


class Vgg16(nn.Module):
    """From pixels [n, 3, 224, 224] to features [n, 4096]; ``divisor`` divides the width of every layer."""

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        self.feature_dim = 4096 // divisor
        layers: list[nn.Module] = []
        inputs = 3
        for width in _WIDTHS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2, 2))
            else:
                outputs = width // divisor
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.fc1 = nn.Linear(inputs * 7 * 7, self.feature_dim)
        self.fc2 = nn.Linear(self.feature_dim, self.feature_dim)
        for layer in self.modules():  # with the default initialisation, signals vanish in 16 layers
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.pool(self.features(pixels)).flatten(1)
        return self.fc2(self.fc1(x).relu()).relu()


def from_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename torchvision's or timm's state dict for :class:`Vgg16`, without the ImageNet head."""
    renamed = {}
    for name, value in weights.items():
        stem, _, leaf = name.rpartition(".")
        if stem.startswith("features."):
            renamed[name] = value
        elif stem in _FULLY_CONNECTED:
            matrix = value.flatten(1) if leaf == "weight" else value  # timm's is a convolution
            renamed[f"{_FULLY_CONNECTED[stem]}.{leaf}"] = matrix
    return renamed
