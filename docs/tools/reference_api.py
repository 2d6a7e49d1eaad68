"""The reference pages of the service and the library, generated from the code."""

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import artaffect
from artaffect.server.limits import ServiceLimits
from artaffect.server.problems import PROBLEMS
from artaffect.server.routes import unversioned, v1
from artaffect.server.telemetry import Metrics

_METRICS = ("artaffect.metrics.classification", "artaffect.metrics.distances")


def service_page(note: str) -> str:
    """Routes, fields, responses, problems, limits and metrics of the service, in Markdown."""
    app = FastAPI(title="artaffect")
    app.include_router(v1)
    app.include_router(unversioned)
    document = app.openapi()
    schemas = document["components"]["schemas"]
    sections = [
        "# The service",
        note,
        "How to run it: [serving](serving.md). The OpenAPI document is at `/openapi.json`.",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            sections.append(_operation(f"{method.upper()} {path}", operation, schemas))
    names = [n for n in schemas if not n.startswith(("Body_", "HTTPValidation", "Validation"))]
    sections.append("## Requests and responses")
    for name in sorted(names):
        about = (
            f"{schemas[name].get('description', '')}\n\n" if "description" in schemas[name] else ""
        )
        sections.append(f"### {name}\n\n{about}{_table(schemas[name])}")
    sections += ["## Problems", _problems(), "## Limits", _limits(), "## Metrics", _counters()]
    return "\n\n".join(sections) + "\n"


def python_page(note: str) -> str:
    """The public names and the metrics with their docstrings, in Markdown."""
    sections = [
        "# Python",
        note,
        "Import the public names from `artaffect`. Each is loaded when it is first used.",
    ]
    sections += [_documented(name, getattr(artaffect, name)) for name in artaffect.__all__]
    sections.append("# Metrics\n\nPure functions on arrays.")
    for module in _METRICS:
        sections.append(f"From `{module}`:")
        members = vars(import_module(module)).items()
        sections += [
            _documented(name, thing)
            for name, thing in members
            if inspect.isfunction(thing) and thing.__module__ == module and not name.startswith("_")
        ]
    return "\n\n".join(sections) + "\n"


def field_meanings(kind: type) -> dict[str, str]:
    """The docstring under each field of a dataclass, in one line; Python itself discards it."""
    meanings = {}
    for base in reversed(kind.__mro__[:-1]):
        (body,) = (
            node.body
            for node in ast.walk(ast.parse(Path(inspect.getfile(base)).read_text("utf-8")))
            if isinstance(node, ast.ClassDef) and node.name == base.__name__
        )
        for field, text in zip(body, body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                name, value = field.target, text.value
                if isinstance(name, ast.Name) and isinstance(value, ast.Constant):
                    meanings[name.id] = " ".join(str(value.value).replace("``", "`").split())
    return meanings


def _operation(title: str, operation: dict[str, Any], schemas: dict[str, Any]) -> str:
    lines = [f"## {title}", "", operation["description"]]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        name = _reference(schema)
        if name.startswith("Body_"):
            lines += ["", f"Accepts `{kind}`:", "", _table(schemas[name])]
        else:
            lines += ["", f"Accepts `{kind}`: [{name}](#{name.lower()})."]
    codes = []
    for code, response in operation["responses"].items():
        kinds = response.get("content", {})
        if code == "200":
            name = _reference(kinds.get("application/json", {}).get("schema", {}))
            if name in schemas:
                lines += ["", f"Returns [{name}](#{name.lower()})."]
        elif "application/problem+json" in kinds:
            codes.append(code)
    if codes:
        lines += ["", f"Problems: {', '.join(codes)}; see [problems](#problems)."]
    return "\n".join(lines)


def _table(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return "One of " + ", ".join(f"`{value}`" for value in schema["enum"]) + "."
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    for name, field in schema.get("properties", {}).items():
        meaning = [field.get("description", "")]
        meaning += ["Required."] if name in schema.get("required", ()) else []
        rows.append(f"| `{name}` | {_kind(field)} | {' '.join(filter(None, meaning))} |")
    return "\n".join(rows)


def _kind(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(part) for part in field["anyOf"])
    if "$ref" in field:
        name = _reference(field)
        return f"[{name}](#{name.lower()})"
    if "enum" in field or "const" in field:
        return "one of " + ", ".join(f"`{v}`" for v in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"map to {_kind(field['additionalProperties'])}"
    if (
        field.get("contentMediaType") == "application/octet-stream"
        or field.get("format") == "binary"
    ):
        return "file"
    return str(field.get("type", "any"))


def _reference(schema: dict[str, Any]) -> str:
    if schema.get("type") == "array":
        return _reference(schema["items"])
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _problems() -> str:
    rows = ["| `urn:artaffect:problem:` | status | title |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {kind.status} | {kind.title} |" for name, kind in PROBLEMS.items()]
    return "\n".join(rows)


def _limits() -> str:
    meanings = field_meanings(ServiceLimits)
    rows = ["| limit | meaning | default |", "| --- | --- | --- |"]
    for field in fields(ServiceLimits):
        rows.append(f"| `{field.name}` | {meanings[field.name]} | {field.default:,} |")
    return "\n".join(rows)


def _counters() -> str:
    rows = ["| name | kind | meaning |", "| --- | --- | --- |"]
    for family in Metrics().registry.collect():
        if family.name.startswith("artaffect"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    rows.append(
        "| `process_…` | gauge, counter | Memory, CPU time and open files of the process. |"
    )
    return "\n".join(rows)


def _documented(name: str, thing: Any) -> str:
    lines = [f"## {name}"]
    if callable(thing) and not (inspect.isclass(thing) and issubclass(thing, str | Exception)):
        lines += ["", "```text", f"{name}{_signature(thing)}", "```"]
    lines += ["", *_prose(inspect.getdoc(thing) or "")]
    if inspect.isclass(thing):
        lines += [""] if (members := list(_members(thing))) else []
        lines += members
    if not callable(thing):
        lines = [f"## {name}", "", "`" + "`, `".join(map(str, thing)) + "`"]
    return "\n".join(lines).rstrip()


def _members(kind: type) -> Iterator[str]:
    if is_dataclass(kind):
        meanings = field_meanings(kind)
        for field in fields(kind):
            meaning = meanings.get(field.name)
            yield f"- `{field.name}`" + (f": {meaning}" if meaning else "")
    for name in vars(kind):
        member = inspect.getattr_static(kind, name)
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        heading = name if isinstance(member, property) else name + _signature(function, bound=True)
        first = _plain((inspect.getdoc(function) or "").partition("\n\n")[0].replace("\n", " "))
        yield f"- `{heading}`" + (f": {first}" if first else "")


def _signature(thing: Any, bound: bool = False) -> str:
    signature = inspect.signature(thing)
    parameters = [
        p for p in signature.parameters.values() if not (bound and p.name in ("self", "cls"))
    ]
    text = str(signature.replace(parameters=parameters))
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+", "", text).replace("'", "")


def _prose(text: str) -> Iterator[str]:
    """A docstring as Markdown: section headings become bold, and their items become a list."""
    section = ""
    for line in _plain(text).splitlines():
        if line in ("Args:", "Returns:", "Raises:"):
            section = line[:-1]
            yield f"**{section}**\n"
        elif not line.startswith(" "):
            section = section if not line else ""
            yield line
        else:
            item = section != "Returns" and not line.startswith("     ")
            yield f"- {line.strip()}" if item else f"  {line.strip()}"


def _plain(text: str) -> str:
    return re.sub(r":\w+:`", "`", text.replace("``", "`"))
