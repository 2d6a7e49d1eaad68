"""List the registered encoders."""

from typing import Any

from rich.console import Console
from rich.table import Table

from artaffect.models.image_encoders import IMAGE_ENCODERS
from artaffect.models.text_encoders import TEXT_ENCODERS


def list_encoders() -> list[dict[str, Any]]:
    """The name, modality and feature width of each encoder, and whether its weights are installed."""
    return [
        {
            "name": name,
            "modality": modality,
            "feature_dim": spec.feature_dim,
            "offline": spec.offline,
        }
        for modality, registry in (("image", IMAGE_ENCODERS), ("text", TEXT_ENCODERS))
        for name, spec in registry.items()
    ]


def print_encoders(encoders: list[dict[str, Any]]) -> None:
    """Print the encoders as a table."""
    table = Table("name", "modality", "features", "weights")
    for encoder in encoders:
        weights = "installed" if encoder["offline"] else "Hugging Face hub, or a folder"
        table.add_row(encoder["name"], encoder["modality"], str(encoder["feature_dim"]), weights)
    console = Console()
    console.print(table)
    console.print(
        "Other models of transformers: by hub name (OWNER/MODEL) or folder. Models of timm: timm:NAME."
    )
