"""The search space of a recipe: the section ``[search]`` of its TOML file.

A key is a setting; its value is a list of choices, or a range ``{low, high}``, of whole numbers if both ends
are, and on a logarithmic scale with ``log = true``.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from artaffect.config import recipe_path
from artaffect.errors import ConfigError
from artaffect.settings import read_toml

if TYPE_CHECKING:
    from optuna import Trial


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Range:
    """The numbers from ``low`` to ``high``."""

    low: int | float
    high: int | float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log = true needs low above 0, got {self.low}")


Space: TypeAlias = Range | Annotated[list[Any], Field(min_length=2)]


def read_search(recipe: str, sources: Sequence[str] = ()) -> dict[str, dict[str, Space]]:
    """The search space of each source: source → setting → space.

    Args:
        recipe: the name of a recipe, or the path of its TOML file.
        sources: the sources to search; all that the recipe has a space for if empty.

    Raises:
        ConfigError: the recipe has no space, for one of ``sources`` or at all; or a space is malformed, or is
            not one of a source's head.
    """
    values = read_toml(recipe_path(recipe), recipe).get("search", {})
    try:
        spaces = TypeAdapter(dict[str, Space]).validate_python(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, ["search", *problem["loc"][:1]]))
        raise ConfigError(
            f"{recipe}: {place}: expected a list of at least two choices, or a range such as "
            f"{{ low = 0.1, high = 0.5 }}: {problem['msg']}"
        ) from None
    by_source: dict[str, dict[str, Space]] = {}
    for key, space in spaces.items():
        source, _, setting = key.partition(".")
        if source not in ("image", "caption") or setting in ("", "encoder", "training"):
            raise ConfigError(
                f"{recipe}: search.{key}: only settings of a head can be searched, such as "
                "caption.dropout or image.penalty"
            )
        by_source.setdefault(source, {})[key] = space
    if missing := [source for source in sources if source not in by_source]:
        raise ConfigError(
            f"{recipe} has no search space for {', '.join(missing)}: add it to [search]"
        )
    if not by_source:
        raise ConfigError(
            f'{recipe} has no search space: add a section [search] with lines such as "caption.dropout" = '
            "{ low = 0.1, high = 0.7 }"
        )
    return {source: by_source[source] for source in (sources or by_source)}


def suggest(trial: "Trial", space: Mapping[str, Space]) -> dict[str, Any]:
    """The values that a trial tries: setting → value."""
    return {key: _suggest(trial, key, choices) for key, choices in space.items()}


def _suggest(trial: "Trial", key: str, space: Space) -> Any:
    if isinstance(space, Range):
        if isinstance(space.low, int) and isinstance(space.high, int):
            return trial.suggest_int(key, space.low, space.high, log=space.log)
        return trial.suggest_float(key, space.low, space.high, log=space.log)
    # a choice may be a list, which the database of a study cannot hold
    return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in space]))


def chosen(params: Mapping[str, Any], space: Mapping[str, Space]) -> dict[str, Any]:
    """The values of a finished trial, from the parameters that its study holds."""
    return {
        key: value if isinstance(space[key], Range) else json.loads(value)
        for key, value in params.items()
    }


def ends(space: Mapping[str, Space]) -> list[dict[str, Any]]:
    """Values at the ends of ranges, and every choice, to be checked before the search begins."""
    listed = [
        (key, [choices.low, choices.high] if isinstance(choices, Range) else choices)
        for key, choices in space.items()
    ]
    return [{key: value} for key, values in listed for value in values]
