"""Training rows, and how they come in batches."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from artaffect.data.image_cache import ImageViews

Batch = Mapping[str, Any]
"""Tensors by name; ``captions`` alone is a list of (ids, mask)."""

Collate = Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]]
"""From token ids of captions to padded ids and mask."""

_POOL = 50
"""Batches among which captions are sorted by length; the pool itself is drawn at random."""


class Rows(Dataset[Batch]):
    """Training rows: they come in batches, and say in which order they want to be drawn."""

    workers = 0
    """Processes that prepare batches."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitems__(self, indices: list[int]) -> Batch:
        """One batch of these rows."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Called before the epoch's first batch is drawn; epochs count from 0."""

    def order(self, batch_size: int, generator: torch.Generator) -> list[int]:
        """All rows in the order of an epoch; each ``batch_size`` of them in turn make a batch."""
        found: list[int] = torch.randperm(len(self), generator=generator).tolist()
        return found


class TensorRows(Rows):
    """Rows that lie in memory as tensors of one length; a batch is one look-up, not one per row.

    ``shared`` holds columns of which many rows share a value, as (values, each row's index): a
    painting's features are not copied for each of its captions.
    """

    def __init__(
        self, shared: Mapping[str, tuple[Tensor, Tensor]] | None = None, **columns: Tensor
    ) -> None:
        self.columns = columns
        self.shared = dict(shared or {})
        lengths = {name: len(column) for name, column in columns.items()}
        lengths |= {name: len(index) for name, (_, index) in self.shared.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"columns differ in length: {lengths}")
        self._length = next(iter(lengths.values()))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Batch:
        return {name: column[0] for name, column in self.__getitems__([index]).items()}

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.tensor(indices)
        batch = {name: column[rows] for name, column in self.columns.items()}
        return batch | {name: values[index[rows]] for name, (values, index) in self.shared.items()}


class CaptionRows(Rows):
    """Captions as token ids: batches hold captions of like length, padded to the longest of them."""

    def __init__(self, tokens: "Tokens", collate: Collate, **columns: Tensor) -> None:
        """Prepare the rows.

        Args:
            columns: tensors [n, ...] that go along.
        """
        self.tokens, self.collate = tokens, collate
        self.columns = TensorRows(None, **columns)
        if len(tokens) != len(self.columns):
            raise ValueError(f"{len(tokens)} captions, but columns of {len(self.columns)} rows")

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitems__(self, indices: list[int]) -> Batch:
        captions = [self.collate([self.tokens[i] for i in indices])]
        return {"captions": captions, **self.columns.__getitems__(indices)}

    def order(self, batch_size: int, generator: torch.Generator) -> list[int]:
        drawn = torch.randperm(len(self), generator=generator).numpy()
        lengths = self.tokens.lengths[drawn]
        pool = np.arange(len(drawn)) // (_POOL * batch_size)
        drawn = drawn[np.lexsort((lengths, pool))]
        whole = len(drawn) // batch_size  # a batch that is not full stays the last one
        batches = drawn[: whole * batch_size].reshape(whole, batch_size)
        batches = batches[torch.randperm(whole, generator=generator).numpy()]
        found: list[int] = np.concatenate([batches.ravel(), drawn[whole * batch_size :]]).tolist()
        return found


class ArtworkRows(Rows):
    """Paintings with their readers' votes: one picture is read once for all its readers.

    A batch holds ``pixels`` [p, 3, s, s], and for each painting and culture that voted ``artwork``
    (an index into the pixels) [m], ``culture`` [m] and ``votes`` [m, 9].
    """

    def __init__(self, views: ImageViews, votes: Tensor, workers: int = 0) -> None:
        """Prepare the rows.

        Args:
            votes: float32 [p, cultures + 1, 9], all readers together first.
        """
        self.views, self.votes, self.workers = views, votes, workers
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.votes)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitems__(self, indices: list[int]) -> Batch:
        votes = self.votes[indices]
        artwork, culture = torch.nonzero(votes.sum(-1), as_tuple=True)
        return {
            "pixels": read_pixels(self.views, indices, self.epoch),
            "artwork": artwork,
            "culture": culture,
            "votes": votes[artwork, culture],
        }


class JointRows(Rows):
    """Paintings with their captions: the picture is encoded once, its captions by length.

    A batch holds ``pixels`` [p, 3, s, s], ``captions`` in groups of like length, and for each
    caption, in the groups' order, ``artwork`` [m], ``culture`` [m] and ``emotion`` [m].
    """

    def __init__(
        self,
        views: ImageViews,
        captions: CaptionRows,
        of_artwork: Sequence[np.ndarray],
        most: int,
        groups: int,
        workers: int = 0,
    ) -> None:
        """Prepare the rows.

        Args:
            captions: with the columns ``culture`` and ``emotion``.
            of_artwork: each painting's captions as indices into ``captions``.
            most: captions of a painting in one step; others of it are drawn in other epochs.
            groups: parts by length in which a batch's captions are padded.
        """
        self.views, self.captions, self.of_artwork = views, captions, of_artwork
        self.most, self.groups, self.workers = most, groups, workers
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.of_artwork)

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitems__(self, indices: list[int]) -> Batch:
        chosen = [self._choose(i) for i in indices]
        artwork = np.repeat(np.arange(len(indices)), [len(rows) for rows in chosen])
        rows = np.concatenate(chosen)
        by_length = np.argsort(self.captions.tokens.lengths[rows], kind="stable")
        rows, artwork = rows[by_length], artwork[by_length]
        parts = [part for part in np.array_split(rows, self.groups) if len(part)]
        tokens = self.captions.tokens
        return {
            "pixels": read_pixels(self.views, indices, self.epoch),
            "captions": [self.captions.collate([tokens[i] for i in part]) for part in parts],
            "artwork": torch.from_numpy(artwork),
            **self.captions.columns.__getitems__(rows.tolist()),
        }

    def _choose(self, painting: int) -> np.ndarray:
        rows = self.of_artwork[painting]
        if len(rows) <= self.most:
            return rows
        return np.random.default_rng((self.epoch, painting)).choice(rows, self.most, replace=False)


@dataclass(frozen=True)
class Tokens:
    """Token ids of many captions, end to end: a list of a million lists would need ten times as much."""

    ids: np.ndarray
    """int32 [all tokens]."""
    ends: np.ndarray
    """Where each caption ends: int64 [n]."""

    @classmethod
    def of(cls, captions: Sequence[Sequence[int]]) -> "Tokens":
        lengths = np.array([len(caption) for caption in captions], np.int64)
        ids = np.fromiter((i for caption in captions for i in caption), np.int32, lengths.sum())
        return cls(ids, lengths.cumsum())

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> list[int]:
        start = self.ends[row - 1] if row else 0
        found: list[int] = self.ids[start : self.ends[row]].tolist()
        return found

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each caption [n]."""
        return np.diff(self.ends, prepend=0)


class BatchOrder(Sampler[list[int]]):
    """The rows' own order, cut into batches."""

    drop_last = False

    def __init__(self, rows: Rows, batch_size: int, generator: torch.Generator) -> None:
        self.rows, self.batch_size, self.generator = rows, batch_size, generator

    def __iter__(self) -> Iterator[list[int]]:
        order = self.rows.order(self.batch_size, self.generator)
        for start in range(0, len(order), self.batch_size):
            yield order[start : start + self.batch_size]

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)


def read_pixels(views: ImageViews, indices: Sequence[int], epoch: int) -> Tensor:
    """Training views of these pictures, channels last in memory: float32 [n, 3, s, s]."""
    pixels = torch.from_numpy(np.stack([views.read(i, epoch) for i in indices]))
    return pixels.contiguous(memory_format=torch.channels_last)


def as_is(batch: Any) -> Any:
    """The rows come as a batch already."""
    return batch
