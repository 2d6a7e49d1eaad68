"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A model folder, or hf:OWNER/MODEL on the Hugging Face hub."
    ),
]
Data = Annotated[Path, typer.Option("--data", help="A table made by `artaffect import`.")]
Cache = Annotated[
    Path | None,
    typer.Option("--cache", help="The feature cache. Default: the user's cache folder."),
]
Culture = Annotated[
    list[str] | None,
    typer.Option("--culture", help="A culture to predict for; repeatable. Default: all of them."),
]
Image = Annotated[Path | None, typer.Option("--image", help="An image of the artwork.")]
Caption = Annotated[
    str | None, typer.Option("--caption", help="A caption of the artwork, in any language.")
]
Language = Annotated[
    str | None, typer.Option("--language", help="The language the caption is written in.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an older result.")]
RecipeName = Annotated[
    str, typer.Argument(metavar="[RECIPE]", help="The name of a recipe, or a TOML file.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a setting, for example --set caption.train.epochs=20; repeatable."
    ),
]
Split = Annotated[str, typer.Option("--split", help="The split to score: train, val or test.")]
