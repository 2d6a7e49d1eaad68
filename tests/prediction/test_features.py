"""Features are computed once, cached by content, and never guessed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artaffect.features import FeatureCache, encode, extract_features
from artaffect.models.image_encoders import ImageEncoder, create_image_encoder
from artaffect.models.text_encoders import TextEncoder, create_text_encoder


class Counting:
    """Counts the rows that an encoder encodes."""

    def __init__(self, encoder: ImageEncoder | TextEncoder) -> None:
        self.rows = 0
        encoder.register_forward_hook(self._count)

    def _count(self, module: object, inputs: object, output: torch.Tensor) -> None:
        self.rows += len(output)


@pytest.fixture
def image_encoder(encoder_folders: dict[str, Path]) -> ImageEncoder:
    return create_image_encoder(str(encoder_folders["resnet"]))


@pytest.fixture
def text_encoder(encoder_folders: dict[str, Path]) -> TextEncoder:
    return create_text_encoder(str(encoder_folders["bert"]))


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return paths


def test_each_distinct_input_is_encoded_once(
    image_encoder: ImageEncoder,
    text_encoder: TextEncoder,
    pictures: list[Path],
    tmp_path: Path,
) -> None:
    copy = tmp_path / "copy.png"
    shutil.copy(pictures[0], copy)
    for encoder, inputs, distinct in (
        (image_encoder, [*pictures, copy, pictures[2]], 5),
        (text_encoder, ["one", "two words", "one", " two  words "], 2),
    ):
        counter = Counting(encoder)
        first = extract_features(encoder, inputs, tmp_path / "c")
        assert counter.rows == distinct
        again = extract_features(encoder, inputs, tmp_path / "c")
        assert counter.rows == distinct
        np.testing.assert_array_equal(first.values, again.values)
        assert first.usable.all()


def test_features_equal_those_of_the_bare_encoder_in_the_order_of_the_inputs(
    text_encoder: TextEncoder, tmp_path: Path
) -> None:
    captions = ["a boat", "waves tower over a small boat", "sky", "black sky under a boat"]
    features = extract_features(text_encoder, captions, tmp_path).values
    for caption, vector in zip(captions, features, strict=True):
        with torch.inference_mode():
            alone = text_encoder(*text_encoder.collate(text_encoder.tokenize([caption])))[0]
        np.testing.assert_allclose(vector, alone.numpy(), atol=1e-5)


def test_a_changed_image_and_a_changed_encoder_are_detected(
    image_encoder: ImageEncoder, pictures: list[Path], tmp_path: Path
) -> None:
    before = extract_features(image_encoder, pictures, tmp_path / "c").values
    Image.new("RGB", (40, 50), "red").save(pictures[1])
    counter = Counting(image_encoder)
    after = extract_features(image_encoder, pictures, tmp_path / "c").values
    assert counter.rows == 1
    assert (before != after).any(1).tolist() == [False, True, False, False, False]
    with torch.no_grad():
        next(image_encoder.parameters()).add_(0.5)
    changed = extract_features(image_encoder, pictures, tmp_path / "c").values
    assert counter.rows == 1 + 5
    assert (changed != after).any(1).all()


def test_broken_images_are_listed_and_the_others_are_encoded(
    image_encoder: ImageEncoder, pictures: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("words")
    inputs = [pictures[0], tmp_path / "text.jpg", tmp_path / "none.jpg", pictures[1]]
    features = extract_features(image_encoder, inputs, tmp_path / "c")
    assert features.usable.tolist() == [True, False, False, True]
    assert "not an image" in features.broken[1]
    assert "no such file" in features.broken[2]
    assert (features.values[1:3] == 0).all()


def test_a_killed_extraction_continues_from_its_shards(
    text_encoder: TextEncoder, tmp_path: Path
) -> None:
    captions = [f"boat {i}" for i in range(10)]
    done = extract_features(text_encoder, captions[:6], tmp_path).values
    (tmp_path / next(tmp_path.iterdir()).name / ".half.arrow.x.partial").write_bytes(b"cut")
    counter = Counting(text_encoder)
    every = extract_features(text_encoder, captions, tmp_path).values
    assert counter.rows == 4
    np.testing.assert_array_equal(every[:6], done)


def test_batches_cover_every_position_once(text_encoder: TextEncoder) -> None:
    captions = [f"boat {'waves ' * (i % 40)}" for i in range(300)]
    positions = [p for batch, _, _ in encode(text_encoder, captions) for p in batch]
    assert sorted(positions) == list(range(300))


def test_a_cache_returns_only_what_it_contains(text_encoder: TextEncoder, tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, text_encoder)
    keys = [bytes([i]) * 16 for i in range(4)]
    values = np.arange(64, dtype=np.float32).reshape(4, 16)
    cache.add(keys[:2], values[:2])
    cache.add(keys[2:3], values[2:3])
    cached_values, is_cached = cache.load([keys[3], keys[2], keys[0]])
    assert is_cached.tolist() == [False, True, True]
    np.testing.assert_array_equal(cached_values, [np.zeros(16), values[2], values[0]])


def test_no_inputs_give_no_rows(text_encoder: TextEncoder, tmp_path: Path) -> None:
    assert extract_features(text_encoder, [], tmp_path).values.shape == (0, 16)
