"""What a researcher does with several trainings, one function for each task."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from artaffect.arguments import OutsideFiles, PathLike, Table, as_table, optional_path
from artaffect.errors import InputError
from artaffect.runtime import as_path

if TYPE_CHECKING:
    from artaffect.config import Recipe
    from artaffect.metrics.evaluation import EvaluationResult


def train_seeds(
    table: Table,
    out: PathLike,
    seeds: int = 5,
    recipe: "str | os.PathLike[str] | Recipe" = "compact",
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    *,
    outside: OutsideFiles | None = None,
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
        recipe: as in :func:`artaffect.train`; likewise ``settings``, ``outside`` and ``cache``.
        overwrite: train finished runs again.

    Returns:
        Means over seeds; the intervals are over seeds and artworks, and ``by_seed`` has the score of each.

    Raises:
        TableError: the table lacks a split or images that the recipe needs.
        ConfigError: ``out`` holds runs with other settings, or on another table.
        OutputExistsError: ``out`` is something else.
    """
    from artaffect.training import seeds as several
    from artaffect.training.run import resolve_recipe

    if not isinstance(seeds, int) or seeds < 2:
        raise InputError(f"seeds must be a whole number of at least 2, got {seeds!r}")
    folder, config = as_path(out, "out"), resolve_recipe(recipe, settings)
    place = optional_path(cache, "cache")
    return several.train_seeds(as_table(table), config, folder, seeds, place, overwrite, outside)
