"""Recipes: strict TOML into settings. An unknown key is refused, with the nearest known one."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from artaffect.config import RECIPES, Recipe
from artaffect.errors import ConfigError, UnknownNameError

T = TypeVar("T")
R = TypeVar("R", bound=Recipe)


def recipe_names() -> list[str]:
    """The recipes that come with artaffect."""
    folder = files("artaffect") / "configs"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_recipe(name: str, kind: type[R], overrides: Sequence[str] = ()) -> R:
    """Read a recipe by name, or a TOML file by path, and apply ``key.path=value`` overrides.

    Args:
        kind: what the recipe must be; ``Recipe`` takes all kinds.

    Raises:
        UnknownNameError: no recipe has this name.
        ConfigError: see :func:`parse_config`; an override is not ``key=value``; or the recipe is
            of another kind.
    """
    path = Path(name)
    if path.suffix != ".toml":
        if name not in recipe_names():
            raise UnknownNameError("recipe", name, recipe_names())
        path = Path(str(files("artaffect") / "configs" / f"{name}.toml"))
    values = read_toml(path, name, overrides)
    named = values.pop("kind", "compact")
    if named not in RECIPES:
        raise ConfigError(f"{name}: {UnknownNameError('kind of recipe', str(named), RECIPES)}")
    if not issubclass(RECIPES[named], kind):
        raise ConfigError(f"{name} is a recipe of the kind {named!r}; expected {kind.kind!r}")
    found = parse_config(values, RECIPES[named], name)
    assert isinstance(found, kind)
    return found


def read_toml(path: Path | None, name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a TOML file, or of none, under ``key.path=value`` overrides.

    Raises:
        ConfigError: the file cannot be read or is no TOML, or an override is not ``key=value``.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8") if path else "")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    for override in overrides:
        _apply(values, override)
    return values


def parse_config(values: Mapping[str, Any], kind: type[T], source: str) -> T:
    """Check values against a settings class.

    Raises:
        ConfigError: every unknown key, missing key and value that does not fit, a line each.
    """
    from pydantic import TypeAdapter, ValidationError

    unknown = list(_unknown_keys(values, kind))
    if unknown:
        raise ConfigError(f"{source}: " + "; ".join(unknown))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}, got {fault['input']!r}"
            if fault["type"] not in ("value_error", "missing")
            else f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ConfigError(f"{source}: " + "; ".join(faults)) from None


def settings_class(hint: Any) -> Any:
    """The class behind ``X | None``; any other hint as it is."""
    choices = [h for h in get_args(hint) if h is not type(None)]
    return choices[0] if isinstance(hint, UnionType) and len(choices) == 1 else hint


def _unknown_keys(values: Mapping[str, Any], kind: Any, prefix: str = "") -> list[str]:
    hints = get_type_hints(kind)
    known = {f.name: settings_class(hints[f.name]) for f in fields(kind)}
    faults: list[str] = []
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(known)}"
            faults.append(f"unknown key {prefix}{key} ({hint})")
        elif is_dataclass(known[key]) and isinstance(value, Mapping):
            faults += _unknown_keys(value, known[key], f"{prefix}{key}.")
    return faults


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one value; what follows ``=`` is TOML, or else plain text."""
    path, sign, text = override.partition("=")
    if not sign or not path.strip():
        raise ConfigError(f"an override reads key.path=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, leaf = (part.strip() for part in path.split("."))
    target = values
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{override!r}: {parent} holds a value, not a group of settings")
    target[leaf] = value
