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
    """float32 [p, d]; zero where an artwork has no picture, [p, 0] where no encoder looks at it."""
    pictured: Tensor
    """bool [p]."""
    artwork: Tensor
    """Each row's artwork as an index [n]."""
    caption: Tensor
    """float32 [n, e]; [n, 0] where no encoder reads it."""
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
    image_encoder: ImageEncoder | None,
    text_encoder: TextEncoder | None,
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
    files = picture_files(table, artwork, len(ids))
    image, pictured, broken = encode_pictures(files, image_encoder, cache)
    caption = np.zeros((len(table), 0), np.float32)
    if text_encoder is not None:
        caption = extract_features(text_encoder, table.strings("caption"), cache).values
    names, codes = table.codes("culture")
    return FeatureRows(
        artworks=ids,
        image=torch.from_numpy(image),
        pictured=torch.from_numpy(pictured),
        artwork=torch.from_numpy(artwork.astype(np.int64)),
        caption=torch.from_numpy(caption),
        emotion=torch.from_numpy(table.emotion_codes()),
        culture=torch.from_numpy(culture_indices(table, cultures)),
        culture_names=names[codes],
        broken=broken,
    )


def culture_indices(table: AnnotationTable, cultures: Sequence[str]) -> np.ndarray:
    """Each row's culture as the model counts them, 0 for one it does not know: int64 [n]."""
    names, codes = table.codes("culture")
    index = {name: i for i, name in enumerate(cultures, start=1)}
    found: np.ndarray = np.array([index.get(str(name), 0) for name in names], np.int64)[codes]
    return found


def picture_files(table: AnnotationTable, artwork: np.ndarray, count: int) -> list[Path | None]:
    """Each artwork's picture.

    Args:
        artwork: each row's artwork as an index below ``count`` [n].

    Raises:
        TableError: the folder of pictures is gone.
    """
    names, codes = table.codes("image")
    found: list[Path | None] = [None] * count
    root = table.images
    if (codes >= 0).any() and (root is None or not root.is_dir()):
        raise TableError(
            f"the table's pictures were in {root}, which is not there: "
            "import it again where they are"
        )
    pairs = dict(zip(artwork[codes >= 0].tolist(), codes[codes >= 0].tolist(), strict=True))
    for position, code in pairs.items():
        found[position] = Path(root or "") / str(names[code])
    return found


def encode_pictures(
    files: Sequence[Path | None], encoder: ImageEncoder | None, cache: Path | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features [p, d], which artworks have them [p], and what cannot be read."""
    pictured = np.array([file is not None for file in files], bool)
    if encoder is None:
        return np.zeros((len(files), 0), np.float32), pictured, []
    values = np.zeros((len(files), encoder.feature_dim), np.float32)
    if not pictured.any():
        return values, pictured, []
    features = extract_features(encoder, [file for file in files if file is not None], cache)
    positions = np.flatnonzero(pictured)
    values[positions] = features.values
    pictured[positions] = features.usable
    return values, pictured, list(features.broken.values())
