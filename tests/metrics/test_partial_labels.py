"""Partial labels: counts are spread over a set, and rows are scored by their whole set."""

import numpy as np
import pytest

from artaffect.metrics.baseline import PriorBaseline
from artaffect.metrics.classification import accuracy, log_loss, macro_f1
from artaffect.metrics.partial import score_partial_labels, spread_counts, validation_scores

ONE_OR_TWO = np.array([[True, True, False]])


def test_a_set_is_spread_in_proportion_to_its_labels() -> None:
    spread = spread_counts(np.array([30, 10, 5, 8]), ONE_OR_TWO)
    np.testing.assert_allclose(spread, [36, 12, 5], rtol=1e-6)


def test_each_row_of_counts_keeps_its_sum() -> None:
    rng = np.random.default_rng(0)
    candidates = rng.random((4, 5)) < 0.5
    candidates[:, 0] = True
    counts = rng.integers(0, 20, (7, 9))
    np.testing.assert_allclose(spread_counts(counts, candidates).sum(1), counts.sum(1))


def test_a_label_that_no_row_has_by_itself_still_gets_a_share() -> None:
    np.testing.assert_allclose(spread_counts(np.array([0, 0, 4, 10]), ONE_OR_TWO), [5, 5, 4])


def test_counts_without_partial_labels_are_unchanged() -> None:
    counts = np.array([[3, 1, 0]])
    np.testing.assert_array_equal(spread_counts(counts, np.zeros((0, 3), bool)), counts)


def test_the_baseline_learns_from_partial_labels() -> None:
    labels = np.array([0, 0, 0, 1, 2, 3, 3, 3, 3])
    baseline = PriorBaseline(3, smoothing=0).fit(labels, np.full(9, "c"), ONE_OR_TWO)
    np.testing.assert_allclose(baseline.prior_ * 9, [6, 2, 1], rtol=1e-6)


def test_exact_labels_have_the_usual_validation_scores() -> None:
    rng = np.random.default_rng(1)
    probabilities, labels = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    scores = validation_scores(labels, probabilities, np.zeros((0, 3), bool))
    assert scores["log_loss"] == pytest.approx(log_loss(labels, probabilities), abs=1e-12)
    assert scores["accuracy"] == accuracy(labels, probabilities)
    assert scores["macro_f1"] == macro_f1(labels, probabilities)


def test_a_partial_label_is_scored_by_the_probability_of_its_set() -> None:
    probabilities = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
    scores = validation_scores(np.array([3, 3]), probabilities, ONE_OR_TWO)
    assert scores["log_loss"] == pytest.approx(-np.log([0.5, 0.7]).mean())
    assert scores["accuracy"] == 0.5
    apart = score_partial_labels(
        {"m": probabilities}, np.array([3, 3]), ONE_OR_TWO, np.array(["a", "b"])
    )
    assert apart["m"]["log_loss"].value == pytest.approx(scores["log_loss"])
    assert apart["m"]["accuracy"].value == 0.5
    assert apart["m"]["accuracy"].low <= 0.5 <= apart["m"]["accuracy"].high
