"""In place of an image encoder: vectors of artworks that were made elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from torch import Tensor, nn

from artaffect.data.preprocessing import ImagePreprocessing
from artaffect.errors import InputError
from artaffect.models.image_encoder import ImageEncoder, Settings

if TYPE_CHECKING:  # it reads tables, which a prediction does not need
    from artaffect.data.stored_features import StoredVectors

_UNUSED = ImagePreprocessing(8, "stretch", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "bilinear")


class StoredFeatures(ImageEncoder):
    """Knows artworks by their ids, and reads no images.

    A model folder keeps the width and the digest of the vectors, not the vectors themselves.
    """

    reads_images = False
    vectors: "StoredVectors | None" = None

    def __init__(self, architecture: Settings, preprocessing: ImagePreprocessing = _UNUSED) -> None:
        super().__init__(architecture, preprocessing)
        self.network = nn.Identity()
        self.feature_dim = int(architecture["width"])

    @classmethod
    def pretrained(cls, name: str) -> Self:
        """The vectors in a file."""
        from artaffect.data.stored_features import read_vectors

        vectors = read_vectors(Path(name))
        architecture = {"family": "features", "width": vectors.width, "sha256": vectors.sha256}
        encoder = cls(architecture)
        encoder.vectors = vectors
        return encoder.eval()

    def attach(self, file: Path) -> None:
        """Use the vectors in a file, which may be of other artworks than those of the training.

        Raises:
            InputError: they have another width.
            TableError: the file cannot be read.
        """
        from artaffect.data.stored_features import read_vectors

        vectors = read_vectors(file)
        if vectors.width != self.feature_dim:
            raise InputError(
                f"{file}: its vectors have {vectors.width} numbers, and the model reads "
                f"{self.feature_dim}"
            )
        self.vectors = vectors

    def stored(self) -> "StoredVectors":
        """The vectors; raise InputError if none are attached."""
        if self.vectors is None:
            raise InputError(
                "this model reads features that were made elsewhere: name their file with --features "
                "FILE (in Python: features=FILE)"
            )
        return self.vectors

    def forward(self, pixels: Tensor) -> Tensor:
        raise InputError("this model reads features that were made elsewhere, and no images")

    def check_size(self) -> None:
        """There is no network to check."""


def attach_features(encoder: nn.Module | None, file: Path | None) -> None:
    """Give a model its stored features, if it reads any.

    Raises:
        InputError: the model needs a file and none is given, or it reads images and one is given.
    """
    if isinstance(encoder, StoredFeatures):
        if file is not None:
            encoder.attach(file)
        encoder.stored()
    elif file is not None:
        raise InputError(
            "this model reads no features that were made elsewhere: leave out --features"
        )
