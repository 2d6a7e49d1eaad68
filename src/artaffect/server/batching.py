"""Dynamic batching: artworks that arrive at the same time go through the model together."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import CancelledError as Cancelled
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any, TypeVar

from artaffect.prediction.predictor import Prediction, PreparedInput
from artaffect.server.problems import ProblemError

T = TypeVar("T")
PredictBatch = Callable[[Sequence[PreparedInput]], list[Prediction]]
QueuedInput = tuple[PreparedInput, "asyncio.Future[Prediction | Exception]"]


async def run_in(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a thread of a pool; whatever it raises arrives as an ``Exception``."""

    def call() -> T:
        try:
            return work(*arguments)
        except BaseException as error:
            # asyncio takes these for the end of a loop, of a task or of the process
            if isinstance(error, Exception) and not isinstance(error, StopIteration | Cancelled):
                raise
            raise RuntimeError(f"the work ended with {type(error).__name__}") from error

    return await asyncio.get_running_loop().run_in_executor(pool, call)


class ConcurrencyLimiter:
    """Limits how many artworks are in the service at once; more are refused."""

    def __init__(self, limit: int, on_change: Callable[[int], object] = lambda _: None) -> None:
        """Create a limiter that passes every new count to ``on_change``."""
        self.limit, self.active, self._on_change = limit, 0, on_change

    @contextlib.contextmanager
    def acquire(self, count: int) -> Iterator[None]:
        """Occupy ``count`` slots while the block runs.

        Raises:
            ProblemError: fewer slots are free.
        """
        if self.active + count > self.limit:
            detail = f"{self.active} of {self.limit} slots are in use; try again in a second"
            raise ProblemError("busy", detail, {"Retry-After": "1"})
        self._change(count)
        try:
            yield
        finally:
            self._change(-count)

    def _change(self, count: int) -> None:
        self.active += count
        self._on_change(self.active)


class DynamicBatcher:
    """Passes queued artworks to the model in batches, in a thread of its own.

    A batch starts when it is full, when no other artwork is on its way, or ``wait_seconds`` after its
    first artwork arrived, whichever comes first. While the model computes, the next batch fills up.
    """

    def __init__(
        self,
        predict_batch: PredictBatch,
        batch_size: int,
        wait_seconds: float,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        """Create a batcher; it processes its queue inside :meth:`running`.

        Args:
            on_batch: called after each batch with its size and its duration in seconds.
        """
        self.predict_batch, self.on_batch = predict_batch, on_batch
        self.batch_size, self.wait_seconds = batch_size, wait_seconds
        self.arriving = 0
        self._queue: deque[QueuedInput] = deque()
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the queue is being processed."""
        return self._task is not None and not self._task.done()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Process the queue while the block runs."""
        self._task = asyncio.create_task(self._process_queue())
        try:
            yield
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._thread.shutdown(wait=True, cancel_futures=True)

    @contextlib.contextmanager
    def expecting(self, count: int) -> Iterator[None]:
        """Announce artworks that are being prepared, so that a batch waits for them briefly."""
        self.arriving += count
        try:
            yield
        finally:
            self.arriving -= count
            self._changed.set()

    async def predict(self, inputs: Sequence[PreparedInput]) -> list[Prediction | Exception]:
        """Queue the inputs and wait for their predictions, or what each failed with, in order."""
        loop = asyncio.get_running_loop()
        queued: list[QueuedInput] = [(item, loop.create_future()) for item in inputs]
        self._queue.extend(queued)
        self._changed.set()
        return list(await asyncio.gather(*(future for _, future in queued)))

    def run_at_once(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the model's thread before the service runs, and wait for it."""
        return self._thread.submit(work, *arguments).result()

    async def run_exclusively(self, work: Callable[..., T], *arguments: Any) -> T:
        """Call a function in the model's thread, between two batches."""
        return await run_in(self._thread, work, *arguments)

    async def _process_queue(self) -> None:
        while True:
            batch = await self._next_batch()
            started = perf_counter()
            results = await self._predict([item for item, _ in batch])
            self.on_batch(len(batch), perf_counter() - started)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)

    async def _predict(self, inputs: Sequence[PreparedInput]) -> list[Prediction | Exception]:
        """The predictions for a batch; if it fails, each input is tried alone, so that only one fails."""
        try:
            predictions = await self.run_exclusively(self.predict_batch, inputs)
            if len(predictions) != len(inputs):
                raise RuntimeError(f"{len(predictions)} predictions for {len(inputs)} inputs")
        except Exception as error:  # noqa: BLE001 - these requests fail, the next ones do not
            if len(inputs) == 1:
                return [error]
            return [result for item in inputs for result in await self._predict([item])]
        return list(predictions)

    async def _next_batch(self) -> list[QueuedInput]:
        batch: list[QueuedInput] = []
        loop = asyncio.get_running_loop()
        deadline = float("inf")
        while True:
            while self._queue and len(batch) < self.batch_size:
                item = self._queue.popleft()
                if not item[1].done():  # skip requests whose client has disconnected
                    batch.append(item)
            if batch and deadline == float("inf"):
                deadline = loop.time() + self.wait_seconds
            waiting = self.arriving > 0 and loop.time() < deadline
            if len(batch) >= self.batch_size or (batch and not waiting):
                return batch
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline if batch else None):
                    await self._changed.wait()
