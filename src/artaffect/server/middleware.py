"""What every request passes before it reaches a route: its key, its size, its time, its line in the log."""

import asyncio
import contextlib
import hmac
from collections.abc import Iterator
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artaffect.server.logs import LOGGER
from artaffect.server.problems import ProblemError, problem_of
from artaffect.server.service import Service

LINGER_SECONDS = 5.0
"""How long the rest of a refused upload is thrown away, so that its sender gets to read why."""

SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'",
    ),
)


class RequestMiddleware:
    """ASGI middleware around the whole app. It reads nothing that it refuses."""

    def __init__(self, app: ASGIApp, service: Service, paths: frozenset[str]) -> None:
        """Stand before an app.

        Args:
            paths: what is counted and logged under its own name; anything else is ``other``.
        """
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
            await self._pass(scope, exchange)
        except Exception as error:  # noqa: BLE001 - whatever happened, the asker is told
            problem = problem_of(error)
            if problem.name == "internal":
                LOGGER.error(
                    "failed", exc_info=error, extra={"fields": {"id": scope["request_id"]}}
                )
            if exchange.status is None:
                answer = problem.response(scope["request_id"])
                await answer(scope, exchange.receive, exchange.send)
        finally:
            self._note(scope, exchange.status, perf_counter() - started)

    async def _pass(self, scope: Scope, exchange: "_Exchange") -> None:
        self._check_key(scope)
        exchange.check_length()
        with self._place(scope):
            try:
                async with asyncio.timeout(self.service.limits.seconds) as clock:
                    exchange.clock = clock
                    await self.app(scope, exchange.receive, exchange.send)
            except TimeoutError:
                if not clock.expired():
                    raise
                exchange.hurried = not exchange.arrived
                name = "slow-answer" if exchange.arrived else "slow-request"
                limit = f"{self.service.limits.seconds:g} seconds are allowed"
                raise ProblemError(name, limit) from None

    def _check_key(self, scope: Scope) -> None:
        if self.service.key is None or not scope["path"].startswith("/v1/"):
            return
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, b"Bearer " + self.service.key.encode()):
            detail = "send the header Authorization: Bearer KEY with the key of this service"
            raise ProblemError("key", detail, {"WWW-Authenticate": "Bearer"})

    @contextlib.contextmanager
    def _place(self, scope: Scope) -> Iterator[None]:
        """Take a place before a prediction's body is read: what waits is in memory."""
        if scope["method"] == "POST" and scope["path"].startswith("/v1/predict"):
            with self.service.places.hold(1):
                yield
        else:
            yield

    def _note(self, scope: Scope, status: int | None, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        metrics = self.service.metrics
        metrics.requests.labels(path, str(status or "gone")).inc()
        metrics.seconds.labels(path).observe(seconds)
        fields = {
            "id": scope["request_id"],
            "method": scope["method"],
            "path": path,
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
        }
        LOGGER.info("request", extra={"fields": fields})


class _Exchange:
    """One request's body as it comes, and its answer as it goes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, most: int) -> None:
        self._receive, self._send, self.most = receive, send, most
        self._headers = Headers(scope=scope)
        self._id = scope["request_id"].encode()
        self.announced = self._headers.get("content-length", "0")
        self.arrived = self.announced == "0" and "transfer-encoding" not in self._headers
        """Whether all of the body is here."""
        self.hurried = "expect" in self._headers
        """Whether nobody has to be waited for when a request is refused."""
        self.clock: asyncio.Timeout | None = None
        """Runs until the answer begins."""
        self.received = 0
        self._tail = b""
        self.status: int | None = None
        """Of the answer, once it has begun."""

    def check_length(self) -> None:
        """Refuse what says that it is too large."""
        if self.announced.isdecimal() and int(self.announced) > self.most:
            self._refuse(int(self.announced))

    async def receive(self) -> Message:
        """The next part of the body."""
        message = await self._next()
        if self.received > self.most:
            self._refuse(self.received)
        self._check_end(message)
        return message

    async def send(self, message: Message) -> None:
        """A part of the answer, the last one only when the body has come, or was waited for."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.clock is not None and not self.clock.expired():
                self.clock.reschedule(None)
            headers = [*message["headers"], (b"x-request-id", self._id), *SECURITY_HEADERS]
            if not self.arrived:
                headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
            return
        if not message.get("more_body", False) and not self.arrived and not self.hurried:
            await self._send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    while not self.arrived:
                        await self._next()
            message = {"type": "http.response.body"}
        await self._send(message)

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self.arrived = not message.get("more_body", False)
        else:  # the other side has left
            self.arrived = True
        return message

    def _check_end(self, message: Message) -> None:
        """Refuse a form that stops in the middle: its parser would drop the last field unseen."""
        if not self._headers.get("content-type", "").startswith("multipart/form-data"):
            return
        self._tail = (self._tail + message.get("body", b""))[-8:]
        if self.arrived and self.received and not self._tail.rstrip().endswith(b"--"):
            raise ProblemError("malformed", "the form ends before its last boundary")

    def _refuse(self, size: int) -> None:
        raise ProblemError(
            "too-large", f"{size:,} bytes or more were sent, {self.most:,} are allowed"
        )
