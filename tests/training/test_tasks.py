"""What each task learns from a batch."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from artaffect.models.heads import EmotionHead
from artaffect.training.objectives import (
    ClassificationTask,
    DistillationTask,
    MultiLabelTask,
    SoftLabelTask,
    label_loss,
)


def head(width: int = 4, **more: object) -> EmotionHead:
    torch.manual_seed(0)
    made = EmotionHead(width, 0, hidden=[6], **more)  # type: ignore[arg-type]
    return made.eval()


def votes() -> torch.Tensor:
    counts = torch.zeros(3, 9)
    counts[0, 1], counts[0, 6], counts[1, 2], counts[2, 0] = 3, 1, 1, 2
    return counts


def test_the_papers_loss_is_the_mean_error_of_the_bits() -> None:
    batch = {"features": torch.randn(3, 4), "culture": torch.zeros(3, dtype=int), "votes": votes()}
    model = head(multi_label=True)
    predicted = model(batch["features"], batch["culture"]).sigmoid()
    target = (votes() > 0).float()
    torch.testing.assert_close(
        MultiLabelTask(model, "l1")(batch).loss, (predicted - target).abs().mean()
    )
    by_hand = -(target * predicted.log() + (1 - target) * (1 - predicted).log()).mean()
    torch.testing.assert_close(MultiLabelTask(model, "bce")(batch).loss, by_hand)


def test_a_partial_label_is_learned_by_the_probability_of_its_set() -> None:
    logits, partial = torch.randn(4, 3), torch.tensor([[True, False, True]])
    p = logits.softmax(-1)
    expected = -torch.stack([p[0, 1], p[1, 0] + p[1, 2], p[2, 0] + p[2, 2], p[3, 2]]).log().mean()
    torch.testing.assert_close(label_loss(logits, torch.tensor([1, 3, 3, 2]), partial), expected)


def test_exact_labels_are_learned_alike_beside_partial_ones() -> None:
    logits, labels = torch.randn(6, 9), torch.randint(0, 9, (6,))
    partial = torch.rand(3, 9) < 0.5
    torch.testing.assert_close(
        label_loss(logits, labels, partial), F.cross_entropy(logits, labels), rtol=1e-6, atol=1e-6
    )


def test_votes_for_a_set_are_learned_by_its_probability() -> None:
    model, partial = head(), torch.zeros(1, 9, dtype=torch.bool)
    partial[0, [1, 6]] = True
    features, culture = torch.randn(2, 4), torch.zeros(2, dtype=torch.int64)
    counts = torch.zeros(2, 10)
    counts[0, 2], counts[1, 9] = 1, 3
    p = model(features, culture).softmax(-1)
    expected = -(p[0, 2].log() + 3 * (p[1, 1] + p[1, 6]).log()) / 4
    batch = {"features": features, "culture": culture, "votes": counts}
    torch.testing.assert_close(SoftLabelTask(model, partial=partial)(batch).loss, expected)


def test_a_multi_label_head_becomes_a_distribution_in_proportion() -> None:
    model = head(multi_label=True)
    features, culture = torch.randn(5, 4), torch.zeros(5, dtype=torch.int64)
    bits = model(features, culture).sigmoid()
    shares = model.emotion_logits(features, culture).softmax(-1)
    torch.testing.assert_close(shares, bits / bits.sum(1, keepdim=True))


def test_an_image_is_encoded_once_for_all_its_rows() -> None:
    seen: list[int] = []

    class Encoder(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            seen.append(len(pixels))
            return pixels.mean((2, 3)).repeat(1, 2)[:, :4]

    batch = {
        "pixels": torch.randn(2, 3, 8, 8),
        "artwork": torch.tensor([0, 0, 1]),
        "culture": torch.zeros(3, dtype=torch.int64),
        "votes": votes(),
    }
    loss = SoftLabelTask(head(), encoder=Encoder())(batch).loss
    assert seen == [2] and math.isfinite(loss.item())


def distil(
    weights: tuple[float, float, float], student: EmotionHead, temperature: float = 2.0
) -> tuple[DistillationTask, dict[str, torch.Tensor]]:
    class Encoder(nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return ids.float()

    task = ClassificationTask(student, encoder=Encoder())
    torch.manual_seed(3)
    teacher = EmotionHead(4, 0, hidden=[6], dropout=0.5)
    features = torch.randn(3, 4)
    batch = {
        "captions": [(features, torch.ones(3, 4))],
        "culture": torch.zeros(3, dtype=torch.int64),
        "emotion": torch.tensor([0, 3, 8]),
        "teacher": features.clone(),
    }
    return DistillationTask(task, 4, teacher, weights, temperature), batch


def test_distillation_adds_hard_soft_and_hidden_losses() -> None:
    student = head()
    task, batch = distil((0.3, 0.7, 2.0), student)
    output = task.train()(batch)
    features = batch["teacher"]
    own = student(features, batch["culture"])
    teacher = task.teacher(features, batch["culture"])
    p, q = (teacher / 2).softmax(-1), (own / 2).log_softmax(-1)
    soft = 4 * (p * (p.log() - q)).sum(1).mean()
    hard = F.cross_entropy(own, batch["emotion"])
    torch.testing.assert_close(output.terms["soft"], soft)
    torch.testing.assert_close(output.terms["hard"], hard)
    assert output.terms["hidden"].item() == pytest.approx(0, abs=1e-6)  # the same features
    torch.testing.assert_close(output.loss, 0.3 * hard + 0.7 * soft, atol=1e-5, rtol=1e-5)


def test_the_teacher_is_not_trained_and_has_no_dropout() -> None:
    task, batch = distil((0.0, 1.0, 0.0), head())
    first, second = task.train()(batch).loss, task.train()(batch).loss
    assert first.item() == second.item()  # no dropout in the teacher
    assert not any(weight.requires_grad for weight in task.teacher.parameters())
    first.backward()
    assert any(weight.grad is not None for weight in task.student.parameters())


def test_a_student_that_equals_its_teacher_has_no_loss() -> None:
    student = head()
    task, batch = distil((0.0, 1.0, 0.0), student)
    task.teacher.load_state_dict(student.state_dict())
    assert task.eval()(batch).loss.item() == pytest.approx(0, abs=1e-6)


def test_a_culture_embedding_starts_as_no_difference_and_learns_one() -> None:
    torch.manual_seed(0)
    model = EmotionHead(4, 2, hidden=[6], culture_input="embedding")
    features = torch.randn(60, 4)
    culture = torch.arange(60) % 2 + 1
    same = [model(features, torch.full((60,), c)) for c in range(3)]
    torch.testing.assert_close(same[0], same[2])
    batch = {"features": features, "culture": culture, "emotion": culture}
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        ClassificationTask(model)(batch).loss.backward()
        optimizer.step()
    predictions = model(features, culture).argmax(1)
    assert (predictions == culture).float().mean() > 0.9
