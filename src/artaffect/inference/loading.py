"""Open a model folder with the predictor that fits it."""

from pathlib import Path

from artaffect.inference.predictor import Predictor
from artaffect.inference.torch_predictor import TorchPredictor


def load_predictor(path: Path | str) -> Predictor:
    """Open a model folder.

    Raises:
        ModelFolderError: it is missing, incomplete or altered.
    """
    return TorchPredictor.load(Path(path))
