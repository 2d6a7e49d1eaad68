"""Figures and tables for papers: numbers apart from their intervals, names as text, letters not boxes."""

import csv
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.data.annotations import AnnotationTable
from artaffect.labels import LabelSet, Sentiment
from artaffect.metrics.bootstrap import Estimate
from artaffect.metrics.evaluation import Reliability
from artaffect.reports.culture_figures import emotion_bars
from artaffect.reports.downloads import english_names, latex_text, table_csv, table_latex
from artaffect.reports.figures import drawn, reliability_lines
from artaffect.reports.fonts import drawable, families
from artaffect.reports.palette import label_colours
from artaffect.reports.tables import TextTable, number, signed
from tests.conftest import Command

_TABLE = TextTable(
    "100 % of R&D_1",
    ["model", "accuracy", "gap", "rows"],
    [
        ["=cmd|'/c calc'!A1", number(Estimate(1 / 3, 0.25, 0.5)), signed(Estimate(-0.1)), "12"],
        ["both", number(Estimate(0.5)), "—", "3"],
    ],
)


def test_csv_keeps_number_and_interval_apart_in_full_precision_and_runs_no_formula() -> None:
    header, first, second = csv.reader(io.StringIO(table_csv(_TABLE)))
    assert header == ["model", "accuracy", "accuracy, low", "accuracy, high", "gap", "rows"]
    assert first[0] == "'=cmd|'/c calc'!A1"
    assert [float(cell) for cell in first[1:5]] == [1 / 3, 0.25, 0.5, -0.1]
    assert second[1:] == ["0.5", "", "", "—", "3"], "an interval that is missing is empty"


def test_latex_has_a_cell_for_each_number_and_escapes_what_is_special() -> None:
    text = table_latex(_TABLE)
    assert r"\caption{100 \% of R\&D\_1}" in text and r"\toprule" in text and r"\bottomrule" in text
    assert r"$0.333$ & {[}$0.250$, $0.500${]} & $-0.100$ & 12 \\" in text
    assert r"both & $0.500$ &  & — & 3 \\" in text
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    cells = [line.count("&") - line.count(r"\&") + line.count("multicolumn") for line in rows]
    assert set(cells) == {4}, "as many cells in every row"
    assert latex_text("a\\b{c}~^#$") == (
        r"a\textbackslash{}b\{c\}\textasciitilde{}\textasciicircum{}\#\$"
    )


_NAMES = ("喜悦", "فرح", "joy")


def test_letters_without_a_font_become_the_english_name_and_never_a_box() -> None:
    chosen, missing = families(_NAMES)
    assert chosen[0] == "DejaVu Sans" and not missing.intersection("فرحjoy")
    labels = LabelSet(_NAMES, translations={"english": {"喜悦": "delight"}})
    english = english_names(labels)
    assert english == {"喜悦": "delight"}
    assert drawable("喜悦 (3)", frozenset("喜悦"), english) == "delight (3)"
    assert drawable("悲 (3)", frozenset("悲"), english) == "? (3)"
    assert drawable("فرح", frozenset("悲"), english) == "فرح"


def test_a_figure_in_files_has_only_letters_that_its_fonts_have(
    recwarn: pytest.WarningsRecorder,
) -> None:
    columns = {"中文": [0.5, 0.3, 0.2], "عربي": [0.2, 0.3, 0.5]}
    colours = label_colours(LabelSet(_NAMES, (Sentiment.POSITIVE,) * 3))
    figure = emotion_bars("bars", _NAMES, columns, "share", colours)
    files = figure.to_files({"喜悦": "delight"})
    assert not [w for w in recwarn if "missing from" in str(w.message)]
    _, missing = families((*_NAMES, *columns))
    comments = re.findall(r"<!-- (.*?) -->", files["svg"].decode())
    texts = {comment.strip() for comment in comments}
    assert texts and not missing.intersection("".join(texts))
    assert ("delight" in texts) == bool(missing.intersection("喜悦"))
    pixels = np.asarray(Image.open(io.BytesIO(files["png"])).convert("RGB"))
    assert (pixels[0, 0] == 255).all(), "the ground is white"
    shade = [int(colours["joy"].light[i : i + 2], 16) for i in (1, 3, 5)]
    assert (np.abs(pixels.astype(int) - shade).max(-1) < 3).mean() > 0.005
    assert files["pdf"].startswith(b"%PDF")
    assert f"light-dark({colours['joy'].light}, {colours['joy'].dark})" in figure.svg
    assert figure.to_files()["svg"] == figure.to_files()["svg"], "the same figure, the same file"


def test_no_line_runs_through_bins_that_hold_almost_nothing() -> None:
    bins = Reliability([0.1, 0.3, 0.5, 0.7], [0.9, 0.3, 0.0, 0.7], [2, 50, 3, 60])
    axes = []

    @drawn
    def draw(figure: object) -> None:
        axes.append(figure.subplots())  # type: ignore[attr-defined]
        reliability_lines(axes[-1], {"all": bins})

    draw("reliability")
    _, line, hollow = axes[0].lines
    values = line.get_ydata()
    assert [math.isnan(v) for v in values] == [True, False, True, False]
    assert hollow.get_xdata().tolist() == [0.1, 0.5] and hollow.get_linestyle() == "None"


def test_scores_are_printed_as_latex_on_request(
    artaffect: Command, tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    sample_table.save(tmp_path / "table.parquet")
    command = ("evaluate", tiny_run, "--data", tmp_path / "table.parquet", "--format", "latex")
    code, out, err = artaffect(*command)
    assert code == 0, err
    assert out.count(r"\toprule") == out.count(r"\bottomrule") == out.count(r"\begin{tabular}") > 1
    assert all("[" not in line for line in out.splitlines() if line.endswith(r"\\") and "&" in line)
