"""A thin folder predicts the same as a full one, is refused with other encoders, and opens no path."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from safetensors.torch import load_file, save_file
from transformers import BertModel

import artaffect as aa
from artaffect.config import Recipe, SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ArtAffectError, ConfigError, InputError, ModelFolderError
from artaffect.models.checkpoint import save_model
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import CARD, CONFIG, TOKENIZER, WEIGHTS, check_folder, write_checksums
from artaffect.models.fusion import FeatureFusion
from artaffect.models.heads import EmotionClassifier, EmotionHead
from artaffect.models.hub import push_folder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.references import FOLDER_VARIABLE, reference_name
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.collection.run import predict_collection
from artaffect.prediction.predictor import load_predictor
from artaffect.server.app import create_app
from artaffect.training.run import train_run
from tests.conftest import Command

CULTURES = ("arabic", "chinese", "english")
CAPTIONS = ["waves", "a black sky over a small boat", "巨浪高过一条小船", "قارب صغير"]
NAMES = {"image": "folder:resnet", "caption": "folder:bert"}


@pytest.fixture(autouse=True)
def variable(encoder_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(encoder_folders["bert"].parent))


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory,
    encoder_folders: dict[str, Path],
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(encoder_folders["bert"].parent))
        run = tmp_path_factory.mktemp("runs") / "thin"
        train_run(sample_table, replace(tiny_config, save="thin"), run)
        yield run


@pytest.fixture
def thin(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "thin"))


def matrix(run: Path) -> np.ndarray:
    """Probabilities of captions, images and both."""
    noise = np.random.default_rng(0).integers(0, 255, (3, 40, 50, 3), np.uint8)
    images = [*noise, None, *noise, None, None]
    captions = [*CAPTIONS[:4], None, None, None, *CAPTIONS[:2]]
    predictor = load_predictor(run)
    return np.stack([predictor.predict_proba(images, captions, c) for c in (*CULTURES, None)])


def edit(folder: Path, **changes: Any) -> None:
    """Change keys of the configuration, and sign the folder, as a stranger can."""
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    (folder / CONFIG).write_text(json.dumps(config | changes), "utf-8")
    write_checksums(folder)


def refer(folder: Path, **names: str) -> None:
    references = json.loads((folder / CONFIG).read_text("utf-8"))["references"]
    edit(
        folder, references={k: v | {"name": names.get(k, v["name"])} for k, v in references.items()}
    )


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(ArtAffectError, match=reason) as caught:
        load_predictor(folder)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500


def compact_model() -> EmotionModel:
    """The largest model of the recipe ``compact``, with weights by chance."""
    torch.manual_seed(0)
    image_encoder = create_image_encoder("efficientnet_lite0_stages")
    text_encoder = create_text_encoder("e5_small")
    image = EmotionClassifier(image_encoder, EmotionHead(1536, len(CULTURES)))
    caption = EmotionClassifier(text_encoder, EmotionHead(384, len(CULTURES), (256,)))
    widths = {"image": 1536, "caption": 384}
    fusion = FeatureFusion(widths, len(CULTURES), per_culture=len(CULTURES), latent=256)
    for part in (image.head, caption.head, fusion):
        for weight in part.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    return EmotionModel(image, caption, fusion, CULTURES).eval()


@pytest.mark.slow
def test_a_thin_folder_of_compact_is_small_and_predicts_the_same(tmp_path: Path) -> None:
    model = compact_model()
    packaged = {"image": "efficientnet_lite0_stages", "caption": "e5_small"}
    for name, references in (("full", None), ("thin", packaged)):
        folder = tmp_path / name
        folder.mkdir()
        save_model(model, folder, {}, references)
        (folder / "metrics.json").write_text("{}")
        (folder / CARD).write_text("# A model\n")
        write_checksums(folder)
    size = {n: sum(f.stat().st_size for f in (tmp_path / n).iterdir()) for n in ("full", "thin")}
    assert size["thin"] < 5_000_000 < 200_000_000 < size["full"]
    assert np.abs(matrix(tmp_path / "thin") - matrix(tmp_path / "full")).max() <= 1e-6
    references = json.loads((tmp_path / "thin" / CONFIG).read_text("utf-8"))["references"]
    for source in packaged:
        other = references | {source: references[source] | {"digest": "0" * 64}}
        edit(tmp_path / "thin", references=other)
        refused(
            tmp_path / "thin", f"the {source} encoder {packaged[source]} is not the one with wh"
        )


@pytest.mark.slow
def test_a_thin_run_is_used_like_any_other(
    trained: Path, sample_table: AnnotationTable, sample_folder: Path, tmp_path: Path
) -> None:
    assert TOKENIZER not in check_folder(trained)
    assert not any(".encoder." in name for name in load_file(trained / WEIGHTS))
    expected = load_predictor(trained).predict(caption="waves over a boat")
    assert aa.evaluate(trained, sample_table)["both"].accuracy.value > 0
    aa.report(trained, sample_table, tmp_path / "report", artwork_pages=0, explanations=0)
    summary = predict_collection(
        trained, sample_folder / "wikiart", tmp_path / "answers.parquet", workers=2
    )
    assert summary.answered == summary.items > 0
    with TestClient(create_app(load_predictor(trained))) as client:
        answer = client.post("/v1/predict", data={"caption": "waves over a boat"}).json()
    assert answer["predictions"][0]["probabilities"] == pytest.approx(
        dict(expected[answer["predictions"][0]["culture"]].probabilities), abs=1e-6
    )


@pytest.mark.slow
def test_an_export_holds_the_encoders(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aa.export_onnx(trained, tmp_path / "onnx")
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert "What it needs" not in (tmp_path / "onnx" / CARD).read_text("utf-8")
    prediction = load_predictor(tmp_path / "onnx").predict(caption="waves over a boat")
    assert len(list(prediction)) == 3


def test_a_packed_folder_needs_nothing_and_predicts_exactly_the_same(
    trained: Path,
    tiny_run: Path,
    tmp_path: Path,
    artaffect: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = matrix(trained)
    code, _, err = artaffect("pack", trained, "--out", tmp_path / "packed")
    assert code == 0, err
    monkeypatch.delenv(FOLDER_VARIABLE)
    assert (matrix(tmp_path / "packed") == expected).all()
    assert (matrix(tiny_run) == expected).all()  # trained alike, and saved in full
    assert check_folder(tmp_path / "packed").keys() == check_folder(tiny_run).keys()
    card, whole = ((run / CARD).read_text("utf-8") for run in (tmp_path / "packed", tiny_run))
    assert card == whole
    code, _, err = artaffect("pack", trained, "--out", tmp_path / "packed")
    assert code == 1 and "packed exists" in err
    with pytest.raises(InputError, match="holds all that it needs already"):
        aa.pack(tmp_path / "packed", tmp_path / "again")


def test_the_card_says_what_the_folder_needs(trained: Path) -> None:
    card = (trained / CARD).read_text("utf-8")
    assert "the folder resnet inside the folder that the variable" in card.replace("\\", "")
    assert "`artaffect pack`" in card


def test_an_encoder_with_other_weights_or_tokens_is_refused(
    thin: Path, encoder_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "others"))
    refused(
        thin, f"the folder resnet: put it into a folder, and set the variable {FOLDER_VARIABLE}"
    )
    for name in ("resnet", "bert"):
        shutil.copytree(encoder_folders[name], tmp_path / "others" / name)
    load_predictor(thin)
    path = tmp_path / "others" / "bert" / "model.safetensors"
    before = path.read_bytes()
    weights = load_file(path)
    weights["embeddings.LayerNorm.bias"][0] += 1e-3
    save_file(weights, path, {"format": "pt"})
    refused(
        thin, "the caption encoder folder:bert is not the one with which this model was trained"
    )
    path.write_bytes(before)
    load_predictor(thin)
    tokenizer = tmp_path / "others" / "bert" / "tokenizer.json"
    definition = json.loads(tokenizer.read_text("utf-8"))
    vocabulary = definition["model"]["vocab"]
    vocabulary["small"], vocabulary["boat"] = vocabulary["boat"], vocabulary["small"]
    tokenizer.write_text(json.dumps(definition), "utf-8")
    refused(
        thin, "the caption encoder folder:bert is not the one with which this model was trained"
    )


@pytest.mark.parametrize(
    "name",
    ["/etc", "../bert", "folder:../bert", "folder:/etc", "folder:a/b", "hf:../bert", "hf:a/b/c"]
    + ["C:\\bert", "", "folder:", "folder:..", "bert\n"],
)
def test_a_reference_is_never_a_path(thin: Path, name: str) -> None:
    refer(thin, caption=name)
    refused(thin, "references.caption.name: expected a registered name, hf:OWNER/MODEL or folder")


def test_a_name_of_the_form_of_a_folder_opens_none(
    thin: Path, encoder_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(encoder_folders["bert"].parents[1])
    bert = encoder_folders["bert"]
    for name in (f"{bert.parent.name}/{bert.name}", bert.parent.name):
        refer(thin, caption=name)
        refused(thin, f"unknown caption encoder '{name}'")
    refer(thin, caption="hf:nobody/nothing")
    refused(thin, "nobody/nothing: model.safetensors is missing or cannot be downloaded")


def test_weights_are_never_unpickled_for_a_model_folder(
    thin: Path, encoder_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    shutil.copytree(encoder_folders["resnet"], tmp_path / "resnet")
    folder = Path(shutil.copytree(encoder_folders["bert"], tmp_path / "bert"))
    torch.save(BertModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    create_text_encoder(str(folder))  # a recipe may use it
    refused(thin, "bert: model.safetensors is missing .* in the format safetensors only")


def test_a_folder_cannot_both_hold_an_encoder_and_refer_to_it(
    thin: Path, tiny_run: Path, tmp_path: Path
) -> None:
    shutil.copy(tiny_run / WEIGHTS, thin / WEIGHTS)
    write_checksums(thin)
    refused(thin, r"model.safetensors: caption.encoder.* is unexpected, as config.json refers to")
    full = Path(shutil.copytree(tiny_run, tmp_path / "full"))
    edit(full, image=None, fusion=None, references={"image": {"name": "a", "digest": "0" * 64}})
    refused(full, "references: the model has no image source")


def test_sizes_are_compared_with_the_encoder_before_they_take_memory(thin: Path) -> None:
    config = json.loads((thin / CONFIG).read_text("utf-8"))
    config["caption"]["encoder"]["architecture"]["config"]["vocab_size"] = 2**22
    config["caption"]["encoder"]["architecture"]["config"]["hidden_size"] = 2**22
    edit(thin, caption=config["caption"])
    refused(thin, "and config.json describes")


def test_a_folder_that_refers_to_this_machine_is_packed_before_it_is_shared(thin: Path) -> None:
    with pytest.raises(InputError, match="make it self-contained with `artaffect pack`"):
        push_folder(thin, "owner/model", synthetic=True)


@pytest.mark.parametrize(
    ("recipe", "overrides", "reason"),
    [
        ("tune-e5", [], "that of caption is fine-tuned"),
        ("tune-e5-fusion", [], "that of caption is fine-tuned"),
        ("distill-e5", [], "that of student is fine-tuned"),
        ("joint", [], "that of image is fine-tuned"),
        ("compact", ["caption.vocabulary=data"], "that of caption is pruned"),
        ("compact", ["caption.depth=6"], "that of caption is pruned"),
    ],
)
def test_a_trained_or_pruned_encoder_cannot_be_referred_to(
    recipe: str, overrides: list[str], reason: str
) -> None:
    assert load_recipe("compact", Recipe, ["save=thin"]).save == "thin"
    with pytest.raises(
        ConfigError, match=f"save = 'thin' can refer to an enc.*{reason}: leave save out"
    ):
        load_recipe(recipe, Recipe, ["save=thin", *overrides])


def test_a_recipe_may_refer_by_name_and_to_folders_in_one_place(
    encoder_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = str(encoder_folders["bert"])
    for source, encoder, expected in (
        ("image", "clip_vit_base_patch32", "clip_vit_base_patch32"),
        ("caption", "intfloat/multilingual-e5-base", "intfloat/multilingual-e5-base"),
        ("caption", "hf:owner/model", "hf:owner/model"),
        ("caption", bert, "folder:bert"),
    ):
        assert reference_name(source, encoder) == expected
    for encoder in ("timm:resnet18", "hf:owner/model/more", "elsewhere/none"):
        with pytest.raises(ConfigError, match="expected a registered name, hf:OWNER/MODEL or a fo"):
            reference_name("image", encoder)
    odd = Path(shutil.copytree(bert, tmp_path / "odd name"))
    with pytest.raises(ConfigError, match=f"set the variable {FOLDER_VARIABLE} to that folder"):
        reference_name("caption", str(odd))
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ConfigError, match="cannot refer to the folder odd name"):
        reference_name("caption", str(odd))
    monkeypatch.delenv(FOLDER_VARIABLE)
    with pytest.raises(ConfigError, match=f"set the variable {FOLDER_VARIABLE} to that folder"):
        reference_name("caption", bert)


def test_a_recipe_whose_encoder_cannot_be_referred_to_is_refused_before_training(
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE)
    with pytest.raises(ConfigError, match="refers to a folder by its name alone"):
        train_run(sample_table, replace(tiny_config, save="thin"), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_thin_folder_that_is_altered_is_refused(thin: Path) -> None:
    (thin / WEIGHTS).write_bytes((thin / WEIGHTS).read_bytes()[:-1] + b"x")
    with pytest.raises(ModelFolderError, match="is not the file that was saved"):
        load_predictor(thin)
