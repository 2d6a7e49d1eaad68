"""Prediction sets: the labels that a model cannot rule out at a level, and what they rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from artaffect.errors import InputError
from artaffect.metrics.conformal import ConformalScores, Threshold, rows_needed

NO_SCORES = (
    "this model folder holds no scores for prediction sets, because an older version of artaffect "
    "trained it: train it again, or leave out the sets"
)


@dataclass(frozen=True)
class PredictionSet:
    """The labels that hold the true one with a probability of at least ``level``."""

    level: float
    labels: Sequence[str]
    """The names of the labels, the most likely one first; at least one."""

    def __str__(self) -> str:
        *others, last = self.labels
        return f"{', '.join(others)} or {last}" if others else last

    def to_json(self) -> dict[str, Any]:
        return {"level": self.level, "labels": list(self.labels)}


def check_level(level: Any) -> None:
    """Raise an InputError unless a level is a number between 0 and 1."""
    is_number = isinstance(level, int | float) and not isinstance(level, bool)
    if not is_number or not 0 < level < 1:
        raise InputError(f"sets must be a level between 0 and 1, for example 0.9, got {level!r}")


def check_sets(level: float | None, conformal: object) -> None:
    """Raise an InputError if sets are asked for, and the level is none or the model makes no sets."""
    if level is not None:
        check_level(level)
        if conformal is None:
            raise InputError(NO_SCORES)


def check_kind(conformal: ConformalScores | None, kind: str) -> None:
    """Raise an InputError if sets cannot be made for predictions from a kind of input."""
    if conformal is not None and kind not in conformal.inputs:
        given = "image and caption" if kind == "both" else f"the {kind} alone"
        raise InputError(
            f"no validation row of this model has {kind}, so there are no prediction sets from "
            f"{given}: leave out the sets"
        )


def percentage(level: float) -> str:
    """A level for people: ``90 %``, or ``99.5 %``."""
    return f"{100 * level:.6g} %"


def make_set(
    conformal: ConformalScores,
    kind: str,
    culture: str,
    level: float,
    probabilities: Mapping[Any, float],
) -> PredictionSet:
    """The set of one prediction; see :meth:`ConformalScores.members`."""
    values = np.array([list(probabilities.values())])
    members = conformal.members(kind, values, [culture], level)[0]
    order = np.argsort(-values[0], kind="stable")
    names = list(map(str, probabilities))
    return PredictionSet(level, tuple(names[i] for i in order if members[i]))


def describe_basis(threshold: Threshold, culture: str, level: float, is_known: bool) -> str | None:
    """What must be said about the set of a culture, if anything.

    Args:
        is_known: whether the culture was in training.
    """
    share = percentage(level)
    if threshold.basis == "none":
        return f"too few validation rows for a set of {share}: it holds every label"
    if not is_known:
        return f"how often the set of {share} holds for {culture!r} is not known"
    if threshold.basis == "all cultures" and threshold.own_rows is not None:
        return (
            f"the set of {share} rests on the validation rows of all cultures together: those of "
            f"{culture!r} are too few ({threshold.own_rows:,} of {rows_needed(level):,})"
        )
    return None
