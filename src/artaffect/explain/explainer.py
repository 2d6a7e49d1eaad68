"""Explains predictions: image regions, words, contributions, and the most similar training artworks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from artaffect.data.preprocessing import ImageSource
from artaffect.errors import InputError
from artaffect.explain.attribution import gradient_heatmap, occlusion_heatmap, token_weights
from artaffect.explain.contributions import LogOddsContributions, log_odds_contributions
from artaffect.explain.deletion import DeletionCurves, delete_parts, delete_patches
from artaffect.explain.encoding import EncodeOnce, encode_captions_once, encode_images_once
from artaffect.explain.words import Word, weigh_words
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.text_encoders import TextEncoder
from artaffect.prediction.notes import Note
from artaffect.prediction.predictor import (
    CulturePrediction,
    ModelPredictor,
    PredictionInput,
    PreparedInput,
)
from artaffect.prediction.torch import TorchPredictor
from artaffect.runtime import printable, track, visible

if TYPE_CHECKING:  # a prediction needs no table
    from artaffect.explain.neighbours import NearestArtworks, Neighbour

_NO_WORDS = "the caption contains no words, only symbols: there is nothing to attribute to words"

_HTML = """<table><thead><tr><th>culture</th><th>emotion</th><th>probability</th>
<th>contributions (log-odds)</th></tr></thead><tbody>{% for item in explanation %}
<tr><td>{{ item.prediction.culture }}</td><td>{{ item.emotion }}</td>
<td>{{ "%.1f%%" % (100 * item.probability) }}</td>
<td>{% for name, value in item.contributions.terms.items() %}{{ name }} {{ "%+.2f" % value }}
{%- if not loop.last %}, {% endif %}{% endfor %}</td></tr>{% endfor %}</tbody></table>"""


@dataclass(frozen=True)
class Check:
    """Evidence for or against an attribution."""

    deletion: DeletionCurves
    occlusion: float | None = None
    """Spearman correlation of a heatmap with occlusion over patches; None if it was not computed."""

    @property
    def held(self) -> bool:
        """Whether deleting what matters first lowers the probability faster than deleting at random."""
        return self.deletion.deletion_auc_gap > 0

    def to_json(self) -> dict[str, Any]:
        deletion = self.deletion.to_json()
        return {"held": self.held, "deletion": deletion, "occlusion": self.occlusion}


_Checks = dict[str, Check] | None
"""By ``image`` and ``caption``; None unless checks are requested."""


@dataclass(frozen=True, repr=False)
class CultureExplanation:
    """Why the model gives an emotion its probability for one culture."""

    prediction: CulturePrediction
    emotion: str
    """The explained emotion."""
    contributions: LogOddsContributions
    heatmap: np.ndarray | None
    """float32 [size, size] over what the encoder sees; positive values support the emotion."""
    words: Sequence[Word] | None
    """The whole caption in order; empty if it contains no words, None without a caption."""
    caption_truncated: bool
    """Whether the caption is longer than the encoder can read."""
    checks: dict[str, Check] = field(default_factory=dict)
    """By ``image`` and ``caption``; empty unless checks were requested."""

    @property
    def probability(self) -> float:
        """The probability of the explained emotion."""
        return self.prediction.probabilities[self.emotion]

    def to_json(self) -> dict[str, Any]:
        """Everything except the heatmap."""
        return {
            **self.prediction.to_json(),
            "explained_emotion": self.emotion,
            "contributions": asdict(self.contributions),
            "words": None if self.words is None else [asdict(word) for word in self.words],
            "caption_truncated": self.caption_truncated,
            "checks": {name: check.to_json() for name, check in self.checks.items()},
        }

    def __repr__(self) -> str:
        terms = ", ".join(f"{name} {v:+.2f}" for name, v in self.contributions.terms.items())
        prediction = f"{self.prediction.culture}: {self.emotion} {self.probability:.1%}"
        return printable(f"{prediction} ({terms})")


@dataclass(frozen=True, repr=False)
class Explanation:
    """The explanations for one artwork, one for each culture, in the order requested."""

    by_culture: Sequence[CultureExplanation]
    neighbours: Sequence["Neighbour"] = ()
    """The most similar training artworks."""

    def __getitem__(self, culture: str) -> CultureExplanation:
        explanations = {item.prediction.culture: item for item in self}
        if culture not in explanations:
            known = ", ".join(explanations)
            raise KeyError(f"no explanation for {culture!r}; this one has {known}")
        return explanations[culture]

    def __iter__(self) -> Iterator[CultureExplanation]:
        return iter(self.by_culture)

    def __len__(self) -> int:
        return len(self.by_culture)

    def to_json(self) -> dict[str, Any]:
        return {
            "explanations": [explanation.to_json() for explanation in self.by_culture],
            "neighbours": [neighbour.to_json() for neighbour in self.neighbours],
        }

    def __repr__(self) -> str:
        return f"Explanation({'; '.join(map(repr, self.by_culture))})"

    def _repr_html_(self) -> str:
        from jinja2 import Environment

        template = Environment(autoescape=True, finalize=visible).from_string(_HTML)
        return template.render(explanation=self)


class Explainer:
    """Explains the predictions of a torch model. An exported model has no gradients."""

    def __init__(
        self,
        predictor: ModelPredictor,
        artworks: "NearestArtworks | None" = None,
        show_progress: bool = False,
    ) -> None:
        """Create an explainer, which looks for the most similar training artworks in ``artworks``.

        Args:
            show_progress: show on a terminal how many cultures are explained.

        Raises:
            InputError: the model was exported to ONNX.
        """
        if not isinstance(predictor, TorchPredictor):
            raise InputError(
                "an exported model cannot explain its predictions: use the original model folder"
            )
        self.predictor, self.artworks, self.show_progress = predictor, artworks, show_progress
        self.model = predictor.model.requires_grad_(False)

    def explain(
        self,
        input: PredictionInput,
        emotion: str | None = None,
        check: "bool | Literal['deletion']" = False,
    ) -> Explanation:
        """Predict for an artwork, and explain the prediction.

        Args:
            emotion: the emotion to explain; the most likely one of each culture by default.
            check: also run the deletion test and occlusion, which take several hundred predictions;
                "deletion" for the deletion test alone, which takes half the time.

        Raises:
            ImageError: the image cannot be read.
            InputError: the input contains nothing that the model uses.
            UnknownNameError: the emotion is unknown.
        """
        chosen = None if emotion is None else self.predictor.labels.parse(emotion)
        prepared = self.predictor.prepare([input])[0]
        features = _Features.from_input(self.predictor, prepared)
        predictions = self.predictor.answer([prepared])[0].by_culture
        shown: Iterable[CulturePrediction] = predictions
        if self.show_progress:
            shown = track(predictions, "explaining", len(predictions))
        explanations = [
            self._explain_culture(input, prepared, features, prediction, chosen, check)
            for prediction in shown
        ]
        neighbours = []
        if self.artworks is not None and prepared.pixels is not None:
            neighbours = self.artworks.nearest(features.image.cpu().numpy())
        return Explanation(explanations, neighbours)

    def _explain_culture(
        self,
        input: PredictionInput,
        prepared: PreparedInput,
        features: "_Features",
        prediction: CulturePrediction,
        emotion: str | None,
        check: "bool | Literal['deletion']",
    ) -> CultureExplanation:
        emotion = emotion or prediction.top
        index = self.predictor.labels.index(emotion)
        culture = self.predictor.description.culture_index(prediction.culture)
        score = _LogProbability(self.model, features, culture, index)
        checks: _Checks = {} if check else None
        heatmap, words, truncated = None, None, False
        if prepared.pixels is not None:
            heatmap = self._heatmap(prepared.pixels, score, checks, check is True)
        if prepared.tokens is not None:
            caption = " ".join(str(input.caption).split())
            words, truncated = self._words(caption, list(prepared.tokens), score, checks)
            if not words:
                notes = (*prediction.notes, Note("no-words", _NO_WORDS))
                prediction = replace(prediction, notes=notes)
        contributions = log_odds_contributions(
            self.model, features.image, features.caption, features.present, culture, index
        )
        return CultureExplanation(
            prediction, emotion, contributions, heatmap, words, truncated, checks or {}
        )

    def _heatmap(
        self, image: np.ndarray, score: "_LogProbability", checks: _Checks, compares: bool
    ) -> np.ndarray:
        """The heatmap; ``compares`` says whether its check also compares it with occlusion."""
        encoder, _ = self.model.encoders
        assert encoder is not None
        pixels = torch.from_numpy(image)[None].to(self.predictor.device)
        heatmap = gradient_heatmap(encoder, pixels, score.of_image)
        if checks is not None:
            correlation = None
            if compares:
                occlusion = occlusion_heatmap(pixels, score.of_pixels)
                correlation = _rank_correlation(heatmap, occlusion)
            deletion = delete_patches(pixels, heatmap, score.of_pixels)
            checks["image"] = Check(deletion, correlation)
        return heatmap

    def _words(
        self, caption: str, ids: list[int], score: "_LogProbability", checks: _Checks
    ) -> tuple[list[Word], bool]:
        """The words of a caption, none if it has no letters or digits; and whether it is truncated."""
        _, encoder = self.model.encoders
        assert encoder is not None
        encoding = encoder.tokens.encodings([caption])[0]
        truncated = bool(encoding.overflowing)
        if not Word(caption, 0.0).is_word:
            return [], truncated
        prefix = len(encoder.tokens.preprocessing(caption)) - len(caption)
        spans = [(max(0, a - prefix), max(0, b - prefix)) for a, b in encoding.offsets]
        weights, _ = token_weights(encoder, ids, score.of_caption)
        words = weigh_words(caption, spans, weights)
        if checks is not None:
            checks["caption"] = Check(_delete_words(words, encoder, score))
        return words, truncated


class ExplainingPredictor(TorchPredictor):
    """A torch predictor that can explain its predictions."""

    def explain(
        self,
        image: ImageSource | None = None,
        caption: str | None = None,
        language: str | None = None,
        culture: str | Sequence[str] | None = None,
        *,
        emotion: str | None = None,
        check: bool = False,
    ) -> Explanation:
        """Predict for one artwork, and explain the prediction; see :meth:`Explainer.explain`.

        Args:
            culture: one culture or several; all cultures of the model by default.
        """
        cultures = [culture] if isinstance(culture, str) else culture
        item = PredictionInput(image, caption, language, cultures)
        return Explainer(self).explain(item, emotion, check)


@dataclass(frozen=True)
class _Features:
    """The features of one input: image [1, d], caption [1, e], and which of them are present [1, 2].

    The encoders remember the altered inputs, which all cultures share.
    """

    image: Tensor
    caption: Tensor
    present: Tensor
    encode_images: EncodeOnce[Tensor] | None
    encode_captions: EncodeOnce[Sequence[int]] | None

    @classmethod
    @torch.no_grad()
    def from_input(cls, predictor: TorchPredictor, prepared: PreparedInput) -> "_Features":
        device = predictor.device
        image_encoder, text_encoder = predictor.model.encoders
        image = torch.zeros(1, image_encoder.feature_dim if image_encoder else 0)
        caption = torch.zeros(1, text_encoder.feature_dim if text_encoder else 0)
        if image_encoder is not None and prepared.pixels is not None:
            image = image_encoder(torch.from_numpy(prepared.pixels)[None].to(device))
        if text_encoder is not None and prepared.tokens is not None:
            ids, mask = text_encoder.collate([prepared.tokens])
            caption = text_encoder(ids.to(device), mask.to(device))
        present = torch.tensor([[prepared.pixels is not None, prepared.tokens is not None]])
        return cls(
            image.to(device),
            caption.to(device),
            present.to(device),
            encode_images_once(image_encoder) if image_encoder else None,
            encode_captions_once(text_encoder) if text_encoder else None,
        )


@dataclass(frozen=True)
class _LogProbability:
    """The log-probability of an emotion for a culture, as a function of one input; the other is fixed."""

    model: EmotionModel
    features: _Features
    culture: int
    emotion: int

    def of_image(self, features: Tensor) -> Tensor:
        """For image features [n, d]: [n]."""
        return self._evaluate(features, self.features.caption.expand(len(features), -1))

    def of_caption(self, features: Tensor) -> Tensor:
        """For caption features [n, e]: [n]."""
        return self._evaluate(self.features.image.expand(len(features), -1), features)

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """For images [n, 3, size, size], without gradients: [n]."""
        assert self.features.encode_images is not None
        return self.of_image(self.features.encode_images(list(pixels)))

    def of_tokens(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        """For the token ids of n captions, without gradients: [n]."""
        assert self.features.encode_captions is not None
        return self.of_caption(self.features.encode_captions(tokens))

    def _evaluate(self, image: Tensor, caption: Tensor) -> Tensor:
        present = self.features.present.expand(len(image), 2)
        culture = torch.full((len(image),), self.culture, device=present.device)
        probabilities, _ = self.model.distribution(image, caption, present, culture)
        return probabilities.log()[:, self.emotion]


def _delete_words(
    words: Sequence[Word], encoder: TextEncoder, score: _LogProbability
) -> DeletionCurves:
    positions = [i for i, word in enumerate(words) if word.is_word]

    def without(parts: Sequence[Sequence[int]]) -> Tensor:
        deleted = ({positions[i] for i in part} for part in parts)
        texts = [[w.text for i, w in enumerate(words) if i not in gone] for gone in deleted]
        return score.of_tokens(encoder.tokenize(["".join(text) for text in texts]))

    return delete_parts(np.array([words[i].weight for i in positions]), without)


def _rank_correlation(first: np.ndarray, second: np.ndarray, patches: int = 7) -> float:
    """Spearman's correlation of two heatmaps, over patches."""
    size = len(first) - len(first) % patches
    cells = [
        heatmap[:size, :size].reshape(patches, size // patches, patches, -1).mean((1, 3)).ravel()
        for heatmap in (first, second)
    ]
    ranks = [np.argsort(np.argsort(cell)).astype(float) for cell in cells]
    if any(cell.std() == 0 for cell in cells):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
