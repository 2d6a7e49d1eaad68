"""The addresses of the service."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response

from artaffect.errors import ImageError, InputError
from artaffect.prediction.predictor import PredictionInput
from artaffect.server.examples import EXAMPLES
from artaffect.server.problems import PROBLEMS, ProblemError, problem_of
from artaffect.server.schemas import (
    Artwork,
    Batch,
    BatchAnswer,
    Example,
    Model,
    Prediction,
    Status,
    problem_json,
)
from artaffect.server.service import Service, Source


def _problems(*names: str) -> dict[int | str, dict[str, Any]]:
    return {
        PROBLEMS[name].status: problem_json(ProblemError(name, "what was wrong").to_json())
        for name in names
    }


_REFUSALS = ("malformed", "slow-request", "too-large", "invalid", "internal", "busy", "slow-answer")

v1 = APIRouter(prefix="/v1")
plain = APIRouter()


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


@v1.post("/predict", response_model=Prediction, responses=_problems(*_REFUSALS))
async def predict(
    request: Request,
    image: Annotated[
        UploadFile | None, File(description="The picture: JPEG, PNG, WebP, GIF, TIFF or BMP.")
    ] = None,
    caption: Annotated[
        str | None,
        Form(
            description="What was written of it, in any language.",
            examples=["تعلو الأمواج فوق قارب صغير."],
        ),
    ] = None,
    language: Annotated[
        str | None,
        Form(description="What the caption is written in, such as `arabic`.", examples=["arabic"]),
    ] = None,
    culture: Annotated[
        list[str] | None,
        Form(
            description="Whose reading; repeat it for several. Every culture without it.",
            examples=[["arabic", "english"]],
        ),
    ] = None,
    explain: Annotated[
        bool, Form(description="Also say why, for each culture's likeliest emotion.")
    ] = False,
) -> Response:
    """What one artwork evokes, and in whom.

    Give a picture, a caption, or both.
    """
    asked = [name for name in culture or [] if name.strip()]

    def read() -> PredictionInput:
        content = image.file.read() if image else b""
        if image and image.filename and not content:  # without a name: a form's field left empty
            raise ImageError("the picture: the file is empty")
        return PredictionInput(
            content or None,
            caption if caption and caption.strip() else None,
            language or None,
            asked or None,
        )

    service = _service(request)
    return JSONResponse(await (service.explain(read) if explain else service.predict(read)))


@v1.post("/predict/batch", response_model=BatchAnswer, responses=_problems(*_REFUSALS))
async def predict_batch(request: Request, batch: Batch) -> Response:
    """What several artworks evoke; one that cannot be answered does not hurt the others."""
    service, items = _service(request), batch.items
    if len(items) > service.limits.batch_items:
        most = service.limits.batch_items
        raise ProblemError("invalid", f"{len(items)} artworks were sent, {most} are allowed")
    with service.places.hold(len(items) - 1):  # the request itself holds one
        found = await service.predict_each([_source(item) for item in items])
    return JSONResponse({"results": [_result(one) for one in found]})


def _source(item: Artwork) -> Source:
    def read() -> PredictionInput:
        try:
            image = base64.b64decode(item.image, validate=True) if item.image else None
        except (binascii.Error, ValueError) as error:
            raise InputError(f"image: not base64 ({error})") from None
        return PredictionInput(image, item.caption or None, item.language, item.cultures)

    return read


def _result(found: Mapping[str, Any] | Exception) -> dict[str, Any]:
    if isinstance(found, Exception):
        return {"prediction": None, "problem": problem_of(found).to_json()}
    return {"prediction": found, "problem": None}


@v1.get("/model", response_model=Model)
async def model(request: Request) -> Response:
    """What is served: engine, modalities, cultures, emotions and limits."""
    return JSONResponse(_service(request).describe())


@plain.get("/healthz", response_model=Status)
async def healthz() -> Response:
    """Whether the process is alive."""
    return JSONResponse({"status": "ok"})


@plain.get("/readyz", response_model=Status, responses=_problems("busy"))
async def readyz(request: Request) -> Response:
    """Whether requests may be sent: not before the model is read, nor while it stops."""
    if not _service(request).ready:
        raise ProblemError("busy", "the model is not ready", {"Retry-After": "1"})
    return JSONResponse({"status": "ready"})


@plain.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Counts and times, in Prometheus' text format."""
    return Response(_service(request).metrics.text(), media_type="text/plain; version=0.0.4")


@plain.get("/examples", response_model=list[Example])
async def examples() -> Response:
    """Artworks to try, made by the project."""
    return JSONResponse(
        [
            {
                "title": example.scene,
                "image": f"/examples/{number}.jpg",
                "caption": example.caption,
                "language": example.language,
            }
            for number, example in enumerate(EXAMPLES)
        ]
    )


@plain.get("/examples/{name}", response_class=Response, responses=_problems("not-found"))
def example_picture(name: str) -> Response:
    """One of their pictures, as JPEG."""
    number = name.removesuffix(".jpg")
    if not (number.isdecimal() and number.isascii() and int(number) < len(EXAMPLES)):
        raise ProblemError("not-found", f"there is no example {name!r}")
    kept = {"Cache-Control": "max-age=86400"}
    return Response(EXAMPLES[int(number)].jpeg, media_type="image/jpeg", headers=kept)
