"""The reference pages, made from the program itself: ``python -m artaffect.cli.reference docs``."""

import ast
import sys
import tomllib
from dataclasses import MISSING, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

import typer.main

from artaffect.cli.main import app
from artaffect.config import CompactConfig

_NOTE = (
    "<!-- Made by `python -m artaffect.cli.reference docs`; edit the program, not this page. -->"
)


def commands_page() -> str:
    """Every command with its arguments and options, in Markdown."""
    sections = ["# Commands", _NOTE]
    group: Any = typer.main.get_command(app)
    for name, command in sorted(group.commands.items()):
        nested = getattr(command, "commands", None)
        parts = {f"{name} {child}": c for child, c in nested.items()} if nested else {name: command}
        sections += [_section(full, part) for full, part in sorted(parts.items())]
    return "\n\n".join(sections) + "\n"


def settings_page() -> str:
    """Every setting of the recipe ``compact`` with its default, in Markdown."""
    lines = [
        "# Settings",
        _NOTE,
        "A recipe is a TOML file with these keys; `artaffect train --set key=value` changes one. "
        "The recipe `compact` is the default; its values stand last.",
        "| key | meaning | default | compact |",
        "| --- | --- | --- | --- |",
    ]
    compact = tomllib.loads((files("artaffect") / "configs" / "compact.toml").read_text("utf-8"))
    return (
        "\n\n".join(lines[:3])
        + "\n\n"
        + "\n".join([*lines[3:], *_rows(CompactConfig, compact)])
        + "\n"
    )


def _section(name: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
    usage = " ".join(
        ["artaffect", name, *(a.metavar or a.name.upper() for a in arguments), "[OPTIONS]"]
    )
    lines = [f"## {name}", "", command.help.strip(), "", f"    {usage}", ""]
    lines += [f"- `{a.metavar or a.name.upper()}`: {a.help}" for a in arguments]
    for option in options:
        names = ", ".join(f"`{o}`" for o in option.opts)
        if option.required:
            default = " Required."
        elif option.default in (None, False) or option.multiple or callable(option.default):
            default = ""
        else:
            default = f" Default: {'on' if option.default is True else option.default}."
        lines.append(f"- {names}: {option.help or ''}{default}")
    return "\n".join(lines)


def _rows(kind: Any, values: dict[str, Any], prefix: str = "") -> list[str]:
    meanings, hints = _field_docstrings(kind), get_type_hints(kind)
    rows = []
    for f in fields(kind):
        value = values.get(f.name, "")
        if is_dataclass(hints[f.name]):
            rows += _rows(hints[f.name], value or {}, f"{prefix}{f.name}.")
            continue
        default = "required" if f.default is MISSING else repr(f.default)
        meaning = " ".join(meanings[f.name].replace("``", "`").split())
        shown = "" if value == "" else repr(value)
        rows.append(
            f"| `{prefix}{f.name}` | {meaning} | `{default}` | {f'`{shown}`' if shown else ''} |"
        )
    return rows


def _field_docstrings(kind: type) -> dict[str, str]:
    """The string under each field, which Python itself does not keep."""
    source = (files("artaffect") / "config.py").read_text("utf-8")
    body = next(
        node.body
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    found = {}
    for field, text in zip(body, body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            name, value = field.target, text.value
            if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                found[name.id] = str(value.value)
    # a group of settings is explained by its own fields
    return found


def main() -> None:
    """Write both pages into the folder given."""
    folder = Path(sys.argv[1])
    (folder / "commands.md").write_text(commands_page(), "utf-8")
    (folder / "settings.md").write_text(settings_page(), "utf-8")


if __name__ == "__main__":
    main()
