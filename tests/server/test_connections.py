"""Connections that send or read nothing cost little, and none of them costs the service."""

import asyncio
import contextlib
import io
import json
import logging
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest
import uvicorn
from fastapi import FastAPI

from artaffect.explain.explainer import Explanation
from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.server.app import create_app
from artaffect.server.limits import ServiceLimits
from artaffect.server.protocol import BoundedProtocol
from artaffect.server.telemetry import CountingHandler, JsonFormatter
from tests.running import serve
from tests.waiting import wait_until

LIMITS = ServiceLimits(
    head_seconds=1.0, send_seconds=1.0, connections=20, peer_bodies=3, held_bytes=300_000
)


Address = tuple[str, int]


@contextlib.contextmanager
def listening(app: FastAPI, limits: ServiceLimits) -> Iterator[tuple[uvicorn.Server, Address]]:
    """The app in a thread of this process, behind sockets: the server, and where it listens."""
    protocol = partial(BoundedProtocol, limits=limits, files=1000)
    config = uvicorn.Config(app, port=0, http=protocol, ws="none", log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server, server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def app(tiny_run: Path) -> FastAPI:
    app = create_app(load_predictor(tiny_run), LIMITS)
    app.state.large_answers = 0

    @app.get("/large")
    def large() -> str:
        app.state.large_answers += 1
        return "a" * 30_000_000  # more than the buffers of the system take

    return app


@pytest.fixture(scope="module")
def listener(app: FastAPI) -> Iterator[tuple[uvicorn.Server, Address]]:
    with listening(app, LIMITS) as listener:
        yield listener


@pytest.fixture
def address(listener: tuple[uvicorn.Server, Address]) -> Address:
    return listener[1]


@contextlib.contextmanager
def opened(address: Address, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, which are closed at the end of the block."""
    with contextlib.ExitStack() as stack:
        connect = partial(socket.create_connection, address, timeout=10)
        yield [stack.enter_context(connect()) for _ in range(count)]


def answered(connections: list[socket.socket]) -> list[socket.socket]:
    """Those of the connections on which something has arrived."""
    return select.select(connections, [], [], 0)[0]


def until_closed(connection: socket.socket, seconds: float = 20) -> bytes:
    connection.settimeout(seconds)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received


def is_well(address: Address) -> bool:
    return httpx.get(f"http://{address[0]}:{address[1]}/healthz", timeout=10).status_code == 200


HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = HEAD + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x"


@pytest.mark.parametrize(
    "begin", [b"", b"P", HEAD, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /"]
)
def test_a_head_that_does_not_end_is_answered_with_a_problem(
    address: Address, begin: bytes
) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(begin)
        started = time.monotonic()
        for byte in b"Aaaa: a" * 3:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(bytes([byte]) if begin else b"")
            time.sleep(0.05)
        response = until_closed(connection)
    assert time.monotonic() - started < 5
    assert b"HTTP/1.1 408 " in response and b"urn:artaffect:problem:slow-request" in response
    assert response.count(b"cross-origin-resource-policy: same-origin") >= 1


def test_what_is_not_http_is_answered_with_a_problem(address: Address) -> None:
    for begin in (b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(address) as connection:
            connection.sendall(begin)
            response = until_closed(connection)
        assert response.startswith(b"HTTP/1.1 400 ") and b"problem:malformed" in response, begin


def test_a_client_that_reads_nothing_is_disconnected(
    app: FastAPI, listener: tuple[uvicorn.Server, Address]
) -> None:
    server, address = listener
    with opened(address, 5) as connections:
        for connection in connections:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: app.state.large_answers == 5)
        wait_until(lambda: not server.server_state.connections)
        for connection in connections:
            assert len(until_closed(connection)) < 30_000_000, "the rest was never sent"
    assert is_well(address)


def test_a_new_connection_replaces_the_one_that_has_been_idle_longest(
    address: Address,
) -> None:
    with opened(address, 30) as idle:
        time.sleep(0.3)
        assert is_well(address)
        for connection in idle[:10]:
            assert until_closed(connection, 0.5) == b"", "it was closed before its time"


def test_a_client_may_send_only_so_many_bodies_at_once(address: Address) -> None:
    url = f"http://{address[0]}:{address[1]}/v1/predict"
    with opened(address, LIMITS.peer_bodies + 2) as slow:
        for connection in slow:
            connection.sendall(FORM)
        wait_until(lambda: len(answered(slow)) >= 2)
        assert httpx.post(url, data={"caption": "waves"}, timeout=10).status_code == 200
        refused = [connection.recv(65536) for connection in answered(slow)]
    assert len(refused) == 2 and all(b" 503 " in response for response in refused)
    assert all(b"3 bodies from your address" in response for response in refused)
    time.sleep(0.3)
    assert httpx.post(url, data={"caption": "waves"}, timeout=10).status_code == 200


def test_all_bodies_together_have_a_limit(address: Address) -> None:
    url = f"http://{address[0]}:{address[1]}/v1/predict"
    for _ in range(3):  # what a refused body took is free again
        response = httpx.post(url, files={"image": b"a" * 310_000}, timeout=10)
        assert response.status_code == 503, response.text
        assert "more than 300,000 bytes" in response.json()["detail"]
    assert httpx.post(url, files={"image": b"a" * 1000}, timeout=10).status_code == 422


def test_work_ends_when_its_client_leaves(tiny_run: Path) -> None:
    app = create_app(load_predictor(tiny_run))
    service = app.state.service
    explained: list[object] = []
    ended = threading.Event()

    class Slow:
        """An explainer that records its inputs, and whose second answer waits for the end of the request."""

        def explain(self, item: PredictionInput, *_: object) -> Explanation:
            explained.append(item.cultures)
            assert len(explained) < 2 or ended.wait(60)
            return Explanation([])

    service.explainer = Slow()
    fields = {"caption": "waves", "explain": "true"}
    cultures = "".join(f"&culture={i}" for i in range(8))
    body = "&".join(f"{name}={value}" for name, value in fields.items()) + cultures
    head = HEAD + b"Content-Type: application/x-www-form-urlencoded\r\n"
    with listening(app, service.limits) as (_, address):
        with socket.create_connection(address) as connection:
            connection.sendall(head + f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            wait_until(lambda: len(explained) == 2)
        wait_until(lambda: service.queue.active == 0, seconds=20)  # long before its time is over
        assert service.explanation_queue.active == 0
        ended.set()
        url = f"http://{address[0]}:{address[1]}/v1/predict"
        assert httpx.post(url, data={"caption": "waves"}, timeout=10).status_code == 200
    assert len(explained) == 2, explained


def test_the_service_outlives_more_connections_than_it_may_open_files(
    tiny_run: Path, tmp_path: Path
) -> None:
    with serve(tiny_run, tmp_path, files=200) as running:
        url = urlsplit(running.address)
        with opened((str(url.hostname), url.port or 0), 400):
            for _ in range(5):
                response = httpx.post(
                    running.address + "v1/predict", data={"caption": "waves"}, timeout=30
                )
                assert response.status_code == 200
        assert running.process.poll() is None
        assert running.log.stat().st_size < 20_000
        lines = [json.loads(line) for line in running.log.read_text("utf-8").splitlines()]
        assert not [line for line in lines if "traceback" in line]


def test_a_line_that_repeats_is_counted() -> None:
    out = io.StringIO()
    handler = CountingHandler(out, interval=60)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    for number in range(1000):
        logger.warning("out of files\nagain")
        if number < 3:
            logger.info("request", extra={"fields": {"id": number}})
    logger.warning("another")
    handler.close()
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    messages = [line["message"] for line in lines]
    assert messages.count("request") == 3 and messages.count("another") == 1
    first, last = (line for line in lines if line["message"] == "out of files\nagain")
    assert "repeated" not in first and last["repeated"] == 999


def test_a_line_is_written_again_after_the_interval() -> None:
    out = io.StringIO()
    handler = CountingHandler(out, interval=10)
    handler.setFormatter(JsonFormatter())
    record = logging.makeLogRecord({"msg": "out of files", "created": 100.0})
    for created in (100.0, 101.0, 109.0, 111.0, 112.0):
        later = logging.makeLogRecord({**vars(record), "created": created})
        handler.emit(later)
    repeated = [json.loads(line).get("repeated") for line in out.getvalue().splitlines()]
    assert repeated == [None, 2, None]


def test_a_method_of_the_clients_own_is_not_logged(app: FastAPI) -> None:
    async def run() -> list[logging.LogRecord]:
        records: list[logging.LogRecord] = []
        handler = logging.Handler()
        handler.emit = records.append  # type: ignore[method-assign]
        logger = logging.getLogger("artaffect.server")
        logger.addHandler(handler)
        level = logger.level
        logger.setLevel(logging.INFO)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.request("SECRET" * 100, "/v1/predict")
        logger.removeHandler(handler)
        logger.setLevel(level)
        return records

    records = asyncio.run(run())
    assert [vars(record)["fields"]["method"] for record in records] == ["other"]


def test_the_limits_of_a_request_are_those_that_the_service_shows(tiny_run: Path) -> None:
    limits = replace(LIMITS, name_characters=5)
    assert create_app(load_predictor(tiny_run), limits).state.service.describe().limits == limits
