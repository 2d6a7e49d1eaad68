"""Limits of a connection: its number, and the time for the head of a request and for its response."""

import asyncio
import os
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from artaffect.server.limits import ServiceLimits
from artaffect.server.middleware import SECURITY_HEADERS
from artaffect.server.problems import ProblemError

try:
    import resource
except ImportError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]

ACCEPTED_AT_ONCE = 32
"""Connections that are accepted before the loop turns to others."""
_CHUNKS, _CHUNK_BYTES = 1_000, 256


class _Connection(h11.Connection):
    """Refuses a body in tiny chunks, which take longer to parse than to receive."""

    chunks = size = 0

    def next_event(self) -> Any:
        """As h11 does."""
        event = super().next_event()
        if isinstance(event, h11.Data):
            self.size += len(event.data)
            self.chunks += event.chunk_start
            if self.chunks > _CHUNKS + self.size // _CHUNK_BYTES:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        elif isinstance(event, h11.Request):
            self.chunks = self.size = 0
        return event


class BoundedProtocol(H11Protocol):
    """Ends a connection that sends no head, or reads no response, in time."""

    def __init__(self, *arguments: Any, limits: ServiceLimits, files: int, **options: Any) -> None:
        """Create the protocol of one connection.

        Args:
            files: how many connections the process may hold open files for.
        """
        super().__init__(*arguments, **options)
        size = self.config.h11_max_incomplete_event_size
        self.conn = _Connection(h11.SERVER, *([] if size is None else [size]))
        self.limits, self.most = limits, min(limits.connections, files)
        self.idle_since = self.loop.time()
        self._head_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None

    @property
    def waits_for_head(self) -> bool:
        """Whether no request is in progress."""
        return self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock; make room if there are too many connections."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # reports any byte that is not sent yet
        self._watch_head()
        if len(self.connections) <= self.most:
            return
        idle = (c for c in self.connections if isinstance(c, BoundedProtocol) and c.waits_for_head)
        oldest = min(idle, key=lambda connection: connection.idle_since)
        if oldest is not self:
            oldest.transport.abort()
            self.connections.discard(oldest)  # its end is noticed in the next round of the loop
        else:
            self._end_with(ProblemError("busy", "too many connections are open"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        super().connection_lost(exc)
        for timer in (self._head_timer, self._send_timer):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what arrives; a head that is not complete keeps its clock."""
        self.idle_since = self.loop.time()
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        """Called when the client does not read as fast as the service writes."""
        super().pause_writing()
        if self._send_timer is None:
            seconds = self.limits.send_seconds
            self._send_timer = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Called when everything has been sent."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def send_400_response(self, msg: str) -> None:
        """Respond to what is not HTTP with a problem."""
        self._end_with(ProblemError("malformed", "this is not a request in HTTP/1.1"))

    def _watch_head(self) -> None:
        if not self.waits_for_head:
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(self.limits.head_seconds, self._end_head)

    def _end_head(self) -> None:
        limit = f"the limit for the head of a request is {self.limits.head_seconds:g} seconds"
        self._end_with(ProblemError("slow-request", limit))

    def _end_with(self, problem: ProblemError) -> None:
        """Send a problem and close the connection, or abort it if a response has begun."""
        if self.transport.is_closing():
            return
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        response = problem.response(None)
        headers = [*response.raw_headers, *SECURITY_HEADERS, (b"connection", b"close")]
        head = h11.Response(status_code=response.status_code, headers=headers)
        for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def file_budget() -> int:
    """How many connections may be open, each with a file for its upload, before files run out."""
    if resource is None:
        return 2**16
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        wanted = 2**16 if hard == resource.RLIM_INFINITY else min(hard, 2**16)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        soft = max(soft, wanted)
    in_use = len(os.listdir("/dev/fd")) if os.path.isdir("/dev/fd") else 64
    return max(8, (soft - in_use - 2 * ACCEPTED_AT_ONCE) // 2)
