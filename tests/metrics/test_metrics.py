"""Scores against values worked out by hand, and properties of their intervals."""

import json

import numpy as np
import pytest

from artaffect.errors import NotFittedError
from artaffect.metrics.baseline import PriorBaseline
from artaffect.metrics.classification import (
    METRICS,
    accuracy,
    bootstrap_sums,
    brier_score,
    confusion,
    expected_calibration_error,
    hamming_accuracy,
    log_loss,
    macro_f1,
    scores_of_sums,
    sum_by_artwork,
)
from artaffect.metrics.evaluation import EvaluationResult, evaluate

RNG = np.random.default_rng(0)
EMOTIONS = RNG.integers(0, 9, 400)
ANSWERS = RNG.dirichlet(np.ones(9), 400)
CULTURES = RNG.choice(np.array(["english", "arabic", "chinese"], object), 400)
ARTWORKS = RNG.integers(0, 40, 400)


def certain(labels: list[int], classes: int = 3) -> np.ndarray:
    return np.eye(classes)[labels]


def test_by_hand() -> None:
    truth = np.array([0, 0, 1, 2])
    said = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3]])
    assert accuracy(truth, said) == 0.5
    assert brier_score(np.array([1]), np.array([[0.5, 0.3, 0.2]])) == pytest.approx(0.78)
    assert log_loss(truth, said) == pytest.approx(-np.log([0.6, 0.2, 0.8, 0.3]).mean())
    # class 0: hit 1, said 2, true 2 -> 1/2; class 1: hit 1, said 2, true 1 -> 2/3; class 2: 0
    assert macro_f1(truth, said) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    # confidences .6 (right), .7 (wrong), .8 (right), .5 (wrong), each in a bin of its own
    assert expected_calibration_error(truth, said) == pytest.approx((0.4 + 0.7 + 0.2 + 0.5) / 4)
    assert confusion(truth, said).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_perfect_answers() -> None:
    truth = np.array([0, 1, 2, 1])
    assert accuracy(truth, certain([0, 1, 2, 1])) == macro_f1(truth, certain([0, 1, 2, 1])) == 1
    assert log_loss(truth, certain([0, 1, 2, 1])) == 0
    assert expected_calibration_error(truth, certain([0, 1, 2, 1])) == 0


def test_a_class_that_never_occurs_is_left_out_of_macro_f1() -> None:
    assert macro_f1(np.array([0, 1]), certain([0, 1], classes=9)) == 1


def test_an_answer_of_zero_costs_much_but_not_infinitely() -> None:
    assert 20 < log_loss(np.array([1]), certain([0])) < 30


def test_hamming_is_the_share_of_right_bits() -> None:
    felt = np.array([[True, False, True], [False, False, False]])
    assert hamming_accuracy(felt, felt) == 1
    assert hamming_accuracy(felt, np.zeros_like(felt)) == pytest.approx(4 / 6)


def test_sums_per_artwork_add_up_to_the_whole() -> None:
    sums = sum_by_artwork(EMOTIONS, ANSWERS, ARTWORKS, 40)
    whole = scores_of_sums(sums.sum(0))
    for name, function in zip(
        METRICS,
        (accuracy, macro_f1, log_loss, brier_score, expected_calibration_error),
        strict=True,
    ):
        assert whole[name] == pytest.approx(function(EMOTIONS, ANSWERS))


def test_bootstrap_draws_paintings_not_captions() -> None:
    sums = sum_by_artwork(EMOTIONS, ANSWERS, ARTWORKS, 40)
    n_resamples = np.concatenate(list(bootstrap_sums(sums, 200)))
    assert n_resamples.shape == (200, sums.shape[1])
    sizes = np.bincount(ARTWORKS, minlength=40)
    # a draw's rows are the sizes of 40 paintings drawn with replacement, not always 400
    assert n_resamples[:, 0].std() == pytest.approx(np.sqrt(40) * sizes.std(), rel=0.25)
    assert n_resamples[:, 0].mean() == pytest.approx(400, rel=0.03)


def test_the_interval_of_a_mean_has_the_right_width() -> None:
    """Against the textbook: independent paintings of one caption, accuracy one half."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 1000)
    result = evaluate({"m": certain([0] * 1000, 2)}, truth, np.array(["x"] * 1000), np.arange(1000))
    score = result.models["m"]["overall"].metrics["accuracy"]
    assert score.high - score.low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(1000), rel=0.15)


def test_differences_are_paired() -> None:
    result = evaluate({"caption": ANSWERS, "both": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS)
    for scores in result.differences["both - caption"].values():
        assert all((s.value, s.low, s.high) == (0, 0, 0) for s in scores.values())
    better = 0.5 * ANSWERS + 0.5 * np.eye(9)[EMOTIONS]
    result = evaluate({"caption": ANSWERS, "both": better}, EMOTIONS, CULTURES, ARTWORKS)
    gain = result.differences["both - caption"]["overall"]["log_loss"]
    assert gain.high < 0


def test_groups_are_the_cultures_and_supports_add_up() -> None:
    result = evaluate({"m": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS, n_resamples=20)
    groups = result.models["m"]
    assert list(groups) == ["overall", "arabic", "chinese", "english"]
    assert sum(groups[c].support for c in ("arabic", "chinese", "english")) == 400
    assert sum(map(sum, result.confusion["overall"])) == 400
    mine = CULTURES == "arabic"
    assert groups["arabic"].metrics["accuracy"].value == accuracy(EMOTIONS[mine], ANSWERS[mine])


def test_results_survive_json() -> None:
    result = evaluate(
        {"caption": ANSWERS, "both": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS, n_resamples=5
    )
    again = EvaluationResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again == result
    assert again.primary["both"] == pytest.approx(log_loss(EMOTIONS, ANSWERS))


def test_no_rows_and_uneven_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="arrays of one length"):
        evaluate({"m": ANSWERS[:5]}, EMOTIONS, CULTURES, ARTWORKS)
    with pytest.raises(ValueError, match="no rows"):
        accuracy(np.array([], int), np.zeros((0, 9)))


def test_the_baseline_answers_each_cultures_habit() -> None:
    emotions = np.array([1, 1, 1, 6])
    cultures = np.array(["english", "english", "arabic", "arabic"], object)
    baseline = PriorBaseline(smoothing=0).fit(emotions, cultures)
    answers = baseline.predict_proba(np.array(["arabic", "english", "klingon"], object))
    assert answers[0, 1] == answers[0, 6] == 0.5
    assert answers[1, 1] == 1
    assert answers[2].tolist() == baseline.prior_.tolist()
    np.testing.assert_allclose(answers.sum(1), 1)


def test_an_unfitted_baseline_says_so() -> None:
    with pytest.raises(NotFittedError, match="call fit first"):
        PriorBaseline().predict_proba(np.array(["english"]))
