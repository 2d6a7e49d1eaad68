"""No certainty without evidence: intervals and sentences need artworks behind them."""

import json

import numpy as np
import pytest

from artaffect.metrics.bootstrap import MIN_ARTWORKS, Estimate, mean_estimate, ratio_estimates
from artaffect.metrics.evaluation import EvaluationResult, culture_gaps, evaluate
from artaffect.reports.findings import protocol_line
from artaffect.runtime import to_json_text

PROTOCOL = {"split": "test", "baseline": "the prior", "rows_without_image": 0}


def scored(artworks: np.ndarray, cultures: np.ndarray | None = None) -> EvaluationResult:
    """Two models and a third one that is the first again, on rows of the given artworks."""
    rng = np.random.default_rng(0)
    n = len(artworks)
    first, second = rng.dirichlet(np.ones(4), n), rng.dirichlet(np.ones(4), n)
    return evaluate(
        {"both": first, "caption": second, "image": first.copy()},
        rng.integers(0, 4, n),
        np.full(n, "arabic", object) if cultures is None else cultures,
        artworks,
        200,
    )


def test_one_artwork_has_no_interval() -> None:
    result = scored(np.zeros(8, int))
    for estimate in result["both"].overall.metrics.values():
        assert np.isfinite(estimate.value) and not estimate.has_interval
        assert f"{estimate:.3f}" == f"{estimate.value:.3f}", "the value stands alone"
    assert not result.comparison("both", "caption").by_group.overall["accuracy"].has_interval
    text = to_json_text(result.to_json())
    assert json.loads(text, parse_constant=pytest.fail)["models"]["both"]["overall"]["metrics"][
        "accuracy"
    ] == {"value": result["both"].accuracy.value, "low": None, "high": None}
    again = EvaluationResult.from_json(json.loads(text))
    assert not again["both"].accuracy.has_interval
    assert to_json_text(again.to_json()) == text


def test_identical_models_differ_by_exactly_nothing() -> None:
    difference = scored(np.arange(40)).comparison("both", "image").by_group.overall
    assert set(difference.values()) == {Estimate(0.0, 0.0, 0.0)}


def test_a_resample_without_rows_of_a_group_does_not_count_for_it() -> None:
    values = np.full((40, 1), 0.5)
    counts = np.zeros((40, 1))
    counts[:2] = (
        1  # most resamples have none of these two, and a mean of nothing is no mean of zero
    )
    (estimate,) = ratio_estimates(values * counts, counts)
    assert estimate.interval == (0.5, 0.5)
    counts[1] = 0
    (estimate,) = ratio_estimates(values * counts, counts)
    assert not estimate.has_interval


def test_the_gap_to_a_culture_of_one_artwork_has_no_interval() -> None:
    artworks = np.concatenate([np.arange(40), [0]])
    cultures = np.array(["english"] * 40 + ["arabic"], object)
    rng = np.random.default_rng(0)
    predictions = {"both": rng.dirichlet(np.ones(4), 41)}
    gaps = culture_gaps(predictions, rng.integers(0, 4, 41), cultures, artworks, 100)
    assert not any(gap.difference.has_interval for gap in gaps["both"].values())


def test_an_interval_contains_its_value() -> None:
    rng = np.random.default_rng(0)
    biased = Estimate.from_resamples(0.02, rng.normal(0.09, 0.01, 1000))
    assert biased.low < 0.02 < biased.high and biased.high - biased.low < 0.06
    plain = rng.normal(0.02, 0.01, 1000)
    unbiased = Estimate.from_resamples(0.02, plain)
    assert unbiased.interval == tuple(np.quantile(plain, [0.025, 0.975])), "left as it is"


def test_the_interval_of_a_calibrated_model_contains_its_calibration_error() -> None:
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(4), 60)
    labels = np.array([rng.choice(4, p=p) for p in probabilities])
    cultures = np.full(60, "arabic", object)
    result = evaluate({"both": probabilities}, labels, cultures, np.arange(60), 500)
    for estimate in result["both"].overall.metrics.values():
        assert estimate.low <= estimate.value <= estimate.high


def test_too_few_artworks_are_told_beside_the_figures() -> None:
    few = scored(np.arange(8))
    few = EvaluationResult(**{**vars(few), "protocol": {**few.protocol, **PROTOCOL}})
    assert "8 paintings are too few to conclude anything" in protocol_line(few)
    cultures = np.array(["english"] * 40 + ["arabic"] * 3, object)
    one_small = scored(np.arange(43), cultures)
    one_small = EvaluationResult(
        **{**vars(one_small), "protocol": {**one_small.protocol, **PROTOCOL}}
    )
    line = protocol_line(one_small)
    assert "Too few paintings to conclude anything about arabic (3)" in line
    assert "english" not in line and str(MIN_ARTWORKS) in line


def test_the_mean_of_one_artwork_stands_alone() -> None:
    assert f"{mean_estimate(np.array([0.25])):+.3f}" == "+0.250"
    assert f"{-mean_estimate(np.array([0.25])):+.3f}" == "-0.250"
