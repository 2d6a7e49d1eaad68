"""Print predictions and encoders for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from artaffect.inference.predictor import Prediction
from artaffect.labels import EMOTIONS
from artaffect.models.image_encoders import IMAGE_ENCODERS
from artaffect.models.text_encoders import TEXT_ENCODERS


def print_prediction(prediction: Prediction) -> None:
    """Emotions in rows, cultures in columns."""
    console = Console()
    table = Table()
    table.add_column("emotion")
    for reading in prediction.readings:
        table.add_column(reading.culture, justify="right")
    for emotion in EMOTIONS:
        cells = []
        for reading in prediction.readings:
            share = f"{reading.emotions.probabilities[emotion]:.1%}"
            cells.append(f"[bold]{share} ◀[/bold]" if reading.emotions.top is emotion else share)
        table.add_row(emotion, *cells)
    table.add_section()
    for modality in ("image", "caption"):
        shares = [f"{reading.shares[modality]:.0%}" for reading in prediction.readings]
        table.add_row(f"share of the {modality}", *shares)
    console.print(table)
    for note in dict.fromkeys(r.note for r in prediction.readings if r.note):
        console.print(f"note: {note}", soft_wrap=True)


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
