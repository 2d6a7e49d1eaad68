"""A culture report as tables."""

import math
from collections.abc import Iterable, Mapping, Sequence

from artaffect.metrics.agreement import Agreement
from artaffect.metrics.annotators import SOFT, AnnotatorAgreement
from artaffect.metrics.bootstrap import Estimate
from artaffect.metrics.classification import METRICS
from artaffect.metrics.distances import DISTANCES
from artaffect.metrics.divergence import CultureComparison
from artaffect.metrics.evaluation import ByGroup, EvaluationResult, ModelScores
from artaffect.metrics.permutation import Divergence
from artaffect.reports.label_tables import all_tables
from artaffect.reports.results import CultureReport, Disagreement, RunScores
from artaffect.reports.tables import (
    TextTable,
    comparison_table,
    heading,
    headlines,
    label,
    metric_table,
    number,
    pair_label,
    shown_groups,
    signed,
)

MAX_ROWS = 25
"""Rows of a long table; the JSON has them all."""

_DISTANCE_HEADINGS = [f"{distance.heading} ↓" for distance in DISTANCES.values()]
_CALIBRATION_METRICS = ("calibration_error", "brier", "log_loss")


def report_tables(report: CultureReport) -> list[TextTable]:
    """Every table of a report, in the order of its page."""
    tables = divergence_tables(report.divergence) if report.divergence else []
    tables += agreement_tables(report)
    tables += comparison_tables(report) if len(report.runs) > 1 else []
    for run in report.runs:
        tables += [*all_tables(run.evaluation), *run_tables(run)]
    return [table.for_audience(report.audience) for table in tables]


def divergence_tables(result: CultureComparison) -> list[TextTable]:
    """Pairs of cultures, styles, emotions, entropies, artworks."""
    pairs = sorted(result.pairs, key=lambda pair: -pair.beyond_chance.value)[:MAX_ROWS]
    named = [(pair_label(pair.first, pair.second), pair) for pair in pairs]
    rows = [("all pairs", result.overall), *named]
    tables = [_divergence_table("Pairs of cultures, farthest apart first", rows)]
    if result.styles:
        styles = [(style.style, style) for style in result.styles[:MAX_ROWS]]
        tables.append(_divergence_table("Art styles, most divided first", styles, "style"))
    return [*tables, _emotions(result), _entropies(result), _divisive(result)]


def _divergence_table(
    title: str, named: Iterable[tuple[str, Divergence]], what: str = "cultures"
) -> TextTable:
    return TextTable(
        f"{title} (mean Jensen-Shannon divergence, base 2)",
        [what, "paintings", "votes", "observed", "by chance", "beyond chance", "JS distance", "p"],
        [
            [name, f"{d.artworks:,}", f"{d.votes:,}", f"{d.observed:.3f}", f"{d.by_chance:.3f}"]
            + [signed(d.beyond_chance), f"{d.distance:.3f}", f"{d.p_value:.3f}"]
            for name, d in named
        ],
    )


def _emotions(result: CultureComparison) -> TextTable:
    return TextTable(
        "Share of each emotion in each culture, and how far it differs between two cultures on one "
        "painting (root mean square, chance removed)",
        ["emotion", "difference", *result.cultures],
        [
            [gap.emotion, *map(_share, (gap.difference, *gap.shares.values()))]
            for gap in result.emotions
        ],
    )


def _share(estimate: Estimate) -> str:
    """A dash for a culture that has not judged any painting often enough."""
    return "—" if math.isnan(estimate.value) else number(estimate)


def _entropies(result: CultureComparison) -> TextTable:
    title = f"Entropy of {result.min_votes} votes of one culture on one painting, in bits"
    rows = [[name, number(estimate)] for name, estimate in result.entropies.items()]
    return TextTable(title, ["culture", "entropy"], rows)


def _divisive(result: CultureComparison) -> TextTable:
    return TextTable(
        f"Most divisive paintings ({result.divisive:,} of {result.artworks:,} at a false discovery rate "
        f"of 5 %, so about {result.expected_false:.0f} of them by chance)",
        ["painting", "observed", "by chance", "p", "q", "most frequent emotion"],
        [
            [a.artwork, f"{a.observed:.3f}", f"{a.by_chance:.3f}"]
            + [f"{a.p_value:.4f}", f"{a.q_value:.4f}"]
            + [
                "; ".join(
                    f"{name}: {_top(result.labels, votes)}"
                    for name, votes in list(a.votes.items())[:4]
                )
            ]
            for a in result.divisive_artworks
        ],
    )


def _top(labels: Sequence[str], votes: Sequence[int]) -> str:
    best = max(range(len(labels)), key=lambda e: votes[e])
    return f"{labels[best]} {votes[best]}/{sum(votes)}"


def agreement_tables(report: CultureReport) -> list[TextTable]:
    """What annotators agree on, the noise ceiling of each culture, annotators as predictors of annotators."""
    tables = [_annotators(report.annotators)] if report.annotators else []
    return [*tables, *(ceiling_tables(report.agreement) if report.agreement else [])]


def _annotators(groups: ByGroup[AnnotatorAgreement]) -> TextTable:
    rows = []
    for name, group in shown_groups(groups).items():
        own = group.consistency
        again = "—" if own is None else f"{number(own.share)} of {own.pairs:,} pairs"
        counts = [f"{group.annotators:,}", f"{group.votes:,}", f"{group.artworks:,}"]
        alpha = "—" if math.isnan(group.alpha.value) else number(group.alpha)
        rows.append([name, *counts, alpha, again])
    return TextTable(
        "What annotators agree on: Krippendorff's alpha of nominal labels, over the paintings with two "
        "annotators or more, and how often an annotator gave a painting the same label again",
        ["culture", "annotators", "votes", "paintings", "alpha", "same label again"],
        rows,
    )


def ceiling_tables(result: Agreement) -> list[TextTable]:
    """The noise ceiling of each culture, and annotators as predictors of annotators."""
    bounds = ["accuracy, lower bound", "upper bound", "log-loss, lower bound", "upper bound"]
    ceiling = TextTable(
        "Noise ceiling: what can be reached from the painting alone, between each vote predicted by the "
        "others (lower bound) and each vote also predicting itself (upper bound)",
        ["culture", "votes", *bounds],
        [
            [name, f"{c.votes:,} on {c.artworks:,} paintings"]
            + [number(bound["accuracy"]) for bound in (c.lower_bound, c.upper_bound)]
            + [number(bound["log_loss"]) for bound in (c.lower_bound, c.upper_bound)]
            for name, c in result.ceilings.items()
        ],
    )
    reliability = result.split_half_reliability
    rows = [
        [f"{source} → {target}", number(scores[target]["accuracy"]), *_distances(scores[target])]
        for target in reliability
        for source, scores in reliability.items()
        if target in scores
    ]
    title = (
        "Split-half reliability: half of a culture's votes as predictor of the other half, and as many "
        f"votes of another culture as predictor of that half ({result.n_splits} random splits)"
    )
    header = ["predictor → predicted", "accuracy", *_DISTANCE_HEADINGS]
    return [ceiling, TextTable(title, header, rows)]


def comparison_tables(report: CultureReport) -> list[TextTable]:
    """The runs side by side on the same rows, for each kind of input."""
    culture_inputs = {run.name: run.culture_input for run in report.runs}
    tables = []
    for kind, result in report.comparison.items():
        rows = []
        for name, scores in result.scores():
            groups = shown_groups(scores)
            culture_input = culture_inputs[name] if name in result.models else ""
            cells = [number(group.log_loss) for group in groups.values()]
            rows.append([name, culture_input, *cells])
        title = f"{kind}: log-loss of every run, by culture ↓"
        tables.append(TextTable(title, ["run", "culture input", *groups], rows))
        tables += [comparison_table(c, f"{kind}: ") for c in result.comparisons]
    return tables


def run_tables(run: RunScores) -> list[TextTable]:
    """One run: fairness, answers across cultures, histograms, calibration, ablation, explanations."""
    tables = []
    if run.gaps:
        tables.append(_gaps(run))
    if run.cross_culture is not None:
        tables += [_cross_culture(run.cross_culture, name) for name in ("accuracy", "log_loss")]
    if run.distributions:
        rows = [
            [f"{label(model)}, {group}", *_distances(scores)]
            for model, groups in run.distributions.items()
            for group, scores in shown_groups(groups).items()
        ]
        title = f"Predictions and histograms of {run.min_votes} votes or more of one culture"
        tables.append(TextTable(title, ["model, culture", *_DISTANCE_HEADINGS], rows))
    if run.disagreement is not None:
        tables.append(_disagreement(run.disagreement))
    tables.append(_calibration(run))
    if run.ablation is not None:
        tables += _ablation(run.ablation)
    if run.deletion_tests:
        tables.append(_deletion_tests(run))
    return tables


def _disagreement(result: Disagreement) -> TextTable:
    distances = [DISTANCES[name] for name in SOFT]
    rows = []
    for model, groups in result.perspectivist.items():
        soft = shown_groups(result.soft[model])
        for name, group in shown_groups(groups).items():
            cells = [number(soft[name][d]) if d in soft[name] else "—" for d in SOFT]
            rows.append(
                [f"{label(model)}, {name}", *cells, f"{group.annotators:,}", number(group.accuracy)]
            )
    return TextTable(
        "Learning with disagreements. Soft: distance to the votes of one culture on one painting, however "
        "few. Perspectivist: share of an annotator's labels that the prediction for the annotator's culture "
        "gives, averaged over annotators",
        ["model, culture", *(f"soft: {d.heading} ↓" for d in distances), "annotators"]
        + ["perspectivist accuracy"],
        rows,
    )


def _gaps(run: RunScores) -> TextTable:
    return TextTable(
        "Best and worst served culture",
        ["model", "metric", "best served", "worst served", "worst − best"],
        [
            [label(model), metric.heading, gap.best, gap.worst, signed(gap.difference)]
            for model, gaps in run.gaps.items()
            for metric in headlines(gaps)
            for gap in [gaps[metric.name]]
        ],
    )


def _cross_culture(scores: ByGroup[ModelScores], name: str) -> TextTable:
    groups = shown_groups(scores.overall)
    rows = [
        [requested, *(number(group.metrics[name]) for group in shown_groups(row).values())]
        for requested, row in cross_culture_rows(scores).items()
    ]
    title = f"Predictions for one culture scored on the labels of another: {heading(METRICS[name])}"
    return TextTable(title, ["prediction for", *(f"labels of {g}" for g in groups)], rows)


def cross_culture_rows(scores: ByGroup[ModelScores]) -> dict[str, ModelScores]:
    """The scores of predictions for each culture, by label."""
    name = "no culture" if "no culture" not in scores.by_culture else "no culture named"
    return {name: scores.overall, **scores.by_culture}


def _calibration(run: RunScores) -> TextTable:
    metrics = [METRICS[name] for name in _CALIBRATION_METRICS]
    rows = []
    for kind, calibration in run.calibration.items():
        temperatures = calibration.temperatures
        for how in ("uncalibrated", "calibrated"):
            scores: ModelScores = getattr(calibration, how)
            for group, group_scores in shown_groups(scores).items():
                temperature = ""
                if how == "calibrated" and scores.by_culture.get(group) is group_scores:
                    temperature = f"{temperatures.by_culture.get(group, temperatures.overall):.2f}"
                cells = [number(group_scores.metrics[metric.name]) for metric in metrics]
                rows.append([f"{kind}, {how}, {group}", temperature, *cells])
    header = ["prediction", "temperature", *map(heading, metrics)]
    return TextTable("Calibration by culture; temperatures fitted on validation", header, rows)


def _ablation(result: EvaluationResult) -> list[TextTable]:
    rows = {
        f"{label(model)}, {group}": scores.metrics
        for model, groups in result.models.items()
        for group, scores in shown_groups(groups).items()
    }
    table = metric_table("With the image, without it, and with a wrong one", "input", rows)
    return [table, *map(comparison_table, result.comparisons)]


def _deletion_tests(run: RunScores) -> TextTable:
    rows = []
    for name, test in run.deletion_tests.items():
        r = test.occlusion_correlation
        numbers = [f"{test.artworks}", signed(test.deletion_auc_gap), f"{test.faster_share:.0%}"]
        rows.append([name, *numbers, "–" if r is None else f"{r:+.2f}"])
    header = ["explanations of the", "paintings", "faster fall than at random", "of paintings"]
    title = "Deletion test: what matters most is deleted first; in log-probability"
    return TextTable(title, [*header, "correlation with occlusion"], rows)


def _distances(scores: Mapping[str, Estimate]) -> list[str]:
    """A dash for a distance that the labels do not define."""
    return [number(scores[name]) if name in scores else "—" for name in DISTANCES]


def emotion_table(
    title: str, labels: Sequence[str], columns: Mapping[str, Sequence[float]], spec: str
) -> TextTable:
    """Labels in rows, one column of numbers for each culture."""
    rows = [
        [name, *(f"{values[e]:{spec}}" for values in columns.values())]
        for e, name in enumerate(labels)
    ]
    return TextTable(title, ["emotion", *columns], rows)
