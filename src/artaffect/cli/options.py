"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A model folder made by artaffect train.")]
Data = Annotated[Path, typer.Option("--data", help="A table made by artaffect import.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="Where features are kept; default: the user's cache folder."),
]
Culture = Annotated[
    list[str] | None,
    typer.Option("--culture", help="Whose reading; repeatable. Default: every culture."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older result.")]
