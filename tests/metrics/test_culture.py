"""Cultures compared: against values worked out by hand, and against a known generative model."""

from itertools import combinations

import numpy as np
import pytest

from artaffect.data.sample.generative_model import CULTURES, best_scores, divergences, feelings
from artaffect.errors import InputError
from artaffect.labels import EMOTIONS
from artaffect.metrics.agreement import agreement, sample_votes
from artaffect.metrics.distances import (
    DISTANCES,
    cross_entropy,
    distribution_scores,
    earth_movers_distance,
    entropy,
    jensen_shannon_distance,
    jensen_shannon_divergence,
    manhattan_distance,
)
from artaffect.metrics.divergence import compare_cultures, rarefied_entropy
from artaffect.metrics.evaluation import culture_gaps
from artaffect.metrics.permutation import (
    PermutationNull,
    false_discovery,
    mean_pairwise_divergence,
)
from artaffect.metrics.votes import Votes


def drawn_votes(votes: int, paintings: int, strength: float = 1.0, seed: int = 0) -> Votes:
    """Votes by the sample's law: ``paintings`` of each scene in each palette."""
    felt = np.tile(feelings(strength).reshape(36, 3, 9), (paintings, 1, 1))
    counts = np.random.default_rng(seed).multinomial(votes, felt)
    names = np.array([f"style/painting {i}" for i in range(len(felt))], object)
    return Votes(names, np.array(["a", "b"] * (len(felt) // 2), object), CULTURES, counts)


def emotions(**shares: float) -> np.ndarray:
    distribution = np.zeros(9)
    for name, share in shares.items():
        distribution[EMOTIONS.index(name.replace("_", " "))] = share  # type: ignore[arg-type]
    return distribution


def test_distances_by_hand() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.5, 0.0, 0.5])
    # the middle is (1/2, 1/4, 1/4): 1.5 bits, and each has 1
    assert entropy(p) == 1
    assert jensen_shannon_divergence(p, q) == pytest.approx(0.5)
    assert jensen_shannon_distance(p, q) == pytest.approx(np.sqrt(0.5))
    assert cross_entropy(np.array([0.25, 0.75]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert manhattan_distance(p, q) == 1
    assert jensen_shannon_divergence(np.array([1.0, 0]), np.array([0, 1.0])) == 1


def test_moving_within_a_valence_costs_nothing_and_across_the_whole_scale_one() -> None:
    assert earth_movers_distance(emotions(awe=1), emotions(excitement=1)) == 0
    assert earth_movers_distance(emotions(awe=1), emotions(fear=1)) == 1
    assert earth_movers_distance(emotions(awe=1), emotions(something_else=1)) == 0.5
    half = emotions(awe=0.5, sadness=0.5)
    assert earth_movers_distance(half, emotions(sadness=1)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_are_least_for_the_truth_and_keep_the_leading_axes(name: str) -> None:
    rng = np.random.default_rng(0)
    p, q = rng.dirichlet(np.ones(9), (5, 7)), rng.dirichlet(np.ones(9), (5, 7))
    distance = DISTANCES[name]
    assert distance(p, q).shape == (5, 7)
    assert (distance(p, p) <= distance(p, q) + 1e-12).all()


def test_votes_are_counted_for_each_painting_and_culture() -> None:
    artworks = (np.array(["s/a", "s/unused", "t/b"], object), np.array([2, 0, 2, 2]))
    cultures = (np.array(["x", "y"], object), np.array([1, 0, 1, 0]))
    styles = (np.array(["s", "t"], object), np.array([1, 0, 1, 1]))
    votes = Votes.count(artworks, cultures, np.array([3, 8, 3, 0]), styles)
    assert votes.artworks.tolist() == ["s/a", "t/b"] and votes.styles.tolist() == ["s", "t"]
    assert votes.cultures == ("x", "y")
    assert votes.sizes.tolist() == [[1, 0], [1, 2]]
    assert votes.counts[1, 1, 3] == 2 and votes.counts.sum() == 4


def test_a_null_does_not_depend_on_the_order_of_emotions_or_cultures() -> None:
    counts = np.array([[[3, 1, 0, 0], [0, 2, 2, 0]], [[2, 0, 2, 0], [0, 3, 1, 0]]])
    null = PermutationNull(200, 0).divergences(counts)
    assert null.kind.tolist() == [0, 0], "totals 3 3 2 and 3 3 2, four votes each"
    assert null.observed == pytest.approx(mean_pairwise_divergence(counts))


def test_a_p_value_is_the_share_of_deals_as_far_apart() -> None:
    # three against three, wholly apart: 2 of the 20 ways to deal six votes
    votes = np.zeros((1, 2, 9), int)
    votes[0, 0, 0] = votes[0, 1, 1] = 3
    p = PermutationNull(20_000, 1).divergences(votes).p_values()
    assert p[0] == pytest.approx(0.1, abs=0.01)


def test_equal_cultures_are_found_different_in_about_one_of_twenty_draws() -> None:
    rejected = 0
    for seed in range(200):
        result = compare_cultures(drawn_votes(4, 1, 0.0, seed), n_permutations=199, seed=seed)
        rejected += result.overall.p_value <= 0.05
    assert 4 <= rejected <= 17, "the 98 % interval around 10"


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_the_divergence_found_is_the_stated_one(strength: float) -> None:
    stated = divergences(strength)
    covered = []
    for seed in range(10):
        result = compare_cultures(drawn_votes(10, 4, strength, seed), n_permutations=200)
        names = [f"{pair.first} / {pair.second}" for pair in result.pairs]
        assert set(names) == set(stated)
        for name, pair in zip(names, result.pairs, strict=True):
            covered.append(pair.beyond_chance.low <= stated[name] <= pair.beyond_chance.high)
            assert pair.observed > pair.beyond_chance.value + 0.05, (
                "the plain figure is mostly noise"
            )
        assert result.overall.p_value < 0.01
        assert result.overall.distance == pytest.approx(result.overall.beyond_chance.value**0.5)
    assert np.mean(covered) >= 0.85, "95 % intervals, 30 of them"


def test_a_comparison_of_cultures_is_readable_and_becomes_a_frame() -> None:
    result = compare_cultures(drawn_votes(6, 2), n_permutations=20)
    frame = result.to_frame()
    assert list(frame["first"]) == [pair.first for pair in result.pairs]
    assert list(frame.beyond_chance) == [pair.beyond_chance.value for pair in result.pairs]
    assert list(frame.low) == [pair.beyond_chance.low for pair in result.pairs]
    assert repr(result).startswith("CultureComparison: 72 artworks with 4 votes or more")
    assert '<th scope="row">english</th>' in result._repr_html_()


def test_divisive_paintings_are_those_that_differ() -> None:
    votes = drawn_votes(8, 4, 0.0)
    counts = votes.counts.copy()
    counts[5] = 0
    for c, emotion in enumerate((1, 3, 6)):
        counts[5, c, emotion] = 8
    result = compare_cultures(
        Votes(votes.artworks, votes.styles, votes.cultures, counts), n_permutations=1000, top_k=3
    )
    first = result.divisive_artworks[0]
    assert first.artwork == "style/painting 5" and first.q_value < 0.2
    assert first.votes["english"][1] == 8 and len(result.divisive_artworks) == 3
    assert [style.style for style in result.styles] in (["a", "b"], ["b", "a"])


def test_emotions_of_equal_cultures_differ_by_nothing() -> None:
    equal = compare_cultures(drawn_votes(6, 12, 0.0), n_permutations=50)
    apart = compare_cultures(drawn_votes(6, 12, 1.0), n_permutations=50)
    assert all(gap.difference.low == 0 for gap in equal.emotions[4:])
    assert apart.emotions[0].difference.low > 0.1
    felt = feelings().reshape(36, 3, 9)
    squares = [np.square(felt[:, a] - felt[:, b]).mean(0) for a, b in combinations(range(3), 2)]
    true = dict(zip(map(str, EMOTIONS), np.sqrt(np.mean(squares, 0)), strict=True))
    for gap in apart.emotions:
        assert gap.difference.low - 0.02 <= true[gap.emotion] <= gap.difference.high + 0.02


def test_entropy_at_one_number_of_votes_is_the_mean_over_all_samples() -> None:
    ballots = [0, 0, 0, 1, 1, 2]
    counts = np.bincount(ballots, minlength=9)[None]
    samples = [np.bincount(picked, minlength=9) / 4 for picked in combinations(ballots, 4)]
    assert rarefied_entropy(counts, 4)[0] == pytest.approx(np.mean([entropy(s) for s in samples]))


def test_too_few_votes_are_refused_with_the_largest_number() -> None:
    votes = drawn_votes(3, 1)
    with pytest.raises(
        InputError, match=r"no artwork has 4 votes .* the largest number is 3; lower min_votes"
    ):
        compare_cultures(votes)
    with pytest.raises(InputError, match="the table has one culture only"):
        compare_cultures(votes.select_cultures([0]), min_votes=2)
    with pytest.raises(InputError, match="no artwork has 4 votes from one culture"):
        agreement(votes, 4)


def test_false_discovery_by_hand() -> None:
    # 0.01 * 4 / 1, 0.02 * 4 / 2, 0.04 * 4 / 3, 0.9
    q = false_discovery(np.array([0.04, 0.01, 0.9, 0.02]))
    assert q.tolist() == pytest.approx([0.16 / 3, 0.04, 0.9, 0.04])


def test_the_ceiling_lies_around_the_best_possible() -> None:
    best = best_scores()["image and culture"]
    for votes in (4, 40):
        result = agreement(drawn_votes(votes, 10), 4).ceilings

        def mean(side: str, metric: str, result: dict = result) -> float:  # type: ignore[type-arg]
            return float(np.mean([getattr(c, side)[metric].value for c in result.values()]))

        low, high = mean("lower_bound", "accuracy"), mean("upper_bound", "accuracy")
        assert low < best.accuracy < high
        assert mean("upper_bound", "log_loss") < best.log_loss < mean("lower_bound", "log_loss")
    assert high - low < 0.02, "with many votes both close in on it"


def test_readers_of_another_culture_predict_worse_where_cultures_differ() -> None:
    apart, equal = (agreement(drawn_votes(10, 4, s), 4).split_half_reliability for s in (1.0, 0.0))
    metric = "jensen_shannon_divergence"
    own = apart["english"]["english"][metric].value
    assert own < apart["arabic"]["english"][metric].low
    same = equal["english"]["english"][metric]
    assert same.low <= equal["arabic"]["english"][metric].value <= same.high


def test_draws_without_replacement_keep_the_votes() -> None:
    counts = np.array([[3, 0, 2], [1, 1, 5]])
    drawn = sample_votes(counts, np.array([2, 7]), np.random.default_rng(0))
    assert drawn.sum(1).tolist() == [2, 7]
    assert (drawn <= counts).all() and drawn[1].tolist() == [1, 1, 5]


def test_a_models_answer_is_set_against_the_whole_histogram() -> None:
    labels = np.array([1, 1, 6, 1, 0])
    predicted = np.tile(emotions(awe=0.5, fear=0.5), (5, 1))
    predicted[0], predicted[1] = emotions(awe=1), emotions(awe=1)
    cultures = np.array(["x", "x", "x", "x", "y"], object)
    artworks = np.array([7, 7, 7, 7, 7])
    result = distribution_scores({"m": predicted}, labels, cultures, artworks, min_votes=4)["m"]
    # votes: awe 3/4, fear 1/4; the mean answer is the same
    assert list(result) == ["x"], "one vote of y is no histogram"
    assert result.overall == result["x"]
    assert result["x"]["jensen_shannon_divergence"].value == pytest.approx(0, abs=1e-9)
    assert result["x"]["manhattan_distance"].value == pytest.approx(0)
    assert not distribution_scores({"m": predicted}, labels, cultures, artworks, min_votes=5)


def test_the_gap_names_the_best_and_the_worst_served() -> None:
    labels = np.tile([0, 1], 60)
    cultures = np.repeat(np.array(["x", "y", "z"], object), 40)
    predicted = np.tile(np.eye(9)[0] * 0.9 + 0.1 / 9, (120, 1))
    predicted[cultures == "y"] = np.eye(9)[labels[cultures == "y"]] * 0.9 + 0.1 / 9
    result = culture_gaps({"m": predicted}, labels, cultures, np.arange(120) % 20)["m"]
    assert result["accuracy"].best == "y" == result["log_loss"].best
    assert result["accuracy"].difference.value == pytest.approx(-0.5)
    assert result["log_loss"].difference.value > 0
    assert culture_gaps({"m": predicted}, labels, np.full(120, "x", object), np.arange(120)) == {}
