"""LoRA: only adapters are trained, merging them changes no prediction, and loading needs no peft."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from artaffect.config import LoraConfig, Recipe, SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, ModelFolderError
from artaffect.models.folder import ADAPTERS, WEIGHTS, check_folder, write_checksums
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.lora import Adapters, add_adapters, merge_adapters, merged
from artaffect.models.packing import pack
from artaffect.models.references import FOLDER_VARIABLE
from artaffect.models.text_encoders import TextEncoder, create_text_encoder
from artaffect.prediction.predictor import load_predictor
from artaffect.training.run import train_run

needs_peft = pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
CONFIG = LoraConfig(rank=4, alpha=6.0)
CAPTIONS = ["waves", "a black sky over a small boat", "巨浪高过一条小船"]


def features(encoder: TextEncoder | ImageEncoder) -> torch.Tensor:
    with torch.inference_mode():
        if isinstance(encoder, TextEncoder):
            return encoder.eval()(*encoder.collate(encoder.tokenize(CAPTIONS)))
        return encoder.eval()(torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32))


def adapters_of(a: torch.Tensor, b: torch.Tensor, rank: int = 1, alpha: float = 3.0) -> Adapters:
    return Adapters(rank, alpha, {"x.lora_A.weight": a, "x.lora_B.weight": b})


def test_merging_adds_the_scaled_product_to_its_own_weight_alone() -> None:
    weights = {"x.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "y.weight": torch.ones(2, 2)}
    a, b = torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0], [0.5]])
    result = merged(weights, adapters_of(a, b))
    assert result["x.weight"].tolist() == [
        [7.0, -4.0],
        [4.5, 2.5],
    ]  # by hand, with alpha / rank = 3
    assert result["y.weight"] is weights["y.weight"]
    assert weights["x.weight"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("adapters", "reason"),
    [
        (adapters_of(torch.ones(1, 3), torch.ones(2, 1)), "expected \\(1, 2\\) and \\(2, 1\\)"),
        (adapters_of(torch.ones(2, 2), torch.ones(2, 2)), "expected \\(1, 2\\) and \\(2, 1\\)"),
        (adapters_of(torch.ones(2), torch.ones(2)), "expected \\(1, 2\\) and \\(2, 1\\)"),
        (Adapters(1, 1.0, {"x.lora_A.weight": torch.ones(1, 2)}), "not exactly one matrix A"),
        (Adapters(1, 1.0, {"x.weight": torch.ones(2, 2)}), "not exactly one matrix A"),
        (
            Adapters(
                1,
                1.0,
                {f"z.lora_{n}.weight": w for n, w in zip("AB", torch.ones(2, 1, 1), strict=True)},
            ),
            "the adapter z belongs to no linear layer",
        ),
    ],
)
def test_adapters_that_do_not_fit_are_refused(adapters: Adapters, reason: str) -> None:
    with pytest.raises(ModelFolderError, match=reason):
        merged({"x.weight": torch.ones(2, 2), "v.weight": torch.ones(2)}, adapters)


@needs_peft
@pytest.mark.parametrize(
    ("name", "targets"), [("bert", ("query", "value")), ("vit", ("q_proj", "fc1"))]
)
def test_only_adapters_are_trained_and_merging_keeps_the_features(
    name: str, targets: tuple[str, ...], encoder_folders: dict[str, Path]
) -> None:
    config = replace(CONFIG, targets=targets)
    create = create_text_encoder if name == "bert" else create_image_encoder
    encoder = create(str(encoder_folders[name]))
    names, before = set(encoder.state_dict()), features(encoder)
    add_adapters(encoder.network, config)
    trained = {name for name, weight in encoder.named_parameters() if weight.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    torch.testing.assert_close(features(encoder), before, rtol=0, atol=0)
    for parameter, weight in encoder.named_parameters():
        if "lora_B" in parameter:
            nn.init.normal_(weight)
    adapted = features(encoder)
    assert (adapted - before).abs().max() > 0.01
    merge_adapters(encoder, config)
    assert set(encoder.state_dict()) == names
    torch.testing.assert_close(features(encoder), adapted, atol=1e-4, rtol=1e-4)


@needs_peft
def test_targets_that_are_no_linear_layers_are_named(encoder_folders: dict[str, Path]) -> None:
    encoder = create_text_encoder(str(encoder_folders["bert"]))
    for target in ("q_proj", "LayerNorm", "output"):
        with pytest.raises(ConfigError, match=f"{target} is no linear layer of this encoder: dens"):
            add_adapters(encoder.network, LoraConfig(targets=("query", target)))


def test_settings_of_lora_are_checked() -> None:
    for recipe, overrides, reason in (
        ("compact", ["caption.lora.rank=4"], "training = 'frozen' does not use lora"),
        ("tune-e5", ["caption.lora.rank=0"], "caption.lora.rank: Input should be greater than"),
        ("tune-e5", ["caption.lora.rank=4"], "lora trains nothing but adapters: leave freeze_emb"),
        ("joint", ["caption.lora.rank=4", "caption.freeze_embeddings=false"], "only recipes of t"),
        (
            "tune-e5",
            ["caption.lora.rank=4", "caption.freeze_embeddings=false", "save=thin"],
            "that of caption is pruned",
        ),
    ):
        with pytest.raises(ConfigError, match=reason):
            load_recipe(recipe, Recipe, overrides)


@pytest.fixture
def lora_config(
    encoder_folders: dict[str, Path],
    tiny_config: SeparateConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> SeparateConfig:
    """A caption source fine-tuned by adapters, without images."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(encoder_folders["bert"].parent))
    assert tiny_config.caption is not None
    train = replace(tiny_config.caption.train, learning_rate=0.03, epochs=2)
    caption = replace(tiny_config.caption, training="fine-tuned", lora=CONFIG, train=train)
    return replace(tiny_config, image=None, caption=caption)


@pytest.mark.skipif(find_spec("peft") is not None, reason="peft is installed")
def test_training_without_peft_says_what_to_install(
    sample_table: AnnotationTable, lora_config: SeparateConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'artaffect\[lora\]'"):
        train_run(sample_table, lora_config, tmp_path / "run")


@pytest.mark.slow
@needs_peft
def test_a_thin_folder_holds_adapters_and_predicts_as_a_whole_one_without_peft(
    sample_table: AnnotationTable,
    lora_config: SeparateConfig,
    encoder_folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    train_run(sample_table, lora_config, tmp_path / "full")
    train_run(sample_table, replace(lora_config, save="thin"), tmp_path / "thin")
    pack(tmp_path / "thin", tmp_path / "packed")
    assert ADAPTERS in check_folder(tmp_path / "thin")
    for whole in ("full", "packed"):
        assert ADAPTERS not in check_folder(tmp_path / whole)
        assert not any("lora" in name for name in load_file(tmp_path / whole / WEIGHTS))
    expected = load_predictor(tmp_path / "full").predict_proba(captions=CAPTIONS, culture="arabic")
    for name in ("thin", "packed"):
        actual = load_predictor(tmp_path / name).predict_proba(captions=CAPTIONS, culture="arabic")
        assert (actual == expected).all()
    adapters = load_file(tmp_path / "thin" / ADAPTERS)
    assert max(float(w.abs().max()) for n, w in adapters.items() if "lora_B" in n) > 1e-3
    code = (
        "import json, sys; sys.modules['peft'] = None\n"
        "from artaffect.prediction.predictor import load_predictor\n"
        f"p = load_predictor({str(tmp_path / 'thin')!r}).predict_proba(captions={CAPTIONS!r}, "
        "culture='arabic'); print(json.dumps(p.tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    np.testing.assert_allclose(np.array(json.loads(done.stdout)), expected, rtol=0, atol=1e-12)

    name = next(iter(adapters))
    for changed, reason in (
        ({**adapters, name: adapters[name][:1].contiguous()}, "has the shapes"),
        ({**adapters, "image.encoder.x.lora_A.weight": torch.ones(1)}, "is unexpected"),
        ({n: w for n, w in adapters.items() if n != name}, "not exactly one matrix A"),
    ):
        save_file(changed, tmp_path / "thin" / ADAPTERS)
        write_checksums(tmp_path / "thin")
        with pytest.raises(ModelFolderError, match=reason):
            load_predictor(tmp_path / "thin")
    (tmp_path / "thin" / ADAPTERS).unlink()
    write_checksums(tmp_path / "thin")
    with pytest.raises(ModelFolderError, match="expected adapters.safetensors if, and only if"):
        load_predictor(tmp_path / "thin")


@needs_peft
def test_a_run_begun_with_an_adapted_encoder_may_be_thin_as_well(
    sample_table: AnnotationTable, lora_config: SeparateConfig, tmp_path: Path
) -> None:
    train_run(sample_table, replace(lora_config, save="thin"), tmp_path / "first")
    assert lora_config.caption is not None
    frozen = replace(lora_config.caption, training="frozen", lora=None, penalty=(0.1,), hidden=())
    begun = replace(lora_config, caption=frozen, initial=str(tmp_path / "first"))
    answers = []
    for save in ("full", "thin"):
        train_run(sample_table, replace(begun, save=save), tmp_path / save)
        predictor = load_predictor(tmp_path / save)
        answers.append(predictor.predict_proba(captions=CAPTIONS, culture="arabic"))
    assert ADAPTERS in check_folder(tmp_path / "thin")
    assert ADAPTERS not in check_folder(tmp_path / "full")
    np.testing.assert_allclose(*answers, rtol=0, atol=1e-12)
