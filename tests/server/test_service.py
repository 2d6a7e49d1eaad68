"""The service predicts, explains and describes its model, and reports problems that say what is wrong."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from artaffect.labels import ARTEMIS, EMOTIONS
from artaffect.prediction.export import export_onnx
from artaffect.prediction.predictor import load_predictor
from artaffect.reports.palette import label_colours
from artaffect.server.app import create_app
from artaffect.server.limits import ServiceLimits
from tests.absent import run_without

LIMITS = ServiceLimits(
    upload_bytes=200_000,
    pixels=100_000,
    caption_characters=100,
    batch_items=5,
    queue_size=8,
    cultures=4,
)
PREDICT, BATCH = "/v1/predict", "/v1/predict/batch"


@pytest.fixture(scope="module")
def client(tiny_run: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load_predictor(tiny_run), LIMITS)) as client:
        yield client


def in_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_the_service_predicts_what_the_predictor_predicts(
    client: TestClient, tiny_run: Path, picture: Path
) -> None:
    predictor = load_predictor(tiny_run)
    form = {
        "caption": "巨浪高过一条小船",
        "language": "chinese",
        "culture": ["arabic", "atlantic"],
    }
    response = client.post(PREDICT, data=form, files={"image": picture.read_bytes()})
    assert response.status_code == 200
    expected = predictor.predict(picture, form["caption"], "chinese", form["culture"]).to_json()  # type: ignore[arg-type]
    for actual, wanted in zip(response.json()["predictions"], expected["predictions"], strict=True):
        assert list(actual) == list(wanted), "the keys are the library's, in its order"
        assert (actual["culture"], actual["note"]) == (wanted["culture"], wanted["note"])
        assert actual["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)
        assert actual["modality_shares"] == pytest.approx(wanted["modality_shares"], abs=1e-3)
    alone = client.post(PREDICT, files={"image": picture.read_bytes()}).json()["predictions"]
    assert [prediction["culture"] for prediction in alone] == ["arabic", "chinese", "english"]


def test_each_item_of_a_batch_has_its_own_result(client: TestClient, picture: Path) -> None:
    items = [
        {"caption": "waves", "cultures": ["english"]},
        {"image": base64.b64encode(b"no picture").decode()},
        {"image": in_base64(picture), "caption": "waves"},
        {"image": "***"},
        {},
    ]
    results = client.post(BATCH, json={"items": items}).json()["results"]
    problems = [r["problem"] and r["problem"]["type"].rpartition(":")[2] for r in results]
    assert problems == [None, "image", None, "invalid", "invalid"]
    assert [r["prediction"] is None for r in results] == [False, True, False, True, True]
    alone = client.post(PREDICT, data={"caption": "waves", "culture": "english"}).json()
    probabilities = results[0]["prediction"]["predictions"][0]["probabilities"]
    assert probabilities == pytest.approx(alone["predictions"][0]["probabilities"], abs=1e-4)


def test_sets_are_given_on_request(client: TestClient, tiny_run: Path, picture: Path) -> None:
    expected = load_predictor(tiny_run).predict(picture, "waves", sets=0.9).to_json()
    form = {"caption": "waves", "sets": "0.9"}
    response = client.post(PREDICT, data=form, files={"image": picture.read_bytes()})
    item = {"image": in_base64(picture), "caption": "waves", "sets": 0.9}
    batch = client.post(BATCH, json={"items": [item, {"caption": "waves"}]}).json()["results"]
    for prediction in (response.json(), batch[0]["prediction"]):
        for actual, wanted in zip(prediction["predictions"], expected["predictions"], strict=True):
            assert list(actual) == list(wanted), "the keys are the library's, in its order"
            assert actual["prediction_set"] == wanted["prediction_set"]
            assert actual["note"] == wanted["note"] and "set of 90 %" in actual["note"]
    assert "prediction_set" not in batch[1]["prediction"]["predictions"][0]
    assert client.get("/v1/model").json()["prediction_sets"] is True
    for level in ("0", "1", "90", "most"):
        problem = client.post(PREDICT, data={"caption": "waves", "sets": level})
        assert problem.status_code == 422 and "sets" in problem.json()["detail"]
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["PredictionSet"]["required"] == ["level", "labels"]


def test_a_model_without_sets_says_so(tiny_run: Path) -> None:
    predictor = load_predictor(tiny_run)
    predictor.description = replace(predictor.description, conformal=None)
    with TestClient(create_app(predictor, LIMITS)) as client:
        assert client.get("/v1/model").json()["prediction_sets"] is False
        problem = client.post(PREDICT, data={"caption": "waves", "sets": "0.9"})
        assert problem.status_code == 422
        assert "holds no scores for prediction sets" in problem.json()["detail"]
        assert client.post(PREDICT, data={"caption": "waves"}).status_code == 200


def test_a_prediction_is_explained_on_request(client: TestClient, picture: Path) -> None:
    form = {"caption": "موجة عالية", "culture": "arabic", "explain": "true"}
    response = client.post(PREDICT, data=form, files={"image": picture.read_bytes()})
    (prediction,) = response.json()["predictions"]
    explanation = prediction["explanation"]
    assert explanation["emotion"] == prediction["top"]
    assert "".join(word["text"] for word in explanation["words"]) == "موجة عالية"
    assert set(explanation["contributions"]["terms"]) >= {"image", "caption"}
    heatmap = Image.open(io.BytesIO(base64.b64decode(explanation["heatmap"].partition(",")[2])))
    with Image.open(picture) as original:
        width, height = original.size
    assert heatmap.mode == "RGBA" and heatmap.width / heatmap.height == pytest.approx(
        width / height, abs=0.01
    )
    plain = client.post(PREDICT, data={k: form[k] for k in ("caption", "culture")})
    assert "explanation" not in plain.json()["predictions"][0]


def test_a_caption_of_symbols_is_explained_without_words(client: TestClient) -> None:
    form = {"caption": "🎨 … !!", "culture": "english", "explain": "true"}
    (prediction,) = client.post(PREDICT, data=form).json()["predictions"]
    assert prediction["explanation"]["words"] == []
    assert "contains no words" in prediction["note"]


def test_every_response_has_the_fields_of_its_schema(client: TestClient, picture: Path) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    form = {"caption": "waves", "culture": "english", "check": "true", "sets": "0.9"}
    response = client.post(PREDICT, data=form, files={"image": picture.read_bytes()}).json()
    (prediction,) = response["predictions"]
    for name, content in (
        ("Prediction", response),
        ("CulturePrediction", prediction),
        ("PredictionSet", prediction["prediction_set"]),
        ("Explanation", prediction["explanation"]),
        ("Contributions", prediction["explanation"]["contributions"]),
        ("Word", prediction["explanation"]["words"][0]),
        ("Check", prediction["explanation"]["checks"]["image"]),
        ("Note", prediction["notes"][0]),
        ("EmotionInfo", client.get("/v1/model").json()["emotions"][0]),
        ("ModelInfo", client.get("/v1/model").json()),
    ):
        assert set(content) == set(schemas[name]["properties"]), name
        assert schemas[name]["additionalProperties"] is False
    assert schemas["Emotion"]["enum"] == list(map(str, EMOTIONS))


def test_the_service_describes_its_model(client: TestClient) -> None:
    model = client.get("/v1/model").json()
    assert model["modalities"] == ["image", "caption"] and model["explains"]
    assert model["cultures"] == ["arabic", "chinese", "english"]
    assert model["limits"]["pixels"] == LIMITS.pixels
    fear = next(e for e in model["emotions"] if e["name"] == "fear")
    assert fear["names"] == {"english": "fear", "arabic": "خوف", "chinese": "恐惧"}
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    for example in client.get("/examples").json():
        image = client.get(example["image"])
        assert Image.open(io.BytesIO(image.content)).format == "JPEG"
    document = client.get("/openapi.json").json()
    assert document["components"]["schemas"]["Problem"]["properties"]["type"]
    page = client.get("/")
    assert "text/html" in page.headers["content-type"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/page/page.js").status_code == 200
    assert client.get("/page/base.css").status_code == 200, "the style that reports share"
    colours = [tuple(e["colour"].values()) for e in model["emotions"]]
    assert colours == [(c.light, c.dark) for c in label_colours(ARTEMIS).values()]


def bad_requests(folder: Path) -> dict[str, tuple[dict[str, object], int, str, str]]:
    """By name: a request, and the status, the type and a part of the detail of the response."""
    bomb, large = io.BytesIO(), io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")  # 900 million pixels in 110 kB
    Image.new("1", (400, 300)).save(large, "PNG")
    text = {"content-type": "multipart/form-data; boundary=x"}
    return {
        "nothing": ({"data": {}}, 422, "invalid", "give an image, a caption, or both"),
        "blank": ({"data": {"caption": "  "}}, 422, "invalid", "give an image"),
        "text as image": ({"files": {"image": b"words"}}, 422, "image", "not an image"),
        "empty image": (
            {"files": {"image": b""}, "data": {"caption": "a"}}, 422, "image", "file is empty",
        ),
        "path as image": ({"data": {"image": "/etc/passwd"}}, 422, "invalid", "as a file"),
        "bomb": ({"files": {"image": bomb.getvalue()}}, 422, "image", "more than the allowed|at most"),
        "large": ({"files": {"image": large.getvalue()}}, 422, "image", "120,000|400 x 300"),
        "long": ({"data": {"caption": "a" * 101}}, 422, "invalid", "101 characters"),
        "many": ({"data": {"caption": "a", "culture": ["x"] * 5}}, 422, "invalid", "4 cultures"),
        "explain": ({"data": {"caption": "a", "explain": "why"}}, 422, "invalid", "explain"),
        "broken": ({"content": b"--x\r\nnonsense", "headers": text}, 400, "malformed", ""),
        "no boundary": (
            {"content": b"a", "headers": {"content-type": "multipart/form-data"}},
            400, "malformed", "oundary",
        ),
        "heavy": ({"content": b"a" * 200_001, "headers": text}, 413, "too-large", "at most 200,000"),
        "heavy in parts": (
            {"content": iter([b"a" * 100_000] * 3), "headers": text}, 413, "too-large", "at most 200,000",
        ),
    }  # fmt: skip


def test_a_bad_request_gets_a_problem_that_says_what_is_wrong(
    client: TestClient, tmp_path: Path
) -> None:
    for name, (request, status, kind, words) in bad_requests(tmp_path).items():
        response = client.post(PREDICT, **request)  # type: ignore[arg-type]
        problem = response.json()
        assert (response.status_code, problem["type"]) == (
            status,
            f"urn:artaffect:problem:{kind}",
        ), name
        assert response.headers["content-type"] == "application/problem+json"
        assert any(part in problem["detail"] for part in words.split("|")), (name, problem)
        assert problem["instance"] == f"urn:uuid:{response.headers['x-request-id']}"
    for method, path, status in (
        ("GET", PREDICT, 405),
        ("GET", "/nowhere", 404),
        ("GET", "/examples/9.jpg", 404),
    ):
        assert client.request(method, path).json()["status"] == status
    for body, status in (("{", 400), ("{}", 422), (json.dumps({"items": [{}] * 6}), 422)):
        response = client.post(BATCH, content=body, headers={"content-type": "application/json"})
        assert response.status_code == status, body
    (unknown,) = client.post(BATCH, json={"items": [{"picture": "x"}]}).json()["results"]
    assert unknown["problem"]["errors"][0]["field"] == "picture"


def test_only_the_right_key_is_accepted(tiny_run: Path) -> None:
    with TestClient(create_app(load_predictor(tiny_run), LIMITS, key="schlüssel")) as locked:
        for headers in (
            {},
            {"Authorization": "Bearer no"},
            {"Authorization": "schlüssel".encode()},
        ):
            response = locked.get("/v1/model", headers=headers)
            assert response.status_code == 401 and response.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer schlüssel".encode()}
        assert locked.get("/v1/model", headers=right).status_code == 200
        assert locked.get("/healthz").status_code == locked.get("/").status_code == 200
        security = locked.get("/openapi.json").json()["paths"][PREDICT]["post"]["security"]
        assert security == [{"HTTPBearer": []}]


def test_a_full_queue_tells_clients_to_try_again(client: TestClient) -> None:
    queue = client.app.state.service.queue  # type: ignore[attr-defined]
    with queue.acquire(LIMITS.queue_size):
        response = client.post(PREDICT, data={"caption": "waves"})
        assert response.status_code == 503 and response.headers["retry-after"] == "1"
        assert "8 of 8 slots are in use" in response.json()["detail"]
        assert client.get("/healthz").status_code == 200
    assert client.post(PREDICT, data={"caption": "waves"}).status_code == 200


def test_metrics_count_requests_and_batches(client: TestClient) -> None:
    def count(line: str) -> float:
        text = client.get("/metrics").text
        return next((float(x.split()[-1]) for x in text.splitlines() if x.startswith(line)), 0.0)

    label = 'artaffect_requests_total{path="/v1/predict",status="200"}'
    before = count(label), count("artaffect_batch_size_sum")
    client.post(PREDICT, data={"caption": "waves"})
    assert count(label) == before[0] + 1
    assert count("artaffect_batch_size_sum") == before[1] + 1
    assert count("artaffect_queue_depth") == 0
    client.get("/wp-login.php")
    assert "wp-login" not in client.get("/metrics").text


def test_an_exported_model_is_served_without_torch(
    tiny_run: Path, picture: Path, tmp_path: Path
) -> None:
    export_onnx(tiny_run, tmp_path / "onnx")
    packages = ("torch", "transformers", "captum", "pyarrow", "safetensors")
    code = f"""
import json
from fastapi.testclient import TestClient
from artaffect import load_predictor
from artaffect.server.app import create_app
with TestClient(create_app(load_predictor({str(tmp_path / "onnx")!r}))) as client:
    files = {{'image': open({str(picture)!r}, 'rb')}}
    prediction = client.post('/v1/predict', data={{'caption': 'waves'}}, files=files).json()
    problem = client.post('/v1/predict', data={{'caption': 'waves', 'explain': 'true'}}).json()
    examples = client.get('/examples/3.jpg').status_code
print(json.dumps([prediction, problem, examples]))
"""
    done = run_without(packages, code)
    assert done.returncode == 0, done.stderr
    prediction, problem, examples = json.loads(done.stdout.splitlines()[-1])
    expected = load_predictor(tiny_run).predict(picture, "waves")
    for actual, wanted in zip(prediction["predictions"], expected.by_culture, strict=True):
        np.testing.assert_allclose(
            list(actual["probabilities"].values()), wanted.distribution.values, atol=1e-4
        )
    assert problem["type"] == "urn:artaffect:problem:no-explanations"
    assert examples == 200
