"""What the functions of the Python API take: tables, paths, files of predictions."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from artaffect.errors import InputTypeError
from artaffect.outputs import check_output_folder
from artaffect.runtime import as_path

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable

PathLike = str | os.PathLike[str]
Table: TypeAlias = "AnnotationTable | PathLike"
"""A table, or the Parquet file that holds one."""
OutsideFiles: TypeAlias = Mapping[str, PathLike]
"""Files of predictions that were made elsewhere, each under its name."""


def check_results_folder(
    folder: Path, table: "AnnotationTable", outside: OutsideFiles | None, files: Sequence[str]
) -> None:
    """Refuse a folder for results in which a file would replace an input."""
    inputs = [*table.sources, *(as_path(file, "outside") for file in (outside or {}).values())]
    check_output_folder(folder, inputs, files)


def as_table(table: Table) -> "AnnotationTable":
    """A table, loaded if it is the path of one."""
    from artaffect.data.annotations import AnnotationTable

    if isinstance(table, AnnotationTable):
        return table
    if not isinstance(table, str | os.PathLike):
        raise InputTypeError(
            f"table must be an AnnotationTable or the path of one, got {type(table).__name__}"
        )
    return AnnotationTable.load(table)


def optional_path(path: PathLike | None, name: str) -> Path | None:
    """A path or None, the argument of this name."""
    return None if path is None else as_path(path, name)
