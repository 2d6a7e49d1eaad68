"""What a researcher does with several trainings, one function for each task."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artaffect.arguments import OutsideFiles, PathLike, Table, as_table, optional_path
from artaffect.errors import ConfigError, InputError
from artaffect.outputs import check_output
from artaffect.runtime import as_list, as_path

if TYPE_CHECKING:
    from artaffect.config import Recipe
    from artaffect.metrics.evaluation import EvaluationResult
    from artaffect.reports.learning_curve import LearningCurve
    from artaffect.reports.run_comparison import RunComparison
    from artaffect.training.catalogue import RunList
    from artaffect.training.plan import Plan
    from artaffect.training.tuning import TuneResult


def train_seeds(
    table: Table,
    out: PathLike,
    seeds: int = 5,
    recipe: "str | os.PathLike[str] | Recipe" = "compact",
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    *,
    sources: str | Sequence[str] | None = None,
    initial: PathLike | None = None,
    outside: OutsideFiles | None = None,
    tracker: str | Sequence[str] | None = None,
    cache: PathLike | None = None,
    overwrite: bool = False,
) -> "EvaluationResult":
    """Train a recipe with several seeds, and score their mean on the validation split.

    :func:`artaffect.evaluate` and :func:`artaffect.report` take the folder ``out`` as they take a model
    folder. Finished runs in it are kept: an interrupted training resumes, and a larger number of seeds
    adds to them.

    Args:
        out: the folder to write, with a model folder ``seed-N`` for each seed.
        seeds: how many: the recipe's seed and those that follow it; at least 2.
        recipe: as in :func:`artaffect.train`; likewise ``settings``, ``sources``, ``initial``, ``outside``,
            ``tracker``, which records the run of each seed, and ``cache``.
        overwrite: train finished runs again.

    Returns:
        Means over seeds; the intervals are over seeds and artworks, and ``by_seed`` has the score of each.

    Raises:
        TableError: the table lacks a split or images that the recipe needs.
        ConfigError: ``out`` holds runs with other settings, or on another table.
        OutputExistsError: ``out`` is something else.
    """
    from artaffect.training import seeds as several
    from artaffect.training.recipes import resolve_recipe

    if not isinstance(seeds, int) or seeds < 2:
        raise InputError(f"seeds must be a whole number of at least 2, got {seeds!r}")
    folder, place = as_path(out, "out"), optional_path(cache, "cache")
    config = resolve_recipe(recipe, settings, sources, initial)
    common = (place, overwrite, outside, tracker)
    return several.train_seeds(as_table(table), config, folder, seeds, *common)


def plan_reproduction(table: "Table | None", out: PathLike, quick: bool = False) -> "Plan":
    """Find out what :func:`artaffect.reproduce` would take on this machine, without doing it.

    A few steps of each model are measured on rows of the table, with the real weights where they are on the
    machine; hours and gigabytes follow from the numbers of rows and epochs. Nothing is written.

    Args:
        table: the annotations; with ``quick`` it may be None, and synthetic data are used.
        out: the folder of the reproduction, whose finished runs are left out.

    Raises:
        InputError: neither a table nor ``quick`` was given.
        TableError: the table lacks a split or images.
    """
    from artaffect.training import reproduction

    if table is None and not quick:
        raise InputError("a plan needs a table (--data); with quick it can use synthetic data")
    annotations = None if table is None else as_table(table)
    return reproduction.plan(annotations, as_path(out, "out"), quick)


def tune(
    table: Table,
    out: PathLike,
    recipe: "str | os.PathLike[str]" = "compact",
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    *,
    trials: int = 30,
    sources: str | Sequence[str] | None = None,
    cache: PathLike | None = None,
) -> "TuneResult":
    """Search the settings of a recipe's heads on frozen encoders, on cached features (extra ``tune``).

    A recipe defines its search space in the section ``[search]``. Settings are chosen by the log-loss on the
    split ``val``; the split ``test`` is not read. An interrupted search resumes, and a larger number of
    trials adds to it.

    Args:
        out: the folder for ``recipe.toml``, the recipe with the best settings, and ``study.db``, all trials.
        settings: changes to the recipe, as in :func:`artaffect.train`.
        trials: how many each source gets, in all.
        sources: ``image``, ``caption`` or both; all that have a search space by default.

    Raises:
        ConfigError: the recipe has no such search space, or fine-tunes an encoder; or ``out`` holds another
            search.
        TableError: the table lacks what training needs.
    """
    from artaffect.training import tuning
    from artaffect.training.recipes import overrides_from

    if not isinstance(trials, int) or trials < 1:
        raise InputError(f"trials must be a whole number of at least 1, got {trials!r}")
    chosen = [] if sources is None else as_list(sources, "sources")
    name, changes = os.fspath(recipe), overrides_from(settings)
    folder, place = as_path(out, "out"), optional_path(cache, "cache")
    return tuning.tune(as_table(table), name, changes, folder, trials, chosen, place)


def learning_curve(
    table: Table,
    out: PathLike,
    sizes: Sequence[int | str] = (32, 128, 512, 2048, "all"),
    recipe: "str | os.PathLike[str] | Recipe" = "compact",
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    *,
    sources: str | Sequence[str] | None = None,
    initial: PathLike | None = None,
    seeds: int = 3,
    split: str = "test",
    cache: PathLike | None = None,
) -> "LearningCurve":
    """Train on samples of growing size, and score each model on the same rows of another split.

    With an initial model, each sample trains two models: from scratch, and begun with that model. An
    interrupted curve resumes, and more sizes or seeds add to it.

    Args:
        out: the folder for ``report.html``, ``curve.json``, ``curve.csv`` and the predictions of each model.
        sizes: numbers of labels, and ``"all"`` for the whole training split. A fifth of a sample's artworks
            chooses the settings.
        recipe: of the kind ``separate``, as in :func:`artaffect.train`; likewise ``settings``, ``sources``
            and ``initial``.
        seeds: how many samples of each size; at least 1.
        split: the split that is scored: ``val`` or ``test``.

    Returns:
        Means over seeds, with intervals over seeds and artworks.

    Raises:
        ConfigError: ``out`` holds the curve of other settings, or on another table; or the recipe is of
            another kind.
        OutputExistsError: ``out`` is something else.
        TableError: a split has no rows that the recipe can use.
    """
    from artaffect.config import SeparateConfig
    from artaffect.training import learning_curve as curves
    from artaffect.training.recipes import resolve_recipe

    if not isinstance(seeds, int) or seeds < 1:
        raise InputError(f"seeds must be a whole number of at least 1, got {seeds!r}")
    numbers = [curves.as_size(size) for size in as_list(sizes, "sizes")]
    if split == "train":
        raise InputError(
            "split must be val or test: the split train is what the samples are drawn from"
        )
    config = resolve_recipe(recipe, settings, sources, initial)
    if not isinstance(config, SeparateConfig):
        raise ConfigError(
            f"a learning curve needs a recipe of the kind 'separate', and this one is of {config.kind!r}"
        )
    folder, place = as_path(out, "out"), optional_path(cache, "cache")
    return curves.learning_curve(as_table(table), config, folder, numbers, seeds, split, place)


def list_runs(
    folder: PathLike,
    sort: str = "trained",
    where: Mapping[str, str] | None = None,
    *,
    out: PathLike | None = None,
) -> "RunList":
    """List the trained runs under a folder: recipe, data, seeds, sources, validation scores, date.

    The runs of several seeds are one entry. A folder that is damaged is logged and left out.

    Args:
        sort: ``trained`` (newest first), a metric such as ``log_loss`` (best first), or ``name``, ``recipe``,
            ``data``, ``digest``, ``seeds`` or ``sources``.
        where: what a field must begin with, such as ``{"recipe": "compact", "data": "artelingo"}``.
        out: also write the list to this file: .csv, .md or .json.

    Raises:
        InputError: there is no such folder, or a field is unknown.
    """
    from artaffect.reports.listings import check_suffix, save_listing
    from artaffect.reports.tables import TextTable
    from artaffect.training import catalogue

    target = optional_path(out, "out")
    if target is not None:
        check_suffix(target)
        check_output(target)
    result = catalogue.list_runs(as_path(folder, "folder"), sort, where)
    if target is not None:
        table = TextTable(f"Runs in {result.folder}", result.header(), result.rows())
        records = [list(record.values()) for record in result.records()]
        save_listing(target, [table], catalogue.COLUMNS, records, result.to_json())
    return result


def compare_runs(
    runs: Sequence[PathLike],
    table: Table,
    split: str = "test",
    *,
    out: PathLike | None = None,
    features: PathLike | None = None,
    cache: PathLike | None = None,
) -> "RunComparison":
    """Compare runs with the first one on the rows of a split that all of them can be scored on.

    Each difference has a 95 % interval over artworks, and over seeds for a folder of :func:`train_seeds`, and
    a p-value after Holm's correction.

    Args:
        runs: at least two model folders, ``hf:OWNER/MODEL``, or folders of :func:`train_seeds`.
        out: also write the comparison to this file: .csv, .md or .json.
        features: the file of the image features, for runs that were trained on such a file.

    Raises:
        InputError: the runs predict different labels, or have no input or no row in common.
        TableError: the table has no rows in this split.
    """
    from artaffect.models.hub import resolve_run
    from artaffect.reports import run_comparison
    from artaffect.reports.listings import check_suffix, save_listing

    folders = [resolve_run(run) for run in as_list(runs, "runs")]
    annotations, target = as_table(table), optional_path(out, "out")
    if target is not None:
        check_suffix(target)
        check_output(target, annotations.sources)
    places = optional_path(cache, "cache"), optional_path(features, "features")
    result = run_comparison.compare(folders, annotations, split, *places)
    if target is not None:
        tables = run_comparison.comparison_tables(result)
        columns = run_comparison.COLUMNS
        save_listing(target, tables, columns, result.records(), result.to_json())
    return result
