"""Pages from templates: culture report, artwork, explanation. Names are escaped by the templates."""

import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from artaffect.data.preprocessing import ImagePreprocessing, open_image
from artaffect.errors import ImageError
from artaffect.explain.overlay import overlay_png, thumbnail_jpeg
from artaffect.outputs import atomic_file
from artaffect.prediction.predictor import PredictionInput
from artaffect.reports.culture_figures import divergence_figures, emotion_bars, run_figures
from artaffect.reports.culture_tables import (
    agreement_tables,
    comparison_tables,
    divergence_tables,
    emotion_table,
    run_tables,
)
from artaffect.reports.figures import Figure, evaluation_figures, scores_figure
from artaffect.reports.findings import findings, protocol_line, run_findings
from artaffect.reports.results import CultureReport
from artaffect.reports.tables import TextTable, evaluation_tables, markdown_line
from artaffect.runtime import to_json_text, visible

if TYPE_CHECKING:  # explanations need the extra explain
    from artaffect.explain.explainer import Check, CultureExplanation, Explanation

PAGE, MARKDOWN, JSON = "report.html", "report.md", "report.json"
FILES = (PAGE, MARKDOWN, JSON)
ARTWORKS = "artworks"
"""The folder of the pages of single artworks."""

_NEIGHBOUR_SIDE = 160
_LANGUAGE_TAGS = {"english": "en", "arabic": "ar", "chinese": "zh", "spanish": "es"}
"""Tags by which a browser picks the right letters."""
_STRONG = re.compile(r"([\u0590-\u08ff])|[A-Za-z\u00c0-\u02af\u0370-\u1fff\u2e80-\uffdc]")
"""The first strong letter of a text; a group if it is written from right to left."""
_TERMS = {
    "prior": "typical for this culture",
    "image": "image",
    "caption": "caption",
}


@cache
def _environment(markdown: bool) -> Environment:
    def as_markdown(value: object) -> str:
        return str(value) if hasattr(value, "__html__") else markdown_line(str(value))

    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader("artaffect.reports", folder) for folder in ("templates", "assets")]
        ),
        autoescape=not markdown,
        finalize=as_markdown if markdown else visible,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["direction"] = text_direction
    environment.filters["language_tag"] = lambda language: _LANGUAGE_TAGS.get(language, "")
    return environment


def render(template: str, **context: Any) -> str:
    """Fill a template; a name that it misses is an error, and HTML and Markdown escape everything."""
    environment = _environment(template.endswith(".md.j2"))
    return environment.get_template(template).render(context)


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def text_direction(text: str) -> str:
    """``rtl`` or ``ltr``, by the first strong letter."""
    strong = _STRONG.search(text)
    return "rtl" if strong and strong[1] else "ltr"


def image_addresses(report: CultureReport, folder: Path, embed: bool = False) -> dict[str, str]:
    """Where the pages of a report find the images of their artworks: artwork → address.

    Args:
        folder: the folder that holds the pages.
        embed: put a small copy into the page instead of linking to the file. Whether that is allowed
            depends on the licence of the images.

    Raises:
        ImageError: an image that is to be embedded cannot be read.
    """

    def address(image: str) -> str:
        if embed:
            return _data_address(thumbnail_jpeg(Path(image)))
        return quote(Path(os.path.relpath(image, folder.resolve())).as_posix())

    return {a.artwork: address(a.image) for a in report.divisive_artworks if a.image is not None}


def save_culture_report(report: CultureReport, folder: Path, embed_images: bool = False) -> None:
    """Write one HTML page, Markdown, JSON, and a page for each divisive artwork under ``folder``.

    Args:
        embed_images: see :func:`image_addresses`.

    Raises:
        ImageError: an image that is to be embedded cannot be read.
    """
    images = image_addresses(report, folder / ARTWORKS, embed_images)
    links = {}
    for number, artwork in enumerate(report.divisive_artworks, start=1):
        stem = re.sub(r"[^\w.-]+", "_", artwork.artwork.rpartition("/")[2])[:80]
        stem = stem.encode()[:200].decode(errors="ignore")  # file systems count bytes
        name = f"{ARTWORKS}/{number:02d}-{stem}.html"
        page = render(
            "artwork.html.j2",
            title=artwork.artwork,
            report=report,
            artwork=artwork,
            image=images.get(artwork.artwork),
            votes=_emotions("Votes", report.labels, artwork.votes, "votes", "d"),
            predictions=_emotions(
                "Probabilities", report.labels, artwork.predictions, "probability", ".3f"
            ),
        )
        write(folder / name, page)
        links[artwork.artwork] = quote(name)
    context = _culture_context(report, links)
    write(folder / PAGE, render("culture.html.j2", **context))
    write(folder / MARKDOWN, render("culture.md.j2", **context))
    write(folder / JSON, to_json_text(report.to_json()))


def _emotions(
    title: str,
    labels: Sequence[str],
    columns: Mapping[str, Sequence[float]],
    unit: str,
    spec: str,
) -> tuple[Figure, TextTable] | None:
    if not columns:
        return None
    return emotion_bars(title, labels, columns, unit), emotion_table(title, labels, columns, spec)


def _culture_context(report: CultureReport, links: Mapping[str, str]) -> dict[str, Any]:
    divergence, agreement = report.divergence, report.agreement

    def named(tables: Sequence[TextTable]) -> list[TextTable]:
        return [table.for_audience(report.audience) for table in tables]

    return {
        "title": f"Whose emotion? {report.table}, split {report.split}",
        "report": report,
        "findings": findings(report),
        "links": links,
        "divergence_figures": divergence_figures(divergence) if divergence else [],
        "divergence_tables": named(divergence_tables(divergence)) if divergence else [],
        "agreement_tables": named(agreement_tables(agreement)) if agreement else [],
        "comparison_figures": [
            scores_figure(f"{kind}: scores", result) for kind, result in report.comparison.items()
        ],
        "comparison_tables": named(comparison_tables(report)),
        "runs": [
            {
                "scores": run,
                "protocol": protocol_line(run.evaluation),
                "findings": run_findings(run),
                "figures": evaluation_figures(run.evaluation),
                "tables": named(evaluation_tables(run.evaluation)),
                "culture_figures": run_figures(run),
                "culture_tables": named(run_tables(run)),
            }
            for run in report.runs
        ],
    }


def save_explanation(
    explanation: "Explanation",
    item: PredictionInput,
    path: Path,
    preprocessing: ImagePreprocessing | None,
) -> None:
    """Write an explanation as one page that needs no other file.

    Args:
        item: what was explained.
        preprocessing: of the image encoder; it decides which part of the image the model sees.
    """
    predictions = [culture.prediction for culture in explanation.by_culture]
    columns = {p.culture: list(p.probabilities.values()) for p in predictions}
    page = render(
        "explanation.html.j2",
        title="Why this prediction?",
        predictions=emotion_table(
            "What each culture would feel", list(predictions[0].probabilities), columns, ".1%"
        ),
        notes=list(dict.fromkeys(p.note for p in predictions if p.note)),
        cultures=[_explained(culture, item, preprocessing) for culture in explanation.by_culture],
        neighbours=_neighbours(explanation),
    )
    write(path, page)


def _explained(
    culture: "CultureExplanation", item: PredictionInput, preprocessing: ImagePreprocessing | None
) -> dict[str, Any]:
    image = None
    if culture.heatmap is not None and preprocessing is not None and item.image is not None:
        size = open_image(item.image).size
        overlay = overlay_png(culture.heatmap, size, preprocessing)
        image = _data_address(thumbnail_jpeg(item.image)), _data_address(overlay, "png")
    words = culture.words
    strongest = max((abs(word.weight) for word in words or ()), default=0.0) or 1.0
    return {
        "culture": culture.prediction.culture,
        "emotion": str(culture.emotion),
        "probability": culture.prediction.probabilities[culture.emotion],
        "image": image,
        "verdicts": {
            name: _verdict(culture.checks.get(name), name) for name in ("image", "caption")
        },
        "words": words and [(word, abs(word.weight) / strongest) for word in words],
        "tables": [_contributions(culture), *_check_tables(culture)],
    }


def _verdict(check: "Check | None", name: str) -> tuple[str, str]:
    """What the deletion test says of an attribution: a class of the page, and a sentence."""
    parts = {"image": "regions", "caption": "words"}[name]
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


def _check_tables(culture: "CultureExplanation") -> list[TextTable]:
    tables = []
    for name, check in culture.checks.items():
        test = check.deletion
        gap = test.deletion_auc_gap
        verdict = "falls faster than at random" if check.held else "no better than at random"
        title = f"Deletion test, {name}: {verdict} ({gap:+.2f} in log-probability)"
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
            image = _data_address(thumbnail_jpeg(neighbour.image, _NEIGHBOUR_SIDE))
        except ImageError as error:
            fault = str(error)
        neighbours.append({"image": image, "fault": fault, "neighbour": neighbour})
    return neighbours


def _data_address(data: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
