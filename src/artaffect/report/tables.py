"""Scores as text: the one place where numbers become table cells, for terminal, Markdown and HTML."""

from collections.abc import Mapping
from dataclasses import dataclass

from artaffect.metrics.classification import Score
from artaffect.metrics.evaluation import EvaluationResult

HEADINGS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "log_loss": "log-loss ↓",
    "calibration_error": "calibration error ↓",
}


_MOST = 9
"""Groups above which cultures stand in the rows of one table a metric."""


@dataclass(frozen=True)
class TextTable:
    """A titled table of strings."""

    title: str
    header: list[str]
    rows: list[list[str]]

    def to_markdown(self) -> str:
        lines = ["| " + " | ".join(self.header) + " |", "|" + " --- |" * len(self.header)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"


def tables_of(result: EvaluationResult) -> list[TextTable]:
    """Overall scores first, then each culture's, the differences, the paper's metric, size and speed."""
    groups = shown_groups(result)
    if len(groups) > _MOST:
        tables = [_scores(result, groups[0]), *_by_culture(result, groups[1:])]
    else:
        tables = [_scores(result, group) for group in groups]
    tables += [differences(pair, groups, result) for pair in result.differences]
    if "hamming" in result.extra:
        tables.append(_hamming(result.extra["hamming"]))
    if "size_and_speed" in result.extra:
        tables.append(_sizes(result.extra["size_and_speed"]))
    return tables


def shown_groups(result: EvaluationResult) -> list[str]:
    """All groups; but a lone culture is the whole, and is not shown twice."""
    groups = list(next(iter(result.models.values())))
    return groups if len(groups) > 2 else groups[-1:]


def _by_culture(result: EvaluationResult, cultures: list[str]) -> list[TextTable]:
    """One table a metric, where one a culture would be too many."""
    first = next(iter(result.models.values()))
    return [
        TextTable(
            f"{heading}, by culture",
            ["culture", "captions", *result.models],
            [
                [
                    culture,
                    f"{first[culture].support:,}",
                    *(cell(groups[culture].metrics[metric]) for groups in result.models.values()),
                ]
                for culture in cultures
            ],
        )
        for metric, heading in HEADINGS.items()
        if metric in ("accuracy", "macro_f1", "log_loss")
    ]


def _scores(result: EvaluationResult, group: str) -> TextTable:
    first = next(iter(result.models.values()))[group]
    title = f"{group}: {first.support:,} captions of {first.artworks:,} paintings"
    rows = [
        [model, *(cell(groups[group].metrics[name]) for name in HEADINGS)]
        for model, groups in result.models.items()
    ]
    return TextTable(title, ["model", *HEADINGS.values()], rows)


def differences(pair: str, groups: list[str], result: EvaluationResult) -> TextTable:
    """One pair of models, group by group."""
    rows = [
        [group, *(cell(result.differences[pair][group][name], sign=True) for name in HEADINGS)]
        for group in groups
    ]
    return TextTable(f"{pair}, paired over the same paintings", ["group", *HEADINGS.values()], rows)


def _hamming(hamming: Mapping[str, float]) -> TextTable:
    return TextTable(
        f"The MVIP 2024 paper's own metric: right bits of 9, over {hamming['paintings']:,} paintings",
        ["model", "Hamming accuracy"],
        [
            ["constant baseline", f"{hamming['constant_baseline']:.4f}"],
            ["image", f"{hamming['image']:.4f}"],
        ],
    )


def _sizes(sizes: Mapping[str, Mapping[str, float]]) -> TextTable:
    rows = [
        [name, f"{found['million_weights']:.1f}", f"{found['milliseconds_per_caption']:.1f}"]
        for name, found in sizes.items()
    ]
    header = ["model", "million weights", "milliseconds a caption"]
    return TextTable("Size, and time on this machine, measured in turn", header, rows)


def cell(score: Score, sign: bool = False) -> str:
    """A value with its interval."""
    form = "+.3f" if sign else ".3f"
    return f"{score.value:{form}} [{score.low:{form}}, {score.high:{form}}]"
