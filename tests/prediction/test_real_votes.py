"""Distances, agreement and divergence on real votes, if the data are beside the checkout."""

import csv
from pathlib import Path

import numpy as np
import pytest

from artaffect.data.readers.artelingo import read_artelingo
from artaffect.errors import InputError
from artaffect.metrics.agreement import agreement
from artaffect.metrics.distances import DISTANCES, jensen_shannon_divergence
from artaffect.metrics.divergence import compare_cultures
from artaffect.reports.culture import votes_of


def test_readers_of_the_picture_alone_come_nearer_than_readers_of_the_title(
    real_data: Path,
) -> None:
    with (real_data / "wikiart_emotions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [key[5:] for key in rows[0] if key.startswith("both:")]
    shares = {}
    for part in ("both", "image", "title"):
        table = np.array([[float(row[f"{part}:{name}"] or 0) for name in names] for row in rows])
        shares[part] = table / table.sum(1, keepdims=True)
    image, title = (
        jensen_shannon_divergence(shares[part], shares["both"]).mean()
        for part in ("image", "title")
    )
    other = np.random.default_rng(0).permutation(shares["image"])
    assert image < title < jensen_shannon_divergence(other, shares["both"]).mean()


def test_the_ceiling_of_real_english_readers(real_data: Path) -> None:
    table = read_artelingo(real_data / "artemis" / "annotations.csv", keep_unpictured=True)
    votes = votes_of(table)
    result = agreement(votes, 4, n_splits=2)
    ceiling = result.ceilings["english"]
    low, high = (side["accuracy"].value for side in (ceiling.lower_bound, ceiling.upper_bound))
    assert 0.28 < low < high < 0.8, "more than always contentment, far from certain"
    assert set(result.split_half_reliability["english"]["english"]) == {"accuracy", *DISTANCES}
    with pytest.raises(InputError, match="the table has one culture only"):
        compare_cultures(votes)


def test_three_trilingual_paintings_are_compared_as_far_as_they_go(real_data: Path) -> None:
    folder = real_data / "artelingo"
    table = read_artelingo(folder / "artelingo_release.csv", folder / "wikiart")
    result = compare_cultures(votes_of(table), min_votes=2, n_permutations=200)
    assert result.artworks <= 3 and len(result.pairs) == 3
    assert all(0 < pair.p_value <= 1 for pair in result.pairs)
