"""Write a cultural report: one HTML page, Markdown, JSON, and a page for each divisive painting."""

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from artaffect.labels import EMOTIONS
from artaffect.report.culture_figures import divergence_figures, run_figures, votes_figure
from artaffect.report.culture_tables import (
    agreement_tables,
    comparison_tables,
    divergence_tables,
    run_tables,
)
from artaffect.report.evaluation import protocol_line
from artaffect.report.figures import figures_of, scores_figure
from artaffect.report.findings import findings, run_findings
from artaffect.report.page import Section, save_page
from artaffect.report.results import ArtworkPage, CulturalReport, RunScores
from artaffect.report.tables import TextTable, tables_of
from artaffect.runtime import atomic_file

PAGE, MARKDOWN, JSON = "report.html", "report.md", "report.json"
PAINTINGS = "paintings"
"""The folder of the pages of single paintings."""

_TAGS = {"english": "en", "arabic": "ar", "chinese": "zh", "spanish": "es"}
"""Language tags that a browser needs to pick the right letters."""


def save_cultural_report(
    report: CulturalReport, folder: Path, pictures: Mapping[str, str] | None = None
) -> None:
    """Write everything under ``folder``.

    Args:
        pictures: painting → the address of its picture as seen from ``PAINTINGS``.
    """
    pictures = pictures or {}
    links = {}
    for number, painting in enumerate(report.paintings, start=1):
        name = f"{PAINTINGS}/{number:02d}-{_plain(painting.artwork)}.html"
        _save_painting(painting, folder / name, pictures.get(painting.artwork), report.table)
        links[painting.artwork] = quote(name)
    sections = [_summary(report), *_publics(report, links)]
    sections += [_comparison(report)] if len(report.runs) > 1 and report.comparison else []
    for run in report.runs:
        sections += _run(run)
    title = f"artaffect: whose emotion? {report.table}, {report.split}"
    save_page(folder / PAGE, title, sections)
    text = "\n".join([f"# {title}\n", *(section.to_markdown() for section in sections)])
    for name, content in {
        MARKDOWN: text,
        JSON: json.dumps(report.to_json(), indent=2, ensure_ascii=False),
    }.items():
        with atomic_file(folder / name) as temporary:
            temporary.write_text(content, "utf-8")


def _summary(report: CulturalReport) -> Section:
    left_out = ""
    if report.left_out:
        left_out = f" {report.left_out:,} captions without a picture are left out."
    return Section(
        "",
        [
            f"Models are scored on {report.rows:,} captions of {report.artworks:,} paintings (split "
            f"{report.split}).{left_out} Brackets are 95 % intervals by bootstrap over paintings. A "
            "public here is whoever wrote the captions of one culture in this table, no more. "
            "Lower is better where a heading has ↓.",
            *report.notes,
        ],
        points=findings(report),
    )


def _publics(report: CulturalReport, links: Mapping[str, str]) -> list[Section]:
    sections = []
    if report.divergence is not None:
        found = report.divergence
        sections.append(
            Section(
                "Do publics read a painting differently?",
                [
                    f"All splits of the table: {found.artworks:,} paintings with {found.least} votes or "
                    "more of each of two publics. By chance: the same votes dealt anew among the "
                    f"publics, {found.n_resamples:,} times. Beyond chance: what is left of the divergence "
                    "when that is taken off; below eight votes of each public it errs on the small "
                    "side. p: how often equal publics would seem at least so far apart."
                ],
                divergence_figures(found),
                divergence_tables(found),
            )
        )
        sections.append(
            Section(
                "The most divisive paintings",
                ["Each has a page with its votes and captions:"],
                links=links,
            )
        )
    if report.agreement is not None:
        sections.append(
            Section(
                "How far do readers agree?",
                tables=agreement_tables(report.agreement),
            )
        )
    return sections


def _comparison(report: CulturalReport) -> Section:
    drawn = {f"{kind}: scores": scores_figure(r) for kind, r in report.comparison.items()}
    return Section("Runs side by side", figures=drawn, tables=comparison_tables(report))


def _run(run: RunScores) -> list[Section]:
    encoders = ", ".join(f"{name} encoder {value}" for name, value in run.encoders.items())
    intro = f"{encoders}; culture: {run.culture_input}. {protocol_line(run.evaluation)}"
    sections = [
        Section(
            f"{run.name}: scores", [intro], figures_of(run.evaluation), tables_of(run.evaluation)
        )
    ]
    groups = list(run.evaluation.models["baseline"])
    sections.append(
        Section(
            f"{run.name}: public by public",
            figures=run_figures(run),
            tables=run_tables(run),
            points=run_findings(run, groups),
        )
    )
    return sections


def _save_painting(painting: ArtworkPage, path: Path, picture: str | None, table: str) -> None:
    sections = []
    if picture:
        source, name = (html.escape(text, quote=True) for text in (picture, painting.artwork))
        sections.append(Section("", body=f'<p><img src="{source}" alt="{name}"></p>'))
    else:
        sections.append(Section("", ["No picture of it is here."]))
    split = f"split {painting.split}" if painting.split else "no split"
    rows = [[str(e), *(f"{v[i]}" for v in painting.votes.values())] for i, e in enumerate(EMOTIONS)]
    sections.append(
        Section(
            "What its readers felt",
            [f"{table}, {split}."],
            {"Votes": votes_figure(painting.votes, "votes")},
            [TextTable("Votes", ["emotion", *painting.votes], rows)],
        )
    )
    if painting.answers:
        note = "The first run's answer from the picture alone, for each public."
        if painting.split == "train":
            note += " It has seen this painting in training."
        cells = [
            [str(e), *(f"{a[i]:.3f}" for a in painting.answers.values())]
            for i, e in enumerate(EMOTIONS)
        ]
        sections.append(
            Section(
                "What the model expects",
                [note],
                {"Probabilities": votes_figure(painting.answers, "probability")},
                [TextTable("Probabilities", ["emotion", *painting.answers], cells)],
            )
        )
    for culture, captions in painting.captions.items():
        quotes = "".join(
            f'<div class="quote" {_direction(text, language)}>'
            f'{html.escape(text)} <span class="felt" lang="en" dir="ltr">{html.escape(emotion)}</span></div>'
            for emotion, text, language in captions
        )
        sections.append(Section(f"Captions: {culture}", body=quotes))
    save_page(path, painting.artwork, sections)


def _direction(text: str, language: str) -> str:
    """The attributes by which a browser sets a caption in its own direction."""
    tag = _TAGS.get(language)
    strong = re.search(r"[A-Za-z\u00c0-\u02af\u0370-\u1fff\u2e80-\uffdc]|[\u0590-\u08ff]", text)
    right_to_left = bool(strong and "\u0590" <= strong.group() <= "\u08ff")
    direction = "rtl" if right_to_left else "ltr"
    return f'dir="{direction}"' + (f' lang="{tag}"' if tag else "")


def _plain(name: str) -> str:
    """A file name out of a painting's id."""
    return re.sub(r"[^\w.-]+", "_", name.rpartition("/")[2])[:80]
