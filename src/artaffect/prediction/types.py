"""The inputs and results of a prediction, and what a predictor knows of its model."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from types import NoneType
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from artaffect.data.decoders import Decoders
from artaffect.data.preprocessing import DecodedSquare, ImagePreprocessing, ImageSource
from artaffect.data.tokens import CaptionTokenizer
from artaffect.errors import ArtAffectError, ImageError, InputError
from artaffect.labels import ANY_CULTURE, ARTEMIS, LabelDistribution, LabelSet
from artaffect.metrics.conformal import ConformalScores, Kind
from artaffect.prediction.notes import Note, notes_of
from artaffect.prediction.sets import (
    PredictionSet,
    check_kind,
    check_level,
    check_sets,
    make_set,
    percentage,
)
from artaffect.runtime import printable, visible

T = TypeVar("T")

_UNUSABLE = {
    "image": "this model reads images only, and the input is a caption: add an image, or use a model that "
    "reads captions, such as starter",
    "caption": "this model reads captions only, and the input is an image: add a caption, or train a model "
    "that sees images on your own annotations: artaffect train --data TABLE --out RUN",
    "": "this model reads features that were made elsewhere: it scores tables with --features FILE",
}
"""What to say of an input without anything that the model reads, by what it reads."""
OutsideAnswers = Mapping[str, str | os.PathLike[str] | Mapping[str, float]]
"""What each outside source predicts for one artwork: a file, or label → probability."""

_IMAGES = (str, os.PathLike, bytes, Image.Image, np.ndarray, DecodedSquare)
_HTML = """\
<table><caption>Probability of each emotion, by culture</caption>
<tr><td></td>{% for p in predictions %}<th scope="col">{{ p.culture }}</th>{% endfor %}</tr>
{% for label in labels %}<tr><th scope="row">{{ label }}</th>{% for p in predictions %}\
<td>{% if p.top == label %}<strong>{% endif %}{{ '%.2f' % p.probabilities[label] }}\
{% if p.top == label %}</strong>{% endif %}</td>{% endfor %}</tr>
{% endfor %}{% if sets %}<tr><th scope="row">set of {{ sets }}</th>{% for p in predictions %}\
<td>{{ p.prediction_set }}</td>{% endfor %}</tr>
{% endif %}</table>
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}"""


def culture_names(cultures: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Cultures as a tuple of lower-case names; a string is one culture, and None stands for all.

    Raises:
        InputError: ``cultures`` is empty or contains something other than names.
    """
    if cultures is None:
        return None
    names: list[Any] = [cultures]
    if isinstance(cultures, Iterable) and not isinstance(cultures, str):
        names = [*cultures]
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"cultures must be a str or a list of str, got {cultures!r}")
    if not names:
        raise InputError("cultures is empty: name a culture, or pass None for all of them")
    for name in names:
        _check_unicode("culture", name)
    return tuple(name.strip().lower() for name in names)


def _check_unicode(name: str, text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # bytes on the command line that are not UTF-8, or half a pair
        raise InputError(f"{name} {text!r} is not valid Unicode text: write it in UTF-8") from None


@dataclass(frozen=True)
class PredictionInput:
    """An artwork, described by an image, a caption, or both."""

    image: ImageSource | None = None
    caption: str | None = None
    language: str | None = None
    """The language of the caption, if known. It does not select a culture."""
    cultures: Sequence[str] | None = None
    """The cultures to predict for; None for all cultures of the model. A string is one culture."""
    sets: float | None = None
    """The level of prediction sets, between 0 and 1; None for none."""
    outside: OutsideAnswers | None = None
    """What the model's outside sources predict for the artwork."""

    def __post_init__(self) -> None:
        if not isinstance(self.image, (*_IMAGES, NoneType)):
            raise InputError(
                "image must be a path, bytes, a PIL image or an array, "
                f"got {type(self.image).__name__}"
            )
        for name in ("caption", "language"):
            value = getattr(self, name)
            if not isinstance(value, str | None):
                raise InputError(f"{name} must be a str, got {type(value).__name__}")
            _check_unicode(name, value or "")
        object.__setattr__(self, "cultures", culture_names(self.cultures))
        if self.caption is not None and not self.caption.strip():
            raise InputError("the caption is empty: write one, or leave it out")
        if self.image is None and self.caption is None:
            raise InputError("nothing to predict from: give an image, a caption, or both")
        if self.sets is not None:
            check_level(self.sets)


def attempt(function: Callable[..., T], *arguments: Any) -> T | ArtAffectError:
    """Call a function, and return the error of an unusable input in place of its result."""
    try:
        return function(*arguments)
    except (ImageError, InputError) as error:
        return error


@dataclass(frozen=True)
class PreparedInput:
    """An input after preprocessing."""

    pixels: np.ndarray | None
    """float32 [3, size, size]."""
    tokens: Sequence[int] | None
    cultures: Sequence[str]
    language: str | None
    truncated: bool = False
    """Whether the caption is longer than the text encoder can read."""
    is_first_frame: bool = False
    """Whether the image file has further frames or pages."""
    sets: float | None = None
    """The level of prediction sets."""
    outside: np.ndarray | None = None
    """What outside sources predict for each culture: float64 [c, sources, k], NaN if unknown."""

    @property
    def kind(self) -> Kind:
        """What is predicted from."""
        if self.tokens is None:
            return "image"
        return "caption" if self.pixels is None else "both"


@dataclass(frozen=True)
class ModelDescription:
    """The properties of a model that matter to its users."""

    cultures: Sequence[str]
    languages: Sequence[str]
    """The languages of the training captions."""
    image: ImagePreprocessing | None
    """None if the model does not use images."""
    captions: CaptionTokenizer | None
    """None if the model does not use captions."""
    encoders: Mapping[str, str] = field(default_factory=dict)
    """The names of the encoders by modality, if known."""
    synthetic: bool = False
    """Whether the model learned from synthetic data."""
    labels: LabelSet = ARTEMIS
    caveat: str = ""
    """What accompanies every prediction, for example where the model learned; empty if nothing does."""
    conformal: ConformalScores | None = None
    """What prediction sets are made from; None if an older version trained the model."""
    outside: tuple[str, ...] = ()
    """The outside sources whose predictions the model can use."""

    @property
    def predicted_cultures(self) -> tuple[str, ...]:
        """The cultures for which it predicts if none is named; a model without any predicts for all."""
        return tuple(self.cultures) or (ANY_CULTURE,)

    @property
    def modalities(self) -> tuple[str, ...]:
        """``image``, ``caption`` or both."""
        inputs = {"image": self.image, "caption": self.captions}
        return tuple(name for name, value in inputs.items() if value is not None)

    def missing(self, item: "PreparedInput") -> tuple[str, ...]:
        """The modalities that the model reads and an input lacks."""
        given = {"image": item.pixels, "caption": item.tokens}
        return tuple(name for name in self.modalities if given[name] is None)

    def culture_index(self, culture: str) -> int:
        """The culture's index; 0, which stands for all cultures together, if it was not in training."""
        return 1 + list(self.cultures).index(culture) if culture in self.cultures else 0

    def prepare(
        self,
        item: PredictionInput,
        decoded: dict[object, tuple[np.ndarray, bool]],
        decoders: Decoders | None = None,
    ) -> PreparedInput:
        """Preprocess one input; ``decoded`` keeps the images for the next inputs.

        Args:
            decoders: decode image files in processes of their own; by default in this one.

        Raises:
            ImageError: the image cannot be read.
            InputError: the model does not use any part of the input, or makes no prediction sets.
        """
        if not isinstance(item, PredictionInput):
            raise InputError(f"expected a PredictionInput, got {type(item).__name__}")
        key = item.image if isinstance(item.image, str | bytes | os.PathLike) else id(item.image)
        pixels, is_first_frame = None, False
        if self.image and item.image is not None:
            if key not in decoded:
                read = partial(decoders.square, self.image) if decoders else self.image.decode
                square = read(item.image, self.image.crop)
                decoded[key] = (self.image.normalise(square), square.is_first_frame)
            pixels, is_first_frame = decoded[key]
        tokens, truncated = None, False
        if self.captions and item.caption:
            (encoding,) = self.captions.encodings([item.caption])
            tokens, truncated = encoding.ids, bool(encoding.overflowing)
        if pixels is None and tokens is None:
            raise InputError(_UNUSABLE["".join(self.modalities)])
        cultures = self.predicted_cultures if item.cultures is None else item.cultures
        outside = None
        if item.outside:
            if item.sets is not None:
                raise InputError("there are no prediction sets with outside sources: leave one out")
            from artaffect.data.outside import read_answers  # which reads tables

            outside = read_answers(item.outside, self.outside, tuple(cultures), self.labels)
        about = (tuple(cultures), item.language, truncated, is_first_frame, item.sets, outside)
        prepared = PreparedInput(pixels, tokens, *about)
        check_sets(item.sets, self.conformal)
        if item.sets is not None:
            check_kind(self.conformal, prepared.kind)
        return prepared

    def prediction(
        self,
        culture: str,
        item: PreparedInput,
        probabilities: np.ndarray,
        shares: np.ndarray,
        remark: str | None = None,
    ) -> "CulturePrediction":
        """What probabilities [k] and the shares of image, caption and outside sources say.

        Args:
            remark: a note that the image is unlike the training artworks.
        """
        distribution = LabelDistribution(tuple(probabilities.tolist()), self.labels)
        sources = ("image", "caption", *(self.outside if item.outside is not None else ()))
        chosen = None
        if item.sets is not None and self.conformal is not None:
            values = distribution.probabilities
            chosen = make_set(self.conformal, item.kind, culture, item.sets, values)
        return CulturePrediction(
            culture=culture,
            distribution=distribution,
            modality_shares=dict(zip(sources, shares.tolist(), strict=False)),
            notes=(
                *notes_of(self, culture, item),
                *([Note("unfamiliar", remark)] if remark else ()),
            ),
            prediction_set=chosen,
        )


@dataclass(frozen=True, repr=False)
class CulturePrediction:
    """The emotions that an artwork evokes in one culture."""

    culture: str
    distribution: LabelDistribution
    modality_shares: Mapping[str, float]
    """How much ``image``, ``caption`` and outside sources influenced it; the shares sum to 1."""
    notes: tuple[Note, ...] = ()
    """Caveats, for example that the culture was not in the training data."""
    prediction_set: PredictionSet | None = None
    """The labels that cannot be ruled out at a level; None unless the input asks for it."""

    @property
    def note(self) -> str | None:
        """The notes in one line; None if there are none."""
        return "; ".join(note.text for note in self.notes) or None

    @property
    def top(self) -> str:
        """The most likely label."""
        return self.distribution.top

    @property
    def probabilities(self) -> Mapping[str, float]:
        """The probability of each label; they sum to 1."""
        return self.distribution.probabilities

    @property
    def entropy(self) -> float:
        """Shannon entropy in bits: 0 when certain, log2 of the number of labels when uniform."""
        return self.distribution.entropy

    def to_json(self) -> dict[str, Any]:
        chosen = self.prediction_set and {"prediction_set": self.prediction_set.to_json()}
        return {
            "culture": self.culture,
            "top": self.top,
            "probabilities": {label: round(p, 6) for label, p in self.probabilities.items()},
            "entropy_bits": round(self.entropy, 4),
            "modality_shares": {name: round(s, 4) for name, s in self.modality_shares.items()},
            "note": self.note,
            "notes": [asdict(note) for note in self.notes],
            **(chosen or {}),
        }

    def __repr__(self) -> str:
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])[:3]
        top = ", ".join(f"{label} {probability:.2f}" for label, probability in ranked)
        chosen = self.prediction_set
        text = f"; {percentage(chosen.level)}: {chosen}" if chosen else ""
        return printable(f"CulturePrediction({self.culture}: {top}{text})")

    def _repr_html_(self) -> str:
        return Prediction((self,))._repr_html_()


@dataclass(frozen=True, repr=False)
class Prediction:
    """The predictions for one artwork, one for each requested culture, in that order."""

    by_culture: Sequence[CulturePrediction]
    similarity: float | None = None
    """Cosine similarity of the image to the nearest training artwork; None without an image, or if the
    model folder does not tell."""
    image_direction: np.ndarray | None = field(default=None, compare=False)
    """The image's features in a few dimensions: float32 [k], of length 1, so that the dot product of two
    images is their cosine similarity; None where ``similarity`` is."""

    def __getitem__(self, culture: str) -> CulturePrediction:
        for prediction in self.by_culture:
            if prediction.culture == culture:
                return prediction
        known = ", ".join(prediction.culture for prediction in self.by_culture)
        raise KeyError(f"no prediction for {culture!r}; this prediction has {known}")

    def __iter__(self) -> Iterator[CulturePrediction]:
        return iter(self.by_culture)

    def __len__(self) -> int:
        return len(self.by_culture)

    def to_json(self) -> dict[str, Any]:
        return {"predictions": [prediction.to_json() for prediction in self.by_culture]}

    def __repr__(self) -> str:
        tops = (f"{p.culture}: {p.top} {p.probabilities[p.top]:.2f}" for p in self.by_culture)
        return printable(f"Prediction({', '.join(tops)})")

    def _repr_html_(self) -> str:
        from jinja2 import Environment

        notes = dict.fromkeys(p.note for p in self.by_culture if p.note)
        template = Environment(autoescape=True, finalize=visible).from_string(_HTML)
        labels = list(self.by_culture[0].probabilities) if self.by_culture else []
        chosen = self.by_culture[0].prediction_set if self.by_culture else None
        sets = chosen and percentage(chosen.level)
        return template.render(predictions=self.by_culture, labels=labels, notes=notes, sets=sets)
