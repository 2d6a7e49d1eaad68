"""Explanations find a planted cause, add up to the prediction, and pass the deletion test."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, UnknownNameError
from artaffect.explain.attribution import gradient_heatmap, occlusion_heatmap, token_weights
from artaffect.explain.deletion import delete_parts, delete_patches
from artaffect.explain.explainer import Explainer, ExplainingPredictor
from artaffect.explain.neighbours import NearestArtworks
from artaffect.explain.overlay import overlay_png
from artaffect.labels import EMOTIONS
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.prediction.torch import TorchPredictor
from tests import tiny
from tests.absent import run_without
from tests.conftest import Command

FAMILIES = [
    "efficientnet_lite0",
    "efficientnet_lite0_stages",
    "tiny_resnet",
    "tiny_vgg",
    "tiny_vit",
]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_heatmap_finds_the_region_that_the_score_depends_on(name: str, tmp_path: Path) -> None:
    save = {
        "tiny_resnet": tiny.save_tiny_resnet,
        "tiny_vgg": tiny.save_tiny_vgg,
        "tiny_vit": tiny.save_tiny_vit,
    }.get(name)
    encoder = create_image_encoder(str(save(tmp_path / name)) if save else name)
    encoder.requires_grad_(False)
    # the receptive field of the last layer of VGG is 212 pixels: all of a small image
    if name == "tiny_vgg":
        encoder.preprocessing = replace(encoder.preprocessing, size=224)
    size = encoder.preprocessing.size
    generator = torch.Generator().manual_seed(0)
    plain = torch.zeros(1, 3, size, size)
    pixels = plain.clone()
    pixels[:, :, : size // 2, : size // 2] = torch.randn(
        3, size // 2, size // 2, generator=generator
    )
    with torch.no_grad():
        direction = encoder(pixels) - encoder(plain)

    def score(features: Tensor) -> Tensor:
        return features @ direction[0] / direction.norm()

    for heatmap in (
        gradient_heatmap(encoder, pixels, score),
        occlusion_heatmap(pixels, lambda x: score(encoder.encode(x))),
    ):
        assert heatmap.shape == (size, size) and np.isfinite(heatmap).all()
        half = size // 2
        quarters = [
            heatmap[a : a + half, b : b + half].mean() for a in (0, half) for b in (0, half)
        ]
        assert int(np.argmax(quarters)) == 0, (name, quarters)


def test_token_weights_add_up_to_the_difference(encoder_folders: dict[str, Path]) -> None:
    for name in (str(encoder_folders["bert"]), "e5_small"):
        encoder = create_text_encoder(name).requires_grad_(False)
        ids = encoder.tokenize(["Waves tower over a small boat"])[0]
        direction = torch.randn(encoder.feature_dim, generator=torch.Generator().manual_seed(1))

        def score(features: Tensor, direction: Tensor = direction) -> Tensor:
            return features @ direction

        weights, delta = token_weights(encoder, ids, score)
        empty = [ids[0], *[encoder.tokens.pad_id] * (len(ids) - 2), ids[-1]]
        with torch.no_grad():
            caption = score(encoder(*encoder.collate([ids])))[0]
            baseline = score(encoder(torch.tensor([empty]), torch.ones(1, len(ids)).long()))[0]
        difference = float(caption - baseline)
        assert weights.sum() == pytest.approx(difference, abs=max(delta, 1e-4) * 2)
        assert delta < 0.05 * (abs(difference) + 1)
        assert weights[0] == weights[-1] == 0


def test_the_deletion_test_tells_a_good_order_from_a_bad_one() -> None:
    pixels = torch.zeros(1, 3, 14, 14)
    pixels[:, :, :4, :4] = 1.0

    def score(images: Tensor) -> Tensor:
        return (images[:, 0, :4, :4].mean((1, 2)) - 2).double()

    heatmap = np.zeros((14, 14), np.float32)
    heatmap[:4, :4] = 1
    good, bad = (delete_patches(pixels, sign * heatmap, score) for sign in (1, -1))
    assert good.deletion_auc_gap > 0 > bad.deletion_auc_gap
    assert good.removed[0] == 0 and good.by_weight[0] == good.at_random[0]
    words = delete_parts(
        np.array([0.1, 3.0, -0.2]),
        lambda parts: torch.tensor([-2.0 if 1 in part else -1.0 for part in parts]),
    )
    assert words.deletion_auc_gap > 0


def test_contributions_add_up_to_the_log_odds(tiny_run: Path, picture: Path) -> None:
    predictor = load_predictor(tiny_run)
    explainer = Explainer(predictor)
    for item in (
        PredictionInput(picture, "waves over a boat"),
        PredictionInput(image=picture),
        PredictionInput(caption="waves over a boat"),
    ):
        for emotion in (None, "fear"):
            for explanation in explainer.explain(item, emotion):
                logs = np.log(np.array(explanation.prediction.distribution.values))
                log_odds = logs[EMOTIONS.index(explanation.emotion)] - logs.mean()
                terms = explanation.contributions.terms.values()
                assert explanation.contributions.exact
                assert sum(terms) == pytest.approx(log_odds, abs=1e-4)
                assert (explanation.heatmap is None) == (item.image is None)
                assert (explanation.words is None) == (item.caption is None)
                if emotion is not None:
                    assert explanation.emotion == emotion
    unknown = explainer.explain(PredictionInput(caption="waves", cultures=["atlantic"]))
    assert unknown["atlantic"].contributions.culture == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("caption", ["🎨🎨", "?! …"])
def test_a_caption_without_words_is_explained_without_words(tiny_run: Path, caption: str) -> None:
    explainer = Explainer(load_predictor(tiny_run))
    item = PredictionInput(caption=caption, cultures=["arabic", "atlantic"])
    explanation = explainer.explain(item, check=True)
    assert explanation["arabic"].words == [] and explanation["arabic"].checks == {}
    assert "contains no words" in str(explanation["arabic"].prediction.note)
    assert "not in training" in str(explanation["atlantic"].prediction.note)
    assert "contains no words" in str(explanation["atlantic"].prediction.note)


def test_an_explanation_is_indexed_by_culture_and_readable(tiny_run: Path) -> None:
    predictor = ExplainingPredictor.load(tiny_run)
    explanation = predictor.explain(caption="waves", culture="<b>atlantic</b>", emotion="fear")
    (atlantic,) = explanation
    assert explanation["<b>atlantic</b>"] is atlantic and len(explanation) == 1
    assert atlantic.emotion == "fear"
    assert atlantic.probability == atlantic.prediction.probabilities["fear"]
    assert repr(explanation).startswith("Explanation(<b>atlantic</b>: fear ")
    html = explanation._repr_html_()
    assert "<td>fear</td>" in html and "caption" in html and "<b>" not in html
    assert json.loads(json.dumps(explanation.to_json()))["explanations"][0]["top"]
    with pytest.raises(KeyError, match="no explanation for 'arabic'; this one has"):
        explanation["arabic"]
    with pytest.raises(UnknownNameError, match="Did you mean 'fear'"):
        predictor.explain(caption="waves", emotion="feer")


def test_the_nearest_artwork_to_a_training_image_is_itself(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    predictor = load_predictor(tiny_run)
    assert isinstance(predictor, TorchPredictor) and predictor.model.image is not None
    branch = predictor.model.image
    artworks = NearestArtworks(sample_table, branch.encoder, branch.head)
    row = next(row for row in sample_table.of_split("train") if row.image)
    assert sample_table.images is not None
    item = PredictionInput(image=sample_table.images / str(row.image))
    neighbours = Explainer(predictor, artworks).explain(item).neighbours
    first = neighbours[0]
    assert first.artwork == row.artwork_id and first.similarity == pytest.approx(1, abs=1e-4)
    similarities = [neighbour.similarity for neighbour in neighbours]
    assert similarities == sorted(similarities, reverse=True)
    assert set(first.votes) == {"arabic", "chinese", "english"}


def test_the_command_writes_a_page_and_prints_json(
    artaffect: Command, tiny_run: Path, picture: Path, tmp_path: Path
) -> None:
    page = tmp_path / "explanation.html"
    options = ("--image", picture, "--caption", "<b>موجة</b> عالية", "--culture", "arabic")
    code, out, _ = artaffect("explain", tiny_run, *options, "--out", page, "--json")
    explanation = json.loads(out)["explanations"][0]
    assert code == 0 and explanation["culture"] == "arabic"
    assert "".join(word["text"] for word in explanation["words"]) == "<b>موجة</b> عالية"
    for name in ("image", "caption"):
        check = explanation["checks"][name]["deletion"]
        assert len(check["removed"]) == len(check["by_weight"]) == len(check["at_random"]) >= 2
        assert np.isfinite(check["deletion_auc_gap"])
        assert explanation["checks"][name]["held"] == (check["deletion_auc_gap"] > 0)
    text = page.read_text("utf-8")
    assert 'dir="auto"' in text and "موجة" in text and "<b>موجة</b>" not in text
    assert "Deletion test, image" in text and "data:image/png;base64," in text
    for name in ("image", "caption"):
        held = explanation["checks"][name]["held"]
        verdict = "held" if held else "failed"
        assert f"Deletion test {'passed' if held else 'failed'}: hiding these" in text
        assert f'class="verdict {verdict}"' in text
    code, *_ = artaffect("explain", tiny_run, *options, "--out", page, "--no-check")
    unchecked = page.read_text("utf-8")
    assert code == 0 and "The deletion test was not run" in unchecked
    assert 'class="verdict held"' not in unchecked and 'class="verdict failed"' not in unchecked
    code, *_ = artaffect("explain", tiny_run, "--caption", "😱😱 !!", "--out", page, "--no-check")
    assert code == 0 and "The caption holds no word" in page.read_text("utf-8")
    code, _, err = artaffect("explain", tiny_run, *options)
    assert code == 1 and "--out page.html" in err


def test_an_exported_model_is_refused_with_a_reason() -> None:
    class Exported:
        pass

    with pytest.raises(InputError, match="an exported model cannot explain"):
        Explainer(Exported())  # type: ignore[arg-type]


def test_a_command_without_its_packages_names_the_extra_to_install(tiny_run: Path) -> None:
    code = """
from artaffect.cli.main import main
sys.argv = ['artaffect', *sys.argv[1:]]
main()
"""
    for arguments, extra in (
        (("explain", str(tiny_run), "--caption", "waves", "--json"), "explain"),
        (("serve", str(tiny_run)), "serve"),
    ):
        done = run_without(("captum", "uvicorn"), code, *arguments)
        assert done.returncode == 1
        assert done.stderr.strip().endswith(f"pip install 'artaffect[{extra}]'")
        assert len(done.stderr.splitlines()) == 1


def test_the_overlay_is_transparent_where_the_heatmap_is_zero() -> None:
    import io

    from artaffect.data.preprocessing import ImagePreprocessing

    heatmap = np.zeros((32, 32), np.float32)
    heatmap[:, 16:] = 1
    layer = np.asarray(
        Image.open(io.BytesIO(overlay_png(heatmap, (800, 400), ImagePreprocessing(fit="stretch"))))
    )
    assert layer.shape == (320, 640, 4)
    assert layer[:, :300, 3].max() == 0 and layer[:, 350:, 3].min() > 150
    cropped = np.asarray(
        Image.open(io.BytesIO(overlay_png(heatmap, (800, 400), ImagePreprocessing(fit="crop"))))
    )
    assert (cropped[:, :100] == (90, 90, 90, 120)).all()  # the encoder does not see the margins
