"""Models of the positive share: what they learn from votes whose law is known."""

import numpy as np
import pytest

from artaffect.errors import InputError, NotFittedError
from artaffect.shared_task.items import PositiveVotes, ShareItems
from artaffect.shared_task.rules import SharedTaskRules
from artaffect.shared_task.scorer import score_shares
from artaffect.shared_task.shares import ShareModel, score_baselines

RULES = SharedTaskRules()
LANGUAGES = ("english", "hausa", "korean", "thai")


def drawn(paintings: int, seed: int, votes: int = 6) -> PositiveVotes:
    """Votes of publics that differ by a shift of log-odds, on paintings that differ too."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(0.5, 1.5, (paintings, 1))
    tilt = np.array([0.5, 1.2, -1.0, 0.0])
    positive = rng.binomial(votes, 1 / (1 + np.exp(-quality - tilt)))
    names = np.array([f"p{seed}-{i}" for i in range(paintings)], object)
    return PositiveVotes(names, LANGUAGES, positive, np.full(positive.shape, votes))


TRAIN, TEST = drawn(400, 0), drawn(400, 1)


def test_every_ordered_pair_with_enough_votes_is_an_item() -> None:
    few = drawn(3, 2)
    few.total[1, 0] = 4
    items = few.items(RULES)
    assert len(items) == 12 + 6 + 12
    assert items.shares is not None
    row = items.keys.index(("p2-0", "hausa", "thai"))
    assert items.source_shares[row] == few.positive[0, 1] / 6
    assert items.shares[row] == few.positive[0, 3] / 6
    with pytest.raises(InputError, match="no painting has 5 votes of each of two languages"):
        drawn(3, 2, votes=4).items(RULES)


def test_each_model_goes_past_the_one_before() -> None:
    scores = score_baselines(TRAIN, TRAIN.items(RULES), TEST.items(RULES), RULES)
    assert list(scores) == ["majority", "copy", "prior", "blend", "regression"]
    assert scores["regression"] < scores["blend"] < min(scores["copy"], scores["prior"])
    assert max(scores["copy"], scores["prior"]) < scores["majority"]


def test_copy_is_the_source_and_prior_the_targets_habit() -> None:
    items = TEST.items(RULES)
    assert (
        ShareModel("copy", TRAIN).fit(items).predict(items).tolist() == items.source_shares.tolist()
    )
    said = ShareModel("prior", TRAIN).predict(items)
    share = (TRAIN.positive[:, 2].sum() + 1) / (TRAIN.total[:, 2].sum() + 2)
    assert said[items.targets == "korean"] == pytest.approx(share)


def test_a_blend_that_learns_from_copies_keeps_the_source() -> None:
    items = TRAIN.items(RULES)
    copies = ShareItems(
        items.paintings, items.sources, items.source_shares, items.targets, items.source_shares
    )
    model = ShareModel("blend", TRAIN).fit(copies)
    assert model.describe()["weight of the source"] > 0.95


def test_pairs_never_seen_together_are_answered_as_well() -> None:
    items, asked = TRAIN.items(RULES), TEST.items(RULES)

    def part(of: ShareItems, keep: np.ndarray) -> ShareItems:
        assert of.shares is not None
        columns = (of.paintings, of.sources, of.source_shares, of.targets, of.shares)
        return ShareItems(*(column[keep] for column in columns))

    new = (asked.sources == "hausa") & (asked.targets == "korean")
    without = part(items, ~((items.sources == "hausa") & (items.targets == "korean")))
    unseen, seen = (
        score_shares(
            part(asked, new),
            ShareModel("regression", TRAIN).fit(known).predict(part(asked, new)),
            RULES,
        ).divergence
        for known in (without, items)
    )
    assert unseen == pytest.approx(seen, abs=0.01)


def test_what_a_picture_tells_helps_and_a_missing_one_does_not_harm() -> None:
    rng = np.random.default_rng(3)
    expected = {
        (str(p), name): float(np.clip(v.positive[i, c] / 6 + rng.normal(0, 0.1), 0, 1))
        for v in (TRAIN, TEST)
        for i, p in enumerate(v.paintings)
        for c, name in enumerate(LANGUAGES)
    }
    items, asked = TRAIN.items(RULES), TEST.items(RULES)
    plain = ShareModel("regression", TRAIN).fit(items)
    seeing = ShareModel("regression", TRAIN, expected).fit(items)
    assert set(seeing.describe()) - set(plain.describe()) == {"picture, target", "picture, source"}
    scores = [score_shares(asked, m.predict(asked), RULES).divergence for m in (plain, seeing)]
    assert scores[1] < scores[0]
    gone = {key: value for key, value in expected.items() if not key[0].startswith("p1-")}
    assert np.isfinite(ShareModel("regression", TRAIN, gone).fit(items).predict(asked)).all()


def test_answers_are_shares() -> None:
    asked = TEST.items(RULES)
    for name in ("majority", "copy", "prior", "blend", "regression"):
        said = ShareModel(name, TRAIN).fit(TRAIN.items(RULES)).predict(asked)  # type: ignore[arg-type]
        assert said.shape == (len(asked),) and (said >= 0).all() and (said <= 1).all()


def test_a_language_without_votes_and_a_model_that_has_not_learned_are_refused() -> None:
    items = TEST.items(RULES)
    strange = ShareItems(items.paintings, items.sources, items.source_shares, items.targets.copy())
    strange.targets[3] = "Klingon"
    with pytest.raises(
        InputError, match="the training table has no votes in 'Klingon'; it has engl"
    ):
        ShareModel("copy", TRAIN).predict(strange)
    with pytest.raises(NotFittedError, match="call fit first"):
        ShareModel("blend", TRAIN).predict(items)
