"""The files of the page: complete in every language, light, and on their own."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Page

PAGE = Path(str(files("artaffect.server") / "page"))
ASSETS = Path(str(files("artaffect.reports") / "assets"))
SOURCES = sorted(PAGE.iterdir())


@pytest.fixture
def texts(page: Page) -> dict[str, dict[str, str]]:
    """The texts of the page, by language and name."""
    texts: dict[str, dict[str, str]] = page.evaluate(
        "async () => (await import('./page/messages.js')).MESSAGES"
    )
    return texts


def test_every_language_has_every_text_with_the_same_values(
    texts: dict[str, dict[str, str]],
) -> None:
    assert set(texts) == {"en", "ar", "zh"}
    for language in ("ar", "zh"):
        assert list(texts[language]) == list(texts["en"]), language
        for name, text in texts[language].items():
            values = sorted(set(re.findall(r"\{\w+\}", text)))
            wanted = sorted(set(re.findall(r"\{\w+\}", texts["en"][name])))
            assert values == wanted and text.strip(), f"{language}: {name}"


def test_every_text_is_used_and_exists(texts: dict[str, dict[str, str]]) -> None:
    known = set(texts["en"])
    sources = [path.read_text("utf-8") for path in SOURCES if path.name != "messages.js"]
    html = (PAGE / "index.html").read_text("utf-8")
    used = set(re.findall(r'data-t(?:-[a-z-]+)?="(\w+)"', html))
    used |= {name for text in sources for name in re.findall(r'\b(?:t|rich)\("(\w+)"', text)}
    quoted = {name for text in sources for name in re.findall(r'"(\w+)"', text)}
    own = set(re.findall(r'\bt\("(\w+)"', (PAGE / "language.js").read_text("utf-8")))
    assert used <= known
    assert known <= used | quoted | own, f"unused: {sorted(known - used - quoted - own)}"


def test_the_page_is_light() -> None:
    weight = sum(path.stat().st_size for path in (*SOURCES, *ASSETS.iterdir()))
    assert weight < 150_000, "bytes without images"


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for path in SOURCES:
        text = path.read_text("utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org)", text), path.name
    html = (PAGE / "index.html").read_text("utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html)


def test_every_module_is_short() -> None:
    for path in SOURCES:
        assert len(path.read_text("utf-8").splitlines()) <= 400, path.name
