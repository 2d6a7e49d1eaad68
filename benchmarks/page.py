"""The page of the service in Chromium: time to an answer, to its reasons and to the deletion test; weight.

    python -m benchmarks.page RUN [--turns 7]

Each turn opens the page and chooses another example, an image with its caption: from the click until the
browser shows the result. The service and the browser share the machine, as they do for a visitor of a laptop.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

from playwright.sync_api import Page, sync_playwright

from tests.browsing import CHROMIUM, DESKTOP, FLAGS

SHOWN = {
    "first answer": "#result",
    "explanation": "#explanations article",
    "deletion test": "#explanations .verdict:is(.held, .failed)",
}
_LIMIT_MS = 120_000


def ask(page: Page, address: str, turn: int) -> dict[str, float]:
    """Open the page and choose an example: seconds until each part of the answer is shown."""
    page.goto(address)
    examples = page.locator("#examples button")
    examples.first.wait_for()
    start = time.perf_counter()
    examples.nth(turn % examples.count()).click()
    seconds = {}
    for name, selector in SHOWN.items():
        page.wait_for_selector(f"{selector} >> visible=true", timeout=_LIMIT_MS)
        seconds[name] = time.perf_counter() - start
    return seconds


def main(run: str, turns: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "artaffect.cli.main", "serve", run, "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as service:
        try:
            wait_for(f"{address}readyz")
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                page = browser.new_page(viewport=DESKTOP)
                page.goto(address)
                page.wait_for_selector("#examples button")
                weight = page.evaluate(
                    "performance.getEntriesByType('resource').filter(e => !/examples|\\\\.(png|jpg|webp)/"
                    ".test(e.name)).reduce((sum, e) => sum + e.decodedBodySize, 0)"
                    " + performance.getEntriesByType('navigation')[0].decodedBodySize"
                )
                times = [ask(page, address, turn) for turn in range(turns)]
                browser.close()
        finally:
            service.terminate()
    medians = {name: statistics.median(t[name] for t in times) for name in SHOWN}
    print(json.dumps({"bytes without images": weight, "turns": turns, "median seconds": medians}))


def wait_for(address: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urlopen(address):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{address} did not answer in {seconds:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args()
    main(str(Path(options.run)), options.turns)
