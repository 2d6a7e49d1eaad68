"""The scores of the shared task, against figures worked out by hand."""

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


def shares(rows: list[tuple[str, str, float, str, float]]) -> ShareItems:
    columns = list(zip(*rows, strict=True))
    return ShareItems(
        np.array(columns[0], object),
        np.array(columns[1], object),
        np.array(columns[2]),
        np.array(columns[3], object),
        np.array(columns[4]),
    )


def test_macro_f1_is_averaged_over_languages_not_over_captions() -> None:
    labels = ["awe", "awe", "fear", "fear", "awe"]
    said = ["awe", "fear", "fear", "fear", "awe"]
    languages = ["Hausa"] * 4 + ["Thai"]
    found = score_emotions(labels, said, languages, RULES)
    # Hausa: awe 2·1/(2+1), fear 2·2/(2+3); Thai: awe 1
    hausa = (2 / 3 + 4 / 5) / 2
    assert found.languages["Hausa"].macro_f1 == pytest.approx(hausa)
    assert found.languages["Hausa"].weighted_f1 == pytest.approx((2 * 2 / 3 + 2 * 4 / 5) / 4)
    assert found.languages["Hausa"].accuracy == 0.75
    assert found.mean.macro_f1 == pytest.approx((hausa + 1) / 2)
    assert found.regions == {"southeast asia": 1, "west africa": pytest.approx(hausa)}


def test_a_label_that_a_language_lacks_is_left_out_or_counted_as_the_rules_say() -> None:
    found = score_emotions(["awe"], ["awe"], ["Thai"], RULES)
    assert found.mean.macro_f1 == 1
    found = score_emotions(["awe"], ["awe"], ["Thai"], SharedTaskRules(absent_labels="zero"))
    assert found.mean.macro_f1 == pytest.approx(1 / 8)


def test_the_older_form_has_two_labels() -> None:
    rules = SharedTaskRules(labels="sentiment")
    found = score_emotions(["positive", "negative"], ["positive"] * 2, ["Thai"] * 2, rules)
    assert found.mean.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_a_divergence_by_hand() -> None:
    # certain against even: the middle is (3/4, 1/4)
    middle = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert share_divergence(np.array([1.0]), np.array([0.5]))[0] == pytest.approx(middle - 0.5)
    assert share_divergence(np.array([1.0]), np.array([0.0]))[0] == 1
    assert share_divergence(np.array([0.3]), np.array([0.3]))[0] == 0
    assert share_divergence(np.array([1.0]), np.array([0.5]), root=True)[0] == pytest.approx(
        (middle - 0.5) ** 0.5
    )


def test_divergences_are_averaged_by_pair_then_by_target_then_over_targets() -> None:
    items = shares(
        [
            ("a", "English", 1.0, "Hausa", 0.0),  # copy: 1
            ("b", "English", 1.0, "Hausa", 1.0),  # copy: 0 -> the pair 1/2
            ("a", "Thai", 0.0, "Hausa", 0.0),  # copy: 0 -> Hausa (1/2 + 0) / 2 = 1/4
            ("a", "Hausa", 0.0, "Thai", 1.0),  # copy: 1 -> Thai 1
        ]
    )
    found = score_shares(items, items.source_shares, RULES)
    assert found.targets == {"Hausa": pytest.approx(0.25), "Thai": pytest.approx(1)}
    assert found.divergence == pytest.approx((0.25 + 1) / 2)
    assert (found.items, found.pairs) == (4, 3)
    assert np.isnan(found.pearson), "copying predicts no shift"
    assert hierarchical_weights(items).sum() == pytest.approx(1)


def test_copying_scores_what_a_direct_computation_gives() -> None:
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
    items = shares(rows)
    assert score_shares(items, items.source_shares, RULES).divergence == pytest.approx(direct)


def test_the_shift_that_is_foreseen_correlates() -> None:
    items = shares(
        [("a", "x", 0.2, "y", 0.8), ("b", "x", 0.9, "y", 0.1), ("c", "x", 0.5, "y", 0.6)]
    )
    assert items.shares is not None
    assert score_shares(items, items.shares, RULES).pearson == pytest.approx(1)
