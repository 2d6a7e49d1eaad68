"""What a visitor takes from the page: a card, files, the history, a comparison, a print."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from artaffect.labels import EMOTIONS
from tests.browsing import PREDICTION_MS
from tests.running import Running, serve
from tests.server.test_page_answer import ask


def saved(page: Page, button: str) -> Path:
    with page.expect_download() as download:
        page.locator(button).click()
    return download.value.path()


@pytest.mark.parametrize("page", [{"locale": "en"}, {"locale": "ar"}], indirect=True)
def test_the_card_is_an_image_of_the_answer(page: Page, tmp_path: Path) -> None:
    red = tmp_path / "red.png"
    Image.new("RGB", (90, 60), (255, 0, 0)).save(red)
    ask(page, "a black sky", red)
    card = Image.open(saved(page, "#save-card")).convert("RGB")
    assert card.size == (1200, 630)
    counts = {colour: count for count, colour in card.getcolors(1_000_000) or []}
    assert counts[255, 0, 0] > 50_000, "the image is on it"
    tops = page.locator("#summary article").evaluate_all(
        "nodes => nodes.map(n => n.style.getPropertyValue('--label-light'))"
    )
    for colour in tops:
        channels = tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert counts.get(channels, 0) > 100, "a bar in the colour of each top label"


def test_the_answer_is_saved_as_json_and_csv(page: Page) -> None:
    ask(page, '=1+1, "waves"')
    content = json.loads(saved(page, "#save-json").read_text("utf-8"))
    assert content["caption"] == '=1+1, "waves"' and content["synthetic"] is True
    cultures = [p["culture"] for p in content["predictions"]]
    assert cultures == ["arabic", "chinese", "english"]
    rows = list(csv.DictReader(saved(page, "#save-csv").read_text("utf-8-sig").splitlines()))
    assert len(rows) == 27 and [row["label"] for row in rows[:9]] == list(EMOTIONS)
    for prediction in content["predictions"]:
        own = [row for row in rows if row["culture"] == prediction["culture"]]
        shares = {row["label"]: float(row["probability"]) for row in own}
        assert shares == prediction["probabilities"]


def test_a_print_holds_the_answer_and_no_form(page: Page) -> None:
    ask(page)
    page.emulate_media(media="print")
    expect(page.locator("#headline")).to_be_visible()
    expect(page.locator("#emotions")).to_be_visible()
    for name in ("#artwork", "#take-away", "#examples", "#history"):
        expect(page.locator(name)).to_be_hidden()


def test_questions_are_kept_in_this_browser_until_they_are_cleared(
    page: Page, picture: Path
) -> None:
    ask(page, "a black sky", picture)
    ask(page, "a bright garden")
    page.reload()
    kept = page.locator("#history-list button")
    expect(kept).to_have_count(2)
    assert str(kept.nth(1).locator("img").get_attribute("src")).startswith("data:image/jpeg")
    kept.nth(1).click()
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#from-history")).to_contain_text("From your questions of")
    expect(page.locator("#caption")).to_have_value("a black sky")
    page.get_by_role("button", name="Clear all").click()
    expect(kept).to_have_count(0)
    page.reload()
    expect(page.locator("#history-empty")).to_be_visible()
    assert page.evaluate("localStorage.getItem('artaffect.history')") is None


def test_two_works_are_compared(page: Page, picture: Path) -> None:
    ask(page, "a black sky", picture)
    first = page.locator("#emotions tbody tr").first.locator("td .value").first.text_content()
    page.get_by_role("button", name="Compare with another").click()
    expect(page.locator("#comparing")).to_contain_text("will be compared with")
    expect(page.locator("#image-name")).to_have_text("No image yet")
    ask(page, "a bright garden full of flowers")
    comparison = page.locator("#comparison")
    expect(comparison).to_be_visible()
    expect(comparison.locator("figcaption")).to_have_count(2)
    expect(comparison.locator("#differences li")).to_have_count(3)
    cells = comparison.locator("tbody td")
    expect(cells).to_have_count(27)
    shares = cells.locator(".value").all_text_contents()
    assert all(" · " in share for share in shares)
    assert any(share.startswith(str(first).split("%")[0]) for share in shares)
    expect(page.locator("#comparing")).to_be_hidden()
    ask(page, "waves")
    expect(comparison).to_be_hidden()


def test_a_model_that_reads_captions_only_asks_for_words(browser: Browser, tmp_path: Path) -> None:
    with serve(Path("starter"), tmp_path) as running:
        caption_only(browser, running)


def caption_only(browser: Browser, running: Running) -> None:
    page = browser.new_page(locale="en")
    page.goto(running.address)
    expect(page.get_by_role("heading", level=1)).to_have_text("What do these words evoke?")
    expect(page.locator("#image-field")).to_be_hidden()
    expect(page.locator("#culture-field")).to_be_hidden()
    expect(page.locator("#caption-only")).to_contain_text("artaffect demo")
    expect(page.locator("#synthetic")).to_be_hidden()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Write a description first.")
    page.locator("#examples button").first.click()
    expect(page.locator("#headline")).to_have_text(
        "Viewers would most likely feel fear.", timeout=PREDICTION_MS
    )
    expect(page.locator("#examples img")).to_have_count(0)
    page.close()
