"""The service as an ASGI app, and the process that runs it."""

import contextlib
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Security
from fastapi.responses import FileResponse, Response
from fastapi.security import HTTPBearer
from starlette.staticfiles import StaticFiles

import artaffect
from artaffect.prediction.predictor import ModelPredictor
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
    """Create the service for one model.

    Args:
        key: what clients of ``/v1`` must send as ``Authorization: Bearer KEY``; None for no key.
    """
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
    protection: dict[str, Any] = {}
    if key is not None:  # the middleware checks the key; this documents it
        protection = {
            "dependencies": [Security(HTTPBearer(auto_error=False))],
            "responses": problem_responses("key"),
        }
    app.include_router(v1, **protection)
    app.include_router(unversioned)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE))
    app.add_middleware(
        RequestMiddleware, service=service, paths=frozenset([*app.openapi()["paths"], "/"])
    )
    return app


async def _page() -> Response:
    return FileResponse(_PAGE / "index.html", media_type="text/html")


def serve(app: FastAPI, host: str, port: int, shutdown_seconds: int = 10) -> None:
    """Serve until the process is told to stop; requests in progress are completed first.

    Args:
        shutdown_seconds: how long to wait for them.
    """
    log_to_stderr()
    service: Service = app.state.service
    service.warm_up()
    LOGGER.info("serving", extra={"fields": {"address": f"http://{host}:{port}/"}})
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=shutdown_seconds,
    )
