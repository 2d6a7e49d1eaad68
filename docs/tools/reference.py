"""The reference pages, made from the program itself: ``python -m docs.tools.reference docs``."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

import typer.main

from artaffect.cli.main import app
from artaffect.config import RECIPES, Recipe, load_recipe, recipe_names
from artaffect.settings import settings_class
from artaffect.shared_task.rules import SharedTaskRules
from docs.tools.reference_api import field_meanings, python_page, service_page

_NOTE = "<!-- Made by `python -m docs.tools.reference docs`; edit the program, not this page. -->"


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
    """The recipes, and every setting of every kind with its default, in Markdown."""
    sections = [
        "# Settings",
        _NOTE,
        "A recipe is a TOML file; `artaffect train RECIPE --set key=value` changes one of its settings, and "
        "a file of your own may stand in its place. Its first key, `kind`, says what is trained.",
        "\n".join(["| recipe | kind | what it is |", "| --- | --- | --- |", *_recipes()]),
    ]
    groups: dict[str, Any] = {**RECIPES, "Rules of the shared task": SharedTaskRules}
    for name, kind in groups.items():
        lines = ["| key | meaning | default |", "| --- | --- | --- |", *_rows(kind)]
        sections += [f"## {name}", (kind.__doc__ or "").strip(), "\n".join(lines)]
    return "\n\n".join(sections) + "\n"


def _recipes() -> Iterator[str]:
    for name in recipe_names():
        text = (files("artaffect") / "recipes" / f"{name}.toml").read_text("utf-8")
        comment = [line[2:] for line in text.partition("\n\n")[0].splitlines()]
        yield f"| `{name}` | {load_recipe(name, Recipe).kind} | {' '.join(comment)} |"


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


def _rows(kind: Any, prefix: str = "") -> list[str]:
    meanings, hints = field_meanings(kind), get_type_hints(kind)
    rows = []
    for f in fields(kind):
        group = settings_class(hints[f.name])
        if is_dataclass(group):
            rows += _rows(group, f"{prefix}{f.name}.")
            continue
        default = "required" if f.default is MISSING else repr(f.default)
        rows.append(f"| `{prefix}{f.name}` | {meanings[f.name]} | `{default}` |")
    return rows


PAGES: Mapping[str, Callable[[], str]] = {
    "commands.md": commands_page,
    "settings.md": settings_page,
    "service.md": lambda: service_page(_NOTE),
    "python.md": lambda: python_page(_NOTE),
}


def main() -> None:
    """Write all pages into the folder given."""
    for name, page in PAGES.items():
        (Path(sys.argv[1]) / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
