"""Images for training: random views, and a cache of decoded images on disk."""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from artaffect.data.decoders import shared_decoders
from artaffect.data.preprocessing import Crop, ImagePreprocessing


@dataclass(frozen=True)
class ImageViews:
    """Random views of images: parts of them, perhaps mirrored.

    The colours stay, nothing is rotated or distorted, and most of the composition is visible. A view
    depends only on the seed, the epoch and the image, so resumed training sees the same views.
    """

    files: Sequence[Path]
    preprocessing: ImagePreprocessing
    crop: float = 1.0
    """Smallest visible fraction of each side; with 1, the view is the input of prediction."""
    flip: bool = False
    """Mirror half of the views."""
    seed: int = 0
    cache: "ImageCache | None" = None

    def read(self, index: int, epoch: int) -> np.ndarray:
        """The view of one image in one epoch: float32 [3, size, size]."""
        if self.crop == 1 and not self.flip and self.cache is None:
            return shared_decoders().prepare(self.preprocessing, self.files[index])
        source = self.files[index] if self.cache is None else self.cache.read(index)
        rng = np.random.default_rng((self.seed, epoch, index))
        fraction = rng.uniform(self.crop, 1.0)
        left, top = rng.uniform(size=2)
        is_mirrored = self.flip and rng.uniform() < 0.5
        crop = Crop.of(self.preprocessing.size, fraction, (left, top))
        square = shared_decoders().square(self.preprocessing, source, crop)
        pixels = self.preprocessing.normalise(square)
        return np.ascontiguousarray(pixels[..., ::-1]) if is_mirrored else pixels


@dataclass(frozen=True)
class ImageCache:
    """Images decoded to squares on disk, each when it is first read.

    80,000 squares of 256 pixels take 16 GB. Several processes may write at the same time: each image
    has its own position, and counts as cached only when it is complete.
    """

    files: Sequence[Path]
    preprocessing: ImagePreprocessing
    folder: Path
    _arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def side(self) -> int:
        """Side of a cached square in pixels: the size to which prediction resizes."""
        return round(self.preprocessing.size / min(self.preprocessing.crop_fraction, 0.875))

    def read(self, index: int) -> Image.Image:
        """The image as a square."""
        if not self._arrays:
            self._open()
        pixels, is_cached = self._arrays["pixels"], self._arrays["is_cached"]
        if not is_cached[index]:
            crop = Crop.of(self.side, 1.0, (0.5, 0.5))
            decoded = shared_decoders().square(self.preprocessing, self.files[index], crop)
            pixels[index] = decoded.pixels
            is_cached[index] = True
        return Image.fromarray(pixels[index])

    def _open(self) -> None:
        digest = hashlib.blake2b(repr((self.side, self.preprocessing.fit)).encode(), digest_size=10)
        for image in self.files:
            digest.update(os.fsencode(image) + b"\0")
            with contextlib.suppress(FileNotFoundError):  # reported when the image is read
                stat = image.stat()
                # also the time of the last change: another file may have the same size and date
                state = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
                digest.update(repr(state).encode())
        count = len(self.files)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, dtype, shape in (
            ("pixels", np.uint8, (count, self.side, self.side, 3)),
            ("is_cached", np.bool_, (count,)),
        ):
            path = self.folder / f"{digest.hexdigest()}.{name}"
            path.touch()
            with path.open("r+b") as file:
                file.truncate(int(np.prod(shape)))  # a sparse file takes space only as it fills
            self._arrays[name] = np.memmap(path, dtype, "r+", shape=shape)
