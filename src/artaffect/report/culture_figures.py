"""Draw a cultural report as SVG. Nothing is computed here."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from artaffect.labels import EMOTIONS
from artaffect.metrics.classification import Score
from artaffect.metrics.divergence import CulturalDivergence
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.metrics.permutation import Divergence
from artaffect.report.figures import COLOURS, intervals, reliability_lines, svg
from artaffect.report.results import RunScores
from artaffect.report.tables import shown_groups

_MOST = 15
"""Rows of a figure."""
_CELLS = 12
"""Cultures above which a matrix is drawn without numbers."""


def divergence_figures(found: CulturalDivergence) -> dict[str, str]:
    """Pairs, styles and emotions; a map of all pairs where there are many."""
    pairs = sorted(found.pairs, key=lambda pair: -pair.beyond_chance.value)
    figures = {"How far apart two publics of one painting are": svg(_divergences, pairs[:_MOST])}
    if len(found.cultures) > 3:
        figures["Divergence beyond chance of every pair of publics"] = svg(_map, found)
    if len(found.styles) > 1:
        figures["Which styles divide publics"] = svg(_divergences, found.styles[:_MOST])
    if len(found.cultures) <= 6:
        figures["What each public feels"] = svg(_emotions, found)
    return figures


def run_figures(run: RunScores) -> dict[str, str]:
    """The image's part, reliability, answers for one public on the labels of another."""
    figures = {}
    if run.contribution is not None:
        figures["What the image adds to the caption (log-loss; left of zero is better)"] = svg(
            _contribution, run.contribution
        )
    figures["Is confidence earned? As trained, and calibrated"] = svg(_calibrated, run)
    if run.heads is not None:
        figures["Accuracy of answers for one public on the labels of another"] = svg(
            _heads, run.heads
        )
    return figures


def votes_figure(votes: Mapping[str, Sequence[float]], unit: str) -> str:
    """Bars of each emotion for each public, as SVG."""
    return svg(_votes, (votes, unit))


def _divergences(found: Sequence[Divergence], figure: Any) -> None:
    figure.set_size_inches(8, 1.4 + 0.42 * len(found))
    axis = figure.subplots()
    places = np.arange(len(found))
    axis.plot([d.observed for d in found], places, "s", color=COLOURS[0], label="observed")
    axis.plot([d.by_chance for d in found], places, "^", color=COLOURS[1], label="by chance")
    intervals(axis, [d.beyond_chance for d in found], places, 2, "beyond chance")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(places, [f"{d.name} ({d.artworks:,})" for d in found])
    axis.set_ylim(len(found) - 0.5, -0.5)
    axis.set_xlabel("mean Jensen-Shannon divergence, base 2 (paintings in brackets)")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)


def _map(found: CulturalDivergence, figure: Any) -> None:
    names = list(found.cultures)
    values = np.full((len(names), len(names)), np.nan)
    for pair in found.pairs:
        a, b = (names.index(name) for name in pair.name.split(" / "))
        values[a, b] = values[b, a] = pair.beyond_chance.value
    _matrix(figure, values, names, names, (0.0, float(np.nanmax(values))))


def _emotions(found: CulturalDivergence, figure: Any) -> None:
    figure.set_size_inches(8, 5)
    axis = figure.subplots()
    height = 0.7 / len(found.cultures)
    gaps = list(found.emotions)
    for c, culture in enumerate(found.cultures):
        places = np.arange(len(gaps)) + (c - (len(found.cultures) - 1) / 2) * height
        intervals(axis, [gap.shares[culture] for gap in gaps], places, c + 1, culture)
    axis.set_yticks(np.arange(len(gaps)), [gap.emotion for gap in gaps])
    axis.invert_yaxis()
    axis.set_xlabel("share of the votes; the most dividing emotion stands first")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)


def _contribution(result: EvaluationResult, figure: Any) -> None:
    groups = shown_groups(result)
    pairs = {
        pair: pair.removesuffix(" - caption") for pair in result.differences if "- caption" in pair
    }
    figure.set_size_inches(8, 1.4 + 0.22 * len(groups) * len(pairs))
    axis = figure.subplots()
    height = 0.7 / len(pairs)
    for i, (pair, label) in enumerate(pairs.items()):
        places = np.arange(len(groups)) + (i - (len(pairs) - 1) / 2) * height
        scores: list[Score] = [result.differences[pair][g]["log_loss"] for g in groups]
        intervals(axis, scores, places, i + 1, label)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(np.arange(len(groups)), groups)
    axis.invert_yaxis()
    axis.set_xlabel("difference from the caption alone")
    axis.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _calibrated(run: RunScores, figure: Any) -> None:
    figure.set_size_inches(9.5, 4.6)
    axes = figure.subplots(1, len(run.reliability), sharey=True)
    groups = shown_groups(run.calibration)[:6]
    shown = list(run.temperatures)[-1]
    for axis, (how, bins) in zip(axes, run.reliability.items(), strict=True):
        reliability_lines(axis, {g: bins[g] for g in groups}, shown)
        axis.set_title(how, fontsize=10)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)


def _heads(result: EvaluationResult, figure: Any) -> None:
    groups = shown_groups(result)
    values = np.array(
        [[scores[g].metrics["accuracy"].value for g in groups] for scores in result.models.values()]
    )
    reach = (float(values.min()), float(values.max()))
    _matrix(figure, values, list(result.models), [f"labels of {g}" for g in groups], reach)


def _matrix(
    figure: Any, values: np.ndarray, rows: list[str], columns: list[str], reach: tuple[float, float]
) -> None:
    figure.set_size_inches(3.2 + 0.62 * len(columns), 1.8 + 0.42 * len(rows))
    axis = figure.subplots()
    low, high = reach
    drawn = axis.imshow(values, cmap="cividis", vmin=low, vmax=max(high, low + 1e-6), aspect="auto")
    figure.colorbar(drawn, ax=axis, fraction=0.05)
    if len(rows) <= _CELLS:
        middle = (low + high) / 2
        for row, column in np.argwhere(~np.isnan(values)):
            colour = "white" if values[row, column] < middle else "black"
            text = f"{values[row, column]:.3f}"
            axis.text(column, row, text, ha="center", va="center", color=colour, size=8)
    axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)


def _votes(shown: tuple[Mapping[str, Sequence[float]], str], figure: Any) -> None:
    votes, unit = shown
    figure.set_size_inches(8, 4.6)
    axis = figure.subplots()
    height = 0.8 / max(len(votes), 1)
    hatches = ("", "//", "..", "xx", "\\\\", "oo")
    for i, (name, counts) in enumerate(votes.items()):
        places = np.arange(len(EMOTIONS)) + (i - (len(votes) - 1) / 2) * height
        colour, hatch = COLOURS[(i + 1) % len(COLOURS)], hatches[i % len(hatches)]
        axis.barh(places, counts, height, color=colour, hatch=hatch, edgecolor="white", label=name)
    axis.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
