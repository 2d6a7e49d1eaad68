"""Why a model answers as it does: places, words, parts, and the nearest training paintings."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from artaffect.errors import InputError
from artaffect.explain.attribution import gradient_heatmap, occlusion_heatmap, token_weights
from artaffect.explain.contributions import LogOddsContributions, log_odds_contributions
from artaffect.explain.deletion import Deletion, delete_patches, delete_words
from artaffect.explain.neighbours import NearestArtworks, Neighbour
from artaffect.explain.words import Word, weigh_words
from artaffect.labels import EMOTIONS, Emotion
from artaffect.prediction.predictor import (
    CulturePrediction,
    ModelPredictor,
    PredictionInput,
    PreparedInput,
)
from artaffect.prediction.torch import TorchPredictor


@dataclass(frozen=True)
class Check:
    """Whether an explanation holds."""

    deletion: Deletion
    occlusion: float | None = None
    """Of a heatmap map: Spearman's correlation with occlusion over patches."""


@dataclass(frozen=True)
class CultureExplanation:
    """Why one culture's answer gives an emotion the probability that it does."""

    prediction: CulturePrediction
    emotion: Emotion
    parts: LogOddsContributions
    heatmap: np.ndarray | None
    """float32 [size, size] over what the encoder sees; positive speaks for the emotion."""
    words: Sequence[Word] | None
    """The whole caption as read."""
    cut: bool
    """Whether the caption is longer than what the encoder reads."""
    checks: dict[str, Check]
    """By ``image`` and ``caption``, where they were asked for."""

    def to_json(self) -> dict[str, Any]:
        """All but the heatmap map."""
        return {
            **self.prediction.to_json(),
            "explained": str(self.emotion),
            "parts": asdict(self.parts),
            "words": None if self.words is None else [asdict(word) for word in self.words],
            "caption_cut": self.cut,
            "checks": {name: asdict(check) for name, check in self.checks.items()},
        }


@dataclass(frozen=True)
class Explanation:
    """The answers for one artwork, explained."""

    by_culture: Sequence[CultureExplanation]
    neighbours: Sequence[Neighbour]

    def to_json(self) -> dict[str, Any]:
        return {
            "predictions": [reading.to_json() for reading in self.by_culture],
            "neighbours": [{**asdict(n), "image": str(n.image)} for n in self.neighbours],
        }


class Explainer:
    """Explains what a predictor answers. It needs gradients, and so the torch model."""

    def __init__(self, predictor: ModelPredictor, paintings: NearestArtworks | None = None) -> None:
        """Make an explainer.

        Args:
            paintings: where the nearest ones are looked for.

        Raises:
            InputError: the model was exported to ONNX, which has no gradients.
        """
        if not isinstance(predictor, TorchPredictor):
            raise InputError(
                "an exported model answers but does not explain: give the folder it was exported from"
            )
        self.predictor = predictor
        self.paintings = paintings
        self.model = predictor.model.requires_grad_(False)

    def explain(
        self, asked: PredictionInput, emotion: Emotion | None = None, check: bool = False
    ) -> Explanation:
        """Answer and explain.

        Args:
            emotion: what is explained; each culture's likeliest one where none is given.
            check: also run the deletion test and occlusion, which take some hundred answers more.

        Raises:
            ImageError: the picture cannot be read.
            InputError: there is nothing that the model looks at.
        """
        given = self.predictor.prepare([asked])[0]
        prediction = self.predictor.answer([given])[0]
        features = _Features.of(self.predictor, given)
        explained = [
            self._one(asked, given, features, reading, emotion or reading.top, check)
            for reading in prediction.by_culture
        ]
        near = []
        if self.paintings is not None and given.pixels is not None:
            near = self.paintings.nearest(features.image.cpu().numpy())
        return Explanation(explained, near)

    def _one(
        self,
        asked: PredictionInput,
        given: PreparedInput,
        features: "_Features",
        reading: CulturePrediction,
        emotion: Emotion,
        check: bool,
    ) -> CultureExplanation:
        index = EMOTIONS.index(emotion)
        culture = self.predictor.description.culture_index(reading.culture)
        ask = _Question(self.predictor, features, culture, index)
        heatmap = words = None
        cut = False
        checks: dict[str, Check] = {}
        image_encoder, text_encoder = self.model.encoders
        if given.pixels is not None and image_encoder is not None:
            pixels = torch.from_numpy(given.pixels)[None].to(self.predictor.device)
            heatmap = gradient_heatmap(image_encoder, pixels, ask.of_image)
            if check:
                slow = occlusion_heatmap(image_encoder, pixels, ask.of_image)
                falls = delete_patches(pixels, heatmap, ask.of_pixels)
                checks["image"] = Check(falls, _rank_correlation(heatmap, slow))
        if given.tokens is not None and text_encoder is not None:
            tokens = text_encoder.tokens
            shown = " ".join(str(asked.caption).split())
            encoding = tokens.encodings([shown])[0]
            skipped = len(tokens.preprocessing(shown)) - len(shown)
            pieces = [(max(0, a - skipped), max(0, b - skipped)) for a, b in encoding.offsets]
            weights, _ = token_weights(text_encoder, list(given.tokens), ask.of_caption)
            words = weigh_words(shown, pieces, weights)
            cut = bool(encoding.overflowing)
            if check:
                checks["caption"] = Check(_delete(words, ask))
        return CultureExplanation(
            prediction=reading,
            emotion=emotion,
            parts=log_odds_contributions(
                self.model, features.image, features.caption, features.present, culture, index
            ),
            heatmap=heatmap,
            words=words,
            cut=cut,
            checks=checks,
        )


@dataclass(frozen=True)
class _Features:
    """Of the one input: [1, d], [1, e], and which are there [1, 2]."""

    image: Tensor
    caption: Tensor
    present: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, predictor: TorchPredictor, given: PreparedInput) -> "_Features":
        image_encoder, text_encoder = predictor.model.encoders
        image = torch.zeros(1, image_encoder.feature_dim if image_encoder else 0)
        caption = torch.zeros(1, text_encoder.feature_dim if text_encoder else 0)
        if image_encoder is not None and given.pixels is not None:
            image = image_encoder(torch.from_numpy(given.pixels)[None].to(predictor.device))
        if text_encoder is not None and given.tokens is not None:
            ids, mask = text_encoder.collate([given.tokens])
            caption = text_encoder(ids.to(predictor.device), mask.to(predictor.device))
        present = torch.tensor([[given.pixels is not None, given.tokens is not None]])
        device = predictor.device
        return cls(image.to(device), caption.to(device), present.to(device))


@dataclass(frozen=True)
class _Question:
    """How likely an emotion is for a culture, as a function of one input while the other stays."""

    predictor: TorchPredictor
    features: _Features
    culture: int
    emotion: int

    def of_image(self, features: Tensor) -> Tensor:
        """Log-probabilities [n] for image features [n, d]."""
        return self._log(features, self.features.caption.expand(len(features), -1))

    def of_caption(self, features: Tensor) -> Tensor:
        """Log-probabilities [n] for caption features [n, e]."""
        return self._log(self.features.image.expand(len(features), -1), features)

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """Log-probabilities [n] for pictures [n, 3, size, size]."""
        encoder, _ = self.predictor.model.encoders
        assert encoder is not None
        return self.of_image(encoder.encode(pixels)).cpu()

    def of_texts(self, captions: Sequence[str]) -> Tensor:
        """Log-probabilities [n] for captions."""
        _, encoder = self.predictor.model.encoders
        assert encoder is not None
        ids, mask = encoder.collate(encoder.tokenize(captions))
        device = self.predictor.device
        return self.of_caption(encoder(ids.to(device), mask.to(device))).cpu()

    def _log(self, image: Tensor, caption: Tensor) -> Tensor:
        count = max(len(image), len(caption))
        present = self.features.present.expand(count, 2)
        culture = torch.full((count,), self.culture, device=present.device)
        said, _ = self.predictor.model.distribution(image, caption, present, culture)
        return said.log()[:, self.emotion]


def _delete(words: Sequence[Word], ask: _Question) -> Deletion:
    places = [i for i, word in enumerate(words) if word.spoken]

    def answer(parts: Sequence[Sequence[int]]) -> Tensor:
        kept = []
        for part in parts:
            gone = {places[i] for i in part}
            kept.append("".join(w.text for i, w in enumerate(words) if i not in gone))
        return ask.of_texts(kept)

    return delete_words(np.array([words[i].weight for i in places]), answer)


def _rank_correlation(one: np.ndarray, other: np.ndarray, patches: int = 7) -> float:
    """Spearman's, over patches."""
    size = len(one) - len(one) % patches
    cells = [
        heatmap[:size, :size].reshape(patches, size // patches, patches, -1).mean((1, 3)).ravel()
        for heatmap in (one, other)
    ]
    ranks = [np.argsort(np.argsort(cell)).astype(float) for cell in cells]
    if any(cell.std() == 0 for cell in cells):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
