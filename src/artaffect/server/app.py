"""The service as an ASGI app, and the process that serves it."""

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
from artaffect.server.logs import LOGGER, log_to_stderr
from artaffect.server.middleware import RequestMiddleware
from artaffect.server.problems import PROBLEMS, ProblemError, install
from artaffect.server.routes import plain, v1
from artaffect.server.schemas import problem_json
from artaffect.server.service import Service

_PAGE = Path(str(files("artaffect.server") / "page"))


def create_app(
    predictor: ModelPredictor, limits: ServiceLimits | None = None, key: str | None = None
) -> FastAPI:
    """The service for one model.

    Args:
        key: what callers of ``/v1`` must send as ``Authorization: Bearer KEY``; None: nothing.
    """
    service = Service(predictor, limits or ServiceLimits(), key)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.gatherer.running():
            yield
        service.close()

    app = FastAPI(
        title="artaffect",
        version=artaffect.__version__,
        summary="Which emotion an artwork evokes, and in whom.",
        lifespan=lifespan,
        docs_url=None,  # both pages of FastAPI's own load scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    install(app)
    locked: dict[str, Any] = {}
    if key is not None:
        answer = problem_json(ProblemError("key", "send a key").to_json())
        scheme = HTTPBearer(auto_error=False)  # the gate has checked it by then
        locked = {
            "dependencies": [Security(scheme)],
            "responses": {PROBLEMS["key"].status: answer},
        }
    app.include_router(v1, **locked)
    app.include_router(plain)
    app.add_api_route("/", _page, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE))
    app.add_middleware(
        RequestMiddleware, service=service, paths=frozenset([*app.openapi()["paths"], "/"])
    )
    return app


async def _page() -> Response:
    return FileResponse(_PAGE / "index.html", media_type="text/html")


def serve(app: FastAPI, host: str, port: int, stop_seconds: int = 10) -> None:
    """Serve until the process is told to stop; requests under way are answered first.

    Args:
        stop_seconds: how long they are waited for.
    """
    log_to_stderr()
    service: Service = app.state.service
    service.warm()
    LOGGER.info("serving", extra={"fields": {"address": f"http://{host}:{port}/"}})
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=stop_seconds,
    )
