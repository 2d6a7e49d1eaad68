"""The scores of the shared task against figures worked out by hand."""

import numpy as np
import pytest

from artaffect.shared_task.items import ShareItems
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.scorer import (
    hierarchical_weights,
    score_emotions,
    score_shares,
    share_divergence,
)

RULES = SharedTaskRules()


def share_items(rows: list[tuple[str, str, float, str, float]]) -> ShareItems:
    columns = list(zip(*rows, strict=True))
    return ShareItems(
        np.array(columns[0], object),
        np.array(columns[1], object),
        np.array(columns[2]),
        np.array(columns[3], object),
        np.array(columns[4]),
    )


def test_macro_f1_is_averaged_over_languages_and_not_over_captions() -> None:
    labels = ["awe", "awe", "fear", "fear", "awe"]
    predictions = ["awe", "fear", "fear", "fear", "awe"]
    languages = ["Hausa"] * 4 + ["Thai"]
    scores = score_emotions(labels, predictions, languages, RULES)
    # Hausa: awe 2·1/(2+1), fear 2·2/(2+3); Thai: awe 1
    hausa = (2 / 3 + 4 / 5) / 2
    assert scores.languages["Hausa"].macro_f1 == pytest.approx(hausa)
    assert scores.languages["Hausa"].weighted_f1 == pytest.approx((2 * 2 / 3 + 2 * 4 / 5) / 4)
    assert scores.languages["Hausa"].accuracy == 0.75
    assert scores.mean.macro_f1 == pytest.approx((hausa + 1) / 2)
    assert (scores.mean.accuracy, scores.mean.items) == (pytest.approx((0.75 + 1) / 2), 5)
    assert scores.regions == {"southeast asia": 1, "west africa": pytest.approx(hausa)}


def test_a_label_that_a_language_lacks_is_skipped_or_counts_as_zero() -> None:
    scores = score_emotions(["awe"], ["awe"], ["Thai"], RULES)
    assert scores.mean.macro_f1 == 1
    scores = score_emotions(["awe"], ["awe"], ["Thai"], SharedTaskRules(absent_labels="zero"))
    assert scores.mean.macro_f1 == pytest.approx(1 / 8)


def test_the_older_rules_have_two_labels() -> None:
    rules = SharedTaskRules(labels="sentiment")
    scores = score_emotions(["positive", "negative"], ["positive"] * 2, ["Thai"] * 2, rules)
    assert scores.mean.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_the_divergence_of_shares_equals_one_worked_out_by_hand() -> None:
    # the mean of (1, 0) and (1/2, 1/2) is (3/4, 1/4)
    entropy = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert share_divergence(np.array([1.0]), np.array([0.5]))[0] == pytest.approx(entropy - 0.5)
    assert share_divergence(np.array([1.0]), np.array([0.0]))[0] == 1
    assert share_divergence(np.array([0.3]), np.array([0.3]))[0] == 0
    distance = share_divergence(np.array([1.0]), np.array([0.5]), square_root=True)[0]
    assert distance == pytest.approx((entropy - 0.5) ** 0.5)


def test_divergences_are_averaged_over_a_pair_then_a_target_then_all_targets() -> None:
    items = share_items(
        [
            ("a", "English", 1.0, "Hausa", 0.0),  # copy: 1
            ("b", "English", 1.0, "Hausa", 1.0),  # copy: 0 -> the pair 1/2
            ("a", "Thai", 0.0, "Hausa", 0.0),  # copy: 0 -> Hausa (1/2 + 0) / 2 = 1/4
            ("a", "Hausa", 0.0, "Thai", 1.0),  # copy: 1 -> Thai 1
        ]
    )
    scores = score_shares(items, items.source_shares, RULES)
    assert scores.targets == {"Hausa": pytest.approx(0.25), "Thai": pytest.approx(1)}
    assert scores.divergence == pytest.approx((0.25 + 1) / 2)
    assert (scores.items, scores.pairs) == (4, 3)
    assert np.isnan(scores.pearson), "copying predicts no shift"
    assert hierarchical_weights(items).sum() == pytest.approx(1)
    rules = SharedTaskRules(use_jensen_shannon_distance=True)
    assert score_shares(items, items.source_shares, rules).targets["Thai"] == pytest.approx(1)


def test_the_score_of_copying_equals_a_direct_computation() -> None:
    rng = np.random.default_rng(0)
    names = ["English", "Hausa", "Thai", "Igbo"]
    rows = [
        (f"p{i}", s, float(rng.integers(6)) / 5, t, float(rng.integers(6)) / 5)
        for i in range(12)
        for s in names
        for t in names
        if s != t and rng.random() < 0.7
    ]
    by_target: dict[str, dict[str, list[float]]] = {}
    for _, source, p, target, q in rows:
        m = (p + q) / 2
        terms = [
            0.5 * x * np.log2(x / y)
            for x, y in ((p, m), (1 - p, 1 - m), (q, m), (1 - q, 1 - m))
            if x > 0
        ]
        by_target.setdefault(target, {}).setdefault(source, []).append(sum(terms))
    direct = np.mean(
        [np.mean([np.mean(values) for values in row.values()]) for row in by_target.values()]
    )
    items = share_items(rows)
    assert score_shares(items, items.source_shares, RULES).divergence == pytest.approx(direct)


def test_a_shift_that_is_predicted_exactly_has_a_correlation_of_one() -> None:
    items = share_items(
        [("a", "x", 0.2, "y", 0.8), ("b", "x", 0.9, "y", 0.1), ("c", "x", 0.5, "y", 0.6)]
    )
    assert items.target_shares is not None
    assert score_shares(items, items.target_shares, RULES).pearson == pytest.approx(1)
