"""The BERT that needs no transformers computes the same as theirs, and keeps its table as it is stored."""

import json
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from artaffect.models.bert import Bert, BertSettings, Table, is_plain_bert
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import CONFIG, WEIGHTS, write_checksums
from artaffect.models.networks import build_config, build_network
from artaffect.models.weights import fingerprint, is_stored
from artaffect.prediction.torch import TorchPredictor

TABLE = "caption.encoder.network.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def pair() -> tuple[torch.nn.Module, Bert]:
    """transformers' model and ours with the same weights."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=40,
        max_position_embeddings=20,
        layer_norm_eps=1e-5,
        pad_token_id=1,
    )
    theirs = BertModel(config, add_pooling_layer=False)
    ours = Bert(BertSettings(**{f.name: getattr(config, f.name) for f in fields(BertSettings)}))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def states(network: torch.nn.Module, training: bool) -> Tensor:
    ids = torch.arange(2, 58).reshape(4, 14)
    mask = torch.ones_like(ids)
    mask[1, 9:] = mask[3, 2:] = 0
    torch.manual_seed(1)
    output = network.train(training)(input_ids=ids, attention_mask=mask)
    return output.last_hidden_state[mask.bool()]


@pytest.mark.parametrize("training", [False, True])
def test_states_are_those_of_transformers(
    pair: tuple[torch.nn.Module, Bert], training: bool
) -> None:
    theirs, ours = (states(network, training) for network in pair)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_plain_formula_of_attention_agrees_with_the_fused_one(
    pair: tuple[torch.nn.Module, Bert],
) -> None:
    fused = states(pair[1], False)
    pair[1].set_attn_implementation("eager")
    torch.testing.assert_close(states(pair[1], False), fused, rtol=0, atol=1e-5)
    pair[1].set_attn_implementation("sdpa")


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"dtype": "float16"}, {"is_decoder": True}]
)
def test_what_it_does_not_compute_is_left_to_transformers(change: dict[str, object]) -> None:
    settings = BertSettings(
        hidden_size=12, num_attention_heads=2, intermediate_size=8, vocab_size=9
    ).to_dict() | {"num_hidden_layers": 1}
    assert isinstance(build_network(build_config(settings)), Bert)
    assert not is_plain_bert(settings | change)
    assert type(build_network(build_config(settings | change))).__name__ == "BertModel"


def test_a_table_in_half_precision_gives_the_same_rows_and_the_same_fingerprint() -> None:
    table = Table(8, 4)
    with torch.no_grad():
        table.weight.copy_(table.weight.half())
    ids = torch.tensor([[3, 5]])
    expected, digest = table(ids), fingerprint(table)
    table.half()
    assert table.weight.dtype == torch.float16 and table(ids).dtype == torch.float32
    assert torch.equal(table(ids), expected) and fingerprint(table) == digest


def test_a_model_that_computes_a_tensor_for_itself_is_not_complete_as_stored() -> None:
    part = torch.nn.Linear(2, 2)
    assert is_stored(part)
    part.register_buffer("positions", torch.arange(3), persistent=False)
    assert not is_stored(part)
    other = torch.nn.Linear(2, 2)
    other.scale = torch.ones(1)
    assert not is_stored(other)


@pytest.fixture
def caption_run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of a model folder that reads captions alone, whose table of tokens is in half precision."""
    folder = Path(shutil.copytree(tiny_run, tmp_path / "captions"))
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    (folder / CONFIG).write_text(json.dumps(config | {"image": None, "fusion": None}), "utf-8")
    weights = load_file(folder / WEIGHTS)
    kept = {n: w for n, w in weights.items() if n.startswith(("caption.", "temperature"))}
    save_file(kept | {TABLE: kept[TABLE].half()}, folder / WEIGHTS)
    write_checksums(folder)
    return folder


def test_a_table_of_tokens_stays_as_it_is_stored(caption_run: Path) -> None:
    model = load_model(caption_run)
    assert [n for n, w in model.state_dict().items() if w.dtype == torch.float16] == [TABLE]
    half = TorchPredictor(model).predict(caption="waves on a dark sea")
    full = TorchPredictor(load_model(caption_run).float()).predict(caption="waves on a dark sea")
    assert half["arabic"].probabilities == full["arabic"].probabilities


def test_a_loaded_model_does_not_follow_later_changes_of_its_file(caption_run: Path) -> None:
    model = load_model(caption_run)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    (caption_run / WEIGHTS).write_bytes(bytes((caption_run / WEIGHTS).stat().st_size))
    assert all(torch.equal(weight, before[n]) for n, weight in model.state_dict().items())


def test_a_mapped_table_stays_in_its_file_which_no_model_changes(caption_run: Path) -> None:
    content = (caption_run / WEIGHTS).read_bytes()
    read, mapped = load_model(caption_run), load_model(caption_run, mapped=True)
    for name, weight in read.state_dict().items():
        assert torch.equal(mapped.state_dict()[name], weight), name
    table = mapped.state_dict()[TABLE]
    maps = Path("/proc/self/maps")
    if maps.exists():
        areas = [line.split() for line in maps.read_text().splitlines() if WEIGHTS in line]
        ranges = [[int(end, 16) for end in area[0].split("-")] for area in areas]
        assert any(start <= table.data_ptr() < end for start, end in ranges)
    table.zero_()
    assert (caption_run / WEIGHTS).read_bytes() == content


def test_the_command_predict_imports_neither_transformers_nor_the_compiler_nor_tables(
    caption_run: Path,
) -> None:
    program = (
        "import gc, sys\n"
        "from artaffect.cli.main import app\n"
        f"app(['predict', {str(caption_run)!r}, '--caption', 'waves'], standalone_mode=False)\n"
        "print(sorted({'transformers', 'sympy', 'torch._dynamo', 'pyarrow'} & sys.modules.keys()))\n"
        "print(gc.isenabled())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.splitlines()[-2:] == ["[]", "True"]
