"""The training loop learns, is reproducible, keeps the best epoch and stops early."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from artaffect.config import TrainConfig
from artaffect.errors import ConfigError
from artaffect.models.heads import EmotionHead
from artaffect.training.batches import BatchOrder, TensorRows
from artaffect.training.objectives import (
    ClassificationTask,
    FusionTask,
    SoftLabelTask,
    drop_culture,
)
from artaffect.training.trainer import Trainer, _rate


def rows(count: int = 200) -> TensorRows:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(count, 9, generator=generator)
    return TensorRows(
        features=features,
        culture=torch.zeros(count, dtype=torch.int64),
        emotion=features.argmax(1),
    )


def fit(config: TrainConfig, seed: int = 0) -> tuple[EmotionHead, list[float]]:
    torch.manual_seed(seed)
    head = EmotionHead(9, 0)
    result = Trainer(config, seed).fit(ClassificationTask(head), rows())
    return head, [epoch["loss"] for epoch in result.history]


def test_it_learns_what_can_be_learned() -> None:
    head, losses = fit(TrainConfig(epochs=30, batch_size=32, learning_rate=0.05))
    assert losses[-1] < losses[0] / 3
    data = rows().columns
    predictions = head(data["features"], data["culture"]).argmax(1)
    assert (predictions == data["emotion"]).float().mean() > 0.95


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    config = TrainConfig(epochs=3, batch_size=32)
    first, second, other = fit(config)[0], fit(config)[0], fit(config, seed=1)[0]
    torch.testing.assert_close(first.shared.weight, second.shared.weight, rtol=0, atol=0)
    assert not torch.equal(first.shared.weight, other.shared.weight)


def test_the_best_epoch_is_kept_and_patience_ends_training() -> None:
    head = EmotionHead(9, 0)
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.0])
    seen = []

    def validate() -> dict[str, float]:
        seen.append(head.shared.weight.detach().clone())
        return {"log_loss": next(scores)}

    config = TrainConfig(epochs=6, batch_size=64, patience=3)
    result = Trainer(config).fit(ClassificationTask(head), rows(), validate)
    assert (result.best_epoch, result.best_score, len(result.history)) == (2, 1.0, 5)
    torch.testing.assert_close(head.shared.weight, seen[1], rtol=0, atol=0)


def test_many_rows_make_fewer_epochs_but_at_least_one() -> None:
    for most, epochs in ((None, 5), (100, 5), (12, 3), (1, 1)):
        config = TrainConfig(epochs=5, batch_size=len(rows()) // 4, max_steps=most)
        assert (
            len(Trainer(config).fit(ClassificationTask(EmotionHead(9, 0)), rows()).history)
            == epochs
        )


def test_a_metric_of_which_more_is_better_keeps_its_best_epoch() -> None:
    scores = iter([0.2, 0.5, 0.4])
    config = TrainConfig(epochs=3, batch_size=64, metric="accuracy")
    result = Trainer(config).fit(
        ClassificationTask(EmotionHead(9, 0)),
        rows(),
        lambda: {"log_loss": 1.0, "accuracy": next(scores)},
    )
    assert (result.best_epoch, result.best_score) == (2, 0.5)
    assert [epoch["log_loss"] for epoch in result.history] == [1.0, 1.0, 1.0]


def test_a_metric_that_the_validation_does_not_give_is_refused() -> None:
    config = TrainConfig(epochs=1, metric="hamming")
    with pytest.raises(
        ConfigError, match="'hamming' is not computed in this training: choose one of l"
    ):
        Trainer(config).fit(
            ClassificationTask(EmotionHead(9, 0)), rows(), lambda: {"log_loss": 1.0}
        )


def test_stopping_early_is_the_beginning_of_the_same_training() -> None:
    config = TrainConfig(epochs=5, batch_size=32)
    head, other = EmotionHead(9, 0), EmotionHead(9, 0)
    whole = Trainer(config).fit(ClassificationTask(head), rows())
    part = Trainer(config).fit(ClassificationTask(other), rows(), stop_after=2)
    assert part.best_epoch == 2
    assert [e["loss"] for e in part.history] == [e["loss"] for e in whole.history][:2]


def test_few_rows_are_passed_over_several_times() -> None:
    config = TrainConfig(epochs=5, batch_size=64, learning_rate=0.05)  # 20 steps
    result, few = (
        Trainer(replace(config, min_steps=steps)).fit(ClassificationTask(EmotionHead(9, 0)), rows())
        for steps in (70, 0)
    )
    assert len(result.history) == len(few.history) == 5
    assert result.history[-1]["loss"] < 0.8 * few.history[-1]["loss"]
    counted = [len(BatchOrder(rows(), 64, torch.Generator(), passes)) for passes in (1, 4)]
    assert counted == [4, 16]
    enough, plain = (fit(replace(config, min_steps=steps))[1] for steps in (20, 0))
    assert enough == plain


def test_a_diverging_training_is_no_result() -> None:
    with pytest.raises(ConfigError, match=r"diverged .*: lower train\.learning_rate"):
        Trainer(TrainConfig(epochs=2)).fit(
            ClassificationTask(EmotionHead(9, 0)), rows(), lambda: {"log_loss": math.nan}
        )


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [_rate(step, 100, 0.1) for step in range(101)]
    assert rates[0] == 0.1 and max(rates) == rates[9] == rates[10] == 1
    assert rates[-1] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_shared_columns_are_looked_up_per_batch() -> None:
    table, index = torch.arange(6.0).view(3, 2), torch.tensor([2, 0, 2, 1])
    data = TensorRows(shared={"image": (table, index)}, emotion=torch.arange(4))
    batch = data.__getitems__([0, 3])
    assert batch["image"].tolist() == [[4, 5], [2, 3]]
    assert data.__getitems__([1])["image"].tolist() == [[0, 1]]


def test_a_soft_label_is_the_sum_of_its_votes() -> None:
    """The loss on a histogram equals that on each vote by itself."""
    torch.manual_seed(0)
    head = EmotionHead(4, 0)
    features = torch.randn(2, 4)
    votes = torch.zeros(2, 9)
    votes[0, 1], votes[0, 6], votes[1, 2] = 2, 1, 1
    culture = torch.zeros(2, dtype=torch.int64)
    soft = SoftLabelTask(head)({"features": features, "culture": culture, "votes": votes}).loss
    each = torch.stack([features[0]] * 3 + [features[1]])
    logits = head(each, torch.zeros(4, dtype=torch.int64))
    torch.testing.assert_close(soft, F.cross_entropy(logits, torch.tensor([1, 1, 6, 2])))


def test_the_penalty_shrinks_weights() -> None:
    sizes = []
    for penalty in (0.0, 1.0):
        head = EmotionHead(9, 0)
        Trainer(TrainConfig(epochs=20, batch_size=64, learning_rate=0.02)).fit(
            ClassificationTask(head, penalty), rows()
        )
        sizes.append(head.penalty().item())
    assert sizes[1] < sizes[0] / 4


def test_some_rows_lose_their_culture_but_none_of_a_blind_model() -> None:
    torch.manual_seed(0)
    culture = torch.full((4000,), 2)
    forgotten = drop_culture(culture, 3)
    assert set(forgotten.tolist()) == {0, 2}
    assert (forgotten == 0).float().mean() == pytest.approx(1 / 4, abs=0.03)
    assert (drop_culture(culture, 0) == culture).all()


def test_modality_dropout_drops_one_at_a_time() -> None:
    seen: list[torch.Tensor] = []

    class Spy(torch.nn.Module):
        sources = ("image", "caption")

        def forward(self, inputs, present, culture):  # type: ignore[no-untyped-def]
            seen.append(present)
            return inputs[0]

    n = 3000
    batch = {
        "image": torch.zeros(n, 9),
        "caption": torch.zeros(n, 9),
        "culture": torch.zeros(n, dtype=torch.int64),
        "emotion": torch.zeros(n, dtype=torch.int64),
    }
    torch.manual_seed(0)
    FusionTask(Spy(), 0.4, 0)(batch)  # type: ignore[arg-type]
    present = seen[0].float()
    assert (present.sum(1) >= 1).all()
    assert (present.sum(1) == 1).float().mean() == pytest.approx(0.4, abs=0.03)
    assert present.mean(0).tolist() == pytest.approx([0.8, 0.8], abs=0.03)
