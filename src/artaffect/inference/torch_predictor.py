"""Predict with torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from artaffect.inference.predictor import Prediction, PredictionInput, Reading
from artaffect.labels import EmotionDistribution
from artaffect.models.checkpoint import load_model
from artaffect.models.emotion_model import EmotionModel


class TorchPredictor:
    """A model in memory. Inputs of one call are encoded together."""

    def __init__(self, model: EmotionModel) -> None:
        self.model = model.eval()

    @property
    def cultures(self) -> Sequence[str]:
        """Whose readings it knows apart."""
        return self.model.cultures

    @classmethod
    def load(cls, path: Path) -> "TorchPredictor":
        """Open a model folder."""
        return cls(load_model(path))

    def predict(self, inputs: Sequence[PredictionInput]) -> list[Prediction]:
        """One prediction for each input, in order."""
        if not inputs:
            return []
        image, caption, present = self._features(inputs)
        asked = [self._asked(item) for item in inputs]
        rows = torch.tensor([i for i, cultures in enumerate(asked) for _ in cultures])
        names = [culture for cultures in asked for culture in cultures]
        languages = [inputs[row].language for row in rows]
        codes = torch.tensor([self.model.culture_index(name) for name in names])
        probabilities, shares = self.model.answer(image[rows], caption[rows], present[rows], codes)
        readings = iter(
            Reading(
                culture=name,
                emotions=EmotionDistribution.of(p / p.sum()),
                shares={"image": float(share[0]), "caption": float(share[1])},
                note=self._note(name, language),
            )
            for name, language, p, share in zip(
                names, languages, probabilities.numpy(), shares.numpy(), strict=True
            )
        )
        return [Prediction(tuple(next(readings) for _ in cultures)) for cultures in asked]

    @torch.inference_mode()
    def _features(
        self, inputs: Sequence[PredictionInput]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of both modalities, zero where one is missing, and which are there."""
        image_encoder, text_encoder = self.model.encoders
        pictured = [i for i, item in enumerate(inputs) if item.image is not None and image_encoder]
        captioned = [
            i for i, item in enumerate(inputs) if item.caption is not None and text_encoder
        ]
        image = torch.zeros(len(inputs), image_encoder.feature_dim if image_encoder else 0)
        caption = torch.zeros(len(inputs), text_encoder.feature_dim if text_encoder else 0)
        if image_encoder and pictured:
            read = image_encoder.preprocessing
            pixels = np.stack([read(inputs[i].image) for i in pictured])  # type: ignore[arg-type]
            image[pictured] = image_encoder(torch.from_numpy(pixels))
        if text_encoder and captioned:
            tokens = text_encoder.tokenize([str(inputs[i].caption) for i in captioned])
            caption[captioned] = text_encoder(*text_encoder.collate(tokens))
        present = torch.zeros(len(inputs), 2, dtype=torch.bool)
        present[pictured, 0] = True
        present[captioned, 1] = True
        return image, caption, present

    def _asked(self, item: PredictionInput) -> list[str]:
        if item.cultures is None:
            return list(self.cultures)
        return [culture.strip().lower() for culture in item.cultures]

    def _note(self, culture: str, language: str | None) -> str | None:
        notes = []
        if culture not in self.cultures:
            notes.append(
                f"the culture {culture!r} was not in training (known: {', '.join(self.cultures)}): "
                "this is the answer of the public as a whole"
            )
        if language and language.strip().lower() not in self.model.languages:
            notes.append(
                f"no captions in {language!r} were in training "
                f"(known: {', '.join(self.model.languages)}): trust the caption's part less"
            )
        return "; ".join(notes) or None
