"""The training artworks that are most similar to an image, with their votes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.features import encode_images, image_files
from artaffect.models.heads import EmotionHead
from artaffect.models.image_encoder import ImageEncoder


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
        self._files = [Path(files[i] or "") for i in usable]
        self._codes = artworks[usable]
        self._names = [str(name) for name in names[self._codes]]

    def nearest(self, features: np.ndarray, count: int = 5) -> list[Neighbour]:
        """The artworks nearest to the features of one image [1, d], the nearest first."""
        similarity = self._directions @ self._direction(features)[0]
        order = np.argsort(-similarity)[:count]
        return [
            Neighbour(self._names[i], self._files[i], float(similarity[i]), self._votes(i))
            for i in order.tolist()
        ]

    def _votes(self, i: int) -> dict[str, dict[str, int]]:
        _, codes = self.table.codes("artwork_id")
        is_vote = (codes == self._codes[i]) & self.table.has_exact_label
        rows = self.table.select(np.flatnonzero(is_vote))
        emotions, cultures = rows.emotion_codes(), np.array(rows.strings("culture"))
        votes = {}
        for culture in sorted(set(cultures.tolist())):
            codes = np.sort(emotions[cultures == culture])  # ties keep the order of the labels
            votes[culture] = dict(Counter(self.table.labels.names[e] for e in codes).most_common())
        return votes

    def _direction(self, features: np.ndarray) -> np.ndarray:
        """Standardised features of length 1."""
        scaler = self._head.scaler
        centred = (features - scaler.mean.cpu().numpy()) / scaler.scale.cpu().numpy()
        return centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-9)
