"""Predict for a whole collection of any size: in bounded memory, resumable, without losing a row."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import artaffect
from artaffect.data.fetch import is_address
from artaffect.data.readers.table_columns import ColumnNames
from artaffect.errors import OutputExistsError
from artaffect.labels import ANY_CULTURE, LabelSet
from artaffect.models.folder import CHECKSUMS, check_folder, holds_graphs, read_config
from artaffect.models.hub import resolve_run
from artaffect.outputs import check_output, check_output_folder, output_lock
from artaffect.prediction.collection.answers import AnswerTable, Layout, check_layout
from artaffect.prediction.collection.companion import companion_path
from artaffect.prediction.collection.downloads import Web, fetch_images
from artaffect.prediction.collection.formats import check_format
from artaffect.prediction.collection.items import read_items, readable
from artaffect.prediction.collection.plan import SHARD_ROWS, Plan, skipped_path
from artaffect.prediction.collection.records import TableOptions
from artaffect.prediction.collection.workers import Request, work_locally, work_on_ray
from artaffect.prediction.sets import check_sets, percentage
from artaffect.prediction.types import culture_names
from artaffect.runtime import as_path, file_digest, progress_bar

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
    items: str | os.PathLike[str],
    out: str | os.PathLike[str],
    cultures: str | Sequence[str] | None = None,
    *,
    sets: float | None = None,
    columns: ColumnNames | None = None,
    root: str | os.PathLike[str] | None = None,
    language: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    fetch: bool = False,
    allow_private: bool = False,
    rate: float = 2.0,
    layout: Layout = "long",
    workers: int = 0,
    engine: Engine = "local",
    overwrite: bool = False,
    shard_rows: int = SHARD_ROWS,
) -> CollectionSummary:
    """Predict for every item of a collection, and write the answers in the format that ``out`` names.

    Finished work is kept beside ``out`` until everything is done, and the same call continues it. Items
    that cannot be used are listed in ``<out>.skipped.csv`` with the reason. ``<out>.items.parquet`` keeps
    each item's image and caption, and a direction that tells which images are alike, for a gallery.

    Args:
        run: a model folder, or ``hf:OWNER/MODEL``.
        items: a folder of images, or a table in CSV, TSV, JSON Lines, Parquet or Excel with a column for
            the image or the caption or both, and perhaps for the id and the language. Its other columns
            are carried through to the answers; or a IIIF Presentation manifest or collection, as a file
            or an address.
        out: a name that ends in ``.parquet``, ``.csv``, ``.xlsx`` or ``.jsonl``.
        cultures: one culture or several; None for all cultures of the model.
        sets: also write the ``prediction_set`` of each culture at this level, for example 0.9: the labels
            that cannot be ruled out.
        columns: the column of each kind: ``id``, ``image``, ``caption``, ``language``. A caption may have
            several, which are joined with a blank line. By default columns are known by their names.
        root: the folder that the table's image paths are relative to; the table's own by default.
        language: the language of all captions.
        encoding: of a text file, such as ``cp1252``; by default it is detected.
        delimiter: the character between cells; by default it is detected.
        fetch: request the images, and the manifests, that a file names by their addresses. If ``items``
            is an address itself, they are requested in any case. What is requested is kept in the cache.
        allow_private: request from addresses inside private networks, too.
        rate: requests a second to one host.
        layout: ``long`` has a row for each item and culture, ``wide`` a row for each item.
        workers: the number of processes; 0 for one per core, or a single one with a GPU.
        engine: processes of this machine, or a Ray cluster.
        shard_rows: items in a part of the work.

    Raises:
        InputError: the level is not one, or the model makes no prediction sets.
        TableError: the collection cannot be listed.
        ModelFolderError: the model folder is incomplete or altered.
        OutputError: ``out`` cannot be written, is written by another process, or its format is unknown
            or holds fewer rows.
        OutputExistsError: ``out`` exists, or contains other unfinished work beside it.
        IncompleteRunError: an item is missing from the predictions, or repeated.
    """
    target = as_path(out, "out")
    check_layout(layout)
    check_format(target, 0, 0)
    folder = resolve_run(run)
    as_path(items, "items")
    source, is_on_web = os.fspath(items), is_address(os.fspath(items))
    web = Web(fetch or is_on_web, allow_private, rate)
    check_folder(folder)
    config = read_config(folder)
    check_sets(sets, config["conformal"])
    label_set = LabelSet.from_json(config["labels"])
    labels = label_set.names
    names = tuple(dict.fromkeys(culture_names(cultures) or config["cultures"] or [ANY_CULTURE]))
    images = None if root is None else as_path(root, "root")
    options = TableOptions(columns or {}, images, language, encoding, delimiter)
    read = [path for path in (folder, images, None if is_on_web else source) if path is not None]
    plan = Plan.for_output(target)
    with output_lock(target):
        if target.exists() and not overwrite and not plan.is_merged(target):
            raise OutputExistsError(f"{target} exists: choose another name, or add --overwrite")
        for path in (target, companion_path(target), skipped_path(target)):
            check_output(path, read)
        check_output_folder(plan.folder)
        rows, origins = fetch_images(read_items(source, options, web), web, readable(source))
        about = _provenance(folder, sets)
        record = rows["record"].type.names if "record" in rows.column_names else []
        answers = AnswerTable(
            layout, names, labels, tuple(record), about, has_sets=sets is not None
        )
        answer_rows = rows.num_rows * (1 if layout == "wide" else len(names))
        check_format(target, answer_rows, len(answers.schema))
        settings = {
            "artaffect": about["artaffect_version"],
            "model": about["model_digest"],
            "cultures": names,
            "labels": labels,
            "sets": sets,
        }
        plan.begin(rows, settings, shard_rows, overwrite)
        _finish(plan, rows.num_rows, folder, Request(names, sets), workers, engine)
        provenance = {
            **about,
            "source": readable(source),
            "cultures": names,
            "labels": label_set.to_json(),
        }
        skipped = plan.merge(target, answers, provenance, origins)
    return CollectionSummary(rows.num_rows, rows.num_rows - skipped, skipped, names)


def _provenance(folder: Path, sets: float | None) -> dict[str, str]:
    """What every answer says of its origin."""
    return {
        "model": folder.resolve().name,
        "model_digest": file_digest(folder / CHECKSUMS),
        "artaffect_version": artaffect.__version__,
        "predicted_on": datetime.now(UTC).date().isoformat(),
        **({} if sets is None else {"set_level": percentage(sets)}),
    }


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
