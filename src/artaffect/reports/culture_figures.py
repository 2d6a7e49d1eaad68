"""Draw a culture report as SVG. Nothing is computed here."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from artaffect.metrics.divergence import CultureComparison
from artaffect.metrics.evaluation import ByGroup, EvaluationResult, ModelScores
from artaffect.metrics.permutation import Divergence
from artaffect.reports.culture_tables import cross_culture_rows
from artaffect.reports.figures import (
    COLOURS,
    INK,
    Figure,
    drawn,
    intervals,
    legend_below,
    name_cells,
    name_rows,
    paint_labels,
    reliability_counts,
    reliability_lines,
    short,
    spread,
)
from artaffect.reports.palette import Colour
from artaffect.reports.results import Calibration, RunScores
from artaffect.reports.tables import label, pair_label, shown_groups

if TYPE_CHECKING:  # explanations need the extra explain
    from artaffect.explain.deletion import DeletionCurves

_MAX_ROWS = 15
"""Rows of a figure."""
_MAX_CELLS = 12
"""Larger matrices are drawn without numbers."""
_MAX_PANELS = 3
"""Cultures side by side in one line of a figure."""


def divergence_figures(result: CultureComparison) -> list[Figure]:
    """Pairs, styles and emotions; a map of all pairs if there are more than three cultures."""
    pairs = sorted(result.pairs, key=lambda pair: -pair.beyond_chance.value)
    named = {pair_label(pair.first, pair.second): pair for pair in pairs[:_MAX_ROWS]}
    figures = [_divergences("How far apart two cultures are on one painting", named)]
    if len(result.cultures) > 3:
        figures.append(_map("Divergence beyond chance of every pair of cultures", result))
    if len(result.styles) > 1:
        styles = {style.style: style for style in result.styles[:_MAX_ROWS]}
        figures.append(_divergences("Which styles divide cultures", styles))
    if len(result.cultures) <= 6:
        figures.append(_emotions("What each culture feels", result))
    return figures


def run_figures(run: RunScores) -> list[Figure]:
    """The part of the image, reliability, and predictions for one culture on the labels of another."""
    figures = []
    if run.ablation is not None:
        title = "What the image adds to the caption (log-loss; left of zero is better)"
        figures.append(_ablation(title, run.ablation))
    title = "Is confidence justified? Before and after calibration"
    figures.append(_calibration(title, run.calibration[run.best_input], run.best_input))
    if run.cross_culture is not None:
        title = "Accuracy of predictions for one culture on the labels of another"
        figures.append(_cross_culture(title, run.cross_culture))
    return figures


@drawn
def _divergences(figure: Any, named: Mapping[str, Divergence]) -> None:
    figure.set_size_inches(8, 1.4 + 0.42 * len(named))
    axis = figure.subplots()
    rows, values = np.arange(len(named)), list(named.values())
    axis.plot([d.observed for d in values], rows, "s", color=COLOURS[0], label="observed")
    axis.plot([d.by_chance for d in values], rows, "^", color=COLOURS[1], label="by chance")
    intervals(axis, [d.beyond_chance for d in values], rows, 2, "beyond chance")
    axis.axvline(0, color=INK, linewidth=0.8)
    name_rows(axis, [f"{name} ({d.artworks:,})" for name, d in named.items()])
    _label(figure, axis, "mean Jensen-Shannon divergence, base 2 (paintings in brackets)")


@drawn
def _map(figure: Any, result: CultureComparison) -> None:
    names = list(result.cultures)
    values = np.full((len(names), len(names)), np.nan)
    for pair in result.pairs:
        a, b = names.index(pair.first), names.index(pair.second)
        values[a, b] = values[b, a] = pair.beyond_chance.value
    _matrix(figure, values, names, names, (0.0, float(np.nanmax(values))))


@drawn
def _emotions(figure: Any, result: CultureComparison) -> None:
    figure.set_size_inches(8, 5)
    axis = figure.subplots()
    gaps = list(result.emotions)
    for c, culture in enumerate(result.cultures):
        positions = spread(len(gaps), c, len(result.cultures), 0.7)
        intervals(axis, [gap.shares[culture] for gap in gaps], positions, c + 1, culture)
    name_rows(axis, [gap.emotion for gap in gaps])
    _label(figure, axis, "share of the votes; the most divisive emotion is at the top")


@drawn
def _ablation(figure: Any, result: EvaluationResult) -> None:
    differences = {
        label(c.first): shown_groups(c.by_group)
        for c in result.comparisons
        if c.second == "caption"
    }
    groups = list(next(iter(differences.values())))
    figure.set_size_inches(8, 1.4 + 0.22 * len(groups) * len(differences))
    axis = figure.subplots()
    for i, (name, by_group) in enumerate(differences.items()):
        positions = spread(len(groups), i, len(differences), 0.7)
        intervals(axis, [by_group[group]["log_loss"] for group in groups], positions, i + 1, name)
    axis.axvline(0, color=INK, linewidth=0.8)
    name_rows(axis, groups)
    _label(figure, axis, "difference from the caption alone", 2)


def _label(figure: Any, axis: Any, text: str, columns: int = 3) -> None:
    axis.set_xlabel(text)
    axis.grid(axis="x")
    legend_below(figure, axis, columns)


@drawn
def _calibration(figure: Any, calibration: Calibration, model: str) -> None:
    figure.set_size_inches(9.5, 5.4)
    axes = figure.subplots(2, 2, height_ratios=(5, 1), sharex=True, sharey="row")
    for (axis, counts), how in zip(axes.T, ("uncalibrated", "calibrated"), strict=True):
        reliability = getattr(calibration, f"{how}_reliability")
        reliability_lines(axis, dict(islice(shown_groups(reliability).items(), 6)))
        reliability_counts(counts, reliability.overall, model)
        axis.set_title(how, fontsize=10)
        axis.label_outer()
    legend_below(figure, axes[0, 0], 4)


@drawn
def _cross_culture(figure: Any, scores: ByGroup[ModelScores]) -> None:
    rows = cross_culture_rows(scores)
    groups = shown_groups(scores.overall)
    values = np.array(
        [[g.accuracy.value for g in shown_groups(row).values()] for row in rows.values()]
    )
    reach = (float(values.min()), float(values.max()))
    columns = [f"labels of {group}" for group in groups]
    _matrix(figure, values, [f"for {name}" for name in rows], columns, reach)


def _matrix(
    figure: Any, values: np.ndarray, rows: list[str], columns: list[str], reach: tuple[float, float]
) -> None:
    figure.set_size_inches(3.2 + 0.62 * len(columns), 1.8 + 0.42 * len(rows))
    axis = figure.subplots()
    low, high = reach
    image = axis.imshow(values, cmap="cividis", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
    figure.colorbar(image, ax=axis, fraction=0.05)
    if len(rows) <= _MAX_CELLS:
        middle = (low + high) / 2
        for row, column in np.argwhere(~np.isnan(values)):
            colour = "white" if values[row, column] < middle else "black"
            text = f"{values[row, column]:.3f}"
            axis.text(column, row, text, ha="center", va="center", color=colour, size=8)
    name_cells(axis, rows, columns)


@drawn
def emotion_bars(
    figure: Any,
    labels: Sequence[str],
    columns: Mapping[str, Sequence[float]],
    unit: str,
    colours: Mapping[str, Colour] | None = None,
) -> None:
    """One panel for each culture, side by side; a label has the same colour in all of them."""
    side_by_side = min(len(columns), _MAX_PANELS)
    lines = -(-len(columns) // side_by_side)
    figure.set_size_inches(1.8 + 2.4 * side_by_side, lines * max(1.6, 0.3 * len(labels) + 0.8))
    axes = np.atleast_1d(figure.subplots(lines, side_by_side, sharex=True, sharey=True)).ravel()
    spec = ".0f" if unit == "votes" else ".2f"
    for axis, (culture, values) in zip(axes, columns.items(), strict=False):
        paint_labels(figure, axis, labels, values, colours or {}, spec)
        axis.set_title(short(culture, 24), fontsize=10)
        axis.set_xlabel(unit)
        axis.margins(x=0.18)
    for axis in axes[len(columns) :]:
        axis.set_visible(False)
    name_rows(axes[0], list(labels))


@drawn
def deletion_curve(figure: Any, curves: "DeletionCurves", parts: str) -> None:
    """How the probability falls, what matters most first, beside the band of random orders."""
    figure.set_size_inches(5.4, 3.6)
    axis = figure.subplots()
    removed = 100 * np.array(curves.removed)
    if len(curves.random_low):
        low, high = (100 * np.array(curve) for curve in (curves.random_low, curves.random_high))
        name = "all random orders"
        axis.fill_between(removed, low, high, color=COLOURS[0], alpha=0.3, linewidth=0, label=name)
    chance, first = (100 * np.array(curve) for curve in (curves.at_random, curves.by_weight))
    axis.plot(removed, chance, color=COLOURS[0], linestyle="--", label="random orders, average")
    axis.plot(removed, first, color=COLOURS[1], marker="o", label=f"the {parts} that matter first")
    axis.set(xlabel=f"deleted {parts} (%)", ylabel="probability (%)", xlim=(0, 100), ylim=(0, 104))
    axis.grid()
    legend_below(figure, axis, 2)
