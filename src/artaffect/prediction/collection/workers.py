"""The workers of a collection: processes on this machine, or on a Ray cluster, with the same code."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from artaffect.errors import ArtAffectError, InputError, ResourceError
from artaffect.metrics.distances import mean_divergence
from artaffect.prediction.collection.answers import DIRECTION, prediction_schema
from artaffect.prediction.collection.items import readable
from artaffect.prediction.collection.plan import Plan, Skipped
from artaffect.prediction.collection.records import ITEMS
from artaffect.prediction.predictor import BATCH, ModelPredictor, load_predictor
from artaffect.prediction.types import Prediction, PredictionInput, PreparedInput, attempt
from artaffect.runtime import keep_freed_memory

Row = dict[str, Any]
Prepared = list[PreparedInput | ArtAffectError]


@dataclass(frozen=True)
class Request:
    """What is predicted for each item."""

    cultures: tuple[str, ...]
    sets: float | None = None
    """The level of prediction sets; None for none."""


class ShardWorker:
    """Predicts shards of a plan, one after the other."""

    def __init__(self, run: Path, plan: Plan, request: Request, threads: int) -> None:
        """Load the model; it computes with the given number of threads."""
        keep_freed_memory()
        self.predictor: ModelPredictor = load_predictor(run)
        self.predictor.limit_threads(threads)
        self.plan, self.request, self.threads = plan, request, threads

    def __call__(self, row: Row) -> Row:
        """Predict the shard ``row["shard"]``, and return its number of ``items``."""
        shard = int(row["shard"])
        inputs = self.plan.inputs_digest(shard)
        items = self.plan.items(shard).select(ITEMS.names).to_pylist()
        rows: list[Row] = []
        skipped: list[Skipped] = []
        for batch, prepared in self._prepare_ahead(items):
            results = self.predictor.answer_each(prepared)
            for item, given, result in zip(batch, prepared, results, strict=True):
                if isinstance(result, Prediction) and isinstance(given, PreparedInput):
                    missing = self.predictor.description.missing(given)
                    rows += _as_rows(item["id"], result, missing)
                else:
                    image = readable(item["image"] or b"")
                    skipped.append((item["id"], image, readable(str(result))))
        predictions = pa.Table.from_pylist(rows, prediction_schema(self.plan.labels))
        self.plan.save(shard, predictions, skipped, inputs)
        return {"items": len(items)}

    def _prepare_ahead(self, items: Sequence[Row]) -> Iterator[tuple[Sequence[Row], Prepared]]:
        """Batches with their prepared inputs; threads prepare the next batches meanwhile."""
        batches = deque(items[start : start + BATCH] for start in range(0, len(items), BATCH))
        pending: deque[tuple[Sequence[Row], Future[Prepared]]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            while batches or pending:
                while batches and len(pending) <= self.threads:
                    batch = batches.popleft()
                    pending.append((batch, pool.submit(self._prepare, batch)))
                batch, prepared = pending.popleft()
                yield batch, prepared.result()

    def _prepare(self, batch: Sequence[Row]) -> Prepared:
        return self.predictor.prepare_each([attempt(self._input, item) for item in batch])

    def _input(self, item: Row) -> PredictionInput:
        if item["fault"] is not None:
            raise InputError(f"the row cannot be read: {item['fault']}")
        image = None if item["image"] is None else os.fsdecode(item["image"])
        return PredictionInput(
            image, item["caption"], item["language"], self.request.cultures, self.request.sets
        )


def _as_rows(name: str, prediction: Prediction, missing: Sequence[str]) -> list[Row]:
    """One row of :func:`prediction_schema` for each culture of an item."""
    values = np.array([item.distribution.values for item in prediction])
    direction = prediction.image_direction
    about_item = {
        "id": name,
        "divergence_bits": mean_divergence(values),
        "similarity": prediction.similarity,
        "missing": ", ".join(missing) or None,
        DIRECTION: None if direction is None else direction.astype("<f2").tobytes(),
    }
    return [
        {
            **about_item,
            "culture": item.culture,
            "top": str(item.top),
            "probability": item.probabilities[item.top],
            **{str(label): value for label, value in item.probabilities.items()},
            "entropy_bits": item.entropy,
            "image_share": item.modality_shares["image"],
            "caption_share": item.modality_shares["caption"],
            "note": item.note,
            "prediction_set": item.prediction_set and item.prediction_set.labels,
        }
        for item in prediction
    ]


class _LocalProcess:
    """The one worker of a process."""

    worker: ClassVar[ShardWorker]

    @classmethod
    def start(cls, stop: Connection, *arguments: Any) -> None:
        threading.Thread(target=cls._exit_with_parent, args=[stop], daemon=True).start()
        cls.worker = ShardWorker(*arguments)

    @classmethod
    def work(cls, row: Row) -> Row:
        return cls.worker(row)

    @staticmethod
    def _exit_with_parent(stop: Connection) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            wait([parent.sentinel, stop])
            os._exit(1)  # the parent was killed, or does not wait for the work in progress


def work_locally(
    shards: Sequence[int], run: Path, plan: Plan, request: Request, workers: int
) -> Iterator[Row]:
    """Predict shards in processes on this machine, and yield each when it is done."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    context = multiprocessing.get_context("spawn")
    stop, stopping = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(
        workers, context, _LocalProcess.start, (stop, run, plan, request, threads)
    )
    try:
        with _without_main_module(), _ignoring_interrupts():
            jobs = [pool.submit(_LocalProcess.work, {"shard": i}) for i in shards]
        for job in as_completed(jobs):
            yield job.result()
    except BrokenProcessPool:
        raise ResourceError(
            "a worker process died, most likely from lack of memory: run the command again with fewer "
            f"than {workers} --workers; finished work is kept"
        ) from None
    except BaseException:  # Ctrl+C, too: what is in progress is not waited for
        stopping.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Start processes that leave Ctrl+C, which a terminal sends to all of them, to their parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Start processes that do not run the user's script again: they need nothing from it.

    Without this, a script without ``if __name__ == "__main__"`` would start workers in its workers.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def work_on_ray(
    shards: Sequence[int], run: Path, plan: Plan, request: Request, workers: int
) -> Iterator[Row]:
    """Predict shards on the Ray cluster at ``RAY_ADDRESS``, or on a new one on this machine.

    All machines must see the model folder, the images and the result under the same paths.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data

    started = not ray.is_initialized()
    if started:
        ray.init(
            include_dashboard=None if "RAY_ADDRESS" in os.environ else False, log_to_driver=False
        )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        resources = ray.cluster_resources()
        done = ray.data.from_items([{"shard": i} for i in shards]).map(
            ShardWorker,
            fn_constructor_args=(run.resolve(), plan, request, 1),
            # a whole core for each worker would leave none for the task that hands out the shards
            num_cpus=min(1.0, max(resources.get("CPU", 1) - 1, 0.5) / workers),
            num_gpus=min(1.0, resources.get("GPU", 0) / workers),
            concurrency=workers,
        )
        yield from done.iter_rows()
    finally:
        if started:
            ray.shutdown()
