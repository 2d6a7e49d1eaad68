"""The service as an ASGI app, and the process that runs it."""

import contextlib
import gc
import socket
import sys
from collections.abc import AsyncIterator
from functools import partial
from importlib.resources import files
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Security
from fastapi.responses import FileResponse
from fastapi.security import HTTPBearer
from starlette.staticfiles import StaticFiles

import artaffect
from artaffect.prediction.predictor import ModelPredictor
from artaffect.runtime import listen, say
from artaffect.server.access import Access
from artaffect.server.limits import ServiceLimits
from artaffect.server.middleware import RequestMiddleware
from artaffect.server.problems import add_problem_handlers, problem_responses
from artaffect.server.protocol import ACCEPTED_AT_ONCE, BoundedProtocol, file_budget
from artaffect.server.routes import unversioned, v1
from artaffect.server.service import Service
from artaffect.server.telemetry import LOGGER, log_to_stderr

_BACKLOG = 2048
"""Connections that may wait to be accepted."""
_PAGE = Path(str(files("artaffect.server") / "page"))


def create_app(
    predictor: ModelPredictor,
    limits: ServiceLimits | None = None,
    key: str | None = None,
    hosts: frozenset[str] | None = None,
    protect_metrics: bool = False,
) -> FastAPI:
    """Create the service.

    Args:
        key: if given, ``/v1`` requires ``Authorization: Bearer KEY``.
        hosts: the names by which clients may call it, from
            :func:`~artaffect.server.access.allowed_hosts`; None for any name, if another server
            checks it.
        protect_metrics: whether ``/metrics`` requires the key too.

    Raises:
        InputError: the key is empty, or no header can carry it.
    """
    access = Access(hosts, key, protect_metrics)
    service = Service(predictor, limits or ServiceLimits())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.batcher.running():
            yield
        service.close()

    app = FastAPI(
        title="artaffect",
        version=artaffect.__version__,
        summary="Predicts which emotions an artwork evokes, and in whom.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's own documentation pages load scripts from other sites
        redoc_url=None,
    )
    app.state.service, app.state.access = service, access
    add_problem_handlers(app)
    # the middleware checks the key; this documents it
    security = [] if key is None else [Security(HTTPBearer(auto_error=False))]
    refusals = problem_responses("foreign-page", "host")
    responses = refusals if key is None else refusals | problem_responses("key")
    app.include_router(v1, dependencies=security, responses=responses)
    app.include_router(unversioned, responses=refusals)
    app.add_api_route("/", lambda: FileResponse(_PAGE / "index.html"), include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE, packages=[("artaffect.reports", "assets")]))
    description = app.openapi()
    description["components"]["schemas"]["Emotion"]["enum"] = list(predictor.labels)
    paths = frozenset([*description["paths"], "/"])
    app.add_middleware(RequestMiddleware, service=service, access=access, paths=paths)
    return app


class _Server(uvicorn.Server):
    """Says where it listens once it does: in words on a terminal, otherwise as a line of the log."""

    def __init__(self, config: uvicorn.Config, address: str, hosts: str | None) -> None:
        super().__init__(config)
        self.address, self.hosts = address, hosts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        for listener in sockets or ():
            listener.listen(_BACKLOG)  # asyncio sets it to the number that it accepts at once
        if not sys.stderr.isatty():
            LOGGER.info("serving", extra={"fields": {"address": self.address}})
        else:
            say(f"serving at {self.address} (Ctrl+C stops the service)")
        if self.hosts is not None:
            line = f"only requests to {self.hosts} are answered; add a name with --allow-host NAME"
            say(line) if sys.stderr.isatty() else LOGGER.info(line)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until the process is told to stop, then wait for the requests in progress.

    Args:
        port: 0 for any free port.

    Raises:
        InputError: the address cannot be listened on.
    """
    log_to_stderr()
    app.state.service.warm_up()
    # what is loaded stays: a full collection that visits it holds up the event loop for 200 ms
    gc.collect()
    gc.freeze()
    limits: ServiceLimits = app.state.service.limits
    config = uvicorn.Config(
        app,
        # the limits of a connection are checked with h11 and asyncio, whatever is installed beside them
        http=partial(BoundedProtocol, limits=limits, files=file_budget()),  # type: ignore[arg-type]
        loop="asyncio",
        ws="none",
        backlog=ACCEPTED_AT_ONCE,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=8,  # seconds
    )
    with listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/"
        hosts = app.state.access.hosts
        everywhere = host in ("0.0.0.0", "::") and hosts is not None
        _Server(config, address, ", ".join(sorted(hosts)) if everywhere else None).run([listener])
