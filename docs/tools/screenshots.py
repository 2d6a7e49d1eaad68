"""The pictures of the documentation, made from the sample: ``python -m docs.tools.screenshots``.

It needs Chromium and the development requirements, and takes a few minutes: it makes the sample, trains
a model on it, and takes a picture of the service's page, of both reports, of an explanation and of a
gallery.
"""

import argparse
import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

import artaffect as aa

IMAGES = Path(__file__).resolve().parents[1] / "images"
_VIEW: ViewportSize = {"width": 1280, "height": 860}
_CAPTION = "Waves tower over a small boat under a black sky."
_MOST_BYTES = 150_000
_QUALITY = 88
_WORKS = 60


def main() -> None:
    """Make the pages, and take their pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, help="a folder of `artaffect demo`; made if missing")
    given = parser.parse_args().demo
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        demo = given or folder / "demo"
        if not (demo / "run").is_dir():
            _command("demo", "--out", demo)
        pages = _pages(demo, folder)
        IMAGES.mkdir(exist_ok=True)
        with _served(demo / "run") as address, _browser() as page:
            for name, path in pages.items():
                page.goto(path.as_uri())
                _take(page, name, folder)
            page.goto(address)
            _ask(page, demo / "new-painting.jpg")
            _take(page, "page", folder)


def _pages(demo: Path, folder: Path) -> Mapping[str, Path]:
    run, table = demo / "run", aa.AnnotationTable.load(demo / "annotations.parquet")
    aa.evaluate(run, table, out=folder / "evaluation")
    aa.report(run, table, folder / "culture", artwork_pages=4, explanations=0)
    why = folder / "why.html"
    picture = demo / "new-painting.jpg"
    aa.explain_prediction(run, picture, _CAPTION, table=table, out=why)
    works = sorted((demo / "data" / "wikiart").rglob("*.jpg"))[:: max(1, 480 // _WORKS)]
    photos = folder / "photos"
    photos.mkdir()
    for work in works:
        shutil.copy(work, photos)
    aa.predict_collection(run, photos, folder / "answers.parquet")
    aa.browse(folder / "answers.parquet", folder / "gallery", title="The sample")
    return {
        "run-report": folder / "evaluation" / "report.html",
        "culture-report": folder / "culture" / "report.html",
        "explanation": why,
        "gallery": folder / "gallery" / "index.html",
    }


def _command(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "artaffect.cli.main", *map(str, arguments)], check=True)


@contextlib.contextmanager
def _served(run: Path) -> Iterator[str]:
    """The address of the service, while it runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "artaffect.cli.main", "serve", str(run), "--port", str(port)]
    with subprocess.Popen(command) as service:
        address = f"http://127.0.0.1:{port}/"
        try:
            for _ in range(120):
                with contextlib.suppress(OSError), urllib.request.urlopen(address):
                    break
                time.sleep(0.5)
            yield address
        finally:
            service.terminate()


@contextlib.contextmanager
def _browser() -> Iterator[Page]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=_VIEW, locale="en", color_scheme="light")
        page.set_default_timeout(120_000)  # a busy machine answers slowly
        yield page
        browser.close()


def _ask(page: Page, image: Path) -> None:
    """Put an image and a caption to the service's page, and wait for its answer."""
    page.locator("input[type=file]").first.set_input_files(image)
    page.locator("textarea").first.fill(_CAPTION)
    page.keyboard.press("Control+Enter")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(3000)


def _take(page: Page, name: str, folder: Path) -> None:
    """Write what the window shows as a small WebP."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=folder / f"{name}.png")
    with Image.open(folder / f"{name}.png") as picture:
        picture.convert("RGB").save(IMAGES / f"{name}.webp", quality=_QUALITY, method=6)
    size = (IMAGES / f"{name}.webp").stat().st_size
    if size > _MOST_BYTES:
        raise SystemExit(f"{name}.webp has {size:,} bytes, more than {_MOST_BYTES:,}")


if __name__ == "__main__":
    main()
