"""The encoders that have a name."""

from collections.abc import Mapping
from typing import Any

from artaffect.models.hub import HUB_PREFIX
from artaffect.models.image_encoders import IMAGE_ENCODERS
from artaffect.models.text_encoders import TEXT_ENCODERS


def list_encoders() -> list[dict[str, Any]]:
    """The encoders that have a name here: name, modality, feature width, whether they need no hub."""
    registries: dict[str, Mapping[str, Any]] = {"image": IMAGE_ENCODERS, "text": TEXT_ENCODERS}
    return [
        {"name": n, "modality": m, "feature_dim": spec.feature_dim, "offline": spec.offline}
        for m, registry in registries.items()
        for n, spec in registry.items()
    ]


_ON_HUB = {"e5_small": "intfloat/multilingual-e5-small"}
"""Encoders whose weights come with the installation, and are on the hub too."""


def hub_name(encoder: str) -> str | None:
    """The name of an encoder's weights on the Hugging Face hub, OWNER/MODEL; None if it has none."""
    if encoder.startswith(HUB_PREFIX):
        return encoder.removeprefix(HUB_PREFIX).partition("@")[0]
    if (image := IMAGE_ENCODERS.get(encoder)) is not None:
        return None if image.offline else image.source
    text = TEXT_ENCODERS.get(encoder)
    return _ON_HUB.get(encoder) or (None if text is None else text.hub_name)
