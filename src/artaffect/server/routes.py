"""The routes of the service."""

import io
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import Response
from pydantic import ValidationError

from artaffect.data.sample.painting_styles import paint
from artaffect.errors import ImageError, InputError, UnknownNameError
from artaffect.prediction.predictor import Prediction, PredictionInput
from artaffect.server import schemas
from artaffect.server.bodies import (
    MULTIPART,
    URLENCODED,
    BoundedRoute,
    decode_base64,
    media_type,
)
from artaffect.server.problems import (
    ProblemError,
    invalid_request,
    logged_problem,
    problem_responses,
)
from artaffect.server.service import InputReader, Service

_PROBLEMS = problem_responses(
    *("malformed", "slow-request", "too-large", "media-type"),
    *("invalid", "internal", "busy", "slow-answer"),
)

v1 = APIRouter(prefix="/v1", route_class=BoundedRoute)
unversioned = APIRouter()


async def _service(request: Request) -> Service:
    return request.app.state.service


TheService = Annotated[Service, Depends(_service)]

_REPEATABLE = "culture"


async def _check_form(request: Request) -> None:
    """Refuse what would be silently ignored: another media type, unknown and repeated fields."""
    _check_media_type(request, (MULTIPART, URLENCODED), "JSON goes to /v1/predict/batch")
    fields = (await request.form()).multi_items()
    known = request.scope["route"].body_field.field_info.annotation.model_fields
    counts = Counter(name for name, _ in fields)
    limit = request.app.state.service.limits.name_characters
    for name, count in counts.items():
        if name not in known:
            raise InputError(str(UnknownNameError("field", name[:limit], known)))
        if count > 1 and name != _REPEATABLE:
            raise InputError(f"the form has {count} fields {name!r}; send one")


async def _check_json(request: Request) -> None:
    _check_media_type(request, ("application/json",), "forms go to /v1/predict")


def _check_media_type(request: Request, expected: Sequence[str], hint: str) -> None:
    sent = media_type(request)
    has_body = request.headers.get("content-length", "0") != "0"
    if sent in expected or (not sent and not has_body):
        return
    body = f"a body of type {sent[:100]}" if sent else "a body without a Content-Type"
    detail = f"got {body}; send {' or '.join(expected)} ({hint})"
    raise ProblemError("media-type", detail)


@v1.post(
    "/predict",
    response_model_exclude_unset=True,
    responses=_PROBLEMS,
    dependencies=[Depends(_check_form)],
)
async def predict(  # noqa: PLR0913 - the fields of a form
    service: TheService,
    image: Annotated[
        UploadFile | None,
        File(
            description="An image file: JPEG, PNG, WebP, GIF, TIFF, BMP, AVIF, JPEG 2000 or HEIC."
        ),
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
    sets: Annotated[
        float | None,
        Form(
            gt=0,
            lt=1,
            description="Also give each culture's prediction set, which holds the true emotion with at "
            "least this probability.",
            examples=[0.9],
        ),
    ] = None,
    explain: Annotated[
        bool, Form(description="Also explain the most likely emotion of each culture.")
    ] = False,
    check: Annotated[
        bool, Form(description="Also explain, and put each explanation to the deletion test.")
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
            _cultures(culture),
            sets,
        )

    reader = InputReader(read, has_image=image is not None)
    return await (service.explain(reader, check) if explain or check else service.predict(reader))


@v1.post(
    "/predict/batch",
    response_model=schemas.BatchResponse,
    responses=_PROBLEMS,
    dependencies=[Depends(_check_json)],
)
async def predict_batch(
    service: TheService, batch: schemas.BatchRequest, request: Request
) -> Response:
    """Predict for several artworks. An artwork that fails does not affect the others."""
    images, request_id = request.state.images, request.scope["request_id"]
    with service.queue.acquire(len(batch.items) - 1):  # the request itself holds one slot
        results = await service.predict_each([_reader(item, images) for item in batch.items])
        content = await service.in_thread(_batch_response, results, request_id)
    return Response(content, media_type="application/json")


@v1.post(
    "/preview",
    response_class=Response,
    responses=_PROBLEMS,
    dependencies=[Depends(_check_form)],
)
async def preview(
    service: TheService, image: Annotated[UploadFile, File(description="An image file.")]
) -> Response:
    """Return an image as JPEG, upright and at most 1,024 pixels wide and high."""
    return Response(await service.preview(await image.read()), media_type="image/jpeg")


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
def examples() -> list[schemas.Example]:
    """List synthetic artworks to try out."""
    return [example for example, _ in _draw_examples()]


@unversioned.get(
    "/examples/{name}", response_class=Response, responses=problem_responses("not-found")
)
def example_image(name: str) -> Response:
    """Return the image of an example, as JPEG."""
    images = {example.image: image for example, image in _draw_examples()}
    image = images.get(f"/examples/{name}")
    if image is None:
        raise ProblemError("not-found", f"the examples are {', '.join(images)}")
    headers = {"Cache-Control": "max-age=86400"}
    return Response(image, media_type="image/jpeg", headers=headers)


def _cultures(names: Sequence[str] | None) -> list[str] | None:
    """The cultures that a request names; None, for all of them, if it names none."""
    return [name for name in names or () if name.strip()] or None


def _reader(
    artwork: schemas.Artwork | ValidationError, images: Mapping[str, memoryview]
) -> InputReader:
    def read() -> PredictionInput:
        if isinstance(artwork, ValidationError):
            raise invalid_request(artwork)
        image: bytes | memoryview = (artwork.image or "").encode("utf-8", "surrogatepass")
        image = images.get(artwork.image or "", image)  # not moved: its key has an escape sequence
        return PredictionInput(
            decode_base64(image) or None,
            artwork.caption or None,
            artwork.language or None,
            _cultures(artwork.cultures),
            artwork.sets,
        )

    return InputReader(read, has_image=isinstance(artwork, schemas.Artwork) and bool(artwork.image))


def _batch_response(results: Sequence[Prediction | Exception], request_id: str) -> bytes:
    """A :class:`BatchResponse` in JSON, made piece by piece because it may have megabytes."""
    pieces = (
        _batch_result(result, request_id).model_dump_json(exclude_unset=True) for result in results
    )
    return f'{{"results":[{",".join(pieces)}]}}'.encode()


def _batch_result(result: Prediction | Exception, request_id: str) -> schemas.BatchResult:
    try:
        if isinstance(result, Exception):
            raise result
        prediction = schemas.Prediction.model_validate(result.to_json())
        return schemas.BatchResult(prediction=prediction, problem=None)
    except Exception as error:  # noqa: BLE001 - it is the problem of this artwork alone
        members = logged_problem(error, request_id).to_json(request_id)
        problem = schemas.Problem.model_validate(members)
        return schemas.BatchResult(prediction=None, problem=problem)


_EXAMPLES = (
    ("storm at sea", "dark", "Synthetic_Brushwork", "english", "fear"),
    ("garden", "bright", "Synthetic_Dots", "arabic", "contentment"),
    ("carnival", "bright", "Synthetic_Poster", "chinese", "excitement"),
    ("mourning", "muted", "Synthetic_Glazes", "english", "sadness"),
    ("mountain dawn", "bright", "Synthetic_Glazes", "chinese", "awe"),
    ("night forest", "dark", "Synthetic_Glazes", "arabic", "fear"),
)


@cache
def _draw_examples() -> list[tuple[schemas.Example, bytes]]:
    """The examples, whose captions say what an artwork shows and how it feels, and their JPEG files."""
    captions = tomllib.loads((files("artaffect.data.sample") / "captions.toml").read_text("utf-8"))
    drawn = []
    for number, (scene, palette, style, language, emotion) in enumerate(_EXAMPLES):
        texts, separator = captions[language], "" if language == "chinese" else " "
        caption = separator.join((texts["scenes"][scene][1], texts["feel_plain"][emotion][0]))
        address, buffer = f"/examples/{number}.jpg", io.BytesIO()
        rng = np.random.default_rng(sum(map(ord, scene)))
        paint(scene, palette, style, rng).save(buffer, "JPEG", quality=88)
        example = schemas.Example(title=scene, image=address, caption=caption, language=language)
        drawn.append((example, buffer.getvalue()))
    return drawn
