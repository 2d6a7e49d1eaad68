"""Predict for a whole collection of any size: in bounded memory, resumable, without losing a row."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import artaffect
from artaffect.errors import InputError, OutputError, OutputExistsError
from artaffect.models.folder import CHECKSUMS, check_folder, holds_graphs, read_config
from artaffect.models.hub import resolve_run
from artaffect.outputs import check_output, check_output_folder, output_lock
from artaffect.prediction.collection.items import read_items, readable
from artaffect.prediction.collection.plan import SHARD_ROWS, Plan, skipped_path
from artaffect.prediction.collection.workers import Request, work_locally, work_on_ray
from artaffect.prediction.sets import NO_SCORES, check_level
from artaffect.prediction.types import culture_names
from artaffect.runtime import file_digest, progress_bar

_logger = logging.getLogger(__name__)

Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class CollectionSummary:
    """The numbers of items with and without predictions."""

    items: int
    answered: int
    skipped: int
    cultures: tuple[str, ...]


def predict_collection(  # noqa: PLR0913 - the options of the command
    run: str | os.PathLike[str],
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    cultures: str | Sequence[str] | None = None,
    *,
    sets: float | None = None,
    root: str | os.PathLike[str] | None = None,
    workers: int = 0,
    engine: Engine = "local",
    overwrite: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> CollectionSummary:
    """Write the predictions for a collection to a Parquet file: one row for each item and culture.

    Finished work is kept beside ``out`` until everything is done, and the same call continues it. Items
    that cannot be read are listed in ``<out>.skipped.csv``.

    Args:
        run: a model folder, or ``hf:OWNER/MODEL``.
        source: a folder or a table: see :func:`read_items`.
        cultures: one culture or several; None for all cultures of the model.
        sets: the level of prediction sets; None for none.
        root: the folder of a table's images.
        workers: the number of processes; 0 for one per core, or a single one with a GPU.

    Raises:
        InputError: the level is not one, or the model makes no prediction sets.
        TableError: the collection cannot be listed.
        ModelFolderError: the model folder is incomplete or altered.
        OutputError: ``out`` cannot be written, is written by another process, or is not named as a
            Parquet file.
        OutputExistsError: ``out`` exists, or contains other unfinished work beside it.
        IncompleteRunError: an item is missing from the predictions, or repeated.
    """
    folder, target = resolve_run(run), Path(out)
    check_folder(folder)
    config = read_config(folder)
    names = tuple(dict.fromkeys(culture_names(cultures) or config["cultures"]))
    if sets is not None:
        check_level(sets)
        if config["conformal"] is None:
            raise InputError(NO_SCORES)
    if target.suffix.lower() != ".parquet":
        raise OutputError(f"{target}: predictions are written as Parquet: expected NAME.parquet")
    read = [source, folder, *([] if root is None else [root])]
    plan = Plan.for_output(target)
    with output_lock(target):
        if target.exists() and not overwrite and not plan.is_merged(target):
            raise OutputExistsError(f"{target} exists: choose another name, or add --overwrite")
        for path in (target, skipped_path(target)):
            check_output(path, read)
        check_output_folder(plan.folder)
        items = read_items(source, root)
        digest = file_digest(folder / CHECKSUMS)
        version = artaffect.__version__
        settings = {"artaffect": version, "model": digest, "cultures": names, "sets": sets}
        plan.begin(items, settings, shard_rows, overwrite)
        _finish(plan, items.num_rows, folder, Request(names, sets), workers, engine)
        provenance = {
            "artaffect": version,
            "model": folder.resolve().name,
            "model_digest": digest,
            "source": readable(source),
            "cultures": names,
            "sets": sets,
        }
        skipped = plan.merge(target, len(names), provenance)
    return CollectionSummary(items.num_rows, items.num_rows - skipped, skipped, names)


def _finish(
    plan: Plan, total: int, run: Path, request: Request, workers: int, engine: Engine
) -> None:
    """Predict the unfinished shards of a plan."""
    sizes, unfinished = plan.shards(), plan.unfinished()
    done = total - sum(sizes[shard] for shard in unfinished)
    if done:
        _logger.info(f"{done:,} of {total:,} are done already")
    if not unfinished:
        return
    workers = min(workers or _default_workers(run), len(unfinished))
    work = work_locally if engine == "local" else work_on_ray
    with progress_bar() as bar:
        task = bar.add_task("predicting", total=total, completed=done)
        for row in work(unfinished, run, plan, request, workers):
            bar.advance(task, int(row["items"]))


def _default_workers(run: Path) -> int:
    """One process per core, or a single one if torch has a GPU."""
    if not holds_graphs(run):
        import torch

        if torch.cuda.is_available():
            return 1
    return os.cpu_count() or 1
