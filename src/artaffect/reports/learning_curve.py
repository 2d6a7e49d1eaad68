"""A learning curve: scores by the number of labels, as a table, a figure, a page and files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from artaffect.metrics.classification import METRICS
from artaffect.metrics.display import Displayed, Table, data_frame
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.reports.figures import drawn, grid, legend_below, legend_name, look
from artaffect.reports.listings import save_listing
from artaffect.reports.pages import render, write
from artaffect.reports.tables import TextTable, heading, headlines, label, signed

PAGE, JSON, CSV = "report.html", "curve.json", "curve.csv"
CURVE_FILES = (PAGE, JSON, CSV)

COLUMNS = ("labels", "model", "minus", "metric", "value", "low", "high", "seconds")


@dataclass(frozen=True, repr=False)
class LearningCurve(Displayed):
    """Scores of a recipe by the number of labels that it learned from."""

    protocol: Mapping[str, Any]
    """How the numbers were obtained: plain JSON."""
    scores: Mapping[int, EvaluationResult]
    """For each number of labels the models ``baseline``, ``scratch`` and, if there is an initial model,
    ``initial`` and ``initialized``: means over seeds, with intervals over seeds and artworks."""
    seconds: Mapping[int, Mapping[str, Sequence[float]]]
    """For each number of labels and trained model the wall time of each seed. Features that an earlier
    training extracted come from the feature cache."""

    def to_frame(self) -> Any:
        """One row for each number of labels, model and metric, as a pandas ``DataFrame``.

        A row whose ``minus`` names a second model holds the difference of both.

        Raises:
            ImportError: pandas is not installed.
        """
        return data_frame(self.records(), COLUMNS)

    def records(self) -> list[tuple[Any, ...]]:
        """The rows of :meth:`to_frame`."""
        return list(self._records())

    def _records(self) -> Iterator[tuple[Any, ...]]:
        for size, result in self.scores.items():
            for model, scores in result.models.items():
                seconds = self.mean_seconds(size, model)
                for metric, estimate in scores.overall.metrics.items():
                    yield size, model, None, metric, *astuple(estimate), seconds
            for pair in result.comparisons:
                for metric, estimate in pair.by_group.overall.items():
                    yield size, pair.first, pair.second, metric, *astuple(estimate), None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def mean_seconds(self, size: int, model: str) -> float | None:
        """How long a training took, or None for a model that was not trained on the sample."""
        values = self.seconds[size].get(model)
        return fmean(values) if values else None

    def _table(self) -> Table:
        table = curve_tables(self)[0]
        return (f"LearningCurve: {table.title}", table.header, table.rows)


def curve_tables(curve: LearningCurve) -> list[TextTable]:
    """The scores by the number of labels, and the differences between the models."""
    metrics = headlines(METRICS)
    header = ["labels, model", *map(heading, metrics)]
    rows, compared = [], []
    for size, result in curve.scores.items():
        for model, scores in result.models.items():
            cells = [f"{scores.overall.metrics[m.name]:.3f}" for m in metrics]
            seconds = curve.mean_seconds(size, model)
            rows.append(
                [f"{size:,}, {label(model)}", *cells, "" if seconds is None else f"{seconds:.0f}"]
            )
        for pair in result.comparisons:
            cells = [signed(pair.by_group.overall[m.name]) for m in metrics]
            compared.append([f"{size:,}: {label(pair.first)} − {label(pair.second)}", *cells])
    protocol = curve.protocol
    title = (
        f"scores on {protocol['rows']:,} rows of split {protocol['split']}, means of "
        f"{len(protocol['seeds'])} seeds"
    )
    return [
        TextTable(title, [*header, "seconds"], rows),
        TextTable("Differences, with 95 % interval", ["labels, difference", *header[1:]], compared),
    ]


def curve_line(curve: LearningCurve) -> str:
    """How the numbers were obtained, in one paragraph."""
    protocol = curve.protocol
    interval = next(iter(curve.scores.values())).protocol["interval"]
    line = (
        f"{protocol['data']}: trained on samples of the split train, of whose artworks "
        f"{protocol['validation_share']:.0%} choose the settings; scored on {protocol['rows']:,} rows of "
        f"{protocol['artworks']:,} artworks of the split {protocol['split']}. Intervals: {interval}."
    )
    if protocol["initial"]:
        line += f" Initial model: {protocol['initial']}."
    return f"{line} The data are synthetic." if protocol["synthetic"] else line


@drawn
def curve_figure(figure: Any, curve: LearningCurve) -> None:
    """Each metric against the number of labels: a line for each model, and every seed as a dot."""
    sizes = list(curve.scores)
    metrics = headlines(METRICS)
    figure.set_size_inches(9.5, 7)
    axes = grid(figure, -(-len(metrics) // 2), 2, len(metrics))
    for axis, metric in zip(axes, metrics, strict=True):
        for i, model in enumerate(next(iter(curve.scores.values())).models):
            groups = [curve.scores[size][model].overall for size in sizes]
            estimates = np.array([astuple(group.metrics[metric.name]) for group in groups])
            style = look(i)
            axis.plot(sizes, estimates[:, 0], label=legend_name(label(model)), **style)
            axis.fill_between(sizes, *estimates[:, 1:].T, color=style["color"], alpha=0.15)
            for size, group in zip(sizes, groups, strict=True):
                dots = group.by_seed.get(metric.name, ())
                axis.plot([size] * len(dots), dots, ".", color=style["color"], markersize=3)
        axis.set_xscale("log")
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
        axis.minorticks_off()
        axis.set_title(heading(metric), fontsize=10)
        axis.set_xlabel("labels")
        axis.grid()
    legend_below(figure, axes[0], 4)


def save_learning_curve(curve: LearningCurve, folder: Path) -> None:
    """Write the page, JSON and CSV into a folder."""
    tables = curve_tables(curve)
    for name in (JSON, CSV):
        save_listing(folder / name, tables, COLUMNS, curve.records(), curve.to_json())
    page = render(
        "learning_curve.html.j2",
        title="How many labels does it take?",
        protocol=curve_line(curve),
        figures=[curve_figure("Scores by the number of labels", curve)],
        tables=tables,
    )
    write(folder / PAGE, page)
