"""Misuse of the running service: it responds as documented, stays up and releases memory."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from tests.running import Running, serve
from tests.waiting import wait_until

SECRET = "eine gar geheime Bildunterschrift"
DEPARTED = 'artaffect_requests_total{path="/v1/predict",status="disconnected"}'


@pytest.fixture(scope="module")
def running(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(tiny_run, tmp_path_factory.mktemp("log"), "--queue", "100") as process:
        yield process


def predict(running: Running) -> httpx.Response:
    return httpx.post(running.address + "v1/predict", data={"caption": SECRET}, timeout=30)


def raw(running: Running, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes unchanged, with pauses, and read until the server closes the connection."""
    address = urlsplit(running.address)
    response = b""
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while data := connection.recv(65536):
                response += data
    return response


def metric(running: Running, name: str) -> float:
    lines = httpx.get(running.address + "metrics", timeout=30).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def head(length: int, *more: str) -> bytes:
    lines = ["POST /v1/predict HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "Content-Type: multipart/form-data; boundary=x", "", ""]).encode()


PART = b'--x\r\nContent-Disposition: form-data; name="caption"\r\n\r\n'
FORMS, BATCH = ("/v1/predict", "/v1/preview"), ("/v1/predict/batch",)


@pytest.mark.slow
@pytest.mark.parametrize("group", ["forms", "batch", "other routes"])
def test_schemathesis_finds_no_failure(running: Running, group: str, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "st"), "run", running.address + "openapi.json"]
    command += ["--checks", "all", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "30", "--seed", "1", "--no-color"]
    if group == "forms":  # form fields are text, whatever their type; random bytes are no image
        command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    if group == "batch":  # an artwork that violates the schema gets a problem of its own, in a 200
        command += ["--exclude-checks", "negative_data_rejection"]
    paths = {"forms": FORMS, "batch": BATCH}.get(group, FORMS + BATCH)
    choice = "--exclude-path" if group == "other routes" else "--include-path"
    command += [argument for path in paths for argument in (choice, path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Test cases:" in done.stdout
    assert predict(running).status_code == 200


def test_a_huge_upload_is_refused_before_it_is_read(running: Running) -> None:
    predict(running)
    before = running.resident_bytes()

    def parts() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        for _ in range(200):
            yield b"a" * 2**20

    size = sum(map(len, parts()))
    url = running.address + "v1/predict"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    announced = httpx.post(
        url, content=parts(), headers=form | {"Content-Length": str(size)}, timeout=60
    )
    assert (
        announced.status_code == 413
        and "at most 33,554,432 are allowed" in announced.json()["detail"]
    )
    for _ in range(3):  # without a Content-Length
        refused = httpx.post(url, content=parts(), headers=form, timeout=60)
        assert refused.status_code == 413
    assert predict(running).status_code == 200
    assert running.resident_bytes() - before < 80 * 2**20


@pytest.mark.slow
def test_a_slow_request_times_out(tiny_run: Path, tmp_path: Path) -> None:
    with serve(tiny_run, tmp_path, "--timeout", "3") as hasty:
        started = time.monotonic()
        response = raw(hasty, head(1000), *[b"--x\r\n", *[b"-"] * 7], pause=0.6)
        assert b" 408 " in response.splitlines()[0] and b"slow-request" in response
        assert time.monotonic() - started < 20
        assert predict(hasty).status_code == 200


def test_broken_connections_do_not_affect_other_clients(running: Running) -> None:
    address = urlsplit(running.address)
    before = metric(running, DEPARTED)
    for _ in range(20):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall(head(1000) + b"--x\r\nContent-Disposition: form-data; name=")
    assert b" 400 " in raw(running, b"nonsense\r\n\r\n").splitlines()[0]
    cut = PART + b"wav"
    response = raw(running, head(len(cut), "Connection: close"), cut)
    assert b"malformed" in response and b"before its final boundary" in response
    assert predict(running).status_code == 200
    # a client that disconnects releases its slot, before the time of its request is over
    wait_until(lambda: metric(running, DEPARTED) == before + 20)
    wait_until(lambda: metric(running, "artaffect_queue_depth") == 0)


def test_five_hundred_simultaneous_requests_succeed_or_are_told_to_try_again(
    running: Running,
) -> None:
    predict(running)
    before = running.resident_bytes()

    address = urlsplit(running.address)

    async def post(number: int) -> bytes:
        """Send a request at once: a busy client must not be the one that is slow."""
        body = PART + f"{SECRET} {number}\r\n--x--\r\n".encode()
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        with contextlib.closing(writer):
            writer.write(head(len(body), "Connection: close") + body)
            return await reader.read()

    async def run() -> list[bytes]:
        async with asyncio.timeout(60):
            return list(await asyncio.gather(*map(post, range(500))))

    responses = asyncio.run(run())
    statuses = Counter(int(response.split(b" ", 2)[1]) for response in responses)
    assert set(statuses) <= {200, 503} and statuses[200] >= 100, statuses
    for response in responses:
        if response.startswith(b"HTTP/1.1 503 "):
            assert b"\r\nretry-after: 1\r\n" in response.partition(b"\r\n\r\n")[0] + b"\r\n"
    assert predict(running).status_code == 200
    assert running.resident_bytes() - before < 80 * 2**20


def test_the_log_is_json_without_captions(running: Running) -> None:
    def requests_in_log() -> list[dict[str, object]]:
        lines = running.log.read_text("utf-8").splitlines()
        return [line for line in map(json.loads, lines) if line.get("path") == "/v1/predict"]

    before = len(requests_in_log())
    predict(running)
    wait_until(lambda: len(requests_in_log()) > before)  # it is logged after it has been answered
    lines = [json.loads(line) for line in running.log.read_text("utf-8").splitlines()]
    requests = requests_in_log()
    assert {"time", "level", "id", "status", "milliseconds"} <= set(requests[-1])
    assert SECRET not in running.log.read_text("utf-8")
    assert not [line for line in lines if line["level"] == "error"]


@pytest.mark.slow
def test_requests_in_progress_are_completed_before_the_service_stops(
    tiny_run: Path, tmp_path: Path
) -> None:
    with serve(tiny_run, tmp_path) as running:
        body = PART + b"waves\r\n--x--\r\n"
        responses: list[bytes] = []
        slow = threading.Thread(
            target=lambda: responses.append(
                raw(running, head(len(body), "Connection: close"), body[:20], body[20:], pause=1.5)
            )
        )
        slow.start()
        wait_until(
            lambda: metric(running, "artaffect_queue_depth") == 1
        )  # its head has arrived, and no more
        code = running.stop()
        slow.join()
    assert b" 200 " in responses[0].splitlines()[0] and b"predictions" in responses[0]
    assert code in (0, -15)  # uvicorn raises the signal again at the end
    assert "finished" in running.log.read_text("utf-8").lower()
