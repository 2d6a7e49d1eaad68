"""Show an evaluation: on the terminal, and as one self-contained page."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import Histories
from artaffect.report.figures import curves, figures_of
from artaffect.report.page import Section, save_page
from artaffect.report.tables import TextTable, tables_of
from artaffect.runtime import atomic_file


def print_result(result: EvaluationResult, console: Console | None = None) -> None:
    """Print every table."""
    print_tables(tables_of(result), console)
    (console or Console()).print(protocol_line(result), soft_wrap=True)


def print_tables(tables: Sequence[TextTable], console: Console | None = None) -> None:
    """Print tables in full, however narrow the terminal is."""
    console = console or Console()
    if console.width < 120:  # a number cut short is worse than a wrapped line
        console = Console(file=console.file, width=120)
    for table in tables:
        drawn = Table(title=table.title, title_justify="left", title_style="bold")
        for i, heading in enumerate(table.header):
            drawn.add_column(heading, justify="left" if i == 0 else "right", no_wrap=True)
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def protocol_line(result: EvaluationResult) -> str:
    """How the numbers were got, in one sentence."""
    p = result.protocol
    line = (
        f"Split {p['split']}: {p['rows']:,} captions of {p['artworks']:,} paintings; "
        f"intervals {p['interval']}; baseline: {p['baseline']}."
    )
    if p["rows_without_picture_left_out"]:
        line += f" {p['rows_without_picture_left_out']:,} captions without a picture are left out."
    if p.get("chosen_on_this_split"):
        line += " The model was chosen on this split, which flatters it a little."
    return line


def save_metrics(result: EvaluationResult, path: Path) -> None:
    """Write everything as JSON."""
    with atomic_file(path) as temporary:
        text = json.dumps(result.to_json(), indent=2, ensure_ascii=False)
        temporary.write_text(text, "utf-8")


def save_report(
    result: EvaluationResult, path: Path, title: str, training_log: Histories | None = None
) -> None:
    """Write one HTML page that needs no other file and no network."""
    figures = figures_of(result)
    if training_log:
        figures |= {"Training curves": curves(training_log)}
    section = Section("", [protocol_line(result)], figures, tables_of(result))
    save_page(path, title, [section])
