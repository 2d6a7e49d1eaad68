"""The page in a real browser, on a desktop and on a phone."""

import contextlib
import re
import threading
import time
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Error, Locator, Page, Route, expect

from tests.browsing import DESKTOP, PHONE, PREDICTION_MS
from tests.running import serve

ARABIC = "تعلو الأمواج فوق قارب صغير تحت سماء سوداء."


def boxes(figure: Locator) -> list[list[float]]:
    """Left, top, width and height of the heat map and of the image, once they have loaded.

    They are measured at one moment of a smooth scroll.
    """
    return figure.evaluate(
        """async node => {
            const images = [".heatmap", ".artwork"].map(name => node.querySelector(name));
            for (const image of images) await image.decode();
            return images.map(image => image.getBoundingClientRect())
                .map(box => [box.x, box.y, box.width, box.height]);
        }"""
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [{"viewport": DESKTOP}, {"viewport": PHONE}], indirect=True, ids=["desktop", "phone"]
)
def test_an_image_is_predicted_and_explained(page: Page, picture: Path) -> None:
    page.set_input_files("#image", picture)
    page.get_by_label("What do you see").fill(ARABIC)
    page.get_by_label("Language of the description").fill("arabic")
    page.get_by_role("button", name="Ask", exact=True).click()
    table = page.get_by_role("table", name="Probability of each emotion")
    expect(table.get_by_role("columnheader")).to_have_text(
        ["emotion", "Arabic", "Chinese", "English"], timeout=PREDICTION_MS
    )
    expect(table.locator("tbody tr")).to_have_count(9)
    expect(table.get_by_role("row", name="fear")).to_contain_text("恐惧")
    expect(table.get_by_role("row", name="fear")).to_contain_text("خوف")
    expect(table.locator("td.top")).to_have_count(3)
    expect(page.locator("#summary .set")).to_have_count(3)
    expect(page.locator("#summary .set").first).to_have_text(re.compile(r"^[a-z ,]+, 90%$"))
    expect(page.locator("#set-hint")).to_be_visible()
    explanations = page.locator("#explanations article")
    expect(explanations).to_have_count(3, timeout=PREDICTION_MS)
    for article in explanations.all():
        heatmap = article.locator("img.heatmap")
        expect(heatmap).to_be_visible()
        box, below = boxes(article.locator("figure"))
        assert box == pytest.approx(below, abs=1)
        words = article.locator(".words")
        expect(words).to_have_text(ARABIC)
        assert words.evaluate("node => getComputedStyle(node).direction") == "rtl"
        # the first word is to the right of the last
        first, last = words.locator("mark").first, words.locator("mark").last
        assert first.text_content() == "تعلو" and last.text_content() == "سوداء"
        right, left = words.locator("mark").evaluate_all(
            """nodes => [nodes[0], nodes.at(-1)].map(node => node.getBoundingClientRect())
                .map(box => [box.x, box.y])"""
        )
        assert right[1] < left[1] or right[0] > left[0]
    typed = page.get_by_label("What do you see")
    assert typed.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert typed.get_attribute("lang") == "ar"
    slider = page.get_by_label("Image or heat map")
    for value in ("0", "100"):
        slider.fill(value)
        shown = heatmap.evaluate("node => getComputedStyle(node).clipPath")
        assert f"{value}%" in shown or (value, shown) == ("0", "inset(0px)"), "the slider wipes"
    expect(page.locator(".verdict.image").first).to_have_text(
        re.compile("^(Hiding these places changes|This map explains little)"), timeout=PREDICTION_MS
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "wider than the screen"
    )


def test_no_caption_is_read_as_markup(page: Page) -> None:
    markup = '<img src=x onerror="window.sprung = 1"> a boat'
    page.get_by_label("What do you see").fill(markup)
    page.get_by_role("button", name="Ask", exact=True).click()
    words = page.locator("#explanations article .words").first
    expect(words).to_have_text(markup, timeout=PREDICTION_MS)
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate("window.sprung") is None


def test_a_text_file_named_jpg_gets_a_clear_error(page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("not an image")
    page.get_by_label("What do you see").fill("a black sky")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#result")).to_be_visible(timeout=PREDICTION_MS)
    page.get_by_label("What do you see").fill("")
    page.set_input_files("#image", wrong)
    page.get_by_role("button", name="Ask", exact=True).click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text(
        re.compile("not an? (picture|image) that can be read"), timeout=PREDICTION_MS
    )
    expect(page.locator("#result")).to_be_hidden()
    page.get_by_role("button", name="Remove image").click()
    expect(page.locator("#image-name")).to_have_text("No image yet")
    expect(alert).to_be_hidden()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(alert).to_contain_text("Add an image, a description, or both")


def test_one_click_predicts_for_an_example(page: Page) -> None:
    examples = page.locator("#examples button")
    expect(examples).to_have_count(6)
    examples.nth(1).click()
    expect(page.locator("#explanations article")).to_have_count(3, timeout=PREDICTION_MS)
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#caption")).not_to_have_value("")


def test_the_page_works_with_the_keyboard_alone(page: Page, picture: Path) -> None:
    focused = []
    for _ in range(20):
        page.keyboard.press("Tab")
        focused.append(
            page.evaluate("document.activeElement.id || document.activeElement.className")
        )
        if focused[-1] == "caption":
            page.keyboard.type("a black sky")
        if focused[-1] == "submit":
            break
    assert focused[:4] == ["skip", "brand", "interface", "image"], focused
    assert focused[-1] == "submit", focused
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("below", timeout=PREDICTION_MS)


def test_an_image_can_be_dropped(page: Page, picture: Path) -> None:
    page.evaluate(
        """async () => {
            const file = await (await fetch("examples/0.jpg")).blob();
            const transfer = new DataTransfer();
            transfer.items.add(new File([file], "dropped.jpg", {type: "image/jpeg"}));
            document.querySelector("#drop").dispatchEvent(
                new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }"""
    )
    expect(page.locator("#image-name")).to_have_text("dropped.jpg")
    expect(page.locator("#preview")).to_be_visible()


def test_an_answer_is_never_beside_another_image_than_its_own(
    page: Page, picture: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (80, 40), "navy").save(other)

    chosen, answered = threading.Event(), threading.Event()

    def answer_late(route: Route) -> None:
        response = route.fetch()
        while not chosen.is_set():
            page.wait_for_timeout(50)
        with contextlib.suppress(Error):  # the page has given the request up
            route.fulfill(response=response)
        answered.set()

    page.route("**/v1/predict", answer_late)
    page.set_input_files("#image", picture)
    with page.expect_request("**/v1/predict"):
        page.get_by_role("button", name="Ask", exact=True).click()
    page.set_input_files("#image", other)
    chosen.set()
    deadline = time.monotonic() + PREDICTION_MS / 1000
    while not answered.is_set():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)
    page.wait_for_timeout(500)
    expect(page.locator("#result")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("")
    page.unroute("**/v1/predict")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#explanations article")).to_have_count(3, timeout=PREDICTION_MS)
    shown = page.locator("#preview").get_attribute("src")
    for copy in page.locator("img.artwork").all():
        assert copy.get_attribute("src") == shown
    page.get_by_label("What do you see").fill("waves")
    for section in ("#result", "#explanation"):
        expect(page.locator(section)).to_be_hidden()


def test_a_format_that_the_browser_does_not_know_is_shown_and_explained(
    page: Page, tmp_path: Path
) -> None:
    tiff = tmp_path / "scan.tif"
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (90, 30), "teal").save(tiff, exif=exif)
    page.set_input_files("#image", tiff)
    preview = page.locator("#preview")
    expect(preview).to_be_visible()
    size = preview.evaluate("node => [node.naturalWidth, node.naturalHeight]")
    assert size == [30, 90]
    page.get_by_role("button", name="Ask", exact=True).click()
    heatmap = page.locator("#explanations img.heatmap").first
    expect(heatmap).to_be_visible(timeout=PREDICTION_MS)
    box, below = boxes(page.locator("figure.wipe").first)
    assert box == pytest.approx(below, abs=1)
    assert box[3] == pytest.approx(3 * box[2], rel=0.02), "upright, as the image is"


@pytest.mark.parametrize(
    ("kind", "words"), [("text/uri-list", "That is a link"), ("text/plain", "not an image file")]
)
def test_what_is_dropped_and_is_no_file_gets_a_sentence(page: Page, kind: str, words: str) -> None:
    page.evaluate(
        """kind => {
            const transfer = new DataTransfer();
            transfer.setData(kind, "https://museum.example/painting.jpg");
            document.querySelector("#drop").dispatchEvent(
                new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }""",
        kind,
    )
    expect(page.get_by_role("alert")).to_contain_text(words)


def test_a_language_that_the_model_has_not_seen_is_answered_with_a_note(page: Page) -> None:
    page.get_by_label("What do you see").fill("un jardin tranquilo")
    page.get_by_label("Language of the description").fill("Spanish")
    assert page.get_by_label("What do you see").get_attribute("lang") == "es"
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#notes")).to_contain_text("spanish", timeout=PREDICTION_MS)


def test_a_model_of_synthetic_data_has_a_banner(page: Page) -> None:
    expect(page.get_by_text("This model learned from synthetic data")).to_be_visible()


def test_every_control_has_a_name_and_every_image_a_text(page: Page) -> None:
    """A screen reader needs both."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")].filter(
            node => !(node.labels?.length || node.textContent.trim() || node.ariaLabel)
        ).map(node => node.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("[...document.images].every(image => image.hasAttribute('alt'))")
    headings = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")
    assert headings[0] == "H1" and headings.count("H1") == 1


def test_the_page_asks_for_the_key_of_a_protected_service(
    browser: Browser, tiny_run: Path, tmp_path: Path
) -> None:
    with serve(tiny_run, tmp_path, key="open sesame") as running:
        page = browser.new_page()
        page.goto(running.address)
        expect(page.get_by_role("alert")).to_contain_text("This service needs an API key")
        page.get_by_label("API key").fill("open sesame")
        page.get_by_label("What do you see").fill("a black sky")
        page.get_by_role("button", name="Ask", exact=True).click()
        expect(page.locator("#emotions tbody tr")).to_have_count(9, timeout=PREDICTION_MS)
        page.close()
