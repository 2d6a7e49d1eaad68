"""Checks that apply to every request, whatever its route: access, size, time, queue, log and metrics."""

import asyncio
import contextlib
from collections import Counter
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from artaffect.server.access import Access
from artaffect.server.problems import ProblemError, logged_problem
from artaffect.server.service import Service
from artaffect.server.telemetry import LOGGER

SLOW_BODY_SECONDS = 1.0
"""From when on a body that has not arrived counts as one that is still arriving."""
LINGER_SECONDS = 5.0
"""How long the rest of a refused upload is read and discarded, so that the client can read the problem."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'",
    ),
)


class RequestMiddleware:
    """ASGI middleware around the whole app. It refuses a request without reading its body.

    ``paths`` are logged and counted by name, all others as ``other``.
    """

    def __init__(
        self, app: ASGIApp, service: Service, access: Access, paths: frozenset[str]
    ) -> None:
        self.app, self.service, self.access, self.paths = app, service, access, paths
        self.bodies = BodyBudget(service.limits.peer_bodies, service.limits.held_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = perf_counter()
        scope["request_id"] = str(uuid4())
        exchange = _Exchange(scope, receive, send, self.service.limits.upload_bytes, self.bodies)
        try:
            await self._respond(scope, exchange)
        except asyncio.CancelledError:
            # only the server cancels a request, when it stops and its time for those in progress is over
            await self._give_up(scope, exchange)
        finally:
            exchange.close()
            self._record(scope, exchange.status, perf_counter() - started)

    async def _respond(self, scope: Scope, exchange: "_Exchange") -> None:
        try:
            await self._run_app(exchange.scope, exchange)
        except Exception as error:  # noqa: BLE001 - the client gets a response in any case
            problem = logged_problem(error, scope["request_id"])
            if exchange.status is None:
                response = problem.response(scope["request_id"])
                await response(scope, exchange.receive, exchange.send)

    async def _give_up(self, scope: Scope, exchange: "_Exchange") -> None:
        """Refuse a request that is not answered yet, without waiting for its client."""
        if exchange.status is not None:
            return
        exchange.discard_rest = False
        problem = ProblemError("busy", "the service is stopping", {"Retry-After": "1"})
        response = problem.response(scope["request_id"])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):  # over at once unless earlier responses are still unread
                await response(scope, exchange.receive, exchange.send)

    async def _run_app(self, scope: Scope, exchange: "_Exchange") -> None:
        self.access.check(scope)
        exchange.check_length()
        works = scope["method"] == "POST" and scope["path"].startswith("/v1/")
        # the slot is taken before the body is read, because waiting bodies take memory
        with self.service.queue.acquire(1) if works else contextlib.nullcontext():
            exchange.admit()
            try:
                async with asyncio.timeout(self.service.limits.timeout_seconds) as timer:
                    exchange.timer = timer
                    await self.app(scope, exchange.receive, exchange.send)
            except TimeoutError:
                if not timer.expired():
                    raise
                if exchange.abandoned:
                    return  # nobody reads a response
                exchange.discard_rest = exchange.complete
                if exchange.crowded is not None:
                    raise exchange.crowded from None
                name = "slow-answer" if exchange.complete else "slow-request"
                detail = f"the limit is {self.service.limits.timeout_seconds:g} seconds"
                raise ProblemError(name, detail) from None
            finally:
                exchange.timer = None  # a problem is sent after the clock has stopped

    def _record(self, scope: Scope, status: int | None, seconds: float) -> None:
        path = scope["path"] if scope["path"] in self.paths else "other"
        metrics = self.service.metrics
        metrics.requests.labels(path, str(status or "disconnected")).inc()
        metrics.request_duration.labels(path).observe(seconds)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        fields = {"id": scope["request_id"], "method": method, "path": path}
        fields |= {"status": status, "milliseconds": round(1000 * seconds, 1)}
        LOGGER.info("request", extra={"fields": fields})


class BodyBudget:
    """How many bodies each client may be sending, and how many bytes all bodies may take."""

    def __init__(self, of_one_peer: int, held_bytes: int) -> None:
        self.of_one_peer, self.held_bytes = of_one_peer, held_bytes
        self.arriving: Counter[str] = Counter()
        self.held = 0

    def begin(self, peer: str) -> None:
        """Count a body that is arriving.

        Raises:
            ProblemError: its sender sends too many already.
        """
        if self.arriving[peer] >= self.of_one_peer:
            detail = f"{self.of_one_peer} bodies from your address are still arriving"
            raise ProblemError("busy", detail, {"Retry-After": "1"})
        self.arriving[peer] += 1

    def end(self, peer: str) -> None:
        """Count a body that has arrived, or never will."""
        self.arriving[peer] -= 1
        if not self.arriving[peer]:
            del self.arriving[peer]

    def hold(self, size: int) -> None:
        """Count bytes that are held, or released if ``size`` is negative.

        Raises:
            ProblemError: no more can be held.
        """
        self.held += size
        if self.held > self.held_bytes and size > 0:
            detail = f"the bodies in the service have more than {self.held_bytes:,} bytes"
            raise ProblemError("busy", detail, {"Retry-After": "1"})


class _Exchange:
    """The body of one request as it arrives, and its response as it is sent."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, limit: int, bodies: BodyBudget
    ) -> None:
        self._receive, self._send, self.limit, self.bodies = receive, send, limit, bodies
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
        self.received = self._held = 0
        self._slow: asyncio.TimerHandle | None = None
        self.crowded: ProblemError | None = None
        """Why the rest of the body is not awaited: its sender sends too many slowly."""
        self._peer: str | None = None
        """Whose arriving body is counted."""
        self._watcher: asyncio.Task[None] | None = None
        self.abandoned = False
        """Whether the client has closed the connection before the response."""
        self.status: int | None = None
        """The status of the response, once it has started."""

    def check_length(self) -> None:
        """Refuse a body whose announced size is too large."""
        if self.content_length.isdecimal():
            size = int(self.content_length[:18])  # int refuses a number of thousands of digits
            if size > self.limit:
                self._refuse(size)

    def admit(self) -> None:
        """Count the body as one that is arriving, unless it arrives within a second."""
        if not self.complete:
            loop = asyncio.get_running_loop()
            self._slow = loop.call_later(SLOW_BODY_SECONDS, self._count)

    def _count(self) -> None:
        peer = str((self.scope.get("client") or ("",))[0])
        try:
            self.bodies.begin(peer)
            self._peer = peer
        except ProblemError as problem:
            self.crowded = problem
            if self.timer is not None and not self.timer.expired():
                self.timer.reschedule(asyncio.get_running_loop().time())

    def close(self) -> None:
        """Release what the body took."""
        self._arrived()
        self.bodies.hold(-self._held)
        if self._watcher is not None:
            self._watcher.cancel()

    def _arrived(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
        if self._peer is not None:
            self.bodies.end(self._peer)
            self._peer = None

    async def receive(self) -> Message:
        """Receive the next part of the body."""
        message = await self._next()
        if self.received > self.limit:
            self._refuse(self.received)
        size = len(message.get("body", b""))
        self._held += size
        self.bodies.hold(size)
        if self.complete and not self.abandoned and self._watcher is None and self.timer:
            self._watcher = asyncio.create_task(self._end_with_client())
        return message

    async def _end_with_client(self) -> None:
        """End the work for a client that closes the connection: nobody reads the response."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self.status is None and self.timer is not None and not self.timer.expired():
            self.abandoned = True
            self.timer.reschedule(asyncio.get_running_loop().time())

    async def send(self, message: Message) -> None:
        """Send a part of the response; before the last part, wait for the rest of the body."""
        if message["type"] == "http.response.start":
            self.status = None if self.abandoned else message["status"]
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
        else:
            self.complete = self.abandoned = True
        if self.complete:
            self._arrived()
        return message

    def _refuse(self, size: int) -> None:
        detail = f"the request has at least {size:,} bytes; at most {self.limit:,} are allowed"
        raise ProblemError("too-large", detail)
