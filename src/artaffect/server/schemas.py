"""What the service takes and gives, as its OpenAPI document describes it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from artaffect.labels import EMOTIONS

EmotionName = Literal[
    "amusement", "awe", "contentment", "excitement", "anger", "disgust", "fear", "sadness",
    "something else",
]  # fmt: skip
Probability = Annotated[float, Field(ge=0, le=1)]

_EMOTIONS = dict(
    zip(map(str, EMOTIONS), (0.02, 0.31, 0.24, 0.05, 0.03, 0.02, 0.17, 0.11, 0.05), strict=True)
)


class Parts(BaseModel):
    """What counted for the explained emotion."""

    terms: dict[str, float] = Field(
        description="`prior` (what this culture chooses anyway), `image` and `caption`, in log-odds."
    )
    culture: float = Field(description="This public and no other: contained in the terms.")
    exact: bool = Field(description="Whether the terms sum to the answer's log-odds.")


class Word(BaseModel):
    """A word of the caption, or what stands between two."""

    text: str
    weight: float = Field(description="How much it speaks for the emotion, in log-probability.")


class Explanation(BaseModel):
    """Why one public's answer gives an emotion the probability that it does."""

    emotion: EmotionName
    parts: Parts
    words: list[Word] | None = Field(description="The whole caption, in order; null without one.")
    caption_cut: bool = Field(description="Whether the caption is longer than what is read.")
    heatmap: str | None = Field(
        description="A PNG as a data URL, to be laid over the picture; null without a picture."
    )


class CulturePrediction(BaseModel):
    """What one public would feel."""

    culture: str = Field(examples=["arabic"])
    top: EmotionName = Field(description="The likeliest emotion.")
    probabilities: dict[EmotionName, Probability] = Field(
        description="All nine; they sum to 1.", examples=[_EMOTIONS]
    )
    entropy_bits: float = Field(ge=0, le=3.17, description="0: certain; 3.17: no idea.")
    modality_shares: dict[Literal["image", "caption"], Probability] = Field(
        description="How much each moved the answer.", examples=[{"image": 0.4, "caption": 0.6}]
    )
    note: str | None = Field(description="What to know, such as a culture that was not trained on.")
    explanation: Explanation | None = Field(None, description="Only where it was asked for.")


class Prediction(BaseModel):
    """One artwork's readings, in the order in which the cultures were asked for."""

    predictions: list[CulturePrediction]


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str
    detail: str


class Problem(BaseModel):
    """What went wrong: RFC 9457 problem details."""

    type: str = Field(examples=["urn:artaffect:problem:image"])
    title: str = Field(examples=["The picture cannot be used"])
    status: int = Field(examples=[422])
    detail: str = Field(
        examples=["the picture: not a picture that can be read (JPEG, PNG, WebP …)"]
    )
    instance: str | None = Field(
        None, description="The request, as the log and the header X-Request-ID name it."
    )
    errors: list[FieldError] | None = None


class Artwork(BaseModel):
    """A picture, a caption, or both."""

    model_config = ConfigDict(extra="forbid")

    image: str | None = Field(None, description="The picture's file in base64.")
    caption: str | None = Field(None, examples=["Dark waves tower over a small boat."])
    language: str | None = Field(None, examples=["english"])
    cultures: list[str] | None = Field(None, examples=[["arabic", "chinese"]])


class Batch(BaseModel):
    """Artworks to answer in one request."""

    model_config = ConfigDict(extra="forbid")

    items: list[Artwork] = Field(
        min_length=1,
        examples=[[{"caption": "Dark waves tower over a small boat.", "cultures": ["english"]}]],
    )


class BatchResult(BaseModel):
    """An artwork's readings, or what was wrong with it."""

    prediction: Prediction | None
    problem: Problem | None


class BatchAnswer(BaseModel):
    """One result for each artwork, in order."""

    results: list[BatchResult]


class EmotionEntry(BaseModel):
    """One of the nine."""

    name: EmotionName
    sentiment: Literal["positive", "negative", "other"]
    called: dict[str, str] = Field(description="Its name in English, Arabic and Chinese.")


class Model(BaseModel):
    """What is served, and what it takes."""

    name: str
    engine: Literal["torch", "onnx"]
    explains: bool
    modalities: list[Literal["image", "caption"]]
    cultures: list[str]
    languages: list[str]
    emotions: list[EmotionEntry]
    limits: dict[str, float]


class Status(BaseModel):
    """Whether the service is there."""

    status: Literal["ok", "ready"]


class Example(BaseModel):
    """An artwork to try, made by the project."""

    title: str
    image: str = Field(description="Its address.", examples=["/examples/0.jpg"])
    caption: str
    language: str


def problem_json(problem: dict[str, Any]) -> dict[str, Any]:
    """A response of the OpenAPI document that is a problem, with an example."""
    return {
        "description": problem["title"],
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": problem,
            }
        },
    }
