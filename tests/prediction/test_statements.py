"""Answers become statements that say who made them, as the specifications of other systems want them."""

import csv
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from artaffect.errors import InputError, TableError, UnknownNameError
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.statements import export_annotations
from tests.conftest import Command
from tests.exports import CULTURES, ORIGIN, write_answers
from tests.killing import killed_at, killed_while_writing

BASE = "https://museum.example/object/"
URN = re.compile(r"urn:uuid:[0-9a-f-]{36}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def answers(folder: Path, suffix: str = ".csv", layout: Any = "long", count: int = 4) -> Path:
    table = folder / "records.csv"
    rows = [f"obj {i},=1+{i},https://museum.example/canvas/{i}" for i in range(count)]
    table.write_text("\n".join(["id,title,canvas", *rows]), "utf-8")
    out = folder / f"answers{suffix}"
    write_answers(read_items(table), out, layout)
    return out


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def edit(path: Path, changes: dict[tuple[int, str], str]) -> None:
    """Write into cells of a workbook, by their row and column name, as people do."""
    book = openpyxl.load_workbook(path)
    sheet = book.active
    header = [cell.value for cell in sheet[1]]
    for (row, name), text in changes.items():
        sheet.cell(row, header.index(name) + 1, text)
    book.save(path)


def test_a_web_annotation_has_what_its_specification_asks_for(tmp_path: Path) -> None:
    source, out = answers(tmp_path), tmp_path / "out.json"
    summary = export_annotations(source, out, base=BASE)
    assert (summary.exported, summary.confirmed, summary.left_out) == (8, 0, {})
    document = json.loads(out.read_text("utf-8"))
    # https://www.w3.org/TR/annotation-model/#annotation-collection and #annotation-page
    assert document["@context"][0] == "http://www.w3.org/ns/anno.jsonld"
    assert document["type"] == "AnnotationCollection" and URN.fullmatch(document["id"])
    assert document["total"] == 8 and document["label"]
    page = document["first"]
    assert page["type"] == "AnnotationPage" and page["startIndex"] == 0
    assert page["id"] == document["last"] != document["id"]
    assert len(page["items"]) == 8 and len({item["id"] for item in page["items"]}) == 8
    terms = {*document["@context"][1]}
    known = {"id", "type", "motivation", "created", "creator", "generator", "body", "target"}
    for item in page["items"]:
        # https://www.w3.org/TR/annotation-model/#annotations: exactly one id, a type, a target
        assert item["type"] == "Annotation" and URN.fullmatch(item["id"])
        assert item["target"].startswith(f"{BASE}obj%20") and item["motivation"] == "tagging"
        assert {*item} <= known | terms, "each key is of the vocabulary or of the second context"
        assert STAMP.fullmatch(item["created"])
        assert item["creator"]["type"] == item["generator"]["type"] == "Software"
        assert {*item["creator"]} <= {"id", "type", "name"} | terms
        assert item["creator"]["modelDigest"] == ORIGIN["model_digest"]
        tag, description = item["body"]
        assert tag["type"] == description["type"] == "TextualBody"
        assert (tag["purpose"], description["purpose"]) == ("tagging", "describing")
        assert item["culture"] in CULTURES and 0 < item["probability"] <= 1
        assert item["review"] == "machine statement, not reviewed"
        for part in (tag["value"], item["culture"], f"{item['probability']:.2f}", item["review"]):
            assert part in description["value"]


def test_a_linked_art_record_assigns_what_the_model_says(tmp_path: Path) -> None:
    source, out = answers(tmp_path, ".jsonl", "wide"), tmp_path / "out.json"
    export_annotations(source, out, "linked-art", target="canvas")
    records = json.loads(out.read_text("utf-8"))
    assert [r["id"] for r in records] == [f"https://museum.example/canvas/{i}" for i in range(4)]
    for record in records:
        # https://linked.art/api/1.0/json-ld/ and https://linked.art/model/assertion/
        assert record["@context"] == "https://linked.art/ns/v1/linked-art.json"
        assert record["type"] == "HumanMadeObject" and record["_label"].startswith("obj ")
        assert len(record["attributed_by"]) == len(CULTURES)
        for assignment in record["attributed_by"]:
            assert assignment["type"] == "AttributeAssignment"
            (assigned,) = assignment["assigned"]
            assert assigned["type"] == "Type" and assigned["_label"]
            span = assignment["timespan"]
            assert span["type"] == "TimeSpan"
            assert STAMP.fullmatch(span["begin_of_the_begin"]) and STAMP.fullmatch(
                span["end_of_the_end"]
            )
            (model,) = assignment["used_specific_object"]
            assert model["type"] == "DigitalObject"
            assert {part["type"] for part in model["identified_by"]} == {"Name", "Identifier"}
            texts = [text["content"] for text in assignment["referred_to_by"]]
            assert {text["type"] for text in assignment["referred_to_by"]} == {"LinguisticObject"}
            assert "review: machine statement, not reviewed" in texts
            assert any(text.startswith("culture: ") for text in texts)
            assert "carried_out_by" not in assignment, "no person made it"


@pytest.mark.parametrize("layout", ["long", "wide"])
@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".xlsx", ".jsonl"])
def test_every_file_of_answers_gives_the_same_statements(
    suffix: str, layout: str, tmp_path: Path
) -> None:
    export_annotations(answers(tmp_path, suffix, layout), tmp_path / "a.csv", "csv", base=BASE)
    export_annotations(answers(tmp_path, ".parquet"), tmp_path / "b.csv", "csv", base=BASE)
    rows = [read_rows(tmp_path / name) for name in ("a.csv", "b.csv")]
    of_note = [{k: v for k, v in row.items() if k != "note"} for row in rows[0]]
    assert of_note == [{k: v for k, v in row.items() if k != "note"} for row in rows[1]]
    assert len(of_note) == 8 and of_note[0]["model"] == "first"


def test_what_people_reviewed_is_respected(artaffect: Command, tmp_path: Path) -> None:
    source, out = answers(tmp_path, ".xlsx"), tmp_path / "out.json"
    edit(
        source,
        {
            (2, "review"): "rejected",
            (3, "review"): " Confirmed ",
            (3, "reviewed_by"): "Dr. 王",
            (4, "reviewed_by"): "nobody yet",
        },
    )
    code, _, err = artaffect("export-annotations", source, "--out", out, "--base", BASE)
    assert code == 0, err
    assert "exported 7 statements, 1 of them confirmed" in err and "left out 1: rejected" in err
    reviews = [item["review"] for item in json.loads(out.read_text("utf-8"))["first"]["items"]]
    assert reviews.count("machine statement, confirmed by Dr. 王") == 1
    assert reviews.count("machine statement, not reviewed") == 6
    edit(source, {(3, "reviewed_by"): ""})
    with pytest.raises(
        TableError, match="line 3 is confirmed, but column reviewed_by does not say"
    ):
        export_annotations(source, out, base=BASE)
    edit(source, {(3, "review"): "maybe"})
    with pytest.raises(TableError, match="line 3: column review says 'maybe': expected confirmed"):
        export_annotations(source, out, base=BASE)


def test_a_review_of_a_wide_table_is_of_one_culture(tmp_path: Path) -> None:
    source, out = answers(tmp_path, ".xlsx", "wide"), tmp_path / "out.csv"
    edit(source, {(2, "review_arabic"): "rejected"})
    summary = export_annotations(source, out, "csv")
    assert summary.exported == 7 and summary.left_out == {"rejected by a reviewer": 1}


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    source, out = answers(tmp_path, count=40), tmp_path / "out.csv"
    summary = export_annotations(source, out, "csv", labels=["fear"], floor=0.6)
    kept = read_rows(out)
    assert len(kept) == summary.exported > 0
    assert summary.exported + sum(summary.left_out.values()) == 80
    assert set(summary.left_out) == {"another label", "probability below 0.6"}
    assert all(row["label"] == "fear" and float(row["probability"]) >= 0.6 for row in kept)
    with pytest.raises(UnknownNameError, match="unknown label 'fera'. Did you mean 'fear'"):
        export_annotations(source, out, "csv", labels=["fera"])
    with pytest.raises(InputError, match="probability from 0 to 1, got 2"):
        export_annotations(source, out, "csv", floor=2)


def test_an_item_needs_an_address_where_other_systems_do(tmp_path: Path) -> None:
    source, out = answers(tmp_path), tmp_path / "out.json"
    with pytest.raises(InputError, match="'obj 0' has no address .*--base .* --target"):
        export_annotations(source, out)
    with pytest.raises(InputError, match="--base must begin with https"):
        export_annotations(source, out, base="museum.example")
    with pytest.raises(TableError, match="lacks the column homepage"):
        export_annotations(source, out, target="homepage")
    with pytest.raises(TableError, match="no file of answers .* lacks the column model"):
        export_annotations(tmp_path / "records.csv", out)
    with pytest.raises(UnknownNameError, match="unknown format 'rdf'"):
        export_annotations(source, out, "rdf")  # type: ignore[arg-type]
    assert not out.exists()


def test_a_statement_keeps_its_name_and_a_spreadsheet_its_texts(tmp_path: Path) -> None:
    source = answers(tmp_path, ".csv")
    rows = read_rows(source)
    with (tmp_path / "german.csv").open("w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=";")  # as a German Excel saves it
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "probability": row["probability"].replace(".", ",")})
    for path, out in ((source, "a.csv"), (tmp_path / "german.csv", "b.csv")):
        export_annotations(path, tmp_path / out, "csv", base=BASE)
    assert (tmp_path / "a.csv").read_text("utf-8-sig") == (tmp_path / "b.csv").read_text(
        "utf-8-sig"
    )


@pytest.mark.parametrize("format", ["w3c", "linked-art", "csv"])
def test_a_kill_leaves_the_old_statements_or_the_new_ones(format: Any, tmp_path: Path) -> None:
    source, out = answers(tmp_path), tmp_path / "out"
    export_annotations(source, out, format, base=BASE)
    complete, event = out.read_bytes(), 0
    while True:
        event += 1
        out.write_bytes(b"old")
        work = partial(export_annotations, source, out, format, base=BASE)
        was_killed = killed_at(event, work)
        assert out.read_bytes() in (b"old", complete)
        if not was_killed:
            break
    assert event > 1 and out.read_bytes() == complete
    large = answers(tmp_path, count=3000)
    out.unlink()
    assert killed_while_writing(
        tmp_path, partial(export_annotations, large, out, format, base=BASE)
    )
    assert not out.exists()
