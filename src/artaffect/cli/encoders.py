"""List the encoders that have a name here."""

from typing import Any

from rich.console import Console
from rich.table import Table

from artaffect.models.image_encoders import IMAGE_ENCODERS
from artaffect.models.text_encoders import TEXT_ENCODERS


def list_encoders() -> list[dict[str, Any]]:
    """Name, modality, width, and whether the weights came with the installation."""
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


def print_encoders(found: list[dict[str, Any]]) -> None:
    """As a table."""
    table = Table("name", "modality", "features", "weights")
    for row in found:
        weights = "installed" if row["offline"] else "Hugging Face hub, or a folder"
        table.add_row(row["name"], row["modality"], str(row["feature_dim"]), weights)
    console = Console()
    console.print(table)
    console.print("Every other model of transformers: by its hub name or folder. timm: timm:NAME.")
