"""Rows in batches."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from artaffect.data.image_cache import ImageViews
from artaffect.errors import ImageError

_logger = logging.getLogger(__name__)

Batch = Mapping[str, Any]
"""Tensors by name; only ``captions`` is a list of (ids, mask)."""

Collate = Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]]
"""From the token ids of captions to padded ids and mask."""

_POOL = 50
"""Batches among which captions are sorted by length; the pool itself is sampled at random."""


class Rows(Dataset[Batch]):
    """Training rows: they are read in batches, and decide in which order they are sampled."""

    workers = 0
    """Processes that prepare batches."""
    epoch = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def __getitems__(self, indices: list[int]) -> Batch:
        """One batch of these rows."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Called before the epoch's first batch is sampled; epochs count from 0."""
        self.epoch = epoch

    def order(self, batch_size: int, generator: torch.Generator) -> list[int]:
        """All rows in the order of an epoch; every ``batch_size`` of them in turn make a batch."""
        return torch.randperm(len(self), generator=generator).tolist()


class TensorRows(Rows):
    """Rows in memory as tensors of one length; a batch is one look-up, not one per row.

    ``shared`` holds columns of which many rows share a value, as (values, each row's index): an
    artwork's features are not copied for each of its captions.
    """

    def __init__(
        self, shared: Mapping[str, tuple[Tensor, Tensor]] | None = None, **columns: Tensor
    ) -> None:
        self.columns = columns
        self.shared = dict(shared or {})
        indices = {name: index for name, (_, index) in self.shared.items()}
        self._lengths = {name: len(column) for name, column in (columns | indices).items()}
        if len(set(self._lengths.values())) != 1:
            raise ValueError(f"columns differ in length: {self._lengths}")

    def __len__(self) -> int:
        return next(iter(self._lengths.values()))

    def column(self, name: str) -> Tensor:
        """A whole column [n, ...]; shared values are repeated."""
        if name in self.columns:
            return self.columns[name]
        values, index = self.shared[name]
        return values[index]

    def __getitems__(self, indices: list[int]) -> Batch:
        rows = torch.tensor(indices)
        batch = {name: column[rows] for name, column in self.columns.items()}
        return batch | {name: values[index[rows]] for name, (values, index) in self.shared.items()}


class CaptionRows(Rows):
    """Captions as token ids, with further tensors [n, ...] of each as ``columns``.

    A batch holds captions of similar length, padded to its longest.
    """

    def __init__(self, tokens: "Tokens", collate: Collate, **columns: Tensor) -> None:
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
        order = torch.randperm(len(self), generator=generator).numpy()
        pool = np.arange(len(order)) // (_POOL * batch_size)
        order = order[np.lexsort((self.tokens.lengths[order], pool))]
        whole = len(order) // batch_size  # an incomplete batch stays the last one
        batches = order[: whole * batch_size].reshape(whole, batch_size)
        batches = batches[torch.randperm(whole, generator=generator).numpy()]
        return np.concatenate([batches.ravel(), order[whole * batch_size :]]).tolist()


@dataclass(eq=False)
class ArtworkRows(Rows):
    """Artworks with their votes: an image is read once for all its annotators.

    A batch holds ``pixels`` [p, 3, s, s], and for each artwork and culture with votes ``artwork``
    (an index into the pixels) [m], ``culture`` [m] and ``votes`` [m, k].
    """

    views: ImageViews
    votes: Tensor
    """float32 [p, cultures + 1, k], those of all cultures first."""
    workers: int = 0

    def __len__(self) -> int:
        return len(self.votes)

    def __getitems__(self, indices: list[int]) -> Batch:
        pixels, indices = read_pixels(self.views, indices, self.epoch)
        votes = self.votes[indices]
        artwork, culture = torch.nonzero(votes.sum(-1), as_tuple=True)
        return {
            "pixels": pixels,
            "artwork": artwork,
            "culture": culture,
            "votes": votes[artwork, culture],
        }


@dataclass(eq=False)
class JointRows(Rows):
    """Artworks with their captions: the image is encoded once, its captions by length.

    A batch holds ``pixels`` [p, 3, s, s], ``captions`` in groups of similar length, and for each
    caption, in the order of the groups, ``artwork`` [m], ``culture`` [m] and ``emotion`` [m].
    """

    views: ImageViews
    captions: CaptionRows
    """With the columns ``culture`` and ``emotion``."""
    captions_of: Sequence[np.ndarray]
    """Each artwork's captions as indices into ``captions``."""
    max_captions: int
    """Captions of an artwork in one step; other epochs sample others."""
    groups: int
    """Groups of similar length into which the captions of a batch are padded."""
    workers: int = 0

    def __len__(self) -> int:
        return len(self.captions_of)

    def __getitems__(self, indices: list[int]) -> Batch:
        pixels, indices = read_pixels(self.views, indices, self.epoch)
        tokens, chosen = self.captions.tokens, [self._choose(i) for i in indices]
        artwork = np.repeat(np.arange(len(indices)), [len(rows) for rows in chosen])
        rows = np.concatenate(chosen)
        by_length = np.argsort(tokens.lengths[rows], kind="stable")
        rows, artwork = rows[by_length], artwork[by_length]
        groups = [group for group in np.array_split(rows, self.groups) if len(group)]
        return {
            "pixels": pixels,
            "captions": [self.captions.collate([tokens[i] for i in group]) for group in groups],
            "artwork": torch.from_numpy(artwork),
            **self.captions.columns.__getitems__(rows.tolist()),
        }

    def _choose(self, artwork: int) -> np.ndarray:
        rows, limit = self.captions_of[artwork], self.max_captions
        if len(rows) <= limit:
            return rows
        return np.random.default_rng((self.epoch, artwork)).choice(rows, limit, replace=False)


class Tokens:
    """Token ids of many captions, concatenated: a million lists would need ten times the memory."""

    def __init__(self, captions: Sequence[Sequence[int]]) -> None:
        self.lengths = np.array([len(caption) for caption in captions], np.int64)
        """Tokens of each caption [n]."""
        self._ids = np.fromiter(chain.from_iterable(captions), np.int32, self.lengths.sum())
        self._ends = self.lengths.cumsum()

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> list[int]:
        end = self._ends[row]
        return self._ids[end - self.lengths[row] : end].tolist()


class BatchOrder(Sampler[list[int]]):
    """The rows' own order, cut into batches; an epoch passes over them ``passes`` times."""

    drop_last = False

    def __init__(
        self, rows: Rows, batch_size: int, generator: torch.Generator, passes: int = 1
    ) -> None:
        self.rows, self.batch_size, self.generator = rows, batch_size, generator
        self.passes = passes

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(self.passes):
            order = self.rows.order(self.batch_size, self.generator)
            for start in range(0, len(order), self.batch_size):
                yield order[start : start + self.batch_size]

    def __len__(self) -> int:
        return self.passes * -(-len(self.rows) // self.batch_size)


def read_pixels(views: ImageViews, indices: Sequence[int], epoch: int) -> tuple[Tensor, list[int]]:
    """Training views of images, channels last in memory: float32 [n, 3, s, s]; and which they are.

    An image that was readable before the training and no longer is, is left out with a warning.

    Raises:
        ImageError: none of the images can be read.
    """
    read, faults = {}, []
    for i in indices:
        try:
            read[i] = views.read(i, epoch)
        except ImageError as error:
            faults.append(str(error))
            _logger.warning(f"epoch {epoch + 1} continues without an image: {error}")
    if not read:
        raise ImageError(f"no image of a batch can be read any more; the first: {faults[0]}")
    pixels = torch.from_numpy(np.stack(list(read.values())))
    return pixels.contiguous(memory_format=torch.channels_last), list(read)
