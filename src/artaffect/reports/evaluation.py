"""Show an evaluation: on the terminal, as JSON, as one self-contained page, and as a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from artaffect.metrics.evaluation import EvaluationResult
from artaffect.reports.figures import evaluation_figures, training_curves
from artaffect.reports.findings import protocol_line, unreadable_images
from artaffect.reports.pages import render, write
from artaffect.reports.tables import TextTable, evaluation_tables
from artaffect.runtime import Terminal, to_json_text


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
