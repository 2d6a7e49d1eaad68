"""The rules of the shared task, from their defaults, a TOML file and overrides."""

from collections.abc import Sequence
from pathlib import Path

from artaffect.config import SharedTaskRules
from artaffect.recipes import parse_config, read_toml


def load_rules(path: Path | None, overrides: Sequence[str] = ()) -> SharedTaskRules:
    """The rules as last stated, changed by a TOML file and by ``key=value`` overrides.

    Raises:
        ConfigError: an unknown key or a value that does not fit.
    """
    name = "rules" if path is None else str(path)
    return parse_config(read_toml(path, name, overrides), SharedTaskRules, name)
