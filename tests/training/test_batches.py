"""Batches hold what the tasks need: no row is lost, and little is padded."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from artaffect.data.image_cache import ImageCache, ImageViews
from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import ImageError
from artaffect.training.batches import (
    ArtworkRows,
    BatchOrder,
    CaptionRows,
    JointRows,
    TensorRows,
    Tokens,
)

RULES = ImagePreprocessing(size=8, fit="stretch")


def collate(captions: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, captions))
    ids = torch.tensor([c + [0] * (longest - len(c)) for c in captions])
    return ids, (ids > 0).long()


def captions(count: int = 230, **columns: torch.Tensor) -> CaptionRows:
    lengths = np.random.default_rng(0).integers(1, 40, count)
    tokens = Tokens([[i + 1] * n for i, n in enumerate(lengths)])
    return CaptionRows(tokens, collate, number=torch.arange(count), **columns)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Six pictures, each of one colour on the left and another on the right."""
    files = []
    for i in range(6):
        pixels = np.zeros((24, 32, 3), np.uint8)
        pixels[:, :16] = 40 * i
        pixels[:, 16:] = 255 - 40 * i
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(files[-1])
    return files


def test_tokens_come_back_as_they_were() -> None:
    lists = [[1, 2, 3], [4], [], [5, 6]]
    tokens = Tokens(lists)
    assert [tokens[i] for i in range(len(tokens))] == lists
    assert tokens.lengths.tolist() == [3, 1, 0, 2]


def test_every_caption_is_drawn_once_in_batches_of_like_length() -> None:
    rows = captions()
    lengths = rows.tokens.lengths
    batches = list(BatchOrder(rows, 16, generator()))
    assert sorted(sum(batches, [])) == list(range(len(rows)))
    assert [len(b) for b in batches] == [16] * 14 + [6]  # the short one last, as sharding needs it
    waste = sum(lengths[b].max() * len(b) for b in batches) / lengths.sum()
    unsorted = np.array_split(np.random.default_rng(1).permutation(len(rows)), len(batches))
    wasted = sum(lengths[b].max() * len(b) for b in unsorted) / lengths.sum()
    assert waste < 1.15 < 1.6 < wasted
    assert batches != list(BatchOrder(rows, 16, generator(1)))
    assert batches == list(BatchOrder(rows, 16, generator()))


def test_a_caption_batch_is_padded_to_its_longest() -> None:
    rows = captions()
    batch = rows.__getitems__([3, 50, 7])
    ((ids, mask),) = batch["captions"]
    assert ids.shape[1] == rows.tokens.lengths[[3, 50, 7]].max()
    assert mask.sum(1).tolist() == rows.tokens.lengths[[3, 50, 7]].tolist()
    assert batch["number"].tolist() == [3, 50, 7]
    with pytest.raises(ValueError, match="230 captions, but columns of 3 rows"):
        CaptionRows(rows.tokens, collate, number=torch.arange(3))


def test_an_image_is_read_once_for_all_its_annotators(pictures: list[Path]) -> None:
    votes = torch.zeros(6, 3, 9)
    votes[:, 0, 4] = 2
    votes[1, 1, 4] = votes[1, 2, 4] = 1
    votes[2, 2, 4] = 2
    batch = ArtworkRows(ImageViews(pictures, RULES), votes).__getitems__([2, 1])
    assert batch["pixels"].shape == (2, 3, 8, 8)
    assert list(zip(batch["artwork"].tolist(), batch["culture"].tolist(), strict=True)) == [
        (0, 0),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert batch["votes"].sum().item() == 2 + 2 + 2 + 1 + 1


def test_a_joint_batch_joins_each_caption_with_its_image(pictures: list[Path]) -> None:
    owner = np.arange(230) % 6
    rows = captions(owner=torch.from_numpy(owner))
    joint = JointRows(
        ImageViews(pictures, RULES), rows, [np.flatnonzero(owner == i) for i in range(6)], 10, 3
    )
    batch = joint.__getitems__([4, 0])
    assert batch["pixels"].shape[0] == 2 and len(batch["captions"]) == 3
    assert [int(batch["owner"][batch["artwork"] == i].unique()) for i in (0, 1)] == [4, 0]
    first_tokens = torch.cat([ids[:, 0] for ids, _ in batch["captions"]])
    assert (first_tokens == batch["number"] + 1).all()  # columns follow the groups' order
    assert len(batch["number"]) == 20
    widths = [ids.shape[1] for ids, _ in batch["captions"]]
    assert widths == sorted(widths) and widths[0] < widths[-1]
    again = joint.__getitems__([4, 0])
    joint.begin_epoch(1)
    other = joint.__getitems__([4, 0])
    assert set(again["number"].tolist()) == set(batch["number"].tolist())
    assert set(other["number"].tolist()) != set(batch["number"].tolist())


def test_columns_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        TensorRows(a=torch.zeros(2), b=torch.zeros(3))


def test_views_follow_from_seed_epoch_and_picture(pictures: list[Path]) -> None:
    views = ImageViews(pictures, RULES, crop=0.6, flip=True)
    first, again, other = views.read(1, 0), views.read(1, 0), views.read(1, 1)
    assert (first == again).all() and not np.array_equal(first, other)
    plain = ImageViews(pictures, RULES)
    np.testing.assert_array_equal(plain.read(2, 5), RULES(pictures[2]))


def test_views_keep_colours_and_mirror_half_of_the_time(pictures: list[Path]) -> None:
    plain = RULES(pictures[0])
    colours = {round(float(c), 3) for c in plain[0, :, (0, -1)].ravel()}
    mirrored = 0
    views = ImageViews(pictures, RULES, crop=0.9, flip=True)
    for epoch in range(60):
        seen = views.read(0, epoch)[0]
        assert {round(float(c), 3) for c in seen[:, (0, -1)].ravel()} == colours
        mirrored += bool(seen[0, 0] > seen[0, -1])
    assert 18 <= mirrored <= 42


def test_a_decoded_picture_is_not_opened_again(pictures: list[Path], tmp_path: Path) -> None:
    rules = ImagePreprocessing(size=14, fit="stretch")
    store = ImageCache(pictures, rules, tmp_path / "decoded")
    assert store.side == 16
    first = np.asarray(store.read(3))
    direct = np.asarray(Image.open(pictures[3]).resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(first, direct)
    again = ImageCache(pictures, rules, tmp_path / "decoded")
    again.read(0)
    stat = pictures[3].stat()
    pictures[3].write_bytes(bytes(stat.st_size))
    np.testing.assert_array_equal(np.asarray(again.read(3)), first)
    views = ImageViews(pictures, rules, crop=0.9, cache=again)
    assert views.read(3, 0).shape == (3, 14, 14)
    os.utime(pictures[3], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(ImageError, match="not an image"):  # as long and as old, but another file
        ImageCache(pictures, rules, tmp_path / "decoded").read(3)


def test_a_changed_picture_is_decoded_anew(pictures: list[Path], tmp_path: Path) -> None:
    store = ImageCache(pictures, RULES, tmp_path / "decoded")
    before = np.asarray(store.read(0))
    Image.new("RGB", (40, 40), "red").save(pictures[0])
    after = np.asarray(ImageCache(pictures, RULES, tmp_path / "decoded").read(0))
    assert not np.array_equal(before, after)
