"""What the package imports is declared, with bounds that the tested versions satisfy."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
USED = [
    Requirement(text)
    for texts in (PROJECT["project"]["dependencies"], *EXTRAS.values())
    for text in texts
    if not text.startswith("artaffect[")
]
DISTRIBUTIONS = {
    "mlflow": ["mlflow-skinny"],
    "optuna": ["optuna"],
    "peft": ["peft"],
    "ray": ["ray"],
    "timm": ["timm"],
    "trackio": ["trackio"],
}
"""Of packages that may not be installed."""


def imported() -> set[str]:
    """The top-level packages of all imports, also of those inside functions."""
    names: set[str] = set()
    for path in (ROOT / "src" / "artaffect").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"artaffect"}


def test_every_imported_distribution_is_declared() -> None:
    declared = {
        canonicalize_name(requirement.name)
        for group, texts in (("", PROJECT["project"]["dependencies"]), *EXTRAS.items())
        for requirement in map(Requirement, texts)
        if group != "dev"
    }
    known = {**DISTRIBUTIONS, **packages_distributions()}
    for name in sorted(imported()):
        distributions = {canonicalize_name(distribution) for distribution in known[name]}
        assert distributions & declared, f"{name} is imported, but not declared"


def test_every_dependency_has_an_upper_bound() -> None:
    build = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
    for requirement in (*USED, *build):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {"<", "<=", "==", "~="}, f"{requirement} has no upper bound"


def test_the_tested_versions_are_within_the_bounds() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = re.findall(r"^([\w.-]+)==([\w.]+)", "\n".join(lines), re.M)
    for requirement in USED:
        versions = [v for name, v in pinned if name == canonicalize_name(requirement.name)]
        assert versions or requirement.name == "timm", f"{requirement} was not tested"
        for version in versions:
            assert version in requirement.specifier, f"{requirement} excludes {version}"


def test_parsers_of_requests_have_no_known_vulnerability() -> None:
    """Each version is the last one that an advisory of its project, or of its database, excludes."""
    vulnerable = {"h11": "0.15", "python-multipart": "0.0.30", "starlette": "1.3.0"}
    vulnerable |= {"jinja2": "3.1.5", "pillow": "12.1.0"}
    for name, version in vulnerable.items():
        (requirement,) = (r for r in USED if r.name == name)
        assert version not in requirement.specifier, f"{requirement} allows {version}"
