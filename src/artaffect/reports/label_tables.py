"""Single labels in tables and figures, and what metrics mean."""

import math

from artaffect.labels import LabelSet
from artaffect.metrics.by_label import label_scores
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.reports.figures import Figure, evaluation_figures, label_bars
from artaffect.reports.palette import label_colours
from artaffect.reports.tables import TextTable, evaluation_tables, headlines, label


def label_table(result: EvaluationResult) -> TextTable:
    """Precision, recall and F1 of each label, as the detailed model predicts it."""
    rows = [
        [s.label, *map(_share, (s.precision, s.recall, s.f1)), f"{s.support:,}", f"{s.predicted:,}"]
        for s in label_scores(result.confusion.overall, result.labels)
    ]
    header = ["emotion", "precision", "recall", "F1", "support", "predictions"]
    return TextTable(f"Each emotion, as predicted by {label(result.detailed)}", header, rows)


def _share(value: float) -> str:
    return "—" if math.isnan(value) else f"{value:.3f}"


def all_tables(result: EvaluationResult) -> list[TextTable]:
    """The scores of each label, and every table of an evaluation."""
    return [label_table(result), *evaluation_tables(result)]


def meanings(result: EvaluationResult) -> dict[str, str]:
    """What the metrics of a page mean: heading → explanation."""
    shown = headlines(result.models[result.detailed].overall.metrics)
    texts = {metric.heading: metric.meaning for metric in shown if metric.meaning}
    return {
        **texts,
        "precision": "of the captions predicted to have an emotion, the share that have it",
        "recall": "of the captions that have an emotion, the share that are predicted to have it",
        "F1": "the harmonic mean of precision and recall",
        "support": "the number of captions that have an emotion",
        "interval": "the range in brackets: in 95 % of samples of paintings as large as this one, such a "
        "range would hold the true value",
    }


def run_report_figures(result: EvaluationResult, labels: LabelSet) -> list[Figure]:
    """The figures of one evaluation, with the scores of single labels after those of models."""
    scores = label_scores(result.confusion.overall, result.labels)
    title = f"How well is each emotion predicted? (F1 of {label(result.detailed)})"
    bars = label_bars(title, result.labels, [s.f1 for s in scores], label_colours(labels))
    first, *others = evaluation_figures(result)
    return [first, bars, *others]
