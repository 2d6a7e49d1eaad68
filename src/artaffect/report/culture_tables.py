"""A cultural report as tables."""

from collections.abc import Mapping, Sequence

from artaffect.labels import EMOTIONS
from artaffect.metrics.agreement import Agreement
from artaffect.metrics.classification import Score
from artaffect.metrics.divergence import CulturalDivergence
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.metrics.permutation import Divergence
from artaffect.report.results import CulturalReport, RunScores
from artaffect.report.tables import HEADINGS, TextTable, cell, differences, shown_groups

_MOST = 25
"""Rows of a long table; the rest stands in the JSON."""

DISTANCE_HEADINGS = {
    "jensen_shannon_divergence": "JSD (base 2) ↓",
    "jensen_shannon_distance": "its root ↓",
    "cross_entropy": "cross-entropy ↓",
    "manhattan_distance": "Manhattan ↓",
    "earth_movers_distance": "earth mover's, valence ↓",
}
_CALIBRATION_HEADINGS = {
    "calibration_error": "calibration error ↓",
    "brier": "Brier ↓",
    "log_loss": "log-loss ↓",
}


def divergence_tables(found: CulturalDivergence) -> list[TextTable]:
    """Pairs of publics, styles, emotions, entropies, paintings."""
    pairs = sorted(found.pairs, key=lambda pair: -pair.beyond_chance.value)
    tables = [
        _divergences("Pairs of publics, farthest apart first", [found.overall, *pairs[:_MOST]])
    ]
    if found.styles:
        tables.append(_divergences("Art styles, most divided first", found.styles[:_MOST], "style"))
    tables.append(
        TextTable(
            "Share of each emotion in each public, and how far it differs between two publics of one "
            "painting (root mean square, chance taken off)",
            ["emotion", "differs by", *found.cultures],
            [
                [
                    gap.emotion,
                    cell(gap.differs_by),
                    *(cell(gap.shares[culture]) for culture in found.cultures),
                ]
                for gap in found.emotions
            ],
        )
    )
    tables.append(
        TextTable(
            f"Entropy of {found.least} votes of one public on one painting, in bits",
            ["public", "entropy"],
            [[name, cell(score)] for name, score in found.entropies.items()],
        )
    )
    tables.append(
        TextTable(
            f"Most divisive paintings ({found.divisive:,} of {found.artworks:,} at a false discovery "
            f"rate of 5 %, so about {found.expected_false:.0f} of them by chance)",
            ["painting", "observed", "by chance", "p", "q", "most frequent emotion"],
            [
                [
                    painting.artwork,
                    f"{painting.observed:.3f}",
                    f"{painting.by_chance:.3f}",
                    f"{painting.p_value:.4f}",
                    f"{painting.q_value:.4f}",
                    "; ".join(
                        f"{name}: {_top(votes)}" for name, votes in list(painting.votes.items())[:4]
                    ),
                ]
                for painting in found.paintings
            ],
        )
    )
    return tables


def agreement_tables(found: Agreement) -> list[TextTable]:
    """The ceiling of each public, and readers as predictors of readers."""
    ceiling = TextTable(
        "What can be reached from the painting alone: between each vote predicted by the others "
        "(left out) and each vote predicting itself (known)",
        ["public", "votes", "accuracy, left out", "known", "log-loss, left out", "known"],
        [
            [
                name,
                f"{c.votes:,} on {c.artworks:,} paintings",
                cell(c.votes_left_out["accuracy"]),
                cell(c.votes_known["accuracy"]),
                cell(c.votes_left_out["log_loss"]),
                cell(c.votes_known["log_loss"]),
            ]
            for name, c in found.ceilings.items()
        ],
    )
    rows = [
        [f"{source} → {target}", cell(scores["accuracy"]), *_distances(scores)]
        for target in found.halves
        for source, row in found.halves.items()
        for name, scores in row.items()
        if name == target
    ]
    title = (
        "Half of a public's votes as predictor of the other half, and as many votes of another public "
        f"as predictor of that half ({found.n_resamples} n_resamples)"
    )
    header = ["predictor → predicted", "accuracy", *DISTANCE_HEADINGS.values()]
    return [ceiling, TextTable(title, header, rows)]


def comparison_tables(report: CulturalReport) -> list[TextTable]:
    """Runs side by side: the same rows, differences paired; each kind of input by itself."""
    tables = []
    for kind, result in report.comparison.items():
        groups = shown_groups(result)
        rows = [
            [name, _culture_input(report, name), *(_metric(scores, g) for g in groups)]
            for name, scores in result.models.items()
        ]
        header = ["run", "culture", *groups]
        tables.append(TextTable(f"{kind}: log-loss of every run, by public ↓", header, rows))
        for pair in result.differences:
            found = differences(pair, groups, result)
            tables.append(TextTable(f"{kind}: {found.title}", found.header, found.rows))
    return tables


def run_tables(run: RunScores) -> list[TextTable]:
    """Scores of one run: equality, distributions, calibration, the image's part."""
    tables = []
    if run.gaps:
        rows = [
            [model, metric.replace("_", "-"), gap.best, gap.worst, cell(gap.difference, sign=True)]
            for model, found in run.gaps.items()
            for metric, gap in found.items()
        ]
        header = ["model", "metric", "best served", "worst served", "worst − best"]
        tables.append(TextTable("Best and worst served public", header, rows))
    if run.heads is not None:
        tables += [
            _matrix(
                run.heads, metric, f"Answers for one public scored on the labels of another: {h}"
            )
            for metric, h in HEADINGS.items()
            if metric in ("accuracy", "log_loss")
        ]
    if run.distributions:
        rows = [
            [f"{model}, {group}", *_distances(scores)]
            for model, groups in run.distributions.items()
            for group, scores in groups.items()
        ]
        title = f"Answers against the histogram of {run.least} votes or more of one public"
        tables.append(TextTable(title, ["model, public", *DISTANCE_HEADINGS.values()], rows))
    tables.append(_calibration(run))
    if run.contribution is not None:
        tables += _contribution(run.contribution)
    if run.deletion:
        tables.append(_deletion(run))
    return tables


def _deletion(run: RunScores) -> TextTable:
    rows = [
        [
            name,
            f"{test.paintings}",
            cell(test.gain, sign=True),
            f"{test.faster:.0%}",
            "" if test.occlusion is None else f"{test.occlusion:+.2f}",
        ]
        for name, test in run.deletion.items()
    ]
    header = ["explanations of the", "paintings", "faster fall than at random", "of paintings"]
    title = "Deletion test: what is said to matter taken away first, in log-probability"
    return TextTable(title, [*header, "agreement with occlusion"], rows)


def _contribution(result: EvaluationResult) -> list[TextTable]:
    groups = shown_groups(result)
    rows = [
        [f"{model}, {group}", *(cell(scores[group].metrics[name]) for name in HEADINGS)]
        for model, scores in result.models.items()
        for group in groups
    ]
    tables = [
        TextTable("With the image, without, with a wrong one", ["input", *HEADINGS.values()], rows)
    ]
    return tables + [differences(pair, groups, result) for pair in result.differences]


def _calibration(run: RunScores) -> TextTable:
    groups = shown_groups(run.calibration)
    rows = []
    for name, scores in run.calibration.models.items():
        kind, _, how = name.rpartition(", ")
        for group in groups:
            own = "any" if group == "overall" else group
            warm = run.temperatures[kind].get(own, run.temperatures[kind]["any"])
            shown = f"{warm:.2f}" if how == "calibrated" and group != "overall" else ""
            found = scores[group].metrics
            rows.append(
                [f"{name}, {group}", shown, *(cell(found[m]) for m in _CALIBRATION_HEADINGS)]
            )
    header = ["answer", "temperature", *_CALIBRATION_HEADINGS.values()]
    return TextTable("Calibration, by public; temperatures fitted on validation", header, rows)


def _matrix(result: EvaluationResult, metric: str, title: str) -> TextTable:
    groups = shown_groups(result)
    rows = [
        [name, *(_metric(scores, g, metric) for g in groups)]
        for name, scores in result.models.items()
    ]
    return TextTable(title, ["answer", *(f"labels of {g}" for g in groups)], rows)


def _divergences(title: str, found: Sequence[Divergence], what: str = "publics") -> TextTable:
    return TextTable(
        f"{title} (mean Jensen-Shannon divergence, base 2)",
        [what, "paintings", "votes", "observed", "by chance", "beyond chance", "its root", "p"],
        [
            [
                one.name,
                f"{one.artworks:,}",
                f"{one.votes:,}",
                f"{one.observed:.3f}",
                f"{one.by_chance:.3f}",
                cell(one.beyond_chance, sign=True),
                f"{one.distance:.3f}",
                f"{one.p_value:.3f}",
            ]
            for one in found
        ],
    )


def _distances(scores: Mapping[str, Score]) -> list[str]:
    return [cell(scores[name]) for name in DISTANCE_HEADINGS]


def _metric(scores: Mapping[str, object], group: str, metric: str = "log_loss") -> str:
    return cell(scores[group].metrics[metric])  # type: ignore[attr-defined]


def _culture_input(report: CulturalReport, name: str) -> str:
    for run in report.runs:
        if run.name == name:
            return run.culture_input
    return ""


def _top(votes: Sequence[int]) -> str:
    best = max(range(len(EMOTIONS)), key=lambda e: votes[e])
    return f"{EMOTIONS[best]} {votes[best]}/{sum(votes)}"
