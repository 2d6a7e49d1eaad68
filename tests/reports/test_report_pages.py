"""The pages of reports in a real browser: accessible, whole on a phone, folded, and with their files."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

import artaffect as aa
from artaffect.data.annotations import AnnotationTable
from artaffect.reports.pages import render, write
from artaffect.reports.tables import evaluation_tables
from tests.browsing import DESKTOP, PHONE, launched

pytestmark = pytest.mark.slow

PAGES = ("run", "culture", "explanation", "artwork", "reproduction")


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory, tiny_run: Path, sample_table: AnnotationTable
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    result = aa.evaluate(tiny_run, sample_table, out=folder / "run")
    aa.report(tiny_run, sample_table, folder / "culture", artwork_pages=2, explanations=2)
    picture = next(sample_table.images.rglob("*.jpg")) if sample_table.images else None
    aa.explain_prediction(
        tiny_run,
        image=picture,
        caption="A storm tears at the mast.",
        table=sample_table,
        out=folder / "explanation" / "why.html",
    )
    reproduction = folder / "reproduction" / "report.html"
    context = {"paragraphs": ["Two tables."], "figures": [], "curves": []}
    tables = evaluation_tables(result)
    write(
        reproduction, render("reproduction.html.j2", title="Reproduced", tables=tables, **context)
    )
    return {
        "run": folder / "run" / "report.html",
        "culture": folder / "culture" / "report.html",
        "explanation": folder / "explanation" / "why.html",
        "artwork": next((folder / "culture" / "artworks").iterdir()),
        "reproduction": reproduction,
    }


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(params=PAGES)
def page(
    browser: Browser, pages: dict[str, Path], request: pytest.FixtureRequest
) -> Iterator[Page]:
    context = browser.new_context(viewport=DESKTOP)
    opened = context.new_page()
    opened.goto(pages[request.param].as_uri())
    yield opened
    context.close()


def test_axe_finds_nothing_and_a_phone_does_not_scroll_sideways(page: Page) -> None:
    axe = Axe()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        result = axe.run(page)
        assert result.violations_count == 0, result.generate_report()
    page.set_viewport_size(PHONE)
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) <= PHONE["width"]
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(width) <= PHONE["width"], "with everything unfolded, too"


def test_no_table_is_cut_on_a_desktop(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    cut = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1)"
        ".map(s => s.getAttribute('aria-label'))"
    )
    assert cut == []


def test_long_pages_fold_their_tables_and_print_them(
    browser: Browser, pages: dict[str, Path]
) -> None:
    opened = browser.new_page()
    opened.goto(pages["culture"].as_uri())
    shown = "[...document.querySelectorAll('table')].filter(t => t.checkVisibility()).length"
    every = opened.locator("table").count()
    assert 1 <= opened.evaluate(shown) <= 5 < every
    opened.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert opened.evaluate(shown) == every
    opened.evaluate("dispatchEvent(new Event('afterprint'))")
    assert opened.evaluate(shown) <= 5
    for link in opened.locator(".contents a").all():
        assert opened.locator(link.get_attribute("href") or "none").count() == 1
    cards = opened.locator(".paintings li")
    assert cards.count() == 2 and cards.first.locator(".culture").count() == 3
    cards.first.scroll_into_view_if_needed()
    loaded = "i => i.decode().then(() => i.naturalWidth)"
    assert cards.first.locator("img").evaluate(loaded) > 0
    opened.close()


def test_figures_and_tables_are_there_in_files(pages: dict[str, Path]) -> None:
    begins = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    for name in ("run", "culture", "explanation"):
        text = pages[name].read_text("utf-8")
        addresses = re.findall(r'<a href="([^"]+)" download', text)
        kinds = {address.rpartition(".")[2] for address in addresses}
        assert kinds == {"svg", "png", "pdf", "csv", "tex"} and len(set(addresses)) == len(
            addresses
        )
        for address in addresses:
            content = (pages[name].parent / unquote(address)).read_bytes()
            assert content.startswith(begins.get(address.rpartition(".")[2], b"")) and content


def test_a_run_report_begins_with_its_headline_and_its_training(pages: dict[str, Path]) -> None:
    text = pages["run"].read_text("utf-8")
    assert "11 paintings are too few to conclude anything" in text
    assert text.index('class="headline"') < text.index("What was trained on what")
    assert text.index("What was trained on what") < text.index("Scores with 95 % intervals")
    for fact in ("artaffect sample (synthetic)", "annotations of 50 paintings", "fusion.latent"):
        assert fact in text
    assert "the share of captions whose most probable label" in text


def test_an_explanation_shows_the_question_beside_what_speaks_for_it(
    browser: Browser, pages: dict[str, Path]
) -> None:
    opened = browser.new_page()
    opened.goto(pages["explanation"].as_uri())
    assert opened.locator(".question blockquote").inner_text() == "A storm tears at the mast."
    pair = opened.locator(".pair").first
    plain, map_ = (pair.locator("figure").nth(i).bounding_box() for i in range(2))
    assert plain is not None and map_ is not None
    assert plain["y"] == map_["y"] and plain["x"] + plain["width"] <= map_["x"]
    failed = opened.locator(".overlay.failed").count()
    assert opened.locator(".stamp").count() == failed
    assert opened.locator(".answers li").count() == 3
    assert "all random orders" in opened.content()
    opened.close()
