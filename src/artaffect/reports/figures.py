"""Draw scores as SVG. Nothing is computed here.

Lines and text are drawn in ``currentColor``, so that a page can show them on a light or a dark ground.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from functools import wraps
from itertools import islice
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from artaffect.metrics.bootstrap import Estimate
from artaffect.metrics.classification import METRICS
from artaffect.metrics.evaluation import ByGroup, EvaluationResult, Reliability
from artaffect.reports.fonts import drawable, families
from artaffect.reports.palette import Colour
from artaffect.reports.tables import MAX_GROUPS, headlines, label, shown_groups
from artaffect.runtime import visible

P = ParamSpec("P")
T = TypeVar("T")

# of series, such as models and cultures: none is a label's colour, and markers differ as well
COLOURS = ("#8c8c8c", "#00897b", "#b0578d", "#9a7255", "#6a7f92", "#7c8a2e")
MARKERS = ("s", "^", "o", "D", "v", "P")
FORMATS = ("svg", "png", "pdf")
"""Of figures in files."""
INK = "#010203"
"""Drawn where the page's own text colour belongs."""

FEW_IN_BIN = 10
"""Bins of confidence with fewer captions have no line through them."""

_NAME_LENGTH = 40
"""Characters of a name beside a row or below a column."""
_TEXT_LENGTH = 64
"""Characters of any other line."""


@dataclass(frozen=True)
class Figure:
    """A titled drawing."""

    title: str
    svg: str
    """For a page: in the reader's fonts, and in the colours of the page."""
    paint: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    """Draws the figure again, for a file."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Format → the address of the same figure in a file; empty if it has none."""

    def to_files(self, english: Mapping[str, str] | None = None) -> dict[str, bytes]:
        """The figure dark on white: ``svg``, ``png`` and ``pdf`` → the content of a file.

        Args:
            english: names → English names, for letters that no font of this machine has.

        Raises:
            ValueError: the figure was made without a way to draw it again.
        """
        if self.paint is None:
            raise ValueError(f"the figure {self.title!r} cannot be drawn again")
        import matplotlib.text

        files = {}
        with _style(self.title, {"svg.fonttype": "path", "pdf.fonttype": 42}):
            canvas = self.paint()
            written = canvas.findobj(matplotlib.text.Text)
            chosen, missing = families(text.get_text() for text in written)
            for text in written:
                text.set_text(drawable(text.get_text(), missing, english or {}))
                text.set_fontfamily(chosen)
            for kind in FORMATS:
                buffer = io.BytesIO()
                options = {"dpi": 200, "facecolor": "white", "metadata": _metadata(kind)}
                canvas.savefig(buffer, format=kind, **options)
                canvas.set_layout_engine("none")  # the next format keeps the layout of this one
                files[kind] = buffer.getvalue()
        return files


def _metadata(kind: str) -> dict[str, None]:
    """What matplotlib is not to write: dates differ between two runs that are alike."""
    names = {
        "svg": ("Date", "Creator", "Format", "Type"),
        "png": ("Software",),
        "pdf": ("Creator", "Producer", "CreationDate"),
    }
    return dict.fromkeys(names[kind])


@contextmanager
def _style(title: str, more: Mapping[str, Any] | None = None) -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": visible(title), **(more or {})}):
        yield


_STYLE = {
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#888888",
    "grid.alpha": 0.3,
}


def drawn(function: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[str, P], Figure]:
    """Turn a function that draws on a matplotlib figure into one that returns an SVG of some title."""

    @wraps(function)
    def draw(title: str, /, *args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib.figure
        import matplotlib.text

        def paint() -> Any:
            canvas = matplotlib.figure.Figure(layout="constrained")
            function(canvas, *args, **kwargs)
            for written in canvas.findobj(matplotlib.text.Text):
                lines = written.get_text().splitlines()[:2]
                written.set_text("\n".join(short(line, _TEXT_LENGTH) for line in lines))
            return canvas

        buffer = io.StringIO()
        with _style(title), warnings.catch_warnings():
            # the text of a page is drawn with the reader's fonts, not with matplotlib's
            warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib .* not support")
            canvas = paint()
            canvas.savefig(buffer, format="svg", metadata=_metadata("svg"), transparent=True)
        text = buffer.getvalue()
        svg = text[text.index("<svg") :].replace(INK, "currentColor")
        for colour in getattr(canvas, "colours", ()):
            both = f"fill: {colour.light}; fill: light-dark({colour.light}, {colour.dark})"
            svg = svg.replace(f"fill: {colour.light}", both)
        # only what is referred to needs an id, and ids must be unique within a page
        used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", svg))
        svg = re.sub(r' id="([^"]*)"', lambda m: m.group() if m[1] in used else "", svg)
        return Figure(title, svg, paint)

    return draw


def short(name: str, length: int = _NAME_LENGTH) -> str:
    """A name in one line; the middle of one that would leave no room for the drawing is cut."""
    name = " ".join(visible(name).split())
    end = length // 2
    return name if len(name) <= length else f"{name[: end - 1]}…{name[-end:]}"


def evaluation_figures(result: EvaluationResult) -> list[Figure]:
    """Scores, confusion, reliability, and the weights of a fusion."""
    figures = [
        scores_figure("Scores with 95 % intervals", result),
        _confusion("Which emotion is taken for which? (share of each label)", result),
        _reliability("Are confident predictions correct? (reliability)", result),
    ]
    if "fusion" in result.extra:
        figures.append(_weights("Weights in the combination", result.extra["fusion"]))
    return figures


def training_curves(training_log: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """The training loss and each validation score, epoch by epoch.

    Args:
        training_log: for each training, one entry per epoch with its ``loss`` and scores.
    """
    return _curves("Training curves", training_log)


@drawn
def _curves(figure: Any, training_log: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    titles = {"loss": "training loss"}
    titles |= {name: f"{metric.heading}, validation" for name, metric in METRICS.items()}
    titles["hamming"] = "Hamming accuracy (the paper's), validation"
    keys = {key for epochs in training_log.values() for epoch in epochs for key in epoch}
    known = [key for key in titles if key in keys]
    lines = -(-len(known) // 2)
    figure.set_size_inches(9.5, 3 * lines + 0.3)
    legend: dict[str, Any] = {}
    for axis, key in zip(grid(figure, lines, 2, len(known)), known, strict=True):
        for i, (training, epochs) in enumerate(training_log.items()):
            values = [epoch.get(key, np.nan) for epoch in epochs]
            if not np.isnan(values).all():
                numbers = range(1, len(values) + 1)
                axis.plot(numbers, values, markersize=4, label=legend_name(training), **look(i + 1))
        axis.set_title(titles[key], fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid()
        handles, labels = axis.get_legend_handles_labels()
        legend |= dict(zip(labels, handles, strict=True))
    figure.legend(legend.values(), legend, loc="outside lower center", ncols=3, frameon=False)


def grid(figure: Any, lines: int, columns: int, count: int) -> list[Any]:
    """The first ``count`` panels of a grid; the others stay empty."""
    axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for axis in axes[count:]:
        axis.set_visible(False)
    return list(axes[:count])


def look(number: int) -> dict[str, Any]:
    """The colour and the marker of a series."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


@drawn
def scores_figure(figure: Any, result: EvaluationResult) -> None:
    """Every model's scores with their intervals, group by group."""
    models = {label(name): shown_groups(scores) for name, scores in result.scores()}
    groups = list(next(iter(models.values())))
    metrics = headlines(result.models[result.detailed].overall.metrics)
    figure.set_size_inches(max(9.5, 2.4 * len(metrics)), 1.2 + 0.22 * len(groups) * len(models))
    axes = np.atleast_1d(figure.subplots(1, len(metrics), sharey=True))
    for axis, metric in zip(axes, metrics, strict=True):
        for i, (model, scores) in enumerate(models.items()):
            estimates = [scores[group].metrics[metric.name] for group in groups]
            intervals(axis, estimates, spread(len(groups), i, len(models)), i, model)
        below = "" if metric.higher_is_better else "\n(lower is better)"
        axis.set_title(f"{metric.heading}{below}", fontsize=10)
        axis.grid(axis="x")
    name_rows(axes[0], groups)
    legend_below(figure, axes[0])


def spread(rows: int, number: int, count: int, height: float = 0.8) -> np.ndarray:
    """Positions for one of several series that share each row."""
    return np.arange(rows) + (number - (count - 1) / 2) * height / count


def name_rows(axis: Any, names: Sequence[str]) -> None:
    """Write names beside the rows, the first one at the top."""
    axis.set_yticks(np.arange(len(names)), [short(name) for name in names])
    axis.set_ylim(len(names) - 0.5, -0.5)


def name_cells(axis: Any, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Write names beside the rows and below the columns of a matrix."""
    columns, rows = ([short(name) for name in names] for names in (columns, rows))
    axis.set_xticks(range(len(columns)), columns, rotation=45, ha="right", fontsize=8)
    axis.set_yticks(range(len(rows)), rows, fontsize=8)


def legend_name(name: str) -> str:
    """A name for a legend, from which matplotlib leaves out those that begin with an underscore."""
    return f" {name}"


def legend_below(figure: Any, axis: Any, columns: int = 3) -> None:
    """One legend for the whole figure."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)


def intervals(
    axis: Any, estimates: Sequence[Estimate], positions: np.ndarray, number: int, name: str
) -> None:
    """Draw estimates with their intervals, one below the other, in the colour of ``number``."""
    values, low, high = np.array([astuple(e) for e in estimates]).T
    # the bootstrap interval of a biased score may not contain its value
    reach = np.maximum([values - low, high - values], 0)
    style = {**look(number), "linestyle": "none", "markersize": 5, "label": legend_name(name)}
    axis.errorbar(values, positions, xerr=reach, **style)


def _drawn_groups(groups: ByGroup[T]) -> dict[str, T]:
    shown = shown_groups(groups)
    return dict(islice(shown.items(), 1 if len(shown) > MAX_GROUPS else None))


@drawn
def _confusion(figure: Any, result: EvaluationResult) -> None:
    groups = _drawn_groups(result.confusion)
    columns = min(2, len(groups))
    lines = -(-len(groups) // columns)
    figure.set_size_inches(4.9 * columns, 4.3 * lines)
    axes = grid(figure, lines, columns, len(groups))
    for axis, (group, matrix) in zip(axes, groups.items(), strict=True):
        counts = np.array(matrix, float)
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axis.imshow(shares, cmap="cividis", vmin=0, vmax=1)
        for row, column in np.argwhere(shares >= 0.005):
            share = shares[row, column]
            colour = "white" if share < 0.5 else "black"
            axis.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour, size=7)
        name_cells(axis, result.labels, result.labels)
        axis.set_title(f"{group} ({int(counts.sum()):,} captions)", fontsize=10)
        axis.set(xlabel=f"prediction of {label(result.detailed)}", ylabel="label")


@drawn
def _reliability(figure: Any, result: EvaluationResult) -> None:
    figure.set_size_inches(6.2, 5.4)
    axis, counts = figure.subplots(2, 1, height_ratios=(5, 1), sharex=True)
    reliability_lines(axis, _drawn_groups(result.reliability))
    reliability_counts(counts, result.reliability.overall, label(result.detailed))
    axis.legend(frameon=False)


def reliability_lines(axis: Any, groups: Mapping[str, Reliability]) -> None:
    """Confidence and accuracy, one line for each group; bins of few captions are single, hollow points."""
    axis.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":", label="perfect")
    for i, (group, bins) in enumerate(groups.items()):
        colour, marker = COLOURS[(i + 1) % len(COLOURS)], MARKERS[i % len(MARKERS)]
        name = legend_name(f"{group} ({sum(bins.support):,})")
        is_few = np.array(bins.support) < FEW_IN_BIN
        confidence, accuracy = np.array(bins.confidence), np.array(bins.accuracy)
        line = np.where(is_few, np.nan, accuracy)
        axis.plot(confidence, line, linewidth=1.5, label=name, color=colour, marker=marker)
        hollow = {"markerfacecolor": "none", "alpha": 0.6, "markersize": 5}
        axis.plot(confidence[is_few], accuracy[is_few], marker, color=colour, **hollow)
    axis.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of correct predictions")
    axis.grid()


def reliability_counts(axis: Any, bins: Reliability, model: str) -> None:
    """How many captions each bin of confidence holds."""
    bars = axis.bar(bins.confidence, bins.support, 0.045, color=COLOURS[0])
    axis.bar_label(bars, [f"{count:,}" for count in bins.support], fontsize=7, padding=1)
    axis.margins(y=0.35)
    axis.set(ylabel="captions", xlabel=f"confidence of {model} (hollow: fewer than {FEW_IN_BIN})")


@drawn
def label_bars(
    figure: Any, names: Sequence[str], values: Sequence[float], colours: Mapping[str, Colour]
) -> None:
    """One bar for each label, in its colour."""
    figure.set_size_inches(8, 0.9 + 0.32 * len(names))
    axis = figure.subplots()
    paint_labels(figure, axis, names, values, colours)
    axis.set_xlim(0, 1)
    name_rows(axis, list(names))


def paint_labels(
    figure: Any,
    axis: Any,
    names: Sequence[str],
    values: Sequence[float],
    colours: Mapping[str, Colour],
    spec: str = ".2f",
) -> None:
    """Bars in the colours of labels, each with its number, on one axis of a figure."""
    figure.colours = tuple(colours.values())
    shades = [colours[name].light if name in colours else COLOURS[0] for name in names]
    known = np.nan_to_num(np.asarray(values, float))
    bars = axis.barh(np.arange(len(names)), known, 0.72, color=shades)
    texts = ["—" if np.isnan(value) else f"{value:{spec}}" for value in values]
    axis.bar_label(bars, texts, padding=3, fontsize=8)


@drawn
def _weights(figure: Any, fusion: Mapping[str, Any]) -> None:
    weights = fusion["weights"]
    sources = list(next(iter(weights.values())))
    figure.set_size_inches(6, 1.2 + 0.3 * len(weights) * len(sources))
    axis = figure.subplots()
    for i, source in enumerate(sources):
        values = [row[source] for row in weights.values()]
        positions = spread(len(weights), i, len(sources), 0.76)
        colour = COLOURS[(i + 1) % len(COLOURS)]
        bars = axis.barh(
            positions, values, 0.76 / len(sources), color=colour, label=legend_name(source)
        )
        axis.bar_label(bars, fmt="%.2f", padding=3)
    axis.axvline(0, color=INK, linewidth=0.8)
    axis.margins(x=0.15)
    name_rows(axis, list(weights))
    axis.set_xlabel(f"weight ({fusion['form']} form)")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
