"""Mistakes in a request that are found before torch or a model is loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artaffect.errors import InputError, UnknownNameError
from artaffect.labels import LabelSet

if TYPE_CHECKING:
    from artaffect.data.annotations import AnnotationTable


def check_run(run: str) -> dict[str, Any]:
    """The configuration of a model folder; its files are compared with their checksums later."""
    from artaffect.models.folder import CHECKSUMS, check_folder, read_config
    from artaffect.models.hub import resolve_run

    folder = resolve_run(run)
    if not all((folder / name).is_file() for name in (CHECKSUMS, "config.json")):
        check_folder(folder)  # says what is missing
    return read_config(folder)


def check_scored(run: str, sets: float | None) -> None:
    """Check a run that is to be scored, one for each seed if it holds several, and its sets."""
    from artaffect.models.folder import seed_folders
    from artaffect.models.hub import resolve_run

    for folder in seed_folders(resolve_run(run)):
        check_run(str(folder))
        check_sets(str(folder), sets)


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """The values of a repeatable option of the form NAME=TEXT."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [name for name, sign, _ in pairs if not sign]:
        raise InputError(f"{option} has the form NAME=TEXT, got {wrong[0]!r}")
    return {name: text for name, _, text in pairs}


def check_cultures(run: str, cultures: Sequence[str] | None, new: bool) -> None:
    """Refuse a culture that was not in training, which may be misspelt, unless it is meant to be new."""
    from artaffect.prediction.types import culture_names

    known = check_run(run)["cultures"]
    unknown = [name for name in culture_names(cultures or None) or () if name not in known]
    if unknown and not new:
        raise InputError(
            f"{UnknownNameError('culture', unknown[0], known)} For a culture that was not in "
            "training, add --new-culture: it gets the prediction for all cultures together."
        )


def check_sets(run: str, sets: float | None) -> None:
    """Refuse a level that is none, and sets from a model that cannot make them."""
    from artaffect.prediction import sets as prediction_sets

    prediction_sets.check_sets(sets, check_run(run)["conformal"])


def check_label(run: str, label: str | None) -> None:
    """Refuse a label that the model does not predict."""
    if label is not None:
        LabelSet.from_json(check_run(run)["labels"]).parse(label)


def check_artwork(image: Path | None, caption: str | None, language: str | None) -> None:
    """Check that an image or a caption is given, and that the image can be opened."""
    from artaffect.data.preprocessing import open_header
    from artaffect.prediction.types import PredictionInput

    PredictionInput(image, caption, language)
    if image is not None:
        with open_header(image):
            pass


def load_table(
    data: Path, images: Path | None, *splits: str, culture_column: str | None = None
) -> "AnnotationTable":
    """Load a table that must have rows in the given splits; another column may be its culture."""
    from artaffect.data.annotations import AnnotationTable

    table = AnnotationTable.load(data, images)
    table.check_images()
    if culture_column:
        table = table.with_culture(culture_column)
    for split in splits:
        table.of_split(split)
    return table
