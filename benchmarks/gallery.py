"""A gallery of drawn works: time of answers, wide Excel and gallery; latency of its filters in Chromium.

    python -m benchmarks.gallery RUN [--works 10000] [--workers 2] [--answers FILE] [--shots FOLDER]

The works are those of `benchmarks/museum.py`. With `--answers`, a file of `predict-collection` is taken
instead of predicting. Latency is the time from the event to the next frame that the browser has painted, in
the page itself, at 1280 and at 390 pixels.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from playwright.sync_api import Page, sync_playwright

import artaffect as aa
from artaffect.prediction.collection.answers import AnswerTable, prediction_schema
from artaffect.prediction.collection.formats import open_answers
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.records import TableOptions
from benchmarks.museum import seconds, workbook
from tests.browsing import CHROMIUM, DESKTOP, FLAGS, PHONE

MEASURE = """async () => {
  const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  const times = {};
  async function time(name, act) {
    await painted();
    const start = performance.now();
    act();
    await painted();
    (times[name] ??= []).push(performance.now() - start);
  }
  const words = document.querySelector("#words");
  const put = (input, value, kind = "input") => {
    input.value = value;
    input.dispatchEvent(new Event(kind, {bubbles: true}));
  };
  for (let turn = 0; turn < 5; turn++) {
    for (const button of [...document.querySelectorAll("#matrix button")].slice(0, 12)) {
      await time("label and culture", () => button.click());
    }
    document.querySelector("#clear").click();
    for (const text of ["u", "un", "unt", "unti", "untitled (1", "the", "calm", ""]) {
      await time("words", () => put(words, text));
    }
    const sure = document.querySelector("#sure"), apart = document.querySelector("#apart");
    for (const value of [20, 40, 60, 0]) await time("certainty", () => put(sure, value));
    for (const value of [10, 30, 60, 0]) await time("divergence", () => put(apart, value));
    const sort = document.querySelector("#sort");
    for (const value of ["title", "sure", "apart", ""]) await time("sort", () => put(sort, value, "change"));
  }
  return times;
}"""
SCROLL = """async () => {
  const frames = [];
  let last = performance.now();
  for (let i = 0; i < 120; i++) {
    scrollBy(0, 1500);
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  scrollTo(0, 0);
  return frames;
}"""


def write_wide(answers: Path, sheet: Path, root: Path, out: Path) -> None:
    """The same answers as a wide workbook."""
    table = pq.read_table(answers)
    cultures = tuple(table["culture"].unique().to_pylist())
    names = table.column_names
    labels = tuple(names[names.index("caption_share") + 1 : names.index("model")])
    items = read_items(sheet, TableOptions(root=root))
    record = tuple(items["record"].type.names)
    wide = AnswerTable("wide", cultures, labels, record, {"model": "first"})
    kept = [name for name in prediction_schema(labels).names if name in names]
    with open_answers(out, ".xlsx", wide.schema, {}) as append:
        append(wide.table(items, table.select(kept)))


def measure(page: Page, site: Path, name: str, shots: Path | None) -> None:
    started = time.perf_counter()
    page.goto((site / "index.html").as_uri())
    page.locator("#wall a").first.wait_for()
    print(f"{name}: first works after {time.perf_counter() - started:.2f} s", flush=True)
    times: dict[str, list[float]] = page.evaluate(MEASURE)
    for kind, values in times.items():
        print(
            f"{name}: {kind}: median {statistics.median(values):.1f} ms, most {max(values):.0f} ms",
            flush=True,
        )
    every = [value for values in times.values() for value in values]
    print(
        f"{name}: all filters: median {statistics.median(every):.1f} ms of {len(every)}", flush=True
    )
    frames = page.evaluate(SCROLL)
    print(
        f"{name}: scrolling: median frame {statistics.median(frames):.1f} ms, most {max(frames):.0f} ms"
    )
    if shots is not None:
        page.screenshot(path=shots / f"gallery-{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--works", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--shots", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        answers: Path = options.answers or folder / "answers.parquet"
        if options.answers is None:
            sheet, root = workbook(folder, options.works), folder / "sample" / "wikiart"
            command: list[Any] = [sys.executable, "-m", "artaffect.cli.main", "predict-collection"]
            command += [options.run, sheet, "--root", root, "--out", answers]
            command += ["--workers", str(options.workers)]
            took = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
            print(
                f"predict-collection: {took:.0f} s, {options.works / took:.0f} works/s", flush=True
            )
            took = seconds(lambda: write_wide(answers, sheet, root, folder / "wide.xlsx"))
            print(f"wide Excel: {took:.1f} s", flush=True)
        site = folder / "site"
        took = seconds(lambda: aa.browse(answers, site))
        size = sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) / 2**20
        print(f"gallery: {took:.1f} s, {size:.1f} MiB", flush=True)
        took = seconds(lambda: aa.browse(answers, folder / "embedded", embed_images=True))
        print(f"gallery with copies of the images: {took:.1f} s", flush=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for width, viewport in (("1280", DESKTOP), ("390", PHONE)):
                page = browser.new_page(viewport=viewport)  # type: ignore[arg-type]
                measure(page, site, width, options.shots)
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
