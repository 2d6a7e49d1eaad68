"""Explanations point at what was planted, add up, and stand the deletion test."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.explain.attribution import gradient_heatmap, occlusion_heatmap, token_weights
from artaffect.explain.deletion import delete_patches, delete_words
from artaffect.explain.explainer import Explainer
from artaffect.explain.neighbours import NearestArtworks
from artaffect.explain.overlay import overlay_png
from artaffect.labels import EMOTIONS, Emotion
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.prediction.torch import TorchPredictor
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
def test_heat_finds_the_patch_that_the_answer_depends_on(name: str) -> None:
    encoder = create_image_encoder(name).requires_grad_(False)
    if name == "tiny_vgg":  # each place of its last map sees 212 pixels: all of a small picture
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

    def answer(features: Tensor) -> Tensor:
        return features @ direction[0] / direction.norm()

    for heatmap in (
        gradient_heatmap(encoder, pixels, answer),
        occlusion_heatmap(encoder, pixels, answer),
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

        def answer(features: Tensor, along: Tensor = direction) -> Tensor:
            return features @ along

        weights, missing = token_weights(encoder, ids, answer)
        empty = [ids[0], *[encoder.tokens.pad_id] * (len(ids) - 2), ids[-1]]
        with torch.no_grad():
            said, nothing = (answer(encoder(*encoder.collate([t])))[0] for t in (ids, empty))
            nothing = answer(encoder(torch.tensor([empty]), torch.ones(1, len(ids)).long()))[0]
        assert weights.sum() == pytest.approx(float(said - nothing), abs=max(missing, 1e-4) * 2)
        assert missing < 0.05 * (abs(float(said - nothing)) + 1)
        assert weights[0] == weights[-1] == 0


def test_deletion_tells_a_good_order_from_a_bad_one() -> None:
    pixels = torch.zeros(1, 3, 14, 14)
    pixels[:, :, :4, :4] = 1.0

    def answer(pictures: Tensor) -> Tensor:
        return (pictures[:, 0, :4, :4].mean((1, 2)) - 2).double()

    heatmap = np.zeros((14, 14), np.float32)
    heatmap[:4, :4] = 1
    good, bad = (delete_patches(pixels, sign * heatmap, answer) for sign in (1, -1))
    assert good.gain > 0 > bad.gain
    assert good.removed[0] == 0 and good.by_weight[0] == good.at_random[0]
    said = delete_words(
        np.array([0.1, 3.0, -0.2]),
        lambda gone: torch.tensor([-2.0 if 1 in part else -1.0 for part in gone]),
    )
    assert said.gain > 0


def test_parts_add_up_to_the_answer(tiny_run: Path, picture: Path) -> None:
    predictor = load_predictor(tiny_run)
    explainer = Explainer(predictor)
    for asked in (
        PredictionInput(picture, "waves over a boat"),
        PredictionInput(image=picture),
        PredictionInput(caption="waves over a boat"),
    ):
        for emotion in (None, Emotion.FEAR):
            for one in explainer.explain(asked, emotion).by_culture:
                values = np.log(np.array(one.prediction.distribution.values))
                wanted = values[EMOTIONS.index(one.emotion)] - values.mean()
                assert one.parts.exact
                assert sum(one.parts.terms.values()) == pytest.approx(wanted, abs=1e-4)
                assert (one.heatmap is None) == (asked.image is None)
                assert (one.words is None) == (asked.caption is None)
                if emotion is not None:
                    assert one.emotion is emotion
    unknown = explainer.explain(PredictionInput(caption="waves", cultures=["atlantic"]))
    assert unknown.by_culture[0].parts.culture == pytest.approx(0, abs=1e-6)


def test_the_nearest_painting_of_a_training_picture_is_itself(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    predictor = load_predictor(tiny_run)
    assert isinstance(predictor, TorchPredictor) and predictor.model.image is not None
    branch = predictor.model.image
    paintings = NearestArtworks(sample_table, branch.encoder, branch.head)
    row = next(row for row in sample_table.of_split("train") if row.image)
    assert sample_table.images is not None
    asked = PredictionInput(image=sample_table.images / str(row.image))
    near = Explainer(predictor, paintings).explain(asked).neighbours
    assert near[0].artwork == row.artwork_id and near[0].similarity == pytest.approx(1, abs=1e-4)
    assert [n.similarity for n in near] == sorted((n.similarity for n in near), reverse=True)
    assert set(near[0].felt) == {"arabic", "chinese", "english"}


def test_a_page_and_the_same_as_json(
    artaffect: Command, tiny_run: Path, picture: Path, tmp_path: Path
) -> None:
    page = tmp_path / "why.html"
    given = ("--image", picture, "--caption", "<b>موجة</b> عالية", "--culture", "arabic")
    code, out, _ = artaffect("explain", tiny_run, *given, "--out", page, "--json")
    reading = json.loads(out)["predictions"][0]
    assert code == 0 and reading["culture"] == "arabic"
    assert "".join(word["text"] for word in reading["words"]) == "<b>موجة</b> عالية"
    for name in ("image", "caption"):
        check = reading["checks"][name]["deletion"]
        assert len(check["removed"]) == len(check["by_weight"]) == len(check["at_random"]) >= 2
    text = page.read_text("utf-8")
    assert 'dir="auto"' in text and "موجة" in text and "<b>موجة</b>" not in text
    assert "Deletion test, image" in text and "data:image/png;base64," in text
    code, _, err = artaffect("explain", tiny_run, *given)
    assert code == 1 and "--out page.html" in err


def test_an_exported_model_says_that_it_cannot_explain() -> None:
    class Exported:
        pass

    with pytest.raises(InputError, match="answers but does not explain"):
        Explainer(Exported())  # type: ignore[arg-type]


def test_a_command_without_its_packages_says_which_extra_brings_them(tiny_run: Path) -> None:
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


def test_the_overlay_leaves_clear_what_does_not_speak() -> None:
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
