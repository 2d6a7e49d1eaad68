"""A table is the same in every format and encoding, and damage is named, never guessed away."""

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import artaffect as aa
from artaffect.data.readers.table_formats import detect_delimiter
from artaffect.errors import TableError
from tests.absent import run_without
from tests.tables import (
    COLUMNS,
    Row,
    captions,
    comparable,
    imagefolder,
    read,
    report_of,
    rows_with,
    write_excel,
    write_images,
    write_json_lines,
    write_parquet,
    write_text,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path)


def workbook(*cells: list[Any]) -> bytes:
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in cells:
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


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
        ("cp932", "アートギャラリーのポスター、ソフトなタッチ"),
        ("big5", "一丁上下不世丞並中主久之也事二于"),
        ("cp1251", "Волны возвышаются над маленькой лодкой"),
        ("gb18030", "海浪高高聳立在小船上，令人恐懼 😱 龘𠮷"),
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
    file = tmp_path / "t.csv"
    file.write_text("sep=;\r\nartwork;label;text\r\na;awe;x, y\r\nb;awe\r\n")
    table = read(file, culture="x")
    assert table.strings("annotation_id") == ["t.csv:3"]
    assert "first: t.csv line 4" in report_of(table).summary()
    for given in ("", ",,", "é", '"', "x", "\n"):
        with pytest.raises(TableError, match="the delimiter must be one character"):
            aa.read_table(tmp_path / "t.csv", delimiter=given)


def test_rows_are_read_strictly_whatever_the_delimiter(tmp_path: Path) -> None:
    text = 'artwork;label;text\na;awe;one\nb;awe;"open\nc;awe;two;more\nd;awe;t\0\n\ne;awe;"x;y"\n'
    file = tmp_path / "t.csv"
    file.write_text(text)
    table = read(file, culture="x")
    assert table.strings("annotation_id") == ["t.csv:2", "t.csv:7"]
    assert table.strings("caption") == ["one", "x;y"]
    rows = report_of(table).dropped_rows
    assert rows is not None
    assert [(row["line"], row["reason"]) for row in rows.to_pylist()] == [
        (line, "malformed row") for line in (3, 4, 5, 6)
    ]


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
    table = read(file, culture="x")
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
    read_back = read(file, culture="x")
    assert read_back.strings("emotion") == ["awe", "fear"]
    assert read_back.strings("artwork_id") == ["1", "2"]
    assert report_of(read_back).dropped == {"unknown emotion": 1}
    with pytest.raises(TableError, match=r"column tags must hold text, got list<"):
        aa.read_table(file, columns={"caption": "tags"}, culture="x")
    with pytest.raises(TableError, match=r"embedded images are read by `artaffect import parquet`"):
        aa.read_table(file, columns={"image": "boxes"}, culture="x")


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
        (
            "t.xlsx",
            workbook([None], ["label"]),
            "no column for artwork: .* it has the columns label",
        ),
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
        aa.read_table(tmp_path / name, culture="x")


def test_how_a_table_was_read_is_logged(images: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "artaffect"):
        aa.read_table(write_excel(images / "t.xlsx", rows_with()), columns=COLUMNS)
    assert "t.xlsx: Excel, sheet 'Sheet'; label = Feeling, image = File" in caplog.text


def test_excel_without_its_package_names_the_extra(tmp_path: Path) -> None:
    write_excel(tmp_path / "t.xlsx", rows_with())
    code = "import artaffect as aa; aa.read_table('t.xlsx')"
    process = run_without(["openpyxl"], code, cwd=tmp_path)
    assert "TableError: t.xlsx: reading Excel needs openpyxl: pip install 'artaffect[excel]'" in (
        process.stderr
    )


@pytest.mark.parametrize("name", ["t.csv", "u.csv", "t.jsonl", "t.xlsx", "t.parquet"])
def test_a_damaged_file_is_read_or_refused_and_its_rows_add_up(tmp_path: Path, name: str) -> None:
    file, rng = tmp_path / name, np.random.default_rng(0)
    writers: dict[str, Callable[[], Path]] = {
        "t.csv": lambda: write_text(file, rows_with()),
        "u.csv": lambda: write_text(file, rows_with(), "utf-16", ";"),
        "t.jsonl": lambda: write_json_lines(file, rows_with()),
        "t.xlsx": lambda: write_excel(file, rows_with()),
        "t.parquet": lambda: write_parquet(file, rows_with()),
    }
    whole = np.frombuffer(writers[name]().read_bytes(), np.uint8)
    columns = {"artwork": "file", "caption": "text", "label": "feeling", "culture": "land"}
    for damage in range(60):
        data = whole.copy()
        positions = rng.integers(0, len(data), 1 + damage % 4)
        data[positions] = rng.choice(
            np.frombuffer(b'\0\n\r",;{}[\xff\xed\xa0 a', np.uint8), len(positions)
        )
        file.write_bytes(data[: positions[0]].tobytes() if damage % 5 == 0 else data.tobytes())
        try:
            report_of(aa.read_table(file, columns=columns))
        except aa.ArtAffectError as error:
            assert name in str(error) or "column" in str(error)
