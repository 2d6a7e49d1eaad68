"""Names and captions are data: no page, figure, table or card takes them for markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artaffect.explain.contributions import LogOddsContributions
from artaffect.explain.deletion import DeletionCurves
from artaffect.explain.explainer import Check, CultureExplanation, Explanation
from artaffect.explain.neighbours import Neighbour
from artaffect.explain.words import Word
from artaffect.labels import EMOTIONS, LabelDistribution
from artaffect.metrics.agreement import agreement
from artaffect.metrics.bootstrap import mean_estimate
from artaffect.metrics.distances import distribution_scores
from artaffect.metrics.divergence import compare_cultures
from artaffect.metrics.evaluation import ByGroup, EvaluationResult, culture_gaps, evaluate
from artaffect.metrics.votes import Votes
from artaffect.prediction.notes import Note
from artaffect.prediction.predictor import CulturePrediction, PredictionInput
from artaffect.prediction.types import ModelDescription
from artaffect.reports.culture_tables import divergence_tables
from artaffect.reports.evaluation import save_report
from artaffect.reports.explanation import save_explanation
from artaffect.reports.model_card import model_card
from artaffect.reports.pages import render, save_culture_report
from artaffect.reports.results import (
    ArtworkSummary,
    Calibration,
    Caption,
    CultureReport,
    DeletionTest,
    RunScores,
)
from artaffect.reports.tables import TextTable
from artaffect.runtime import visible

TAG = "<img src=x onerror=alert(1)>\"'&"
NAME = f"_a|b\\|c [link](javascript:alert(1)) `{TAG}` $x$\n| {TAG}\u202e\x1b[2J\x00\ud800"


class Tags(HTMLParser):
    """Collects every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_from_data(text: str) -> list[Any]:
    """Tags that carry an event handler, an address of the test, or that only the test writes."""
    parser = Tags()
    parser.feed(text)
    return [
        (tag, attributes)
        for tag, attributes in parser.tags
        if any(name.startswith("on") for name in attributes)
        or attributes.get("src") == "x"
        or str(attributes.get("href", "")).startswith("javascript:")
    ]


def assert_no_tag(folder: Path) -> None:
    pages = [p for p in folder.rglob("*") if p.suffix in (".html", ".md")]
    assert pages
    for page in pages:
        text = page.read_text("utf-8")
        assert tags_from_data(text) == [], page.name
        assert "onerror" in text, "the name is shown, as text"
        assert visible(text) == text, "nothing reorders the text, and no character is hidden"
        if page.suffix == ".md":
            assert_markdown(text)
    for path in folder.rglob("*.json"):
        json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)


def assert_markdown(text: str) -> None:
    """No tag, no link of the data, and rows as wide as their header."""
    assert re.search(r"<\s*/?\s*[A-Za-z!]", text) is None, "no tag"
    assert "](javascript" not in text, "no link"
    width = 0
    for line in text.splitlines():
        cells = len(re.split(r"(?<!\\)(?:\\\\)*\|", line)) if line.startswith("|") else 0
        if cells and width:
            assert cells == width, line
        width = cells


def arrays(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    names = [f"{name}{i}" for i in range(4)]
    return {
        "labels": rng.integers(0, 9, 320),
        "cultures": np.array(names * 80, object),
        "artworks": np.repeat(np.arange(40), 8),
    }


def scores(name: str, pairs: tuple[tuple[str, str], ...], models: tuple[str, ...]) -> Any:
    rng = np.random.default_rng(1)
    data = arrays(name)
    predictions = {model: rng.dirichlet(np.ones(9), 320) for model in models}
    result = evaluate(
        predictions,
        *data.values(),
        50,
        baseline=rng.dirichlet(np.ones(9), 320),
        pairs=pairs,
    )
    protocol = {
        **result.protocol,
        "split": name,
        "baseline": name,
        "rows_without_image": 3,
        "unreadable_images": 1,
        "unreadable": [name],
    }
    fusion = {
        "form": name,
        "weights": {f"{name}{i}": {"image": 1.0, "caption": 0.5} for i in range(2)},
    }
    extra = {"fusion": fusion}
    return predictions, EvaluationResult(**{**vars(result), "protocol": protocol, "extra": extra})


def culture_report(name: str, folder: Path) -> CultureReport:
    rng = np.random.default_rng(2)
    cultures = tuple(f"{name}{i}" for i in range(4))
    counts = rng.multinomial(6, rng.dirichlet(np.ones(9), (12, 4)))
    ids = np.array([f"{name}/{name}{i}" for i in range(12)], object)
    votes = Votes(ids, np.array([f"{name}s", f"{name}t"] * 6, object), cultures, counts)
    pairs = (("both", "caption"), ("both", "both_image_shuffled"), ("both", "image"))
    models = ("image", "caption", "both", "both_image_shuffled")
    predictions, evaluation = scores(name, pairs, models)
    data = arrays(name)
    calibration = Calibration(
        evaluation["both"],
        evaluation["both"],
        evaluation.comparison("both", "image"),
        evaluation.reliability,
        evaluation.reliability,
        ByGroup(1.0, dict.fromkeys(cultures, 1.0)),
    )
    run = RunScores(
        name=name,
        encoders={"image": name, "caption": name},
        culture_input=name,
        chosen_on_this_split=True,
        evaluation=evaluation,
        gaps=culture_gaps(predictions, *data.values(), 50),
        distributions=distribution_scores(predictions, *data.values(), 1),
        min_votes=1,
        calibration={"both": calibration},
        cross_culture=ByGroup(evaluation["both"], dict.fromkeys(cultures, evaluation["both"])),
        ablation=evaluation,
        deletion_tests={"image": DeletionTest(40, mean_estimate(rng.normal(1, 1, 40)), 0.5, 0.1)},
    )
    _, side_by_side = scores(name, ((name, "other"),), (name, "other"))
    (folder / "images").mkdir()
    return CultureReport(
        table=name,
        split=name,
        labels=EMOTIONS,
        synthetic=True,
        rows=320,
        artworks=40,
        rows_without_image=3,
        divergence=compare_cultures(votes, 4, 50),
        agreement=agreement(votes, 4, 2),
        notes=[f"A note on {name}."],
        comparison={"both": side_by_side},
        runs=[run, RunScores(**{**vars(run), "name": "other"})],
        divisive_artworks=[
            ArtworkSummary(
                artwork=f"{name}/{name}",
                split=name,
                image=str(folder / "images" / "x.jpg"),
                votes=dict.fromkeys(cultures, [1] * 9),
                captions={culture: [Caption("awe", name, name)] for culture in cultures},
                predictions=dict.fromkeys(cultures, [1 / 9] * 9),
            ),
            ArtworkSummary(
                f"{name}/2", None, None, {cultures[0]: [1] * 9}, {}, {}, (Note("caveat", name),)
            ),
        ],
    )


@pytest.mark.slow
def test_no_page_of_a_culture_report_takes_a_name_for_markup(tmp_path: Path) -> None:
    report = culture_report(NAME, tmp_path)
    save_culture_report(report, tmp_path / "report")
    assert len(list((tmp_path / "report" / "artworks").iterdir())) == 2
    assert_no_tag(tmp_path / "report")
    assert tags_from_data(report._repr_html_()) == []


def test_no_evaluation_and_no_card_takes_a_name_for_markup(tmp_path: Path) -> None:
    name = NAME
    _, result = scores(name, ((name, "other"),), (name, "other"))
    log = {name: [{"loss": 1.0, "log_loss": 2.0}, {"loss": 0.5, "log_loss": 1.5}]}
    save_report(result, tmp_path / "report.html", name, log)
    description = {
        "cultures": [name],
        "encoders": {"image": name},
        "fusion": {"form": name},
        "data": {"source": name},
        "rows": {"train": 3},
        "left_out": {name: 2},
        "version": "1",
    }
    card = model_card(result, description)
    assert visible(card) == card
    _, metadata, body = card.split("---\n", 2)
    assert_markdown(re.sub(r"```python.*?```", "", body, flags=re.S))
    assert "\n---\n" not in metadata
    (tmp_path / "reproduction.html").write_text(
        render(
            "reproduction.html.j2",
            title=name,
            paragraphs=[name],
            figures=[],
            tables=[TextTable(name, [name, name], [[name, name]])],
            curves=[],
        ),
        "utf-8",
    )
    body = render(
        "reproduction.md.j2",
        title=name,
        paragraphs=[name],
        tables=[TextTable(name, [name, name], [[name, name]])],
    )
    (tmp_path / "reproduction.md").write_text(body, "utf-8")
    assert_no_tag(tmp_path)
    for shown in (result, result[name]):
        assert tags_from_data(shown._repr_html_()) == []


def explanation(name: str, image: Path, gap: float | None) -> Explanation:
    curves = DeletionCurves([0.0, 0.5], [0.5, 0.5 - (gap or 0)], [0.5, 0.5])
    checks = {} if gap is None else {"caption": Check(curves)}
    culture = CultureExplanation(
        CulturePrediction(name, LabelDistribution((1 / 9,) * 9), {}, (Note("caveat", name),)),
        EMOTIONS[0],
        LogOddsContributions({"prior": 0.1, "image": 0.2, "caption": 0.3}, 0.1, True),
        None,
        [Word(name, 0.5), Word(" ", 0.0)],
        False,
        checks,
    )
    return Explanation([culture], [Neighbour(name, image, 0.5, {name: {name: 1}})])


def test_no_explanation_takes_a_name_for_markup(tmp_path: Path, picture: Path) -> None:
    name = NAME
    explained = explanation(name, picture, 0.2)
    caption = name.replace("\ud800", "")
    model = ModelDescription([name], [], None, None, {"caption": caption})
    save_explanation(explained, PredictionInput(None, caption), tmp_path / "page.html", model)
    assert_no_tag(tmp_path)
    assert tags_from_data(explained._repr_html_()) == []


def test_a_row_of_markdown_is_as_wide_as_its_header_whatever_the_names_are() -> None:
    for name in ("a|b", "a\\|b", "a\\", "|", "a\nb", "a\r\n| b", TAG, NAME):
        assert_markdown(TextTable(name, [name, "b"], [[name, "c"]]).to_markdown())


def test_numbers_keep_their_brackets_in_markdown() -> None:
    text = TextTable("t", ["a", "b"], [["x", "0.5 [0.4, 0.6]"]]).to_markdown()
    assert "| x | 0.5 [0.4, 0.6] |" in text


def test_the_tables_of_cultures_take_any_name() -> None:
    votes = Votes(
        np.array([TAG, "b"], object),
        np.array([TAG, TAG], object),
        (TAG, "y"),
        np.random.default_rng(0).multinomial(6, np.ones(9) / 9, (2, 2)),
    )
    for table in divergence_tables(compare_cultures(votes, 4, 20)):
        assert_markdown(table.to_markdown())
