"""What training reads: the splits of a table, and rows in batches."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from artaffect.data.annotations import AnnotationTable
from artaffect.data.image_cache import ImageViews
from artaffect.data.images import ImageStore
from artaffect.errors import TableError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.models.image_encoders import ImageEncoder
from artaffect.models.text_encoders import TextEncoder

_logger = logging.getLogger(__name__)

Batch = Mapping[str, Any]
"""Tensors by name; only ``captions`` is a list of (ids, mask)."""

Collate = Callable[[Sequence[Sequence[int]]], tuple[Tensor, Tensor]]
"""From the token ids of captions to padded ids and mask."""

_POOL = 50
"""Batches among which captions are sorted by length; the pool itself is sampled at random."""


@dataclass(frozen=True)
class TrainingData:
    """The splits of a table for training and selection, its cultures, and where results are cached."""

    train: AnnotationTable
    val: AnnotationTable
    cultures: tuple[str, ...]
    languages: tuple[str, ...]
    cache: Path | None = None
    """See :func:`extract_features`."""
    work: Path | None = None
    """Folder for the checkpoints of unfinished training runs."""

    @classmethod
    def from_table(
        cls, table: AnnotationTable, cache: Path | None = None, work: Path | None = None
    ) -> "TrainingData":
        """Take the splits ``train`` and ``val``; raises a TableError if one of them has no rows."""
        train, val = table.of_split("train"), table.of_split("val")
        languages = tuple(sorted(train.codes("language")[0]))
        return cls(train, val, train.cultures, languages, cache, work)

    def arrays(
        self,
        table: AnnotationTable,
        image_encoder: ImageEncoder | None = None,
        text_encoder: TextEncoder | None = None,
        images: bool = True,
    ) -> AnnotationArrays:
        """The arrays of some rows; an image that cannot be read is logged and left out.

        Args:
            image_encoder: extracts features of the images; likewise ``text_encoder``.
            images: whether images are needed.

        Raises:
            TableError: images are needed, and no row has one, or their folder is missing.
        """
        arrays = extract_arrays(table, image_encoder, text_encoder, self.cultures, self.cache)
        if not images:
            return arrays
        if image_encoder is None and table.images is not None:
            arrays = _without_unreadable(arrays, table.images)
        for problem in arrays.unreadable:
            _logger.info(f"trained without an image that cannot be read: {problem}")
        if not arrays.has_image.any():
            split = ", ".join(sorted({str(name) for name in table.strings("split")}))
            raise TableError(f"no row of split {split!r} has an image")
        return arrays


def _without_unreadable(arrays: AnnotationArrays, root: Path) -> AnnotationArrays:
    assert arrays.image_paths is not None
    names = [path and str(path.relative_to(root)) for path in arrays.image_paths]
    problems = ImageStore(root).find_broken(sorted({name for name in names if name}))
    readable = torch.tensor([name is not None and name not in problems for name in names])
    lines = [f"{root / name}: {problem}" for name, problem in problems.items()]
    return replace(arrays, artwork_has_image=readable, unreadable=lines)


def hold_out(
    table: AnnotationTable, share: float, seed: int
) -> tuple[AnnotationTable, AnnotationTable]:
    """Split off a share of the artworks that have an image: the rest, and those held out."""
    names, codes = table.codes("artwork_id")
    with_image = np.unique(codes[table.codes("image")[1] >= 0])
    # by name, so that the order of rows has no influence
    order = np.array(sorted(with_image.tolist(), key=lambda i: str(names[i])))
    shuffled = np.random.default_rng(seed).permutation(order)
    mask = np.isin(codes, shuffled[: round(share * len(order))])
    return table.select(~mask), table.select(mask)


def table_digest(table: AnnotationTable) -> str:
    """A digest of all rows: equal for equal tables."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.rows.schema) as writer:
        writer.write_table(table.rows)
    return hashlib.blake2b(sink.getvalue(), digest_size=16).hexdigest()


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
    (an index into the pixels) [m], ``culture`` [m] and ``votes`` [m, 9].
    """

    views: ImageViews
    votes: Tensor
    """float32 [p, cultures + 1, 9], those of all cultures first."""
    workers: int = 0

    def __len__(self) -> int:
        return len(self.votes)

    def __getitems__(self, indices: list[int]) -> Batch:
        votes = self.votes[indices]
        artwork, culture = torch.nonzero(votes.sum(-1), as_tuple=True)
        return {
            "pixels": read_pixels(self.views, indices, self.epoch),
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
        tokens, chosen = self.captions.tokens, [self._choose(i) for i in indices]
        artwork = np.repeat(np.arange(len(indices)), [len(rows) for rows in chosen])
        rows = np.concatenate(chosen)
        by_length = np.argsort(tokens.lengths[rows], kind="stable")
        rows, artwork = rows[by_length], artwork[by_length]
        groups = [group for group in np.array_split(rows, self.groups) if len(group)]
        return {
            "pixels": read_pixels(self.views, indices, self.epoch),
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
    """Training views of images, channels last in memory: float32 [n, 3, s, s]."""
    pixels = torch.from_numpy(np.stack([views.read(i, epoch) for i in indices]))
    return pixels.contiguous(memory_format=torch.channels_last)
