"""The script of the page on vision-language models, run as it stands there, on a model made here."""

import math
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from artaffect.data.annotations import AnnotationTable

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vlm.md"
CHAT = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.S)
    assert len(blocks) == 1
    path = tmp_path / "ask_vlm.py"
    path.write_text(blocks[0], "utf-8")
    return path


@pytest.fixture
def functions(script: Path) -> dict[str, Any]:
    return runpy.run_path(str(script))


def tokenizer_of(words: list[str]) -> PreTrainedTokenizerFast:
    """One token for each word."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "<image>"]
    tokenizer.train_from_iterator(words, trainers.WordLevelTrainer(special_tokens=special))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        additional_special_tokens=["<image>"],
    )


def save_tiny_vlm(folder: Path, words: list[str]) -> Path:
    """A LLaVA of a few thousand weights."""
    torch.manual_seed(0)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**tower, num_hidden_layers=2, image_size=32, patch_size=8)
    text = LlamaConfig(**tower, num_hidden_layers=1, num_key_value_heads=2, vocab_size=128)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=2)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32),
        tokenizer_of(words),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    ).save_pretrained(folder)
    return folder


def test_the_script_writes_a_distribution_for_each_artwork_and_culture(
    script: Path, functions: dict[str, Any], sample_table: AnnotationTable, tmp_path: Path
) -> None:
    few = sample_table.of_split("val")
    few.save(tmp_path / "table.parquet")
    labels, words = list(sample_table.labels), functions["prompts"]("arabic", ["a", "b", "c"])
    capital = [label.capitalize() for label in labels]
    vlm = save_tiny_vlm(tmp_path / "vlm", [*labels, *capital, *words])
    command = [sys.executable, str(script), str(vlm), "table.parquet", "answers.parquet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(tmp_path / "answers.parquet").to_pylist()
    assert list(rows[0]) == ["artwork_id", "culture", *labels]
    artworks = set(few.strings("artwork_id"))
    expected = {(artwork, culture) for artwork in artworks for culture in few.cultures}
    assert {(row["artwork_id"], row["culture"]) for row in rows} == expected
    assert len(rows) == len(expected)
    for row in rows:
        assert math.isclose(sum(row[label] for label in labels), 1, abs_tol=1e-9)
    assert len({round(row[labels[0]], 12) for row in rows}) > len(few.cultures)  # images differ


def test_the_questions_name_the_audience_and_every_label_in_other_orders(
    functions: dict[str, Any], sample_table: AnnotationTable
) -> None:
    labels = list(sample_table.labels)
    questions = functions["prompts"]("arabic", labels)
    assert len(set(questions)) == 3
    for question in questions:
        assert "a viewer who speaks Arabic" in question
        assert all(question.count(label) == 1 for label in labels)
    first = [min(labels, key=question.index) for question in questions]
    assert len(set(first)) == 3


def test_the_average_is_over_probabilities_and_adds_up_spellings(functions: dict[str, Any]) -> None:
    probabilities = torch.tensor([[0.1, 0.3, 0.4, 0.2], [0.2, 0.2, 0.1, 0.5]]).double()
    # the first label has two spellings, and the last token begins no label
    answer = functions["average"](probabilities.log(), [[0, 1], [2]])
    assert answer == pytest.approx([(0.5 + 0.8) / 2, (0.5 + 0.2) / 2])


def test_labels_that_begin_alike_are_refused_by_name(functions: dict[str, Any]) -> None:
    tokenizer = tokenizer_of(["something else", "something", "awe", "Awe", "Something"])
    with pytest.raises(SystemExit, match="something new and something else begin with the same"):
        functions["first_tokens"](tokenizer, ["awe", "something else", "something new"])
    assert len(functions["first_tokens"](tokenizer, ["awe", "something else"])) == 2
