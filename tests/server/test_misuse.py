"""The service as a process, treated badly: it answers as documented, stays up, and gives memory back."""

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

SECRET = "eine gar geheime Bildunterschrift"


@pytest.fixture(scope="module")
def running(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    options = ("--timeout", "3", "--queue", "100")
    with serve(tiny_run, tmp_path_factory.mktemp("log"), *options) as found:
        yield found


def ask(running: Running) -> httpx.Response:
    return httpx.post(running.address + "v1/predict", data={"caption": SECRET}, timeout=30)


def raw(running: Running, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send bytes as they are, slowly, and read until the other side closes."""
    where = urlsplit(running.address)
    found = b""
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        while data := connection.recv(65536):
            found += data
    return found


def head(length: int, *more: str) -> bytes:
    lines = ["POST /v1/predict HTTP/1.1", "Host: here", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "Content-Type: multipart/form-data; boundary=x", "", ""]).encode()


@pytest.mark.parametrize("form", [False, True], ids=["all else", "the form"])
def test_schemathesis_finds_no_fault(running: Running, form: bool, tmp_path: Path) -> None:
    command = [str(Path(sys.executable).parent / "st"), "run", running.address + "openapi.json"]
    command += ["--checks", "all", "--phases", "examples,coverage,fuzzing"]
    command += ["--max-examples", "30", "--seed", "1", "--no-color"]
    command += ["--include-path" if form else "--exclude-path", "/v1/predict"]
    if (
        form
    ):  # a form holds texts, whatever their type; and most bytes are no picture, rightly refused
        command += ["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Test cases:" in done.stdout
    assert ask(running).status_code == 200


def test_a_huge_upload_is_refused_before_it_is_read(running: Running) -> None:
    ask(running)
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
    assert announced.status_code == 413 and "33,554,432 are allowed" in announced.json()["detail"]
    for _ in range(3):  # of a length that is not told
        refused = httpx.post(url, content=parts(), headers=form, timeout=60)
        assert refused.status_code == 413
    assert ask(running).status_code == 200
    assert running.resident_bytes() - before < 80 * 2**20


def test_a_slow_client_is_told_so(running: Running) -> None:
    started = time.monotonic()
    answer = raw(running, head(1000), *[b"--x\r\n", *[b"-"] * 7], pause=0.6)
    assert b" 408 " in answer.splitlines()[0] and b"slow-request" in answer
    assert time.monotonic() - started < 20
    assert ask(running).status_code == 200


def test_connections_that_break_hurt_nobody(running: Running) -> None:
    where = urlsplit(running.address)
    for _ in range(20):
        with socket.create_connection((where.hostname, where.port)) as connection:
            connection.sendall(head(1000) + b"--x\r\nContent-Disposition: form-data; name=")
    assert b" 400 " in raw(running, b"nonsense\r\n\r\n").splitlines()[0]
    cut = b'--x\r\nContent-Disposition: form-data; name="caption"\r\n\r\nwav'
    answer = raw(running, head(len(cut), "Connection: close"), cut)
    assert b"malformed" in answer and b"before its last boundary" in answer
    assert ask(running).status_code == 200
    places = next(
        line
        for line in httpx.get(running.address + "metrics").text.splitlines()
        if line.startswith("artaffect_queue_depth ")
    )
    assert float(places.split()[-1]) == 0, "whoever leaves frees his place"


def test_five_hundred_at_once_are_answered_or_told_to_wait(running: Running) -> None:
    ask(running)
    before = running.resident_bytes()

    async def run() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=500)
        async with httpx.AsyncClient(limits=limits, timeout=60) as client:
            url = running.address + "v1/predict"
            asks = [client.post(url, data={"caption": f"{SECRET} {i}"}) for i in range(500)]
            return list(await asyncio.gather(*asks))

    found = asyncio.run(run())
    statuses = Counter(answer.status_code for answer in found)
    assert set(statuses) <= {200, 503} and statuses[200] >= 100, statuses
    for answer in found:
        if answer.status_code == 503:
            assert answer.headers["retry-after"] == "1"
    assert ask(running).status_code == 200
    assert running.resident_bytes() - before < 80 * 2**20


def test_the_log_is_json_without_captions(running: Running) -> None:
    ask(running)
    lines = [json.loads(line) for line in running.log.read_text("utf-8").splitlines()]
    asked = [line for line in lines if line.get("path") == "/v1/predict"]
    assert asked and {"time", "level", "id", "status", "milliseconds"} <= set(asked[-1])
    assert SECRET not in running.log.read_text("utf-8")
    assert not [line for line in lines if line["level"] == "error"]


def test_what_is_under_way_is_answered_before_it_stops(tiny_run: Path, tmp_path: Path) -> None:
    with serve(tiny_run, tmp_path) as running:
        body = b'--x\r\nContent-Disposition: form-data; name="caption"\r\n\r\nwaves\r\n--x--\r\n'
        found: list[bytes] = []
        slow = threading.Thread(
            target=lambda: found.append(
                raw(running, head(len(body), "Connection: close"), body[:20], body[20:], pause=1.5)
            )
        )
        slow.start()
        time.sleep(0.7)  # half of the request is there
        code = running.stop()
        slow.join()
    assert b" 200 " in found[0].splitlines()[0] and b"predictions" in found[0]
    assert code in (0, -15)  # uvicorn raises the signal again once all is done
    assert "finished" in running.log.read_text("utf-8").lower()
