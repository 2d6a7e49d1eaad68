"""Many requests, one model: artworks that come at the same time are answered together."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TypeVar

from artaffect.prediction.predictor import Prediction, PreparedInput
from artaffect.server.problems import ProblemError

T = TypeVar("T")
Answer = Callable[[Sequence[PreparedInput]], list[Prediction]]
Waiting = tuple[PreparedInput, "asyncio.Future[Prediction]"]


class ConcurrencyLimiter:
    """So many may be inside at once; the next is told to come again."""

    def __init__(self, most: int, taken: Callable[[int], object] = lambda _: None) -> None:
        """Make room.

        Args:
            taken: told of every change.
        """
        self.most, self.taken, self._told = most, 0, taken

    @contextlib.contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Keep places while the block runs.

        Raises:
            ProblemError: so many are not free.
        """
        if self.taken + count > self.most:
            raise ProblemError(
                "busy",
                f"{self.taken} of {self.most} places are taken: try again in a second",
                {"Retry-After": "1"},
            )
        self._change(count)
        try:
            yield
        finally:
            self._change(-count)

    def _change(self, count: int) -> None:
        self.taken += count
        self._told(self.taken)


class DynamicBatcher:
    """Hands artworks to the model, several at a time, in one thread.

    A batch goes as soon as it is full or nobody else is on his way, at the latest ``wait`` seconds after
    its first artwork came. While the model computes, the next batch gathers.
    """

    def __init__(
        self,
        answer: Answer,
        batch: int,
        wait: float,
        observe: Callable[[int, float], None] = lambda count, seconds: None,
    ) -> None:
        """Make one; it works while :meth:`running` is entered.

        Args:
            answer: runs in the model's thread.
            wait: in seconds.
            observe: told of each batch's artworks and of the seconds it took.
        """
        self.answer, self.batch, self.wait, self.observe = answer, batch, wait, observe
        self.coming = 0
        self._queue: deque[Waiting] = deque()
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "model")
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether it takes questions."""
        return self._task is not None and not self._task.done()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work for as long as the block runs."""
        self._task = asyncio.create_task(self._work())
        try:
            yield
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._thread.shutdown(wait=True, cancel_futures=True)

    @contextlib.contextmanager
    def expecting(self, count: int) -> Iterator[None]:
        """Say that so many artworks are being prepared, and worth a short wait."""
        self.coming += count
        try:
            yield
        finally:
            self.coming -= count
            self._changed.set()

    async def ask(self, inputs: Sequence[PreparedInput]) -> list[Prediction]:
        """The answers, in order."""
        loop = asyncio.get_running_loop()
        waiting: list[Waiting] = [(item, loop.create_future()) for item in inputs]
        self._queue.extend(waiting)
        self._changed.set()
        return list(await asyncio.gather(*(future for _, future in waiting)))

    async def alone(self, work: Callable[[], T]) -> T:
        """Run something else in the model's thread, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _work(self) -> None:
        while True:
            batch = await self._next()
            started = perf_counter()
            try:
                answers = await self.alone(lambda batch=batch: self.answer([i for i, _ in batch]))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whoever asked is told, the next is served
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            self.observe(len(batch), perf_counter() - started)
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _next(self) -> list[Waiting]:
        found: list[Waiting] = []
        loop = asyncio.get_running_loop()
        until = float("inf")
        while True:
            while self._queue and len(found) < self.batch:
                item = self._queue.popleft()
                if not item[1].done():  # whoever asked may have left
                    found.append(item)
            if found and until == float("inf"):
                until = loop.time() + self.wait
            if len(found) >= self.batch or (found and not (self.coming and loop.time() < until)):
                return found
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until if found else None):
                    await self._changed.wait()
