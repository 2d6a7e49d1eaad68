"""Conformal sets hold the true label as often as their level says, culture by culture."""

from typing import Any

import numpy as np
import pytest

from artaffect.metrics.conformal import (
    MAX_VALUES,
    ConformalScores,
    InputScores,
    ScoreName,
    SortedScores,
    adaptive,
    label_scores,
    rows_needed,
    score_sets,
)

LABELS = 5


def draw(rows: int, seed: int, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [n, k] and labels [n]; with a noise other than 1 the model is over- or underconfident."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(rows, LABELS))

    def softmax(values: np.ndarray) -> np.ndarray:
        weights = np.exp(values)
        return weights / weights.sum(1, keepdims=True)

    true = softmax(logits / noise)
    labels = (rng.random(rows)[:, None] > true.cumsum(1)).sum(1).clip(0, LABELS - 1)
    return softmax(logits), labels


def fitted(
    probabilities: np.ndarray,
    labels: np.ndarray,
    cultures: np.ndarray,
    score: ScoreName = "lac",
) -> ConformalScores:
    own = label_scores(probabilities, score)[np.arange(len(labels)), labels]
    masks = {str(name): cultures == name for name in np.unique(cultures)}
    return ConformalScores(score, {"both": InputScores.from_scores(own, own, masks)})


def coverage(members: np.ndarray, labels: np.ndarray) -> float:
    return float(members[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.98])
@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_the_level_is_reached_on_average_over_exchangeable_rows(
    score: ScoreName, level: float, noise: float
) -> None:
    reached = []
    for seed in range(60):
        probabilities, labels = draw(2_600, seed, noise)
        everywhere = np.full(600, "a")
        conformal = fitted(probabilities[:600], labels[:600], everywhere, score)
        members = conformal.members("both", probabilities[600:], ["a"] * 2_000, level)
        reached.append(coverage(members, labels[600:]))
        assert members.any(1).all(), "no set is empty"
        assert members[np.arange(2_000), probabilities[600:].argmax(1)].all()
    error = np.std(reached) / np.sqrt(len(reached))
    assert np.mean(reached) >= level - 3 * error
    # without ties, coverage exceeds the level by at most 1 / (n + 1), and thinning adds 1 / MAX_VALUES
    if np.mean(reached) > level + 1 / 601 + 1 / MAX_VALUES + 3 * error:
        assert members.sum(1).mean() in (1, LABELS), "only ties, of the first labels or the last"


def test_each_culture_reaches_the_level_where_a_common_threshold_does_not() -> None:
    easy, hard = draw(12_000, 1, 0.3), draw(12_000, 2, 3.0)
    probabilities, labels = (np.concatenate(pair) for pair in zip(easy, hard, strict=True))
    cultures = np.repeat(["easy", "hard"], 12_000)
    odd = np.arange(len(labels)) % 2 == 1
    conformal = fitted(probabilities[odd], labels[odd], cultures[odd])
    own = conformal.members("both", probabilities[~odd], cultures[~odd], 0.9)
    common = conformal.members("both", probabilities[~odd], ["new"] * 12_000, 0.9)
    hard_rows = cultures[~odd] == "hard"
    assert coverage(own[hard_rows], labels[~odd][hard_rows]) == pytest.approx(0.9, abs=0.015)
    assert coverage(own[~hard_rows], labels[~odd][~hard_rows]) >= 0.885
    assert coverage(common[hard_rows], labels[~odd][hard_rows]) < 0.87
    assert own[hard_rows].sum(1).mean() > own[~hard_rows].sum(1).mean()


def test_a_culture_with_too_few_rows_for_the_level_takes_the_common_threshold() -> None:
    probabilities, labels = draw(400, 3)
    cultures = np.array(["few"] * 99 + ["many"] * 301)
    scores = fitted(probabilities, labels, cultures).inputs["both"]
    assert rows_needed(0.9) == 100
    few, many = scores.threshold("few", 0.9), scores.threshold("many", 0.9)
    assert (few.basis, few.own_rows) == ("all cultures", 99)
    assert few.value == scores.all_cultures.quantile(0.9)
    assert (many.basis, many.value) == ("culture", scores.by_culture["many"].quantile(0.9))
    assert scores.threshold("few", 0.85).basis == "culture", "enough rows for a lower level"
    assert scores.threshold("many", 0.97).basis == "all cultures"
    assert scores.threshold("new", 0.5).value == scores.any_culture.quantile(0.5)
    beyond = scores.threshold("many", 0.999)
    assert beyond.basis == "none" and np.isinf(beyond.value), "400 rows cannot promise so much"


def test_the_quantile_is_that_of_rank_n_plus_one_times_the_level() -> None:
    scores = SortedScores.from_scores(np.array([0.9, 0.1, 0.3, 0.5, 0.7, 0.2, 0.4, 0.6, 0.8]))
    assert scores.quantile(0.9) == 0.9, "rank ceil(10 * 0.9) = 9 of 9"
    assert scores.quantile(0.5) == 0.5
    assert scores.quantile(0.51) == 0.6
    assert np.isinf(scores.quantile(0.91))
    assert np.isinf(SortedScores.from_scores(np.zeros(0)).quantile(0.1))


def test_thinned_scores_give_no_lower_threshold_and_hardly_a_higher_one() -> None:
    values = np.random.default_rng(0).random(12_345)
    thin = SortedScores.from_scores(values)
    assert len(thin.values) == MAX_VALUES and thin.rows == len(values)
    for level in np.linspace(0.01, 0.99, 197):
        exact = np.sort(values)[int(np.ceil((len(values) + 1) * level - 1e-9)) - 1]
        kept = thin.quantile(float(level))
        assert exact <= kept
        assert (values <= kept).mean() <= level + 1 / MAX_VALUES + 2 / len(values)


def test_an_adaptive_score_is_the_probability_of_the_label_and_of_likelier_ones() -> None:
    probabilities = np.array([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(adaptive(probabilities), [[1.0, 0.5, 0.8]])
    np.testing.assert_allclose(label_scores(probabilities, "aps"), [[1.0, 0.0, 0.8]])
    np.testing.assert_allclose(label_scores(probabilities), [[0.8, 0.0, 0.7]])


def test_scores_survive_json_and_give_the_same_sets() -> None:
    probabilities, labels = draw(1_500, 4)
    cultures = np.repeat(["a", "b", "c"], 500)
    conformal = fitted(probabilities, labels, cultures, "aps")
    again = ConformalScores.from_json(conformal.to_json())
    assert again == conformal
    for level in (0.3, 0.9):
        before, after = (
            c.members("both", probabilities, cultures, level) for c in (conformal, again)
        )
        np.testing.assert_array_equal(before, after)
    with pytest.raises(KeyError, match="image"):
        again.threshold("image", "a", 0.9)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"rows": 2, "values": [0.2, 0.1]}, "rising order"),
        ({"rows": 1, "values": [0.1, 0.2]}, "2 scores do not fit 1 rows"),
        ({"rows": 3, "values": []}, "0 scores do not fit 3 rows"),
        ({"rows": -1, "values": []}, "greater than or equal to 0"),
        ({"rows": 1, "values": [1.5]}, "less than or equal to 1"),
        ({"rows": 1, "values": ["a"]}, "valid number"),
        ({"rows": 1000, "values": [0.5] * 501}, "at most 500"),
        ({"rows": 1, "values": [0.5], "code": ""}, "nexpected keyword"),
    ],
)
def test_scores_that_cannot_be_are_refused(scores: dict[str, Any], reason: str) -> None:
    good = {"rows": 0, "values": []}
    inputs = {"both": {"any_culture": scores, "all_cultures": good, "by_culture": {}}}
    with pytest.raises(ValueError, match=reason):
        ConformalScores.from_json({"score": "lac", "inputs": inputs})


def test_coverage_and_size_are_means_over_rows_with_an_interval_over_artworks() -> None:
    members = np.array([[True, False], [True, True], [False, True], [True, True]])
    scores = score_sets(members, np.array([0, 0, 0, 1]), np.array([7, 7, 8, 9]), "culture")
    assert (scores.coverage.value, scores.size.value) == (0.75, 1.5)
    assert (scores.support, scores.artworks, scores.basis) == (4, 3, "culture")
    assert scores.coverage.low < 0.75 < scores.coverage.high
    alone = score_sets(members, np.array([0, 0, 0, 1]), np.zeros(4))
    assert not alone.coverage.has_interval
