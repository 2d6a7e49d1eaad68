"""Pruned text encoders predict the same where they should; frozen layers stay as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from artaffect.errors import ConfigError
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.pruning import blocks_of, prune_layers, prune_vocabulary, train_only
from artaffect.models.text_encoders import TextEncoder, create_text_encoder
from artaffect.models.vgg import Vgg16
from tests import tiny

CAPTIONS = [
    "Waves tower over a small boat under a black sky.",
    "تعلو الأمواج فوق قارب صغير تحت سماء سوداء.",
    "黑色的天空下,巨浪高过一条小船。",
]


@pytest.fixture(scope="module")
def e5() -> TextEncoder:
    return create_text_encoder("e5_small")


def features(encoder: TextEncoder, captions: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return encoder.eval()(*encoder.collate(encoder.tokenize(captions)))


def test_a_pruned_vocabulary_changes_no_caption_it_was_made_for(e5: TextEncoder) -> None:
    small = prune_vocabulary(e5, CAPTIONS)
    torch.testing.assert_close(features(small, CAPTIONS), features(e5, CAPTIONS))
    size = small.tokenizer.get_vocab_size()
    assert size < 30_000 < e5.tokenizer.get_vocab_size()
    assert len(small.network.get_input_embeddings().weight) == size
    # other text is cut into smaller pieces, down to characters, and is no unknown token
    pieces = small.tokenizer.encode("A quiet harbour, 静かな港").tokens
    assert "<unk>" not in pieces and pieces[0] == "<s>" and pieces[-1] == "</s>"


def test_a_word_piece_vocabulary_is_pruned_too(encoder_folders: dict[str, Path]) -> None:
    encoder = create_text_encoder(str(encoder_folders["bert"]))
    small = prune_vocabulary(encoder, CAPTIONS[:1])
    torch.testing.assert_close(features(small, CAPTIONS[:1]), features(encoder, CAPTIONS[:1]))
    assert small.tokenizer.get_vocab_size() < encoder.tokenizer.get_vocab_size()
    tokens = small.tokenizer.encode(CAPTIONS[0]).tokens
    assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
    assert small.tokenizer.token_to_id("[PAD]") == small.tokens.pad_id


def test_layers_are_chosen_evenly_with_first_and_last(e5: TextEncoder) -> None:
    half = prune_layers(e5, 6)
    _, kept = blocks_of(half.network)
    _, original = blocks_of(e5.network)
    assert len(kept) == 6
    for new, old in enumerate([0, 2, 4, 7, 9, 11]):  # DistilBERT's choice
        for a, b in zip(kept[new].parameters(), original[old].parameters(), strict=True):
            assert torch.equal(a, b)
    assert features(half, CAPTIONS).shape == (3, 384)
    torch.testing.assert_close(features(prune_layers(e5, 12), CAPTIONS), features(e5, CAPTIONS))
    with pytest.raises(ConfigError, match="depth = 13, but the encoder has 12 layers"):
        prune_layers(e5, 13)


NETWORKS: dict[str, Callable[[Path], nn.Module]] = {
    "resnet": lambda folder: create_image_encoder(str(tiny.save_tiny_resnet(folder))).network,
    "vgg": lambda folder: Vgg16(divisor=16),
    "vit": lambda folder: create_image_encoder(str(tiny.save_tiny_vit(folder))).network,
    "efficientnet_lite0": lambda folder: create_image_encoder("efficientnet_lite0").network,
    "e5_small": lambda folder: create_text_encoder("e5_small").network,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_blocks_are_trained_and_the_first_are_not(name: str, tmp_path: Path) -> None:
    network = NETWORKS[name](tmp_path / name)
    weights = dict(network.named_parameters())
    train_only(network, 1)
    free = [n for n, w in weights.items() if w.requires_grad]
    assert free and not weights[next(iter(weights))].requires_grad
    assert free == list(weights)[-len(free) :]
    train_only(network, "none")
    assert not any(w.requires_grad for w in weights.values())
    train_only(network, "all")
    assert all(w.requires_grad for w in weights.values())
    with pytest.raises(ConfigError, match="layers = 99, but the encoder has"):
        train_only(network, 99)


def test_frozen_batch_norm_does_not_drift(tmp_path: Path) -> None:
    encoder: ImageEncoder = create_image_encoder(str(tiny.save_tiny_resnet(tmp_path / "resnet")))
    train_only(encoder.network, 1)
    encoder.train()
    before = {n: b.clone() for n, b in encoder.named_buffers() if "running" in n}
    encoder(torch.randn(4, 3, 64, 64))
    moved = {n for n, b in encoder.named_buffers() if n in before and not torch.equal(b, before[n])}
    assert moved and all(".stages.2." in n for n in moved), moved


def test_untrained_encoders_are_the_same_each_time(tmp_path: Path) -> None:
    for save in (tiny.save_tiny_resnet, tiny.save_tiny_vgg, tiny.save_tiny_vit):
        a, b = (
            load_file(save(tmp_path / f"{save.__name__}{i}") / "model.safetensors") for i in "ab"
        )
        assert a and all(torch.equal(a[name], b[name]) for name in a.keys() | b.keys())
