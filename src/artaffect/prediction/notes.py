"""What a reader of a prediction must know, by kind and in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from artaffect.labels import ANY_CULTURE
from artaffect.prediction.sets import describe_basis

if TYPE_CHECKING:
    from artaffect.prediction.types import ModelDescription, PreparedInput

NoteKind = Literal[
    "culture",
    "language",
    "truncated",
    "frames",
    "set",
    "outside",
    "synthetic",
    "caveat",
    "unfamiliar",
    "no-words",
]
"""By which a page finds its own words for a note."""


@dataclass(frozen=True)
class Note:
    """A caveat of a prediction."""

    kind: NoteKind
    text: str


def notes_of(model: "ModelDescription", culture: str, item: "PreparedInput") -> list[Note]:
    """The caveats of a prediction for one culture."""
    texts: dict[NoteKind, str | None] = {
        "culture": _about_culture(model, culture),
        **_about_item(model, item),
        "set": _about_set(model, culture, item),
        "outside": None,
        "synthetic": "the model was trained on synthetic data" if model.synthetic else None,
        "caveat": model.caveat,
    }
    if model.outside and item.outside is None:
        names = ", ".join(model.outside)
        texts["outside"] = f"predicted without {names}, which the model can also use"
    return [Note(kind, text) for kind, text in texts.items() if text]


def _about_culture(model: "ModelDescription", culture: str) -> str | None:
    if not model.cultures and culture != ANY_CULTURE:
        return f"this model knows no cultures: its prediction for {culture!r} is the one for all"
    if model.cultures and culture not in model.cultures:
        return (
            f"the culture {culture!r} was not in training (known: {', '.join(model.cultures)}): "
            "this is the prediction for all cultures together"
        )
    return None


def _about_item(model: "ModelDescription", item: "PreparedInput") -> dict[NoteKind, str]:
    texts: dict[NoteKind, str] = {}
    if item.language and item.language.strip().lower() not in model.languages:
        texts["language"] = (
            f"no captions in {item.language!r} were in training "
            f"(known: {', '.join(model.languages)}): trust the influence of the caption less"
        )
    if item.truncated and model.captions:
        texts["truncated"] = (
            f"the caption is longer than the {model.captions.preprocessing.max_length} tokens "
            "that the model reads: its end had no influence"
        )
    if item.is_first_frame:
        texts["frames"] = "the image file has several frames or pages: only the first was read"
    return texts


def _about_set(model: "ModelDescription", culture: str, item: "PreparedInput") -> str | None:
    if item.sets is None or model.conformal is None:
        return None
    threshold = model.conformal.threshold(item.kind, culture, item.sets)
    return describe_basis(threshold, culture, item.sets, culture in model.cultures)
