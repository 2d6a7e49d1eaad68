"""What training reads: the splits of a table, and rows in batches."""

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from artaffect.data.annotations import AnnotationTable
from artaffect.data.image_cache import ImageViews
from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import ImageError, TableError
from artaffect.features import AnnotationArrays, extract_arrays, image_files
from artaffect.models.image_encoders import ImageEncoder
from artaffect.models.text_encoders import TextEncoder
from artaffect.runtime import track

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
    left_out: dict[str, set[str]] = field(default_factory=dict, compare=False)
    """What was left out of both splits, by kind: one line each."""
    _faults: dict[Path, str | None] = field(default_factory=dict, repr=False, compare=False)
    """Images that were read, and what is wrong with those that cannot be."""

    @classmethod
    def from_table(
        cls, table: AnnotationTable, cache: Path | None = None, work: Path | None = None
    ) -> "TrainingData":
        """Take the splits ``train`` and ``val``; raises a TableError if one of them has no rows."""
        train, val = table.of_split("train"), table.of_split("val")
        return cls(train, val, train.cultures, _languages(train), cache, work)

    def for_sources(self, image: bool, caption: bool, complete: bool = False) -> "TrainingData":
        """The data of a recipe whose sources read images, captions or both; checked at once.

        Rows whose caption is empty are left out. Cultures and languages are those of the rows that
        the recipe learns from.

        Args:
            complete: the recipe learns only from artworks that have an image.

        Raises:
            TableError: a split lacks what the sources read, or training has nothing to tell apart.
        """
        train, val = (self._with_captions(t) if caption else t for t in (self.train, self.val))
        learned = _with_image(train) if image and (complete or not caption) else train
        for table, name in ((learned, "train"), (val, "val")):
            if image:
                count = _artworks_with_image(table)
                check_artworks(count, name, " with an image")
            else:
                check_artworks(len(table.codes("artwork_id")[0]), name)
        emotions = list(learned.counts("emotion"))
        if len(emotions) == 1:
            raise TableError(
                f"every row of split 'train' has the emotion {emotions[0]!r}: "
                "training needs at least two emotions to tell apart"
            )
        languages = _languages(learned)
        return replace(self, train=train, val=val, cultures=learned.cultures, languages=languages)

    def arrays(
        self,
        table: AnnotationTable,
        image_encoder: ImageEncoder | None = None,
        text_encoder: TextEncoder | None = None,
        images: bool = True,
        preprocessing: ImagePreprocessing | None = None,
    ) -> AnnotationArrays:
        """The arrays of some rows; images that cannot be read are logged and left out.

        Args:
            image_encoder: extracts features of the images; likewise ``text_encoder``.
            images: whether images are needed.
            preprocessing: finds out which images can be read, where no features are extracted.

        Raises:
            TableError: images are needed and too few can be read, or their folder is missing.
        """
        arrays = extract_arrays(table, image_encoder, text_encoder, self.cultures, self.cache)
        if not images:
            return arrays
        if preprocessing is not None:
            arrays = self._without_unreadable(arrays, preprocessing)
        self._leave_out("images that cannot be read", arrays.unreadable)
        split = next(iter(table.counts("split")), "train")
        check_artworks(
            int(arrays.artwork_has_image.sum()), split, " with an image that can be read"
        )
        return arrays

    def _with_captions(self, table: AnnotationTable) -> AnnotationTable:
        empty = np.array(pc.equal(pc.utf8_trim_whitespace(table.rows["caption"]), ""))
        if not empty.any():
            return table
        ids = table.select(empty).strings("annotation_id")
        self._leave_out("empty captions", map(str, ids))
        if empty.all():
            split = next(iter(table.counts("split")))
            raise TableError(f"no row of split {split!r} has a caption")
        return table.select(~empty)

    def _without_unreadable(
        self, arrays: AnnotationArrays, preprocessing: ImagePreprocessing
    ) -> AnnotationArrays:
        """Read every image as training will, because it would end at the first that is damaged."""
        assert arrays.image_paths is not None
        files = arrays.image_paths.tolist()
        new = [f for f in dict.fromkeys(files) if f is not None and f not in self._faults]
        with ThreadPoolExecutor(4) as pool:
            faults = pool.map(lambda file: _fault(preprocessing, file), new)
            checked = track(zip(new, faults, strict=True), "checking images", len(new))
            self._faults.update(checked)
        problems = [fault for f in files if f is not None and (fault := self._faults[f])]
        readable = torch.tensor([f is not None and self._faults[f] is None for f in files])
        return replace(arrays, artwork_has_image=readable, unreadable=problems)

    def _leave_out(self, kind: str, lines: Iterable[str]) -> None:
        known = self.left_out.get(kind, set())
        if new := set(lines) - known:
            self.left_out[kind] = known | new
            _logger.warning(f"training goes on without {len(new):,} {kind}; the first: {min(new)}")


def check_artworks(count: int, split: str, which: str = "") -> None:
    """Raise a TableError if a split has too few artworks: one, or two for training."""
    least = 2 if split == "train" else 1
    if count < least:
        has = "no artwork" if count == 0 else "only one artwork"
        needs = "at least two" if least == 2 else "at least one"
        raise TableError(f"split {split!r} has {has}{which}: training needs {needs}")


def _languages(table: AnnotationTable) -> tuple[str, ...]:
    return tuple(sorted(map(str, table.codes("language")[0])))


def _with_image(table: AnnotationTable) -> AnnotationTable:
    return table.select(table.codes("image")[1] >= 0)


def _artworks_with_image(table: AnnotationTable) -> int:
    """How many artworks have an image; raises a TableError if the folder of images is missing."""
    ids, codes = table.codes("artwork_id")
    return sum(file is not None for file in image_files(table, codes, len(ids)))


def _fault(preprocessing: ImagePreprocessing, file: Path) -> str | None:
    try:
        preprocessing(file)
    except ImageError as error:
        return str(error)
    return None


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
    digest = _Digest()
    with pa.ipc.new_stream(digest, table.rows.schema) as writer:
        writer.write_table(table.rows)
    return digest.hash.hexdigest()


class _Digest(io.RawIOBase):
    """A file of which only the digest is kept."""

    def __init__(self) -> None:
        self.hash = hashlib.blake2b(digest_size=16)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.hash.update(data)
        return len(data)


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
            _logger.warning(f"epoch {epoch + 1} goes on without an image: {error}")
    if not read:
        raise ImageError(f"no image of a batch can be read any more; the first: {faults[0]}")
    pixels = torch.from_numpy(np.stack(list(read.values())))
    return pixels.contiguous(memory_format=torch.channels_last), list(read)
