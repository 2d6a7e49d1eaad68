"""One model gives the same predictions with both engines."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from PIL import Image

from artaffect.config import (
    DistillationConfig,
    JointConfig,
    Recipe,
    SeparateConfig,
    load_recipe,
    recipe_names,
)
from artaffect.errors import ExportError, ModelFolderError, OutputExistsError
from artaffect.models.checkpoint import load_model, save_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import write_checksums
from artaffect.models.fusion import FeatureFusion, LinearFusion, LogitFusion
from artaffect.models.heads import EmotionClassifier, EmotionHead
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction import export
from artaffect.prediction.export import compare, export_onnx
from artaffect.prediction.onnx import OnnxPredictor
from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.prediction.torch import TorchPredictor
from tests import tiny
from tests.absent import run_without
from tests.conftest import Command

CULTURES = ("arabic", "chinese", "english")
SMALL = {
    "resnet50": tiny.save_tiny_resnet,
    "vgg16": tiny.save_tiny_vgg,
    "vit_base_patch16_224": tiny.save_tiny_vit,
    "clip_vit_base_patch32": tiny.save_tiny_clip,
    "siglip2_base_patch16_224": tiny.save_tiny_siglip,
    "efficientnet_lite0": tiny.save_tiny_resnet,  # the form with stages is exported as it is
}


def saved_model(recipe: Recipe, folders: Mapping[str, Path], out: Path) -> Path:
    """A folder of the recipe's structure, with small encoders and weights by chance."""
    torch.manual_seed(0)
    image = caption = None
    fusion: LinearFusion | None = None
    branch: Any = getattr(recipe, "image", None)
    if branch is not None:
        save = SMALL.get(branch.encoder)
        source = save(out.with_name("image-encoder")) if save else branch.encoder
        encoder = create_image_encoder(str(source))
        image = classifier(encoder, recipe, branch)
    branch = getattr(recipe, "caption", None)
    if isinstance(recipe, DistillationConfig):
        branch = recipe.student
    if branch is not None:
        caption = classifier(create_text_encoder(str(folders["bert"])), recipe, branch)
    if image is not None and caption is not None:
        assert isinstance(recipe, SeparateConfig | JointConfig)
        fusion = fusion_of(recipe, image.encoder.feature_dim, caption.encoder.feature_dim)
    model = EmotionModel(image, caption, fusion, CULTURES, CULTURES).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1 and parameter.abs().max() < 1e-6:  # untrained heads start at zero
            torch.nn.init.normal_(parameter, std=0.3)
    model.temperature.uniform_(0.5, 2.0)
    out.mkdir()
    save_model(model, out, {"recipe": {}})
    (out / "metrics.json").write_text("{}")
    (out / "README.md").write_text("# A model\n")
    write_checksums(out)
    return out


def classifier(encoder: Any, recipe: Recipe, branch: Any) -> Any:
    cultures = 0 if recipe.culture == "off" else len(CULTURES)
    culture_input = "embedding" if recipe.culture == "embedding" else "head"
    multi_label = getattr(branch, "objective", "").startswith("multi_label")
    head = EmotionHead(
        encoder.feature_dim, cultures, (8,), culture_input=culture_input, multi_label=multi_label
    )
    return EmotionClassifier(encoder, head)


def fusion_of(recipe: Any, image_dim: int, caption_dim: int) -> LinearFusion:
    widths = {"image": image_dim, "caption": caption_dim}
    if recipe.fusion.form == "features":
        return FeatureFusion(widths, len(CULTURES), latent=8, hidden=(6,))
    fusion = LogitFusion(
        tuple(widths), len(CULTURES), per_culture=recipe.fusion.per_culture != "off"
    )
    fusion.log_prior.copy_(torch.randn_like(fusion.log_prior).log_softmax(-1))
    return fusion


def structures() -> dict[str, list[str]]:
    """Recipes that lead to graphs of one structure, under the first of their names."""
    names_by_structure: dict[object, list[str]] = {}
    for name in recipe_names():
        recipe: Any = load_recipe(name, Recipe)
        image, fusion = getattr(recipe, "image", None), getattr(recipe, "fusion", None)
        reads = isinstance(recipe, DistillationConfig) or getattr(recipe, "caption", None)
        structure = (
            image and (SMALL.get(image.encoder, image.encoder), getattr(image, "objective", "")),
            bool(reads),
            fusion and image and reads and (fusion.form, fusion.per_culture),
            recipe.culture,
        )
        names_by_structure.setdefault(structure, []).append(name)
    return {names[0]: names for names in names_by_structure.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", structures())
def test_the_exported_model_of_every_recipe_predicts_the_same(
    name: str, encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    run = saved_model(load_recipe(name, Recipe), encoder_folders, tmp_path / "run")
    difference = export_onnx(run, tmp_path / "onnx")
    original, exported = load_predictor(run), load_predictor(tmp_path / "onnx")
    assert isinstance(original, TorchPredictor) and isinstance(exported, OnnxPredictor)
    assert difference.largest <= 1e-4
    assert original.description.modalities == exported.description.modalities
    captions = ["waves", "a black sky over a small boat", "巨浪高过一条小船"]
    image = Image.effect_noise((90, 70), 80)
    modalities = original.description.modalities
    inputs = [PredictionInput(image, caption) for caption in captions]
    inputs += [PredictionInput(caption=c) for c in captions if "caption" in modalities]
    inputs += [PredictionInput(image=image, cultures=["arabic", "atlantic"])] * (
        "image" in modalities
    )
    predictions = zip(original.predict_batch(inputs), exported.predict_batch(inputs), strict=True)
    for first, second in predictions:
        for a, b in zip(first, second, strict=True):
            assert (a.culture, a.note) == (b.culture, b.note)
            np.testing.assert_allclose(a.distribution.values, b.distribution.values, atol=1e-4)
            assert a.modality_shares == pytest.approx(b.modality_shares, abs=1e-4)


def test_max_pooling_and_normalization_are_exported(
    encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    bert = shutil.copytree(encoder_folders["bert"], tmp_path / "bert")
    kinds = ("Transformer", "Pooling", "Normalize")
    modules = [{"path": "" if i == 0 else kind, "type": kind} for i, kind in enumerate(kinds)]
    (bert / "modules.json").write_text(json.dumps(modules))
    (bert / "Pooling").mkdir()
    (bert / "Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    run = saved_model(load_recipe("tune-e5", Recipe), {"bert": bert}, tmp_path / "run")
    encoder = json.loads((run / "config.json").read_text("utf-8"))["caption"]["encoder"]
    assert encoder["architecture"]["pooling"] == "max" and encoder["architecture"]["normalize"]
    assert export_onnx(run, tmp_path / "onnx").largest <= 1e-4


@pytest.fixture(scope="module")
def exported(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "onnx"
    export_onnx(str(tiny_run), str(out))
    return out


def test_an_exported_folder_needs_no_torch(exported: Path, picture: Path) -> None:
    packages = ("torch", "transformers", "safetensors", "accelerate", "pyarrow")
    code = f"""
from artaffect import load_predictor
prediction = load_predictor({str(exported)!r}).predict({str(picture)!r}, 'waves')
print([item.culture for item in prediction])
"""
    done = run_without(packages, code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['arabic', 'chinese', 'english']"


def test_the_command_exports_and_predict_takes_the_folder(
    artaffect: Command, encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    run = saved_model(load_recipe("tune-e5", Recipe), encoder_folders, tmp_path / "run")
    out = tmp_path / "int8"
    code, _, err = artaffect("export", run, "--out", out, "--int8")
    assert code == 0 and "differ from" in err
    settings = json.loads((out / "config.json").read_text("utf-8"))["export"]
    assert settings["int8"] is True and 0 < settings["average"] <= export.SIMILAR
    code, printed, _ = artaffect("predict", out, "--caption", "waves", "--json")
    assert code == 0 and len(json.loads(printed)["predictions"]) == 3
    code, _, err = artaffect("export", run, "--out", out)
    assert code == 1 and "add --overwrite" in err
    code, _, err = artaffect("export", out, "--out", tmp_path / "again")
    assert code == 1 and "holds ONNX graphs" in err


def test_a_difference_between_two_predictors_is_measured(tiny_run: Path, exported: Path) -> None:
    original = load_predictor(tiny_run)
    assert compare(original, load_predictor(exported)).largest < 1e-4
    other = TorchPredictor(load_model(tiny_run))
    assert other.model.fusion is not None
    other.model.fusion.weight.data += 0.5
    assert compare(original, other).largest > 1e-2


def test_an_altered_graph_is_refused(exported: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(exported, broken)
    (broken / "answer.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelFolderError, match=r"answer\.onnx is not the file that was saved"):
        load_predictor(broken)
    (broken / "caption.onnx").unlink()
    with pytest.raises(ModelFolderError, match=r"is missing|is not the file"):
        load_predictor(broken)


def altered_graph(exported: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """A copy with another graph behind the encoders, signed as a stranger can."""
    shutil.copytree(exported, folder)
    model = onnx.load(folder / "answer.onnx")
    change(model.graph)
    onnx.save(model, folder / "answer.onnx")
    write_checksums(folder)
    return folder


def with_weights_elsewhere(graph: Any) -> None:
    tensor = graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="README.md")


def with_a_loop(graph: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def with_a_terabyte_of_zeros(graph: Any) -> None:
    graph.initializer.append(helper.make_tensor("size", onnx.TensorProto.INT64, [1], [2**38]))
    graph.node[-1].output[0], last = "before", graph.node[-1].output[0]
    graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["zeros"]))
    graph.node.append(helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0))
    dtype = next(o.type.tensor_type.elem_type for o in graph.output if o.name == last)
    graph.node.append(helper.make_node("Cast", ["zero"], ["zero.cast"], to=dtype))
    graph.node.append(helper.make_node("Add", ["before", "zero.cast"], [last]))


GRAPH_CHANGES: list[tuple[Callable[[Any], None], str]] = [
    (with_weights_elsewhere, "a tensor lies in another file"),
    (with_a_loop, "an attribute has content that is not allowed"),
    (with_a_terabyte_of_zeros, "answer.onnx cannot be used"),
    (
        lambda g: g.node.append(helper.make_node("Run", [], ["x"], domain="other")),
        "b'other' is not",
    ),
    (lambda g: g.ClearField("node"), "answer.onnx cannot be used"),
    (lambda g: g.ClearField("output"), "answer.onnx (cannot be used|gives no predictions)"),
]


@pytest.mark.parametrize(("change", "reason"), GRAPH_CHANGES)
def test_a_graph_of_a_stranger_is_refused_in_one_line(
    exported: Path, tmp_path: Path, change: Callable[[Any], None], reason: str
) -> None:
    folder = altered_graph(exported, tmp_path / "stranger", change)
    with pytest.raises(ModelFolderError, match=reason) as caught:
        load_predictor(folder).predict(caption="waves")
    assert "\n" not in str(caught.value)


def test_graphs_of_another_kind_and_broken_graphs_are_one_line(
    exported: Path, tmp_path: Path
) -> None:
    for number, content in enumerate(
        ((exported / "image.onnx").read_bytes(), b"", b"\xff" * 99, b"{}")
    ):
        folder = Path(shutil.copytree(exported, tmp_path / str(number)))
        (folder / "caption.onnx").write_bytes(content)
        write_checksums(folder)
        with pytest.raises(ModelFolderError, match=r"caption\.onnx") as caught:
            load_predictor(folder).predict(caption="waves")
        assert "\n" not in str(caught.value)


def test_graphs_beside_an_untouched_folder_are_not_used(
    tiny_run: Path, exported: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for path in exported.glob("*.onnx"):
        shutil.copy(path, folder / path.name)
    with pytest.raises(ModelFolderError, match=r"answer\.onnx is not listed in SHA256SUMS"):
        load_predictor(folder)


def test_a_saved_copy_of_a_model_predicts_the_same(
    tiny_run: Path, exported: Path, tmp_path: Path
) -> None:
    for number, folder in enumerate((tiny_run, exported)):
        predictor = load_predictor(folder)
        copy = tmp_path / f"copy{number}"
        predictor.save_pretrained(copy)
        again = type(predictor).from_pretrained(copy)
        assert compare(predictor, again).largest < 1e-6
        with pytest.raises(OutputExistsError, match="exists"):
            predictor.save_pretrained(copy)
    with pytest.raises(ModelFolderError, match="was not loaded from a folder"):
        TorchPredictor(load_model(tiny_run)).save_pretrained(tmp_path / "none")
    with pytest.raises(ModelFolderError, match="hf:nobody/nothing cannot be downloaded"):
        load_predictor("hf:nobody/nothing")
    card = (tiny_run / "README.md").read_text("utf-8")
    assert card.startswith("---\n") and "library_name: artaffect" in card
    assert "dataset" in card and "(arabic)" in card


def test_graphs_with_other_predictions_are_not_written(tiny_run: Path, tmp_path: Path) -> None:
    # features of an untrained encoder hardly vary, so eight bits lose what the head depends on
    with pytest.raises(ExportError, match="do not reproduce the predictions .*try without --int8"):
        export_onnx(tiny_run, tmp_path / "out", int8=True)
    assert not list(tmp_path.iterdir())
