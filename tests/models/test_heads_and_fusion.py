"""Heads and the linear combination."""

from typing import Any

import pytest
import torch

from artaffect.errors import ModelFolderError
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import (
    FUSION_FORMS,
    FeatureFusion,
    LinearFusion,
    LogitFusion,
    build_fusion,
)
from artaffect.models.heads import EmotionClassifier, EmotionHead, log_probabilities
from artaffect.models.weights import load_weights

N, CULTURES = 6, 3
CULTURE = torch.tensor([0, 1, 2, 3, 1, 2])
BOTH = torch.ones(N, 2, dtype=torch.bool)


def only(column: int) -> torch.Tensor:
    present = torch.zeros(N, 2, dtype=torch.bool)
    present[:, column] = True
    return present


def logit_fusion(per_culture: bool = False) -> LogitFusion:
    fusion = LogitFusion(("image", "caption"), CULTURES, per_culture)
    randomize(fusion)
    return fusion


def randomize(fusion: LogitFusion) -> None:
    torch.manual_seed(1)
    fusion.log_prior.copy_(torch.randn(CULTURES + 1, 9).log_softmax(1))
    with torch.no_grad():
        fusion.weight.copy_(torch.rand_like(fusion.weight) + 0.2)
        fusion.bias.copy_(torch.randn(9) * 0.1)


def feature_fusion(per_culture: bool = False) -> FeatureFusion:
    torch.manual_seed(1)
    widths = {"image": 5, "caption": 4}
    fusion = FeatureFusion(widths, CULTURES, CULTURES * per_culture, latent=8).eval()
    with torch.no_grad():
        fusion.missing.normal_()
    return fusion


def inputs(fusion: LinearFusion) -> list[torch.Tensor]:
    torch.manual_seed(2)
    widths = (9, 9) if fusion.takes_logits else (5, 4)
    return [torch.randn(N, widths[0]), torch.randn(N, widths[1])]


FUSIONS = [
    pytest.param(make, per_culture, id=f"{make.__name__}-{per_culture}")
    for make in (logit_fusion, feature_fusion)
    for per_culture in (False, True)
]


@pytest.mark.parametrize(("make", "per_culture"), FUSIONS)
def test_fusion_contract(make: type[LinearFusion], per_culture: bool) -> None:
    fusion = make(per_culture)
    pair = inputs(fusion)
    logits = fusion(pair, BOTH, CULTURE)
    assert logits.shape == (N, 9)
    first = fusion([x[:1] for x in pair], BOTH[:1], CULTURE[:1])
    torch.testing.assert_close(first, logits[:1])
    shares = fusion.shares(pair, BOTH, CULTURE)
    torch.testing.assert_close(shares.sum(1), torch.ones(N))
    assert (shares > 0).all()
    rebuilt = build_fusion(fusion.settings()).eval()
    load_weights(rebuilt, fusion.state_dict(), "copy")
    torch.testing.assert_close(rebuilt(pair, BOTH, CULTURE), logits)
    assert FUSION_FORMS[fusion.form] is type(fusion) and fusion.sources == ("image", "caption")
    terms = fusion.additive_terms(pair, BOTH, CULTURE)
    if terms is not None:
        assert list(terms) == ["prior", "image", "caption"]
        torch.testing.assert_close(torch.stack(list(terms.values())).sum(0), logits)


@pytest.mark.parametrize(("make", "per_culture"), FUSIONS)
def test_what_is_missing_has_no_influence(make: type[LinearFusion], per_culture: bool) -> None:
    fusion = make(per_culture)
    for column in (0, 1):
        pair = inputs(fusion)
        before = fusion(pair, only(column), CULTURE)
        pair[1 - column] = torch.full_like(pair[1 - column], 1e4)
        torch.testing.assert_close(fusion(pair, only(column), CULTURE), before)


def test_a_source_that_is_present_alone_keeps_its_own_prediction() -> None:
    fusion = logit_fusion()
    pair = inputs(fusion)
    for column, source in enumerate(pair):
        prediction = log_probabilities(fusion(pair, only(column), CULTURE))
        torch.testing.assert_close(prediction, log_probabilities(source), atol=1e-5, rtol=1e-5)
        shares = fusion.shares(pair, only(column), CULTURE)
        assert shares[:, column].tolist() == [1.0] * N


@pytest.mark.parametrize("make", [logit_fusion, feature_fusion])
def test_a_model_predicts_from_one_source_by_its_own_head(make: type[LinearFusion]) -> None:
    """A combination of features never learned to do without a source as well as the other's own head."""
    heads = [EmotionHead(width, CULTURES).requires_grad_(False) for width in (5, 4)]
    for weight in (weight for head in heads for weight in head.parameters()):
        torch.nn.init.normal_(weight)
    sources: list[Any] = [EmotionClassifier(torch.nn.Identity(), head) for head in heads]
    model = EmotionModel(*sources, make(), ("arabic", "chinese", "english")).eval()
    image, caption = torch.randn(N, 5), torch.randn(N, 4)
    own = [head(x, CULTURE) for head, x in zip(heads, (image, caption), strict=True)]
    present = torch.tensor([[True, False], [False, True], [True, True]] * 2)
    logits = log_probabilities(model.logits(image, caption, present, CULTURE))
    for row, (has_image, has_caption) in enumerate(present.tolist()):
        if not (has_image and has_caption):
            expected = log_probabilities(own[1 if has_caption else 0])[row]
            torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=1e-5)
    image[1] = caption[0] = float("nan")  # what is not present
    again = log_probabilities(model.logits(image, caption, present, CULTURE))
    torch.testing.assert_close(again, logits)


def test_logit_terms_add_up_exactly() -> None:
    fusion = logit_fusion(per_culture=True)
    pair = inputs(fusion)
    terms = fusion.terms(pair, BOTH, CULTURE)
    total = fusion.log_prior[CULTURE] + terms.sum(1) + fusion.bias
    torch.testing.assert_close(fusion(pair, BOTH, CULTURE), total)
    weight = fusion.weight[2]  # row 2 of the batch belongs to culture 2
    shift = pair[0][2].log_softmax(0) - fusion.log_prior[2]
    torch.testing.assert_close(terms[2, 0], weight[0] * shift)


def test_three_sources_are_combined_as_two_are() -> None:
    sources = ("text_of_the_museum", "image", "caption")
    fusions = [
        LogitFusion(sources, CULTURES, per_culture=True),
        FeatureFusion(dict.fromkeys(sources, 9), CULTURES, latent=8).eval(),
    ]
    present = torch.tensor([[i != j for j in range(3)] for i in (0, 1, 2, 3, 3, 3)])
    for fusion in fusions:
        if isinstance(fusion, LogitFusion):
            randomize(fusion)
        values = [torch.randn(N, 9) for _ in sources]
        logits = fusion(values, present, CULTURE)
        assert logits.shape == (N, 9)
        torch.testing.assert_close(fusion(torch.stack(values), present, CULTURE), logits)
        values[0][0], values[1][1], values[2][2] = 1e4, -1e4, 1e4  # those that are missing
        torch.testing.assert_close(fusion(values, present, CULTURE), logits)
        shares = fusion.shares(values, present, CULTURE)
        torch.testing.assert_close(shares.sum(1), torch.ones(N))
        assert build_fusion(fusion.settings()).sources == sources


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
    head.initialize_from(torch.randn(20, 4), counts)
    prediction = head(torch.randn(3, 4), torch.zeros(3, dtype=int)).softmax(1)
    torch.testing.assert_close(prediction, ((counts + 1) / 18).expand(3, 9))


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
