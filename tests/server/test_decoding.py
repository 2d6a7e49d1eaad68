"""An image that takes long or much to decode costs its own request, and nobody else's."""

import asyncio
import base64
import io
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.server.app import create_app
from artaffect.server.limits import ServiceLimits
from artaffect.server.service import InputReader, Service
from tests.waiting import is_gone, wait_until

PREDICT = "/v1/predict"
FOREVER = ServiceLimits(pixels=10**12, decode_bytes=2**40, decode_seconds=60)
"""With these, only the clock of a request ends a bomb, and shutting down."""


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """A progressive JPEG whose last pass is repeated; it takes a minute to decode."""
    buffer = io.BytesIO()
    Image.new("RGB", (7000, 7000)).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    table, end = data.rindex(b"\xff\xc4"), data.rindex(b"\xff\xd9")
    return data[:end] + data[table:end] * 2000 + data[end:]


@pytest.fixture
def forever(tiny_run: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load_predictor(tiny_run), FOREVER)) as client:
        yield client


def test_a_bomb_is_refused_by_its_structure(tiny_run: Path, bomb: bytes, picture: Path) -> None:
    with TestClient(create_app(load_predictor(tiny_run))) as client:
        good, bad = ({"image": base64.b64encode(d).decode()} for d in (picture.read_bytes(), bomb))
        client.post("/v1/predict/batch", json={"items": [good, good]})  # starts the processes
        items = [bad, good]
        started = time.monotonic()
        first, second = client.post("/v1/predict/batch", json={"items": items}).json()["results"]
        assert time.monotonic() - started < 5
        for path in (PREDICT, "/v1/preview"):
            problem = client.post(path, files={"image": bomb}).json()
            assert problem["type"] == "urn:artaffect:problem:image"
            assert "passes are more than the allowed 20" in problem["detail"]
    assert "passes are more than" in first["problem"]["detail"] and second["prediction"]


def test_the_clock_ends_a_decoding_and_the_next_image_is_answered(
    tiny_run: Path, bomb: bytes, picture: Path
) -> None:
    limits = ServiceLimits(pixels=10**12, decode_bytes=2**40, decode_seconds=2)
    with TestClient(create_app(load_predictor(tiny_run), limits)) as client:
        response = client.post(PREDICT, files={"image": bomb})
        assert response.status_code == 422
        assert "longer than the allowed 2 seconds" in response.json()["detail"]
        assert client.post(PREDICT, files={"image": picture.read_bytes()}).status_code == 200


def test_captions_are_answered_while_every_decoder_is_busy(
    forever: TestClient, bomb: bytes, picture: Path
) -> None:
    service: Service = forever.app.state.service  # type: ignore[attr-defined]
    bombs = max(2, service.decoders.count)
    forever.post(PREDICT, files={"image": picture.read_bytes()})
    requests = [
        threading.Thread(target=forever.post, args=[PREDICT], kwargs={"files": {"image": bomb}})
        for _ in range(bombs)
    ]
    for request in requests:
        request.start()
    wait_for_decodings(service)
    for _ in range(3):
        started = time.monotonic()
        assert forever.post(PREDICT, data={"caption": "waves"}).status_code == 200
        assert time.monotonic() - started < 3
    assert all(request.is_alive() for request in requests)
    service.decoders.close()
    for request in requests:
        request.join(10)


def test_a_request_that_ends_early_stops_its_decoding(
    tiny_run: Path, bomb: bytes, picture: Path
) -> None:
    service = Service(load_predictor(tiny_run), FOREVER)

    async def leave() -> None:
        async with service.batcher.running():
            reader = InputReader(lambda: PredictionInput(bomb), has_image=True)
            waiting = [asyncio.create_task(service.predict(reader)) for _ in range(4)]
            await asyncio.to_thread(wait_for_decodings, service)
            busy = service.decoders.pids
            for task in waiting:
                task.cancel()
            started = time.monotonic()
            await asyncio.gather(*waiting, return_exceptions=True)
            await asyncio.to_thread(wait_until, lambda: all(map(is_gone, busy)))
            assert time.monotonic() - started < 5
            data = picture.read_bytes()
            async with asyncio.timeout(30):  # in a new process, and long before a bomb would end
                await service.predict(InputReader(lambda: PredictionInput(data), has_image=True))

    asyncio.run(leave())
    started = time.monotonic()
    service.close()
    assert time.monotonic() - started < 3


SERVE = """
import sys
from artaffect.prediction.predictor import load_predictor
from artaffect.server.app import create_app, serve
from artaffect.server.limits import ServiceLimits
limits = ServiceLimits(pixels=10**12, decode_bytes=2**40, decode_seconds=60)
serve(create_app(load_predictor(sys.argv[1]), limits), "127.0.0.1", 0)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
def test_sigterm_ends_the_service_within_ten_seconds_under_two_bombs(
    tiny_run: Path, bomb: bytes
) -> None:
    service = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tiny_run)], stderr=subprocess.PIPE, text=True
    )
    assert service.stderr is not None
    line = next(line for line in service.stderr if '"address"' in line)
    address = line.split('"address": "')[1].split('"')[0]
    refused = []

    def send(content: bytes | Iterator[bytes]) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        refused.append(
            httpx.post(address + "v1/predict", content=content, headers=headers, timeout=60)
        )

    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
    whole = head + bomb + b"\r\n--x--"
    ended = threading.Event()
    contents = (whole, whole, unfinished(head, ended))
    senders = [threading.Thread(target=send, args=[content]) for content in contents]
    for sender in senders:
        sender.start()
    time.sleep(2)
    seconds = [seconds_for_a_caption(address) for _ in range(3)]
    assert min(seconds) < 1, seconds
    assert all(sender.is_alive() for sender in senders)
    started = time.monotonic()
    service.terminate()
    _, log = service.communicate(timeout=60)
    assert time.monotonic() - started < 10, log
    ended.set()
    for sender in senders:
        sender.join(10)
    details = [response.json()["detail"] for response in refused]
    assert details == ["the service is stopping"] * len(senders), "each client is told why"
    assert "Traceback" not in log, log


def unfinished(head: bytes, ended: threading.Event) -> Iterator[bytes]:
    """A body that stops in the middle, and whose sender waits."""
    yield head
    ended.wait(60)


def seconds_for_a_caption(address: str) -> float:
    """How long the service takes to predict for a caption."""
    started = time.monotonic()
    response = httpx.post(address + "v1/predict", data={"caption": "waves"}, timeout=60)
    assert response.status_code == 200
    return time.monotonic() - started


def wait_for_decodings(service: Service) -> None:
    """Wait until all processes that decode are busy, and for a while."""
    wait_until(lambda: len(service.decoders.pids) >= min(2, service.decoders.count), seconds=20)
    time.sleep(1)
