"""What the page says of an answer: agreement of cultures, colours, languages, notes, accessibility."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from artaffect.labels import ARTEMIS
from artaffect.reports.palette import label_colours
from tests.browsing import DESKTOP, PHONE, PREDICTION_MS


def ask(page: Page, caption: str = "a black sky", image: Path | None = None) -> None:
    if image:
        page.set_input_files("#image", image)
        expect(page.locator("#preview")).to_be_visible()
    page.locator("#caption").fill(caption)
    page.locator("#submit").click()
    expect(page.locator("#result")).to_be_visible(timeout=PREDICTION_MS)


def answered(page: Page, predictions: dict[str, dict[str, float]]) -> str:
    """The headline and the sentence below it for made-up probabilities, culture → label → share."""
    return page.evaluate(
        """async predictions => {
            const { headline, gapSentence } = await import("/page/answer.js");
            const list = Object.entries(predictions).map(([culture, probabilities]) => ({
                culture, probabilities,
                top: Object.keys(probabilities).sort((a, b) => probabilities[b] - probabilities[a])[0],
            }));
            const text = nodes => nodes.map(node => node.textContent ?? node).join("");
            return [text(headline(list)), text(gapSentence(list))].filter(Boolean).join(" ");
        }""",
        predictions,
    )


SURE = {"fear": 0.8, "awe": 0.1, "contentment": 0.1}
AWED = {"fear": 0.3, "awe": 0.6, "contentment": 0.1}
TIED = {"fear": 0.45, "awe": 0.44, "contentment": 0.11}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("predictions", "sentence"),
    [
        ({"arabic": SURE}, "Arabic viewers would most likely feel fear."),
        ({"arabic": TIED}, "Arabic viewers would most likely feel fear or awe."),
        ({"any": SURE}, "Viewers would most likely feel fear."),
        (
            {"arabic": SURE, "chinese": SURE},
            "Arabic and Chinese viewers agree: fear. Their answers hardly differ.",
        ),
        (
            {"arabic": SURE, "chinese": SURE, "english": AWED},
            "Arabic and Chinese viewers would most likely feel fear; English viewers, awe. "
            "They part most over awe: 60% (English), 10% (Arabic).",
        ),
        (
            {"arabic": TIED, "english": AWED},
            "Arabic viewers would most likely feel fear or awe; English viewers, awe. "
            "They part most over awe: 60% (English), 44% (Arabic).",
        ),
        (
            {f"c{i}": SURE for i in range(6)},
            "All 6 cultures agree: fear. Their answers hardly differ.",
        ),
        (
            {**{f"c{i}": SURE for i in range(6)}, "arabic": AWED},
            "6 cultures would most likely feel fear; Arabic viewers, awe. "
            "They part most over awe: 60% (Arabic), 10% (C5).",
        ),
    ],
)
def test_a_sentence_says_where_cultures_agree_and_where_they_part(
    page: Page, predictions: dict[str, dict[str, float]], sentence: str
) -> None:
    got = answered(page, predictions)
    if "(C5)" in sentence or "(Arabic)." in sentence:  # of equal cultures, any may be named
        got, sentence = (re.sub(r"\((C\d|Arabic|Chinese)\)\.$", "(…).", t) for t in (got, sentence))
    assert got == sentence


def test_every_label_has_the_colour_of_its_valence(page: Page) -> None:
    ask(page)
    expect(page.locator("#emotions tbody tr")).to_have_count(9)
    colours = label_colours(ARTEMIS)
    for row in page.locator("#emotions tbody tr").all():
        name = str(row.locator("th").evaluate("node => node.firstChild.textContent")).lower()
        bar = row.locator(".bar").first
        expected = colours[name].light
        channels = ", ".join(str(int(expected[i : i + 2], 16)) for i in (1, 3, 5))
        assert bar.evaluate("node => getComputedStyle(node).backgroundColor") == f"rgb({channels})"


def test_bars_of_cultures_have_one_scale(page: Page) -> None:
    ask(page)
    cells = page.locator("#emotions td")
    measured = cells.evaluate_all(
        """nodes => nodes.map(node => [parseFloat(node.querySelector(".value").textContent),
            node.querySelector(".bar").offsetWidth / node.querySelector(".track").offsetWidth * 100])"""
    )
    assert len(measured) == 27
    for share, width in measured:
        assert width == pytest.approx(share, abs=2)


@pytest.mark.parametrize(
    ("page", "tag", "direction", "button", "fear"),
    [
        ({"locale": "ar"}, "ar", "rtl", "اسأل", "خوف"),
        ({"locale": "zh-CN"}, "zh", "ltr", "提问", "恐惧"),
        ({"locale": "fr"}, "en", "ltr", "Ask", "Fear"),
    ],
    indirect=["page"],
)
def test_the_browser_chooses_the_language(
    page: Page, tag: str, direction: str, button: str, fear: str
) -> None:
    root = page.locator("html")
    expect(root).to_have_attribute("lang", tag)
    expect(root).to_have_attribute("dir", direction)
    expect(page.locator("#submit")).to_have_text(button)
    ask(page)
    expect(page.get_by_role("row").filter(has_text=fear).first).to_be_visible()
    empty = page.evaluate(
        "[...document.querySelectorAll('[data-t]')].filter(n => !n.textContent).map(n => n.dataset.t)"
    )
    assert empty == []


@pytest.mark.parametrize("page", [{"locale": "zh-CN"}], indirect=True)
def test_a_problem_is_told_in_the_language_of_the_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    page.locator("#image").set_input_files(tmp_path / "notes.jpg")
    page.get_by_role("button", name="提问", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("无法使用这张图片（")


def test_the_language_can_be_chosen_by_hand_and_is_kept(page: Page) -> None:
    ask(page, "a black sky")
    page.get_by_label("Language of this page").select_option("ar")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    expect(page.locator("#headline")).to_contain_text(re.compile("[\u0600-\u06ff]"))
    expect(page.locator("#caption")).to_have_value("a black sky")
    page.reload()
    expect(page.locator("#submit")).to_have_text("اسأل")


def test_the_page_says_nothing_that_only_statisticians_read(page: Page, picture: Path) -> None:
    ask(page, image=picture)
    expect(page.locator("#explanations article")).to_have_count(3, timeout=PREDICTION_MS)
    text = page.locator("body").inner_text().lower()
    for word in ("log-odds", "logit", "entropy", "public", "not said", "softmax"):
        assert word not in text


def change_answers(page: Page, change: str) -> None:
    """Let the page see an image unlike the training data, or what the deletion test might say."""
    page.evaluate(
        """change => {
            const fetched = window.fetch;
            const note = { kind: "unfamiliar", text: "…" };
            const edit = { unfamiliar: prediction => prediction.notes.push(note) };
            for (const held of [true, false]) {
                edit[held] = ({ explanation }) => {
                    for (const check of Object.values(explanation?.checks ?? {})) check.held = held;
                };
            }
            window.fetch = async (path, options) => {
                const response = await fetched(path, options);
                if (path !== "v1/predict" || !response.ok) return response;
                const content = await response.json();
                content.predictions.forEach(edit[change]);
                return new Response(JSON.stringify(content));
            };
        }""",
        change,
    )


def test_an_image_unlike_the_training_data_gets_a_note(page: Page, picture: Path) -> None:
    change_answers(page, "unfamiliar")
    ask(page, image=picture)
    note = page.locator("#notes li", has_text="This image is unlike the images that the model")
    expect(note).to_have_count(1)  # though each culture's answer carries it
    expect(page.locator("#notes-field")).to_be_visible()


@pytest.mark.parametrize(
    ("held", "words"),
    [(True, "changes the answer more than hiding others"), (False, "This map explains little")],
)
def test_the_deletion_test_speaks_in_words(
    page: Page, picture: Path, held: bool, words: str
) -> None:
    change_answers(page, str(held).lower())
    ask(page, image=picture)
    verdicts = page.locator(".verdict.image")
    expect(verdicts).to_have_count(3, timeout=PREDICTION_MS)
    expect(verdicts.first).to_contain_text(words, timeout=PREDICTION_MS)
    failed = page.locator("article.failed-image")
    expect(failed).to_have_count(0 if held else 3)


def test_words_are_marked_in_place_and_not_by_colour_alone(page: Page) -> None:
    ask(page, "a black sky over waves")
    line = page.locator(".words").first
    expect(line).to_have_text("a black sky over waves", timeout=PREDICTION_MS)
    styles = line.locator("mark").evaluate_all(
        "nodes => nodes.map(n => [n.className, getComputedStyle(n).borderBottomStyle])"
    )
    assert len(styles) == 5
    assert {tuple(s) for s in styles} <= {("for", "solid"), ("against", "dotted")}


CONTEXTS = [
    {"color_scheme": scheme, "locale": locale, "viewport": viewport, "has_touch": viewport is PHONE}
    for scheme, locale, viewport in [
        ("light", "en", DESKTOP),
        ("dark", "ar", DESKTOP),
        ("light", "ar", PHONE),
        ("dark", "zh", PHONE),
    ]
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", CONTEXTS, indirect=True, ids=["light", "dark rtl", "phone rtl", "dark phone"]
)
def test_axe_reports_nothing_and_nothing_scrolls_sideways(page: Page, picture: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")

    def check() -> None:
        result = axe.Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    check()
    page.set_input_files("#image", [picture, picture])
    expect(page.locator("#several td .tag")).to_have_count(6, timeout=PREDICTION_MS)
    ask(page, "a black sky", picture)
    page.locator("#compare").click()
    ask(page, "a bright garden")
    expect(page.locator("#comparison")).to_be_visible()
    expect(page.locator("#explanation")).to_be_visible(timeout=PREDICTION_MS)
    expect(page.locator("#explanations article")).to_have_count(3, timeout=PREDICTION_MS)
    check()
