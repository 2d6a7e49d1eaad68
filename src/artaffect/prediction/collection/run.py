"""Answer for a whole collection, of whatever size: streams, goes on after a kill, loses no row."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import artaffect
from artaffect.errors import OutputExistsError
from artaffect.models.folder import CHECKSUMS, check_folder, holds_graphs, read_config
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.plan import SHARD_ROWS, Plan
from artaffect.prediction.collection.workers import work_locally, work_on_ray
from artaffect.runtime import file_digest, progress_bar

_logger = logging.getLogger(__name__)

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class CollectionSummary:
    """What became of a collection."""

    items: int
    answered: int
    skipped: int
    cultures: tuple[str, ...]


def predict_collection(  # noqa: PLR0913 - what the command takes
    run: Path,
    source: Path,
    out: Path,
    cultures: Sequence[str] = (),
    *,
    root: Path | None = None,
    workers: int = 0,
    engine: Engine = "local",
    overwrite: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> CollectionSummary:
    """Write the answers for every item of a collection to a Parquet file: one row an item and culture.

    What is finished is kept beside ``out`` until all is done; the same call goes on from there. Items
    that cannot be read are listed in ``<out>.skipped.csv``.

    Args:
        source: a folder or a table: see :func:`read_items`.
        cultures: whose readings; every culture of the model where none is named.
        root: what a table's images are relative to.
        workers: processes; 0: one for each processor, a single one where there is a GPU.

    Raises:
        TableError: the collection cannot be listed.
        ModelFolderError: the model folder is incomplete or altered.
        OutputExistsError: ``out`` exists, or other work was begun beside it.
        IncompleteRunError: an item is missing from the answers, or repeated.
    """
    check_folder(run)
    known = tuple(read_config(run)["cultures"])
    wanted = tuple(dict.fromkeys(name.strip().lower() for name in cultures)) or known
    plan = Plan.of(out)
    if out.exists() and not overwrite:
        raise OutputExistsError(f"{out} exists: choose another name, or add --overwrite")
    items = read_items(source, root)
    digest = file_digest(run / CHECKSUMS)
    plan.begin(items, {"model": digest, "cultures": wanted}, shard_rows, overwrite)
    sizes, left = plan.shards(), plan.left()
    done = items.num_rows - sum(sizes[i] for i in left)
    if done:
        _logger.info(f"{done:,} of {items.num_rows:,} are done already")
    workers = min(workers or default_workers(run), max(1, len(left)))
    work = work_locally if engine == "local" else work_on_ray
    if left:
        with progress_bar() as bar:
            task = bar.add_task("predicting", total=items.num_rows, completed=done)
            for row in work(left, run, plan, wanted, workers):
                bar.advance(task, int(row["items"]))
    skipped = plan.merge(
        out,
        len(wanted),
        {
            "artaffect": artaffect.__version__,
            "model": run.resolve().name,
            "model_digest": digest,
            "source": str(source),
            "cultures": wanted,
        },
    )
    return CollectionSummary(items.num_rows, items.num_rows - skipped, skipped, wanted)


def default_workers(run: Path) -> int:
    """One process for each processor, a single one where torch has a GPU."""
    if not holds_graphs(run):
        import torch

        if torch.cuda.is_available():
            return 1
    return os.cpu_count() or 1
