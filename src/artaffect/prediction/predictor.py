"""Predictions, and what every predictor does to make them, whatever engine computes. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from artaffect.data.preprocessing import ImagePreprocessing, ImageSource
from artaffect.data.tokens import CaptionTokenizer
from artaffect.errors import ArtAffectError, ImageError, InputError, ModelFolderError
from artaffect.labels import Emotion, EmotionDistribution
from artaffect.models.folder import holds_graphs
from artaffect.models.hub import copy_folder, fetch_folder, push_folder

BATCH = 32
"""Artworks that are encoded together."""

_CAPTIONS = 16
"""Captions that go through the encoder at once."""


@dataclass(frozen=True)
class PredictionInput:
    """One artwork, described by an image, a caption, or both."""

    image: ImageSource | None = None
    caption: str | None = None
    language: str | None = None
    """The language the caption is written in, if known. It does not select a culture."""
    cultures: Sequence[str] | None = None
    """The cultures to predict for; all cultures of the model if None."""

    def __post_init__(self) -> None:
        if self.caption is not None and not self.caption.strip():
            raise InputError("the caption is empty: leave it out, or write one")
        if self.image is None and self.caption is None:
            raise InputError("nothing to predict from: give an image, a caption, or both")


@dataclass(frozen=True)
class CulturePrediction:
    """The emotions that an artwork evokes in one culture."""

    culture: str
    distribution: EmotionDistribution
    modality_shares: Mapping[str, float]
    """How much ``image`` and ``caption`` moved the prediction; the shares sum to 1."""
    note: str | None = None
    """A caveat, for example that the culture was not in the training data."""

    @property
    def top(self) -> Emotion:
        """The most likely emotion."""
        return self.distribution.top

    @property
    def probabilities(self) -> Mapping[Emotion, float]:
        """The probability of each emotion; they sum to 1."""
        return self.distribution.probabilities

    @property
    def entropy(self) -> float:
        """Shannon entropy in bits: 0 when certain, log2 of the number of emotions when uniform."""
        return self.distribution.entropy

    def to_json(self) -> dict[str, Any]:
        return {
            "culture": self.culture,
            "top": str(self.top),
            "probabilities": {str(e): round(p, 6) for e, p in self.probabilities.items()},
            "entropy_bits": round(self.entropy, 4),
            "modality_shares": {name: round(s, 4) for name, s in self.modality_shares.items()},
            "note": self.note,
        }


@dataclass(frozen=True)
class Prediction:
    """The predictions for one artwork, one for each culture, in the order requested."""

    by_culture: Sequence[CulturePrediction]

    def __getitem__(self, culture: str) -> CulturePrediction:
        for prediction in self.by_culture:
            if prediction.culture == culture:
                return prediction
        known = ", ".join(prediction.culture for prediction in self.by_culture)
        raise KeyError(f"no prediction for {culture!r}; this one has {known}")

    def __iter__(self) -> Iterator[CulturePrediction]:
        return iter(self.by_culture)

    def __len__(self) -> int:
        return len(self.by_culture)

    def to_json(self) -> dict[str, Any]:
        return {"predictions": [prediction.to_json() for prediction in self.by_culture]}


@dataclass(frozen=True)
class ModelDescription:
    """What has to be known of a model to ask it."""

    cultures: Sequence[str]
    languages: Sequence[str]
    """What the captions of the training data were written in."""
    image: ImagePreprocessing | None
    """None where the model does not look at images."""
    captions: CaptionTokenizer | None
    """None where it does not read captions."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """``image``, ``caption`` or both."""
        found = {"image": self.image, "caption": self.captions}
        return tuple(name for name, part in found.items() if part is not None)

    def culture_index(self, culture: str) -> int:
        """The culture's index; 0, the public as a whole, for one that was not in training."""
        return 1 + list(self.cultures).index(culture) if culture in self.cultures else 0


@dataclass(frozen=True)
class PreparedInput:
    """An input, decoded and cut into tokens: all that is done to one artwork alone."""

    pixels: np.ndarray | None
    """float32 [3, size, size]."""
    tokens: Sequence[int] | None
    cultures: Sequence[str]
    language: str | None


class ModelPredictor(ABC):
    """What every predictor has in common; an engine encodes and answers.

    :meth:`prepare` may run in many threads at once, :meth:`answer` in one at a time.
    """

    engine: str
    """``torch`` or ``onnx``."""

    def __init__(self, description: ModelDescription, folder: Path | None = None) -> None:
        self.description = description
        self.folder = folder
        """Where it was read from."""

    @classmethod
    @abstractmethod
    def load(cls, path: Path) -> Self:
        """Open a model folder."""

    @classmethod
    def from_pretrained(cls, name: str | Path, revision: str | None = None) -> Self:
        """Open a model folder, or fetch one from the Hugging Face hub by its name ``owner/model``.

        Raises:
            ModelFolderError: there is none of that name, or it is incomplete or altered.
        """
        return cls.load(fetch_folder(name, revision))

    def save_pretrained(self, folder: str | Path) -> None:
        """Copy the model folder, which is all there is to a model.

        Raises:
            OutputExistsError: something else stands at ``folder``.
            ModelFolderError: this predictor was not read from a folder.
        """
        copy_folder(self._home(), Path(folder))

    def push_to_hub(self, repository: str, private: bool = False) -> str:
        """Upload the model folder to the Hugging Face hub as ``owner/model``, and give the address.

        Raises:
            ModelFolderError: the hub refuses it, or this predictor was not read from a folder.
        """
        return push_folder(self._home(), repository, private)

    def _home(self) -> Path:
        if self.folder is None:
            raise ModelFolderError("this model was not read from a folder: save it first")
        return self.folder

    @property
    def cultures(self) -> Sequence[str]:
        """Whose readings it knows apart."""
        return self.description.cultures

    def predict(
        self,
        image: ImageSource | None = None,
        caption: str | None = None,
        language: str | None = None,
        cultures: Sequence[str] | None = None,
    ) -> Prediction:
        """Predict for one artwork; the arguments are those of :class:`PredictionInput`.

        Raises:
            ImageError: the image cannot be read.
            InputError: nothing was given that the model uses.
        """
        return self.predict_batch([PredictionInput(image, caption, language, cultures)])[0]

    def predict_batch(self, inputs: Sequence[PredictionInput]) -> list[Prediction]:
        """One prediction for each input, in order, in bounded memory."""
        found: list[Prediction] = []
        for start in range(0, len(inputs), BATCH):
            found += self.answer(self.prepare(inputs[start : start + BATCH]))
        return found

    def prepare(self, inputs: Sequence[PredictionInput]) -> list[PreparedInput]:
        """Decode pictures, each once, and cut captions into tokens.

        Raises:
            ImageError: a picture cannot be read.
            InputError: an input holds nothing that this model looks at.
        """
        pixels: dict[object, np.ndarray] = {}
        return [self._prepared(item, pixels) for item in inputs]

    def prepare_each(
        self, inputs: Sequence[PredictionInput]
    ) -> list[PreparedInput | ArtAffectError]:
        """As :meth:`prepare`; in the place of an input that cannot be used stands why."""
        pixels: dict[object, np.ndarray] = {}
        found: list[PreparedInput | ArtAffectError] = []
        for item in inputs:
            try:
                found.append(self._prepared(item, pixels))
            except (ImageError, InputError) as error:
                found.append(error)
        return found

    def _prepared(self, item: PredictionInput, pixels: dict[object, np.ndarray]) -> PreparedInput:
        image, captions = self.description.image, self.description.captions
        key = item.image if isinstance(item.image, str | bytes | Path) else id(item.image)
        if image and item.image is not None and key not in pixels:
            pixels[key] = image(item.image)
        seen = pixels.get(key) if item.image is not None else None
        tokens = captions.tokenize([item.caption])[0] if captions and item.caption else None
        if seen is None and tokens is None:
            given = "an image" if item.caption is None else "a caption"
            raise InputError(
                f"this model reads {' and '.join(self.description.modalities)} only, "
                f"and all it was given is {given}"
            )
        wanted = self.cultures if item.cultures is None else item.cultures
        cultures = tuple(name.strip().lower() for name in wanted)
        return PreparedInput(seen, tokens, cultures, item.language)

    def answer(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
        """One prediction for each input, all encoded together.

        What occurs twice (the very same array of pixels, or the same tokens) is encoded once.
        """
        if not inputs:
            return []
        image, of_image = self._encode_images([item.pixels for item in inputs])
        caption, of_caption = self._encode_captions([item.tokens for item in inputs])
        rows = np.array([i for i, item in enumerate(inputs) for _ in item.cultures], np.int64)
        names = [culture for item in inputs for culture in item.cultures]
        present = np.stack([of_image >= 0, of_caption >= 0], 1)[rows]
        codes = np.array([self.description.culture_index(name) for name in names], np.int64)
        probabilities, shares = self.answer_features(
            _gather(image, of_image[rows]), _gather(caption, of_caption[rows]), present, codes
        )
        predictions = iter(
            CulturePrediction(
                culture=name,
                distribution=EmotionDistribution(tuple((p / p.sum()).tolist())),
                modality_shares={"image": float(share[0]), "caption": float(share[1])},
                note=self._note(name, inputs[row].language),
            )
            for name, row, p, share in zip(names, rows, probabilities, shares, strict=True)
        )
        return [Prediction(tuple(next(predictions) for _ in item.cultures)) for item in inputs]

    @abstractmethod
    def limit_threads(self, count: int) -> None:
        """Compute with so many threads; before the first question."""

    def warm(self) -> None:  # noqa: B027
        """Read everything now, before the first question; needed before many threads ask."""

    @abstractmethod
    def image_features(self, pixels: np.ndarray) -> np.ndarray:
        """From pixels float32 [n, 3, size, size] to float32 [n, d]; ``n`` may be 0."""

    @abstractmethod
    def caption_features(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """From int64 [n, length] to float32 [n, e]; ``n`` may be 0."""

    @abstractmethod
    def answer_features(
        self, image: np.ndarray, caption: np.ndarray, present: np.ndarray, culture: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """From features to calibrated answers.

        Args:
            image: features [n, d]; rows without an image may hold anything.
            caption: features [n, e]; likewise.
            present: which of image and caption are there: bool [n, 2], one at least.
            culture: indices int64 [n], 0 for the public as a whole.

        Returns:
            Probabilities float64 [n, 9], and each modality's share [n, 2].
        """

    def _encode_images(
        self, pictures: Sequence[np.ndarray | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Features of the distinct pictures, and each input's row of them: -1 without one."""
        keys = [None if pixels is None else id(pixels) for pixels in pictures]
        distinct, index = _distinct(keys)
        size = self.description.image.size if self.description.image else 0
        pixels = np.zeros((len(distinct), 3, size, size), np.float32)
        for row, position in enumerate(distinct):
            pixels[row] = pictures[position]
        return self.image_features(pixels), index

    def _encode_captions(
        self, tokens: Sequence[Sequence[int] | None]
    ) -> tuple[np.ndarray, np.ndarray]:
        distinct, index = _distinct([None if ids is None else tuple(ids) for ids in tokens])
        captions = self.description.captions
        if captions is None or not distinct:
            empty = np.zeros((0, 1), np.int64)
            return self.caption_features(empty, empty), index
        found = [tokens[position] or () for position in distinct]
        # those of about one length together: what pads them to the longest costs as much as words
        order = sorted(range(len(found)), key=lambda i: len(found[i]))
        parts = [order[i : i + _CAPTIONS] for i in range(0, len(order), _CAPTIONS)]
        features = np.concatenate(
            [self.caption_features(*captions.collate([found[i] for i in part])) for part in parts]
        )
        return features[np.argsort(order)], index

    def _note(self, culture: str, language: str | None) -> str | None:
        known, languages = self.description.cultures, self.description.languages
        notes = []
        if culture not in known:
            notes.append(
                f"the culture {culture!r} was not in training (known: {', '.join(known)}): "
                "this is the answer of the public as a whole"
            )
        if language and language.strip().lower() not in languages:
            notes.append(
                f"no captions in {language!r} were in training "
                f"(known: {', '.join(languages)}): trust the caption's part less"
            )
        return "; ".join(notes) or None


def _distinct(keys: Iterable[object]) -> tuple[list[int], np.ndarray]:
    """Where each distinct key occurs first, and each key's place among them: -1 for None."""
    found: dict[object, int] = {}
    positions: list[int] = []
    index: list[int] = []
    for position, key in enumerate(keys):
        if key is not None and key not in found:
            found[key] = len(positions)
            positions.append(position)
        index.append(-1 if key is None else found[key])
    return positions, np.array(index, np.int64)


def _gather(features: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of features, zero where the index is -1."""
    rows = np.zeros((len(index), features.shape[1]), np.float32)
    rows[index >= 0] = features[index[index >= 0]]
    return rows


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
        from artaffect.prediction.onnx import OnnxPredictor

        return OnnxPredictor.load(folder)
    from artaffect.prediction.torch import TorchPredictor

    return TorchPredictor.load(folder)
