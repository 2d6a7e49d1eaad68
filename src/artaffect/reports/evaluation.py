"""Show an evaluation: on the terminal, as JSON, as one self-contained page, and as a model card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from artaffect.labels import LabelSet
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import read_config, read_histories, seed_folders
from artaffect.reports.downloads import Downloads, NoDownloads, english_names
from artaffect.reports.figures import training_curves
from artaffect.reports.findings import protocol_line, unreadable_images
from artaffect.reports.headline import headline
from artaffect.reports.label_tables import all_tables, meanings, run_report_figures
from artaffect.reports.pages import render, write
from artaffect.reports.run_card import run_card
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


def save_evaluation(result: EvaluationResult, folder: Path, run: Path, split: str) -> None:
    """Write the scores of a run on one split as JSON and as a page with its figures.

    Args:
        folder: where to.
        run: the model folder, or the folder of several seeds.

    Raises:
        ModelFolderError: the run is damaged.
    """
    save_metrics(result, folder / "metrics.json")
    folders = seed_folders(run)
    description = read_config(folders[0])
    labels = LabelSet.from_json(description["labels"])
    log = read_histories(folders[0]) if len(folders) == 1 else None
    title = f"artaffect: {run.name}, {split} split"
    save_report(result, folder / "report.html", title, log, description, labels, files=True)


def save_report(
    result: EvaluationResult,
    path: Path,
    title: str,
    training_log: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    description: Mapping[str, Any] | None = None,
    labels: LabelSet | None = None,
    files: bool = False,
) -> None:
    """Write one HTML page that is read without any other file or network.

    Args:
        training_log: for each training, one entry per epoch; drawn as curves.
        description: the content of the model's ``config.json``, for the card of the run.
        labels: the set of the labels, which decides about their colours.
        files: write figures and tables in files beside the page, too.
    """
    labels = labels or LabelSet(result.labels)
    downloads = (Downloads if files else NoDownloads)(path, english_names(labels))
    tables = all_tables(result)
    page = render(
        "evaluation.html.j2",
        title=title,
        headline=headline(result),
        card=None if description is None else run_card(description),
        synthetic=bool(result.protocol.get("synthetic")),
        protocol=protocol_line(result),
        notes=unreadable_images(result.protocol.get("unreadable", ())),
        figures=downloads.figures(run_report_figures(result, labels)),
        tables=downloads.tables(tables),
        meanings=meanings(result),
        files=files,
        curves=downloads.figures([training_curves(training_log)] if training_log else []),
    )
    downloads.save(page)
