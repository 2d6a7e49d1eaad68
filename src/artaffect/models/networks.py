"""Networks of transformers from saved settings: known types, and the settings of their own class.

A model folder may come from a stranger. Of a saved configuration only the fields that the type's class
declares are passed on, so that no key can choose code, a hub's files or another implementation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from torch import nn

from artaffect.errors import ModelFolderError
from artaffect.models.bert import Bert, BertSettings, is_plain_bert
from artaffect.models.saved_config import VOCABULARY_LIMIT, shown

TEXT_TYPES = (
    *("albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra"),
    *("ernie", "eurobert", "modernbert", "mpnet", "nomic_bert", "rembert", "roberta", "roformer"),
    *("xlm-roberta", "xlm-roberta-xl"),
)
IMAGE_TYPES = (
    *("beit", "bit", "clip_vision_model", "convnext", "convnextv2", "data2vec-vision", "deit"),
    *("dinov2", "dinov2_with_registers", "dinov3_convnext", "dinov3_vit", "efficientnet"),
    *("focalnet", "ijepa", "mobilenet_v1", "mobilenet_v2", "mobilevit", "poolformer", "regnet"),
    *("resnet", "siglip_vision_model", "swin", "swinv2", "vit", "vit_mae", "vit_msn"),
)
"""Types of transformers whose encoders can be saved in a model folder and loaded from it."""

_VISION_TOWERS = ("clip", "siglip")
_PRECISIONS = ("float32", "float16", "bfloat16")
_LAYERS = (
    "num_hidden_layers",
    "n_layers",
    "depths",
    "num_block_repeats",
    "decoder_num_hidden_layers",
)
_MOST_LAYERS = 256
_MOST_PATCHES = 128  # along a side


def saved_settings(config: Any) -> dict[str, Any]:
    """The settings of a transformers configuration that a model folder keeps.

    Raises:
        ModelFolderError: the type cannot be saved, or a setting is out of range.
    """
    return network_settings(config.to_dict())


def network_settings(saved: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are passed on to transformers; others in ``saved`` are left out.

    Raises:
        ModelFolderError: the type is unknown, or a setting is out of range.
    """
    if saved.get("model_type") in _VISION_TOWERS and isinstance(saved.get("vision_config"), dict):
        return network_settings(saved["vision_config"])  # the text tower is not used
    kind = saved.get("model_type")
    if kind not in TEXT_TYPES + IMAGE_TYPES:
        known = ", ".join(TEXT_TYPES + IMAGE_TYPES)
        raise ModelFolderError(f"model_type {shown(kind)} is not supported; known: {known}")
    settings = {name: saved[name] for name in sorted(_own_fields(kind)) if name in saved}
    for name, value in settings.items():
        _check_value(name, value)
    _check_patches(settings)
    precision = saved.get("dtype")
    if precision not in (None, *_PRECISIONS):
        raise ModelFolderError(
            f"dtype must be one of {', '.join(_PRECISIONS)}, got {shown(precision)}"
        )
    return {"model_type": kind, **settings, **({"dtype": precision} if precision else {})}


def build_config(saved: Mapping[str, Any]) -> Any:
    """The configuration that :func:`saved_settings` was made from."""
    settings = network_settings(saved)
    if is_plain_bert(settings):  # without transformers, which takes seconds to import
        return BertSettings(**{n: settings[n] for n in _own_fields("bert") if n in settings})
    from transformers import AutoConfig

    return AutoConfig.for_model(settings.pop("model_type"), **settings)


def build_network(config: Any) -> nn.Module:
    """A network with random weights; no code comes from outside the library."""
    if isinstance(config, BertSettings):
        return Bert(config)
    from transformers import AutoModel

    return AutoModel.from_config(config, trust_remote_code=False)


def _own_fields(kind: str) -> set[str]:
    """The settings that a type declares, without those that all types share."""
    if kind == BertSettings.model_type:
        return {field.name for field in fields(BertSettings)}
    from transformers import CONFIG_MAPPING, PreTrainedConfig

    shared = {field.name for field in fields(PreTrainedConfig)}
    return {field.name for field in fields(CONFIG_MAPPING[kind])} - shared


def _check_value(name: str, value: Any) -> None:
    for number in _leaves(name, value):
        most = _MOST_LAYERS if name in _LAYERS else VOCABULARY_LIMIT
        if isinstance(number, str):
            if len(number) > 100:
                raise ModelFolderError(f"{name} is too long: {shown(number)}")
        elif number is not None and not -most <= number <= most:  # not a number is neither
            raise ModelFolderError(f"{name} is out of range: {shown(number)}")


def _leaves(name: str, value: Any, depth: int = 0) -> Iterator[str | float | None]:
    """The scalars in a value, which may be a list or a dictionary of few entries."""
    if value is None or isinstance(value, str | int | float):
        yield value
        return
    entries = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(entries, list | tuple) or len(entries) > _MOST_LAYERS or depth > 2:
        raise ModelFolderError(f"{name} has an unsuitable value: {shown(value)}")
    for entry in entries:
        yield from _leaves(name, entry, depth + 1)


def _check_patches(settings: Mapping[str, Any]) -> None:
    """The attention of a vision transformer grows with the fourth power of its patches along a side."""
    size, patch = settings.get("image_size"), settings.get("patch_size")
    if type(size) is int and type(patch) is int and patch > 0 and size // patch > _MOST_PATCHES:
        raise ModelFolderError(
            f"image_size {size} with patch_size {patch} makes more than {_MOST_PATCHES} patches along "
            "a side"
        )
