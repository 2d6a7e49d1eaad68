"""Which training paintings are nearest to a picture, and what people felt before them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.features import encode_images, image_files
from artaffect.labels import EMOTIONS
from artaffect.models.heads import EmotionHead
from artaffect.models.image_encoders import ImageEncoder


@dataclass(frozen=True)
class Neighbour:
    """A training painting."""

    artwork: str
    image: Path
    similarity: float
    """Cosine of the standardised features: 1 the same, 0 nothing in common."""
    felt: Mapping[str, Mapping[str, int]]
    """Culture → emotion → votes, commonest first."""


class NearestArtworks:
    """The training paintings of a table, by their features."""

    def __init__(
        self,
        table: AnnotationTable,
        encoder: ImageEncoder,
        head: EmotionHead,
        cache: Path | None = None,
    ) -> None:
        """Encode the paintings of the table's training split, or find their features in the cache.

        Raises:
            TableError: the folder of pictures is gone.
        """
        self.table = table.of_split("train")
        names, codes = self.table.codes("artwork_id")
        present, rows = np.unique(codes, return_inverse=True)
        files = image_files(self.table, rows, len(present))
        values, pictured, _ = encode_images(files, encoder, cache)
        self._head = head
        keep = np.flatnonzero(pictured)
        self._directions = self._direction(values[keep])
        self._files = [files[i] for i in keep]
        self._names = [str(names[present[i]]) for i in keep]
        self._codes = present[keep]

    def nearest(self, features: np.ndarray, count: int = 5) -> list[Neighbour]:
        """The nearest paintings to a picture's features [1, d]."""
        similarity = self._directions @ self._direction(features)[0]
        order = np.argsort(-similarity)[:count]
        return [
            Neighbour(
                self._names[i],
                Path(self._files[i] or ""),
                float(similarity[i]),
                self._felt(int(self._codes[i])),
            )
            for i in order
        ]

    def _felt(self, code: int) -> dict[str, dict[str, int]]:
        _, codes = self.table.codes("artwork_id")
        rows = self.table.select(np.flatnonzero(codes == code))
        emotions, cultures = rows.emotion_codes(), np.array(rows.strings("culture"))
        felt = {}
        for culture in sorted(set(cultures.tolist())):
            counts = np.bincount(emotions[cultures == culture], minlength=len(EMOTIONS))
            order: Sequence[int] = [int(e) for e in np.argsort(-counts, kind="stable") if counts[e]]
            felt[culture] = {str(EMOTIONS[e]): int(counts[e]) for e in order}
        return felt

    def _direction(self, features: np.ndarray) -> np.ndarray:
        mean = self._head.scaler.mean.cpu().numpy()
        scale = self._head.scaler.scale.cpu().numpy()
        centred = (features - mean) / scale
        found: np.ndarray = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-9)
        return found
