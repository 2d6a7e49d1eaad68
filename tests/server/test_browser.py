"""The page in a real browser: what a visitor sees, on a desk and on a phone."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.running import Running, serve

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
ARABIC = "تعلو الأمواج فوق قارب صغير تحت سماء سوداء."
ANSWER_MS = 60_000
expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def running(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve(tiny_run, tmp_path_factory.mktemp("log")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, running: Running, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened; what it does wrong behind the scenes fails the test."""
    context = browser.new_context(viewport=getattr(request, "param", DESK), locale="en")
    page = context.new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(running.address)
    expect(page.locator("#cultures input")).to_have_count(3)
    yield page
    shots = os.environ.get("ARTAFFECT_SCREENSHOTS")
    if shots:
        name = re.sub(r"\W+", "-", request.node.name)
        page.screenshot(path=Path(shots) / f"{name}.png", full_page=True)
    context.close()
    assert not faults
    elsewhere = [url for url in asked if not url.startswith((running.address, "blob:", "data:"))]
    assert not elsewhere, "the page asks nobody but its own service"


@pytest.mark.parametrize("page", [DESK, PHONE], indirect=True, ids=["desk", "phone"])
def test_picture_in_answer_out_with_reasons(page: Page, picture: Path) -> None:
    page.set_input_files("#picture", picture)
    page.get_by_label("What do you see, or feel?").fill(ARABIC)
    page.get_by_label("Written in").select_option("arabic")
    page.get_by_role("button", name="Ask").click()
    table = page.get_by_role("table", name="How likely each emotion is")
    expect(table.get_by_role("columnheader")).to_have_text(
        ["emotion", "arabic", "chinese", "english"], timeout=ANSWER_MS
    )
    expect(table.locator("tbody tr")).to_have_count(9)
    expect(table.get_by_role("row", name="fear")).to_contain_text("恐惧")
    expect(table.get_by_role("row", name="fear")).to_contain_text("خوف")
    expect(table.locator("td.top")).to_have_count(3)
    reasons = page.locator("#reasons article")
    expect(reasons).to_have_count(3, timeout=ANSWER_MS)
    for article in reasons.all():
        heatmap = article.locator("img.heatmap")
        expect(heatmap).to_be_visible()
        box, below = heatmap.bounding_box(), article.locator("figure img").first.bounding_box()
        assert box and below and box == pytest.approx(below, abs=1)
        words = article.locator(".words")
        expect(words).to_have_text(ARABIC)
        assert words.evaluate("node => getComputedStyle(node).direction") == "rtl"
        # the first word stands to the right of the last
        first, last = words.locator("mark").first, words.locator("mark").last
        assert first.text_content() == "تعلو" and last.text_content() == "سوداء"
        right, left = first.bounding_box(), last.bounding_box()
        assert right and left
        assert right["y"] < left["y"] or right["x"] > left["x"]
    typed = page.get_by_label("What do you see, or feel?")
    assert typed.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert typed.get_attribute("lang") == "ar"
    page.get_by_label("Show where in the picture").uncheck()
    expect(reasons.first.locator("img.heatmap")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
        "wider than the screen"
    )


def test_a_text_file_named_jpg_gets_a_clear_error(page: Page, tmp_path: Path) -> None:
    wrong = tmp_path / "notes.jpg"
    wrong.write_text("no picture at all")
    page.get_by_label("What do you see, or feel?").fill("a black sky")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("#answer")).to_be_visible(timeout=ANSWER_MS)
    page.get_by_label("What do you see, or feel?").fill("")
    page.set_input_files("#picture", wrong)
    page.get_by_role("button", name="Ask").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("not a picture that can be read", timeout=ANSWER_MS)
    expect(page.locator("#answer")).to_be_hidden()
    page.get_by_role("button", name="Remove the picture").click()
    expect(page.locator("#picture-name")).to_have_text("No picture yet")
    expect(alert).to_be_hidden()
    page.get_by_role("button", name="Ask").click()
    expect(alert).to_contain_text("Give a picture, write some words, or both")


def test_an_example_is_one_click(page: Page) -> None:
    examples = page.locator("#examples button")
    expect(examples).to_have_count(6)
    examples.nth(1).click()
    expect(page.locator("#reasons article")).to_have_count(3, timeout=ANSWER_MS)
    expect(page.locator("#preview")).to_be_visible()
    expect(page.locator("#caption")).not_to_have_value("")


def test_the_keyboard_is_enough(page: Page, picture: Path) -> None:
    seen = []
    for _ in range(20):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if seen[-1] == "caption":
            page.keyboard.type("a black sky")
        if seen[-1] == "ask":
            break
    assert seen[:2] == ["skip", "picture"] and seen[-1] == "ask", seen
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("below", timeout=ANSWER_MS)


def test_a_picture_is_dropped(page: Page, picture: Path) -> None:
    page.evaluate(
        """async () => {
            const file = await (await fetch("examples/0.jpg")).blob();
            const transfer = new DataTransfer();
            transfer.items.add(new File([file], "dropped.jpg", {type: "image/jpeg"}));
            document.querySelector("#drop").dispatchEvent(
                new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }"""
    )
    expect(page.locator("#picture-name")).to_have_text("dropped.jpg")
    expect(page.locator("#preview")).to_be_visible()


def test_every_control_has_a_name_and_every_picture_a_text(page: Page) -> None:
    """What a screen reader would have nothing to say about."""
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("input, select, textarea, button")].filter(
            node => !(node.labels?.length || node.textContent.trim() || node.ariaLabel)
        ).map(node => node.outerHTML)"""
    )
    assert nameless == []
    assert page.evaluate("[...document.images].every(image => image.hasAttribute('alt'))")
    headings = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => h.tagName)")
    assert headings[0] == "H1" and headings.count("H1") == 1


def test_a_service_with_a_key_asks_for_it(browser: Browser, tiny_run: Path, tmp_path: Path) -> None:
    with serve(tiny_run, tmp_path, key="open sesame") as running:
        page = browser.new_page()
        page.goto(running.address)
        expect(page.get_by_role("alert")).to_contain_text("asks for a key")
        page.get_by_label("Key of this service").fill("open sesame")
        page.get_by_label("What do you see, or feel?").fill("a black sky")
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("#emotions tbody tr")).to_have_count(9, timeout=ANSWER_MS)
        page.close()
