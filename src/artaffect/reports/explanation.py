"""The page that explains one prediction."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from artaffect.data.preprocessing import ImagePreprocessing, open_image
from artaffect.errors import ImageError
from artaffect.explain.overlay import overlay_png, thumbnail_jpeg
from artaffect.prediction.predictor import PredictionInput
from artaffect.prediction.types import ModelDescription
from artaffect.reports.culture_figures import deletion_curve, emotion_bars
from artaffect.reports.culture_tables import emotion_table
from artaffect.reports.downloads import Downloads, english_names
from artaffect.reports.figures import Figure
from artaffect.reports.pages import data_address, render
from artaffect.reports.palette import label_colours
from artaffect.reports.tables import TextTable

if TYPE_CHECKING:  # explanations need the extra explain
    from artaffect.explain.explainer import Check, CultureExplanation, Explanation

_NEIGHBOUR_SIDE = 160
_PARTS = {"image": "regions", "caption": "words"}
_TERMS = {
    "prior": "typical for this culture",
    "image": "image",
    "caption": "caption",
}


def save_explanation(
    explanation: "Explanation", item: PredictionInput, path: Path, model: ModelDescription
) -> None:
    """Write an explanation as one page that is read without any other file, and its figures beside it.

    Args:
        item: what was explained.
        model: what made the prediction; its preprocessing decides which part of the image it sees.
    """
    predictions = [culture.prediction for culture in explanation.by_culture]
    columns = {p.culture: list(p.probabilities.values()) for p in predictions}
    downloads = Downloads(path, english_names(model.labels))
    names, colours = list(predictions[0].probabilities), label_colours(model.labels)
    bars = emotion_bars("Probability of each label", names, columns, "probability", colours)
    table = emotion_table("The same as numbers", names, columns, ".1%")
    explained = list(explanation.by_culture)
    image = None if item.image is None else data_address(thumbnail_jpeg(item.image))
    page = render(
        "explanation.html.j2",
        title="Why this prediction?",
        model=model,
        item=item,
        image=image,
        bars=downloads.figures([bars])[0],
        predictions=downloads.tables([table])[0],
        colours=colours,
        notes=list(
            dict.fromkeys(n.text for p in predictions for n in p.notes if n.kind != "synthetic")
        ),
        cultures=[_explained(culture, item, model.image, downloads) for culture in explained],
        neighbours=_neighbours(explanation),
    )
    downloads.save(page)


def _explained(
    culture: "CultureExplanation",
    item: PredictionInput,
    preprocessing: ImagePreprocessing | None,
    downloads: Downloads,
) -> dict[str, Any]:
    overlay = None
    if culture.heatmap is not None and preprocessing is not None and item.image is not None:
        size = open_image(item.image).size
        overlay = data_address(overlay_png(culture.heatmap, size, preprocessing), "png")
    words = culture.words
    strongest = max((abs(word.weight) for word in words or ()), default=0.0) or 1.0
    return {
        "culture": culture.prediction.culture,
        "emotion": str(culture.emotion),
        "probability": culture.prediction.probabilities[culture.emotion],
        "overlay": overlay,
        "verdicts": {
            name: _verdict(culture.checks.get(name), name) for name in ("image", "caption")
        },
        "words": words and [(word, abs(word.weight) / strongest) for word in words],
        "curves": downloads.figures(_curves(culture)),
        "tables": downloads.tables([_contributions(culture), *_check_tables(culture)]),
    }


def _verdict(check: "Check | None", name: str) -> tuple[str, str]:
    """What the deletion test says of an attribution: a class of the page, and a sentence."""
    parts = _PARTS[name]
    if check is None:
        text = (
            f"The deletion test was not run: nothing shows that these {parts} matter to the model."
        )
        return "unchecked", text
    if check.held:
        text = f"Deletion test passed: hiding these {parts} changes the answer more than hiding others."
        return "held", text
    text = (
        f"Deletion test failed: hiding these {parts} changes the answer no more than hiding others."
    )
    return "failed", f"{text} They explain little."


def _contributions(culture: "CultureExplanation") -> TextTable:
    parts = culture.contributions
    rows = [[_TERMS[name], f"{value:+.2f}"] for name, value in parts.terms.items()]
    if parts.exact:
        rows.append(["together", f"{sum(parts.terms.values()):+.2f}"])
    rows.append(["this culture, not any (contained above)", f"{parts.culture:+.2f}"])
    title = "What the prediction is made of" if parts.exact else "What is lost without each input"
    return TextTable(title, ["part", "log-odds"], rows)


def _curves(culture: "CultureExplanation") -> list[Figure]:
    return [
        deletion_curve(
            f"Deletion test, {name}, {culture.prediction.culture}: the probability of {culture.emotion}",
            check.deletion,
            _PARTS[name],
        )
        for name, check in culture.checks.items()
    ]


def _check_tables(culture: "CultureExplanation") -> list[TextTable]:
    tables = []
    for name, check in culture.checks.items():
        test = check.deletion
        gap = test.deletion_auc_gap
        verdict = "falls faster than at random" if check.held else "no better than at random"
        title = f"Deletion test, {name}: {verdict} ({gap:+z.2f} in log-probability)"
        if check.occlusion is not None:
            title += f"; correlation with occlusion {check.occlusion:+.2f}"
        curves = zip(test.removed, test.by_weight, test.at_random, strict=True)
        rows = [
            [f"{share:.0%}", f"{first:.1%}", f"{chance:.1%}"] for share, first, chance in curves
        ]
        tables.append(TextTable(title, ["deleted", "what matters first", "at random"], rows))
    return tables


def _neighbours(explanation: "Explanation") -> list[dict[str, Any]]:
    neighbours = []
    for neighbour in explanation.neighbours:
        image, fault = None, None
        try:
            image = data_address(thumbnail_jpeg(neighbour.image, _NEIGHBOUR_SIDE))
        except ImageError as error:
            fault = str(error)
        neighbours.append({"image": image, "fault": fault, "neighbour": neighbour})
    return neighbours
