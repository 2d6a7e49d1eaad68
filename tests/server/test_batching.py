"""Requests that arrive together form a batch, explanations let predictions pass, and slots are released."""

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from artaffect.errors import InputError
from artaffect.explain.explainer import Explanation
from artaffect.prediction.predictor import (
    Prediction,
    PredictionInput,
    PreparedInput,
    load_predictor,
)
from artaffect.server.app import create_app
from artaffect.server.batching import ConcurrencyLimiter, DynamicBatcher
from artaffect.server.problems import ProblemError
from artaffect.server.service import InputReader


def prepared(number: int) -> PreparedInput:
    return PreparedInput(None, [number], ("any",), None)


def test_requests_that_arrive_together_form_a_batch() -> None:
    batches: list[list[int]] = []

    def predict_batch(inputs: object) -> list[Prediction]:
        items: list[PreparedInput] = list(inputs)  # type: ignore[call-overload]
        batches.append([item.tokens[0] for item in items])  # type: ignore[index]
        if 13 in batches[-1]:
            raise InputError("unlucky")
        return [Prediction((item.tokens[0],)) for item in items]  # type: ignore[index,arg-type]

    async def run() -> None:
        batcher = DynamicBatcher(predict_batch, batch_size=4, wait_seconds=120.0)
        async with batcher.running():
            with batcher.expecting(1):
                tasks = [asyncio.create_task(batcher.predict([prepared(i)])) for i in range(6)]
                async with asyncio.timeout(60):
                    while not batches:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.05)
                assert batches == [[0, 1, 2, 3]]  # full; the rest waits for what is arriving
            results = await asyncio.gather(*tasks)
            assert [p.by_culture[0] for (p,) in results if isinstance(p, Prediction)] == list(
                range(6)
            )
            assert batches == [[0, 1, 2, 3], [4, 5]]
            (error,) = await batcher.predict([prepared(13)])
            assert isinstance(error, InputError) and str(error) == "unlucky"
            first, error, last = await batcher.predict([prepared(i) for i in (9, 13, 10)])
            assert (first, last) == (Prediction((9,)), Prediction((10,)))  # type: ignore[arg-type]
            assert isinstance(error, InputError), "one input that fails does not end its batch"
            cancelled = asyncio.create_task(batcher.predict([prepared(7)]))
            with batcher.expecting(1):
                await asyncio.sleep(0)
                cancelled.cancel()
            await batcher.predict([prepared(8)])
            assert batches[-1] == [8], "cancelled requests are not computed"

    asyncio.run(run())


def test_a_prediction_does_not_wait_for_all_explanations(tiny_run: Path) -> None:
    app = create_app(load_predictor(tiny_run))
    service = app.state.service
    order: list[str] = []
    explaining, batch_waits = threading.Event(), threading.Event()
    run_exclusively, predict_batch = service.batcher.run_exclusively, service.batcher.predict_batch

    class Slow:
        """An explainer that records its inputs, and is not done before a prediction waits for it."""

        def explain(self, item: PredictionInput, *_: object) -> Explanation:
            explaining.set()
            assert batch_waits.wait(60)
            order.append(f"explained {item.cultures}")
            return Explanation([])

    def answer(inputs: Sequence[PreparedInput]) -> list[Prediction]:
        order.append("predicted")
        return predict_batch(inputs)

    async def run_next(work: object, *arguments: object) -> object:
        if work is answer:
            batch_waits.set()
        return await run_exclusively(work, *arguments)

    service.explainer = Slow()
    service.batcher.predict_batch, service.batcher.run_exclusively = answer, run_next

    async def run() -> None:
        async with service.batcher.running():
            item = PredictionInput(caption="waves", cultures=["arabic", "chinese", "english"])
            slow = [
                asyncio.create_task(service.explain(InputReader(lambda: item))) for _ in range(3)
            ]
            assert await asyncio.to_thread(explaining.wait, 60)
            await service.predict(InputReader(lambda: PredictionInput(caption="a black sky")))
            await asyncio.gather(*slow)

    asyncio.run(run())
    service.close()
    assert len(order) == 10 and order.index("predicted") == 1, order


def test_slots_are_released_after_an_error() -> None:
    counts: list[int] = []
    limiter = ConcurrencyLimiter(2, counts.append)
    with pytest.raises(ZeroDivisionError, match="division"), limiter.acquire(2):
        with pytest.raises(ProblemError, match="2 of 2 slots"), limiter.acquire(1):
            pass
        raise ZeroDivisionError("division")
    with limiter.acquire(1):
        assert counts == [2, 0, 1]
    assert limiter.active == 0
