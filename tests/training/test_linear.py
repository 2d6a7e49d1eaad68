"""Linear heads with a penalty, which are fitted to all rows at once."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from artaffect.config import CaptionSourceConfig
from artaffect.features import AnnotationArrays
from artaffect.models.heads import EmotionHead, FeatureScaler
from artaffect.training.linear import fit_linear_head
from artaffect.training.modalities import CaptionSource
from artaffect.training.objectives import SoftLabelTask
from artaffect.training.sources import SourceContext

INPUTS, WIDTH, CULTURES = 60, 12, 3


def features() -> torch.Tensor:
    """Of very different scales, and one that is constant."""
    values = torch.randn(INPUTS, WIDTH, generator=torch.Generator().manual_seed(0)) + 2
    values[:, 0] = 1
    return values * torch.logspace(-2, 2, WIDTH)


def votes(cultures: int) -> torch.Tensor:
    counts = torch.rand(INPUTS, cultures + 1, 9, generator=torch.Generator().manual_seed(1)) * 3
    return counts.floor()


def new_head(cultures: int, culture_input: str = "head") -> EmotionHead:
    head = EmotionHead(WIDTH, cultures, culture_input=culture_input)
    head.initialize_from(features(), votes(cultures).sum((0, 1)))
    return head


def randomized(head: EmotionHead) -> EmotionHead:
    with torch.no_grad():
        for weight in head.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(2))
    return head


@pytest.mark.parametrize(
    ("cultures", "culture_input"), [(0, "off"), (CULTURES, "head"), (CULTURES, "embedding")]
)
def test_logits_for_all_cultures_are_those_for_each(cultures: int, culture_input: str) -> None:
    head = randomized(new_head(cultures, culture_input))
    every = head.linear_logits(head.scaler(features()))
    assert every.shape == (INPUTS, cultures + 1, 9)
    for culture in range(cultures + 1):
        one = head(features(), torch.full((INPUTS,), culture))
        torch.testing.assert_close(every[:, culture], one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inputs", [INPUTS, WIDTH // 4])
@pytest.mark.parametrize("cultures", [0, CULTURES])
def test_the_fit_is_the_optimum_of_the_objective_wherever_it_starts(
    cultures: int, inputs: int
) -> None:
    values, chosen = features()[:inputs], votes(cultures)[:inputs]
    first, second = new_head(cultures), randomized(new_head(cultures))
    start = {name: bias.detach().clone() for name, bias in new_head(cultures).named_parameters()}
    with torch.no_grad():  # the biases have a prior around their start
        for name, bias in second.named_parameters():
            if bias.ndim == 1:
                bias.copy_(start[name])
    for head in (first, second):
        fit_linear_head(head, values, chosen, penalty=0.1)
    counts = chosen.transpose(0, 1)
    culture, row = torch.nonzero(counts.sum(-1), as_tuple=True)
    batch = {"features": values[row], "culture": culture, "votes": counts[culture, row]}
    for head in (first, second):
        loss = SoftLabelTask(head, 0.1)(batch).loss
        for name, bias in head.named_parameters():
            if bias.ndim == 1:
                loss = loss + (bias - start[name]).square().sum() / (2 * counts.sum())
        gradients = torch.autograd.grad(loss, list(head.parameters()))
        assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-3
    at = torch.zeros(inputs, dtype=torch.int64)
    probabilities = [head(values, at).softmax(1) for head in (first, second)]
    torch.testing.assert_close(*probabilities, rtol=0, atol=1e-3)


def test_the_embedding_of_each_culture_gives_it_its_best_bias() -> None:
    head, counts = new_head(CULTURES, "embedding"), votes(CULTURES)
    counts[:, 1, :4] *= 3  # a culture with other frequencies
    start = head.shared.bias.detach().clone()
    reported = fit_linear_head(head, features(), counts, penalty=0.1)
    assert head.embedding is not None
    weight, bias = head.shared.weight.detach(), head.shared.bias.detach()
    free = [weight.requires_grad_(), bias.requires_grad_()]
    free.append((head.embedding.weight @ weight.T).detach().requires_grad_())
    logits = (head.scaler(features()) @ weight.T)[:, None] + bias + free[-1]
    loss = 0.1 * weight.square().sum() - (counts * logits.log_softmax(2)).sum() / counts.sum()
    prior = (bias - start).square().sum() + free[-1].square().sum()
    loss = loss + prior / (2 * counts.sum())
    assert reported == pytest.approx(loss.item(), abs=1e-4)
    gradients = torch.autograd.grad(loss, free)
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-3
    at = torch.tensor([1]).expand(INPUTS)
    expected = counts[:, 1].sum(0) / counts[:, 1].sum()
    torch.testing.assert_close(head(features(), at).softmax(1).mean(0), expected, atol=0.02, rtol=0)


def test_the_loss_that_is_reported_is_the_objective() -> None:
    head = new_head(0)
    before = head.shared.bias.detach().clone()
    loss = fit_linear_head(head, features(), votes(0), penalty=0.1)
    at = torch.zeros(INPUTS, dtype=torch.int64)
    batch = {"features": features(), "culture": at, "votes": votes(0)[:, 0]}
    prior = (head.shared.bias - before).square().sum() / (2 * votes(0).sum())
    expected = (SoftLabelTask(head, 0.1)(batch).loss + prior).item()
    assert loss == pytest.approx(expected, abs=1e-5)


def test_a_label_that_no_row_has_stays_possible() -> None:
    head, counts = EmotionHead(WIDTH, 0), votes(0)
    counts[:, :, 3] = 0
    head.initialize_from(features(), counts.sum((0, 1)))
    fit_linear_head(head, features(), counts, penalty=10.0)
    share = head(features(), torch.zeros(INPUTS, dtype=torch.int64)).softmax(1)[:, 3]
    assert share.min().item() > 0.2 / counts.sum()


def caption_rows() -> AnnotationArrays:
    """Captions of which every two are equal, in two cultures."""
    rng = np.random.default_rng(0)
    rows = 2 * INPUTS
    return AnnotationArrays(
        artwork_ids=np.arange(rows),
        image=torch.zeros(rows, 0),
        artwork_has_image=torch.ones(rows, dtype=torch.bool),
        artwork=torch.arange(rows),
        caption=features(),
        caption_index=torch.arange(rows) // 2,
        emotion=torch.from_numpy(rng.integers(0, 9, rows)),
        culture=torch.arange(rows) % 2 + 1,
        culture_names=np.array(["one", "other"], object)[np.arange(rows) % 2],
    )


def caption_source(config: CaptionSourceConfig, cultures: int) -> CaptionSource:
    encoder: Any = SimpleNamespace(feature_dim=WIDTH)
    return CaptionSource(config, encoder, SourceContext(cultures))


def test_one_caption_in_three_counts_for_both_cultures_together() -> None:
    source, rows = caption_source(CaptionSourceConfig("none"), 2), caption_rows()
    counted = source.votes(rows).sum((0, 2))
    torch.testing.assert_close(counted, torch.tensor([1 / 3, 1 / 3, 1 / 3]) * len(rows))
    blind = caption_source(CaptionSourceConfig("none"), 0).votes(rows)
    torch.testing.assert_close(blind.sum((0, 2)), torch.tensor([float(len(rows))]))


def test_a_linear_caption_head_with_a_penalty_needs_no_epochs() -> None:
    rows = caption_rows()
    rows = replace(rows, emotion=(rows.caption[rows.caption_index, 5] > 0.4).long())
    source = caption_source(CaptionSourceConfig("none", penalty=(0.01, 1.0)), 2)
    source.fit(rows, rows)
    assert source.log()["best_epoch"] == len(source.result_.history) == 1
    assert source.penalty_ == 0.01
    assert source.result_.history[0]["accuracy"] > 0.9


def test_a_scaler_counts_rows_as_often_as_they_occur() -> None:
    index = torch.randint(0, INPUTS, (500,), generator=torch.Generator().manual_seed(3))
    counts = torch.bincount(index, minlength=INPUTS)
    counted = FeatureScaler(WIDTH).fit(features(), counts=counts)
    repeated = features()[index]
    torch.testing.assert_close(counted.mean, repeated.mean(0))
    torch.testing.assert_close(counted.scale, repeated.std(0))
