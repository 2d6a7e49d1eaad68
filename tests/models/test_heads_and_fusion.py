"""Heads and the linear combination."""

import pytest
import torch

from artaffect.errors import ModelFolderError
from artaffect.models.fusion import FeatureFusion, LinearFusion, LogitFusion, build_fusion
from artaffect.models.heads import EmotionHead, log_probabilities
from artaffect.models.weights import load_weights

N, CULTURES = 6, 3
CULTURE = torch.tensor([0, 1, 2, 3, 1, 2])
BOTH = torch.ones(N, 2, dtype=torch.bool)


def only(column: int) -> torch.Tensor:
    present = torch.zeros(N, 2, dtype=torch.bool)
    present[:, column] = True
    return present


def logit_fusion(per_culture: bool = False) -> LogitFusion:
    fusion = LogitFusion(CULTURES, per_culture)
    torch.manual_seed(1)
    fusion.log_prior.copy_(torch.randn(CULTURES + 1, 9).log_softmax(1))
    with torch.no_grad():
        fusion.weight.copy_(torch.rand_like(fusion.weight) + 0.2)
        fusion.bias.copy_(torch.randn(9) * 0.1)
    return fusion


def feature_fusion(per_culture: bool = False) -> FeatureFusion:
    torch.manual_seed(1)
    fusion = FeatureFusion(5, 4, CULTURES, CULTURES * per_culture, latent=8).eval()
    with torch.no_grad():
        fusion.absent.normal_()
    return fusion


def inputs(fusion: LinearFusion) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(2)
    widths = (9, 9) if isinstance(fusion, LogitFusion) else (5, 4)
    return torch.randn(N, widths[0]), torch.randn(N, widths[1])


FUSIONS = [
    pytest.param(make, per_culture, id=f"{make.__name__}-{per_culture}")
    for make in (logit_fusion, feature_fusion)
    for per_culture in (False, True)
]


@pytest.mark.parametrize(("make", "per_culture"), FUSIONS)
def test_fusion_contract(make: type[LinearFusion], per_culture: bool) -> None:
    fusion = make(per_culture)
    image, caption = inputs(fusion)
    logits = fusion(image, caption, BOTH, CULTURE)
    assert logits.shape == (N, 9)
    torch.testing.assert_close(fusion(image[:1], caption[:1], BOTH[:1], CULTURE[:1]), logits[:1])
    shares = fusion.shares(image, caption, BOTH, CULTURE)
    torch.testing.assert_close(shares.sum(1), torch.ones(N))
    assert (shares > 0).all()
    rebuilt = build_fusion(fusion.settings()).eval()
    load_weights(rebuilt, fusion.state_dict(), "copy")
    torch.testing.assert_close(rebuilt(image, caption, BOTH, CULTURE), logits)


@pytest.mark.parametrize(("make", "per_culture"), FUSIONS)
def test_what_is_missing_has_no_influence(make: type[LinearFusion], per_culture: bool) -> None:
    fusion = make(per_culture)
    image, caption = inputs(fusion)
    for column in (0, 1):
        pair = [image.clone(), caption.clone()]
        before = fusion(*pair, only(column), CULTURE)
        pair[1 - column] = torch.full_like(pair[1 - column], 1e4)
        torch.testing.assert_close(fusion(*pair, only(column), CULTURE), before)


def test_a_lone_modality_keeps_its_branchs_answer() -> None:
    fusion = logit_fusion()
    image, caption = inputs(fusion)
    for column, branch in ((0, image), (1, caption)):
        answer = log_probabilities(fusion(image, caption, only(column), CULTURE))
        torch.testing.assert_close(answer, log_probabilities(branch), atol=1e-5, rtol=1e-5)
        shares = fusion.shares(image, caption, only(column), CULTURE)
        assert shares[:, column].tolist() == [1.0] * N


def test_logit_terms_add_up_exactly() -> None:
    fusion = logit_fusion(per_culture=True)
    image, caption = inputs(fusion)
    terms = fusion.terms(image, caption, BOTH, CULTURE)
    total = fusion.log_prior[CULTURE] + terms.sum(1) + fusion.bias
    torch.testing.assert_close(fusion(image, caption, BOTH, CULTURE), total)
    weight = fusion.weight[2]  # row 2 of the batch belongs to culture 2
    said = image[2].log_softmax(0) - fusion.log_prior[2]
    torch.testing.assert_close(terms[2, 0], weight[0] * said)


def test_a_blind_head_ignores_culture_and_a_seeing_one_starts_alike() -> None:
    torch.manual_seed(0)
    features = torch.randn(N, 4)
    blind = EmotionHead(4, 0, hidden=[5]).eval()
    torch.testing.assert_close(blind(features, CULTURE), blind(features, torch.zeros(N, dtype=int)))
    seeing = EmotionHead(4, CULTURES, hidden=[5]).eval()
    first = seeing(features, CULTURE)
    torch.testing.assert_close(first, seeing(features, torch.zeros(N, dtype=int)))
    with torch.no_grad():
        seeing.deviation.weight.normal_()
    changed = seeing(features, CULTURE)
    assert not torch.allclose(changed[1], seeing(features, torch.full((N,), 2))[1])


def test_a_linear_head_starts_from_the_counts() -> None:
    head = EmotionHead(4, 0)
    counts = torch.tensor([9.0, 0, 0, 0, 0, 0, 0, 0, 0])
    head.start(torch.randn(20, 4), counts)
    answer = head(torch.randn(3, 4), torch.zeros(3, dtype=int)).softmax(1)
    torch.testing.assert_close(answer, ((counts + 1) / 18).expand(3, 9))


def test_weights_that_do_not_fit_are_listed() -> None:
    head = EmotionHead(4, 0)
    weights = head.state_dict() | {"extra": torch.zeros(1)}
    weights["shared.bias"] = torch.zeros(3)
    del weights["scaler.mean"]
    with pytest.raises(
        ModelFolderError,
        match=r"1 missing \['scaler.mean'\], 1 unexpected \['extra'\], 1 of other shape",
    ):
        load_weights(head, weights, "file")
