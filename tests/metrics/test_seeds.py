"""Means over seeds, and intervals that hold both seeds and artworks."""

import json

import numpy as np
import pytest

from artaffect.metrics.classification import METRICS
from artaffect.metrics.evaluation import EvaluationResult, culture_gaps, evaluate
from artaffect.runtime import to_json_text

RNG = np.random.default_rng(0)
N, K, SEEDS = 240, 3, 6
LABELS = RNG.integers(0, K, N)
ARTWORKS = np.repeat(np.arange(60), 4)
CULTURES = np.array(["arabic", "english"])[RNG.integers(0, 2, N)]
ROWS = (LABELS, CULTURES, ARTWORKS)


def guesses(*shape: int) -> np.ndarray:
    """Distributions over classes, better than chance, that differ from seed to seed."""
    probabilities = RNG.dirichlet(np.ones(K), (*shape, N))
    probabilities[..., np.arange(N), LABELS] += 0.3
    return probabilities / probabilities.sum(-1, keepdims=True)


def certainty(shares: np.ndarray) -> np.ndarray:
    """Every row's label gets the probability of the seed: [seeds, n, k]."""
    probabilities = np.repeat(((1 - shares) / (K - 1))[:, None, None], N, 1).repeat(K, 2)
    probabilities[:, np.arange(N), LABELS] = shares[:, None]
    return probabilities


def test_a_score_is_the_mean_of_the_scores_of_the_seeds() -> None:
    runs = guesses(SEEDS)
    result = evaluate({"both": runs}, *ROWS, 100, baseline=guesses())
    singles = [evaluate({"both": run}, *ROWS, 100)["both"] for run in runs]
    for culture, group in result["both"].groups():
        for name in METRICS:
            each = [dict(single.groups())[culture].metrics[name].value for single in singles]
            assert group.by_seed[name] == pytest.approx(each)
            assert group.metrics[name].value == pytest.approx(np.mean(each))
    assert result["baseline"].overall.by_seed == {} == singles[0].overall.by_seed
    assert "resamples of seeds and artworks" in result.protocol["interval"]
    assert np.sum(result.confusion.overall) == SEEDS * N
    assert sum(result.reliability.overall.support) == SEEDS * N


def test_one_seed_and_equal_seeds_have_the_interval_of_a_single_run() -> None:
    run = guesses()
    single = evaluate({"both": run}, *ROWS, 200)["both"]
    assert evaluate({"both": run[None]}, *ROWS, 200)["both"] == single
    # were artworks drawn anew for each seed, this interval would be narrower by sqrt(6)
    equal = evaluate({"both": np.stack([run] * SEEDS)}, *ROWS, 200)["both"]
    for name, estimate in single.overall.metrics.items():
        same = equal.overall.metrics[name]
        assert (same.low, same.high) == pytest.approx((estimate.low, estimate.high))


def test_where_only_the_seeds_differ_the_interval_is_theirs() -> None:
    shares = np.linspace(0.5, 0.9, 20)
    result = evaluate({"both": certainty(shares)}, *ROWS, 4000)["both"].log_loss
    deviation = np.log(shares).std() / np.sqrt(len(shares))
    assert result.high - result.low == pytest.approx(2 * 1.96 * deviation, rel=0.06)


def test_differences_are_paired_by_seed_and_by_artwork() -> None:
    shares = np.linspace(0.5, 0.9, SEEDS)
    first, second = certainty(shares), certainty(shares * 0.8)
    pairs = [("a", "b")]
    result = evaluate({"a": first, "b": second}, *ROWS, 200, pairs=pairs)
    difference = result.comparison("a", "b").by_group.overall["log_loss"]
    assert difference.value == pytest.approx(np.log(0.8))
    assert (difference.low, difference.high) == pytest.approx((difference.value,) * 2)
    assert result["a"].log_loss.high - result["a"].log_loss.low > 0.1
    # a run of several seeds can be compared with a single one
    mixed = evaluate({"a": first, "b": second[0]}, *ROWS, 200, pairs=pairs)
    value = result["a"].log_loss.value - mixed["b"].log_loss.value
    assert mixed.comparison("a", "b").by_group.overall["log_loss"].value == pytest.approx(value)


def test_the_worst_served_culture_is_that_of_the_mean() -> None:
    runs = guesses(SEEDS)
    result = evaluate({"both": runs}, *ROWS, 100)["both"]
    gap = culture_gaps({"both": runs}, *ROWS, 100)["both"]["log_loss"]
    assert gap.difference.value == pytest.approx(
        result[gap.worst].log_loss.value - result[gap.best].log_loss.value
    )
    assert gap.difference.value > 0


def test_scores_of_seeds_survive_json() -> None:
    result = evaluate({"both": guesses(SEEDS)}, *ROWS, 50)
    assert EvaluationResult.from_json(json.loads(to_json_text(result.to_json()))) == result
