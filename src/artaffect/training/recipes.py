"""From what a caller names to the recipe of a training, and from a recipe to plain settings."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pydantic_core import to_jsonable_python

from artaffect.config import Recipe, SeparateConfig, load_recipe
from artaffect.errors import ConfigError, InputError
from artaffect.runtime import as_list
from artaffect.settings import flatten

Settings = Mapping[str, Any] | Sequence[str] | None
"""Changes to a recipe: by dotted or nested keys, or as ``key.path=value`` whose values are TOML."""


def resolve_recipe(
    recipe: Any,
    settings: Settings = None,
    sources: str | Sequence[str] | None = None,
    initial: str | os.PathLike[str] | None = None,
) -> Recipe:
    """The recipe of a name, a file or an object, as a training is to use it.

    Args:
        settings: changes to a recipe that is given by name or file.
        sources: the sources that are trained, ``image`` or ``caption``; by default all that it has.
        initial: a model to begin with.

    Raises:
        ConfigError: a setting is unknown or out of range, the recipe has no such source, or it
            cannot begin with a model.
        InputError: ``settings`` are given with an object.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(os.fspath(recipe), Recipe, overrides_from(settings))
    elif settings:
        raise InputError("settings change a recipe given by name or file; change the object itself")
    if sources is not None:
        recipe = _with_sources(recipe, as_list(sources, "sources"))
    return begin_with(recipe, initial)


def _with_sources(config: Recipe, sources: Sequence[str]) -> Recipe:
    """The recipe with some of its sources only."""
    known = config.sources if isinstance(config, SeparateConfig) else {}
    if unknown := [name for name in sources if name not in known]:
        has = " and ".join(known) or f"none to choose from (it is of the kind {config.kind!r})"
        raise ConfigError(f"the recipe has no source {unknown[0]!r}; its sources: {has}")
    dropped: dict[str, Any] = {name: None for name in known if name not in sources}
    return replace(config, **dropped)


def begin_with(config: Recipe, initial: str | os.PathLike[str] | None) -> Recipe:
    """The recipe with the setting ``initial``; raises ConfigError if it fine-tunes an encoder."""
    if initial is None:
        return config
    if not (isinstance(config, SeparateConfig) and config.frozen):
        raise ConfigError(
            "an initial model needs a recipe of the kind 'separate' with frozen sources, such as compact"
        )
    return replace(config, initial=os.fspath(initial))


def overrides_from(settings: Settings) -> list[str]:
    """Settings as ``key.path=value``, whose values are TOML."""
    if not isinstance(settings, Mapping):
        return list(settings or ())
    # strings, numbers, booleans and lists are written alike in JSON and TOML
    return [f"{key}={json.dumps(value, default=os.fspath)}" for key, value in flatten(settings)]


def recipe_of(config: Recipe) -> dict[str, Any]:
    """All settings of a recipe as plain JSON."""
    return to_jsonable_python({"kind": config.kind, **asdict(config)})


def differences(old: Any, new: Any, prefix: str = "") -> Iterator[str]:
    """Say of each setting that differs what it was and what it is."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        if old != new:
            yield f"{prefix.rstrip('.')} was {old!r}, is {new!r}"
        return
    for key in {**old, **new}:
        yield from differences(old.get(key), new.get(key), f"{prefix}{key}.")
