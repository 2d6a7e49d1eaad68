"""What a culture report holds. Tables, figures, findings and pages show it and compute nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from artaffect.metrics.agreement import Agreement
from artaffect.metrics.annotators import AnnotatorAgreement, Perspectives
from artaffect.metrics.bootstrap import Estimate
from artaffect.metrics.display import Displayed, Table
from artaffect.metrics.divergence import CultureComparison
from artaffect.metrics.evaluation import (
    ByGroup,
    Comparison,
    EvaluationResult,
    Gap,
    ModelScores,
    Reliability,
)


@dataclass(frozen=True)
class DeletionTest:
    """Whether a model's explanations point at what its predictions depend on (Petsiuk et al. 2018)."""

    artworks: int
    deletion_auc_gap: Estimate
    """How much lower the log-probability lies, on average, if what matters most is deleted first than
    if parts are deleted at random; above 0 the explanations hold."""
    faster_share: float
    """Share of artworks for which that is so."""
    occlusion_correlation: float | None
    """Mean rank correlation of heatmaps with occlusion; None for captions."""


@dataclass(frozen=True)
class Calibration:
    """Predictions from one kind of input before and after temperature scaling."""

    uncalibrated: ModelScores
    calibrated: ModelScores
    comparison: Comparison
    """Calibrated minus uncalibrated."""
    uncalibrated_reliability: ByGroup[Reliability]
    calibrated_reliability: ByGroup[Reliability]
    temperatures: ByGroup[float]
    """Overall: for predictions that name no culture."""


@dataclass(frozen=True)
class Disagreement:
    """The two evaluations of the shared tasks on learning with disagreements (LeWiDi)."""

    soft: Mapping[str, ByGroup[Mapping[str, Estimate]]]
    """Model → distance → estimate: see :func:`artaffect.metrics.annotators.soft_scores`."""
    perspectivist: Mapping[str, ByGroup[Perspectives]]
    """Model → accuracy over annotators: see :func:`artaffect.metrics.annotators.perspectivist_scores`."""


@dataclass(frozen=True)
class RunScores:
    """The scores of one model folder, culture by culture."""

    name: str
    encoders: Mapping[str, str]
    culture_input: str
    chosen_on_this_split: bool
    """Whether its settings and temperatures were chosen on the rows that it is scored on."""
    evaluation: EvaluationResult
    gaps: Mapping[str, Mapping[str, Gap]]
    """Model → metric → gap; empty if there is one culture."""
    distributions: Mapping[str, ByGroup[Mapping[str, Estimate]]]
    """See :func:`artaffect.metrics.distances.distribution_scores`."""
    min_votes: int
    calibration: Mapping[str, Calibration]
    """By input: ``image``, ``caption``, ``both``."""
    cross_culture: ByGroup[ModelScores] | None
    """Predictions for each culture, scored on the labels of every culture; overall: predictions that
    name no culture. None if there is one culture."""
    ablation: EvaluationResult | None
    """What each modality adds; None for a model of one modality."""
    deletion_tests: Mapping[str, DeletionTest]
    """By ``image`` and ``caption``; empty if they were not run."""
    disagreement: Disagreement | None = None
    """None if the table does not tell annotators apart."""

    @property
    def best_input(self) -> str:
        """The most complete input that the model takes: ``both`` if it can."""
        return list(self.calibration)[-1]


@dataclass(frozen=True)
class Caption:
    """One annotation of an artwork, as a page quotes it."""

    emotion: str
    text: str
    language: str


@dataclass(frozen=True)
class ArtworkSummary:
    """What a report shows of one artwork."""

    artwork: str
    split: str | None
    image: str | None
    """The path of its image."""
    votes: Mapping[str, Sequence[int]]
    captions: Mapping[str, Sequence[Caption]]
    """Culture → captions."""
    predictions: Mapping[str, Sequence[float]]
    """Culture → the first run's distribution from the image alone."""
    image_fault: str | None = None
    """Why it has no image."""


@dataclass(frozen=True, repr=False)
class CultureReport(Displayed):
    """Everything that ``artaffect report`` shows."""

    table: str
    split: str
    labels: Sequence[str]
    synthetic: bool
    rows: int
    artworks: int
    rows_without_image: int
    """Rows of the split that are left out because they have no image that all runs can read."""
    divergence: CultureComparison | None
    agreement: Agreement | None
    notes: Sequence[str]
    """What could not be computed, and why."""
    comparison: Mapping[str, EvaluationResult]
    """For each input that all runs take, the runs side by side."""
    runs: Sequence[RunScores]
    divisive_artworks: Sequence[ArtworkSummary]
    audience: str = "culture"
    """What a culture of the table is: see :attr:`AnnotationTable.audience`."""
    annotators: ByGroup[AnnotatorAgreement] | None = None
    """What the annotators of each culture agree on; None if the table does not tell them apart."""

    def _table(self) -> Table:
        caption = (
            f"CultureReport: {self.table}, split {self.split}, {self.rows:,} rows of "
            f"{self.artworks:,} artworks"
        )
        scores = [(run, run.evaluation[run.best_input]) for run in self.runs]
        rows = [
            [run.name, run.best_input, f"{s.accuracy:.3f}", f"{s.log_loss:.3f}"]
            for run, s in scores
        ]
        return caption, ["run", "input", "accuracy", "log-loss"], rows

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
