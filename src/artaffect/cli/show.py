"""Print results: as JSON, or as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Column, Table
from rich.text import Text

from artaffect import runtime
from artaffect.cli.options import Format
from artaffect.labels import SEPARATOR, LabelSet, Sentiment
from artaffect.runtime import Terminal, printable

if TYPE_CHECKING:
    from artaffect.data.summary import TableStatistics
    from artaffect.prediction.predictor import Prediction
    from artaffect.reports.tables import TextTable


def show(result: Any, as_json: bool, print_text: Callable[[Any], None]) -> None:
    """Print a result as JSON or as text."""
    print_json(result) if as_json else print_text(result)


def show_scores(
    result: Any,
    output: Format,
    print_text: Callable[[Any], None],
    tables: Callable[[Any], Sequence[TextTable]],
) -> None:
    """Print scores as text, as JSON or as LaTeX tables."""
    if output is not Format.LATEX:
        show(result, output is Format.JSON, print_text)
        return
    from artaffect.reports.downloads import table_latex

    Terminal().out("\n".join(map(table_latex, tables(result))), highlight=False)


def print_json(result: Any) -> None:
    """Print a JSON value, or the JSON of an object."""
    if hasattr(result, "to_json"):
        result = result.to_json()
    elif is_dataclass(result) and not isinstance(result, type):
        result = asdict(result)
    runtime.print_json(result)


def print_prediction(prediction: Prediction) -> None:
    """Print a table with emotions in rows and cultures in columns."""
    from artaffect.prediction.sets import percentage

    console = Terminal()
    table = Table("emotion", *(Column(item.culture, justify="right") for item in prediction))
    for emotion in next(iter(prediction)).probabilities:
        cells = []
        for item in prediction:
            probability = f"{item.probabilities[emotion]:.1%}"
            is_top = item.top == emotion
            cells.append(Text(f"{probability} ◀", style="bold") if is_top else Text(probability))
        table.add_row(emotion, *cells)
    table.add_section()
    for source in next(iter(prediction)).modality_shares:
        shares = [f"{item.modality_shares[source]:.0%}" for item in prediction]
        article = "the " if source in ("image", "caption") else ""
        table.add_row(f"share of {article}{source}", *shares)
    console.print(table)
    for item in prediction:
        if chosen := item.prediction_set:
            share = percentage(chosen.level)
            console.print(f"{item.culture}, {share}: {chosen}", soft_wrap=True)
    for note in dict.fromkeys(item.note for item in prediction if item.note):
        console.print(f"note: {note}", soft_wrap=True)


def print_encoders(encoders: list[dict[str, Any]]) -> None:
    """Print a table of the registered encoders."""
    table = Table(Column("name", no_wrap=True), "modality", "features", "weights")
    for encoder in encoders:
        weights = "installed" if encoder["offline"] else "hub, or a folder"
        table.add_row(encoder["name"], encoder["modality"], str(encoder["feature_dim"]), weights)
    console = Terminal()
    console.print(table)
    console.print(
        "Other models of transformers: hf:OWNER/MODEL or a folder. Models of timm: timm:NAME."
    )


def print_label_sets(sets: Mapping[str, LabelSet]) -> None:
    """Print each label set with its labels, and their valence: +, - or none."""
    table = Table(Column("name", no_wrap=True), "labels (+ positive, - negative)")
    signs = {Sentiment.POSITIVE: "+", Sentiment.NEGATIVE: "-"}
    for name, labels in sets.items():
        pairs = zip(labels, labels.sentiments, strict=True)
        listed = ", ".join(label + (signs.get(s, "") if s else "") for label, s in pairs)
        table.add_row(name, Text(f"{listed}\n{labels.title}"))
    console = Terminal()
    console.print(table)
    console.print('Your own: a TOML file with a line such as labels = ["joy", "calm"].')


def print_statistics(statistics: TableStatistics) -> None:
    """Print the counts of a table, and the share of each emotion per culture."""
    counts = Table("what", "count", title="annotations", title_justify="left")
    for name, value in (
        ("images", f"{statistics.images:,}"),
        ("images in the folder", f"{statistics.with_image:,}"),
        ("annotations", f"{statistics.annotations:,}"),
        ("annotations / image", f"{statistics.annotations_per_image:.2f}"),
        ("emotions", f"{statistics.emotions}"),
        *(
            (f"one of {' or '.join(cell.split(SEPARATOR))}", f"{n:,}")
            for cell, n in statistics.partial_labels.items()
        ),
        ("languages", ", ".join(f"{k} {n:,}" for k, n in statistics.languages.items())),
        ("splits", ", ".join(f"{k} {n:,}" for k, n in statistics.splits.items())),
    ):
        counts.add_row(name, value)
    title = f"share of each emotion, per {printable(statistics.audience)}"
    shares = Table("emotion", title=title, title_justify="left")
    for culture, support in statistics.culture_support.items():
        shares.add_column(f"{culture} ({support:,})", justify="right")
    for emotion in next(iter(statistics.by_culture.values()), {}):
        row = [f"{emotions[emotion]:.1%}" for emotions in statistics.by_culture.values()]
        shares.add_row(emotion, *row)
    Terminal().print(counts, shares)
