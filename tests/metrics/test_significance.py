"""Differences between runs: p-values that hold their level, and Holm's correction."""

import math

import numpy as np
import pytest

from artaffect.metrics.evaluation import evaluate
from artaffect.metrics.significance import bootstrap_p_value, differences, holm

LABELS = np.random.default_rng(1).integers(0, 3, 120)
ARTWORKS = np.repeat(np.arange(40), 3)
CULTURES = np.array(["arabic", "english"] * 60)


def guesses(rng: np.random.Generator, skill: float = 0.0) -> np.ndarray:
    probabilities = rng.dirichlet(np.ones(3), len(LABELS))
    probabilities[np.arange(len(LABELS)), LABELS] += skill
    return probabilities / probabilities.sum(1, keepdims=True)


def test_holm_by_hand() -> None:
    # Holm's steps: 4 * 0.005, 3 * 0.01, 2 * 0.03, and 0.04, which may not be below 0.06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1] and holm([]) == []
    adjusted = holm([0.02, math.nan, 0.5])
    assert adjusted[0] == pytest.approx(0.04) and math.isnan(adjusted[1])


def test_p_values_hold_their_level() -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for _ in range(400):
        sample = rng.normal(size=50)
        means = rng.choice(sample, (400, 50)).mean(1)
        rejected += bootstrap_p_value(float(sample.mean()), means) < 0.05
    assert 0.02 < rejected / 400 < 0.09


def test_a_difference_is_that_of_the_evaluation_and_small_p_values_lie_outside_its_interval() -> (
    None
):
    rng = np.random.default_rng(0)
    runs = {"a": guesses(rng), "b": guesses(rng, 1.0), "c": guesses(rng)}
    rows = (LABELS, CULTURES, ARTWORKS)
    by_question = {
        (d.first, d.culture, d.metric): d
        for d in differences({"both": runs}, *rows, n_resamples=999)
    }
    assert {first for first, _, _ in by_question} == {"b", "c"}
    result = evaluate(runs, *rows, 999, pairs=[("b", "a"), ("c", "a")])
    for (first, culture, metric), difference in by_question.items():
        groups = dict(result.comparison(first, "a").by_group.groups())
        assert difference.estimate == groups[culture][metric]
    clear, doubtful = by_question["b", None, "log_loss"], by_question["c", None, "log_loss"]
    assert clear.p_value == 0.001 and clear.adjusted == 0.002 and clear.estimate.high < 0
    assert doubtful.p_value > 0.05 and doubtful.estimate.low < 0 < doubtful.estimate.high
    assert by_question["b", "arabic", "log_loss"].adjusted == pytest.approx(
        4 * by_question["b", "arabic", "log_loss"].p_value
    )


def test_identical_runs_do_not_differ_and_one_artwork_tells_nothing() -> None:
    run = guesses(np.random.default_rng(0))
    rows = (LABELS, CULTURES, ARTWORKS)
    assert all(d.p_value == 1 for d in differences({"both": {"a": run, "b": run}}, *rows, 99))
    one = (LABELS, CULTURES, np.zeros(120, int))
    other = guesses(np.random.default_rng(1))
    assert all(
        math.isnan(d.adjusted) for d in differences({"both": {"a": run, "b": other}}, *one, 9)
    )
