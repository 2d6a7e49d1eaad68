"""Print predictions and encoders as tables."""

from typing import Any

from rich.console import Console
from rich.table import Column, Table

from artaffect.labels import EMOTIONS
from artaffect.prediction.predictor import Prediction


def print_prediction(prediction: Prediction) -> None:
    """Print a table with emotions in rows and cultures in columns."""
    console = Console()
    table = Table()
    table.add_column("emotion")
    for item in prediction:
        table.add_column(item.culture, justify="right")
    for emotion in EMOTIONS:
        cells = []
        for item in prediction:
            probability = f"{item.probabilities[emotion]:.1%}"
            cells.append(f"[bold]{probability} ◀[/bold]" if item.top is emotion else probability)
        table.add_row(emotion, *cells)
    table.add_section()
    for modality in ("image", "caption"):
        shares = [f"{item.modality_shares[modality]:.0%}" for item in prediction]
        table.add_row(f"share of the {modality}", *shares)
    console.print(table)
    for note in dict.fromkeys(item.note for item in prediction if item.note):
        console.print(f"note: {note}", soft_wrap=True)


def print_encoders(encoders: list[dict[str, Any]]) -> None:
    """Print a table of the registered encoders."""
    table = Table(Column("name", no_wrap=True), "modality", "features", "weights")
    for encoder in encoders:
        weights = "installed" if encoder["offline"] else "hub, or a folder"
        table.add_row(encoder["name"], encoder["modality"], str(encoder["feature_dim"]), weights)
    console = Console()
    console.print(table)
    console.print(
        "Other models of transformers: by hub name (OWNER/MODEL) or folder. Models of timm: timm:NAME."
    )
