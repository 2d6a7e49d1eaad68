"""Results as files by their suffix: CSV for spreadsheets, Markdown for papers, JSON for programs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from artaffect.data.listing import write_listing
from artaffect.errors import OutputError
from artaffect.reports.pages import write
from artaffect.reports.tables import TextTable
from artaffect.runtime import to_json_text

SUFFIXES = (".csv", ".md", ".json")


def check_suffix(path: Path) -> None:
    """Refuse a name that tells none of the formats; raises an OutputError."""
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path}: expected a name that ends with {', '.join(SUFFIXES[:-1])} or .json"
        )


def save_listing(
    path: Path,
    tables: Sequence[TextTable],
    header: Sequence[str],
    records: Iterable[Sequence[Any]],
    content: Mapping[str, Any],
) -> None:
    """Write a result in the format that the file's name tells.

    Args:
        tables: what Markdown shows.
        header: the columns of the CSV file; ``records`` are its rows.
        content: the JSON.
    """
    check_suffix(path)
    formats: dict[str, Callable[[], None]] = {
        ".csv": lambda: write_listing(path, header, [[*map(_cell, record)] for record in records]),
        ".md": lambda: write(path, "\n".join(table.to_markdown() for table in tables)),
        ".json": lambda: write(path, to_json_text(content)),
    }
    formats[path.suffix.lower()]()


def _cell(value: Any) -> Any:
    """An empty cell for what is missing, as NaN is."""
    return "" if value is None or value != value else value
