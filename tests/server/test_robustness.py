"""Whatever a client sends or a model raises, the answer is a prediction or a problem that says why not."""

import asyncio
import base64
import concurrent.futures
import io
import json
import logging
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from artaffect.errors import ResourceError
from artaffect.prediction.predictor import (
    Prediction,
    PredictionInput,
    PreparedInput,
    load_predictor,
)
from artaffect.prediction.torch import TorchPredictor
from artaffect.server.app import create_app
from artaffect.server.middleware import SECURITY_HEADERS

PREDICT, BATCH = "/v1/predict", "/v1/predict/batch"


@pytest.fixture(scope="module")
def client(tiny_run: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load_predictor(tiny_run))) as client:
        yield client


class OddError(Exception):
    """An exception that no part of the service knows, and whose message cannot be made."""

    def __str__(self) -> str:
        raise ValueError("no message")


class OddBaseError(BaseException):
    """What ``except Exception`` does not catch."""


class Failing(TorchPredictor):
    """Raises an exception of the test's own for every batch."""

    error: BaseException = OddError()

    def answer(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
        raise self.error


ODD_ERRORS = (
    *(struct.error("bad format"), OddError(), MemoryError(), StopIteration(), KeyError("x")),
    *(TimeoutError(), OddBaseError(), GeneratorExit(), asyncio.CancelledError()),
    ResourceError("too little memory"),
    concurrent.futures.CancelledError(),
)


@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
def test_an_unforeseen_exception_is_an_internal_problem(
    tiny_run: Path, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    predictor = Failing.load(tiny_run)
    predictor.error = error
    with (
        caplog.at_level(logging.ERROR, "artaffect.server"),
        TestClient(create_app(predictor)) as client,
    ):
        response = client.post(PREDICT, data={"caption": "waves"})
        batch = client.post(BATCH, json={"items": [{"caption": "waves"}]})
        assert client.get("/readyz").status_code == 200, "the next requests are answered"
    problem = response.json()
    assert (response.status_code, problem["type"]) == (500, "urn:artaffect:problem:internal")
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    for name, value in SECURITY_HEADERS:
        assert response.headers[name.decode()] == value.decode()
    assert "Traceback" not in response.text
    assert caplog.records and caplog.records[0].exc_info, "the log has the traceback"
    (result,) = batch.json()["results"]
    assert result["problem"]["type"] == "urn:artaffect:problem:internal"
    logged = {f"urn:uuid:{record.fields['id']}" for record in caplog.records}  # type: ignore[attr-defined]
    assert logged == {problem["instance"], result["problem"]["instance"]}


@pytest.mark.parametrize("error", ODD_ERRORS, ids=lambda error: type(error).__name__)
def test_an_exception_in_the_preparation_is_an_internal_problem(
    tiny_run: Path, error: BaseException
) -> None:
    class Unprepared(TorchPredictor):
        def prepare(self, inputs: Sequence[PredictionInput]) -> list[PreparedInput]:
            raise error

    with TestClient(create_app(Unprepared.load(tiny_run))) as client:
        problem = client.post(PREDICT, data={"caption": "waves"}).json()
        assert problem["type"] == "urn:artaffect:problem:internal"
        (result,) = client.post(BATCH, json={"items": [{"caption": "waves"}]}).json()["results"]
        assert result["problem"]["type"] == "urn:artaffect:problem:internal"
        assert client.get("/readyz").status_code == 200


def test_a_number_that_is_not_finite_is_the_fault_of_the_model_and_costs_one_artwork(
    tiny_run: Path,
) -> None:
    class Diverged(TorchPredictor):
        """Its first answer in a batch has a share of NaN."""

        def answer(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
            first, *others = super().answer(inputs)
            shares = {"image": math.nan, "caption": 1.0}
            spoiled = (replace(p, modality_shares=shares) for p in first)
            return [Prediction(tuple(spoiled)), *others]

    with TestClient(create_app(Diverged.load(tiny_run))) as client:
        response = client.post(PREDICT, data={"caption": "waves"})
        items = [{"caption": "waves"}, {"caption": "a black sky"}]
        first, second = client.post(BATCH, json={"items": items}).json()["results"]
    assert (response.status_code, response.json()["type"]) == (
        500,
        "urn:artaffect:problem:internal",
    )
    assert first["problem"]["type"] == "urn:artaffect:problem:internal"
    assert second["problem"] is None and second["prediction"]


def test_a_number_of_thousands_of_digits_is_refused(client: TestClient) -> None:
    digits = "9" * 5000
    assert client.get(f"/examples/{digits}.jpg").status_code == 404
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": digits}
    response = client.post(PREDICT, content=b"--x--", headers=headers)
    assert response.json()["type"] == "urn:artaffect:problem:too-large"


def test_a_preview_takes_a_slot_of_the_queue(client: TestClient, picture: Path) -> None:
    queue = client.app.state.service.queue  # type: ignore[attr-defined]
    with queue.acquire(queue.limit):
        response = client.post("/v1/preview", files={"image": picture.read_bytes()})
        assert response.status_code == 503


def test_too_few_predictions_fail_their_requests_and_not_the_service(tiny_run: Path) -> None:
    class Forgetful(TorchPredictor):
        def answer(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
            return []

    with TestClient(create_app(Forgetful.load(tiny_run))) as client:
        assert client.post(PREDICT, data={"caption": "waves"}).status_code == 500
        assert client.get("/readyz").status_code == 200


def test_head_is_answered_where_get_is(client: TestClient) -> None:
    for path in ("/", "/healthz", "/readyz", "/metrics", "/examples", "/page/page.js", "/v1/model"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == get.headers["content-type"]
        if path != "/metrics":  # its counters grow
            assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head(PREDICT).status_code == 405
    assert client.head("/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("path", "request_", "words"),
    [
        (PREDICT, {"json": {"caption": "waves"}}, "multipart/form-data"),
        (PREDICT, {"content": b"waves"}, "without a Content-Type"),
        (BATCH, {"data": {"caption": "waves"}}, "application/json"),
        (BATCH, {"files": {"image": b"waves"}}, "application/json"),
    ],
)
def test_another_media_type_is_told_which_one_is_expected(
    client: TestClient, path: str, request_: dict[str, object], words: str
) -> None:
    response = client.post(path, **request_)  # type: ignore[arg-type]
    assert (response.status_code, response.json()["type"]) == (
        415,
        "urn:artaffect:problem:media-type",
    )
    assert words in response.json()["detail"]


def test_nothing_in_a_form_is_left_out_without_a_word(client: TestClient, picture: Path) -> None:
    data = picture.read_bytes()
    two = [("image", ("a.jpg", data)), ("image", ("b.jpg", data))]
    response = client.post(PREDICT, files=two)
    assert response.status_code == 422 and "2 fields 'image'" in response.json()["detail"]
    response = client.post(PREDICT, data={"caption": ["a", "b"]})
    assert response.status_code == 422 and "2 fields 'caption'" in response.json()["detail"]
    response = client.post(PREDICT, data={"caption": "waves", "cultures": "arabic"})
    assert response.status_code == 422 and "Did you mean 'culture'?" in response.json()["detail"]
    response = client.post(PREDICT, data={"caption": "waves", "culture": ["arabic", "english"]})
    assert len(response.json()["predictions"]) == 2


def test_no_culture_means_every_culture(client: TestClient) -> None:
    items = [{"caption": "waves", "cultures": names} for names in ([], ["", " "], None)]
    results = client.post(BATCH, json={"items": items}).json()["results"]
    assert [len(result["prediction"]["predictions"]) for result in results] == [3, 3, 3]
    form = client.post(PREDICT, data={"caption": "waves", "culture": ""}).json()
    assert len(form["predictions"]) == 3


def test_a_bad_item_does_not_end_its_batch(client: TestClient) -> None:
    bad = [
        {"caption": "half an emoji \ud83d"},
        {"caption": "waves", "language": "\udfff"},
        {"caption": "waves", "cultures": ["\ud800"]},
        {"caption": 3},
        {"caption": "waves", "cultures": "arabic"},
        {"caption": "waves", "captoin\n": "typo"},
        {"image": base64.b64encode(b"GIF89a").decode()},
        "waves",
        None,
        [],
    ]
    good = {"caption": "waves", "cultures": ["english"]}
    body = json.dumps({"items": [good, *bad, good]})
    headers = {"content-type": "application/json"}
    response = client.post(BATCH, content=body, headers=headers)
    assert response.status_code == 200
    first, *results, last = response.json()["results"]
    assert first == last and first["prediction"]["predictions"][0]["culture"] == "english"
    assert len(results) == len(bad)
    for item, result in zip(bad, results, strict=True):
        assert result["prediction"] is None, item
        assert result["problem"]["status"] == 422, item
        assert "\n" not in result["problem"]["detail"]


def test_numbers_that_are_not_numbers_are_refused(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for body in ('{"items": NaN}', '{"items": [{"caption": Infinity}]}', "NaN", "", "{", "[]"):
        response = client.post(BATCH, content=body, headers=headers)
        assert response.status_code in (200, 400, 422), body
        json.loads(response.text, parse_constant=pytest.fail)


def test_a_format_that_browsers_do_not_know_has_a_preview(client: TestClient) -> None:
    tiff = io.BytesIO()
    image = Image.new("RGB", (60, 30), "red")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    image.save(tiff, "TIFF", exif=exif)
    response = client.post("/v1/preview", files={"image": tiff.getvalue()})
    assert response.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(response.content)).size == (30, 60)
    response = client.post("/v1/preview", files={"image": b"words"})
    assert response.json()["type"] == "urn:artaffect:problem:image"
    assert client.post("/v1/preview").status_code == 422


def test_the_service_says_that_its_model_learned_from_synthetic_data(client: TestClient) -> None:
    assert client.get("/v1/model").json()["synthetic"] is True
