"""Metrics against values worked out by hand, and properties of their intervals."""

import json

import numpy as np
import pytest

from artaffect.errors import NotFittedError
from artaffect.metrics.baseline import PriorBaseline
from artaffect.metrics.bootstrap import Estimate, bootstrap_sums
from artaffect.metrics.classification import (
    METRICS,
    accuracy,
    brier_score,
    confusion,
    expected_calibration_error,
    hamming_accuracy,
    log_loss,
    macro_f1,
    sum_by_artwork,
)
from artaffect.metrics.evaluation import EvaluationResult, evaluate
from tests.absent import run_without

RNG = np.random.default_rng(0)
EMOTIONS = RNG.integers(0, 9, 400)
ANSWERS = RNG.dirichlet(np.ones(9), 400)
CULTURES = RNG.choice(np.array(["english", "arabic", "chinese"], object), 400)
ARTWORKS = RNG.integers(0, 40, 400)


def certain(labels: list[int], classes: int = 3) -> np.ndarray:
    return np.eye(classes)[labels]


def test_by_hand() -> None:
    truth = np.array([0, 0, 1, 2])
    predicted = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3]])
    assert accuracy(truth, predicted) == 0.5
    assert brier_score(np.array([1]), np.array([[0.5, 0.3, 0.2]])) == pytest.approx(0.78)
    assert log_loss(truth, predicted) == pytest.approx(-np.log([0.6, 0.2, 0.8, 0.3]).mean())
    # class 0: hit 1, said 2, true 2 -> 1/2; class 1: hit 1, said 2, true 1 -> 2/3; class 2: 0
    assert macro_f1(truth, predicted) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    # confidences .6 (right), .7 (wrong), .8 (right), .5 (wrong), each in a bin of its own
    assert expected_calibration_error(truth, predicted) == pytest.approx(
        (0.4 + 0.7 + 0.2 + 0.5) / 4
    )
    assert confusion(truth, predicted).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


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
    sums = sum_by_artwork([ANSWERS], EMOTIONS, ARTWORKS, 40)
    functions = {
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "log_loss": log_loss,
        "brier": brier_score,
        "calibration_error": expected_calibration_error,
    }
    assert set(functions) == set(METRICS)
    for name, function in functions.items():
        whole = METRICS[name].value(sums[name][0].sum(0))
        assert whole == pytest.approx(function(EMOTIONS, ANSWERS))


def test_bootstrap_resamples_artworks_not_captions() -> None:
    sums = METRICS["accuracy"].sums(EMOTIONS, ANSWERS, ARTWORKS, 40)
    resamples = np.concatenate(list(bootstrap_sums(sums, 200)))
    assert resamples.shape == (200, sums.shape[1])
    sizes = np.bincount(ARTWORKS, minlength=40)
    # the rows of a resample are the sizes of 40 artworks drawn with replacement, not always 400
    assert resamples[:, 0].std() == pytest.approx(np.sqrt(40) * sizes.std(), rel=0.25)
    assert resamples[:, 0].mean() == pytest.approx(400, rel=0.03)


def test_the_interval_of_a_mean_has_the_right_width() -> None:
    """Against the textbook: independent paintings of one caption, accuracy one half."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 1000)
    result = evaluate({"m": certain([0] * 1000, 2)}, truth, np.array(["x"] * 1000), np.arange(1000))
    low, high = result["m"].accuracy.interval
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(1000), rel=0.15)


def test_differences_are_paired() -> None:
    result = evaluate({"caption": ANSWERS, "both": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS)
    comparison = result.comparison("both", "caption")
    assert (comparison.first, comparison.second) == ("both", "caption")
    for _, differences in comparison.by_group.groups():
        assert all((d.value, d.low, d.high) == (0, 0, 0) for d in differences.values())
    better = 0.5 * ANSWERS + 0.5 * np.eye(9)[EMOTIONS]
    result = evaluate({"caption": ANSWERS, "both": better}, EMOTIONS, CULTURES, ARTWORKS)
    gain = result.comparison("both", "caption").by_group.overall["log_loss"]
    assert gain.high < 0
    with pytest.raises(KeyError, match="'caption' was not compared with 'both'; known comparisons"):
        result.comparison("caption", "both")


def test_groups_are_the_cultures_and_supports_add_up() -> None:
    result = evaluate({"m": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS, n_resamples=20)
    scores = result["m"]
    assert list(scores) == ["arabic", "chinese", "english"]
    assert sum(scores[culture].support for culture in scores) == scores.support == 400
    assert sum(map(sum, result.confusion.overall)) == 400
    mask = CULTURES == "arabic"
    assert scores["arabic"].accuracy.value == accuracy(EMOTIONS[mask], ANSWERS[mask])


def test_a_culture_named_overall_does_not_replace_the_whole() -> None:
    cultures = np.where(CULTURES == "arabic", "overall", CULTURES)
    result = evaluate({"m": ANSWERS}, EMOTIONS, cultures, ARTWORKS, n_resamples=5)
    assert result["m"].support == 400
    assert result["m"]["overall"].support == (CULTURES == "arabic").sum()
    rows = result.to_frame()
    assert set(rows.culture) == {"overall (all rows)", "overall", "chinese", "english"}


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    result = evaluate({"m": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS, n_resamples=5, baseline=ANSWERS)
    with pytest.raises(KeyError, match="no model 'both'; known models: 'baseline', 'm'"):
        result["both"]
    with pytest.raises(KeyError, match="no culture 'french'; known cultures: 'arabic', 'chinese'"):
        result["m"]["french"]
    with pytest.raises(AttributeError, match="no metric 'recall'; known metrics: accuracy"):
        result["m"].recall  # noqa: B018


def test_the_baseline_is_beside_the_models_and_a_model_may_have_its_name() -> None:
    result = evaluate(
        {"baseline": ANSWERS, "m": ANSWERS},
        EMOTIONS,
        CULTURES,
        ARTWORKS,
        n_resamples=5,
        baseline=np.full_like(ANSWERS, 1 / 9),
    )
    assert result.baseline is not None
    assert result.baseline.log_loss.value == pytest.approx(np.log(9))
    assert result["baseline"] == result["m"]
    assert list(dict(result.scores())) == ["constant baseline", "baseline", "m"]


def test_confusion_belongs_to_the_first_model_of_the_first_pair() -> None:
    models = {"a": ANSWERS, "b": np.eye(9)[EMOTIONS]}
    arrays = (EMOTIONS, CULTURES, ARTWORKS)
    assert evaluate(models, *arrays, n_resamples=5, pairs=[("a", "b")]).detailed == "a"
    result = evaluate(models, *arrays, n_resamples=5)
    assert result.detailed == "b"
    assert np.trace(result.confusion.overall) == 400


def test_a_frame_has_one_row_for_each_model_culture_and_metric() -> None:
    result = evaluate(
        {"both": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS, n_resamples=5, baseline=ANSWERS
    )
    frame = result.to_frame()
    assert list(frame.columns) == ["model", "culture", "metric", "value", "low", "high", "support"]
    assert len(frame) == 2 * 4 * len(METRICS)
    row = frame[
        (frame.model == "both") & (frame.culture == "arabic") & (frame.metric == "macro_f1")
    ].iloc[0]
    assert (row.value, row.low, row.high) == (
        result["both"]["arabic"].macro_f1.value,
        *result["both"]["arabic"].macro_f1.interval,
    )


def test_a_frame_without_pandas_names_what_to_install() -> None:
    code = """
import numpy as np
from artaffect.metrics.evaluation import evaluate
result = evaluate({"m": np.eye(2)}, np.array([0, 1]), np.array(["x", "y"]), np.arange(2))
try:
    result.to_frame()
except ImportError as error:
    print(error)
"""
    done = run_without(["pandas"], code)
    assert done.stdout == "to_frame() needs pandas: pip install pandas\n", done.stderr


def test_results_are_readable() -> None:
    result = evaluate({"<b>": ANSWERS}, EMOTIONS, CULTURES, ARTWORKS, n_resamples=5)
    assert repr(result).startswith("EvaluationResult: 400 rows of 40 artworks")
    assert f"{result['<b>'].accuracy:.3f}" in repr(result)
    assert repr(result["<b>"]).splitlines()[2].startswith("overall")
    html = result._repr_html_()
    assert "&lt;b&gt;" in html and "<b>" not in html and '<th scope="col">macro-F1</th>' in html
    assert repr(Estimate(0.5, 0.4, 0.6)) == "Estimate(0.5000 [0.4000, 0.6000])"


def test_results_survive_json() -> None:
    result = evaluate(
        {"caption": ANSWERS, "both": ANSWERS},
        EMOTIONS,
        CULTURES,
        ARTWORKS,
        n_resamples=5,
        baseline=ANSWERS,
    )
    again = EvaluationResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again == result
    assert again["both"].log_loss.value == pytest.approx(log_loss(EMOTIONS, ANSWERS))


def test_no_rows_and_uneven_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="arrays of one length"):
        evaluate({"m": ANSWERS[:5]}, EMOTIONS, CULTURES, ARTWORKS)
    with pytest.raises(ValueError, match="no rows"):
        accuracy(np.array([], int), np.zeros((0, 9)))


def test_the_baseline_predicts_each_cultures_prior() -> None:
    emotions = np.array([1, 1, 1, 6])
    cultures = np.array(["english", "english", "arabic", "arabic"], object)
    baseline = PriorBaseline(9, smoothing=0).fit(emotions, cultures)
    answers = baseline.predict_proba(np.array(["arabic", "english", "klingon"], object))
    assert answers[0, 1] == answers[0, 6] == 0.5
    assert answers[1, 1] == 1
    assert answers[2].tolist() == baseline.prior_.tolist()
    np.testing.assert_allclose(answers.sum(1), 1)


def test_an_unfitted_baseline_says_so() -> None:
    with pytest.raises(NotFittedError, match="call fit first"):
        PriorBaseline(9).predict_proba(np.array(["english"]))
