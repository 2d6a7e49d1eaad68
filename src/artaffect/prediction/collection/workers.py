"""Who does the work: processes on this machine, or Ray's on a cluster. Both run the same worker."""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from artaffect.errors import ArtAffectError, InputError, ResourceError
from artaffect.labels import EMOTIONS
from artaffect.prediction.collection.plan import ANSWERS, Plan, Skipped
from artaffect.prediction.predictor import (
    BATCH,
    ModelPredictor,
    Prediction,
    PredictionInput,
    PreparedInput,
    load_predictor,
)
from artaffect.runtime import keep_freed_memory

Row = dict[str, Any]


class ShardWorker:
    """A model that answers shards of a plan, one after the other."""

    def __init__(self, run: Path, plan: Plan, cultures: Sequence[str], threads: int) -> None:
        """Load the model.

        Args:
            threads: that it may compute with.
        """
        keep_freed_memory()
        self.predictor: ModelPredictor = load_predictor(run)
        self.predictor.limit_threads(threads)
        self.plan, self.cultures, self.threads = plan, tuple(cultures), threads

    def __call__(self, row: Row) -> Row:
        """Answer the shard ``row["shard"]``, and say how many items it held."""
        shard = int(row["shard"])
        items = self.plan.items(shard).to_pylist()
        answers: list[pa.Table] = [ANSWERS.empty_table()]
        skipped: list[Skipped] = []
        for batch, prepared in self._prepared(items):
            good = [one for one in prepared if isinstance(one, PreparedInput)]
            predictions = iter(self.predictor.answer(good))
            answered = []
            for item, one in zip(batch, prepared, strict=True):
                if isinstance(one, PreparedInput):
                    answered.append((item["id"], next(predictions)))
                else:
                    skipped.append((item["id"], item["image"] or "", str(one)))
            answers.append(_as_table(answered))
        self.plan.save(shard, pa.concat_tables(answers), skipped)
        return {"shard": shard, "items": len(items)}

    def _prepared(
        self, items: Sequence[Row]
    ) -> Iterator[tuple[Sequence[Row], list[PreparedInput | ArtAffectError]]]:
        """Batches with what has become of them; the next ones are decoded while one is answered."""
        batches = deque(items[start : start + BATCH] for start in range(0, len(items), BATCH))
        ahead: deque[tuple[Sequence[Row], Future[list[PreparedInput | ArtAffectError]]]] = deque()
        with ThreadPoolExecutor(self.threads) as pool:
            while batches or ahead:
                while batches and len(ahead) <= self.threads:
                    batch = batches.popleft()
                    ahead.append((batch, pool.submit(self._prepare, batch)))
                batch, pending = ahead.popleft()
                yield batch, pending.result()

    def _prepare(self, batch: Sequence[Row]) -> list[PreparedInput | ArtAffectError]:
        given: list[PredictionInput | ArtAffectError] = []
        for item in batch:
            try:
                image = Path(item["image"]) if item["image"] else None
                given.append(
                    PredictionInput(image, item["caption"], item["language"], self.cultures)
                )
            except InputError as error:
                given.append(error)
        asked = [one for one in given if isinstance(one, PredictionInput)]
        prepared = iter(self.predictor.prepare_each(asked))
        return [next(prepared) if isinstance(one, PredictionInput) else one for one in given]


def _as_table(answered: Sequence[tuple[str, Prediction]]) -> pa.Table:
    rows = [(name, reading) for name, prediction in answered for reading in prediction.by_culture]
    probabilities = np.array([r.distribution.values for _, r in rows], np.float32)
    probabilities = probabilities.reshape(len(rows), len(EMOTIONS))
    columns = [
        [name for name, _ in rows],
        [r.culture for _, r in rows],
        [str(r.top) for _, r in rows],
        *probabilities.T,
        [r.entropy for _, r in rows],
        [r.modality_shares["image"] for _, r in rows],
        [r.modality_shares["caption"] for _, r in rows],
        [r.note for _, r in rows],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, ANSWERS, strict=True)]
    return pa.table(arrays, schema=ANSWERS)


class _Local:
    """The worker of a process."""

    worker: ClassVar[ShardWorker]

    @classmethod
    def start(cls, *arguments: Any) -> None:
        threading.Thread(target=cls._leave_with_parent, daemon=True).start()
        cls.worker = ShardWorker(*arguments)

    @classmethod
    def work(cls, row: Row) -> Row:
        return cls.worker(row)

    @staticmethod
    def _leave_with_parent() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)  # it was killed: nobody waits for this process any more


def work_locally(
    shards: Sequence[int], run: Path, plan: Plan, cultures: Sequence[str], workers: int
) -> Iterator[Row]:
    """Answer shards in processes of this machine; yields each when it is done."""
    threads = max(1, (os.cpu_count() or 1) // workers)
    pool = ProcessPoolExecutor(
        workers,
        multiprocessing.get_context("spawn"),
        _Local.start,
        (run, plan, cultures, threads),
    )
    try:
        for done in as_completed([pool.submit(_Local.work, {"shard": i}) for i in shards]):
            yield done.result()
    except BrokenProcessPool:
        raise ResourceError(
            f"a worker process died, most likely for want of memory: run the command again with fewer "
            f"than {workers} --workers; what is finished is kept"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def work_on_ray(
    shards: Sequence[int], run: Path, plan: Plan, cultures: Sequence[str], workers: int
) -> Iterator[Row]:
    """Answer shards on the Ray cluster of ``RAY_ADDRESS``, or on one that is started on this machine.

    All of its machines must see the model folder, the pictures and the result under the same paths.
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
        there = ray.cluster_resources()
        done = ray.data.from_items([{"shard": i} for i in shards]).map(
            ShardWorker,
            fn_constructor_args=(run.resolve(), plan, tuple(cultures), 1),
            # a whole processor each would leave none for the task that hands out the shards
            num_cpus=min(1.0, max(there.get("CPU", 1) - 1, 0.5) / workers),
            num_gpus=min(1.0, there.get("GPU", 0) / workers),
            concurrency=workers,
        )
        yield from done.iter_rows()
    finally:
        if started:
            ray.shutdown()
