"""The service in a process of its own, and its page in a browser."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browsing import DESKTOP, launched
from tests.running import Running, serve

expect.set_options(timeout=20_000)


@pytest.fixture(scope="session")
def page_service(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests of its page."""
    with serve(tiny_run, tmp_path_factory.mktemp("log")) as process:
        yield process


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser, for one module: while it lives, no other event loop can run in this thread."""
    with launched() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Browser, page_service: Running, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The open page; an error in its scripts or a request to another host fails the test.

    A parameter has the options of the browser's context.
    """
    options = {"viewport": DESKTOP, "locale": "en", **getattr(request, "param", {})}
    context = browser.new_context(**options)
    page = context.new_page()
    urls: list[str] = []
    errors: list[str] = []
    page.on("request", lambda sent: urls.append(sent.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "refused" in line.text else None)
    page.goto(page_service.address)
    expect(page.locator("#cultures input")).to_have_count(3)
    expect(page.locator("#examples button")).to_have_count(6)
    yield page
    shots = os.environ.get("ARTAFFECT_SCREENSHOTS")
    if shots:
        name = re.sub(r"\W+", "-", request.node.name)
        page.screenshot(path=Path(shots) / f"{name}.png", full_page=True)
    context.close()
    assert not errors
    elsewhere = [u for u in urls if not u.startswith((page_service.address, "blob:", "data:"))]
    assert not elsewhere, "the page contacts only its own service"
