"""The encoders that have a name."""

from collections.abc import Mapping
from typing import Any

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
