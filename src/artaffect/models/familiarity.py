"""How near an image is to the training artworks: a small file in the model folder tells. Without torch."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artaffect.errors import ModelFolderError
from artaffect.models.folder import FAMILIARITY, listed_files, read_bytes

_BLOCK = 1024
"""Images that are compared at once, which bounds memory."""


@dataclass(frozen=True)
class Familiarity:
    """The directions of training artworks in a projection of the image encoder's features."""

    projection: np.ndarray
    """float32 [d, k]."""
    offset: np.ndarray
    """What is added to projected features: float32 [k]."""
    directions: np.ndarray
    """Of length 1, one for each training artwork: float16 [n, k]."""
    usual: float
    """The similarity that 99 % of the validation artworks have at least."""

    def note(self, similarity: float | None) -> str | None:
        """What to say of an image that is less similar than usual; None of any other."""
        if similarity is None or similarity >= self.usual:
            return None
        return (
            "the image is less similar to the training artworks than 99 % of the validation artworks: "
            "trust its influence less"
        )

    def similarity(self, features: np.ndarray) -> np.ndarray:
        """Cosine similarity to the nearest training artwork, -1 to 1: float32 [m].

        Args:
            features: of images, float32 [m, d].
        """
        return self.nearest(self.direction(features))

    def nearest(self, own: np.ndarray) -> np.ndarray:
        """As :meth:`similarity`, for projected features of length 1 [m, k]."""
        directions = self.directions.astype(np.float32)
        blocks = [own[i : i + _BLOCK] @ directions.T for i in range(0, len(own), _BLOCK)]
        nearest = [block.max(1).clip(-1, 1) for block in blocks]  # directions are rounded
        return np.concatenate(nearest) if nearest else np.zeros(0, np.float32)

    def direction(self, features: np.ndarray) -> np.ndarray:
        """Projected features of length 1 [m, k]."""
        projected = features @ self.projection + self.offset
        return projected / np.linalg.norm(projected, axis=1, keepdims=True).clip(1e-9)

    def save(self, folder: Path) -> None:
        """Write it into a model folder that is being made."""
        from safetensors.numpy import save_file

        tensors = {"projection": self.projection, "offset": self.offset}
        usual = np.array([self.usual], np.float32)
        save_file({**tensors, "directions": self.directions, "usual": usual}, folder / FAMILIARITY)

    @classmethod
    def load(cls, folder: Path, feature_dim: int) -> "Familiarity | None":
        """That of a model folder; None if the folder has none, or safetensors is not installed.

        Args:
            feature_dim: the width of the model's image features.

        Raises:
            ModelFolderError: it is damaged, or does not fit the model.
        """
        digest = listed_files(folder).get(FAMILIARITY)
        if digest is None:
            return None
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load
        except ImportError:  # an exported model predicts with little installed
            return None

        path = folder / FAMILIARITY
        try:
            tensors = load(read_bytes(folder, FAMILIARITY, digest))
        except (SafetensorError, ValueError, KeyError, TypeError):
            raise ModelFolderError(f"{path} is damaged: copy the folder again") from None
        projection = tensors.get("projection", np.zeros((0, 0), np.float32))
        count = len(tensors.get("directions", ()))
        width = projection.shape[-1]
        expected = {
            "projection": (np.float32, (feature_dim, width)),
            "offset": (np.float32, (width,)),
            "directions": (np.float16, (count, width)),
            "usual": (np.float32, (1,)),
        }
        described = {name: (value.dtype.type, value.shape) for name, value in tensors.items()}
        is_finite = all(np.isfinite(value).all() for value in tensors.values())
        if described != expected or not (count and width and is_finite):
            raise ModelFolderError(f"{path} does not fit the model: copy the folder again")
        return cls(**{**tensors, "usual": float(tensors["usual"][0])})
