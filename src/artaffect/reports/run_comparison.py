"""What ``artaffect compare`` shows: runs side by side, and their differences from the first one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.metrics.classification import METRICS
from artaffect.metrics.display import Displayed, Table, data_frame
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.metrics.significance import N_RESAMPLES, Difference, differences
from artaffect.prediction.evaluation import chosen_on
from artaffect.reports.comparison import compare_runs, load_runs
from artaffect.reports.tables import (
    TextTable,
    evaluation_tables,
    heading,
    headlines,
    label,
    overall_label,
    signed,
)

COLUMNS = (
    *("first", "second", "input", "culture", "metric"),
    *("difference", "low", "high", "p_value", "adjusted"),
)


@dataclass(frozen=True, repr=False)
class RunComparison(Displayed):
    """Runs on the same rows: their scores, and how they differ from the first one."""

    protocol: Mapping[str, Any]
    """How the numbers were obtained: plain JSON."""
    scores: Mapping[str, EvaluationResult]
    """For each input that all runs take, the runs side by side."""
    differences: Sequence[Difference]
    """Of every run, input, culture and metric."""

    def to_frame(self) -> Any:
        """One row for each difference, as a pandas ``DataFrame``; culture None means all rows.

        Raises:
            ImportError: pandas is not installed.
        """
        return data_frame(self.records(), COLUMNS)

    def records(self) -> list[tuple[Any, ...]]:
        """One row for each difference, with the columns ``COLUMNS``."""
        return [
            (d.first, d.second, d.input, d.culture, d.metric)
            + (*astuple(d.estimate), d.p_value, d.adjusted)
            for d in self.differences
        ]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def _table(self) -> Table:
        rows, artworks = self.protocol["rows"], self.protocol["artworks"]
        title = (
            f"RunComparison: split {self.protocol['split']}, {rows:,} rows of {artworks:,} artworks"
        )
        return (title, *_difference_rows([d for d in self.differences if d.culture is None]))


def compare(
    runs: Sequence[Path],
    table: AnnotationTable,
    split: str,
    cache: Path | None = None,
    features: Path | None = None,
) -> RunComparison:
    """Score runs on the rows of a split that all of them can be scored on, and compare them.

    Args:
        runs: at least two model folders, or folders of the runs of several seeds; the others are compared
            with the first one.
        features: the file of the image features, for runs that were trained on such a file.

    Raises:
        InputError: there are fewer than two runs, or they predict different labels, or share no input or
            row.
        TableError: the split has no rows.
    """
    if len(runs) < 2:
        raise InputError(f"a comparison needs at least two runs, got {len(runs)}")
    notes: list[str] = []
    if partial := sum(table.counts_of_partial_labels().values()):
        notes.append(f"{partial:,} rows of the table have a partial label and are left out.")
    part = table.with_exact_labels().of_split(split)
    loaded, left_out = load_runs(runs, part, cache, notes, features=features)
    kinds = [kind for kind in loaded[0].inputs if all(kind in run.inputs for run in loaded)]
    if not kinds:
        listed = "; ".join(f"{run.name}: {', '.join(run.inputs)}" for run in loaded)
        raise InputError(f"the runs have no input in common ({listed})")
    rows = loaded[0].rows
    compared = differences(
        {kind: {run.name: run.predictions(kind) for run in loaded} for kind in kinds},
        *(rows.emotion.numpy(), rows.culture_names, rows.artwork.numpy()),
    )
    scores = compare_runs(loaded, n_resamples=1000)
    protocol = {
        "split": split,
        **next(iter(scores.values())).protocol,
        "rows_without_image": left_out,
        "seeds": {run.name: list(run.seeds) for run in loaded if run.seeds},
        "chosen_on_this_split": [run.name for run in loaded if chosen_on(run.config, table, split)],
        "synthetic": bool(table.provenance.get("synthetic")),
        "differences": f"{N_RESAMPLES:,} resamples; p-values of the shifted bootstrap; adjusted by Holm's "
        "method over runs and inputs, for each metric",
        "notes": notes,
    }
    return RunComparison(protocol, scores, compared)


def comparison_tables(result: RunComparison) -> list[TextTable]:
    """The scores of the runs from each input, and their differences, overall and by culture."""
    tables = [
        TextTable(f"From {label(kind)}: {table.title}", table.header, table.rows)
        for kind, scores in result.scores.items()
        for table in evaluation_tables(scores)[:1]
    ]
    cultures = list(dict.fromkeys(d.culture for d in result.differences))
    groups = cultures if len(cultures) > 2 else cultures[:1]  # a single culture is the whole
    for culture in groups:
        name = culture or overall_label(
            next(iter(result.scores.values()))[result.differences[0].first]
        )
        chosen = [d for d in result.differences if d.culture == culture]
        title = f"Differences, {name}: with 95 % interval, and p-value after Holm's correction"
        tables.append(TextTable(title, *_difference_rows(chosen)))
    return tables


def comparison_line(result: RunComparison) -> str:
    """How the numbers were obtained, in one paragraph."""
    protocol = result.protocol
    line = (
        f"Split {protocol['split']}: {protocol['rows']:,} captions of {protocol['artworks']:,} paintings. "
        f"Intervals: {protocol['interval']}. Differences: {protocol['differences']}."
    )
    if protocol["synthetic"]:
        line += " The data are synthetic."
    if protocol["rows_without_image"]:
        line += f" {protocol['rows_without_image']:,} captions without a usable image are left out."
    if chosen := protocol["chosen_on_this_split"]:
        line += f" Chosen on this split, which flatters a little: {', '.join(chosen)}."
    return " ".join([line, *protocol["notes"]])


def _difference_rows(compared: Sequence[Difference]) -> tuple[list[str], list[list[str]]]:
    """A header, and a row for each run and input."""
    metrics = headlines(METRICS)
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for d in compared:
        text = f"{signed(d.estimate)}, p {_p_value(d.adjusted)}" if d.estimate.has_interval else "—"
        rows.setdefault((d.input, d.first, d.second), {})[d.metric] = text
    cells = [
        [f"{label(kind)}: {first} − {second}", *(values[m.name] for m in metrics)]
        for (kind, first, second), values in rows.items()
    ]
    return ["difference", *map(heading, metrics)], cells


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
