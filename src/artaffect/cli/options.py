"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from typer import Argument, Option


class Format(StrEnum):
    """How scores are printed."""

    TEXT = "text"
    JSON = "json"
    LATEX = "latex"


ScoreFormat = Annotated[
    Format,
    Option(
        "--format",
        help="How to print the result: text, json (as --json), or latex, which is every table for the "
        "package booktabs, with intervals in cells of their own.",
    ),
]
Json = Annotated[bool, Option("--json", help="Print the result as JSON.")]
Run = Annotated[
    str,
    Argument(
        metavar="RUN",
        help="A model folder, hf:OWNER/MODEL on the Hugging Face hub, or starter, which is built in.",
    ),
]
Data = Annotated[Path, Option(help="A table made by `artaffect import`.")]
ImageFolder = Annotated[
    Path | None,
    Option("--images", help="The folder of the table's images. Default: the one it was made with."),
]
CultureColumn = Annotated[
    str | None,
    Option(
        help="Take another column of the table for the culture: one carried along by import table, or "
        "language, art_style or annotator."
    ),
]
With = Annotated[
    list[str] | None,
    Option(
        "--with",
        help="Predictions that were made elsewhere, for example clip=clip.csv: a table with annotation_id "
        "or artwork_id, perhaps culture, and one column for each label; repeatable.",
    ),
]
Features = Annotated[
    Path | None,
    Option(
        help="The file of the image features, for a model trained with image.encoder=features:FILE."
    ),
]
WithOne = Annotated[
    list[str] | None,
    Option(
        "--with",
        help="What an outside source of the model predicts for this artwork, for example clip=answer.csv: "
        "a table as for train --with, with this artwork alone; repeatable.",
    ),
]
Cache = Annotated[Path | None, Option(help="The feature cache. Default: the user's cache folder.")]
Sources = Annotated[
    list[str] | None,
    Option(
        "--source",
        help="Train this source of the recipe only, image or caption; repeatable. Default: all of them.",
    ),
]
Init = Annotated[
    str | None,
    Option(
        help="A model folder, or starter, to begin with: its answer is weighed against that of the "
        "heads trained here."
    ),
]
Culture = Annotated[
    list[str] | None, Option(help="A culture to predict for; repeatable. Default: all of them.")
]
NewCulture = Annotated[
    bool,
    Option("--new-culture", help="Accept a --culture that was not in training, and note it."),
]
Sets = Annotated[
    float | None,
    Option(
        "--sets",
        metavar="LEVEL",
        help="Also give the set of emotions that holds the true one with this probability, such as 0.9.",
    ),
]
ScoredSets = Annotated[
    float | None,
    Option("--sets", metavar="LEVEL", help="The level of the prediction sets. Default: 0.9."),
]
Image = Annotated[Path | None, Option(help="An image of the artwork.")]
Caption = Annotated[str | None, Option(help="A caption of the artwork, in any language.")]
Language = Annotated[str | None, Option(help="The language the caption is written in.")]
AllLanguage = Annotated[str | None, Option(help="The language of all captions.")]
Encoding = Annotated[str | None, Option(help="The encoding of a text file. Default: detected.")]
Delimiter = Annotated[
    str | None, Option(help="The character between cells, or tab. Default: detected.")
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace an older result.")]
RecipeName = Annotated[
    str, Argument(metavar="[RECIPE]", help="The name of a recipe, or a TOML file.")
]
Settings = Annotated[
    list[str] | None,
    Option(
        "--set", help="Change a setting, for example --set caption.train.epochs=20; repeatable."
    ),
]
Split = Annotated[str, Option(help="The split to score: train, val or test.")]
