"""Scores as tables of text, for the terminal, Markdown and HTML; the only place where labels are made."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any, TypeVar

from artaffect.metrics.bootstrap import Estimate
from artaffect.metrics.classification import METRICS, Metric
from artaffect.metrics.conformal import Basis
from artaffect.metrics.evaluation import ByGroup, Comparison, EvaluationResult
from artaffect.prediction.sets import percentage
from artaffect.runtime import visible

T = TypeVar("T")

MAX_GROUPS = 9
"""With more groups than this, tables list cultures in rows and figures show the whole only."""

_LABELS = {
    "both_without_culture": "both without culture",
    "both_image_shuffled": "both, image shuffled",
    "both_image_left_out": "both, image left out",
    "both_caption_left_out": "both, caption left out",
    "student_alone": "student, not distilled",
    "scratch": "from scratch",
    "initialized": "begun with the initial model",
    "initial": "initial model alone",
    "paper_resnet50": "paper: ResNet50",
    "paper_vgg16": "paper: VGG",
    "paper_vit": "paper: ViT",
    "paper_text": "paper: text",
    "paper_both": "paper: both",
    "compact_image": "compact: image",
    "compact_caption": "compact: caption",
    "compact_both": "compact: both",
}


_BASES: Mapping[Basis | None, str] = {
    None: "each culture's",
    "culture": "its own validation rows",
    "all cultures": "all validation rows",
    "none": "too few rows: every emotion",
}
"""What people read in place of the rows that a threshold rests on."""


class Number(str):
    """A cell that shows an estimate, and holds it for files that keep number and interval apart."""

    estimate: Estimate
    spec: str


def number(estimate: Estimate, spec: str = ".3f") -> Number:
    """A cell with an estimate and its interval.

    Args:
        spec: how each of its numbers is formatted.
    """
    cell = Number(f"{estimate:{spec}}")
    cell.estimate, cell.spec = estimate, spec
    return cell


@dataclass(frozen=True)
class TextTable:
    """A titled table of strings; the first cell of a row names it."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    files: Mapping[str, str] = field(default_factory=dict)
    """Format → the address of the same table in a file; empty if it has none."""

    def for_audience(self, audience: str) -> "TextTable":
        """The table with the name of what a culture is, in its title and its header."""
        header = [audience if name == "culture" else name for name in self.header]
        title = self.title.replace("by culture", f"by {audience}")
        return replace(self, title=title, header=header)

    def to_markdown(self) -> str:
        """The title in bold above a Markdown table; names in it are text, never markup."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        text = "\n".join(f"| {' | '.join(map(_markdown_cell, line))} |" for line in lines)
        return f"**{markdown_text(self.title)}**\n\n{text}\n"


_MARKUP = re.compile(r"[\\`*_~$#]|(?<=\])\(")
"""What a backslash keeps from being markup; numbers in brackets stay as they are."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", "://": "&#58;//", "www.": "www&#46;"}
"""Tags and addresses, which no backslash keeps from being markup."""
_BLOCK = re.compile(r"^([>[:|=]|[-+](?=[\s-]|$)|\d{1,9}(?=[.)](\s|$)))")
"""What at the beginning of a line makes it a quotation, a list or a reference."""


def markdown_text(text: str) -> str:
    """A text as Markdown that shows it in one line, wherever it stands: none of it is markup."""
    text = _MARKUP.sub(r"\\\g<0>", " ".join(str(visible(text)).split()))
    for characters, shown in _ENTITIES.items():
        text = text.replace(characters, shown)
    return text


def markdown_line(text: str) -> str:
    """As :func:`markdown_text`, for the beginning of a line too."""

    def escape(match: re.Match[str]) -> str:
        return f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}"

    return _BLOCK.sub(escape, markdown_text(text))


def _markdown_cell(text: str) -> str:
    return markdown_text(text).replace("|", "\\|")


def label(key: str) -> str:
    """What people read in place of a model's key."""
    return _LABELS.get(key, key)


def pair_label(first: str, second: str) -> str:
    """What people read in place of two cultures."""
    return f"{first} / {second}"


def shown_groups(groups: ByGroup[T]) -> dict[str, T]:
    """What is shown of each group, by label; a single culture is the whole and is shown once."""
    if len(groups) == 1:
        return dict(groups.by_culture)
    return {overall_label(groups): groups.overall, **groups.by_culture}


def overall_label(groups: ByGroup[T]) -> str:
    """What people read for all rows together."""
    return "overall" if "overall" not in groups.by_culture else "all cultures together"


def headlines(metrics: Mapping[str, Any]) -> list[Metric]:
    """The metrics that tables and figures show."""
    return [m for name, m in METRICS.items() if m.headline and name in metrics]


def heading(metric: Metric) -> str:
    """A metric's heading, with an arrow down if lower is better."""
    return metric.heading if metric.higher_is_better else f"{metric.heading} ↓"


def signed(estimate: Estimate) -> Number:
    """A difference with its interval."""
    return number(estimate, "+.3f")


def metric_table(
    title: str, what: str, rows: Mapping[str, Mapping[str, Estimate]], sign: str = ""
) -> TextTable:
    """A row for each entry, a column for each headline metric."""
    metrics = headlines(next(iter(rows.values())))
    cells = [
        [name, *(number(row[m.name], f"{sign}.3f") for m in metrics)] for name, row in rows.items()
    ]
    return TextTable(title, [what, *map(heading, metrics)], cells)


def evaluation_tables(result: EvaluationResult) -> list[TextTable]:
    """Overall scores, each culture's, the differences, and what only this kind of run has."""
    models = {label(name): shown_groups(scores) for name, scores in result.scores()}
    groups = list(next(iter(models.values())))
    if len(groups) > MAX_GROUPS:
        tables = [_group_table(models, groups[0]), *_metric_tables(models, groups[1:])]
    else:
        tables = [_group_table(models, group) for group in groups]
    tables += _seeds_table(result)
    tables += map(comparison_table, result.comparisons)
    tables += [_sets_table(result, name) for name in result.prediction_sets]
    if "hamming" in result.extra:
        tables.append(_hamming_table(result.extra["hamming"]))
    if "partial_labels" in result.extra:
        tables.append(_partial_table(result.extra["partial_labels"]))
    if "size_and_speed" in result.extra:
        tables.append(_size_table(result.extra["size_and_speed"]))
    audience = result.protocol.get("audience", "culture")
    return [table.for_audience(audience) for table in tables]


def _group_table(models: Mapping[str, Mapping[str, Any]], group: str) -> TextTable:
    first = next(iter(models.values()))[group]
    title = f"{group}: {first.support:,} captions of {first.artworks:,} paintings"
    return metric_table(title, "model", {m: groups[group].metrics for m, groups in models.items()})


def _metric_tables(
    models: Mapping[str, Mapping[str, Any]], cultures: Sequence[str]
) -> list[TextTable]:
    first = next(iter(models.values()))

    def row(culture: str, metric: str) -> list[str]:
        cells = [number(groups[culture].metrics[metric]) for groups in models.values()]
        return [culture, f"{first[culture].support:,}", *cells]

    return [
        TextTable(
            f"{heading(metric)}, by culture",
            ["culture", "captions", *models],
            [row(culture, metric.name) for culture in cultures],
        )
        for metric in headlines(first[cultures[0]].metrics)
    ]


def _seeds_table(result: EvaluationResult) -> list[TextTable]:
    """How far the scores of the seeds lie apart; no table for a single run."""
    if "seeds" not in result.protocol:
        return []
    groups = {
        label(model) + (f", {group}" if number else ""): scores
        for model, by_group in result.models.items()
        for number, (group, scores) in enumerate(shown_groups(by_group).items())
        if scores.by_seed
    }
    metrics = headlines(next(iter(groups.values())).metrics)
    rows = [[name, *(_spread(s.by_seed[m.name]) for m in metrics)] for name, s in groups.items()]
    title = f"Mean ± standard deviation over {len(result.protocol['seeds'])} seeds"
    return [TextTable(title, ["model", *map(heading, metrics)], rows)]


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f} ± {stdev(values):.3f}"


def comparison_table(comparison: Comparison, prefix: str = "") -> TextTable:
    """The difference between two models, group by group."""
    pair = f"{label(comparison.first)} − {label(comparison.second)}"
    title = f"{prefix}{pair}, paired over the same paintings"
    return metric_table(title, "group", shown_groups(comparison.by_group), "+")


def _sets_table(result: EvaluationResult, model: str) -> TextTable:
    sets = result.protocol["sets"]
    rows = [
        [
            group,
            f"{scores.support:,}",
            number(scores.coverage),
            number(scores.size, ".2f"),
            _BASES[scores.basis],
        ]
        for group, scores in shown_groups(result.prediction_sets[model]).items()
    ]
    title = f"Prediction sets of {percentage(sets['level'])}: {label(model)}"
    header = ["group", "captions", "coverage", "emotions in a set", "threshold from"]
    return TextTable(title, header, rows)


def _hamming_table(hamming: Mapping[str, float]) -> TextTable:
    names = {"constant baseline": "constant_baseline", "image": "image"}
    rows = [[name, f"{hamming[key]:.4f}"] for name, key in names.items()]
    title = "The metric of the MVIP 2024 paper: share of correct bits of 9, over "
    title += f"{hamming['artworks']:,} paintings"
    return TextTable(title, ["model", "Hamming accuracy"], rows)


def _partial_table(partial: Mapping[str, Any]) -> TextTable:
    title = "Rows whose label is one of several, scored by the whole set: "
    title += f"{partial['rows']:,} of {partial['artworks']:,} paintings"
    models = {
        label(name): {metric: Estimate(**values) for metric, values in scores.items()}
        for name, scores in partial["models"].items()
    }
    return metric_table(title, "model", models)


def _size_table(sizes: Mapping[str, Mapping[str, float]]) -> TextTable:
    rows = [
        [label(name), f"{s['million_weights']:.1f}", f"{s['milliseconds_per_caption']:.1f}"]
        for name, s in sizes.items()
    ]
    header = ["model", "million weights", "milliseconds per caption"]
    return TextTable("Size, and time on this machine, measured in turns", header, rows)
