"""Pages from templates, and those of a culture report. Names are escaped by the templates."""

import os
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from artaffect.explain.overlay import thumbnail_jpeg
from artaffect.labels import LabelSet
from artaffect.outputs import atomic_file
from artaffect.reports.culture_figures import divergence_figures, emotion_bars, run_figures
from artaffect.reports.culture_tables import (
    agreement_tables,
    comparison_tables,
    divergence_tables,
    emotion_table,
    run_tables,
)
from artaffect.reports.downloads import Downloads, english_names
from artaffect.reports.figures import Figure, scores_figure
from artaffect.reports.findings import findings, protocol_line, run_findings
from artaffect.reports.headline import headline
from artaffect.reports.label_tables import all_tables, meanings, run_report_figures
from artaffect.reports.palette import Colour, label_colours
from artaffect.reports.results import ArtworkSummary, CultureReport
from artaffect.reports.tables import TextTable, markdown_line
from artaffect.runtime import to_json_text, visible

PAGE, MARKDOWN, JSON = "report.html", "report.md", "report.json"
FILES = (PAGE, MARKDOWN, JSON)
ARTWORKS = "artworks"
"""The folder of the pages of single artworks."""

_LANGUAGE_TAGS = {"english": "en", "arabic": "ar", "chinese": "zh", "spanish": "es"}
"""Tags by which a browser picks the right letters."""
_STRONG = re.compile(r"([\u0590-\u08ff])|[A-Za-z\u00c0-\u02af\u0370-\u1fff\u2e80-\uffdc]")
"""The first strong letter of a text; a group if it is written from right to left."""


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
            return data_address(thumbnail_jpeg(Path(image)))
        return quote(Path(os.path.relpath(image, folder.resolve())).as_posix())

    return {a.artwork: address(a.image) for a in report.divisive_artworks if a.image is not None}


def save_culture_report(
    report: CultureReport,
    folder: Path,
    embed_images: bool = False,
    labels: LabelSet | None = None,
) -> None:
    """Write one HTML page, Markdown, JSON, figures, and a page for each divisive artwork in ``folder``.

    Args:
        embed_images: see :func:`image_addresses`.
        labels: the set of the labels, which decides about their colours.

    Raises:
        ImageError: an image that is to be embedded cannot be read.
    """
    images = image_addresses(report, folder / ARTWORKS, embed_images)
    thumbnails = image_addresses(report, folder, embed_images)
    labels = labels or LabelSet(tuple(report.labels))
    colours = label_colours(labels)
    cards = []
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
            votes=_emotions("Votes", report.labels, artwork.votes, "votes", "d", colours),
            predictions=_emotions(
                "Probabilities", report.labels, artwork.predictions, "probability", ".3f", colours
            ),
        )
        write(folder / name, page)
        cards.append(_card(artwork, quote(name), report.labels, thumbnails.get(artwork.artwork)))
    downloads = Downloads(folder / PAGE, english_names(labels))
    context = _culture_context(report, labels, downloads)
    context |= {"cards": cards, "colours": colours}
    downloads.save(render("culture.html.j2", **context))
    write(folder / MARKDOWN, render("culture.md.j2", **context))
    write(folder / JSON, to_json_text(report.to_json()))


def _emotions(
    title: str,
    labels: Sequence[str],
    columns: Mapping[str, Sequence[float]],
    unit: str,
    spec: str,
    colours: Mapping[str, Colour],
) -> tuple[Figure, TextTable] | None:
    if not columns:
        return None
    figure = emotion_bars(title, labels, columns, unit, colours)
    return figure, emotion_table(title, labels, columns, spec)


def _card(
    artwork: ArtworkSummary, link: str, labels: Sequence[str], image: str | None
) -> dict[str, Any]:
    """What the list of divisive artworks shows of one: each culture's votes, the most frequent first."""
    cultures = {}
    for culture, votes in artwork.votes.items():
        total = sum(votes)
        ordered = sorted(zip(votes, labels, strict=True), key=lambda pair: -pair[0])
        cultures[culture] = [(name, count, count / total) for count, name in ordered if count]
    title = artwork.artwork.rpartition("/")[2].replace("_", " ")
    return {"artwork": artwork, "title": title, "link": link, "image": image, "cultures": cultures}


def _culture_context(
    report: CultureReport, labels: LabelSet, downloads: Downloads
) -> dict[str, Any]:
    divergence = report.divergence

    def named(tables: Sequence[TextTable]) -> list[TextTable]:
        return downloads.tables([table.for_audience(report.audience) for table in tables])

    drawn = downloads.figures
    return {
        "title": f"Whose emotion? {report.table}, split {report.split}",
        "report": report,
        "headlines": {run.name: headline(run.evaluation) for run in report.runs},
        "findings": findings(report),
        "divergence_figures": drawn(divergence_figures(divergence)) if divergence else [],
        "divergence_tables": named(divergence_tables(divergence)) if divergence else [],
        "agreement_tables": named(agreement_tables(report)),
        "comparison_figures": drawn(
            [scores_figure(f"{kind}: scores", result) for kind, result in report.comparison.items()]
        ),
        "comparison_tables": named(comparison_tables(report)),
        "runs": [
            {
                "scores": run,
                "protocol": protocol_line(run.evaluation),
                "findings": run_findings(run),
                "figures": drawn(run_report_figures(run.evaluation, labels)),
                "tables": named(all_tables(run.evaluation)),
                "culture_figures": drawn(run_figures(run)),
                "culture_tables": named(run_tables(run)),
                "meanings": meanings(run.evaluation),
            }
            for run in report.runs
        ],
    }


def data_address(data: bytes, kind: str = "jpeg") -> str:
    """A small image as an address that holds it."""
    return f"data:image/{kind};base64,{b64encode(data).decode('ascii')}"
