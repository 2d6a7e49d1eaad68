"""Draw an evaluation as SVG. Nothing is computed here."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from artaffect.labels import EMOTIONS
from artaffect.metrics.classification import Score
from artaffect.metrics.evaluation import EvaluationResult, Reliability
from artaffect.report.tables import HEADINGS, shown_groups

# Okabe and Ito's colours, which colour-blind readers tell apart; markers differ as well
COLOURS = ("#999999", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#D55E00")
_MOST = 9
"""Groups above which a figure that needs room for each shows the whole only."""

MARKERS = ("s", "^", "o", "D", "v", "P")


def figures_of(result: EvaluationResult) -> dict[str, str]:
    """Each figure's title and its SVG."""
    drawings: dict[str, Callable[[EvaluationResult, Any], None]] = {
        "Scores with 95 % intervals": _scores,
        "Which emotion is taken for which (share of each label's captions)": _confusion,
        "Are confident answers right? (reliability)": _reliability,
    }
    if "fusion" in result.extra:
        drawings["What image and caption weigh in the combination"] = _weights
    return {title: svg(draw, result) for title, draw in drawings.items()}


def scores_figure(result: EvaluationResult) -> str:
    """Every model's scores with their intervals, group by group, as SVG."""
    return svg(_scores, result)


def curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """The course of several trainings as SVG: the training loss, and each validation score.

    Args:
        histories: for each training, one entry an epoch; see :class:`FitResult`.
    """
    return svg(_curves, histories)


def _curves(histories: Mapping[str, Sequence[Mapping[str, float]]], figure: Any) -> None:
    shown = {
        "loss": "training loss",
        "log_loss": "log-loss",
        "accuracy": "accuracy",
        "macro_f1": "macro-F1",
        "hamming": "Hamming accuracy (the paper's)",
    }
    known = [n for n in shown if any(n in epoch for h in histories.values() for epoch in h)]
    lines = -(-len(known) // 2)
    figure.set_size_inches(9.5, 3 * lines)
    axes = np.atleast_1d(figure.subplots(lines, 2)).ravel()
    for axis in axes[len(known) :]:
        axis.set_visible(False)
    for axis, name in zip(axes, known, strict=False):
        for i, (training, history) in enumerate(histories.items()):
            values = [epoch.get(name, np.nan) for epoch in history]
            axis.plot(
                range(1, len(values) + 1),
                values,
                color=COLOURS[(i + 1) % len(COLOURS)],
                marker=MARKERS[i % len(MARKERS)],
                markersize=4,
                label=training,
            )
        axis.set_title(shown[name] + ("" if name == "loss" else ", validation"), fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)


def svg(draw: Callable[[Any, Any], None], shown: Any) -> str:
    """Draw something on a new figure, as SVG whose text can be searched and copied."""
    from matplotlib.figure import Figure

    with _plain_style():
        figure = Figure(layout="constrained")
        draw(shown, figure)
        buffer = io.StringIO()
        figure.savefig(
            buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = buffer.getvalue()
    return text[text.index("<svg") :]


@contextmanager
def _plain_style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
            "svg.hashsalt": "artaffect",
            "font.family": "sans-serif",
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        yield


def _scores(result: EvaluationResult, figure: Any) -> None:
    groups = shown_groups(result)
    figure.set_size_inches(9.5, 1.2 + 0.22 * len(groups) * len(result.models))
    axes = figure.subplots(1, len(HEADINGS), sharey=True)
    height = 0.8 / len(result.models)
    for axis, (metric, heading) in zip(axes, HEADINGS.items(), strict=True):
        for i, (model, scores) in enumerate(result.models.items()):
            places = np.arange(len(groups)) + (i - (len(result.models) - 1) / 2) * height
            found = [scores[group].metrics[metric] for group in groups]
            intervals(axis, found, places, i, model)
        axis.set_title(heading.replace(" ↓", "\n(lower is better)"), fontsize=10)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(np.arange(len(groups)), groups)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)


def intervals(
    axis: Any, scores: Sequence[Score], places: np.ndarray, number: int, label: str
) -> None:
    """Draw scores with their intervals, one below the other, in the colour of this number."""
    # a bootstrap interval of a biased score may leave its value out
    reach = [
        [max(0.0, s.value - s.low) for s in scores],
        [max(0.0, s.high - s.value) for s in scores],
    ]
    axis.errorbar(
        [s.value for s in scores],
        places,
        xerr=reach,
        fmt=MARKERS[number % len(MARKERS)],
        color=COLOURS[number % len(COLOURS)],
        markersize=5,
        label=label,
    )


def _confusion(result: EvaluationResult, figure: Any) -> None:
    groups = shown_groups(result)
    groups = groups if len(groups) <= _MOST else groups[:1]
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    figure.set_size_inches(4.9 * columns, 4.3 * lines)
    axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for axis in axes[len(groups) :]:
        axis.set_visible(False)
    for axis, group in zip(axes, groups, strict=False):
        counts = np.array(result.confusion[group], float)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(shares, cmap="cividis", vmin=0, vmax=1)
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            colour = "white" if share < 0.5 else "black"
            axis.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour, size=7)
        ticks = range(len(EMOTIONS))
        axis.set_xticks(ticks, EMOTIONS, rotation=45, ha="right", fontsize=8)
        axis.set_yticks(ticks, EMOTIONS, fontsize=8)
        axis.set_title(f"{group} ({int(counts.sum()):,} captions)", fontsize=10)
        axis.set_xlabel(f"answer of {result.protocol['shown']}")
        axis.set_ylabel("label")


def _reliability(result: EvaluationResult, figure: Any) -> None:
    figure.set_size_inches(5.5, 4.5)
    axis = figure.subplots()
    groups = shown_groups(result)
    groups = groups if len(groups) <= _MOST else groups[:1]
    shown = {group: result.reliability[group] for group in groups}
    reliability_lines(axis, shown, str(result.protocol["shown"]))
    axis.legend(frameon=False)


def reliability_lines(axis: Any, bins: Mapping[str, Reliability], shown: str) -> None:
    """Confidence against the share of right answers, a line for each group."""
    axis.plot([0, 1], [0, 1], color="black", linewidth=1, linestyle=":", label="perfect")
    for i, (group, found) in enumerate(bins.items()):
        axis.plot(
            found.confidence,
            found.accuracy,
            color=COLOURS[(i + 2) % len(COLOURS)],
            marker=MARKERS[i % len(MARKERS)],
            linewidth=1.5,
            label=f"{group} ({sum(found.support):,})",
        )
    axis.set_xlabel(f"confidence of {shown}")
    axis.set_ylabel("share of right answers")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)


def _weights(result: EvaluationResult, figure: Any) -> None:
    weights = result.extra["fusion"]["weights"]
    figure.set_size_inches(6, 1.2 + 0.6 * len(weights))
    axis = figure.subplots()
    places = np.arange(len(weights))
    for i, (modality, colour) in enumerate((("image", COLOURS[1]), ("caption", COLOURS[2]))):
        values = [row[modality] for row in weights.values()]
        bars = axis.barh(places + (i - 0.5) * 0.38, values, 0.38, color=colour, label=modality)
        axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.margins(x=0.15)
    axis.set_yticks(places, list(weights))
    axis.invert_yaxis()
    axis.set_xlabel(f"weight ({result.extra['fusion']['form']} form)")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
