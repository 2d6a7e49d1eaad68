"""Names in the package say what they hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "artaffect"
MODULES = sorted(PACKAGE.rglob("*.py"))

VAGUE = {"found", "said", "asked", "mine", "whose"}
"""Words that say how a value was obtained, not what it is."""
FOREIGN = ("picture", "painting", "habit")
"""Words for which the field has a standard term: image, artwork, prior."""
ALLOWED = {"keep_unpictured"}
"""What users know: the option of the readers."""


def names_bound_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_name_is_vague(path: Path) -> None:
    names = set(names_bound_in(ast.parse(path.read_text("utf-8"))))
    assert not names & VAGUE
    assert not [n for n in names - ALLOWED if any(word in n.lower() for word in FOREIGN)]
