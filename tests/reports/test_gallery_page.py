"""The gallery in a real browser: from a file and from a server, by mouse, keys and thumb."""

import contextlib
import functools
import http.server
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

import artaffect as aa
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.works import Works, read_works
from tests.browsing import DESKTOP, PHONE, launched
from tests.exports import LABELS, SCRIPTS, write_answers

WORKS = 400
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gallery")
    rng = np.random.default_rng(0)
    for number in range(WORKS):
        if number % 5:
            pixels = rng.integers(0, 255, (6, 4 + number % 4, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((60, 90)).save(folder / f"{number}.jpg")
    titles = [HOSTILE, *SCRIPTS]
    rows = ["id;image;title;description"]
    for n in range(WORKS):
        image = f"{n}.jpg" if n % 5 else ""
        rows.append(
            f'w {n};{image};"{titles[n % 5].replace(chr(34), chr(34) * 2)} {n}";Café {n % 7}'
        )
    (folder / "records.csv").write_text("\n".join(rows), "utf-8")
    write_answers(read_items(folder / "records.csv"), folder / "answers.parquet")
    aa.browse(folder / "answers.parquet", folder / "site", title="Works & worlds")
    return folder / "site"


@pytest.fixture(scope="module")
def works(site: Path) -> Works:
    return read_works(site.parent / "answers.parquet", {}, None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Browser, site: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The page, opened as a file; an error in its scripts or a request elsewhere fails the test."""
    options = {"viewport": DESKTOP, "locale": "en", **getattr(request, "param", {})}
    context = browser.new_context(**options)
    page = context.new_page()
    errors: list[str] = []
    urls: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda sent: urls.append(sent.url))
    page.goto((site / "index.html").as_uri())
    expect(page.locator("#count")).to_have_text(f"{WORKS} works")
    yield page
    shots = os.environ.get("ARTAFFECT_SCREENSHOTS")
    if shots:
        name = re.sub(r"\W+", "-", request.node.name)
        page.screenshot(path=Path(shots) / f"{name}.png")
    assert page.title() != "taken"
    context.close()
    assert not errors
    assert all(url.startswith(site.parent.as_uri()) for url in urls)


def count(page: Page) -> int:
    return int((page.locator("#count").text_content() or "").split()[0].replace(",", ""))


def shown(page: Page) -> list[str]:
    """The ids of the works at the top of the wall."""
    hrefs = page.locator("#wall a").evaluate_all("links => links.map(link => link.hash)")
    return [re.sub(r".*work=", "", href).replace("+", " ") for href in hrefs]


def choose(page: Page, label: str, culture: str) -> None:
    page.get_by_role("button", name=re.compile(f"^{label}, {culture}: ")).click()


def test_labels_and_cultures_filter_together(page: Page, works: Works) -> None:
    awe, fear = LABELS.index("awe"), LABELS.index("fear")
    is_awe, is_fear = works.tops[:, 0] == awe, works.tops[:, 1] == fear
    button = page.get_by_role("button", name=re.compile("^awe, arabic: "))
    expect(button).to_have_attribute("aria-label", f"awe, arabic: {is_awe.sum()} works")
    choose(page, "awe", "arabic")
    assert count(page) == is_awe.sum()
    number = int((is_awe & is_fear).sum())
    fears = page.get_by_role("button", name=f"fear, chinese: {number} works")
    expect(fears).to_be_visible()  # a number says what choosing it would leave
    fears.click()
    assert count(page) == number > 0
    expect(fears).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#active")).to_have_text("(2)")
    fears.click()
    assert count(page) == is_awe.sum()
    page.get_by_role("button", name="Clear all filters").first.click()
    assert count(page) == WORKS and page.evaluate("location.hash") in ("", "#")


def test_words_certainty_and_divergence_filter(page: Page, works: Works) -> None:
    page.get_by_label("Words of the title").fill("CAFE 3")
    expect(page.locator("#count")).not_to_have_text(f"{WORKS} works")
    texts = [f"{t}\n{x}\n{i}" for t, x, i in zip(works.titles, works.texts, works.ids, strict=True)]
    plain = [text.lower().replace("é", "e") for text in texts]
    assert count(page) == sum("cafe" in text and "3" in text for text in plain)
    page.get_by_label("Words of the title").fill(SCRIPTS[0].split()[0])
    expect(page.locator("#count")).to_have_text(f"{WORKS // 5} works")
    page.get_by_label("Words of the title").fill("")
    page.get_by_label("At least this certain").fill("60")
    expect(page.locator("#sure-value")).to_have_text("60 %")
    certain = works.probabilities.max(2).min(1)
    assert count(page) == pytest.approx((certain >= 0.6).sum(), abs=1)
    page.get_by_label("Cultures at least this far apart").fill("100")
    expect(page.locator("#apart-value")).to_have_text("0.13 bits")


def test_sorting_by_certainty_and_title(page: Page, works: Works) -> None:
    certain = works.probabilities.max(2).min(1)
    page.get_by_label("Sort by").select_option("Most certain first")
    assert shown(page)[0] == works.ids[int(certain.argmax())]
    page.get_by_label("Sort by").select_option("Least certain first")
    assert shown(page)[0] == works.ids[int(certain.argmin())]
    page.get_by_label("Sort by").select_option("Title")
    titles = dict(zip(works.ids, works.titles, strict=True))
    numbers = [int(titles[name].split()[-1]) for name in shown(page)[:8]]
    assert numbers == sorted(numbers), "10 comes after 9"


def test_every_state_has_an_address(page: Page, site: Path) -> None:
    choose(page, "fear", "chinese")
    page.get_by_label("At least this certain").fill("40")
    page.get_by_label("Sort by").select_option("Cultures agree most")
    number = count(page)
    page.locator("#wall a").nth(2).click()
    dialog = page.get_by_role("dialog")
    title = dialog.get_by_role("heading", level=2).text_content()
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(dialog.get_by_role("heading", level=2)).to_have_text(title or "")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert count(page) == number
    expect(page.get_by_label("Sort by")).to_have_value("together")
    page.go_back()
    expect(dialog).to_be_visible()
    page.goto((site / "index.html").as_uri() + "#work=none&sure=x&in.arabic=joy&sort=odd&kin=no")
    expect(page.locator("#count")).to_have_text(f"{WORKS} works")
    expect(dialog).to_be_hidden()


def test_a_work_shows_what_each_culture_would_report(page: Page, works: Works) -> None:
    page.locator("#wall a").nth(1).click()
    dialog = page.get_by_role("dialog")
    work = works.ids.index(dialog.locator(".eyebrow").text_content() or "")
    rows = dialog.locator(".distribution tbody tr")
    expect(rows).to_have_count(len(LABELS))
    for i, label in enumerate(LABELS):
        expect(rows.nth(i).get_by_role("rowheader")).to_contain_text(label)
        cells = rows.nth(i).locator("td").all_text_contents()
        expected = works.probabilities[work, :, i]
        for text, p in zip(cells, expected, strict=True):
            assert text == "<1 %" or int(text.split()[0]) == pytest.approx(100 * p, abs=0.51)
    expect(dialog.locator("td.top")).to_have_count(2)
    for text in ("Note: about arabic; about chinese.", "Predicted without: image", "ab" * 32):
        expect(dialog).to_contain_text(text)
    expect(dialog.get_by_text("a machine's statement, not reviewed")).to_be_visible()
    place = dialog.locator(".place")
    expect(place).to_have_text(f"2 of {WORKS}")
    page.keyboard.press("ArrowRight")
    expect(place).to_have_text(f"3 of {WORKS}")


def test_works_that_look_alike_with_the_opposite_emotion(page: Page, works: Works) -> None:
    assert works.directions is not None
    with_image = [i for i, image in enumerate(works.images) if image is not None]
    work = next(i for i in with_image if works.tops[i, 0] == LABELS.index("awe"))
    page.goto(page.url.partition("#")[0] + f"#work={works.ids[work].replace(' ', '+')}")
    unit = works.directions / np.linalg.norm(works.directions, axis=1, keepdims=True)
    order = [i for i in np.argsort(-(unit @ unit[work])) if i != work]
    dialog = page.get_by_role("dialog")
    for choice, allowed in (("any emotion", (0, 1, 2)), ("the opposite emotion", (1,))):
        dialog.get_by_label(choice).check()
        expected = [works.titles[i] for i in order if works.tops[i, 0] in allowed][:8]
        names = dialog.locator(".strip .name")
        expect(names).to_have_count(8)
        expect(names.first).to_have_text(" ".join(expected[0].split()))
        assert len({*names.all_text_contents()} & {*expected}) >= 7, "rounding may swap neighbours"
    dialog.get_by_role("link", name="Show all of them on the wall").click()
    expect(dialog).to_be_hidden()
    assert count(page) == sum(works.tops[i, 0] == 1 for i in order)
    assert "like=" in page.url and "kin=opposite" in page.url
    page.reload()
    expect(page.locator("#likeness")).to_contain_text("with the opposite emotion for arabic")
    page.get_by_role("button", name="Remove").click()
    assert count(page) == WORKS


def test_only_the_tiles_in_view_exist_and_keys_reach_all_of_them(page: Page) -> None:
    assert page.locator("#wall li").count() < 60
    page.locator("#wall a").first.focus()
    positions = (
        "[+document.activeElement.dataset.position, document.querySelectorAll('#wall li').length]"
    )
    page.keyboard.press("End")
    last, tiles = page.evaluate(positions)
    assert last == WORKS - 1 and tiles < 60
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(positions)[0] == WORKS - 2
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    below = page.evaluate(positions)[0]
    assert 2 <= below <= 8
    expect(page.locator(":focus")).to_be_in_viewport()
    tile = page.locator("#wall li:has(:focus)")
    assert tile.get_attribute("aria-setsize") == str(WORKS)
    assert tile.get_attribute("aria-posinset") == str(below + 1)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(positions)[0] == below, "the focus comes back"
    assert page.locator("#wall a[tabindex='0']").count() == 1


@pytest.mark.parametrize(
    "page",
    [
        {"color_scheme": "light"},
        {"color_scheme": "dark"},
        {"color_scheme": "light", "viewport": PHONE, "has_touch": True},
        {"color_scheme": "dark", "viewport": PHONE, "has_touch": True},
    ],
    indirect=True,
    ids=["light", "dark", "light phone", "dark phone"],
)
def test_axe_reports_nothing_and_nothing_scrolls_sideways(page: Page) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    page.locator("#panel").evaluate("panel => { panel.open = true; }")
    choose(page, "awe", "arabic")

    def check() -> None:
        result = axe.Axe().run(page)
        assert result.violations_count == 0, result.generate_report()
        widths = (
            "[document.documentElement.scrollWidth, document.querySelector('#work').scrollWidth]"
        )
        assert max(page.evaluate(widths)) <= page.viewport_size["width"]  # type: ignore[index]

    check()
    page.locator("#wall a").first.click()
    expect(page.get_by_role("dialog").get_by_role("link", name="Show all")).to_be_visible()
    check()


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_web_server_shows_the_same(browser: Browser, site: Path) -> None:
    with served(site.parent) as address:
        page = browser.new_page()
        page.goto(f"{address}/site/#in.arabic=awe")
        expect(page.locator("#active")).to_have_text("(1)")
        image = page.locator("#wall img").first
        expect(image).to_be_visible()
        expect(image).not_to_have_js_property("naturalWidth", 0)
        page.close()


def test_a_gallery_without_its_data_says_so(browser: Browser, site: Path, tmp_path: Path) -> None:
    for name in ("index.html", "data.js", "filter.js", "wall.js", "work.js", "gallery.js"):
        (tmp_path / name).write_bytes((site / name).read_bytes())
    page = browser.new_page()
    page.goto((tmp_path / "index.html").as_uri())
    expect(page.get_by_role("alert")).to_contain_text("copy the whole gallery again")
    page.close()


def test_one_culture_has_no_comparison(browser: Browser, site: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(site.parent / "answers.parquet")
    alone = table.filter(pa.compute.equal(table["culture"], "arabic"))
    blank = pa.nulls(alone.num_rows, pa.float32())
    alone = alone.set_column(alone.column_names.index("divergence_bits"), "divergence_bits", blank)
    pq.write_table(alone, tmp_path / "answers.parquet")
    aa.browse(tmp_path / "answers.parquet", tmp_path / "site")
    page = browser.new_page()
    page.goto((tmp_path / "site" / "index.html").as_uri())
    expect(page.locator("#count")).to_have_text(f"{WORKS} works")
    expect(page.locator("#apart")).to_have_count(0)
    page.locator("#wall a").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Left out: nothing beside these answers")
    page.close()
