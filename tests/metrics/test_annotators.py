"""What annotators agree on, and how models answer them: values worked out by hand or elsewhere."""

import krippendorff
import numpy as np
import pytest

from artaffect.labels import EMOTIONS, LabelSet
from artaffect.metrics.annotators import (
    annotator_agreement,
    krippendorff_alpha,
    perspectivist_scores,
    soft_scores,
)

TEXTBOOK = """
1 2 3 3 2 1 4 1 2 . . .
1 2 3 3 2 2 4 1 2 5 . 3
. 3 3 3 2 3 4 2 2 5 1 .
1 2 3 3 2 4 4 1 2 5 1 .
"""
"""Four observers in rows, twelve units in columns (Krippendorff 2011)."""


def textbook() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, units and observers."""
    table = np.array(TEXTBOOK.replace(".", "0").split(), int).reshape(4, 12)
    observer, unit = np.nonzero(table)
    return table[observer, unit] - 1, unit, observer


def as_counts(labels: np.ndarray, units: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(units * k + labels, minlength=(units.max() + 1) * k).reshape(-1, k)


def test_alpha_of_the_textbook_example_is_as_printed() -> None:
    labels, units, observers = textbook()
    alpha = krippendorff_alpha(as_counts(labels, units, 5))
    assert alpha.value == pytest.approx(0.743, abs=5e-4)
    assert alpha.low < alpha.value < alpha.high
    groups = annotator_agreement(labels, np.full(len(labels), "x"), units, observers, 5)
    assert groups is not None and list(groups.by_culture) == ["x"]
    group = groups.by_culture["x"]
    assert group.alpha == alpha and group.consistency is None
    assert (group.annotators, group.votes, group.artworks) == (4, 41, 11)


@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_that_of_the_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(1, rng.dirichlet(np.ones(4)), (30, 6)).sum(1)
    counts[rng.random(30) < 0.3] = [1, 0, 0, 0]  # of one annotator: no pair
    expected = krippendorff.alpha(value_counts=counts, level_of_measurement="nominal")
    assert krippendorff_alpha(counts).value == pytest.approx(expected)


def test_alpha_is_undefined_where_nobody_can_disagree() -> None:
    for counts in ([[3, 0], [2, 0]], [[1, 0], [0, 1]], np.zeros((0, 2), int)):
        assert np.isnan(krippendorff_alpha(np.array(counts)).value)
    assert krippendorff_alpha(np.array([[2, 0], [0, 2]])).value == 1


def test_alpha_counts_an_annotator_once_for_an_artwork() -> None:
    labels, units, observers = textbook()
    again = np.tile(
        [4, 0, 0], (3, 1)
    ).T  # the first observer labels the first unit three times more
    repeated = [np.concatenate([a, b]) for a, b in zip((labels, units, observers), again)]  # noqa: B905
    cultures = np.full(len(repeated[0]), "x")
    groups = annotator_agreement(repeated[0], cultures, *repeated[1:], 5)
    assert groups is not None
    assert groups.overall.alpha.value == pytest.approx(0.743, abs=5e-4)
    own = groups.overall.consistency
    # one label 1 and three labels 5: of six pairs, three are equal
    assert own is not None and own.share.value == pytest.approx(0.5)
    assert (own.pairs, own.artworks, own.annotators) == (6, 1, 1)


def test_rows_without_an_annotator_are_left_out_and_without_any_there_is_no_agreement() -> None:
    labels, units, observers = textbook()
    labels, units = np.append(labels, 0), np.append(units, 2)
    cultures = np.full(len(labels), "x")
    groups = annotator_agreement(labels, cultures, units, np.append(observers, -1), 5)
    assert groups is not None and groups.overall.alpha.value == pytest.approx(0.743, abs=5e-4)
    nobody = np.full(len(labels), -1)
    assert annotator_agreement(labels, cultures, units, nobody, 5) is None
    assert perspectivist_scores({"m": np.eye(5)[labels]}, labels, cultures, nobody) == {}


def test_every_annotator_counts_alike_in_the_perspectivist_evaluation() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    annotators = np.array([7, 7, 7, 8, 9])
    cultures = np.array(["a", "a", "a", "a", "b"])
    model = np.eye(2)[[0, 0, 1, 1, 0]]  # right for two of three, for all, and for none
    scores = perspectivist_scores({"model": model}, labels, cultures, annotators)["model"]
    assert scores.overall.accuracy.value == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert scores.by_culture["a"].accuracy.value == pytest.approx((2 / 3 + 1) / 2)
    assert (scores.overall.annotators, scores.by_culture["b"].annotators) == (3, 1)
    assert scores.by_culture["b"].accuracy.value == 0


def test_soft_scores_compare_with_the_votes_of_every_artwork() -> None:
    awe, fear = EMOTIONS.index("awe"), EMOTIONS.index("fear")
    labels, artworks = np.array([awe, fear, awe]), np.array([0, 0, 1])
    cultures = np.array(["x", "x", "x"])
    certain = np.eye(len(EMOTIONS))[[awe, awe, awe]]
    scores = soft_scores({"m": certain}, labels, cultures, artworks)["m"].overall
    # the first artwork has half of its votes at the other end of the scale, the second none
    assert scores["manhattan_distance"].value == pytest.approx((1 + 0) / 2)
    assert scores["earth_movers_distance"].value == pytest.approx((0.5 + 0) / 2)


def test_without_a_valence_only_the_manhattan_distance_is_left() -> None:
    labels = np.array([0, 1])
    scores = soft_scores(
        {"m": np.full((2, 2), 0.5)}, labels, np.array(["x", "x"]), labels, LabelSet(("p", "q"))
    )
    assert scores["m"].overall.keys() == {"manhattan_distance"}
