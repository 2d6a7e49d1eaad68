"""The service as an ASGI app, and the process that runs it."""

import contextlib
import socket
import sys
from collections.abc import AsyncIterator
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
from artaffect.server.limits import ServiceLimits
from artaffect.server.middleware import RequestMiddleware
from artaffect.server.problems import add_problem_handlers, problem_responses
from artaffect.server.routes import unversioned, v1
from artaffect.server.service import Service
from artaffect.server.telemetry import LOGGER, log_to_stderr

_PAGE = Path(str(files("artaffect.server") / "page"))


def create_app(
    predictor: ModelPredictor, limits: ServiceLimits | None = None, key: str | None = None
) -> FastAPI:
    """Create the service; with a ``key``, ``/v1`` requires ``Authorization: Bearer KEY``."""
    service = Service(predictor, limits or ServiceLimits(), key)

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
    app.state.service = service
    add_problem_handlers(app)
    # the middleware checks the key; this documents it
    security = [] if key is None else [Security(HTTPBearer(auto_error=False))]
    responses = {} if key is None else problem_responses("key")
    app.include_router(v1, dependencies=security, responses=responses)
    app.include_router(unversioned)
    app.add_api_route("/", lambda: FileResponse(_PAGE / "index.html"), include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE))
    app.add_middleware(
        RequestMiddleware, service=service, paths=frozenset([*app.openapi()["paths"], "/"])
    )
    return app


class _Server(uvicorn.Server):
    """Says where it listens once it does: in words on a terminal, otherwise as a line of the log."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self.address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        if sys.stderr.isatty():
            say(f"serving at {self.address} (Ctrl+C stops the service)")
        else:
            LOGGER.info("serving", extra={"fields": {"address": self.address}})


def serve(app: FastAPI, host: str, port: int) -> None:
    """Serve until the process is told to stop, then wait for the requests in progress.

    Args:
        port: 0 for any free port.

    Raises:
        InputError: the address cannot be listened on.
    """
    log_to_stderr()
    app.state.service.warm_up()
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=8,  # seconds
    )
    with listen(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/"
        _Server(config, address).run([listener])
