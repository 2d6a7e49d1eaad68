"""Predictions that were made elsewhere: read with errors that name row and column, scored beside ours."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import artaffect as aa
from artaffect.data.annotation_schema import SCHEMA
from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import OutsidePredictions, parse_outside, read_outside
from artaffect.errors import ConfigError, TableError
from artaffect.labels import ARTEMIS, LabelSet
from tests.conftest import Command
from tests.tables import Row, write_text

TWO = LabelSet(("calm", "dread"))


def read(folder: Path, rows: list[Row], labels: LabelSet = TWO) -> OutsidePredictions:
    return read_outside({"clip": write_text(folder / "clip.csv", rows)}, labels)[0]


def row(artwork: str, calm: object, dread: object, **more: object) -> Row:
    return {"artwork_id": artwork, **more, "Calm": calm, "dread": dread}


def table_of(names: list[str], cultures: list[str]) -> AnnotationTable:
    rows = [
        {
            "annotation_id": str(i), "artwork_id": name, "art_style": "x", "caption": "y",
            "emotion": "calm", "culture": culture, "language": "z", "split": "test",
        }
        for i, (name, culture) in enumerate(zip(names, cultures, strict=True))
    ]  # fmt: skip
    return AnnotationTable(pa.Table.from_pylist(rows, SCHEMA), labels=TWO)


def test_rows_are_matched_by_artwork_and_culture(tmp_path: Path) -> None:
    source = read(
        tmp_path,
        [
            row("s/a", 0.2, 0.8, culture="Chile"),
            row("s/a", 0.6, 0.4, culture=""),
            row("b", 1, 0, culture=""),
        ],
    )
    names = ["s/a", "s/a", "s/b", "s/c", "s/a"]
    matched = source.find(table_of(names, ["chile", "peru", "peru", "peru", "chile"]))
    np.testing.assert_allclose(matched[:, 0], [0.2, 0.6, 1, np.nan, 0.2])


def test_a_name_without_its_style_must_be_unambiguous(tmp_path: Path) -> None:
    source = read(tmp_path, [row("a", 0.5, 0.5)])
    assert np.isnan(source.find(table_of(["s/a", "t/a"], ["x", "x"]))).all()
    assert not np.isnan(source.find(table_of(["s/a", "t/b"], ["x", "x"])))[0].any()


def test_rows_are_matched_by_annotation(tmp_path: Path) -> None:
    rows: list[Row] = [{"annotation_id": "1", "artwork_id": "other", "calm": "0.3", "dread": "0.7"}]
    matched = read(tmp_path, rows).find(table_of(["a", "b"], ["x", "x"]))
    np.testing.assert_allclose(matched[:, 1], [np.nan, 0.7])


def test_rounded_probabilities_are_normalised(tmp_path: Path) -> None:
    source = read(tmp_path, [row("a", "0.667", "0.332")])
    np.testing.assert_allclose(source.probabilities.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a", 0.5, 0.5), row("b", 0.5, 0.4)], "row 3: its probabilities sum to 0.9, not 1"),
        ([row("a", 0.5, "x")], "row 2, column dread: expected a probability from 0 to 1, got 'x'"),
        ([row("a", -0.5, 1.5)], "row 2, column calm: expected a probability"),
        ([row("a", 0.5, 0.5, joy=0)], "column 2: unknown label 'joy'"),
        ([{"artwork_id": "a", "calm": 1}], "has no column for dread"),
        ([row("a", 0.5, 0.5), row("a", 0.4, 0.6)], "row 3: artwork_id a has a second prediction"),
        ([row("", 0.5, 0.5)], "row 2: artwork_id is blank"),
        ([{"name": "a", "calm": 0.5, "dread": 0.5}], "no column annotation_id or artwork_id"),
        ([row("a", 0.5, 0.5, CALM=0.5)], "a second column for calm"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_row_and_column(
    tmp_path: Path, rows: list[Row], message: str
) -> None:
    with pytest.raises(TableError, match=message):
        read(tmp_path, rows)


def test_names_of_sources_are_checked() -> None:
    assert parse_outside(["clip=a=b.csv", "vlm=c"]) == {"clip": "a=b.csv", "vlm": "c"}
    with pytest.raises(ConfigError, match="expected NAME=FILE"):
        parse_outside(["clip"])
    with pytest.raises(ConfigError, match="--with clip is given twice"):
        parse_outside(["clip=a", "clip=b"])
    for name in ("both", "Clip", "a b", ""):
        with pytest.raises(ConfigError, match="cannot be the name of an outside source"):
            read_outside({name: "x.csv"}, TWO)


def oracle(table: AnnotationTable, keep: slice, path: Path) -> Path:
    """A source that knows nearly every annotation: by far better than any model."""
    ids, labels = table.strings("annotation_id")[keep], table.strings("emotion")[keep]
    columns: dict[str, Any] = {"annotation_id": ids}
    for name in ARTEMIS:
        columns[name] = [0.92 if label == name else 0.01 for label in labels]
    pq.write_table(pa.table(columns), path)
    return path


def test_outside_predictions_are_scored_beside_a_model(
    artaffect: Command, tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    table = tmp_path / "table.parquet"
    sample_table.save(table)
    test = sample_table.of_split("test")
    file = oracle(test, slice(4, None), tmp_path / "clip.parquet")
    code, out, err = artaffect(
        "evaluate", tiny_run, "--data", table, "--with", f"clip={file}", "--json"
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["protocol"]["rows_without_outside"] == {"clip": 4}
    assert result["models"]["clip"]["overall"]["support"] <= len(test) - 4
    assert result["models"]["clip"]["overall"]["metrics"]["accuracy"]["value"] == 1
    assert ["both", "clip"] in [[c["first"], c["second"]] for c in result["comparisons"]]
    report = aa.report(tiny_run, table, tmp_path / "r", explanations=0, outside={"clip": file})
    assert (
        "4 rows of the split are left out because clip has no prediction for them." in report.notes
    )
    assert report.runs[0].evaluation["clip"].accuracy.value == 1
    assert "clip" in report.runs[0].gaps


def test_a_file_of_other_artworks_is_refused(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    rows: list[Row] = [{"artwork_id": "unknown", **{name: "0" for name in ARTEMIS}, "awe": "1"}]
    file = write_text(tmp_path / "clip.csv", rows)
    with pytest.raises(
        TableError, match="no row of .* has a prediction of clip .*artwork_id must be"
    ):
        aa.evaluate(tiny_run, sample_table, outside={"clip": file})
