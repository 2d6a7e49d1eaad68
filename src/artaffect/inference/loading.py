"""Open a model folder with the predictor that fits what it holds."""

from pathlib import Path

from artaffect.inference.model_predictor import ModelPredictor
from artaffect.inference.sharing import fetch_folder
from artaffect.models.folder import holds_graphs


def load_predictor(path: Path | str, revision: str | None = None) -> ModelPredictor:
    """Open a model folder: with ONNX Runtime where it was exported, else with torch.

    Args:
        path: of the folder, or its name on the Hugging Face hub (``owner/model``).
        revision: of the hub's model: a branch, a tag or a commit.

    Raises:
        ModelFolderError: it is missing, incomplete or altered.
    """
    folder = fetch_folder(path, revision)
    if holds_graphs(folder):
        from artaffect.inference.onnx_predictor import OnnxPredictor

        return OnnxPredictor.load(folder)
    from artaffect.inference.torch_predictor import TorchPredictor

    return TorchPredictor.load(folder)
