"""What training reads: the splits of a table, without what it cannot use."""

import hashlib
import io
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.data.decoders import shared_decoders
from artaffect.data.outside import OutsidePredictions
from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import ImageError, TableError
from artaffect.features import AnnotationArrays, extract_arrays, image_files
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.text_encoders import TextEncoder
from artaffect.runtime import track
from artaffect.training.trackers import Tracking

_logger = logging.getLogger(__name__)


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
    outside: Sequence[OutsidePredictions] = ()
    """Predictions that were made elsewhere, as further sources of the combination."""
    left_out: dict[str, set[str]] = field(default_factory=dict, compare=False)
    """What was left out of the splits: from a kind, such as ``empty captions``, to a line for each."""
    tracking: Tracking = field(default_factory=Tracking, repr=False, compare=False)
    """Where the scores of each epoch are sent."""
    _faults: dict[Path, str | None] = field(default_factory=dict, repr=False, compare=False)
    """The images that were checked: from a file to its fault, or to None if it can be read."""

    @classmethod
    def from_table(
        cls,
        table: AnnotationTable,
        cache: Path | None = None,
        work: Path | None = None,
        outside: Sequence[OutsidePredictions] = (),
    ) -> "TrainingData":
        """Take the splits ``train`` and ``val``; raises a TableError if one of them has no rows."""
        train, val = table.of_split("train"), table.of_split("val")
        return cls(train, val, train.cultures, _languages(train), cache, work, outside)

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
        if not val.has_exact_label.any():
            raise TableError(
                "every row of split 'val' has a partial label, one of several: training needs rows with "
                "one label to choose and to calibrate"
            )
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
        encoders = (image_encoder, text_encoder)
        arrays = extract_arrays(table, *encoders, self.cultures, self.cache, self.outside)
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
        empty = ~table.has_caption
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
        with ThreadPoolExecutor(shared_decoders().count) as pool:
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
            _logger.warning(
                f"training continues without {len(new):,} {kind}; the first: {min(new)}"
            )


def check_artworks(count: int, split: str, which: str = "") -> None:
    """Raise a TableError if a split has too few artworks: one, or two for training."""
    minimum = 2 if split == "train" else 1
    if count < minimum:
        has = "no artwork" if count == 0 else "only one artwork"
        needs = "at least two" if minimum == 2 else "at least one"
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
        shared_decoders().prepare(preprocessing, file)
    except ImageError as error:
        return str(error)
    return None


def hold_out(
    table: AnnotationTable, share: float, seed: int, images: bool = True
) -> tuple[AnnotationTable, AnnotationTable]:
    """Split off a share of the artworks, or with ``images`` of those that have an image.

    Returns:
        The rest, and those held out.
    """
    names, codes = table.codes("artwork_id")
    with_image = np.unique(codes[(table.codes("image")[1] >= 0) | (not images)])
    # by name, so that the order of rows has no influence
    order = np.array(sorted(with_image.tolist(), key=lambda i: str(names[i])))
    shuffled = np.random.default_rng(seed).permutation(order)
    mask = np.isin(codes, shuffled[: round(share * len(order))])
    return table.select(~mask), table.select(mask)


def table_digest(table: AnnotationTable) -> str:
    """A digest of all rows and labels: equal for equal tables."""
    digest = _Digest()
    digest.write("|".join(table.labels).encode())
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
