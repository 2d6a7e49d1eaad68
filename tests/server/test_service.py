"""What the service answers, and what it says when it cannot."""

import asyncio
import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from artaffect.errors import InputError
from artaffect.explain.explainer import Explanation
from artaffect.prediction.export import export_onnx
from artaffect.prediction.predictor import (
    Prediction,
    PredictionInput,
    PreparedInput,
    load_predictor,
)
from artaffect.server.app import create_app
from artaffect.server.batching import ConcurrencyLimiter, DynamicBatcher
from artaffect.server.limits import ServiceLimits
from artaffect.server.problems import ProblemError
from tests.absent import run_without

LIMITS = ServiceLimits(
    upload_bytes=200_000,
    pixels=100_000,
    caption_characters=100,
    batch_items=5,
    places=8,
    cultures=4,
)
PREDICT, BATCH = "/v1/predict", "/v1/predict/batch"


@pytest.fixture(scope="module")
def client(tiny_run: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load_predictor(tiny_run), LIMITS)) as found:
        yield found


def in_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_answers_are_the_predictors(client: TestClient, tiny_run: Path, picture: Path) -> None:
    predictor = load_predictor(tiny_run)
    given = {
        "caption": "巨浪高过一条小船",
        "language": "chinese",
        "culture": ["arabic", "atlantic"],
    }
    answer = client.post(PREDICT, data=given, files={"image": picture.read_bytes()})
    assert answer.status_code == 200
    wanted = predictor.predict(picture, given["caption"], "chinese", given["culture"]).to_json()  # type: ignore[arg-type]
    for mine, theirs in zip(answer.json()["predictions"], wanted["predictions"], strict=True):
        assert (mine["culture"], mine["note"]) == (theirs["culture"], theirs["note"])
        assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-4)
        assert mine["modality_shares"] == pytest.approx(theirs["modality_shares"], abs=1e-3)
    alone = client.post(PREDICT, files={"image": picture.read_bytes()}).json()["predictions"]
    assert [reading["culture"] for reading in alone] == ["arabic", "chinese", "english"]


def test_a_batch_is_answered_item_by_item(client: TestClient, picture: Path) -> None:
    items = [
        {"caption": "waves", "cultures": ["english"]},
        {"image": base64.b64encode(b"no picture").decode()},
        {"image": in_base64(picture), "caption": "waves"},
        {"image": "***"},
        {},
    ]
    results = client.post(BATCH, json={"items": items}).json()["results"]
    problems = [one["problem"] and one["problem"]["type"].rpartition(":")[2] for one in results]
    assert problems == [None, "image", None, "invalid", "invalid"]
    assert [one["prediction"] is None for one in results] == [False, True, False, True, True]
    alone = client.post(PREDICT, data={"caption": "waves", "culture": "english"}).json()
    mine = results[0]["prediction"]["predictions"][0]["probabilities"]
    assert mine == pytest.approx(alone["predictions"][0]["probabilities"], abs=1e-4)


def test_an_explanation_comes_with_the_answer(client: TestClient, picture: Path) -> None:
    said = {"caption": "موجة عالية", "culture": "arabic", "explain": "true"}
    answer = client.post(PREDICT, data=said, files={"image": picture.read_bytes()})
    (reading,) = answer.json()["predictions"]
    why = reading["explanation"]
    assert why["emotion"] == reading["top"]
    assert "".join(word["text"] for word in why["words"]) == "موجة عالية"
    assert set(why["parts"]["terms"]) >= {"image", "caption"}
    heatmap = Image.open(io.BytesIO(base64.b64decode(why["heatmap"].partition(",")[2])))
    with Image.open(picture) as original:
        width, height = original.size
    assert heatmap.mode == "RGBA" and heatmap.width / heatmap.height == pytest.approx(
        width / height, abs=0.01
    )
    plain = client.post(PREDICT, data={k: said[k] for k in ("caption", "culture")})
    assert "explanation" not in plain.json()["predictions"][0]


def test_what_is_served_is_described(client: TestClient) -> None:
    model = client.get("/v1/model").json()
    assert model["modalities"] == ["image", "caption"] and model["explains"]
    assert model["cultures"] == ["arabic", "chinese", "english"]
    assert model["limits"]["pixels"] == LIMITS.pixels
    fear = next(one for one in model["emotions"] if one["name"] == "fear")
    assert fear["called"] == {"english": "fear", "arabic": "خوف", "chinese": "恐惧"}
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}
    for example in client.get("/examples").json():
        picture = client.get(example["image"])
        assert Image.open(io.BytesIO(picture.content)).format == "JPEG"
    document = client.get("/openapi.json").json()
    assert document["components"]["schemas"]["Problem"]["properties"]["type"]
    page = client.get("/")
    assert "text/html" in page.headers["content-type"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/page/page.js").status_code == 200


def bad_requests(folder: Path) -> dict[str, tuple[dict[str, object], int, str, str]]:
    """By name: the request, and the status, the kind and a part of the words of its answer."""
    bomb, large = io.BytesIO(), io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")  # 900 million pixels in 110 kB
    Image.new("1", (400, 300)).save(large, "PNG")
    text = {"content-type": "multipart/form-data; boundary=x"}
    return {
        "nothing": ({"data": {}}, 422, "invalid", "give an image, a caption, or both"),
        "blank": ({"data": {"caption": "  "}}, 422, "invalid", "give an image"),
        "text as picture": ({"files": {"image": b"words"}}, 422, "image", "not a picture"),
        "empty picture": (
            {"files": {"image": b""}, "data": {"caption": "a"}}, 422, "image", "the file is empty",
        ),
        "path as picture": ({"data": {"image": "/etc/passwd"}}, 422, "invalid", "as a file"),
        "bomb": ({"files": {"image": bomb.getvalue()}}, 422, "image", "more than the allowed"),
        "large": ({"files": {"image": large.getvalue()}}, 422, "image", "120,000|400 x 300"),
        "long": ({"data": {"caption": "a" * 101}}, 422, "invalid", "101 characters"),
        "many": ({"data": {"caption": "a", "culture": ["x"] * 5}}, 422, "invalid", "4 cultures"),
        "explain": ({"data": {"caption": "a", "explain": "why"}}, 422, "invalid", "explain"),
        "broken": ({"content": b"--x\r\nnonsense", "headers": text}, 400, "malformed", ""),
        "no boundary": (
            {"content": b"a", "headers": {"content-type": "multipart/form-data"}},
            400, "malformed", "oundary",
        ),
        "heavy": ({"content": b"a" * 200_001, "headers": text}, 413, "too-large", "200,000 are"),
        "heavy in parts": (
            {"content": iter([b"a" * 100_000] * 3), "headers": text}, 413, "too-large", "are allowed",
        ),
    }  # fmt: skip


def test_what_cannot_be_answered_is_a_problem_that_says_why(
    client: TestClient, tmp_path: Path
) -> None:
    for name, (request, status, kind, words) in bad_requests(tmp_path).items():
        answer = client.post(PREDICT, **request)  # type: ignore[arg-type]
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (status, f"urn:artaffect:problem:{kind}"), (
            name
        )
        assert answer.headers["content-type"] == "application/problem+json"
        assert any(part in problem["detail"] for part in words.split("|")), (name, problem)
        assert problem["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    for method, path, status in (
        ("GET", PREDICT, 405),
        ("GET", "/nowhere", 404),
        ("GET", "/examples/9.jpg", 404),
    ):
        assert client.request(method, path).json()["status"] == status
    for body, status in (("{", 400), ("{}", 422), (json.dumps({"items": [{}] * 6}), 422)):
        answer = client.post(BATCH, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == status, body
    unknown = client.post(BATCH, json={"items": [{"picture": "x"}]}).json()
    assert unknown["errors"][0]["field"] == "items.0.picture"


def test_the_key_opens_the_service_and_nothing_else_does(tiny_run: Path) -> None:
    with TestClient(create_app(load_predictor(tiny_run), LIMITS, key="schlüssel")) as locked:
        for given in ({}, {"Authorization": "Bearer no"}, {"Authorization": "schlüssel".encode()}):
            answer = locked.get("/v1/model", headers=given)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer schlüssel".encode()}
        assert locked.get("/v1/model", headers=right).status_code == 200
        assert locked.get("/healthz").status_code == locked.get("/").status_code == 200
        security = locked.get("/openapi.json").json()["paths"][PREDICT]["post"]["security"]
        assert security == [{"HTTPBearer": []}]


def test_more_than_can_wait_is_told_to_come_again(client: TestClient) -> None:
    places = client.app.state.service.places  # type: ignore[attr-defined]
    with places.hold(LIMITS.places):
        answer = client.post(PREDICT, data={"caption": "waves"})
        assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
        assert "8 of 8 places are taken" in answer.json()["detail"]
        assert client.get("/healthz").status_code == 200
    assert client.post(PREDICT, data={"caption": "waves"}).status_code == 200


def test_it_counts_what_it_does(client: TestClient) -> None:
    def count(line: str) -> float:
        text = client.get("/metrics").text
        return next((float(x.split()[-1]) for x in text.splitlines() if x.startswith(line)), 0.0)

    label = 'artaffect_requests_total{path="/v1/predict",status="200"}'
    before = count(label), count("artaffect_batch_artworks_sum")
    client.post(PREDICT, data={"caption": "waves"})
    assert count(label) == before[0] + 1
    assert count("artaffect_batch_artworks_sum") == before[1] + 1
    assert count("artaffect_queue_depth") == 0
    client.get("/wp-login.php")
    assert "wp-login" not in client.get("/metrics").text


def prepared(number: int) -> PreparedInput:
    return PreparedInput(None, [number], ("any",), None)


def test_requests_that_come_together_are_answered_together() -> None:
    batches: list[list[int]] = []

    def answer(inputs: object) -> list[Prediction]:
        items: list[PreparedInput] = list(inputs)  # type: ignore[call-overload]
        batches.append([item.tokens[0] for item in items])  # type: ignore[index]
        if 13 in batches[-1]:
            raise InputError("unlucky")
        return [Prediction((item.tokens[0],)) for item in items]  # type: ignore[index,arg-type]

    async def run() -> None:
        gatherer = DynamicBatcher(answer, batch=4, wait=5.0)
        async with gatherer.running():
            with gatherer.expecting(1):
                asks = [asyncio.create_task(gatherer.ask([prepared(i)])) for i in range(6)]
                await asyncio.sleep(0.05)
                assert batches == [[0, 1, 2, 3]]  # full; the rest waits for whoever is coming
            found = await asyncio.gather(*asks)
            assert [one[0].by_culture[0] for one in found] == list(range(6))
            assert batches == [[0, 1, 2, 3], [4, 5]]
            with pytest.raises(InputError, match="unlucky"):
                await gatherer.ask([prepared(13)])
            gone = asyncio.create_task(gatherer.ask([prepared(7)]))
            with gatherer.expecting(1):
                await asyncio.sleep(0)
                gone.cancel()
            await gatherer.ask([prepared(8)])
            assert batches[-1] == [8], "nobody computes for whoever has left"

    asyncio.run(run())


def test_an_answer_does_not_wait_for_all_explanations(tiny_run: Path) -> None:
    app = create_app(load_predictor(tiny_run), LIMITS)
    service = app.state.service
    order: list[str] = []

    class Slow:
        """An explainer that notes what it is asked, and takes its time."""

        def explain(self, asked: PredictionInput) -> Explanation:
            time.sleep(0.05)
            order.append(f"explained {asked.cultures}")
            return Explanation([], [])

    service.explainer = Slow()

    async def run() -> None:
        async with service.gatherer.running():
            asked = PredictionInput(caption="waves", cultures=["arabic", "chinese", "english"])
            slow = [asyncio.create_task(service.explain(lambda: asked)) for _ in range(3)]
            await asyncio.sleep(0.02)
            await service.predict(lambda: PredictionInput(caption="a black sky"))
            order.append("answered")
            await asyncio.gather(*slow)

    asyncio.run(run())
    service.close()
    assert len(order) == 10 and order.index("answered") <= 3, order


def test_places_are_given_back_whatever_happens() -> None:
    taken: list[int] = []
    places = ConcurrencyLimiter(2, taken.append)
    with pytest.raises(ZeroDivisionError, match="division"), places.hold(2):
        with pytest.raises(ProblemError, match="2 of 2 places"), places.hold(1):
            pass
        raise ZeroDivisionError("division")
    with places.hold(1):
        assert taken == [2, 0, 1]
    assert places.taken == 0


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
    said = client.post('/v1/predict', data={{'caption': 'waves'}}, files=files).json()
    why = client.post('/v1/predict', data={{'caption': 'waves', 'explain': 'true'}}).json()
    examples = client.get('/examples/3.jpg').status_code
print(json.dumps([said, why, examples]))
"""
    done = run_without(packages, code)
    assert done.returncode == 0, done.stderr
    said, why, examples = json.loads(done.stdout.splitlines()[-1])
    wanted = load_predictor(tiny_run).predict(picture, "waves")
    for mine, theirs in zip(said["predictions"], wanted.by_culture, strict=True):
        np.testing.assert_allclose(
            list(mine["probabilities"].values()), theirs.distribution.values, atol=1e-4
        )
    assert why["type"] == "urn:artaffect:problem:no-explanations"
    assert examples == 200
