"""Predictions with torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import SOURCES, EmotionModel
from artaffect.models.folder import read_config
from artaffect.prediction.predictor import ModelDescription, ModelPredictor


class TorchPredictor(ModelPredictor):
    """A model in memory, on the GPU if the machine has one."""

    engine = "torch"

    def __init__(self, model: EmotionModel, folder: Path | None = None) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.eval().to(self.device)
        image, captions = model.encoders
        config = read_config(folder) if folder else {}
        super().__init__(
            ModelDescription(
                cultures=model.cultures,
                languages=model.languages,
                image=image.preprocessing if image and image.reads_images else None,
                captions=captions.tokens if captions else None,
                encoders=config.get("encoders", {}),
                synthetic=config.get("synthetic", False),
                caveat=config.get("caveat", ""),
                labels=model.labels,
                conformal=model.conformal,
                outside=model.outside_names,
            ),
            folder,
        )

    @classmethod
    def load(cls, path: Path, mapped: bool = False) -> Self:
        """Load a model folder; ``mapped`` is that of :func:`load_model`."""
        return cls(load_model(path, mapped), path)

    def limit_threads(self, count: int) -> None:
        torch.set_num_threads(count)

    @property
    def feature_dims(self) -> Mapping[str, int]:
        encoders = zip(SOURCES, self.model.encoders, strict=True)
        return {name: encoder.feature_dim if encoder else 0 for name, encoder in encoders}

    @torch.inference_mode()
    def image_features(self, pixels: np.ndarray) -> np.ndarray:
        encoder: Any = self.model.encoders[0]
        return encoder.encode(self._tensor(pixels)).cpu().numpy()

    @torch.inference_mode()
    def caption_features(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        encoder: Any = self.model.encoders[1]
        return encoder.encode(self._tensor(ids), self._tensor(mask)).cpu().numpy()

    def answer_features(
        self,
        image: np.ndarray,
        caption: np.ndarray,
        present: np.ndarray,
        culture: np.ndarray,
        outside: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        tensor = self._tensor
        given = (tensor(image), tensor(caption), tensor(present), tensor(culture))
        if outside is None:
            probabilities, shares = self.model.answer(*given)
        else:
            probabilities, shares = self.model.answer_with_outside(*given, tensor(outside))
        return probabilities.cpu().numpy(), shares.cpu().numpy()

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)
