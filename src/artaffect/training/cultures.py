"""Four ways to use the culture, trained alike, so that they can be compared."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from artaffect.config import Recipe, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import TableError
from artaffect.training.run import trained_run

CULTURE_MODELS: Mapping[str, Sequence[str]] = {
    "blind": ("culture=off", "fusion.per_culture=off"),
    "embedding": ("culture=embedding", "fusion.per_culture=off"),
    "head": ("culture=head", "fusion.per_culture=off"),
    "weights": ("culture=off", "fusion.per_culture=on"),
}
"""Name → settings: no culture, an embedding, a head, or fusion weights for each culture.

``blind`` comes first: the others are compared with it.
"""

_COMMON = ("fusion.form=logits",)
"""So that image and caption alone are predicted by their own heads in all four."""


def train_culture_models(
    table: AnnotationTable,
    recipe: str,
    overrides: Sequence[str],
    out: Path,
    cache: Path | None = None,
) -> list[Path]:
    """Train a recipe in every way of ``CULTURE_MODELS``; finished runs in ``out`` are kept.

    Returns:
        The model folders, in the order of ``CULTURE_MODELS``.

    Raises:
        TableError: the training split has only one culture, or lacks what training needs.
        ConfigError: ``out`` holds runs with other settings.
    """
    cultures = table.of_split("train").cultures
    if len(cultures) < 2:
        raise TableError(
            f"the training split has only one culture, {cultures[0]}: there is nothing to compare"
        )
    return [
        trained_run(
            table, load_recipe(recipe, Recipe, [*_COMMON, *overrides, *settings]), out / name, cache
        )
        for name, settings in CULTURE_MODELS.items()
    ]
