"""Checks that apply to every request, whatever its route: key, size, time-out, queue, log and metrics."""

import asyncio
import contextlib
import hmac
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artaffect.server.problems import ProblemError, logged_problem
from artaffect.server.service import Service
from artaffect.server.telemetry import LOGGER

LINGER_SECONDS = 5.0
"""How long the rest of a refused upload is read and discarded, so that the client can read the problem."""
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'",
    ),
)


class RequestMiddleware:
    """ASGI middleware around the whole app. It refuses a request without reading its body.

    ``paths`` are logged and counted by name, all others as ``other``.
    """

    def __init__(self, app: ASGIApp, service: Service, paths: frozenset[str]) -> None:
        self.app, self.service, self.paths = app, service, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        scope["request_id"] = str(uuid4())
        exchange = _Exchange(scope, receive, send, self.service.limits.upload_bytes)
        try:
            await self._run_app(exchange.scope, exchange)
        except Exception as error:  # noqa: BLE001 - the client gets a response in any case
            problem = logged_problem(error, scope["request_id"])
            if exchange.status is None:
                response = problem.response(scope["request_id"])
                await response(scope, exchange.receive, exchange.send)
        finally:
            self._record(scope, exchange.status, perf_counter() - started)

    async def _run_app(self, scope: Scope, exchange: "_Exchange") -> None:
        self._check_key(scope)
        exchange.check_length()
        works = scope["method"] == "POST" and scope["path"].startswith("/v1/")
        # the slot is taken before the body is read, because waiting bodies take memory
        with self.service.queue.acquire(1) if works else contextlib.nullcontext():
            try:
                async with asyncio.timeout(self.service.limits.timeout_seconds) as timer:
                    exchange.timer = timer
                    await self.app(scope, exchange.receive, exchange.send)
            except TimeoutError:
                if not timer.expired():
                    raise
                exchange.discard_rest = exchange.complete
                name = "slow-answer" if exchange.complete else "slow-request"
                detail = f"the limit is {self.service.limits.timeout_seconds:g} seconds"
                raise ProblemError(name, detail) from None
            finally:
                exchange.timer = None  # a problem is sent after the clock has stopped

    def _check_key(self, scope: Scope) -> None:
        if self.service.key is None or not scope["path"].startswith("/v1/"):
            return
        credentials = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(credentials, b"Bearer " + self.service.key.encode()):
            detail = "send the header `Authorization: Bearer KEY` with the API key of this service"
            raise ProblemError("key", detail, {"WWW-Authenticate": "Bearer"})

    def _record(self, scope: Scope, status: int | None, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        metrics = self.service.metrics
        metrics.requests.labels(path, str(status or "disconnected")).inc()
        metrics.request_duration.labels(path).observe(seconds)
        fields = {"id": scope["request_id"], "method": scope["method"], "path": path}
        fields |= {"status": status, "milliseconds": round(1000 * seconds, 1)}
        LOGGER.info("request", extra={"fields": fields})


class _Exchange:
    """The body of one request as it arrives, and its response as it is sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        self._receive, self._send, self.limit = receive, send, limit
        self._sends_body = scope["method"] != "HEAD"
        # HEAD gets the response to GET, without its body (RFC 9110)
        self.scope = scope if self._sends_body else {**scope, "method": "GET"}
        self._headers = Headers(scope=scope)
        self._id = scope["request_id"].encode()
        self.content_length = self._headers.get("content-length", "0")
        self.complete = self.content_length == "0" and "transfer-encoding" not in self._headers
        """Whether the whole body has arrived."""
        self.discard_rest = "expect" not in self._headers
        """Whether to read the rest of a refused body before the response ends."""
        self.timer: asyncio.Timeout | None = None
        """Runs until the response starts."""
        self.received = 0
        self._tail = b""
        self.status: int | None = None
        """The status of the response, once it has started."""

    def check_length(self) -> None:
        """Refuse a body whose announced size is too large."""
        if self.content_length.isdecimal():
            size = int(self.content_length[:18])  # int refuses a number of thousands of digits
            if size > self.limit:
                self._refuse(size)

    async def receive(self) -> Message:
        """Receive the next part of the body."""
        message = await self._next()
        if self.received > self.limit:
            self._refuse(self.received)
        self._check_end(message)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response; before the last part, wait for the rest of the body."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.timer is not None and not self.timer.expired():
                self.timer.reschedule(None)
            headers = [*message["headers"], (b"x-request-id", self._id), *SECURITY_HEADERS]
            if not self.complete:
                headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
            return
        if not self._sends_body:
            message = {**message, "body": b""}
        if not message.get("more_body", False) and not self.complete and self.discard_rest:
            await self._send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while not self.complete:
                        await self._next()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        else:  # the client has disconnected
            self.complete = True
        return message

    def _check_end(self, message: Message) -> None:
        """Refuse an incomplete form: the parser would silently drop its last field."""
        if not self._headers.get("content-type", "").startswith("multipart/form-data"):
            return
        self._tail = (self._tail + message.get("body", b""))[-8:]
        if self.complete and self.received and not self._tail.rstrip().endswith(b"--"):
            raise ProblemError("malformed", "the form ends before its final boundary")

    def _refuse(self, size: int) -> None:
        detail = f"the request has at least {size:,} bytes; at most {self.limit:,} are allowed"
        raise ProblemError("too-large", detail)
