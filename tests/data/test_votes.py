"""Votes without captions, annotators, carried columns, and any column as the culture."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import artaffect as aa
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import TableError, UnknownNameError
from artaffect.metrics.agreement import agreement
from artaffect.metrics.votes import Votes
from tests.conftest import Command
from tests.tables import Row, write_image, write_json_lines, write_text

COUNTS: list[Row] = [
    {"work": "a", "land": "Chile", "n_Awe": "2", "n_fear": "0", "n_sadness": "1"},
    {"work": "b", "land": "Peru", "n_Awe": "", "n_fear": "3", "n_sadness": "0"},
    {"work": "c", "land": "Peru", "n_Awe": "x", "n_fear": "3", "n_sadness": "-1"},
    {"work": "d", "land": "Peru", "n_Awe": "0", "n_fear": "0", "n_sadness": "0"},
]
COLUMNS = {"artwork": "work", "culture": "land"}


def with_images(folder: Path, rows: list[Row]) -> Path:
    for row in rows:
        write_image(folder / f"{row['work']}.jpg")
    return folder


def test_each_vote_becomes_a_row_without_a_caption(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", COUNTS)
    table = aa.read_table(file, with_images(tmp_path / "i", COUNTS), COLUMNS, votes="N_*")
    assert table.strings("emotion") == ["awe", "awe", "sadness", "fear", "fear", "fear"]
    assert table.strings("culture") == ["chile"] * 3 + ["peru"] * 3
    assert table.strings("image") == ["a.jpg"] * 3 + ["b.jpg"] * 3
    assert table.strings("annotation_id")[:4] == [
        "t.csv:2:0",
        "t.csv:2:1",
        "t.csv:2:2",
        "t.csv:3:0",
    ]
    assert not table.has_caption.any()
    assert table.report is not None and table.report.dropped == {"malformed row": 2}
    assert table.report.dropped_rows is not None
    assert table.report.dropped_rows["detail"].to_pylist() == [
        "votes for sadness: '-1' is not a number of at least 0",
        "no votes",
    ]


def test_votes_need_no_images(tmp_path: Path) -> None:
    file = write_json_lines(tmp_path / "t.jsonl", [COUNTS[0], COUNTS[1]])
    table = aa.read_table(file, None, COLUMNS, votes="n_*")
    assert len(table) == 6 and set(table.strings("image")) == {None}


def test_images_that_are_missing_cost_their_votes_unless_they_are_kept(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", COUNTS)
    images = with_images(tmp_path / "i", COUNTS[:1])
    assert set(aa.read_table(file, images, COLUMNS, votes="n_*").strings("artwork_id")) == {"a"}
    kept = aa.read_table(file, images, COLUMNS, votes="n_*", keep_unpictured=True)
    assert set(kept.strings("artwork_id")) == {"a", "b"}


@pytest.mark.parametrize(
    ("annotators", "expected"), [(None, [3, 6, 3]), (24, [6, 12, 6])], ids=["inferred", "given"]
)
def test_shares_become_votes_of_their_annotators(
    tmp_path: Path, annotators: int | None, expected: list[int]
) -> None:
    rows: list[Row] = [{"work": "a", "s: joy": "0.25", "s: calm": ".5", "s: dread": "0.250"}]
    rows += [{"work": "b", "s: joy": "0.083", "s: calm": "0.917", "s: dread": "0"}]
    file = write_text(tmp_path / "t.csv", rows)
    table = aa.read_table(
        file, None, {"artwork": "work"}, culture="x", votes="s:*", annotators=annotators
    )
    counts = table.select(np.array([name == "a" for name in table.strings("artwork_id")]))
    labels = counts.strings("emotion")
    if annotators is None:
        expected = [1, 2, 1]  # four annotators give quarters
        assert table.counts("artwork_id") == {"b": 12, "a": 4}, "0.083 is one of twelve"
    assert [labels.count(name) for name in ("joy", "calm", "dread")] == expected


def test_votes_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", COUNTS)

    def read(**options: Any) -> AnnotationTable:
        return aa.read_table(file, None, COLUMNS | options.pop("columns", {}), **options)

    with pytest.raises(TableError, match="votes 'n_': expected the names .* with one \\*"):
        read(votes="n_")
    with pytest.raises(TableError, match="has 0 columns that match 'votes_\\*'.*n_Awe"):
        read(votes="votes_*")
    with pytest.raises(TableError, match="votes have no captions: leave out the column for label"):
        read(votes="n_*", columns={"label": "land"})
    with pytest.raises(TableError, match="annotators = 0: expected the number of annotators"):
        read(votes="n_*", annotators=0)
    with pytest.raises(TableError, match="annotators = 3: expected the number"):
        read(annotators=3, columns={"label": "land"})


def test_an_odd_share_is_named_with_its_row(tmp_path: Path) -> None:
    rows: list[Row] = [{"work": "a", "s_joy": "0.123456789", "s_calm": "0.7"}]
    rows += [{"work": "b", "s_joy": "0.5", "s_calm": "1.5"}, {"work": "c", "s_joy": 1, "s_calm": 0}]
    file = write_text(tmp_path / "t.csv", rows)
    table = aa.read_table(file, None, {"artwork": "work"}, labels="data", culture="x", votes="s_*")
    assert table.strings("artwork_id") == ["c"]
    assert table.report is not None and table.report.dropped_rows is not None
    first, second = table.report.dropped_rows.to_pylist()
    assert first["line"] == 2 and "give it with --annotators" in first["detail"]
    assert second["line"] == 3 and second["detail"] == "a share of the annotators is more than 1"


ANNOTATED: list[Row] = [
    {"work": w, "text": f"text {i}", "label": label, "who": who, "Age group": age, "from": "X"}
    for i, (w, label, who, age) in enumerate(
        [("a", "awe", "1", "Old"), ("a", "fear", "2", "young"), ("b", "awe", "", "old")]
        + [("b", "awe", "1", "")]
    )
]


def annotated(folder: Path, **more: Any) -> AnnotationTable:
    columns = {"artwork": "work", "annotator": "who", "culture": "from"}
    file = write_text(folder / "t.csv", ANNOTATED)
    return aa.read_table(file, None, columns, carry=["age group"], **more)


def test_annotators_and_carried_columns_stay_with_the_table(tmp_path: Path) -> None:
    table = annotated(tmp_path)
    table.save(tmp_path / "t.parquet")
    table = AnnotationTable.load(tmp_path / "t.parquet")
    assert table.strings("annotator") == ["1", "2", None, "1"]
    assert table.carried == ("age group",)
    assert table.strings("age group") == ["Old", "young", "old", None]
    assert table.audience == "from" and [row.annotator for row in table] == ["1", "2", None, "1"]
    assert table.split().carried == ("age group",)


def test_a_table_of_an_older_version_has_no_annotators(tmp_path: Path) -> None:
    annotated(tmp_path).save(tmp_path / "t.parquet")
    rows = pq.read_table(tmp_path / "t.parquet")
    pq.write_table(rows.drop_columns(["annotator"]), tmp_path / "old.parquet")
    assert AnnotationTable.load(tmp_path / "old.parquet").strings("annotator") == [None] * 4


def test_a_column_that_every_table_has_cannot_be_carried(tmp_path: Path) -> None:
    file = write_text(tmp_path / "t.csv", [{"work": "a", "text": "x", "label": "awe", "split": ""}])
    with pytest.raises(TableError, match="'Split' cannot be carried along"):
        aa.read_table(file, None, {"artwork": "work"}, culture="x", carry=["Split"])
    with pytest.raises(TableError, match="no column 'ages' for carry"):
        aa.read_table(file, None, {"artwork": "work"}, culture="x", carry="ages")


def test_any_column_can_be_the_culture(tmp_path: Path, log_messages: list[str]) -> None:
    table = annotated(tmp_path).with_culture("age group")
    assert table.strings("culture") == ["old", "young", "old"] and table.audience == "age group"
    assert "1 rows without age group are left out" in "".join(log_messages)
    with pytest.raises(UnknownNameError, match="unknown column for the culture 'ages'"):
        table.with_culture("ages")
    blank = table.rows.set_column(
        table.rows.schema.get_field_index("annotator"),
        "annotator",
        pa.nulls(3, pa.string()).dictionary_encode(),
    )
    with pytest.raises(TableError, match="the column annotator of the table t is blank"):
        AnnotationTable(blank.cast(table.rows.schema), table.provenance).with_culture("annotator")


def test_commands_name_the_audience(artaffect: Command, tmp_path: Path) -> None:
    annotated(tmp_path).save(tmp_path / "t.parquet")
    code, out, err = artaffect("stats", tmp_path / "t.parquet", "--culture-column", "age group")
    assert code == 0 and "per age group" in out and "young (1)" in out, err
    code, _, err = artaffect("stats", tmp_path / "t.parquet", "--culture-column", "ages")
    assert code == 1 and "unknown column for the culture 'ages'" in err


def test_the_votes_of_one_annotator_stay_together() -> None:
    """Who votes twice agrees with himself, which says nothing about agreement."""
    rng = np.random.default_rng(0)
    n = 3000
    artwork, culture, emotions = (
        rng.integers(0, 100, n),
        rng.integers(0, 2, n),
        rng.integers(0, 9, n),
    )
    twice = np.repeat(np.arange(n), 2)
    artworks = np.arange(100).astype(str)

    def of(rows: np.ndarray, annotators: np.ndarray | None) -> tuple[float, float]:
        codes = ((artworks, artwork[rows]), (np.array(["x", "y"]), culture[rows]), emotions[rows])
        result = agreement(Votes.count(*codes, annotators=annotators), 4)
        half = result.split_half_reliability["x"]["x"]["accuracy"]
        return result.ceilings["x"].lower_bound["accuracy"].value, half.value

    once, together, apart = of(np.arange(n), None), of(twice, twice), of(twice, None)
    assert of(np.arange(n), np.arange(n)) == once
    assert together[0] == pytest.approx(once[0]) and together[1] == pytest.approx(once[1], abs=0.02)
    assert apart[0] > once[0] + 0.05 and apart[1] > once[1] + 0.03
