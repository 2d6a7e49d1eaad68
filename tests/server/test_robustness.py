"""Whatever a client sends or a model raises, the answer is a prediction or a problem that says why not."""

import base64
import io
import json
import logging
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from artaffect.prediction.predictor import Prediction, PreparedInput, load_predictor
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


class Failing(TorchPredictor):
    """Raises an exception of the test's own for every batch."""

    error: Exception = OddError()

    def answer(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
        raise self.error


@pytest.mark.parametrize(
    "error", [struct.error("bad format"), OddError(), MemoryError(), StopIteration(), KeyError("x")]
)
def test_an_unforeseen_exception_is_an_internal_problem(
    tiny_run: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    predictor = Failing.load(tiny_run)
    predictor.error = error
    with (
        caplog.at_level(logging.ERROR, "artaffect.server"),
        TestClient(create_app(predictor)) as client,
    ):
        response = client.post(PREDICT, data={"caption": "waves"})
        results = client.post(BATCH, json={"items": [{"caption": "waves"}]}).json()["results"]
    problem = response.json()
    assert (response.status_code, problem["type"]) == (500, "urn:artaffect:problem:internal")
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    for name, value in SECURITY_HEADERS:
        assert response.headers[name.decode()] == value.decode()
    assert "Traceback" not in response.text
    assert caplog.records and caplog.records[0].exc_info, "the log has the traceback"
    assert results[0]["problem"]["type"] == "urn:artaffect:problem:internal"


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
    items = [{"caption": "waves", "cultures": []}, {"caption": "waves"}]
    results = client.post(BATCH, json={"items": items}).json()["results"]
    assert [len(result["prediction"]["predictions"]) for result in results] == [3, 3]
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
