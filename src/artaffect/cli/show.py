"""Print predictions for people."""

from rich.console import Console
from rich.table import Table

from artaffect.labels import EMOTIONS
from artaffect.prediction.predictor import Prediction


def print_prediction(prediction: Prediction) -> None:
    """Emotions in rows, cultures in columns."""
    console = Console()
    table = Table()
    table.add_column("emotion")
    for reading in prediction.by_culture:
        table.add_column(reading.culture, justify="right")
    for emotion in EMOTIONS:
        cells = []
        for reading in prediction.by_culture:
            share = f"{reading.probabilities[emotion]:.1%}"
            cells.append(f"[bold]{share} ◀[/bold]" if reading.top is emotion else share)
        table.add_row(emotion, *cells)
    table.add_section()
    for modality in ("image", "caption"):
        shares = [f"{reading.modality_shares[modality]:.0%}" for reading in prediction.by_culture]
        table.add_row(f"share of the {modality}", *shares)
    console.print(table)
    for note in dict.fromkeys(r.note for r in prediction.by_culture if r.note):
        console.print(f"note: {note}", soft_wrap=True)
