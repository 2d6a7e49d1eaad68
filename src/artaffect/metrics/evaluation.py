"""Score several models on the same rows: overall and for each culture, with intervals and differences."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import TypeAdapter

from artaffect.labels import ARTEMIS
from artaffect.metrics.bootstrap import SEED, Estimate
from artaffect.metrics.classification import BINS, METRICS, confidence_bins, confusion
from artaffect.metrics.conformal import SetScores
from artaffect.metrics.display import Displayed, Table, data_frame
from artaffect.metrics.seeds import bootstrap_seeds, count_seeds, each_seed, metric_sums

S = TypeVar("S")
T = TypeVar("T")

PAIRS = (("both", "caption"), ("both", "image"))
"""Models that are compared unless others are named."""


@dataclass(frozen=True)
class ByGroup(Generic[T]):
    """One value for all rows, and one for each culture."""

    overall: T
    by_culture: Mapping[str, T]

    def __getitem__(self, culture: str) -> T:
        if culture not in self.by_culture:
            known = ", ".join(map(repr, self.by_culture)) or "none"
            raise KeyError(f"no culture {culture!r}; known cultures: {known}")
        return self.by_culture[culture]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_culture)

    def __len__(self) -> int:
        return len(self.by_culture)

    def map(self, function: Callable[[T], S]) -> "ByGroup[S]":
        """Apply a function to every value."""
        by_culture = {name: function(value) for name, value in self.by_culture.items()}
        return ByGroup(function(self.overall), by_culture)

    def groups(self) -> list[tuple[str | None, T]]:
        """All values: first the overall one, under None, then each culture's."""
        return [(None, self.overall), *self.by_culture.items()]


@dataclass(frozen=True)
class GroupScores:
    """Every metric of one model on one group of rows; ``scores.accuracy`` is one metric."""

    metrics: Mapping[str, Estimate]
    support: int
    """Number of rows."""
    artworks: int
    by_seed: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Metric → the score of each seed, of which the metric is the mean; empty for a single run."""

    def __getattr__(self, name: str) -> Estimate:
        metrics = vars(self).get("metrics", {})
        if name not in metrics:
            raise AttributeError(f"no metric {name!r}; known metrics: {', '.join(metrics)}")
        return metrics[name]


@dataclass(frozen=True, repr=False)
class ModelScores(Displayed, ByGroup[GroupScores]):
    """A model's scores: attributes are those of all rows, items those of each culture."""

    overall: GroupScores
    by_culture: Mapping[str, GroupScores]

    @property
    def support(self) -> int:
        """Number of rows."""
        return self.overall.support

    @property
    def artworks(self) -> int:
        """Number of artworks."""
        return self.overall.artworks

    def __getattr__(self, name: str) -> Estimate:
        if name.startswith("_") or "overall" not in vars(self):
            raise AttributeError(name)
        return getattr(self.overall, name)

    def _table(self) -> Table:
        rows = [
            [culture or "overall", f"{s.support:,}", *map("{:.3f}".format, s.metrics.values())]
            for culture, s in self.groups()
        ]
        header = ["culture", "rows", *(METRICS[name].heading for name in self.overall.metrics)]
        return "ModelScores", header, rows


@dataclass(frozen=True)
class Comparison:
    """The difference between two models, paired over the same resamples of artworks."""

    first: str
    second: str
    by_group: ByGroup[Mapping[str, Estimate]]
    """Metric → the first model's score minus the second's."""


@dataclass(frozen=True)
class Reliability:
    """How often predictions of a given confidence are correct: one entry for each non-empty bin."""

    confidence: list[float]
    accuracy: list[float]
    support: list[int]


@dataclass(frozen=True)
class Gap:
    """How unequally a model serves cultures, by one metric."""

    best: str
    worst: str
    difference: Estimate
    """The worst culture's score minus the best culture's, over the same resamples."""


@dataclass(frozen=True, repr=False)
class EvaluationResult(Displayed):
    """The scores of several models on the same rows; ``result["both"]`` is one model's scores."""

    protocol: Mapping[str, Any]
    """How the numbers were obtained: plain JSON."""
    models: Mapping[str, ModelScores]
    baseline: ModelScores | None
    """The scores of each culture's training distribution."""
    comparisons: Sequence[Comparison]
    detailed: str
    """The model that ``confusion`` and ``reliability`` belong to."""
    confusion: ByGroup[list[list[int]]]
    """Counts: true labels in rows, predicted labels in columns."""
    reliability: ByGroup[Reliability]
    prediction_sets: Mapping[str, ByGroup[SetScores]] = field(default_factory=dict)
    """Model → the scores of its prediction sets; empty if there are none."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind of run has, for example the fusion weights: plain JSON."""
    labels: tuple[str, ...] = ARTEMIS.names
    """The labels of the confusion, in its order."""

    def __getitem__(self, model: str) -> ModelScores:
        scores = dict(self.scores())
        if model not in scores:
            raise KeyError(f"no model {model!r}; known models: {', '.join(map(repr, scores))}")
        return scores[model]

    def __iter__(self) -> Iterator[str]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def scores(self) -> list[tuple[str, ModelScores]]:
        """The baseline, if there is one, and every model.

        A model that is itself called ``baseline`` keeps its name; the baseline is then called
        ``constant baseline``.
        """
        name = "constant baseline" if "baseline" in self.models else "baseline"
        baseline = [] if self.baseline is None else [(name, self.baseline)]
        return [*baseline, *self.models.items()]

    def comparison(self, first: str, second: str) -> Comparison:
        """The difference between two models.

        Raises:
            KeyError: the two were not compared.
        """
        comparisons = {(c.first, c.second): c for c in self.comparisons}
        if (first, second) not in comparisons:
            known = ", ".join(map(str, comparisons)) or "none"
            raise KeyError(
                f"{first!r} was not compared with {second!r}; known comparisons: {known}"
            )
        return comparisons[first, second]

    def to_frame(self) -> Any:
        """One row for each model, culture and metric, as a pandas ``DataFrame``.

        The rows of all cultures together have the culture ``overall``, or ``overall (all rows)`` if a
        culture has that name.

        Raises:
            ImportError: pandas is not installed.
        """
        records = []
        for model, scores in self.scores():
            whole = "overall (all rows)" if "overall" in scores.by_culture else "overall"
            values = [(culture, g.support, g.metrics) for culture, g in scores.groups()]
            sets = self.prediction_sets.get(model)
            values += [
                (culture, s.support, {"set_coverage": s.coverage, "set_size": s.size})
                for culture, s in (sets.groups() if sets else ())
            ]
            records += [
                (model, whole if culture is None else culture, metric, *astuple(e), support)
                for culture, support, metrics in values
                for metric, e in metrics.items()
            ]
        columns = ("model", "culture", "metric", "value", "low", "high", "support")
        return data_frame(records, columns)

    def _table(self) -> Table:
        split = f"split {self.protocol['split']}, " if "split" in self.protocol else ""
        rows, artworks = self.protocol["rows"], self.protocol["artworks"]
        metrics = self.models[self.detailed].overall.metrics
        return (
            f"EvaluationResult: {split}{rows:,} rows of {artworks:,} artworks",
            ["model", *(METRICS[name].heading for name in metrics)],
            [
                [model, *map("{:.3f}".format, scores.overall.metrics.values())]
                for model, scores in self.scores()
            ],
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EvaluationResult":
        """Read what :meth:`to_json` wrote."""
        return TypeAdapter(cls).validate_python(data)


def evaluate(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    n_resamples: int = 1000,
    *,
    baseline: np.ndarray | None = None,
    pairs: Sequence[tuple[str, str]] = PAIRS,
) -> EvaluationResult:
    """Score models side by side on the same rows.

    Confusion and reliability are reported for one model: the first one of the first pair, or the last
    model if no pair is given. Of several seeds they hold the predictions of all.

    Args:
        predictions: for each model, distributions [n, k]; of several seeds [seeds, n, k], whose scores are
            means over seeds, see :mod:`artaffect.metrics.seeds`.
        labels: true labels as indices [n].
        cultures: each row's culture name [n].
        artworks: any value that identifies the row's artwork [n].
        n_resamples: bootstrap resamples of artworks behind each interval.
        baseline: the baseline's distributions [n, k].
        pairs: models whose difference, first minus second, is reported; pairs of which one model is
            missing are left out.

    Raises:
        ValueError: there are no rows, or arrays of different lengths.
    """
    names = list(predictions)
    stacked = [*predictions.values(), *([] if baseline is None else [baseline])]
    lengths = {len(labels), len(cultures), len(artworks), *(p.shape[-2] for p in stacked)}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(f"expected arrays of one length, at least 1; got {sorted(lengths)}")
    if not predictions:
        raise ValueError("expected the predictions of at least one model")
    groups = for_each_group(
        cultures,
        lambda mask: _resample(
            [p[..., mask, :] for p in stacked], labels[mask], artworks[mask], n_resamples
        ),
    )
    compared = [(a, b) for a, b in pairs if a in predictions and b in predictions]
    detailed = compared[0][0] if compared else names[-1]
    top = np.concatenate(each_seed(predictions[detailed]))
    units = "seeds and artworks" if max(map(count_seeds, stacked)) > 1 else "artworks"
    true, groups_of_rows = (np.tile(a, len(top) // len(labels)) for a in (labels, cultures))
    return EvaluationResult(
        protocol={
            "rows": len(labels),
            "artworks": len(np.unique(artworks)),
            "interval": f"95 %, {n_resamples} bootstrap resamples of {units}, seed {SEED}",
        },
        models={name: _model(groups, i) for i, name in enumerate(names)},
        baseline=None if baseline is None else _model(groups, len(names)),
        comparisons=[_comparison(groups, names, a, b) for a, b in compared],
        detailed=detailed,
        confusion=for_each_group(
            groups_of_rows, lambda mask: confusion(true[mask], top[mask]).tolist()
        ),
        reliability=for_each_group(groups_of_rows, lambda mask: reliability(true[mask], top[mask])),
    )


def for_each_group(cultures: np.ndarray, compute: Callable[[np.ndarray], T]) -> ByGroup[T]:
    """Compute something for all rows and for the rows of each culture, given their mask [n]."""
    names = sorted(set(cultures.tolist()))
    overall = compute(np.ones(len(cultures), bool))
    return ByGroup(overall, {str(name): compute(cultures == name) for name in names})


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> Reliability:
    """Confidence and accuracy in the bins of the expected calibration error."""
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == labels
    bins = confidence_bins(confidence)
    support = np.bincount(bins, minlength=BINS)
    filled = support > 0

    def mean(values: np.ndarray) -> list[float]:
        return (np.bincount(bins, values, BINS)[filled] / support[filled]).tolist()

    return Reliability(mean(confidence), mean(correct.astype(float)), support[filled].tolist())


def culture_gaps(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    n_resamples: int = 1000,
) -> dict[str, dict[str, Gap]]:
    """Find the best and the worst served culture of each model by each metric.

    The arguments are those of :func:`evaluate`.

    Returns:
        Model → metric → gap; empty if there is only one culture.
    """
    names = sorted(set(cultures.tolist()))
    if len(names) < 2:
        return {}
    unique, codes = np.unique(artworks, return_inverse=True)
    masks = [cultures == name for name in names]
    gaps: dict[str, dict[str, Gap]] = {}
    for model, probabilities in predictions.items():
        parts = [probabilities[..., m, :] for m in masks]
        sums = [
            metric_sums([part], labels[m], codes[m], len(unique))
            for part, m in zip(parts, masks, strict=True)
        ]
        stacked = {name: np.concatenate([part[name] for part in sums]) for name in METRICS}
        resampled = bootstrap_seeds(stacked, list(map(count_seeds, parts)), n_resamples)
        gaps[model] = {}
        for name, metric in METRICS.items():
            values, resamples = resampled[name].values, resampled[name].resamples
            order = np.argsort(values if metric.higher_is_better else -values, kind="stable")
            worst, best = order[0], order[-1]
            difference = Estimate.from_resamples(
                values[worst] - values[best], resamples[worst] - resamples[best]
            )
            gaps[model][name] = Gap(str(names[best]), str(names[worst]), difference)
    return gaps


def _resample(
    predictions: Sequence[np.ndarray], labels: np.ndarray, artworks: np.ndarray, n_resamples: int
) -> Callable[..., GroupScores]:
    """Resample one group of rows: a function from a model, or two to subtract, to its scores."""
    unique, codes = np.unique(artworks, return_inverse=True)
    sums = metric_sums(predictions, labels, codes, len(unique))
    resampled = bootstrap_seeds(sums, list(map(count_seeds, predictions)), n_resamples)

    def scores(model: int, minus: int | None = None) -> GroupScores:
        def select(values: np.ndarray) -> np.ndarray:
            return values[model] if minus is None else values[model] - values[minus]

        estimates = {
            name: Estimate.from_resamples(float(select(part.values)), select(part.resamples))
            for name, part in resampled.items()
        }
        by_seed: dict[str, Sequence[float]] = {}
        if minus is None and count_seeds(predictions[model]) > 1:
            by_seed = {name: part.by_seed[model].tolist() for name, part in resampled.items()}
        return GroupScores(estimates, len(labels), len(unique), by_seed)

    return scores


def _model(groups: ByGroup[Callable[..., GroupScores]], index: int) -> ModelScores:
    scores = groups.map(lambda group: group(index))
    return ModelScores(scores.overall, scores.by_culture)


def _comparison(
    groups: ByGroup[Callable[..., GroupScores]], names: Sequence[str], first: str, second: str
) -> Comparison:
    pair = names.index(first), names.index(second)
    return Comparison(first, second, groups.map(lambda group: group(*pair).metrics))
