"""Settings from TOML files: read strictly into frozen dataclasses, with overrides applied."""

import difflib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from artaffect.errors import ConfigError

T = TypeVar("T")


def read_toml(path: Path | None, name: str, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a TOML file, or none without a file, with ``key.path=value`` overrides applied.

    Raises:
        ConfigError: the file cannot be read or is not TOML, or an override is not ``key=value``.
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


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as pairs of a dotted key and a value."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def parse_config(values: Mapping[str, Any], kind: type[T], source: str) -> T:
    """Check values against a settings class.

    Raises:
        ConfigError: names every unknown key, missing key and value that does not fit.
    """
    if unknown := list(_unknown_keys(values, kind)):
        raise ConfigError(f"{source}: " + "; ".join(unknown))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(map(_describe, error.errors()))) from None


def _describe(problem: Mapping[str, Any]) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] not in ("value_error", "missing"):
        message += f", got {problem['input']!r}"
    return ": ".join(filter(None, (".".join(map(str, problem["loc"])), message)))


def settings_class(hint: Any) -> Any:
    """The class in ``X | None``; any other hint unchanged."""
    choices = [h for h in get_args(hint) if h is not type(None)]
    return choices[0] if isinstance(hint, UnionType) and len(choices) == 1 else hint


def _unknown_keys(values: Mapping[str, Any], kind: Any, prefix: str = "") -> Iterator[str]:
    hints = get_type_hints(kind)
    known = {f.name: settings_class(hints[f.name]) for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(known)}"
            yield f"unknown key {prefix}{key} ({hint})"
        elif is_dataclass(known[key]) and isinstance(value, Mapping):
            yield from _unknown_keys(value, known[key], f"{prefix}{key}.")


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one value; the text after ``=`` is TOML, or else plain text."""
    path, sign, text = override.partition("=")
    if not sign or not path.strip():
        raise ConfigError(f"an override has the form key.path=value, got {override!r}")
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
