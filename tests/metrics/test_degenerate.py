"""Data that leave nothing to estimate are said to leave nothing: no zero, no certainty, no crash."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from artaffect.metrics.agreement import NoiseCeiling, agreement
from artaffect.metrics.bootstrap import MIN_ARTWORKS, Estimate, mean_estimate, ratio_estimates
from artaffect.metrics.divergence import compare_cultures
from artaffect.metrics.evaluation import evaluate
from artaffect.metrics.votes import Votes
from artaffect.reports.culture_figures import divergence_figures
from artaffect.reports.culture_tables import ceiling_tables, divergence_tables
from artaffect.reports.figures import short
from artaffect.reports.findings import _ceilings, _cultures, _explanations, unreadable_images
from artaffect.reports.results import DeletionTest
from artaffect.runtime import to_json_text


def votes(counts: np.ndarray, names: tuple[str, ...]) -> Votes:
    artworks = np.array([f"s/{i}" for i in range(len(counts))], object)
    return Votes(artworks, np.full(len(counts), "s", object), names, counts)


def random_votes(artworks: int, cultures: int, size: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.multinomial(size, rng.dirichlet(np.ones(9), (artworks, cultures)))


def test_the_mean_of_nothing_is_not_zero() -> None:
    (estimate,) = ratio_estimates(np.zeros((5, 1)), np.zeros((5, 1)))
    assert math.isnan(estimate.value) and not estimate.has_interval


def test_a_culture_without_votes_enough_has_no_shares() -> None:
    counts = random_votes(12, 3)
    counts[:, 2] = 0
    counts[:, 2, 0] = 1  # one vote for each artwork, where four are needed
    result = compare_cultures(votes(counts, ("a", "b", "c")), 4, 50)
    assert all(math.isnan(gap.shares["c"].value) for gap in result.emotions)
    assert "c" not in result.entropies
    table = next(t for t in divergence_tables(result) if t.title.startswith("Share of each"))
    assert {row[-1] for row in table.rows} == {"—"}
    assert divergence_figures(result)
    text = to_json_text({"shares": result.emotions[0].shares["c"].value})
    assert json.loads(text, parse_constant=pytest.fail) == {"shares": None}


def test_cultures_that_always_agree_are_not_shown_to_differ() -> None:
    counts = np.zeros((40, 2, 9), int)
    counts[..., 3] = 5  # every vote is the same: no permutation changes anything
    result = compare_cultures(votes(counts, ("a", "b")), 4, 50)
    assert result.overall.p_value == 1 and result.overall.beyond_chance == Estimate(0, 0, 0)
    assert result.divisive == 0 and "no difference shown" in _cultures(result)
    ceilings = agreement(votes(counts, ("a", "b")), 4, 2)
    assert ceiling_tables(ceilings) and ceilings.ceilings["a"].lower_bound["accuracy"].value == 1


def test_a_culture_of_one_class_is_scored() -> None:
    rng = np.random.default_rng(0)
    cultures = np.array(["a"] * 40 + ["b"] * 40, object)
    labels = np.concatenate([np.full(40, 3), rng.integers(0, 9, 40)])
    result = evaluate({"both": rng.dirichlet(np.ones(9), 80)}, labels, cultures, np.arange(80), 50)
    for estimate in result["both"]["a"].metrics.values():
        assert estimate.low <= estimate.value <= estimate.high


def test_no_sentence_concludes_from_few_artworks() -> None:
    few = compare_cultures(votes(random_votes(7, 3), ("a", "b", "c")), 4, 200)
    assert "too few paintings to conclude" in _cultures(few) and "7 paintings" in _cultures(few)
    enough = compare_cultures(votes(random_votes(MIN_ARTWORKS, 3), ("a", "b", "c")), 4, 200)
    assert "Cultures see the same paintings differently" in _cultures(enough)
    assert "Farthest apart" in _cultures(enough)
    pairs = [replace(pair, artworks=MIN_ARTWORKS - 1) for pair in enough.pairs]
    assert "Farthest apart" not in _cultures(replace(enough, pairs=pairs))


def test_a_noise_ceiling_of_few_artworks_is_in_the_table_only() -> None:
    counts = random_votes(MIN_ARTWORKS, 2)
    counts[7:, 1] = 0
    result = agreement(votes(counts, ("many", "few")), 4, 2)
    assert isinstance(result.ceilings["few"], NoiseCeiling)
    assert "many" in _ceilings(result) and "few" not in _ceilings(result)


def test_explanations_tested_on_few_artworks_are_no_basis() -> None:
    gaps = np.random.default_rng(0).normal(1, 0.1, MIN_ARTWORKS)
    for count, verdict in ((8, "need 30 paintings or more"), (MIN_ARTWORKS, "hold:")):
        test = DeletionTest(count, mean_estimate(gaps[:count]), 1.0, None)
        assert verdict in _explanations("image", test)


def test_images_that_cannot_be_read_are_listed_with_their_reasons_and_counted() -> None:
    assert unreadable_images([]) == []
    (sentence,) = unreadable_images([f"{i}.jpg: no such file" for i in range(25)])
    assert "(25)" in sentence and "19.jpg: no such file; and 5 more." in sentence


def test_long_names_in_figures_keep_what_tells_them_apart() -> None:
    first, second = (short(f"{'a' * 90} {i} (480)") for i in range(2))
    assert len(first) == len(second) == 40 and first != second and first.endswith("0 (480)")
    assert short("west\nasia") == "west asia"
