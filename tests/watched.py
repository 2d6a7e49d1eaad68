"""The service in a process that writes down how long its event loop was held up.

python -m tests.watched RUN LOG
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI

from artaffect.prediction.predictor import load_predictor
from artaffect.server.access import allowed_hosts
from artaffect.server.app import create_app, serve

PAUSE, NOTED = 0.005, 0.01
"""Seconds between two looks at the clock, and of the shortest delay that is written down."""


async def watch(log: Path) -> None:
    """Write every delay of a task that only sleeps: milliseconds, one a line.

    A delay counts as far as this process used the processor meanwhile: other programs run here too.
    """
    with log.open("w", buffering=1) as out:
        while True:
            started, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(PAUSE)
            late = time.perf_counter() - started - PAUSE
            late = min(late, time.process_time() - used)
            if late > NOTED:
                out.write(f"{1000 * late:.1f}\n")


def main() -> None:
    run, log = sys.argv[1:3]
    app = create_app(load_predictor(run), hosts=allowed_hosts("127.0.0.1", ()))
    lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def watched(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            task = asyncio.create_task(watch(Path(log)))
            yield
            task.cancel()

    app.router.lifespan_context = watched
    serve(app, "127.0.0.1", 0)


if __name__ == "__main__":
    main()
