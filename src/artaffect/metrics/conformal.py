"""Conformal prediction: sets of labels that hold the true one as often as a level says.

Split conformal prediction (Papadopoulos et al. 2002; Angelopoulos and Bates 2023), calibrated for each
culture by itself (Mondrian, Vovk et al. 2005): rows that a model has not learned from tell how badly
the true label may score. A set holds every label that scores no worse than a share ``level`` of them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from dataclasses import dataclass as plain_dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass
from pydantic_core import to_json

from artaffect.metrics.bootstrap import Estimate, ratio_estimates

LEVEL = 0.9
"""The level at which evaluations report sets unless another is given."""

MIN_OUTSIDE = 10
"""A culture has a threshold of its own if it has so many rows that this number of them is expected
outside of their sets: 100 rows at a level of 0.9. From one choice of the rows to the next, coverage
then has a standard deviation of about ``0.3 * (1 - level)``."""

_ROUNDING = 2e-5
"""A label whose score is that of the threshold belongs to the set, in whatever batch it was computed.

Between batches and processors, probabilities in float32 differ by up to about 4e-6; thresholds are
kept to six digits.
"""
MAX_VALUES = 500
"""The most scores that are kept of a group of rows. Coverage rises by at most 1 / ``MAX_VALUES``."""

_TOTAL_VALUES = 60_000
"""The most scores that are kept of one kind of input, so that many cultures still make a small file."""
_DIGITS = 1e6
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

Kind = Literal["image", "caption", "both"]
ScoreName = Literal["lac", "aps"]
Basis = Literal["culture", "all cultures", "none"]
"""Whose rows a threshold rests on: the culture's own, those of all cultures, or none, because too few
exist."""


def least_ambiguous(probabilities: np.ndarray) -> np.ndarray:
    """One minus the probability (LAC, Sadinle et al. 2019): the smallest sets on average."""
    return 1 - probabilities


def adaptive(probabilities: np.ndarray) -> np.ndarray:
    """The probability of a label and of all likelier ones (APS, Romano et al. 2020).

    Without randomisation, so that equal inputs have equal sets. They are larger than randomised ones,
    and hold every label at levels above the share of rows whose true label is not the least likely one.
    """
    order = np.argsort(-probabilities, 1, kind="stable")
    scores = np.empty_like(probabilities)
    sums = np.cumsum(np.take_along_axis(probabilities, order, 1), 1)
    np.put_along_axis(scores, order, sums, 1)
    return scores


_SCORES: Mapping[ScoreName, Callable[[np.ndarray], np.ndarray]] = {
    "lac": least_ambiguous,
    "aps": adaptive,
}


def label_scores(probabilities: np.ndarray, score: ScoreName = "lac") -> np.ndarray:
    """How badly each label fits its row, 0 to 1: [n, k] from distributions [n, k].

    The most likely label scores 0, so that no set is empty. Calibration rows and new rows are treated
    alike, and coverage stays what the level says.
    """
    scores = _SCORES[score](probabilities).clip(0, 1)
    np.put_along_axis(scores, probabilities.argmax(1)[:, None], 0.0, 1)
    return scores


def _check_order(values: list[float]) -> list[float]:
    if any(a > b for a, b in zip(values, values[1:], strict=False)):
        raise ValueError("expected scores in rising order")
    return values


Sorted = Annotated[
    list[Annotated[float, Field(ge=0, le=1)]],
    Field(max_length=MAX_VALUES),
    AfterValidator(_check_order),
]


@dataclass(frozen=True, config=_STRICT)
class SortedScores:
    """The scores of the true labels of some rows, in rising order and perhaps thinned out.

    Value ``i`` of ``m`` stands for rank ``ceil(i * rows / m)`` of all, so that a threshold taken from
    thinned scores is never too low.
    """

    rows: Annotated[int, Field(ge=0)]
    values: Sorted

    def __post_init__(self) -> None:
        if len(self.values) > self.rows or (self.rows > 0 and not self.values):
            raise ValueError(f"{len(self.values)} scores do not fit {self.rows} rows")

    @classmethod
    def from_scores(cls, scores: np.ndarray, limit: int = MAX_VALUES) -> "SortedScores":
        """Keep at most ``limit`` of scores [n], rounded up to six digits."""
        rows, count = len(scores), min(len(scores), limit)
        ranks = -(-np.arange(1, count + 1) * rows // max(count, 1))
        values = np.ceil(np.sort(scores)[ranks - 1] * _DIGITS) / _DIGITS
        return cls(rows, values.clip(0, 1).tolist())

    def quantile(self, level: float) -> float:
        """The score of rank ``ceil((rows + 1) * level)``; infinite if there are too few rows."""
        rank = math.ceil((self.rows + 1) * level - 1e-9)  # 0.9 is a little more than nine tenths
        if rank > self.rows:
            return math.inf
        return self.values[max(-(-rank * len(self.values) // self.rows), 1) - 1]

    def suffices(self, level: float) -> bool:
        """Whether a culture with these rows has a threshold of its own."""
        return self.rows >= rows_needed(level)


def rows_needed(level: float) -> int:
    """The rows that a culture needs for a threshold of its own at a level."""
    return math.ceil(MIN_OUTSIDE / (1 - level) - 1e-6)


@plain_dataclass(frozen=True)
class Threshold:
    """The worst score that a label of a set may have."""

    value: float
    """Infinite if every label belongs to the set."""
    basis: Basis
    own_rows: int | None
    """Rows of the culture itself; None if the model does not tell cultures apart."""


@dataclass(frozen=True, config=_STRICT)
class InputScores:
    """The scores of one kind of input."""

    any_culture: SortedScores
    """Predictions that name no culture, of all rows."""
    all_cultures: SortedScores
    """Predictions for each row's own culture, of all rows: for cultures with too few rows."""
    by_culture: Annotated[
        dict[Annotated[str, Field(min_length=1, max_length=1000)], SortedScores],
        Field(max_length=10_000),
    ]
    """Predictions for a culture, of its rows; empty if the model does not tell cultures apart."""

    @classmethod
    def from_scores(
        cls, any_culture: np.ndarray, own: np.ndarray, cultures: Mapping[str, np.ndarray]
    ) -> "InputScores":
        """Keep the scores of the true labels of rows.

        Args:
            any_culture: of predictions that name no culture [n].
            own: of predictions for each row's own culture [n].
            cultures: which rows belong to each culture of the model: bool [n].
        """
        limit = int(np.clip(_TOTAL_VALUES // (len(cultures) + 2), 1, MAX_VALUES))
        return cls(
            SortedScores.from_scores(any_culture, limit),
            SortedScores.from_scores(own, limit),
            {name: SortedScores.from_scores(own[rows], limit) for name, rows in cultures.items()},
        )

    def threshold(self, culture: str, level: float) -> Threshold:
        """The threshold of a culture at a level between 0 and 1."""
        own = self.by_culture.get(culture)
        if own is not None and own.suffices(level):
            return Threshold(own.quantile(level), "culture", own.rows)
        value = (self.any_culture if own is None else self.all_cultures).quantile(level)
        basis: Basis = "all cultures" if math.isfinite(value) else "none"
        return Threshold(value, basis, None if own is None else own.rows)


@dataclass(frozen=True, config=_STRICT)
class ConformalScores:
    """What a model keeps of its calibration rows, so that sets of any level can be asked for later."""

    score: ScoreName
    inputs: dict[Kind, InputScores]

    def threshold(self, kind: str, culture: str, level: float) -> Threshold:
        """The threshold for predictions from one kind of input; raises KeyError for an unknown kind."""
        return self.inputs[kind].threshold(culture, level)  # type: ignore[index]

    def members(
        self,
        kind: str,
        probabilities: np.ndarray,
        cultures: Sequence[str] | np.ndarray,
        level: float,
    ) -> np.ndarray:
        """Which labels belong to the set of each row: bool [n, k].

        Args:
            kind: what was predicted from: ``image``, ``caption`` or ``both``.
            probabilities: distributions [n, k].
            cultures: the culture that each row was predicted for [n].
        """
        thresholds = {c: self.threshold(kind, c, level).value for c in dict.fromkeys(cultures)}
        limits = np.array([thresholds[culture] for culture in cultures], float)
        return label_scores(probabilities, self.score) <= limits[:, None] + _ROUNDING

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ConformalScores":
        """Read what :meth:`to_json` wrote; raises a ValueError if it is something else."""
        return TypeAdapter(cls).validate_json(to_json(data))


@plain_dataclass(frozen=True)
class SetScores:
    """How often the sets of a group of rows hold the true label, and how many labels they hold."""

    coverage: Estimate
    """Share of rows, 0 to 1."""
    size: Estimate
    """Mean number of labels."""
    basis: Basis | None
    """Whose calibration rows the threshold rests on; None for rows of several cultures."""
    support: int
    """Number of rows."""
    artworks: int


def score_sets(
    members: np.ndarray, labels: np.ndarray, artworks: np.ndarray, basis: Basis | None = None
) -> SetScores:
    """Score sets, with intervals by bootstrap over artworks.

    Args:
        members: which labels belong to the set of each row: bool [n, k].
        labels: true labels as indices [n].
        artworks: any value that identifies the row's artwork [n].
    """
    unique, codes = np.unique(artworks, return_inverse=True)
    terms = (members[np.arange(len(labels)), labels], members.sum(1))
    totals = np.stack([np.bincount(codes, term, len(unique)) for term in terms], 1)
    coverage, size = ratio_estimates(totals, np.bincount(codes)[:, None])
    return SetScores(coverage, size, basis, len(labels), len(unique))
