"""The training artworks that are most similar to an image, with their votes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.features import encode_images, image_files
from artaffect.labels import EMOTIONS
from artaffect.models.heads import EmotionHead
from artaffect.models.image_encoders import ImageEncoder


@dataclass(frozen=True)
class Neighbour:
    """A training artwork."""

    artwork: str
    image: Path
    similarity: float
    """Cosine similarity of the standardised features."""
    votes: Mapping[str, Mapping[str, int]]
    """Culture -> emotion -> votes, the most frequent first."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "image": str(self.image)}


class NearestArtworks:
    """Finds training artworks by the similarity of their features."""

    def __init__(
        self,
        table: AnnotationTable,
        encoder: ImageEncoder,
        head: EmotionHead,
        cache: Path | None = None,
    ) -> None:
        """Encode the images of the training split, or read their features from the cache.

        Raises:
            TableError: the folder of images does not exist.
        """
        self.table = table.of_split("train")
        names, codes = self.table.codes("artwork_id")
        artworks, rows = np.unique(codes, return_inverse=True)
        files = image_files(self.table, rows, len(artworks))
        features, has_image, _ = encode_images(files, encoder, cache)
        self._head = head
        usable = np.flatnonzero(has_image)
        self._directions = self._direction(features[usable])
        self._files = [files[i] for i in usable]
        self._names = [str(names[artworks[i]]) for i in usable]
        self._codes = artworks[usable]

    def nearest(self, features: np.ndarray, count: int = 5) -> list[Neighbour]:
        """The artworks nearest to the features of one image [1, d], the nearest first."""
        similarity = self._directions @ self._direction(features)[0]
        order = np.argsort(-similarity)[:count]
        return [
            Neighbour(
                self._names[i],
                Path(self._files[i] or ""),
                float(similarity[i]),
                self._votes(int(self._codes[i])),
            )
            for i in order
        ]

    def _votes(self, artwork: int) -> dict[str, dict[str, int]]:
        _, codes = self.table.codes("artwork_id")
        rows = self.table.select(np.flatnonzero(codes == artwork))
        emotions, cultures = rows.emotion_codes(), np.array(rows.strings("culture"))
        votes = {}
        for culture in sorted(set(cultures.tolist())):
            counts = np.bincount(emotions[cultures == culture], minlength=len(EMOTIONS))
            order: Sequence[int] = [int(e) for e in np.argsort(-counts, kind="stable") if counts[e]]
            votes[culture] = {str(EMOTIONS[e]): int(counts[e]) for e in order}
        return votes

    def _direction(self, features: np.ndarray) -> np.ndarray:
        """Standardised features of length 1."""
        mean = self._head.scaler.mean.cpu().numpy()
        scale = self._head.scaler.scale.cpu().numpy()
        centred = (features - mean) / scale
        return centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-9)
