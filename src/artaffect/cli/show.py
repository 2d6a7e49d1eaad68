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
    for culture in prediction:
        table.add_column(culture.culture, justify="right")
    for emotion in EMOTIONS:
        cells = []
        for culture in prediction:
            share = f"{culture.probabilities[emotion]:.1%}"
            cells.append(f"[bold]{share} ◀[/bold]" if culture.top is emotion else share)
        table.add_row(emotion, *cells)
    table.add_section()
    for modality in ("image", "caption"):
        shares = [f"{culture.modality_shares[modality]:.0%}" for culture in prediction]
        table.add_row(f"share of the {modality}", *shares)
    console.print(table)
    for note in dict.fromkeys(culture.note for culture in prediction if culture.note):
        console.print(f"note: {note}", soft_wrap=True)
