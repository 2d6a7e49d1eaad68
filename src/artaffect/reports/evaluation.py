"""Show an evaluation: on the terminal, as JSON, as one self-contained page, and as a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from rich.table import Table

from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import NEEDS
from artaffect.reports.figures import evaluation_figures, training_curves
from artaffect.reports.findings import protocol_line, unreadable_images
from artaffect.reports.pages import render, write
from artaffect.reports.tables import TextTable, evaluation_tables, headlines, overall_label
from artaffect.runtime import Terminal, printable, to_json_text

_INPUTS = {"both": "image and caption", "image": "image"}
"""What the detailed model uses; a distilled student uses captions."""


def print_result(result: EvaluationResult, console: Terminal | None = None) -> None:
    """Print every table."""
    print_tables(evaluation_tables(result), console)
    (console or Terminal()).print(protocol_line(result), soft_wrap=True)


def print_tables(tables: Sequence[TextTable], console: Terminal | None = None) -> None:
    """Print tables in full, however narrow the terminal is."""
    console = console or Terminal()
    for table in tables:
        grid = Table(title=table.title, title_justify="left", title_style="bold")
        for i, heading in enumerate(table.header):
            grid.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
        for row in table.rows:
            grid.add_row(*row)
        width = console.measure(grid, options=console.options.update(max_width=10**4)).maximum
        if width > console.width:  # a wrapped line is better than a number cut short
            console = Terminal(file=console.file, width=width)
        console.print(grid)


def save_metrics(result: EvaluationResult, path: Path) -> None:
    """Write everything as JSON."""
    write(path, to_json_text(result.to_json()))


def save_report(
    result: EvaluationResult,
    path: Path,
    title: str,
    training_log: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> None:
    """Write one HTML page that needs no other file and no network.

    Args:
        training_log: for each training, one entry per epoch; drawn as curves.
    """
    page = render(
        "evaluation.html.j2",
        title=title,
        protocol=protocol_line(result),
        notes=unreadable_images(result.protocol.get("unreadable", ())),
        figures=evaluation_figures(result),
        tables=evaluation_tables(result),
        curves=training_curves(training_log) if training_log else None,
    )
    write(path, page)


def model_card(
    result: EvaluationResult, description: Mapping[str, Any], needs: Sequence[str] = ()
) -> str:
    """The README of a model folder: Markdown, with the metadata that the Hugging Face hub reads.

    The scores of each culture are tables in the text, and evaluation results in the metadata.

    Args:
        needs: where the encoders come from that the folder does not hold.
    """
    data = description["data"]
    source = printable(Path(str(data.get("source", "unknown"))).name)
    return render(
        "model_card.md.j2",
        metadata=_metadata(result, source).to_yaml(),
        config=description,
        needs=needs,
        needs_heading=NEEDS,
        source=source,
        synthetic=bool(data.get("synthetic") or result.protocol.get("synthetic")),
        protocol=protocol_line(result),
        tables=evaluation_tables(result),
    )


def _metadata(result: EvaluationResult, source: str) -> ModelCardData:
    inputs = _INPUTS.get(result.detailed, "caption")
    scores = result[result.detailed]
    groups = {overall_label(scores): scores.overall, **scores.by_culture}
    groups = {printable(name): group for name, group in groups.items()}
    return ModelCardData(
        library_name="artaffect",
        tags=["art", "emotion-recognition", "affective-computing", "culture", "multimodal"],
        model_name="artaffect",
        eval_results=[
            EvalResult(
                task_type="text-classification" if inputs == "caption" else "image-classification",
                task_name=f"emotion recognition from {inputs}",
                dataset_type=Path(source).stem.lower() or "unknown",
                dataset_name=f"{source} ({group})",
                dataset_config=group,
                dataset_split=printable(result.protocol["split"]),
                metric_type=metric.name,
                metric_value=round(group_scores.metrics[metric.name].value, 4),
            )
            for group, group_scores in groups.items()
            for metric in headlines(group_scores.metrics)
        ],
    )
