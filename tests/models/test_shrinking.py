"""Smaller text encoders say the same where they should; what is frozen stays."""

from pathlib import Path

import pytest
import torch

from artaffect.errors import ConfigError
from artaffect.models.image_encoders import ImageEncoder, create_image_encoder
from artaffect.models.pruning import blocks_of, prune_layers, prune_vocabulary, train_only
from artaffect.models.text_encoders import TextEncoder, create_text_encoder

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
    _, mine = blocks_of(half.network)
    _, theirs = blocks_of(e5.network)
    assert len(mine) == 6
    for new, old in enumerate([0, 2, 4, 7, 9, 11]):  # DistilBERT's choice
        for a, b in zip(mine[new].parameters(), theirs[old].parameters(), strict=True):
            assert torch.equal(a, b)
    assert features(half, CAPTIONS).shape == (3, 384)
    torch.testing.assert_close(features(prune_layers(e5, 12), CAPTIONS), features(e5, CAPTIONS))
    with pytest.raises(ConfigError, match="depth = 13, but the encoder has 12 layers"):
        prune_layers(e5, 13)


@pytest.mark.parametrize(
    "name", ["tiny_resnet", "tiny_vgg", "tiny_vit", "efficientnet_lite0", "e5_small"]
)
def test_the_last_blocks_are_trained_and_the_first_are_not(name: str, e5: TextEncoder) -> None:
    encoder = e5 if name == "e5_small" else create_image_encoder(name)
    network = encoder.network
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


def test_frozen_batch_norm_does_not_drift() -> None:
    encoder: ImageEncoder = create_image_encoder("tiny_resnet")
    train_only(encoder.network, 1)
    encoder.train()
    before = {n: b.clone() for n, b in encoder.named_buffers() if "running" in n}
    encoder(torch.randn(4, 3, 64, 64))
    moved = {n for n, b in encoder.named_buffers() if n in before and not torch.equal(b, before[n])}
    assert moved and all(".stages.2." in n for n in moved), moved


def test_untrained_encoders_are_the_same_each_time() -> None:
    for name in ("tiny_resnet", "tiny_vgg", "tiny_vit"):
        a, b = create_image_encoder(name), create_image_encoder(name)
        for x, y in zip(a.parameters(), b.parameters(), strict=True):
            assert torch.equal(x, y)
