"""Predict for a whole collection of any size: in bounded memory, resumable, without losing a row."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import artaffect
from artaffect.errors import OutputExistsError
from artaffect.labels import EMOTIONS
from artaffect.models.folder import CHECKSUMS, check_folder, holds_graphs, read_config
from artaffect.models.hub import resolve_run
from artaffect.outputs import check_output, check_output_folder, output_lock
from artaffect.prediction.collection.answers import AnswerTable, Layout, check_layout
from artaffect.prediction.collection.formats import check_format
from artaffect.prediction.collection.items import read_items, readable
from artaffect.prediction.collection.plan import SHARD_ROWS, Plan, skipped_path
from artaffect.prediction.collection.records import TableOptions
from artaffect.prediction.collection.workers import work_locally, work_on_ray
from artaffect.prediction.types import culture_names
from artaffect.runtime import file_digest, progress_bar

_logger = logging.getLogger(__name__)

Engine = Literal["local", "ray"]

LABELS = tuple(map(str, EMOTIONS))


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
    options: TableOptions | None = None,
    layout: Layout = "long",
    workers: int = 0,
    engine: Engine = "local",
    overwrite: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> CollectionSummary:
    """Write the predictions for a collection to a file, in the format that its name says.

    Finished work is kept beside ``out`` until everything is done, and the same call continues it. Items
    that cannot be read are listed in ``<out>.skipped.csv``.

    Args:
        run: a model folder, or ``hf:OWNER/MODEL``.
        source: a folder or a table: see :func:`read_items`.
        cultures: one culture or several; None for all cultures of the model.
        options: how a table is read.
        layout: a row for each item and culture, or for each item.
        workers: the number of processes; 0 for one per core, or a single one with a GPU.

    Raises:
        TableError: the collection cannot be listed.
        ModelFolderError: the model folder is incomplete or altered.
        OutputError: ``out`` cannot be written, is written by another process, or its format is unknown
            or holds fewer rows.
        OutputExistsError: ``out`` exists, or contains other unfinished work beside it.
        IncompleteRunError: an item is missing from the predictions, or repeated.
    """
    folder, target = resolve_run(run), Path(out)
    check_folder(folder)
    names = tuple(dict.fromkeys(culture_names(cultures) or read_config(folder)["cultures"]))
    check_layout(layout)
    check_format(target, 0, 0)
    options = options or TableOptions()
    read = [source, folder, *([] if options.root is None else [options.root])]
    plan = Plan.for_output(target)
    with output_lock(target):
        if target.exists() and not overwrite and not plan.is_merged(target):
            raise OutputExistsError(f"{target} exists: choose another name, or add --overwrite")
        for path in (target, skipped_path(target)):
            check_output(path, read)
        check_output_folder(plan.folder)
        items = read_items(source, options)
        about = _provenance(folder)
        record = items["record"].type.names if "record" in items.column_names else []
        answers = AnswerTable(layout, names, LABELS, tuple(record), about)
        rows = items.num_rows * (1 if layout == "wide" else len(names))
        check_format(target, rows, len(answers.schema))
        settings = {
            "artaffect": about["artaffect_version"],
            "model": about["model_digest"],
            "cultures": names,
            "labels": LABELS,
        }
        plan.begin(items, settings, shard_rows, overwrite)
        _finish(plan, items.num_rows, folder, names, workers, engine)
        provenance = {**about, "source": readable(source), "cultures": names}
        skipped = plan.merge(target, answers, provenance)
    return CollectionSummary(items.num_rows, items.num_rows - skipped, skipped, names)


def _provenance(folder: Path) -> dict[str, str]:
    """What every answer says of its origin."""
    return {
        "model": folder.resolve().name,
        "model_digest": file_digest(folder / CHECKSUMS),
        "artaffect_version": artaffect.__version__,
        "predicted_on": datetime.now(UTC).date().isoformat(),
    }


def _finish(
    plan: Plan, total: int, run: Path, cultures: Sequence[str], workers: int, engine: Engine
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
        for row in work(unfinished, run, plan, cultures, workers):
            bar.advance(task, int(row["items"]))


def _default_workers(run: Path) -> int:
    """One process per core, or a single one if torch has a GPU."""
    if not holds_graphs(run):
        import torch

        if torch.cuda.is_available():
            return 1
    return os.cpu_count() or 1
