"""Tables as people have them: any format, encoding, delimiter and column names; nothing is guessed."""

import csv
import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import artaffect as aa
from artaffect.data.annotations import AnnotationTable, ImportReport
from artaffect.data.readers.table_columns import parse_assignments
from artaffect.data.readers.table_formats import detect_delimiter
from artaffect.errors import NoRowsError, TableError, UnknownNameError
from tests.conftest import Command

Row = dict[str, Any]
ROWS: list[Row] = [
    {"File": "a.jpg", "title": "Storm; night", "text": "Très 海, 怖い", "Feeling": "fear"},
    {"File": "b", "title": "", "text": 'a "calm"\nlake', "Feeling": "Contentment"},
    {"File": "sub/c.PNG", "title": "رهبة", "text": "", "Feeling": "awe"},
    {"File": "a.jpg", "title": "", "text": "", "Feeling": "sadness"},
]
COLUMNS = {"image": "file", "caption": ["title", "text"], "label": "feeling", "culture": "land"}


def rows_with(**more: Any) -> list[Row]:
    return [{**row, " Land ": "Chile", "fold": "dev"} | more for row in ROWS]


def write_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (9, len(path.name), 99)).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "sub/c.PNG"):
        write_image(tmp_path / name)
    return tmp_path


def write_text(path: Path, rows: list[Row], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_json_lines(path: Path, rows: list[Row], encoding: str = "utf-8") -> Path:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding, newline="")
    return path


def write_excel(path: Path, rows: list[Row]) -> Path:
    book = openpyxl.Workbook()
    sheet = book.active
    for cells in (list(rows[0]), *(list(row.values()) for row in rows)):
        sheet.append(cells)
    book.save(path)
    return path


def write_parquet(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def report_of(table: AnnotationTable) -> ImportReport:
    assert table.report is not None and table.report.dropped_rows is not None
    report = table.report
    assert report.read == report.kept + sum(report.dropped.values())
    return report


def read(path: Path, **options: Any) -> AnnotationTable:
    table = aa.read_table(path, **options)
    report_of(table)
    return table


def captions(path: Path, text: str | bytes, **options: Any) -> list[str]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(caption) for caption in read(path, culture="any", **options).strings("caption")]


def comparable(table: AnnotationTable) -> list[Row]:
    return table.rows.drop(["annotation_id"]).to_pylist()


def imagefolder(folder: Path, rows: list[Row]) -> Path:
    """The rows and their images in the layout of Hugging Face, with a folder for the split."""
    for name in ("a.jpg", "b.jpg", "sub/c.PNG"):
        write_image(folder / "validation" / name)
    kept = [{"file_name": row["File"]} | row for row in rows]
    for row in kept:
        del row["File"], row["fold"]
    write_json_lines(folder / "validation" / "metadata.jsonl", kept)
    return folder


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.csv", lambda path, rows: write_text(path, rows)),
        ("t.csv", lambda path, rows: write_text(path, rows, "utf-16", ";")),
        ("t.csv", lambda path, rows: write_text(path, rows, "utf-16-le", ";")),
        ("t.txt", lambda path, rows: write_text(path, rows, "utf-8-sig", "|")),
        ("t.tsv", lambda path, rows: write_text(path, rows, delimiter="\t")),
        ("t.jsonl", write_json_lines),
        ("table", lambda path, rows: write_json_lines(path, rows, "utf-16")),
        ("t.xlsx", write_excel),
        ("table", write_excel),
        ("t.parquet", write_parquet),
    ],
)
def test_the_same_rows_make_the_same_table_in_every_format(
    images: Path, name: str, write: Callable[[Path, list[Row]], Path]
) -> None:
    table = read(write(images / name, rows_with()), columns=COLUMNS | {"split": "FOLD"})
    assert table.images == images and table.cultures == ("chile",)
    assert table.strings("image") == ["a.jpg", "b.jpg", "sub/c.PNG", "a.jpg"]
    assert table.strings("artwork_id") == ["a", "b", "sub/c", "a"]
    assert table.strings("caption") == [
        "Storm; night\n\nTrès 海, 怖い",
        'a "calm"\nlake',
        "رهبة",
        "",
    ]
    assert table.strings("emotion") == ["fear", "contentment", "awe", "sadness"]
    assert table.counts("split") == {"val": 4} and table.counts("language") == {"unknown": 4}
    plain = read(write_text(images / "plain.csv", rows_with()), columns=COLUMNS | {"split": "fold"})
    assert comparable(table) == comparable(plain)


def test_an_imagefolder_is_read_with_the_split_of_its_folders(images: Path) -> None:
    folder = imagefolder(images / "folder", rows_with())
    columns = {name: column for name, column in COLUMNS.items() if name != "image"}
    table = read(folder, columns=columns)
    assert table.images == folder and table.counts("split") == {"val": 4}
    names = ["validation/a.jpg", "validation/b.jpg", "validation/sub/c.PNG", "validation/a.jpg"]
    assert table.strings("image") == names
    plain = read(write_text(images / "plain.csv", rows_with()), columns=COLUMNS | {"split": "fold"})
    assert table.strings("caption") == plain.strings("caption")
    assert table.strings("emotion") == plain.strings("emotion")
    assert table.strings("annotation_id")[0] == "validation/metadata.jsonl:1"
    (folder / "validation" / "metadata.jsonl").unlink()
    with pytest.raises(TableError, match=r"a folder without metadata.csv or metadata.jsonl"):
        aa.read_table(folder)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Des vagues dominent une petite barque, c'est très émouvant"),
        ("cp1252", "Die Wellen türmen sich über dem Boot – großartig"),
        ("cp1252", "El niño está triste “quizás”"),
        ("cp1250", "Vlny se tyčí nad malou loďkou, žluťoučký kůň"),
        ("cp1256", "الأمواج تعلو فوق القارب الصغير وتثير الخوف"),
        ("gb18030", "海浪高高耸立在小船上,令人恐惧"),
        ("big5", "海浪高高聳立在小船上,令人恐懼"),
        ("cp932", "小さな船の上に波がそびえ立っている"),
        ("cp1251", "Волны возвышаются над маленькой лодкой"),
        ("cp949", "작은 배 위로 파도가 솟아오른다"),
        ("utf-16-be", "Des vagues très hautes"),
        ("utf-32", "Des vagues très hautes"),
    ],
)
def test_the_encoding_is_detected_or_taken_as_given(
    tmp_path: Path, encoding: str, text: str
) -> None:
    lines = "artwork;label;text\n" + "".join(f"{i};awe;{text} {i}\n" for i in range(9))
    for options in ({}, {"encoding": encoding}):
        texts = captions(tmp_path / "t.csv", lines.encode(encoding), **options)
        assert texts == [f"{text} {i}" for i in range(9)]


def test_a_wrong_or_unclear_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    lines = "artwork,label,text\na,awe,très\nb,awe,été à Paris\n".encode()
    with pytest.raises(TableError, match=r"t.csv line 4 is not UTF-8, although the rest .* is"):
        captions(file, lines + b"c,awe,caf" + b"\xe9\n")
    with pytest.raises(TableError, match=r"t.csv line 2 is not UTF-8"):
        captions(file, "artwork,label,text\na,awe,très\n".encode("cp1252"), encoding="utf-8")
    with pytest.raises(TableError, match=r"line 2 is not in the encoding ASCII: name the right"):
        captions(file, lines, encoding="ascii")
    with pytest.raises(TableError, match=r"line 2 is not in the encoding UTF-16"):
        half = "artwork,label,text\na,awe,\ud800x\n".encode("utf-16-le", "surrogatepass")
        captions(file, b"\xff\xfe" + half)
    for name in ("utf-99", "base64", "a\0b"):
        with pytest.raises(TableError, match="unknown encoding"):
            captions(file, lines, encoding=name)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b;c\n1;x, y, z;2\n", ";"),
        ("a,b\n1;2;3,x\n", ","),
        ("a\tb\nx, y\tz; v\n", "\t"),
        ("a|b\nx, y|z\n", "|"),
        ('a;b\n"x,\ny";z\n', ";"),
        ("text\nx\n", ","),
        ("", ","),
    ],
)
def test_the_delimiter_is_that_which_splits_the_lines_alike(text: str, delimiter: str) -> None:
    assert detect_delimiter(text) == delimiter


def test_the_delimiter_can_be_given(tmp_path: Path) -> None:
    for given, sign in (("tab", "\t"), ("\\t", "\t"), ("~", "~"), (";", ";")):
        text = sign.join(["artwork", "label", "text"]) + "\n" + sign.join(["a", "awe", "x, y"])
        assert captions(tmp_path / "t.csv", text, delimiter=given) == ["x, y"]
    for given in ("", ",,", "é", '"', "x", "\n"):
        with pytest.raises(TableError, match="the delimiter must be one character"):
            aa.read_table(tmp_path / "t.csv", delimiter=given)


def test_rows_are_read_strictly_whatever_the_delimiter(tmp_path: Path) -> None:
    text = 'artwork;label;text\na;awe;one\nb;awe;"open\nc;awe;two;more\nd;awe;t\0\n\ne;awe;"x;y"\n'
    file = tmp_path / "t.csv"
    file.write_text(text)
    table = read(file, culture="any")
    assert table.strings("annotation_id") == ["t.csv:2", "t.csv:7"]
    assert table.strings("caption") == ["one", "x;y"]
    rows = report_of(table).dropped_rows
    assert rows is not None
    assert [(row["line"], row["reason"]) for row in rows.to_pylist()] == [
        (line, "malformed row") for line in (3, 4, 5, 6)
    ]


def test_a_row_has_a_caption_or_an_image(images: Path) -> None:
    rows = [
        {"image": "a.jpg", "text": "", "label": "awe"},
        {"image": "", "text": "words", "label": "awe"},
        {"image": "", "text": " ", "label": "awe"},
        {"image": "none.jpg", "text": "words", "label": "awe"},
        {"image": "none.jpg", "text": "", "label": "awe"},
        {"image": "../a.jpg", "text": "words", "label": "awe"},
        {"image": "/etc/passwd", "text": "words", "label": "awe"},
        {"image": "text.jpg", "text": "words", "label": "awe"},
        {"image": str(images / "b.jpg"), "text": "", "label": "awe"},
        {"image": ".\\sub\\c", "text": "", "label": "awe"},
    ]
    (images / "text.jpg").write_text("no image")
    for row in rows:
        row["artwork"] = row["image"] or "x"
    file = write_text(images / "t.csv", rows)
    table = read(file, culture="any")
    assert table.strings("image") == ["a.jpg", None, "b.jpg", "sub/c.PNG"]
    assert report_of(table).dropped == {
        "empty caption": 1,
        "unsafe image name": 2,
        "image missing": 2,
        "image unreadable": 1,
    }
    kept = read(file, culture="any", keep_unpictured=True)
    assert len(kept) == 8 and report_of(kept).dropped == {"empty caption": 1, "image missing": 1}


def test_without_a_column_of_images_they_are_named_like_the_artworks(images: Path) -> None:
    rows = [
        {"object_number": "b", "art_style": "", "text": "x", "label": "awe"},
        {"object_number": "c", "art_style": "sub", "text": "y", "label": "awe"},
    ]
    file = write_text(images / "t.csv", rows)
    table = read(file, images=images, culture="any")
    assert table.strings("image") == ["b.jpg", "sub/c.PNG"]
    assert table.strings("artwork_id") == ["b", "sub/c"]
    assert table.strings("art_style") == ["unknown", "sub"]
    without = read(file, culture="any")
    assert without.images is None and without.strings("image") == [None, None]


def test_names_of_artworks_may_hold_any_characters(tmp_path: Path) -> None:
    names = ["P.14/1920:2", "../x", "N 5", "عمل"]
    rows = [{"id": name, "text": "x", "label": "awe"} for name in [*names, " "]]
    table = read(write_text(tmp_path / "t.csv", rows), culture="any")
    assert table.strings("artwork_id") == names
    assert report_of(table).dropped == {"empty artwork name": 1}


def test_an_artwork_has_one_image(images: Path) -> None:
    rows = [
        {"artwork": "x", "image": name, "text": "", "label": "awe"} for name in ("a", "a.jpg", "b")
    ]
    file = write_text(images / "t.csv", rows)
    table = read(file, culture="any")
    assert table.strings("image") == ["a.jpg", "a.jpg"]
    assert report_of(table).dropped == {"another image of the artwork": 1}
    apart = read(file, culture="any", columns={"artwork": None})
    assert apart.strings("artwork_id") == ["a", "a", "b"]


def test_a_vote_is_never_a_duplicate(images: Path) -> None:
    row = {"image": "a.jpg", "label": "awe", "text": "", "culture": "x", "annotator": "1"}
    rows = [row, row, row | {"text": "t"}, row | {"text": "t"}, row | {"text": "t", "culture": "y"}]
    table = read(write_text(images / "t.csv", [*rows, row | {"text": "t", "annotator": "2"}]))
    assert report_of(table).dropped == {"duplicate": 1} and len(table) == 5


def test_culture_and_language_come_from_a_column_or_for_all_rows(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("artwork,label,text,lang,age\na,awe,x,English,18 - 24\nb,awe,y,,\n")

    def values(**options: Any) -> list[tuple[str, str]]:
        table = read(file, **options)
        return list(zip(table.strings("culture"), table.strings("language"), strict=True))

    assert values(columns={"culture": "age"}) == [("18 - 24", "english")]
    assert values(culture="Everyone") == [("everyone", "english"), ("everyone", "unknown")]
    assert values() == [("english", "english")]
    assert values(language="Thai") == [("thai", "thai")] * 2
    assert values(columns={"culture": "AGE"}, language="thai") == [("18 - 24", "thai")]
    with pytest.raises(TableError, match="culture is given twice"):
        values(columns={"culture": "age"}, culture="x")
    with pytest.raises(TableError, match="the culture is empty"):
        values(culture=" ")
    with pytest.raises(TableError, match=r"no column for culture: .* --culture NAME"):
        values(columns={"language": None})


def test_an_unknown_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("Object No,Feelings, Words \nx,awe,y\n")
    with pytest.raises(
        TableError,
        match=r"t.csv has no column 'feeling' for label; the nearest is 'Feelings'; "
        r"it has the columns Object No, Feelings, Words",
    ):
        aa.read_table(file, columns={"label": "feeling"})
    with pytest.raises(TableError, match="no column for label: expected one named label or"):
        aa.read_table(file)
    with pytest.raises(UnknownNameError, match="kind of column 'captions'. Did you mean 'caption'"):
        aa.read_table(file, columns={"captions": "words"})
    with pytest.raises(TableError, match="label can be one column only"):
        aa.read_table(file, columns={"label": ["feelings", "words"]})
    columns: dict[str, Any] = {"label": "feelings"}
    with pytest.raises(TableError, match="no column for artwork: .* or the images with"):
        aa.read_table(file, columns=columns)
    with pytest.raises(TableError, match="no column for caption: .* or the images with"):
        aa.read_table(file, columns=columns | {"artwork": "object no"}, culture="x")
    assert read(
        file, columns=columns | {"artwork": "OBJECT  no", "caption": "words"}, culture="x"
    ).strings("caption") == ["y"]


def test_a_name_of_two_columns_is_refused_only_where_it_is_used(tmp_path: Path) -> None:
    text = "artwork,label,text,note,note,\na,awe,x,1,2,3\n"
    assert captions(tmp_path / "t.csv", text) == ["x"]
    with pytest.raises(TableError, match="'note' is that of the columns 4, 5"):
        aa.read_table(tmp_path / "t.csv", columns={"caption": "note"}, culture="any")
    exact = "artwork,label,Text,text\na,awe,x,y\n"
    assert captions(tmp_path / "t.csv", exact, columns={"caption": "Text"}) == ["x"]


def test_a_number_of_rows_is_no_artwork_where_there_are_images(images: Path) -> None:
    rows = [{"id": str(i), "image": "a.jpg", "label": "awe", "text": str(i)} for i in range(3)]
    assert (
        read(write_text(images / "t.csv", rows), culture="any").strings("artwork_id") == ["a"] * 3
    )


def test_assignments_are_parsed_and_a_name_may_hold_a_comma(tmp_path: Path) -> None:
    assert parse_assignments(["caption=a,b", "caption=c", "split=", "label=x=y"]) == {
        "caption": ["a,b", "c"],
        "split": [],
        "label": ["x=y"],
    }
    with pytest.raises(TableError, match="expected KIND=COLUMN"):
        parse_assignments(["caption"])
    text = 'artwork,label,"Words, all"\na,awe,x\n'
    columns = {"caption": ["Words, all"]}
    assert captions(tmp_path / "t.csv", text, columns=columns) == ["x"]


def test_unknown_labels_are_counted_and_listed_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    rows = "".join(f"{i},{label},x\n" for i, label in enumerate(["joy", "joy", "amused", "Other"]))
    file.write_text("artwork,label,text\n" + rows)
    table = read(file, culture="any")
    assert table.strings("emotion") == ["something else"]
    assert report_of(table).dropped == {"unknown emotion": 3}
    line = "labels that are not known: joy 2, amused 1 (nearest: amusement); known: amusement, awe"
    assert line in report_of(table).summary()
    file.write_text("artwork,label,text\n1,joy,x\n2,calm,x\n")
    with pytest.raises(NoRowsError, match=r"not known: joy 1, calm 1; known: amusement, awe, "):
        aa.read_table(file, culture="any")


def test_splits_have_their_usual_names_and_others_name_the_remedy(tmp_path: Path) -> None:
    names = ["Training", "dev", "validation", "TEST", "val", "3"]
    file = tmp_path / "t.csv"
    file.write_text(
        "artwork,label,text,split\n"
        + "".join(f"{i},awe,x,{name}\n" for i, name in enumerate(names))
    )
    table = read(file, culture="any")
    assert table.strings("split") == ["train", "val", "val", "test", "val"]
    remedy = "splits that are not known: 3 1; known: train, val, test; leave the column out"
    assert remedy in report_of(table).summary()
    without = read(file, culture="any", columns={"split": None})
    assert without.strings("split") == [None] * 6


def test_excel_cells_are_text_in_the_obvious_way(tmp_path: Path) -> None:
    import datetime

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["artwork", "label", "text", "country"])
    values = [12, 13.0, 1.5, True, datetime.date(2020, 5, 1), datetime.datetime(2020, 5, 1, 8, 30)]
    for value in values:
        sheet.append([value, "awe", value, "x"])
    sheet.append([None, None, None, None])
    sheet.append(["m", "awe", "merged", "x"])
    sheet.append([None, "fear", "merged too", "#N/A"])
    sheet.append(["f", "awe", "=1+1", "x"])
    sheet.merge_cells("A9:A10")
    sheet["D10"].data_type = "e"
    book.create_sheet("notes").append(["nothing"])
    sheet.cell(40, 1).font = openpyxl.styles.Font(bold=True)
    book.save(tmp_path / "t.xlsx")
    table = read(tmp_path / "t.xlsx", columns={"culture": "country"})
    texts = ["12", "13", "1.5", "true", "2020-05-01", "2020-05-01T08:30:00"]
    assert table.strings("caption") == [*texts, "merged"]
    assert table.strings("artwork_id") == [*texts, "m"]
    # no program has computed the formula, so no value is stored with it
    assert report_of(table).dropped == {"malformed row": 1, "empty caption": 1, "empty culture": 1}
    lines = report_of(table).dropped_rows
    assert lines is not None and sorted(r["line"] for r in lines.to_pylist()) == [8, 10, 11]


def test_json_lines_are_broken_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    good = '{"artwork": 3, "label": "awe", "text": "x", "more": [1, {"a": 2}]}'
    bad = [
        "{",
        "[1]",
        '"x"',
        "",
        '{"artwork": 1, "label": "awe", "text": ["x"]}',
        '{"artwork": 1, "label": "awe", "text": {"en": "x"}}',
        '{"artwork": 1, "label": "awe", "text": "\\ud800"}',
        '{"artwork": 1, "label": "awe", "text": "\\u0000"}',
        '{"artwork": 1, "artwork": 2, "label": "awe", "text": "x"}',
        "[" * 100_000,
        '{"artwork": ' + "9" * 5000 + "}",
    ]
    late = '{"text": "a\u2028b", "label": "awe", "artwork": "z", "late": null}'
    file.write_text("\n".join([good, *bad, late]), "utf-8")
    table = read(file, culture="any")
    assert table.strings("artwork_id") == ["3", "z"]
    assert table.strings("annotation_id") == ["t.jsonl:1", f"t.jsonl:{len(bad) + 2}"]
    assert report_of(table).dropped == {"malformed row": len(bad)}
    rows = report_of(table).dropped_rows
    assert rows is not None
    assert "column text holds a list instead of text" in [row["detail"] for row in rows.to_pylist()]


def test_parquet_columns_of_labels_and_numbers_are_text(tmp_path: Path) -> None:
    info = {"info": {"features": {"label": {"names": ["awe", "fear"]}}}}
    table = pa.table(
        {
            "id": pa.array([1.0, 2.0, 3.0]),
            "label": [0, 1, 7],
            "text": pa.array(["x", "y", "z"]).dictionary_encode(),
            "tags": [["a"], [], None],
            "boxes": [{"bytes": b"1"}] * 3,
        }
    ).replace_schema_metadata({"huggingface": json.dumps(info)})
    file = tmp_path / "t.parquet"
    pq.write_table(table, file)
    read_back = read(file, culture="any")
    assert read_back.strings("emotion") == ["awe", "fear"]
    assert read_back.strings("artwork_id") == ["1", "2"]
    assert report_of(read_back).dropped == {"unknown emotion": 1}
    with pytest.raises(TableError, match=r"column tags must hold text, got list<"):
        aa.read_table(file, columns={"caption": "tags"}, culture="any")
    with pytest.raises(TableError, match=r"embedded images are read by `artaffect import parquet`"):
        aa.read_table(file, columns={"image": "boxes"}, culture="any")


def workbook(*cells: list[Any]) -> bytes:
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in cells:
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", b"", "t.csv is empty"),
        ("t.csv", b" \n\n", "t.csv is empty"),
        ("t.csv", b"\xef\xbb\xbf", "t.csv is empty"),
        ("t.csv", b"artwork,label,text\n", r"none of its 0 rows can be used \(empty\)"),
        ("t.csv", b"\nartwork,label,text\n", "line 1 is blank"),
        (
            "t.csv",
            b"artwork,label,label,text\na,awe,awe,x\n",
            "'label' is that of the columns 2, 3",
        ),
        ("t.csv", b"artwork,label,text\na,awe\nb\n", "none of its 2 rows .*malformed row 2"),
        ("t.csv", b"PAR1xxxx", "t.csv is not CSV, as its name says, but Parquet"),
        ("t.csv", b"PK\x03\x04xxxx", "t.csv is not CSV, as its name says, but Excel"),
        ("t.xlsx", b"artwork,label\n", "is not Excel, as its name says, but another kind of file"),
        ("t.xlsx", b"PK\x03\x04 broken", "is not an Excel workbook, or a damaged one"),
        ("t.xlsx", b"\xd0\xcf\x11\xe0", r"an old Excel workbook \(.xls\) or one with a password"),
        ("t.xlsx", workbook(), "sheet 'Sheet' is empty"),
        ("t.xlsx", workbook([None], ["label"]), "row 1 of sheet 'Sheet' is blank"),
        ("t.xlsx", workbook(["artwork", "label", "text"]), r"none of its 0 rows"),
        ("t.parquet", b"PAR1 broken PAR1", "t.parquet cannot be read as Parquet"),
        ("t.parquet", b"artwork,label\n", "t.parquet is not Parquet, as its name says"),
        ("t.jsonl", b"artwork,label\n", "t.jsonl is not JSON Lines: line 1: Expecting value"),
        ("t.json", b'[{"label": "awe"}]', "is one JSON array: write each object on a line"),
        ("t.jsonl", b"{}\n", "no column for label: .* it has no named column"),
        ("t.gz", b"\x1f\x8b\x08", "t.gz is compressed: unpack it first"),
        ("t.csv", bytes(range(256)) * 9, "t.csv"),
    ],
)
def test_a_file_without_a_table_is_refused_with_what_to_do(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TableError, match=message):
        aa.read_table(tmp_path / name, culture="any")


def test_the_command_says_how_it_read_the_file_and_writes_a_table(
    images: Path, artaffect: Command
) -> None:
    rows = rows_with(Feeling="joy")[:1] + rows_with()
    file = write_text(images / "t.csv", rows, "utf-16", ";")
    options = ["--column", "image=file", "--column", "caption=title,text", "--column", "split=fold"]
    code, _, err = artaffect(
        *["import", "table", file, "--out", images / "t.parquet", *options],
        *["--column", "label=feeling", "--culture", "Chile", "--language", "mixed"],
    )
    assert code == 0, err
    said = " ".join(err.split())
    assert (
        "text in UTF-16, cells between semicolons; label = Feeling, image = File, "
        "caption = title + text, split = fold, culture: Chile for all rows" in said
    )
    assert "5 rows read, 4 kept" in said and "labels that are not known: joy 1" in said
    assert (images / "t.dropped.csv").is_file()
    assert len(AnnotationTable.load(images / "t.parquet")) == 4
    code, _, err = artaffect("import", "table", file, "--out", images / "t2.parquet")
    assert code == 1 and "error: " in err and "no column for culture" in err
    code, _, err = artaffect("import", "table", images / "x.csv", "--out", images / "t2.parquet")
    assert code == 1 and "x.csv: no such file" in err


def test_a_folder_of_images_without_the_named_ones_is_named(images: Path) -> None:
    file = write_text(images / "t.csv", rows_with(File="other.jpg"))
    with pytest.raises(NoRowsError, match=r"images were looked for in .*sub \(--images names"):
        aa.read_table(file, images / "sub", columns=COLUMNS)


def test_how_a_table_was_read_is_logged(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "artaffect"):
        aa.read_table(write_excel(images / "t.xlsx", rows_with()), columns=COLUMNS)
    assert "t.xlsx: Excel, sheet 'Sheet'; label = Feeling, image = File" in caplog.text


def test_the_layout_of_artelingo_needs_no_names(real_data: Path) -> None:
    folder = real_data / "artelingo"
    own = read(folder / "artelingo_release.csv", images=folder / "wikiart")
    published = aa.read_artelingo(folder / "artelingo_release.csv", folder / "wikiart")
    assert comparable(own) == comparable(published)
