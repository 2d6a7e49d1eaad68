"""Training views of pictures: a part of the picture, perhaps mirrored; decoded once where asked to."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from artaffect.data.preprocessing import ImagePreprocessing, open_image


@dataclass(frozen=True)
class ImageViews:
    """Reads training views.

    A view leaves what a painting's emotion hangs on: colours stay, nothing is turned or bent, and
    most of the composition is in it. Which view is drawn follows from the seed, the epoch and the
    picture, so a training that goes on after a kill sees the same ones.
    """

    files: Sequence[Path]
    preprocessing: ImagePreprocessing
    crop: float = 1.0
    """Smallest share of the side that is shown; with 1 the view is the one that prediction takes."""
    flip: bool = False
    """Mirror half of the views."""
    seed: int = 0
    store: "ImageCache | None" = None
    """Where decoded pictures are kept."""

    def read(self, index: int, epoch: int) -> np.ndarray:
        """A view of one picture: float32 [3, size, size].

        Raises:
            ImageError: the picture cannot be read.
        """
        source: Path | Image.Image = self.files[index]
        if self.store is not None:
            source = self.store.read(index)
        if self.crop == 1 and not self.flip and self.store is None:
            return self.preprocessing(source)
        rng = np.random.default_rng((self.seed, epoch, index))
        share = rng.uniform(self.crop, 1.0)
        left, top = rng.uniform(size=2)
        mirrored = self.flip and rng.uniform() < 0.5
        pixels = self.preprocessing.view(source, share, (left, top))
        return np.ascontiguousarray(pixels[..., ::-1]) if mirrored else pixels


@dataclass(frozen=True)
class ImageCache:
    """Pictures decoded to squares on disk, each when it is first asked for.

    80,000 squares of 256 pixels take 16 GB. Several processes may write at once: each picture has
    its own place, and counts as there only when it is whole.
    """

    files: Sequence[Path]
    preprocessing: ImagePreprocessing
    folder: Path
    _arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def side(self) -> int:
        """Pixels of a stored square's side: as many as the encoder's own rule resizes to."""
        return round(self.preprocessing.size / min(self.preprocessing.crop_fraction, 0.875))

    def read(self, index: int) -> Image.Image:
        """The picture as a square.

        Raises:
            ImageError: the picture cannot be read.
        """
        if not self._arrays:
            self._open()
        if not self._arrays["there"][index]:
            image = open_image(self.files[index], smallest_side=self.side)
            square = self.preprocessing.square(image, self.side, 1.0, (0.5, 0.5))
            self._arrays["pixels"][index] = np.asarray(square)
            self._arrays["there"][index] = True
        return Image.fromarray(self._arrays["pixels"][index])

    def _open(self) -> None:
        digest = hashlib.blake2b(repr((self.side, self.preprocessing.fit)).encode(), digest_size=10)
        for file in self.files:
            stat = file.stat()
            digest.update(f"{file}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        shapes = {"pixels": (len(self.files), self.side, self.side, 3), "there": (len(self.files),)}
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, shape in shapes.items():
            path = self.folder / f"{digest.hexdigest()}.{name}"
            path.touch()
            with path.open("r+b") as file_:
                file_.truncate(int(np.prod(shape)))  # sparse: takes room only as it fills
            kind = np.uint8 if name == "pixels" else np.bool_
            self._arrays[name] = np.memmap(path, kind, "r+", shape=shape)
