"""Features are computed once, cached by content, and never guessed."""

import os
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from artaffect.features import encode, extract_features
from artaffect.models.feature_cache import FeatureCache
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import TextEncoder, create_text_encoder
from tests.disk import files_at_most, without_home
from tests.killing import killed_at


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


def test_a_kill_within_a_write_leaves_the_features_or_nothing(
    text_encoder: TextEncoder, tmp_path: Path
) -> None:
    keys, values = [bytes([i]) * 16 for i in range(4)], np.arange(64, dtype=np.float32)
    values = values.reshape(4, 16)
    outcomes, event, was_killed = [], 0, True
    while was_killed:
        event += 1
        cache = FeatureCache(tmp_path / str(event), text_encoder)
        was_killed = killed_at(event, partial(cache.add, keys, values))
        loaded, stored = cache.load(keys)
        np.testing.assert_array_equal(loaded[stored], values[stored])
        outcomes.append((was_killed, int(stored.sum())))
        cache.add(keys, values)
        assert cache.load(keys)[1].all()
    assert (True, 0) in outcomes and outcomes[-1] == (False, 4)


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


def _flip_last_vector(shard: Path) -> None:
    data = bytearray(shard.read_bytes())
    vector = np.full(16, 7, np.float32).tobytes()
    position = data.index(vector)
    data[position + 3] ^= 1
    shard.write_bytes(data)


def _write(shard: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(str(shard), table.schema) as writer:
        writer.write_table(table)


def _write_rows(shard: Path, keys: list[bytes | None], vectors: list[list[float] | None]) -> None:
    """A shard whose checksum is right, although its rows are not."""
    with pa.ipc.open_file(shard.read_bytes()) as reader:
        schema = reader.schema
    values = np.array([vector for vector in vectors if vector], np.float32)
    checksum = zlib.crc32(values.data, zlib.crc32(b"".join(key for key in keys if key)))
    table = pa.table([pa.array(keys, schema.types[0]), pa.array(vectors, schema.types[1])], schema)
    (name,) = schema.metadata
    _write(shard, table.replace_schema_metadata({name: b"2 %08x" % checksum}))


def _older_version(shard: Path) -> None:
    with pa.memory_map(str(shard)) as source:
        table = pa.ipc.open_file(source).read_all()
    _write(shard, table.replace_schema_metadata(None))


_DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda shard: shard.write_bytes(b""),
    "truncated": lambda shard: shard.write_bytes(shard.read_bytes()[:-200]),
    "half": lambda shard: shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2]),
    "zeros": lambda shard: shard.write_bytes(bytes(shard.stat().st_size)),
    "no Arrow": lambda shard: shard.write_text("key,values\n", "utf-8"),
    "a changed byte": _flip_last_vector,
    "an older version": _older_version,
    "other columns": lambda shard: _write(shard, pa.table({"key": ["a"], "value": [1.0]})),
    "other types": lambda shard: _write(shard, pa.table({"key": ["a"], "values": [1.0]})),
    "a key twice": lambda shard: _write_rows(shard, [bytes(16)] * 2, [[7.0] * 16] * 2),
    "no key": lambda shard: _write_rows(shard, [None], [[7.0] * 16]),
    "no vector": lambda shard: _write_rows(shard, [bytes(16)], [None]),
    "a folder": lambda shard: (shard.unlink(), shard.mkdir()),
    "a link": lambda shard: shard.symlink_to(shard.rename(shard.with_name("elsewhere"))),
    "a link to nothing": lambda shard: (shard.unlink(), shard.symlink_to("nothing")),
    "a pipe": lambda shard: (shard.unlink(), os.mkfifo(shard)),
    "another width": lambda shard: _write(
        shard,
        pa.table(
            {
                "key": pa.array([bytes(16)], pa.binary(16)),
                "values": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
            }
        ),
    ),
}


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_shard_is_named_and_set_aside_and_the_others_are_used(
    text_encoder: TextEncoder, tmp_path: Path, damage: str, log_messages: list[str]
) -> None:
    cache = FeatureCache(tmp_path, text_encoder)
    keys = [bytes([i]) * 16 for i in range(2)]
    values = np.stack([np.full(16, 7, np.float32), np.arange(16, dtype=np.float32)])
    cache.add(keys[:1], values[:1])
    (shard,) = cache.folder.glob("*.arrow")
    cache.add(keys[1:], values[1:])
    _DAMAGES[damage](shard)
    loaded, stored = cache.load(keys)
    assert stored.tolist() == [False, True]
    np.testing.assert_array_equal(loaded, [np.zeros(16), values[1]])
    (message,) = log_messages
    assert str(shard) in message and "computed anew" in message
    assert os.path.lexists(shard.with_suffix(".damaged")) and not os.path.lexists(shard)
    cache.add(keys[:1], values[:1])  # the computed features take its place
    np.testing.assert_array_equal(cache.load(keys)[0], values)
    assert len(log_messages) == 1


def test_features_are_right_after_every_shard_was_damaged(
    text_encoder: TextEncoder, tmp_path: Path
) -> None:
    captions = ["a boat", "black sky", "waves"]
    right = extract_features(text_encoder, captions, tmp_path).values
    for shard in tmp_path.glob("*/*.arrow"):
        shard.write_bytes(shard.read_bytes()[:100])
    counter = Counting(text_encoder)
    np.testing.assert_array_equal(extract_features(text_encoder, captions, tmp_path).values, right)
    np.testing.assert_array_equal(extract_features(text_encoder, captions, tmp_path).values, right)
    assert counter.rows == 3


def test_no_changed_byte_of_a_shard_changes_a_feature(
    text_encoder: TextEncoder, tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path, text_encoder)
    keys, values = [bytes([i]) * 16 for i in range(3)], np.eye(3, 16, dtype=np.float32)
    cache.add(keys, values)
    (shard,) = cache.folder.glob("*.arrow")
    whole = shard.read_bytes()
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        shard.write_bytes(changed)
        loaded, stored = cache.load(keys)
        np.testing.assert_array_equal(loaded, values * stored[:, None])
        assert stored.all() == shard.exists()


def test_a_full_disk_is_one_warning_and_costs_no_feature(
    text_encoder: TextEncoder, tmp_path: Path, log_messages: list[str]
) -> None:
    captions = ["a boat", "waves"]
    right = extract_features(text_encoder, captions, tmp_path / "right").values
    with files_at_most(512):
        for _ in range(2):
            features = extract_features(text_encoder, captions, tmp_path / "full").values
            np.testing.assert_array_equal(features, right)
    (message,) = log_messages
    assert "no features are kept" in message
    assert [file for file in (tmp_path / "full").rglob("*") if file.is_file()] == []


def test_without_a_home_folder_features_are_computed_and_one_line_says_why(
    text_encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch, log_messages: list[str]
) -> None:
    right = extract_features(text_encoder, ["a boat"]).values
    without_home(monkeypatch)
    for _ in range(2):
        np.testing.assert_array_equal(extract_features(text_encoder, ["a boat"]).values, right)
    (message,) = log_messages
    assert "no home folder" in message and "ARTAFFECT_CACHE" in message


def test_a_cache_that_cannot_be_written_is_one_warning(
    text_encoder: TextEncoder, tmp_path: Path, log_messages: list[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    for root in (tmp_path / "file" / "cache", tmp_path / ("x" * 300)):
        log_messages.clear()
        for captions in (["a boat"], ["black sky"]):
            features = extract_features(text_encoder, captions, root)
            assert features.usable.all() and features.values.any()
        (message,) = log_messages
        assert "no features are kept" in message and str(root) in message


def test_a_caption_that_is_no_text_is_listed(text_encoder: TextEncoder, tmp_path: Path) -> None:
    features = extract_features(text_encoder, ["a boat", "\ud800", "sky"], tmp_path)
    assert features.usable.tolist() == [True, False, True]
    assert "not allowed" in features.broken[1]
