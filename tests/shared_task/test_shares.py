"""Models of the positive share on votes whose distribution is known."""

from typing import get_args

import numpy as np
import pytest

from artaffect.errors import InputError, NotFittedError
from artaffect.shared_task.items import PositiveVotes, ShareItems
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.scorer import score_shares
from artaffect.shared_task.shares import ShareModel, ShareModelName

RULES = SharedTaskRules()
LANGUAGES = ("english", "hausa", "korean", "thai")


def draw_votes(artworks: int, seed: int, votes: int = 6) -> PositiveVotes:
    """Votes of languages that differ by a shift of log-odds, on artworks that differ too."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(0.5, 1.5, (artworks, 1))
    tilt = np.array([0.5, 1.2, -1.0, 0.0])
    positive = rng.binomial(votes, 1 / (1 + np.exp(-quality - tilt)))
    names = np.array([f"p{seed}-{i}" for i in range(artworks)], object)
    return PositiveVotes(names, LANGUAGES, positive, np.full(positive.shape, votes))


TRAIN, TEST = draw_votes(400, 0), draw_votes(400, 1)


def select(items: ShareItems, mask: np.ndarray) -> ShareItems:
    assert items.target_shares is not None
    columns = (items.artworks, items.sources, items.source_shares, items.targets)
    return ShareItems(*(column[mask] for column in (*columns, items.target_shares)))


def divergence(model: ShareModel, items: ShareItems) -> float:
    return score_shares(items, model.predict(items), RULES).divergence


def test_every_ordered_pair_with_enough_votes_becomes_an_item() -> None:
    votes = draw_votes(3, 2)
    votes.total[1, 0] = 4
    items = votes.to_items(RULES)
    assert len(items) == 12 + 6 + 12
    assert items.target_shares is not None
    row = items.keys.index("p2-0, hausa, thai")
    assert items.source_shares[row] == votes.positive[0, 1] / 6
    assert items.target_shares[row] == votes.positive[0, 3] / 6
    with pytest.raises(InputError, match="no artwork has 5 votes in each of two languages"):
        draw_votes(3, 2, votes=4).to_items(RULES)


def test_each_model_beats_the_simpler_ones() -> None:
    training_items, items = TRAIN.to_items(RULES), TEST.to_items(RULES)
    scores = {
        name: divergence(ShareModel(name, TRAIN).fit(training_items), items)
        for name in get_args(ShareModelName)
    }
    assert list(scores) == ["majority", "copy", "prior", "blend", "regression"]
    assert scores["regression"] < scores["blend"] < min(scores["copy"], scores["prior"])
    assert max(scores["copy"], scores["prior"]) < scores["majority"]


def test_copy_predicts_the_source_and_prior_the_share_of_the_target_language() -> None:
    items = TEST.to_items(RULES)
    assert (
        ShareModel("copy", TRAIN).fit(items).predict(items).tolist() == items.source_shares.tolist()
    )
    predictions = ShareModel("prior", TRAIN).predict(items)
    share = (TRAIN.positive[:, 2].sum() + 1) / (TRAIN.total[:, 2].sum() + 2)
    assert predictions[items.targets == "korean"] == pytest.approx(share)


def test_a_blend_fitted_to_copies_keeps_the_source() -> None:
    items = TRAIN.to_items(RULES)
    copies = ShareItems(
        items.artworks, items.sources, items.source_shares, items.targets, items.source_shares
    )
    model = ShareModel("blend", TRAIN).fit(copies)
    assert model.coefficients["source_weight"] > 0.95


def test_pairs_that_are_not_in_training_are_predicted_as_well_as_those_that_are() -> None:
    training_items, items = TRAIN.to_items(RULES), TEST.to_items(RULES)
    new = select(items, (items.sources == "hausa") & (items.targets == "korean"))
    is_new = (training_items.sources == "hausa") & (training_items.targets == "korean")
    unseen, seen = (
        divergence(ShareModel("regression", TRAIN).fit(part), new)
        for part in (select(training_items, ~is_new), training_items)
    )
    assert unseen == pytest.approx(seen, abs=0.01)


def test_shares_predicted_from_the_image_help_and_missing_ones_do_no_harm() -> None:
    rng = np.random.default_rng(3)
    image_shares = {
        (str(p), name): float(np.clip(v.positive[i, c] / 6 + rng.normal(0, 0.1), 0, 1))
        for v in (TRAIN, TEST)
        for i, p in enumerate(v.artworks)
        for c, name in enumerate(LANGUAGES)
    }
    training_items, items = TRAIN.to_items(RULES), TEST.to_items(RULES)
    without = ShareModel("regression", TRAIN).fit(training_items)
    with_image = ShareModel("regression", TRAIN, image_shares).fit(training_items)
    added = set(with_image.coefficients) - set(without.coefficients)
    assert added == {"target_image", "source_image"}
    assert divergence(with_image, items) < divergence(without, items)
    some = {key: value for key, value in image_shares.items() if not key[0].startswith("p1-")}
    model = ShareModel("regression", TRAIN, some).fit(training_items)
    assert np.isfinite(model.predict(items)).all()


@pytest.mark.parametrize("name", get_args(ShareModelName))
def test_predictions_are_shares(name: ShareModelName) -> None:
    items = TEST.to_items(RULES)
    predictions = ShareModel(name, TRAIN).fit(TRAIN.to_items(RULES)).predict(items)
    assert predictions.shape == (len(items),)
    assert (predictions >= 0).all() and (predictions <= 1).all()


def test_a_language_without_votes_and_a_model_without_fit_are_refused() -> None:
    items = TEST.to_items(RULES)
    strange = ShareItems(items.artworks, items.sources, items.source_shares, items.targets.copy())
    strange.targets[3] = "Klingon"
    with pytest.raises(
        InputError, match="the training table has no votes in 'Klingon'; it has engl"
    ):
        ShareModel("copy", TRAIN).predict(strange)
    with pytest.raises(NotFittedError, match="call fit first"):
        ShareModel("blend", TRAIN).predict(items)
    unanswered = ShareItems(items.artworks, items.sources, items.source_shares, items.targets)
    with pytest.raises(ValueError, match="no true shares to learn from"):
        ShareModel("blend", TRAIN).fit(unanswered)
