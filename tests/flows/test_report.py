"""The report on the command line, and its pages as a browser reads them."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest
from jinja2 import UndefinedError

import artaffect as aa
from artaffect.data.annotation_schema import LABEL
from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.reports.pages import render
from artaffect.reports.tables import markdown_line
from tests.conftest import Command

pytestmark = pytest.mark.slow


class Tables(HTMLParser):
    """Collects every table as rows of cells, by caption, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [
            v for k, v in attrs if k in ("href", "src") and v and not v.startswith("#")
        ]
        if tag in ("caption", "th", "td"):
            self.open.append("")
        if tag == "table":
            self.rows, self.title = [], ""
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data: str) -> None:
        if self.open:
            self.open[-1] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "caption":
            self.title = self.open.pop()
        if tag in ("th", "td"):
            self.rows[-1].append(self.open.pop())
        if tag == "table":
            self.tables[self.title] = self.rows


def read(page: Path) -> Tables:
    tables = Tables()
    tables.feed(page.read_text("utf-8"))
    return tables


@pytest.fixture
def table(sample_table: AnnotationTable, tmp_path: Path) -> Path:
    path = tmp_path / "sample.parquet"
    sample_table.save(path)
    return path


def test_a_report_says_what_its_json_says(
    artaffect: Command, tiny_run: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    shown = ("--paintings", 3, "--explanations", 4)
    code, printed, err = artaffect("report", tiny_run, "--data", table, "--out", out, *shown)
    assert code == 0, err
    assert "Cultures see the same paintings differently" in printed
    assert (
        "11 paintings are too few to conclude anything" in printed
        and "the image adds" not in printed
    )
    report = json.loads((out / "report.json").read_text("utf-8"))
    page = read(out / "report.html")
    assert all(len({len(row) for row in rows}) == 1 for rows in page.tables.values())

    pairs = next(
        rows for title, rows in page.tables.items() if title.startswith("Pairs of cultures")
    )
    for pair in report["divergence"]["pairs"]:
        row = next(row for row in pairs if row[0] == f"{pair['first']} / {pair['second']}")
        assert row[3] == f"{pair['observed']:.3f}"
        assert row[5].startswith(f"{pair['beyond_chance']['value']:+.3f} [")
    scores = next(rows for t, rows in page.tables.items() if t.startswith("overall: 132 captions"))
    run = report["runs"][0]
    models = {"baseline": run["evaluation"]["baseline"], **run["evaluation"]["models"]}
    labels = {"both_without_culture": "both without culture"}
    for model, groups in models.items():
        row = next(row for row in scores if row[0] == labels.get(model, model))
        assert row[1].startswith(f"{groups['overall']['metrics']['accuracy']['value']:.3f} [")
    calibration = next(r for t, r in page.tables.items() if t.startswith("Calibration"))
    temperature = run["calibration"]["both"]["temperatures"]["by_culture"]["arabic"]
    row_names = [row[:2] for row in calibration]
    assert ["both, calibrated, arabic", f"{temperature:.2f}"] in row_names
    assert any("labels of another: accuracy" in title for title in page.tables)
    tests = next(rows for title, rows in page.tables.items() if title.startswith("Deletion test"))
    for name, test in run["deletion_tests"].items():
        row = next(row for row in tests if row[0] == name)
        assert test["artworks"] == 4 and row[1] == "4"
        assert row[2].startswith(f"{test['deletion_auc_gap']['value']:+.3f}")
    assert set(run["deletion_tests"]) == {"image", "caption"}

    markdown = (out / "report.md").read_text("utf-8")
    for title in page.tables:
        assert f"**{title}**" in markdown
    assert re.search(r"NaN|nan\b|None", markdown) is None


def test_a_table_with_annotators_says_what_they_agree_on(
    artaffect: Command, tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    of_artwork: dict[tuple[str, str], int] = {}
    names = []
    for artwork, culture in zip(
        *(sample_table.strings(column) for column in ("artwork_id", "culture")), strict=True
    ):
        number = of_artwork[artwork, culture] = of_artwork.get((artwork, culture), -1) + 1
        names.append(f"{culture} {number % 3}")  # the first annotator labels each painting twice
    position = sample_table.rows.schema.get_field_index("annotator")
    column = pa.array(names).dictionary_encode().cast(LABEL)
    table = replace(sample_table, rows=sample_table.rows.set_column(position, "annotator", column))
    table.save(tmp_path / "table.parquet")
    out = tmp_path / "report"
    arguments = ("--data", tmp_path / "table.parquet", "--out", out, "--explanations", 0)
    code, printed, err = artaffect("report", tiny_run, *arguments)
    assert code == 0, err
    report = json.loads((out / "report.json").read_text("utf-8"))
    arabic = report["annotators"]["by_culture"]["arabic"]
    assert (arabic["annotators"], arabic["artworks"]) == (3, 72)
    assert arabic["consistency"]["pairs"] == 72 and 0 < arabic["consistency"]["share"]["value"] < 1
    assert (
        "Krippendorff's alpha" in printed and f"arabic {arabic['alpha']['value']:.3f} [" in printed
    )
    compared = aa.compare_cultures(table, n_permutations=10).annotators
    assert compared is not None
    assert compared.by_culture["arabic"].alpha.value == arabic["alpha"]["value"]
    tables = read(out / "report.html").tables
    agreed = next(
        rows for title, rows in tables.items() if title.startswith("What annotators agree")
    )
    assert [row[:2] for row in agreed[1:]] == [
        *[["overall", "9"], ["arabic", "3"], ["chinese", "3"], ["english", "3"]]
    ]
    scored = next(rows for title, rows in tables.items() if title.startswith("Learning with dis"))
    disagreement = report["runs"][0]["disagreement"]
    for model in ("baseline", "image", "caption", "both"):
        row = next(row for row in scored if row[0] == f"{model}, arabic")
        accuracy = disagreement["perspectivist"][model]["by_culture"]["arabic"]["accuracy"]
        assert row[3] == "3" and row[4].startswith(f"{accuracy['value']:.3f} [")
        soft = disagreement["soft"][model]["by_culture"]["arabic"]
        assert row[1].startswith(f"{soft['manhattan_distance']['value']:.3f} [")
        assert row[2].startswith(f"{soft['earth_movers_distance']['value']:.3f} [")


def test_a_page_is_accessible_html(
    artaffect: Command, tiny_run: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    assert artaffect("report", tiny_run, "--data", table, "--out", out, "--explanations", 0)[0] == 0
    for page in (out / "report.html", *(out / "artworks").iterdir()):
        text = page.read_text("utf-8")
        headings = [int(level) for level in re.findall(r"<h(\d)", text)]
        assert headings[0] == 1 and headings.count(1) == 1
        assert all(b - a <= 1 for a, b in zip(headings, headings[1:], strict=False))
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), "no id occurs twice"
        assert '<html lang="en">' in text and 'href="#content"' in text and 'id="content"' in text
        assert all('alt="' in image for image in re.findall(r"<img [^>]*>", text))
        assert "prefers-color-scheme: dark" in text and "@media print" in text
        assert "currentColor" in text and "#010203" not in text, "figures take the page's colour"


def test_a_template_escapes_its_texts_and_misses_no_name() -> None:
    empty = dict.fromkeys(("card", "synthetic", "files", "curves"))
    context = {"protocol": "a < b", "figures": [], "tables": [], "notes": ["<i>"], **empty}
    context |= {"headline": "<b>", "meanings": {"<u>": "<s>"}}
    page = render("evaluation.html.j2", title="<script>", **context)
    assert "<h1>&lt;script&gt;</h1>" in page and "a &lt; b" in page and "&lt;i&gt;" in page
    assert "&lt;b&gt;" in page and "<dt>&lt;u&gt;</dt><dd>&lt;s&gt;</dd>" in page
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render("evaluation.html.j2", **context)


def test_every_address_leads_to_a_file_and_none_to_the_network(
    artaffect: Command, tiny_run: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    assert artaffect("report", tiny_run, "--data", table, "--out", out, "--paintings", 3)[0] == 0
    from urllib.parse import unquote

    pages = [out / "report.html", *sorted((out / "artworks").iterdir())]
    assert len(pages) == 4
    for page in pages:
        assert not re.search(r"""(src|href)=["']?https?:|url\(https?:|import""", page.read_text())
        for address in read(page).addresses:
            assert (page.parent / unquote(address)).is_file(), address
    assert len({a for a in read(pages[0]).addresses if a.startswith("artworks/")}) == 3
    assert any(a.endswith(".jpg") for a in read(pages[1]).addresses)


def test_arabic_captions_run_from_right_to_left_and_others_do_not(
    artaffect: Command, tiny_run: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    code, _, _ = artaffect(
        "report", tiny_run, "--data", table, "--out", out, "--paintings", 1, "--embed-images"
    )
    assert code == 0
    (page,) = (out / "artworks").iterdir()
    text = page.read_text("utf-8")
    quotes = re.findall(r'<blockquote dir="(\w+)" lang="(\w+)">(.)', text)
    assert {(direction, tag) for direction, tag, _ in quotes} == {
        ("rtl", "ar"),
        ("ltr", "en"),
        ("ltr", "zh"),
    }
    assert 'src="data:image/jpeg;base64,' in text


def test_three_real_paintings_are_reported_with_honest_words(
    artaffect: Command, tiny_run: Path, real_data: Path, tmp_path: Path
) -> None:
    folder = real_data / "artelingo"
    table = read_artelingo(folder / "artelingo_release.csv", folder / "wikiart")
    table.save(tmp_path / "real.parquet")
    splits = {str(s) for s in table.strings("split")}
    split = "test" if "test" in splits else sorted(splits)[0]
    code, printed, err = artaffect(
        "report",
        tiny_run,
        "--data",
        tmp_path / "real.parquet",
        "--split",
        split,
        "--out",
        tmp_path / "r",
    )
    assert code == 0, err
    assert "too few to conclude anything" in printed


def test_a_report_that_cannot_be_made_names_the_reason(
    artaffect: Command, tiny_run: Path, table: Path, tmp_path: Path
) -> None:
    code, _, err = artaffect("report", tiny_run, tiny_run, "--data", table, "--out", tmp_path / "x")
    assert code == 1 and "a run is given twice" in err
    code, _, err = artaffect("report", tmp_path, "--data", table, "--out", tmp_path / "x")
    assert code == 1 and "is not a model folder" in err
    assert not (tmp_path / "x").exists()


def test_a_report_lists_the_images_that_are_gone_and_comes_all_the_same(
    artaffect: Command, tiny_run: Path, sample_folder: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(sample_folder, data)
    table = read_artelingo(data / "artelingo_release_lite.csv", data / "wikiart")
    table.save(tmp_path / "t.parquet")
    images = {
        split: sorted(set(filter(None, table.of_split(split).strings("image"))))
        for split in ("train", "test")
    }
    gone = images["train"] + images["test"][:1]
    for name in gone:
        (data / "wikiart" / name).unlink()
    given = ("--data", tmp_path / "t.parquet")
    out = tmp_path / "report"
    options = ("--paintings", 3, "--explanations", 100)
    code, printed, err = artaffect("report", tiny_run, *given, "--out", out, *options)
    assert code == 0, err
    report = json.loads((out / "report.json").read_text("utf-8"))
    part = table.of_split("test")
    assert report["rows"] + report["rows_without_image"] == len(part)
    (listed,) = [note for note in report["notes"] if note.startswith("Images that cannot")]
    assert "(1)" in listed and Path(images["test"][0]).name in listed
    assert "no such file" in listed and markdown_line(listed) in (out / "report.md").read_text(
        "utf-8"
    )
    skipped = [note for note in report["notes"] if note.startswith("Explanations of one painting")]
    assert len(skipped) == 1
    assert report["runs"][0]["deletion_tests"]["image"]["artworks"] == len(images["test"]) - 1
    for page, shown in zip(
        sorted((out / "artworks").iterdir()), report["divisive_artworks"], strict=True
    ):
        assert (shown["image"] is None) == ("cannot be shown" in page.read_text("utf-8"))
    code, _, err = artaffect("evaluate", tiny_run, *given, "--out", tmp_path / "scores")
    assert code == 0, err
    protocol = json.loads((tmp_path / "scores" / "metrics.json").read_text("utf-8"))["protocol"]
    assert protocol["unreadable_images"] == len(protocol["unreadable"]) == 1
    assert str(tmp_path) not in protocol["unreadable"][0]
    assert protocol["rows"] + protocol["rows_without_image"] == len(part)
    assert "no such file" in (tmp_path / "scores" / "report.html").read_text("utf-8")
