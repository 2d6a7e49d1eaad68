"""What every predictor does, independent of the engine that computes, and without torch."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np

from artaffect.data.decoders import shared_decoders
from artaffect.data.preprocessing import ImageSource
from artaffect.errors import ArtAffectError, InputError, ModelFolderError, UnknownNameError
from artaffect.labels import ANY_CULTURE, LabelSet
from artaffect.models.familiarity import Familiarity
from artaffect.models.folder import SCORES, holds_graphs, read_scores
from artaffect.models.hub import copy_folder, push_folder, resolve_run
from artaffect.models.saved_config import shown
from artaffect.prediction.rows import (
    aligned_lists,
    distinct_rows,
    gather_rows,
    raise_first,
    stack_outside,
)
from artaffect.prediction.types import (
    CulturePrediction,
    ModelDescription,
    OutsideAnswers,
    Prediction,
    PredictionInput,
    PreparedInput,
    attempt,
)
from artaffect.runtime import collector_off

if TYPE_CHECKING:
    from artaffect.metrics.evaluation import EvaluationResult

__all__ = [
    "CulturePrediction", "ModelDescription", "ModelPredictor", "Prediction", "PredictionInput",
    "PreparedInput", "load_predictor",
]  # fmt: skip

BATCH = 32
"""Artworks that are encoded together."""

_CAPTION_BATCH = 16


class ModelPredictor(ABC):
    """The base class of all predictors; a subclass computes features and probabilities.

    :meth:`prepare` may run in several threads at the same time, :meth:`answer` in one.
    """

    engine: str
    """``torch`` or ``onnx``."""

    def __init__(self, description: ModelDescription, folder: Path | None = None) -> None:
        self.description = description
        self.labels: LabelSet = description.labels
        self.folder = folder
        """The folder from which the model was loaded."""

    def __repr__(self) -> str:
        about = {
            "engine": self.engine,
            "modalities": list(self.description.modalities),
            "cultures": list(self.cultures),
            "encoders": dict(self.description.encoders) or None,
            "folder": self.folder and str(self.folder),
        }
        fields = (f"{name}={value!r}" for name, value in about.items() if value is not None)
        return f"{type(self).__name__}({', '.join(fields)})"

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """As :meth:`from_pretrained`, for a folder only."""

    @classmethod
    def from_pretrained(cls, run: str | os.PathLike[str], revision: str | None = None) -> Self:
        """Load a model folder, or a model ``hf:OWNER/MODEL`` from the Hugging Face hub.

        Raises:
            ModelFolderError: the model cannot be found, or it is incomplete or altered.
        """
        return cls.load(resolve_run(run, revision))

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Copy the model folder; a thin one stays thin, see :func:`artaffect.pack`.

        Raises:
            OutputExistsError: ``folder`` exists.
            ModelFolderError: this predictor was not loaded from a folder.
        """
        copy_folder(self._model_folder(), Path(folder))

    def push_to_hub(self, repository: str, private: bool = False, synthetic: bool = False) -> str:
        """Upload the model folder to the Hugging Face hub as ``OWNER/MODEL``, and return its address.

        Raises:
            ModelFolderError: the hub refuses it, or this predictor was not loaded from a folder.
        """
        return push_folder(self._model_folder(), repository, private, synthetic)

    def _model_folder(self) -> Path:
        if self.folder is None:
            raise ModelFolderError("this model was not loaded from a folder: save it first")
        return self.folder

    @property
    def cultures(self) -> Sequence[str]:
        """The cultures of the training data."""
        return self.description.cultures

    @cached_property
    def evaluation(self) -> "EvaluationResult":
        """The validation scores that the training saved in the folder's ``metrics.json``.

        Raises:
            ModelFolderError: the file cannot be read, or this predictor was not loaded from a folder.
        """
        from artaffect.metrics.evaluation import EvaluationResult

        folder = self._model_folder()
        try:
            return EvaluationResult.from_json(read_scores(folder))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelFolderError(f"{folder / SCORES} is no evaluation: {shown(error)}") from None

    @cached_property
    def familiarity(self) -> Familiarity | None:
        """What tells how near an image is to the training artworks; None if the folder has none."""
        dim = self.feature_dims["image"]
        return Familiarity.load(self.folder, dim) if self.folder and dim else None

    def predict(
        self,
        image: ImageSource | None = None,
        caption: str | None = None,
        language: str | None = None,
        cultures: str | Sequence[str] | None = None,
        sets: float | None = None,
        outside: OutsideAnswers | None = None,
    ) -> Prediction:
        """Predict the emotions that one artwork evokes.

        Args:
            image: a path, a file's bytes, a Pillow image, or a uint8 array [height, width, 3].
            caption: text about the artwork, in any language.
            language: the language of the caption, if known. It does not select a culture.
            cultures: one culture or several; None for all cultures of the model.
            sets: also give each culture's ``prediction_set``, which holds the true label with at
                least this probability, for example 0.9 (split conformal prediction).
            outside: what the model's outside sources predict for this artwork: for each of them label →
                probability, or a file as :func:`artaffect.evaluate` reads it.

        Raises:
            ImageError: the image cannot be read.
            InputError: an argument has a wrong type, or the model uses none of the inputs or makes no
                prediction sets.
        """
        item = PredictionInput(image, caption, language, cultures, sets, outside)
        return self.answer(self.prepare([item]))[0]

    @overload
    def predict_batch(
        self, inputs: Sequence[PredictionInput], on_error: Literal["raise"] = "raise"
    ) -> list[Prediction]: ...

    @overload
    def predict_batch(
        self, inputs: Sequence[PredictionInput], on_error: Literal["list"]
    ) -> list[Prediction | ArtAffectError]: ...

    def predict_batch(
        self, inputs: Sequence[PredictionInput], on_error: Literal["raise", "list"] = "raise"
    ) -> list[Prediction] | list[Prediction | ArtAffectError]:
        """Predict for many artworks in bounded memory.

        Args:
            on_error: ``raise`` stops at the first input that cannot be used; its message begins with
                the position, counted from 0. ``list`` returns the error in place of the prediction.

        Returns:
            One prediction for each input, in order; with ``on_error="list"`` an ``ImageError`` or
            ``InputError`` for each input that cannot be used.
        """
        if on_error not in ("raise", "list"):
            raise InputError(f"on_error must be 'raise' or 'list', got {on_error!r}")
        results: list[Any] = []
        for start in range(0, len(inputs), BATCH):
            prepared = self.prepare_each(inputs[start : start + BATCH])
            if on_error == "raise":
                raise_first(prepared, start)
            results += self.answer_each(prepared)
        return results

    def predict_proba(
        self,
        images: Iterable[ImageSource | None] | None = None,
        captions: Iterable[str | None] | None = None,
        culture: str | None = None,
    ) -> np.ndarray:
        """Predict a matrix of probabilities for many artworks, in bounded memory.

        Args:
            images: one image or None for each artwork.
            captions: one caption or None for each artwork; as many as images.
            culture: a culture of the training data; None for all cultures together.

        Returns:
            float64 [n, labels]; the columns follow :attr:`labels`, and each row sums to 1.

        Raises:
            ImageError: an image cannot be read; the message begins with its position, from 0.
            InputError: an argument has a wrong type, or an artwork has nothing that the model uses.
            UnknownNameError: the culture was not in training.
        """
        name = self._training_culture(culture)
        columns = aligned_lists(images, captions)
        probabilities = np.zeros((len(columns[0]), len(self.labels)))
        for start in range(0, len(probabilities), BATCH):
            batch = (column[start : start + BATCH] for column in columns)
            inputs = [
                attempt(PredictionInput, *pair, None, name) for pair in zip(*batch, strict=True)
            ]
            prepared = raise_first(self.prepare_each(inputs), start)
            probabilities[start : start + BATCH] = self._compute(prepared)[0]
        return probabilities

    def prepare(self, inputs: Sequence[PredictionInput]) -> list[PreparedInput]:
        """Decode images, each only once, and tokenize captions.

        Raises:
            ImageError: an image cannot be read.
            InputError: the model does not use any part of an input.
        """
        decoded: dict[object, tuple[np.ndarray, bool]] = {}
        return [self.description.prepare(item, decoded) for item in inputs]

    def prepare_each(
        self, inputs: Sequence[PredictionInput | ArtAffectError]
    ) -> list[PreparedInput | ArtAffectError]:
        """As :meth:`prepare`, but in processes of their own, return errors, and pass errors through."""
        prepare = partial(self.description.prepare, decoded={}, decoders=shared_decoders())
        return [
            item if isinstance(item, ArtAffectError) else attempt(prepare, item) for item in inputs
        ]

    def answer(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
        """Predict for prepared inputs, which are all encoded together."""
        probabilities, shares, directions = self._compute(inputs)
        values = iter(zip(probabilities, shares, strict=True))
        describe = self.description.prediction
        predictions = []
        for item, direction in zip(inputs, directions, strict=True):
            near, remark = None, None
            if self.familiarity is not None and direction is not None:
                near = float(self.familiarity.nearest(direction[None])[0])
                remark = self.familiarity.note(near)
            cultures = (describe(name, item, *next(values), remark) for name in item.cultures)
            predictions.append(Prediction(tuple(cultures), near, direction))
        return predictions

    def answer_each(
        self, inputs: Sequence[PreparedInput | ArtAffectError]
    ) -> list[Prediction | ArtAffectError]:
        """As :meth:`answer`; errors among the inputs are passed through."""
        usable = [item for item in inputs if isinstance(item, PreparedInput)]
        predictions = iter(self.answer(usable))
        return [next(predictions) if isinstance(item, PreparedInput) else item for item in inputs]

    def _compute(
        self, inputs: Sequence[PreparedInput]
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray | None]]:
        """Probabilities [n, labels] and shares [n, 2], one row for each input and culture.

        The list has the direction of each input's image.
        """
        if not inputs:
            return np.zeros((0, len(self.labels))), np.zeros((0, 2)), []
        image, image_row = self._encode_images([item.pixels for item in inputs])
        caption, caption_row = self._encode_captions([item.tokens for item in inputs])
        rows = np.array([i for i, item in enumerate(inputs) for _ in item.cultures], np.int64)
        index = self.description.culture_index
        culture = np.array([index(name) for item in inputs for name in item.cultures], np.int64)
        present = np.stack([image_row >= 0, caption_row >= 0], 1)[rows]
        outside = stack_outside(inputs, len(self.description.outside), len(self.labels))
        features = gather_rows(image, image_row[rows]), gather_rows(caption, caption_row[rows])
        probabilities, shares = self.answer_features(*features, present, culture, outside)
        own = None if self.familiarity is None else self.familiarity.direction(image)
        directions = [None if own is None or row < 0 else own[row] for row in image_row]
        return probabilities / probabilities.sum(1, keepdims=True), shares, directions

    @abstractmethod
    def limit_threads(self, count: int) -> None:
        """Set the number of threads that compute; call it before the first prediction."""

    def warm(self) -> None:  # noqa: B027
        """Load everything now; call it before several threads use the predictor."""

    @property
    @abstractmethod
    def feature_dims(self) -> Mapping[str, int]:
        """The widths of the features of ``image`` and ``caption``; 0 if the model has none."""

    @abstractmethod
    def image_features(self, pixels: np.ndarray) -> np.ndarray:
        """Features float32 [n, d] of pixels float32 [n, 3, size, size]."""

    @abstractmethod
    def caption_features(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Features float32 [n, e] of token ids and mask int64 [n, length]."""

    @abstractmethod
    def answer_features(
        self,
        image: np.ndarray,
        caption: np.ndarray,
        present: np.ndarray,
        culture: np.ndarray,
        outside: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Calibrated probabilities from features.

        Args:
            image: features [n, d]; rows without an image may contain anything.
            caption: features [n, e]; rows without a caption may contain anything.
            present: whether image and caption are given: bool [n, 2], at least one per row.
            culture: indices int64 [n], 0 for all cultures together.
            outside: probabilities of outside sources float64 [n, m, labels], NaN where one is missing.

        Returns:
            Probabilities float64 [n, labels], and the share of each source [n, 2], or [n, 2 + m].
        """

    def _encode_images(self, images: Sequence[np.ndarray | None]) -> tuple[np.ndarray, np.ndarray]:
        """Features of the distinct images, and the row of each input in them: -1 without an image."""
        distinct, index = distinct_rows(images, id)
        if not distinct:
            return np.zeros((0, self.feature_dims["image"]), np.float32), index
        return self.image_features(np.stack(distinct)), index

    def _encode_captions(
        self, tokens: Sequence[Sequence[int] | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """As :meth:`_encode_images`, for captions."""
        distinct, index = distinct_rows(tokens, tuple)
        captions = self.description.captions
        if captions is None or not distinct:
            return np.zeros((0, self.feature_dims["caption"]), np.float32), index
        # captions of similar length share a batch, because padding costs as much as words
        order = sorted(range(len(distinct)), key=lambda i: len(distinct[i]))
        batches = [order[i : i + _CAPTION_BATCH] for i in range(0, len(order), _CAPTION_BATCH)]
        features = np.concatenate(
            [self.caption_features(*captions.collate([distinct[i] for i in b])) for b in batches]
        )
        return features[np.argsort(order)], index

    def _training_culture(self, culture: str | None) -> str:
        if culture is None:
            return ANY_CULTURE
        if not isinstance(culture, str):
            raise InputError(f"culture must be a str, got {type(culture).__name__}")
        name = culture.strip().lower()
        if name not in self.cultures:
            raise UnknownNameError("culture", culture, self.cultures)
        return name


def load_predictor(
    run: str | os.PathLike[str],
    revision: str | None = None,
    load_torch: Callable[[Path], ModelPredictor] | None = None,
) -> ModelPredictor:
    """Load a model: with ONNX Runtime if it was exported to ONNX, otherwise with torch.

    Args:
        run: a model folder, or ``hf:OWNER/MODEL`` for a model on the Hugging Face hub.
        revision: a branch, a tag or a commit of the model on the hub.
        load_torch: loads a folder with weights; ``TorchPredictor.load`` by default.

    Raises:
        ModelFolderError: the model cannot be found, or it is incomplete or altered.
    """
    folder = resolve_run(run, revision)
    with collector_off():  # importing torch and reading a vocabulary create no garbage
        if holds_graphs(folder):
            from artaffect.prediction.onnx import OnnxPredictor

            return OnnxPredictor.load(folder)
        if load_torch is not None:
            return load_torch(folder)
        from artaffect.prediction.torch import TorchPredictor

        return TorchPredictor.load(folder)
