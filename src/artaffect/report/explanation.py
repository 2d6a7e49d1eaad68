"""An explanation as one page that needs no other file."""

import html
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path

from artaffect.data.preprocessing import ImagePreprocessing, open_image
from artaffect.errors import ImageError
from artaffect.explain.explainer import CultureExplanation, Explanation
from artaffect.explain.overlay import overlay_png, thumbnail_jpeg
from artaffect.explain.words import Word
from artaffect.labels import EMOTIONS
from artaffect.prediction.predictor import PredictionInput
from artaffect.report.page import Section, save_page
from artaffect.report.tables import TextTable


def save_explanation(
    explanation: Explanation,
    asked: PredictionInput,
    path: Path,
    preprocessing: ImagePreprocessing | None,
) -> None:
    """Write the page.

    Args:
        preprocessing: of the image encoder, which tells what part of the picture it sees.
    """
    sections = [_answers(explanation)]
    for reading in explanation.by_culture:
        sections += _sections(reading, asked, preprocessing)
    if explanation.neighbours:
        sections.append(_neighbours(explanation))
    save_page(path, "artaffect: why this answer", sections)


def _answers(explanation: Explanation) -> Section:
    readings = [one.prediction for one in explanation.by_culture]
    rows = [
        [str(emotion), *(f"{r.probabilities[emotion]:.1%}" for r in readings)]
        for emotion in EMOTIONS
    ]
    notes = list(dict.fromkeys(r.note for r in readings if r.note))
    header = ["emotion", *(r.culture for r in readings)]
    return Section("", notes, tables=[TextTable("What each public would feel", header, rows)])


def _sections(
    one: CultureExplanation, asked: PredictionInput, preprocessing: ImagePreprocessing | None
) -> list[Section]:
    """Picture and words first, then the figures about them."""
    share = one.prediction.probabilities[one.emotion]
    body, lines = [], []
    if one.heatmap is not None and preprocessing is not None and asked.image is not None:
        size = open_image(asked.image).size
        below, above = thumbnail_jpeg(asked.image), overlay_png(one.heatmap, size, preprocessing)
        label = f"Where the picture speaks for {one.emotion}, {one.prediction.culture} readers"
        body.append(
            f'<figure style="position:relative;display:inline-block;margin:0">'
            f'<img alt="{html.escape(label)}" src="data:image/jpeg;base64,{_base64(below)}">'
            f'<img alt="" style="position:absolute;inset:0;width:100%;height:100%" '
            f'src="data:image/png;base64,{_base64(above)}"></figure>'
            "<p>Warm places speak for the emotion; grey ones the model does not see.</p>"
        )
    if one.words is not None:
        body.append(words_html(one.words))
        if one.caption_truncated:
            lines.append("The caption is longer than what the model reads: its end is left out.")
    title = f"{one.prediction.culture}: {one.emotion}, {share:.1%}"
    return [
        Section(title, lines, body="\n".join(body)),
        Section("", tables=[_parts_table(one), *_check_tables(one)]),
    ]


def _parts_table(one: CultureExplanation) -> TextTable:
    names = {"prior": "what this public answers anyway", "image": "image", "caption": "caption"}
    rows = [[names[name], f"{value:+.2f}"] for name, value in one.contributions.terms.items()]
    if one.contributions.exact:
        rows.append(["together", f"{sum(one.contributions.terms.values()):+.2f}"])
    rows.append(["this public, not any (contained above)", f"{one.contributions.culture:+.2f}"])
    title = "What counted, as log-odds"
    return TextTable(title if one.contributions.exact else f"{title} lost without it", ["", ""], rows)


def _check_tables(one: CultureExplanation) -> list[TextTable]:
    tables = []
    for name, check in one.checks.items():
        falls = check.deletion
        rows = [
            [f"{share:.0%}", f"{first:.1%}", f"{chance:.1%}"]
            for share, first, chance in zip(
                falls.removed, falls.by_weight, falls.at_random, strict=True
            )
        ]
        verdict = "falls faster than at random" if falls.deletion_auc_gap > 0 else "no better than at random"
        title = f"Deletion test, {name}: {verdict} ({falls.deletion_auc_gap:+.2f} in log-probability)"
        if check.occlusion is not None:
            title += f"; agreement with occlusion {check.occlusion:+.2f}"
        header = ["taken away", "what matters first", "at random"]
        tables.append(TextTable(title, header, rows))
    return tables


def _neighbours(explanation: Explanation) -> Section:
    parts = []
    for near in explanation.neighbours:
        felt = "; ".join(
            f"{culture}: " + ", ".join(f"{emotion} {count}" for emotion, count in votes.items())
            for culture, votes in near.votes.items()
        )
        try:
            picture = _base64(thumbnail_jpeg(near.image, 160))
        except ImageError:
            continue
        name = html.escape(near.artwork)
        parts.append(
            f'<figure style="margin:.8rem 0"><img alt="" src="data:image/jpeg;base64,{picture}">'
            f"<figcaption>{name}</figcaption>"
            f'<p class="felt">similarity {near.similarity:.2f} · {html.escape(felt)}</p></figure>'
        )
    return Section("Nearest paintings of the training data", body="\n".join(parts))


def words_html(words: Sequence[Word]) -> str:
    """The caption with each word's weight as its colour and its title, in its own direction."""
    most = max((abs(word.weight) for word in words), default=0.0) or 1.0
    spans = []
    for word in words:
        text = html.escape(word.text)
        if word.is_word:
            strength = abs(word.weight) / most
            colour = "230,60,0" if word.weight > 0 else "0,90,180"
            text = (
                f'<span title="{word.weight:+.2f}" style="background:rgba({colour},'
                f'{0.65 * strength:.2f});border-radius:3px;padding:0 1px">{text}</span>'
            )
        spans.append(text)
    return (
        f'<p dir="auto" class="quote">{"".join(spans)}</p>'
        "<p>Orange words speak for the emotion, blue ones against it; point at one for its weight.</p>"
    )


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
