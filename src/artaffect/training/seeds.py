"""Train one recipe with several seeds: a folder of ordinary model folders, and the scores of all."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

from artaffect.config import Recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import Elsewhere, OutsideFiles, read_outside
from artaffect.errors import ConfigError, OutputExistsError
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.folder import SEEDS, read_seeds, seed_name
from artaffect.outputs import atomic_file, check_output_folder
from artaffect.prediction.evaluation import evaluate_run
from artaffect.reports.evaluation import save_metrics, save_report
from artaffect.runtime import is_main_process
from artaffect.training.recipes import differences, recipe_of
from artaffect.training.run import REMEDY, digests_of, features_file, train_run, trained_run
from artaffect.training.trackers import check_trackers

_logger = logging.getLogger(__name__)

FILES = ("metrics.json", "report.html", SEEDS)


def train_seeds(
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    seeds: int,
    cache: Path | None = None,
    overwrite: bool = False,
    outside: OutsideFiles | None = None,
    trackers: str | Sequence[str] | None = None,
) -> EvaluationResult:
    """Train with the recipe's seed and the ones that follow it, and score all on the validation split.

    ``out`` holds a model folder ``seed-N`` for each, and ``metrics.json`` and ``report.html`` of all.
    Finished runs are kept: an interrupted training resumes, and a larger number of seeds adds to them.
    Features of frozen encoders are extracted once, because all runs share the feature cache.

    Args:
        seeds: how many.
        overwrite: train finished runs again.
        trackers: names of trackers that record the run of each seed.

    Returns:
        Means over seeds, with intervals over seeds and artworks: see :mod:`artaffect.metrics.seeds`.

    Raises:
        OutputExistsError: ``out`` is something else.
        ConfigError: ``out`` holds runs with other settings, or on another table.
        TableError: the table lacks what training needs.
    """
    numbers = range(config.seed, config.seed + seeds)
    configs = [
        replace(config, seed=seed) for seed in numbers
    ]  # raises for a seed that is too large
    trackers = check_trackers(trackers)
    _claim(table, config, out, numbers, overwrite, outside)
    for each in configs:
        folder = out / seed_name(each.seed)
        if overwrite:
            train_run(table, each, folder, cache, overwrite, outside, trackers)
        else:
            trained_run(table, each, folder, cache, outside, trackers)
    elsewhere = Elsewhere(outside or {}, features_file(config))
    result = evaluate_run(out, table, "val", cache, elsewhere=elsewhere)
    if is_main_process():
        save_metrics(result, out / "metrics.json")
        save_report(result, out / "report.html", f"artaffect: {out.name}, {len(numbers)} seeds")
    return result


def _claim(
    table: AnnotationTable,
    config: Recipe,
    out: Path,
    seeds: Sequence[int],
    overwrite: bool,
    outside: OutsideFiles | None,
) -> None:
    """Record what all runs of a folder have in common, or refuse a folder of others."""
    check_output_folder(out, table.sources, FILES)
    settings = {name: value for name, value in recipe_of(config).items() if name != "seed"}
    sources = read_outside(outside, table.labels)
    digest = "|".join(digests_of(table, sources))
    if (out / SEEDS).is_file():
        known = read_seeds(out)
        if not overwrite:
            if change := next(differences(known["recipe"], settings), None):
                raise ConfigError(f"{out} holds runs with other settings ({change}): {REMEDY}")
            if known["data"] != digest:
                raise ConfigError(f"{out} holds runs on another table: {REMEDY}")
            seeds = sorted({*known["seeds"], *seeds})
    elif out.exists() and any(out.iterdir()):
        raise OutputExistsError(
            f"{out} exists and holds no runs of several seeds: choose another name"
        )
    if is_main_process():
        content = {"seeds": list(seeds), "recipe": settings, "data": digest}
        with atomic_file(out / SEEDS) as temporary:
            temporary.write_text(json.dumps(content, indent=2), "utf-8")
    PartialState().wait_for_everyone()
