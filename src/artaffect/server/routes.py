"""The routes of the service."""

import base64
import binascii
import io
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import Response

from artaffect.data.sample.painting_styles import paint
from artaffect.errors import ImageError, InputError
from artaffect.prediction.predictor import PredictionInput
from artaffect.server import schemas
from artaffect.server.problems import ProblemError, problem_from_exception, problem_responses
from artaffect.server.service import InputReader, Service

_PROBLEMS = problem_responses(
    "malformed", "slow-request", "too-large", "invalid", "internal", "busy", "slow-answer"
)

v1 = APIRouter(prefix="/v1")
unversioned = APIRouter()


async def _service(request: Request) -> Service:
    return request.app.state.service


TheService = Annotated[Service, Depends(_service)]


@v1.post("/predict", response_model_exclude_unset=True, responses=_PROBLEMS)
async def predict(
    service: TheService,
    image: Annotated[
        UploadFile | None, File(description="An image file: JPEG, PNG, WebP, GIF, TIFF or BMP.")
    ] = None,
    caption: Annotated[
        str | None,
        Form(description="A caption, in any language.", examples=["تعلو الأمواج فوق قارب صغير."]),
    ] = None,
    language: Annotated[
        str | None,
        Form(description="The language of the caption, such as `arabic`.", examples=["arabic"]),
    ] = None,
    culture: Annotated[
        list[str] | None,
        Form(
            description="A culture to predict for; repeatable. All cultures of the model by default.",
            examples=[["arabic", "english"]],
        ),
    ] = None,
    explain: Annotated[
        bool, Form(description="Also explain the most likely emotion of each culture.")
    ] = False,
) -> schemas.Prediction:
    """Predict which emotions an artwork evokes in each culture.

    Send an image, a caption, or both.
    """

    def read() -> PredictionInput:
        content = image.file.read() if image else b""
        if image and image.filename and not content:  # an empty form field has no file name
            raise ImageError("the image file is empty")
        return PredictionInput(
            content or None,
            caption if caption and caption.strip() else None,
            language or None,
            [name for name in culture or [] if name.strip()] or None,
        )

    return await (service.explain(read) if explain else service.predict(read))


@v1.post("/predict/batch", response_model_exclude_unset=True, responses=_PROBLEMS)
async def predict_batch(service: TheService, batch: schemas.BatchRequest) -> schemas.BatchResponse:
    """Predict for several artworks. An artwork that fails does not affect the others."""
    count, limit = len(batch.items), service.limits.batch_items
    if count > limit:
        raise ProblemError("invalid", f"got {count} artworks; at most {limit} are allowed")
    with service.queue.acquire(count - 1):  # the request itself holds one slot
        results = await service.predict_each([_reader(item) for item in batch.items])
    return schemas.BatchResponse(results=[_batch_result(result) for result in results])


@v1.get("/model")
async def model(service: TheService) -> schemas.ModelInfo:
    """Describe the model: engine, modalities, cultures, emotions and limits."""
    return service.describe()


@unversioned.get("/healthz")
async def healthz() -> schemas.Status:
    """Report whether the process is alive."""
    return schemas.Status(status="ok")


@unversioned.get("/readyz", responses=problem_responses("busy"))
async def readyz(service: TheService) -> schemas.Status:
    """Report whether the service accepts requests: after the model has loaded, until it shuts down."""
    if not service.batcher.alive:
        raise ProblemError("busy", "the model is not ready", {"Retry-After": "1"})
    return schemas.Status(status="ready")


@unversioned.get("/metrics", response_class=Response)
async def metrics(service: TheService) -> Response:
    """Return metrics in the Prometheus text format."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


@unversioned.get("/examples")
async def examples() -> list[schemas.Example]:
    """List synthetic artworks to try out."""
    return [
        schemas.Example(
            title=artwork.scene,
            image=f"/examples/{number}.jpg",
            caption=artwork.caption,
            language=artwork.language,
        )
        for number, artwork in enumerate(EXAMPLES)
    ]


@unversioned.get(
    "/examples/{name}", response_class=Response, responses=problem_responses("not-found")
)
def example_image(name: str) -> Response:
    """Return the image of an example, as JPEG."""
    number = name.removesuffix(".jpg")
    if not (number.isdecimal() and number.isascii() and int(number) < len(EXAMPLES)):
        raise ProblemError("not-found", f"there is no example {name!r}")
    headers = {"Cache-Control": "max-age=86400"}
    return Response(EXAMPLES[int(number)].jpeg, media_type="image/jpeg", headers=headers)


def _reader(artwork: schemas.Artwork) -> InputReader:
    def read() -> PredictionInput:
        try:
            image = base64.b64decode(artwork.image, validate=True) if artwork.image else None
        except (binascii.Error, ValueError) as error:
            raise InputError(f"the image is not valid base64 ({error})") from None
        return PredictionInput(image, artwork.caption or None, artwork.language, artwork.cultures)

    return read


def _batch_result(result: schemas.Prediction | Exception) -> schemas.BatchResult:
    if isinstance(result, Exception):
        problem = schemas.Problem.model_validate(problem_from_exception(result).to_json())
        return schemas.BatchResult(prediction=None, problem=problem)
    return schemas.BatchResult(prediction=result, problem=None)


@dataclass(frozen=True)
class SyntheticArtwork:
    """An artwork drawn by the program, with a caption."""

    scene: str
    palette: str
    style: str
    language: str
    emotion: str

    @cached_property
    def caption(self) -> str:
        """What the artwork shows, and how it feels."""
        resource = files("artaffect.data.sample") / "captions.toml"
        texts = tomllib.loads(resource.read_text("utf-8"))[self.language]
        separator = "" if self.language == "chinese" else " "
        return f"{texts['scenes'][self.scene][1]}{separator}{texts['feel_plain'][self.emotion][0]}"

    @cached_property
    def jpeg(self) -> bytes:
        """The image file."""
        rng = np.random.default_rng(sum(map(ord, self.scene)))
        buffer = io.BytesIO()
        paint(self.scene, self.palette, self.style, rng).save(buffer, "JPEG", quality=88)
        return buffer.getvalue()


EXAMPLES = (
    SyntheticArtwork("storm at sea", "dark", "Synthetic_Brushwork", "english", "fear"),
    SyntheticArtwork("garden", "bright", "Synthetic_Dots", "arabic", "contentment"),
    SyntheticArtwork("carnival", "bright", "Synthetic_Poster", "chinese", "excitement"),
    SyntheticArtwork("mourning", "muted", "Synthetic_Glazes", "english", "sadness"),
    SyntheticArtwork("mountain dawn", "bright", "Synthetic_Glazes", "chinese", "awe"),
    SyntheticArtwork("night forest", "dark", "Synthetic_Glazes", "arabic", "fear"),
)
