"""What a recipe trains on: the splits of a table, its cultures, and where work under way is kept."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from artaffect.data.annotations import AnnotationTable
from artaffect.data.images import ImageStore
from artaffect.errors import TableError
from artaffect.features import culture_indices, image_files
from artaffect.labels import EMOTIONS
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.emotion_model import EmotionModel
from artaffect.prediction.evaluation import TrainingPriors

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainedModel:
    """A model, what a model folder says of it, and its scores on the validation split."""

    model: EmotionModel
    priors: TrainingPriors
    chosen: dict[str, Any]
    """Plain JSON: what was chosen on the way, and the course of each training."""
    evaluation: EvaluationResult


@dataclass(frozen=True)
class Part:
    """Rows that are trained or scored together, as arrays."""

    table: AnnotationTable
    artworks: int
    artwork: np.ndarray
    """Each row's painting as an index [n]."""
    culture: np.ndarray
    """Each row's culture as an index from 1 [n]."""
    emotion: np.ndarray
    """[n]."""
    files: Sequence[Path | None]
    """Each painting's picture [artworks]."""

    @property
    def pictured(self) -> np.ndarray:
        """Which paintings have a picture that can be read: bool [artworks]."""
        return np.array([file is not None for file in self.files], bool)

    def votes(self, cultures: int) -> Tensor:
        """How often each emotion was chosen for each painting: float32 [artworks, cultures + 1, 9].

        The first row of a painting holds all its votes; the others those of each culture that is
        told apart.
        """
        found = torch.zeros(self.artworks, cultures + 1, len(EMOTIONS))
        artwork, emotion = torch.from_numpy(self.artwork), torch.from_numpy(self.emotion)
        one = torch.ones(())
        found.index_put_((artwork, torch.zeros_like(artwork), emotion), one, accumulate=True)
        if cultures:
            culture = torch.from_numpy(self.culture)
            known = culture > 0
            places = (artwork[known], culture[known], emotion[known])
            found.index_put_(places, one, accumulate=True)
        return found


@dataclass(frozen=True)
class TrainingData:
    """A table, as a recipe sees it."""

    train: AnnotationTable
    val: AnnotationTable
    cultures: tuple[str, ...]
    languages: tuple[str, ...]
    cache: Path | None = None
    """See :func:`extract_features`."""
    work: Path | None = None
    """Where checkpoints are kept while the work goes on."""

    @classmethod
    def of(
        cls, table: AnnotationTable, cache: Path | None = None, work: Path | None = None
    ) -> "TrainingData":
        """Take the splits ``train`` and ``val``.

        Raises:
            TableError: one of them has no rows.
        """
        train, val = table.of_split("train"), table.of_split("val")
        languages = tuple(sorted(train.codes("language")[0]))
        return cls(train, val, train.cultures, languages, cache, work)

    def n_cultures(self, culture_input: str) -> int:
        """How many cultures a head tells apart; one culture has nobody to differ from."""
        return len(self.cultures) if culture_input != "off" and len(self.cultures) > 1 else 0

    def folder(self, name: str) -> Path | None:
        """Where the training of one part keeps its checkpoints."""
        return None if self.work is None else self.work / name

    def part(self, table: AnnotationTable, pictures: bool = True) -> Part:
        """The arrays of some rows.

        Args:
            pictures: look for the pictures too; broken ones are said and left out.

        Raises:
            TableError: no row has a picture, or their folder is gone.
        """
        artworks, artwork = np.unique(table.codes("artwork_id")[1], return_inverse=True)
        files: list[Path | None] = [None] * len(artworks)
        if pictures:
            files = image_files(table, artwork, len(artworks))
            files = _readable(files, table.images)
            if not any(files):
                split = ", ".join(sorted({str(s) for s in table.strings("split")}))
                raise TableError(f"no row of split {split!r} has a picture")
        return Part(
            table=table,
            artworks=len(artworks),
            artwork=artwork.astype(np.int64),
            culture=culture_indices(table, self.cultures),
            emotion=table.emotion_codes(),
            files=files,
        )


def hold_out(
    table: AnnotationTable, share: float, seed: int
) -> tuple[AnnotationTable, AnnotationTable]:
    """Split off a share of the pictured paintings: the rest, and those held out."""
    names, codes = table.codes("artwork_id")
    pictured = np.unique(codes[table.codes("image")[1] >= 0])
    # by name, so that the order of rows has no say
    order = np.array(sorted(pictured.tolist(), key=lambda i: str(names[i])))
    count = round(share * len(order))
    chosen = np.random.default_rng(seed).permutation(order)[:count]
    mine = np.isin(codes, chosen)
    return table.select(~mine), table.select(mine)


def digest_of(table: AnnotationTable) -> str:
    """A digest of all rows: equal for equal tables."""

    class Sink:
        closed = False

        def __init__(self) -> None:
            self.digest = hashlib.blake2b(digest_size=16)

        def write(self, data: Any) -> int:
            self.digest.update(data)
            return len(data)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    sink = Sink()
    with pa.ipc.new_stream(pa.PythonFile(sink, "w"), table.rows.schema) as writer:
        writer.write_table(table.rows)
    return sink.digest.hexdigest()


def _readable(files: Sequence[Path | None], root: Path | None) -> list[Path | None]:
    if root is None:
        return list(files)
    paths = {str(file.relative_to(root)) for file in files if file is not None}
    broken = ImageStore(root).find_broken(sorted(paths))
    for path, fault in broken.items():
        _logger.info(f"trained without a picture that cannot be read: {root / path}: {fault}")
    return [
        file if file is not None and str(file.relative_to(root)) not in broken else None
        for file in files
    ]
