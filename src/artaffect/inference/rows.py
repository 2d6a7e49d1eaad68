"""A table's rows as tensors: features once per painting and once per caption, joined by index."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import TableError
from artaffect.inference.features import extract_features
from artaffect.models.image_encoders import ImageEncoder
from artaffect.models.text_encoders import TextEncoder


@dataclass(frozen=True)
class FeatureRows:
    """Annotations with their features."""

    artworks: np.ndarray
    """Ids of the distinct artworks [p]."""
    image: Tensor
    """float32 [p, d]; zero where an artwork has no picture."""
    pictured: Tensor
    """bool [p]."""
    artwork: Tensor
    """Each row's artwork as an index [n]."""
    caption: Tensor
    """float32 [n, e]."""
    emotion: Tensor
    """int64 [n]."""
    culture: Tensor
    """int64 [n]: the model's index of the row's culture, 0 for one it does not know."""
    culture_names: np.ndarray
    """object [n]."""
    broken: Sequence[str] = ()
    """One line for each picture that could not be read."""

    def __len__(self) -> int:
        return len(self.emotion)

    @property
    def has_image(self) -> Tensor:
        """bool [n]: whether the row's artwork has a picture."""
        return self.pictured[self.artwork]

    def select(self, keep: Tensor) -> "FeatureRows":
        """The rows where ``keep`` (bool [n]) is true; all artworks stay."""
        return FeatureRows(
            self.artworks,
            self.image,
            self.pictured,
            self.artwork[keep],
            self.caption[keep],
            self.emotion[keep],
            self.culture[keep],
            self.culture_names[keep.numpy()],
            self.broken,
        )


def extract_rows(
    table: AnnotationTable,
    image_encoder: ImageEncoder,
    text_encoder: TextEncoder,
    cultures: Sequence[str],
    cache: Path | None = None,
) -> FeatureRows:
    """Encode what a table names.

    Args:
        cultures: the model's cultures, in its order.
        cache: see :func:`extract_features`.

    Raises:
        TableError: the folder of pictures is gone.
    """
    artworks, artwork = np.unique(table.codes("artwork_id")[1], return_inverse=True)
    ids = table.codes("artwork_id")[0][artworks]
    image, pictured, broken = _images(table, artwork, len(ids), image_encoder, cache)
    captions = table.strings("caption")
    caption = extract_features(text_encoder, captions, cache).values
    names, codes = table.codes("culture")
    index = {name: i for i, name in enumerate(cultures, start=1)}
    lookup = np.array([index.get(str(name), 0) for name in names], np.int64)
    return FeatureRows(
        artworks=ids,
        image=torch.from_numpy(image),
        pictured=torch.from_numpy(pictured),
        artwork=torch.from_numpy(artwork.astype(np.int64)),
        caption=torch.from_numpy(caption),
        emotion=torch.from_numpy(table.emotion_codes()),
        culture=torch.from_numpy(lookup[codes]),
        culture_names=names[codes],
        broken=broken,
    )


def _images(
    table: AnnotationTable,
    artwork: np.ndarray,
    count: int,
    encoder: ImageEncoder,
    cache: Path | None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    names, codes = table.codes("image")
    of_artwork = np.full(count, -1, np.int64)
    of_artwork[artwork[codes >= 0]] = codes[codes >= 0]
    pictured = of_artwork >= 0
    values = np.zeros((count, encoder.feature_dim), np.float32)
    if not pictured.any():
        return values, pictured, []
    root = table.images
    if root is None or not root.is_dir():
        raise TableError(
            f"the table's pictures were in {root}, which is not there: "
            "import it again where they are"
        )
    positions = np.flatnonzero(pictured)
    files = [root / str(names[of_artwork[position]]) for position in positions]
    features = extract_features(encoder, files, cache)
    values[positions] = features.values
    pictured[positions] = features.usable
    return values, pictured, list(features.broken.values())
