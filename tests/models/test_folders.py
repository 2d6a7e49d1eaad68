"""A model folder may come from a stranger: it is loaded as listed, or refused in one line."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from artaffect.errors import ArtAffectError, EncoderUnavailableError, ModelFolderError
from artaffect.models.bert import BertSettings
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import (
    CHECKSUMS,
    CONFIG,
    FILES,
    TOKENIZER,
    WEIGHTS,
    check_folder,
    holds_graphs,
    read_config,
    read_histories,
)
from artaffect.models.hub import copy_folder, push_folder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.networks import IMAGE_TYPES, TEXT_TYPES, build_config, saved_settings
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.evaluation import evaluate_run
from artaffect.prediction.predictor import load_predictor
from tests.conftest import Command


def sign(folder: Path) -> None:
    """List the files of a folder, as a stranger can."""
    lines = [
        f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n"
        for name in FILES
        if (folder / name).is_file()
    ]
    (folder / CHECKSUMS).write_text("".join(lines))


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "stranger"))


def refused(folder: Path, reason: str) -> None:
    with pytest.raises(ArtAffectError, match=reason) as caught:
        load_predictor(folder).predict(caption="waves over a boat")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1500


def edit(folder: Path, key: str, value: Any) -> None:
    """Set one key of the configuration, and sign the folder."""
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    *parents, last = key.split(".")
    parent = config
    for name in parents:
        parent = parent[name]
    parent[int(last) if isinstance(parent, list) else last] = value
    (folder / CONFIG).write_text(json.dumps(config), "utf-8")
    sign(folder)


@pytest.mark.parametrize("name", ["answer.onnx", "image.onnx", "more.onnx", "other.safetensors"])
def test_a_file_that_is_not_listed_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"0")
    assert not holds_graphs(folder)
    refused(folder, f"{name} is not listed in SHA256SUMS")


def test_a_known_file_that_is_not_listed_is_refused(folder: Path) -> None:
    text = (folder / CHECKSUMS).read_text()
    lines = [line for line in text.splitlines(True) if TOKENIZER not in line]
    (folder / CHECKSUMS).write_text("".join(lines))
    refused(folder, "tokenizer.json is not listed in SHA256SUMS")
    (folder / TOKENIZER).unlink()
    refused(folder, "incomplete: tokenizer.json is not listed")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0" * 64 + "  ../other", "line 8: expected 64 hexadecimal digits"),
        ("0" * 64 + "  /etc/passwd", "line 8: expected"),
        ("0" * 64 + "  notes.txt", "line 8: expected"),
        ("0" * 64 + "  config.json", "line 8: config.json is listed twice"),
        ("0" * 64 + " config.json", "line 8: expected"),
        ("0" * 63 + "  config.json", "line 8: expected"),
        ("0" * 64 + "  answer.onnx", "lists both model.safetensors and answer.onnx"),
        ("\udcff", "is not UTF-8 text"),
        ("x" * 20_000, "larger than the allowed 16,384 bytes"),
    ],
)
def test_the_list_of_files_is_read_strictly(folder: Path, line: str, reason: str) -> None:
    with (folder / CHECKSUMS).open("a", errors="surrogateescape") as file:
        file.write(line + "\n")
    refused(folder, reason)


def test_a_link_may_lead_into_the_blobs_of_a_snapshot_only(tiny_run: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshots" / "0123", tmp_path / "blobs"
    shutil.copytree(tiny_run, snapshot)
    blobs.mkdir()
    for number, name in enumerate(sorted(check_folder(snapshot))):
        (snapshot / name).rename(blobs / str(number))
        (snapshot / name).symlink_to(f"../../blobs/{number}")
    assert load_model(snapshot).cultures == load_model(tiny_run).cultures
    copy_folder(snapshot, tmp_path / "copy")
    assert not any(path.is_symlink() for path in (tmp_path / "copy").iterdir())
    secret = tmp_path / "secret"
    (snapshot / "README.md").rename(secret)
    (snapshot / "README.md").symlink_to(secret)
    refused(snapshot, "README.md is a link that leads out of the folder")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda p: p.symlink_to(p.name)])
def test_what_is_no_file_is_not_opened(folder: Path, make: Callable[[Path], None]) -> None:
    (folder / "metrics.json").unlink()
    make(folder / "metrics.json")
    refused(folder, r"metrics\.json")


def test_only_listed_files_are_copied(folder: Path, tmp_path: Path) -> None:
    (folder / "private.json").write_text("{}")
    copy_folder(folder, tmp_path / "copy")
    names = {path.name for path in (tmp_path / "copy").iterdir()}
    assert names == {CHECKSUMS, *check_folder(folder)}


CHANGES: list[tuple[str, Any, str]] = [
    ("auto_map", {"AutoModel": "code.Model"}, "auto_map: unknown key"),
    ("image.encoder.architecture.trust_remote_code", True, "trust_remote_code: unknown key"),
    ("image.encoder.architecture.config.auto_map", {"a": "b"}, "auto_map is not allowed"),
    ("image.encoder.architecture.config.backbone", "resnet50", "backbone is not allowed"),
    ("image.encoder.architecture.config.model_type", "timm_wrapper", "is not supported; known"),
    (
        "image.encoder.architecture",
        {"family": "timm", "name": "hf-hub:a/b"},
        "name: String should match",
    ),
    ("caption.encoder.architecture.config.quantization_config", {"a": 1}, "is not allowed"),
    ("caption.encoder.architecture.config.vocab_size", 2**31, "vocab_size must be a number"),
    ("caption.encoder.architecture.config.num_hidden_layers", 10**6, "layers is out of range"),
    ("caption.encoder.architecture.config.hidden_size", 2**22, "which config.json describes|and"),
    ("caption.encoder.architecture.config.num_attention_heads", 0, "does not describe a model"),
    ("caption.encoder.architecture.config.hidden_act", "none", "does not describe a model"),
    ("caption.encoder.architecture.config.max_position_embeddings", -1, "does not describe"),
    ("caption.encoder.preprocessing.max_length", 512, "cannot be loaded: IndexError|RuntimeError"),
    ("caption.encoder.preprocessing.prefix", None, "prefix: Input should be a valid string"),
    ("image.encoder.preprocessing.size", "224", "size: Input should be a valid integer"),
    ("image.encoder.preprocessing.size", 10**400, "size: Input should be less than or equal"),
    ("image.encoder.preprocessing.std", [0, 0, 0], "std.0: Input should be greater than"),
    ("image.head.hidden", [2**20], "is .*and config.json describes|missing"),
    ("image.head.cultures", 7, "a head has 7 cultures, the model 3"),
    ("fusion.form", "other", "unknown form of fusion"),
    ("fusion.sources", ["caption", "image"], "fusion: its sources must be"),
    ("cultures", ["arabic"] * 3, "a culture is listed twice"),
    ("cultures", ["\x1b[2J" * 10_000], r"cultures.0: String should have at most"),
    ("training_priors.prior", [1, 0, 0], "training_priors.prior"),
    ("conformal.score", "best", "conformal.score: Input should be 'lac' or 'aps'"),
    (
        "conformal.inputs.both.any_culture.values.0",
        2,
        "both.any_culture.values.0: Input should be less",
    ),
    ("conformal.inputs.both.any_culture.rows", 1, "any_culture: [0-9]+ scores do not fit 1 rows"),
    (
        "conformal.inputs.image.by_culture.new",
        {"rows": 0, "values": []},
        "names a culture that the",
    ),
    ("image", None, "expected image, caption, or both and a fusion"),
    ("emotions", ["joy"], "emotions: unknown key"),
    ("labels.names", ["joy"], "a label set needs 2 to 200 labels"),
    ("labels", {"names": ["joy", "\x1b[2J"]}, "it holds control characters"),
    ("labels", {"names": ["joy", "calm"]}, "training_priors: expected 2 shares, got 9"),
    ("image.head.labels", 2, "a head has 2 labels, the model 9"),
    ("fusion.labels", 8, "which config.json describes|and"),
    ("format", {}, "this version reads format 2"),
]


@pytest.mark.parametrize(("key", "value", "reason"), CHANGES)
def test_a_configuration_that_describes_no_model_is_one_line(
    folder: Path, key: str, value: Any, reason: str
) -> None:
    edit(folder, key, value)
    refused(folder, reason)


def test_keys_that_choose_nothing_do_not_reach_transformers(folder: Path, tiny_run: Path) -> None:
    edit(folder, "caption.encoder.architecture.config._name_or_path", "/etc")
    edit(folder, "caption.encoder.architecture.config.torchscript", True)
    config: Any = load_model(folder).caption.encoder.network.config  # type: ignore[union-attr]
    original: Any = load_model(tiny_run).caption.encoder.network.config  # type: ignore[union-attr]
    assert config == original and not hasattr(config, "torchscript")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'{"a":' + b"9" * 9999]
)
@pytest.mark.parametrize("name", [CONFIG, TOKENIZER, WEIGHTS])
def test_broken_files_are_one_line(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    sign(folder)
    refused(folder, name)


def test_broken_scores_and_logs_are_one_line_where_they_are_needed(folder: Path) -> None:
    for content in (b"[]", b"\xff", b'{"models": 3}', b"[" * 100_000):
        (folder / "metrics.json").write_bytes(content)
        (folder / "metrics.jsonl").write_bytes(content)
        sign(folder)
        predictor = load_predictor(folder)
        with pytest.raises(ModelFolderError, match=r"metrics\.json\W"):
            _ = predictor.evaluation
        with pytest.raises(ModelFolderError, match=r"metrics\.jsonl, line 1"):
            read_histories(folder)


def weights_with(**changes: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        for name, change in changes.items():
            key = next(key for key in weights if key.endswith(name))
            weights[key] = change(weights[key])
        save_file(weights, folder / WEIGHTS)
        sign(folder)

    return apply


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (weights_with(temperature=lambda t: t * 0), "temperature must be above 0"),
        (weights_with(temperature=lambda t: t[:, :1].clone()), "temperature is"),
        (weights_with(log_prior=lambda t: t * torch.nan), "not finite numbers"),
        (weights_with(log_prior=lambda t: t.double()), "log_prior is .*F64"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(
    folder: Path, change: Callable[[Path], None], reason: str
) -> None:
    change(folder)
    refused(folder, reason)


def test_large_models_are_refused_before_they_take_memory(folder: Path) -> None:
    """An embedding of 4 million tokens of 4 million numbers would take 64 TB."""
    edit(folder, "caption.encoder.architecture.config.vocab_size", 2**22)
    edit(folder, "caption.encoder.architecture.config.hidden_size", 2**22)
    refused(folder, "and config.json describes")


def test_a_tokenizer_cannot_name_tokens_that_do_not_exist_or_make_captions_endless(
    folder: Path,
) -> None:
    original = json.loads((folder / TOKENIZER).read_text("utf-8"))
    step = {"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 1000}
    special = {"[CLS]": {"id": "[CLS]", "ids": [10**6], "tokens": ["[CLS]"]}}
    vocabulary = {**original["model"]["vocab"], "waves": 2**31}
    processor = original["post_processor"]
    for changes, reason in (
        ({"normalizer": {"type": "Sequence", "normalizers": [step] * 3}}, "times longer"),
        ({"model": {**original["model"], "vocab": vocabulary}}, "tokens, and its text encoder"),
        (
            {
                "post_processor": {
                    **processor,
                    "special_tokens": {**processor["special_tokens"], **special},
                }
            },
            "gives token 1,000,000",
        ),
    ):
        (folder / TOKENIZER).write_text(json.dumps({**original, **changes}), "utf-8")
        sign(folder)
        refused(folder, reason)


def test_priors_are_needed_only_for_scores(folder: Path, sample_table: Any) -> None:
    edit(folder, "training_priors", None)
    load_predictor(folder).predict(caption="waves")
    with pytest.raises(ModelFolderError, match="holds no training_priors"):
        evaluate_run(folder, sample_table, "test")
    with pytest.raises(ArtAffectError, match="synthetic|cannot be uploaded"):
        push_folder(folder, "owner/model")


def test_every_known_type_of_network_is_rebuilt_from_its_saved_settings() -> None:
    from transformers import AutoConfig

    for kind in (*TEXT_TYPES, *IMAGE_TYPES):
        original = AutoConfig.for_model(kind)
        saved = saved_settings(original)
        rebuilt = build_config(json.loads(json.dumps(saved)))
        assert saved_settings(rebuilt) == saved, kind
        assert isinstance(rebuilt, BertSettings) or rebuilt.to_dict() == original.to_dict(), kind


def test_folders_with_all_of_transformers_settings_still_load(folder: Path, tiny_run: Path) -> None:
    from transformers import BertConfig

    model = load_model(tiny_run)
    assert model.caption is not None
    own = model.caption.encoder.network.config.to_dict()  # type: ignore[union-attr, operator]
    full = BertConfig(**own).to_dict()
    assert full.keys() > own.keys()
    edit(folder, "caption.encoder.architecture.config", full)
    first, second = (load_predictor(f).predict(caption="waves") for f in (folder, tiny_run))
    assert first["arabic"].probabilities == second["arabic"].probabilities


def test_an_encoder_is_looked_up_on_the_hub_only_with_the_prefix(
    artaffect: Command, sample_table: Any, tmp_path: Path
) -> None:
    for create in (create_image_encoder, create_text_encoder):
        with pytest.raises(EncoderUnavailableError, match=r"runs/first: no such folder .*hf:runs"):
            create("runs/first")
        with pytest.raises(EncoderUnavailableError, match=r"\./a/b: no such folder$"):
            create("./a/b")
        with pytest.raises(EncoderUnavailableError, match="'museum/none' cannot be loaded"):
            create("hf:museum/none")
    sample_table.save(tmp_path / "t.parquet")
    for command in ("explain", "evaluate", "report", "export", "push", "serve", "predict"):
        more = {
            "explain": ["--caption", "waves", "--json"],
            "predict": ["--caption", "waves"],
            "export": ["--out", tmp_path / "o"],
            "push": ["owner/model"],
        }
        arguments = more.get(command, ["--data", tmp_path / "t.parquet"] * (command != "serve"))
        code, _, err = artaffect(command, "runs/first", *arguments)
        assert code == 1 and "runs/first: no such model folder" in err, (command, err)
        assert "write hf:runs/first" in err


def test_the_configuration_is_checked_whenever_it_is_read(folder: Path) -> None:
    (folder / CONFIG).write_text((folder / CONFIG).read_text("utf-8") + " ", "utf-8")
    with pytest.raises(ModelFolderError, match=r"config\.json is not the file that was saved"):
        read_config(folder)
