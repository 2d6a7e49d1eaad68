"""Names are text in Markdown, in figures, on a terminal and in a notebook, whatever they hold."""

import io
import re
import warnings
from html import unescape
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt

from artaffect.cli.show import print_prediction, print_statistics
from artaffect.data.annotations import AnnotationTable
from artaffect.data.summary import TableStatistics
from artaffect.explain.contributions import LogOddsContributions
from artaffect.explain.explainer import CultureExplanation, Explanation
from artaffect.labels import EMOTIONS, LabelDistribution
from artaffect.metrics.display import Displayed
from artaffect.metrics.evaluation import evaluate
from artaffect.prediction.notes import Note
from artaffect.prediction.types import CulturePrediction, Prediction
from artaffect.reports.culture_figures import emotion_bars
from artaffect.reports.evaluation import print_tables
from artaffect.reports.figures import evaluation_figures, training_curves
from artaffect.reports.model_card import model_card
from artaffect.reports.tables import TextTable, markdown_line
from artaffect.runtime import Terminal, printable, visible

SPECIAL = "\x1b[2J\r\x08\x00\x9b\u202egnp.exe\u2066\u2029\ud800"
MARKUP = (
    "*a* _b_ **c** __d__ `e` ~~f~~ <b>g</b> &lt; \\* h",
    "# a heading", "## b #", "- a list", "+ a list", "* a list", "1. a list", "12) a list",
    "> a quotation", "--- ", "===", "***", "```", "~~~ x", "    code", "| a | b |",
    "[a](http://x) ![b](y) [c][d] <http://e>", "[a]: http://x", "[^1]", "[^1]: note",
    "http://example.org/a_b www.example.org", "$x^2$ $$y$$", "<!-- hidden -->", "<script>", "a\nb",
    "a\r\n\r\n# b", "a  \nb", "&amp; &#64;", "\\", "a\\|b", ":-- | --:", "- [ ] task", "\u202e\x1b\x00",
)  # fmt: skip
NAMES = (
    "_a",
    "__init__",
    "$x$",
    "$x",
    "a^b_c",
    "\\frac",
    "%s",
    "{0}",
    "好",
    "ก",
    "عربي",
    "😀",
    "a\nb",
    "a\x1b[2J\u202egnp",
)


def shown(text: str) -> str:
    """A name as pages show it: in one line, with control characters as escapes."""
    return " ".join(visible(text).split())


def uniform(culture: str, note: str | None = None) -> CulturePrediction:
    notes = (Note("caveat", note),) if note else ()
    return CulturePrediction(
        culture, LabelDistribution((1 / 9,) * 9), {"image": 0.5, "caption": 0.5}, notes
    )


@pytest.mark.parametrize("name", MARKUP)
def test_a_name_is_text_wherever_it_stands_in_markdown(name: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for before in ("", "- ", "# ", "> "):
        tokens = parser.parse(f"{before}{markdown_line(name)}\n")
        (inline,) = (token for token in tokens if token.type == "inline")
        assert {child.type for child in inline.children or ()} <= {"text", "text_special"}
        assert "".join(child.content for child in inline.children or ()) == shown(name)
        kinds = {token.type.rpartition("_")[0] for token in tokens} - {""}
        assert kinds <= {"paragraph", "bullet_list", "list_item", "heading", "blockquote"}
    table = TextTable(name, [name, "b"], [[name, name], ["c", name]])
    tokens = parser.parse(table.to_markdown())
    cells = [token for token in tokens if token.type == "inline"][1:]
    texts = ["".join(child.content for child in cell.children or ()) for cell in cells]
    assert texts == [shown(name), "b", shown(name), shown(name), "c", shown(name)]


def test_no_address_in_a_name_becomes_a_link() -> None:
    for address in ("http://x.org", "see https://x.org.", "ftp://x", "www.x.org"):
        text = markdown_line(address)
        assert not re.search(r"(https?|ftp)://|www\.", text)
        assert unescape(text) == address


def scores(names: tuple[str, ...]) -> tuple[str, ...]:
    """The figures of an evaluation of cultures with these names."""
    rng = np.random.default_rng(0)
    rows = 40 * len(names)
    result = evaluate(
        {"caption": rng.dirichlet(np.ones(9), rows)},
        rng.integers(0, 9, rows),
        np.array(names * 40, object),
        np.repeat(np.arange(20), rows // 20),
        20,
        baseline=rng.dirichlet(np.ones(9), rows),
    )
    fusion = {
        "form": names[0],
        "weights": {name: {"_image": 0.5, "caption": 0.5} for name in names},
    }
    figures = evaluation_figures(type(result)(**{**vars(result), "extra": {"fusion": fusion}}))
    log = {name: [{"loss": 1.0, "log_loss": 2.0}, {"loss": 0.5, "log_loss": 1.5}] for name in names}
    bars = emotion_bars("bars", EMOTIONS, {name: [1 / 9] * 9 for name in names}, "share")
    return tuple(figure.svg for figure in (*figures, training_curves(log), bars))


def written(svg: str) -> list[str]:
    """The texts of a drawing."""
    elements = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return [" ".join("".join(element.itertext()).split()) for element in elements]


@pytest.mark.parametrize("names", [NAMES[:8], NAMES[8:]])
def test_figures_show_every_name_as_text_and_warn_of_no_glyph(names: tuple[str, ...]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawings = scores(names)
    assert all(visible(svg) == svg for svg in drawings)
    of_scores, _, _, of_weights, of_curves, of_bars = map(written, drawings)
    for name in names:
        for texts in (of_scores, of_weights, of_curves, of_bars):
            assert all(any(word in text for text in texts) for word in shown(name).split()), name
    assert "_image" in of_weights


def lines_on_a_terminal(print_it: object, capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_it()  # type: ignore[operator]
    text = capsys.readouterr().out
    assert visible(text) == text
    return text.splitlines()


def test_a_name_adds_no_line_and_no_control_character_to_a_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")

    def printed(name: str) -> list[list[str]]:
        table = TextTable(name, [name, "b"], [[name, "c"]])
        statistics = TableStatistics(
            images=1, with_image=1, annotations=1, annotations_per_image=1.0, emotions=1,
            languages={name: 1}, splits={name: 1}, culture_support={name: 1},
            by_culture={name: {"awe": 1.0}}, partial_labels={name: 1},
            audience=name,
        )  # fmt: skip
        prediction = Prediction((uniform(name, f"note on {name}"),))
        return [
            lines_on_a_terminal(lambda: print_tables([table], Terminal(width=400)), capsys),
            lines_on_a_terminal(lambda: print_statistics(statistics), capsys),
            lines_on_a_terminal(lambda: print_prediction(prediction), capsys),
        ]

    for name in (
        "a\nerror: b",
        "[red]a[/red]",
        ":smile:",
        "[link=http://x]a[/link]",
        f"a{SPECIAL}",
    ):
        escaped = printed(printable(name))
        assert printed(name) == escaped, "each line is that of the escaped name"
        assert all(any(printable(name) in line for line in lines) for lines in escaped)


class Shown(Displayed):
    """A result whose every cell is one name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def _table(self) -> tuple[str, list[str], list[list[str]]]:
        return self.name, [self.name, "b"], [[self.name, self.name]]


@pytest.mark.parametrize("name", ["a\nb", SPECIAL, "<img src=x onerror=alert(1)>"])
def test_what_a_notebook_or_a_prompt_shows_holds_names_as_text(
    name: str, sample_table: AnnotationTable
) -> None:
    culture = CultureExplanation(
        uniform(name),
        EMOTIONS[0],
        LogOddsContributions({name: 0.1}, 0.1, True),
        None,
        None,
        False,
        {},
    )
    named = sample_table.rows.slice(0, 2).to_pydict() | {
        "culture": [name.replace("\ud800", "")] * 2
    }
    table = AnnotationTable(
        type(sample_table.rows).from_pydict(named).cast(sample_table.rows.schema)
    )
    for value, lines in (
        (uniform(name, name), 1),
        (Prediction((uniform(name, name),)), 1),
        (Explanation([culture], ()), 1),
        (Shown(name), 3),
        (table, 1),
    ):
        text, page = repr(value), value._repr_html_()
        assert visible(text) == text and len(text.splitlines()) == lines
        assert visible(page) == page and "<img" not in page


def test_the_metadata_of_a_model_card_is_one_document_whatever_the_names_are() -> None:
    for name in (
        "---",
        "a: b",
        "- a",
        "#",
        "'\"",
        "a\n---\nb: c",
        "!!python/object:x",
        "&a *a",
        SPECIAL,
    ):
        rng = np.random.default_rng(0)
        result = evaluate(
            {"caption": rng.dirichlet(np.ones(9), 80)},
            rng.integers(0, 9, 80),
            np.array([name, "b"] * 40, object),
            np.repeat(np.arange(20), 4),
            20,
            baseline=rng.dirichlet(np.ones(9), 80),
        )
        result = type(result)(
            **{
                **vars(result),
                "protocol": {
                    **result.protocol,
                    "split": name,
                    "baseline": name,
                    "rows_without_image": 0,
                },
            }
        )
        description = {
            "cultures": [name], "encoders": {"image": name}, "fusion": {"form": name},
            "data": {"source": name}, "rows": {"train": 3}, "left_out": {name: 2}, "version": "1",
        }  # fmt: skip
        card = model_card(result, description)
        _, metadata, _ = card.split("---\n", 2)
        groups = {
            entry["dataset"]["config"]
            for model in yaml.safe_load(metadata)["model-index"]
            for entry in model["results"]
        }
        assert printable(name) in groups
        assert visible(card) == card


def test_a_name_that_is_half_a_character_can_be_written_everywhere() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    Terminal(file=stream).print("caf\udce9")
    stream.flush()
    assert stream.buffer.getvalue() == b"caf\\udce9\n"  # type: ignore[attr-defined]
