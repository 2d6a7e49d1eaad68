"""Exports of collection systems go in, and come out in every format as they were, and as no formula."""

import csv
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artaffect.data.listing import guard_formulas, unguard_formulas
from artaffect.errors import InputError, OutputError
from artaffect.prediction.collection.answers import Layout
from artaffect.prediction.collection.formats import check_format
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.plan import Plan
from artaffect.prediction.collection.records import TableOptions
from artaffect.prediction.collection.run import predict_collection
from tests.exports import (
    CULTURES,
    EXPORTS,
    FORMULAS,
    LABELS,
    RECORDS,
    SCRIPTS,
    drawn_predictions,
    write_answers,
)
from tests.killing import killed_at, killed_while_writing

SUFFIXES = (".parquet", ".csv", ".xlsx", ".jsonl")


def read_frame(path: Path) -> pd.DataFrame:
    """A file of answers with all cells as text, as pandas reads it."""
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False}
    if path.suffix == ".csv":
        return pd.read_csv(path, **options)
    if path.suffix == ".xlsx":
        return pd.read_excel(path, **options)
    frame = (
        pd.read_json(path, lines=True, dtype=False)
        if path.suffix == ".jsonl"
        else pd.read_parquet(path)
    )
    return frame.astype(object).where(frame.notna(), "").astype(str)


def items_of(texts: list[str]) -> pa.Table:
    """Items that carry texts in a column ``title``."""
    ids = [f"i{number}" for number in range(len(texts))]
    blank = [None] * len(texts)
    record = [{"title": text} for text in texts]
    columns = {"id": ids, "caption": ids, "record": record}
    table = pa.table({**columns, "image": pa.array(blank, pa.binary())})
    for name in ("language", "fault"):
        table = table.append_column(name, pa.array(blank, pa.string()))
    return table


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_read_with_at_most_two_columns_given(name: str, tmp_path: Path) -> None:
    write, columns = EXPORTS[name]
    assert len(columns) <= 2
    items = read_items(write(tmp_path), TableOptions(columns=columns)).to_pylist()
    assert [item["id"] for item in items] == [number for number, _, _ in RECORDS]
    for item, (_, title, text) in zip(items, RECORDS, strict=True):
        assert title in item["record"].values()
        assert item["caption"].startswith(title) and item["fault"] is None
        if text and name not in ("UTF-16 with a mark", "tabs"):
            assert item["caption"] == f"{title}\n\n{text}"
    if name in ("JSON Lines", "Parquet"):
        assert json.loads(items[0]["record"]["subjects"])[0] == "sea"
        assert "thumbnail" not in items[0]["record"], "bytes are no text"


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_comes_out_in_every_format(
    name: str, suffix: str, layout: Layout, tmp_path: Path
) -> None:
    write, columns = EXPORTS[name]
    items = read_items(write(tmp_path), TableOptions(columns=columns))
    out = tmp_path / f"answers{suffix}"
    write_answers(items, out, layout)
    frame = read_frame(out)
    assert len(frame) == len(RECORDS) * (len(CULTURES) if layout == "long" else 1)
    assert list(dict.fromkeys(frame["id"])) == [number for number, _, _ in RECORDS]
    carried = items["record"].combine_chunks()
    for field, values in zip(carried.type.names, carried.flatten(), strict=True):
        texts = [
            unguard_formulas(t) if suffix == ".csv" else t for t in dict.fromkeys(frame[field])
        ]
        assert texts == list(dict.fromkeys(values.to_pylist())), field


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_culture_has_a_column_of_sets_in_every_format(
    suffix: str, layout: Layout, tmp_path: Path
) -> None:
    out = tmp_path / f"answers{suffix}"
    predictions = write_answers(items_of(["a", "b"]), out, layout).to_pylist()
    frame = read_frame(out)
    for row in predictions:
        (answer,) = (
            frame[frame["id"] == row["id"]].to_dict("records")
            if layout == "wide"
            else (
                frame[(frame["id"] == row["id"]) & (frame["culture"] == row["culture"])].to_dict(
                    "records"
                )
            )
        )
        name = "prediction_set" if layout == "long" else f"prediction_set_{row['culture']}"
        in_text = suffix in (".csv", ".xlsx")
        labels = answer[name].split("|") if in_text else re.findall(r"'(.*?)'", answer[name])
        assert labels == row["prediction_set"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_text_becomes_a_formula_and_every_script_is_unharmed(
    suffix: str, tmp_path: Path
) -> None:
    texts = [
        *FORMULAS,
        *SCRIPTS,
        "#N/A",
        "1,5",
        "-5",
        "'=quoted",
        "two\nlines",
        "\u200fעברית\u200f",
    ]
    out = tmp_path / f"answers{suffix}"
    write_answers(items_of(texts), out, "wide")
    if suffix == ".xlsx":
        cells = [row[1] for row in openpyxl.load_workbook(out).active.iter_rows(min_row=2)]
        assert [cell.value for cell in cells] == texts
        assert {cell.data_type for cell in cells} == {"s"}, "no formula, no error, no number"
        assert all(cell.quotePrefix for cell in cells[:7]), "and none once somebody edits it"
        return
    if suffix == ".csv":
        assert out.read_bytes().startswith(b"\xef\xbb\xbf"), "by which Excel knows UTF-8"
        with out.open(encoding="utf-8-sig", newline="") as file:
            written = [row["title"] for row in csv.DictReader(file)]
        for text in written:
            starts = [line.lstrip()[:1] for line in text.splitlines()]
            assert text == "-5" or not {"=", "+", "-", "@"} & set(starts), text
        assert list(map(unguard_formulas, written)) == texts
        return
    assert read_frame(out)["title"].tolist() == texts


@pytest.mark.parametrize("text", [*FORMULAS, *SCRIPTS, "'=1", "''=1", "a; =1", "-1.5", "", "'"])
def test_a_guarded_text_can_be_told_from_any_other(text: str) -> None:
    assert unguard_formulas(guard_formulas(text)) == text


def test_the_columns_of_a_wide_table_are_those_of_the_long_one(tmp_path: Path) -> None:
    items = items_of(["a", "b"])
    predictions = write_answers(items, tmp_path / "wide.parquet", "wide").to_pylist()
    write_answers(items, tmp_path / "long.parquet")
    wide = {row["id"]: row for row in pq.read_table(tmp_path / "wide.parquet").to_pylist()}
    for row in pq.read_table(tmp_path / "long.parquet").to_pylist():
        other = wide[row["id"]]
        for name in (*LABELS, "top", "probability", "entropy_bits", "image_share"):
            assert other[f"{name}_{row['culture']}"] == row[name]
        assert other["divergence_bits"] == row["divergence_bits"] and other["missing"] == "image"
        assert other["title"] == row["title"] and row["model"] == "first"
        assert row["review"] is None and other[f"review_{row['culture']}"] is None
    assert wide["i0"]["note"] == "about arabic; about chinese"
    assert len(predictions) == 4


def test_a_column_with_the_name_of_an_answer_keeps_its_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,caption,top,note,note,model,,,note (2)\n1,waves,shelf 3,a,b,M-1,x,,c\n")
    write_answers(read_items(path), tmp_path / "out.parquet")
    row = pq.read_table(tmp_path / "out.parquet").to_pylist()[0]
    assert (row["record_top"], row["record_note"], row["note (2)"]) == ("shelf 3", "a", "b")
    assert (row["record_model"], row["model"]) == ("M-1", "first")
    assert (row["note (2) (2)"], row["column 7"]) == ("c", "x") and "column 8" not in row
    assert row["top"] in LABELS


def test_items_keep_their_order_and_those_of_one_image_are_neighbours(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    path = tmp_path / "t.csv"
    path.write_text("id,image,caption\n1,b.jpg,x\n2,,y\n3,a.jpg,x\n4,b.jpg,z\n5,,z\n", "utf-8")
    assert read_items(path)["id"].to_pylist() == ["1", "4", "2", "3", "5"]


def test_an_image_is_found_as_collection_systems_name_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "SK-A-1.JPG").write_bytes(b"")
    path = tmp_path / "t.csv"
    path.write_text("id,image\n1,images\\SK-A-1.JPG\n2,images/SK-A-1\n", "utf-8")
    images = set(read_items(path)["image"].to_pylist())
    assert images == {str(tmp_path / "images" / "SK-A-1.JPG").encode()}


def test_a_sheet_that_is_too_small_is_refused_before_the_work(tmp_path: Path) -> None:
    check_format(tmp_path / "x.xlsx", 1_048_575, 100)
    with pytest.raises(
        OutputError, match=r"holds 1,048,576 rows .* answers have 1,048,576 .*--layout wide"
    ):
        check_format(tmp_path / "x.xlsx", 1_048_576, 100)
    check_format(tmp_path / "x.CSV", 1_048_576, 100)
    with pytest.raises(InputError, match="unknown layout 'square': expected long or wide"):
        predict_collection(tmp_path, tmp_path, tmp_path / "x.csv", ["x"], layout="square")  # type: ignore[arg-type]


def test_a_text_that_excel_cannot_hold_is_cut_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("WARNING", "artaffect"):
        write_answers(items_of(["x" * 40_000, "bell \x07"]), tmp_path / "out.xlsx", "wide")
    assert "1 texts are longer than the 32,767 characters" in caplog.text
    frame = read_frame(tmp_path / "out.xlsx")
    assert len(frame["title"][0]) == 32_767 and frame["title"][1] == "bell \\x07"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_kill_leaves_the_old_answers_or_the_new_ones(suffix: str, tmp_path: Path) -> None:
    items, out = items_of(list(SCRIPTS)), tmp_path / f"out{suffix}"
    event = 0
    while True:
        event += 1
        out.write_bytes(b"old")
        was_killed = killed_at(event, partial(write_answers, items, out))
        is_old = out.read_bytes() == b"old"
        if not is_old:
            assert len(read_frame(out)) == len(SCRIPTS) * len(CULTURES)
        if not was_killed:
            break
        write_answers(items, out)
        assert len(read_frame(out)) == len(SCRIPTS) * len(CULTURES)
    assert event > 4 and not is_old
    assert not Plan.for_output(out).folder.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_kill_in_the_middle_of_writing_leaves_nothing_half_written(
    suffix: str, tmp_path: Path
) -> None:
    items, out = (
        items_of([f"{text} {i}" for i in range(1500) for text in SCRIPTS]),
        tmp_path / f"out{suffix}",
    )
    assert killed_while_writing(tmp_path, partial(write_answers, items, out))
    assert not out.exists()


def test_drawn_predictions_are_distributions() -> None:
    table = drawn_predictions(["a"])
    assert sum(table[label][0].as_py() for label in LABELS) == pytest.approx(1, abs=1e-6)
