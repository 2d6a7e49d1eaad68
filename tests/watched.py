"""The service in a process that writes down how long its event loop was held up.

python -m tests.watched RUN LOG
"""

import asyncio
import contextlib
import gc
import signal
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


_SCHEDULE = Path("/proc/thread-self/schedstat")


def waited_for_a_core() -> float:
    """Seconds for which this thread could have run but others did; 0 where the system does not say."""
    return int(_SCHEDULE.read_text().split()[1]) / 1e9 if _SCHEDULE.exists() else 0.0


async def watch(log: Path) -> None:
    """Write every delay of a task that only sleeps, one a line, in milliseconds.

    A delay counts as far as this process used the processor meanwhile, and without the time in which
    the loop waited for a core: other programs run here too. After it stands how long the loop itself
    computed; the rest is waiting for the interpreter, which other threads held.
    """
    with log.open("w", buffering=1) as out:
        while True:
            started, used, own = time.perf_counter(), time.process_time(), time.thread_time()
            waited = waited_for_a_core()
            await asyncio.sleep(PAUSE)
            late = time.perf_counter() - started - PAUSE
            if late > NOTED:
                late -= waited_for_a_core() - waited
                late = min(late, time.process_time() - used)
                out.write(f"{1000 * late:.1f} {1000 * (time.thread_time() - own):.1f}\n")


def main() -> None:
    run, log = sys.argv[1:3]
    app = create_app(load_predictor(run), hosts=allowed_hosts("127.0.0.1", ()))
    lifespan = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def watched(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            task = asyncio.create_task(watch(Path(log)))
            if sys.platform != "win32":  # lets a test choose when all garbage is collected
                asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, gc.collect)
            yield
            task.cancel()

    app.router.lifespan_context = watched
    serve(app, "127.0.0.1", 0)


if __name__ == "__main__":
    main()
