"""The requests and responses of the service. FastAPI validates, serializes and documents them."""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from typing_extensions import TypeAliasType

from artaffect.explain.words import Word
from artaffect.labels import ARTEMIS, MOST_LABELS, Sentiment
from artaffect.prediction.notes import Note
from artaffect.server.limits import ServiceLimits

Probability = Annotated[float, Field(ge=0, le=1)]

Emotion = TypeAliasType("Emotion", str)
"""A label; the description of the service lists those of the model that is served."""

_MAX_ENTROPY = math.ceil(100 * math.log2(MOST_LABELS)) / 100
_EXAMPLE = {label: round(1 / len(ARTEMIS), 6) for label in ARTEMIS}


class _Schema(BaseModel):
    """Refuses unknown fields, so that neither a request nor a result can differ from its schema."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Artwork(_Schema):
    """An artwork: an image, a caption, or both."""

    image: str | None = None
    """The image file in base64."""
    caption: Annotated[str | None, Field(examples=["Dark waves tower over a small boat."])] = None
    """A caption, in any language."""
    language: Annotated[str | None, Field(examples=["english"])] = None
    """The language of the caption."""
    cultures: Annotated[list[str] | None, Field(examples=[["arabic", "chinese"]])] = None
    """The cultures to predict for; all cultures of the model by default."""
    sets: Annotated[float | None, Field(gt=0, lt=1, examples=[0.9])] = None
    """Also give each culture's prediction set at this level."""


def _or_error(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """An artwork, or what is wrong with it, so that one bad artwork does not end the batch."""
    try:
        return validate(value)
    except ValidationError as error:
        return error


class BatchRequest(_Schema):
    """Several artworks in one request."""

    items: Annotated[list[Annotated[Artwork, WrapValidator(_or_error)]], Field(min_length=1)] = (
        Field(
            examples=[[{"caption": "Dark waves tower over a small boat.", "cultures": ["english"]}]]
        )
    )


class Contributions(_Schema):
    """How much each input contributed to the explained emotion, in log-odds."""

    terms: dict[str, float]
    """`prior` (what this culture chooses on average), `image` and `caption`."""
    culture: float
    """The effect of this culture compared with all cultures together; contained in the terms."""
    exact: bool
    """Whether the terms add up to the log-odds of the prediction."""


class Check(_Schema):
    """The deletion test of an explanation: does the probability fall faster if what it names goes first?"""

    held: bool
    """Whether it falls faster than when other parts of the same size are deleted."""
    deletion_auc_gap: float
    """How much faster: the mean difference of log-probabilities."""


class Explanation(_Schema):
    """Why the model gives an emotion its probability for one culture."""

    emotion: Emotion
    """The explained emotion: the most likely one."""
    contributions: Contributions
    words: list[Word] | None
    """The whole caption in order; empty if it contains no words, null without a caption."""
    caption_truncated: bool
    """Whether the caption is longer than the model can read."""
    heatmap: str | None
    """A transparent PNG as a data URL, to be laid over the image; null without an image."""
    checks: dict[str, Check] | None = None
    """By `image` and `caption`; only if the request asked for them."""


Level = Annotated[float, Field(gt=0, lt=1, examples=[0.9])]


class PredictionSet(_Schema):
    """The emotions that hold the true one with a probability of at least `level`."""

    level: Level
    labels: Annotated[list[str], Field(min_length=1, examples=[["contentment", "awe"]])]
    """The most likely one first."""


class CulturePrediction(_Schema):
    """The emotions that an artwork evokes in one culture."""

    culture: Annotated[str, Field(examples=["arabic"])]
    top: Emotion
    probabilities: Annotated[dict[Emotion, Probability], Field(examples=[_EXAMPLE])]
    """The probability of each emotion; they sum to 1."""
    entropy_bits: Annotated[float, Field(ge=0, le=_MAX_ENTROPY)]
    """Shannon entropy in bits: 0 when certain, log2 of the number of emotions when uniform."""
    modality_shares: Annotated[
        dict[str, Probability], Field(examples=[{"image": 0.4, "caption": 0.6}])
    ]
    """How much `image` and `caption` moved the prediction; the shares sum to 1."""
    note: str | None
    """Caveats, for example that the culture was not in the training data."""
    notes: list[Note]
    """The same one by one, each with its kind."""
    prediction_set: PredictionSet | None = None
    """Only if the request asked for sets."""
    explanation: Explanation | None = None
    """Only if the request asked for explanations."""


class Prediction(_Schema):
    """The predictions for one artwork, one for each culture, in the order requested."""

    predictions: list[CulturePrediction]


class Problem(_Schema):
    """RFC 9457 problem details."""

    type: Annotated[str, Field(examples=["urn:artaffect:problem:image"])]
    title: Annotated[str, Field(examples=["The image cannot be used"])]
    status: Annotated[int, Field(examples=[422])]
    detail: Annotated[str, Field(examples=["the file is empty"])]
    instance: str | None = None
    """The request id, as in the log and in the header `X-Request-ID`."""
    errors: list[dict[Literal["field", "detail"], str]] | None = None
    """The invalid fields."""


class BatchResult(_Schema):
    """The prediction for one artwork, or the problem with it."""

    prediction: Prediction | None
    problem: Problem | None


class BatchResponse(_Schema):
    """One result for each artwork, in order."""

    results: list[BatchResult]


class LabelColour(_Schema):
    """The colour of a label in pages and reports."""

    light: Annotated[str, Field(examples=["#be6d02"])]
    """On a light ground."""
    dark: Annotated[str, Field(examples=["#fea44d"])]
    """On a dark ground."""


class EmotionInfo(_Schema):
    """One emotion that the model predicts."""

    name: Emotion
    sentiment: Sentiment | None
    """Null where it is unknown."""
    names: dict[str, str]
    """Its name in each language."""
    colour: LabelColour


class ModelInfo(_Schema):
    """The model that is served and what it accepts."""

    name: str
    engine: Literal["torch", "onnx"]
    explains: bool
    """Whether it supports explanations."""
    prediction_sets: bool
    """Whether it makes prediction sets."""
    modalities: list[str]
    cultures: list[str]
    """The cultures in the training data."""
    languages: list[str]
    """The languages of its captions."""
    emotions: list[EmotionInfo]
    synthetic: bool
    """Whether the model learned from synthetic data, and so says nothing about real artworks."""
    caveat: str
    """What accompanies every prediction, such as where the model learned; empty if nothing does."""
    limits: ServiceLimits


class Status(_Schema):
    """The state of the service."""

    status: Literal["ok", "ready"]
    """`ok`: the process is alive. `ready`: it accepts requests."""


class Example(_Schema):
    """A synthetic artwork to try out."""

    title: str
    image: Annotated[str, Field(examples=["/examples/0.jpg"])]
    """The path of its image."""
    caption: str
    language: str
