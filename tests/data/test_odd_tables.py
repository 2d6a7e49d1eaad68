"""Tables as the world makes them: no row is swallowed, guessed or lost without a line that says so."""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artaffect.data.annotations import SCHEMA, AnnotationTable
from artaffect.data.readers.artelingo import read_artelingo
from artaffect.data.readers.csv import DelimitedFile, quotes_are_sound
from artaffect.data.readers.hf_parquet import read_hf_parquet
from artaffect.errors import NoRowsError, TableError

HEADER = "art_style,emotion,language,painting,split,utterance"
LINE = "S,awe,english,p,train,"


def write(path: Path, *captions: str, end: str = "\n") -> Path:
    lines = [HEADER, *(LINE + caption for caption in captions)]
    path.write_bytes((end.join(lines) + end).encode())
    return path


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, "BMP")
    return buffer.getvalue()


def captions_and_lines(file: Path) -> tuple[list[str], list[int]]:
    """The captions that an import keeps, and the lines that it lists as malformed."""
    table = read_artelingo(file, keep_unpictured=True)
    report = table.report
    assert report is not None and report.dropped_rows is not None
    assert report.read == report.kept + sum(report.dropped.values())
    dropped = report.dropped_rows.to_pylist()
    return table.strings("caption"), [r["line"] for r in dropped if r["reason"] == "malformed row"]


@pytest.mark.parametrize(
    ("captions", "kept", "malformed"),
    [
        (["one", '"a boat', "two", "three"], ["one", "two", "three"], [3]),
        (["one", '"a boat', "two", '"five" is', "six"], ["one", "two", "six"], [3, 5]),
        (["one", '"a boat', '"two"', "three"], ["one", "two", "three"], [3]),
        (["one", '"a boat', "two", '"a lake', "three"], ["one", "two", "three"], [3, 5]),
        (['"She said \\"wow\\" and left"', "two"], ["two"], [2]),
        (['"two\nlines"', "three", '"open'], ["two\nlines", "three"], [5]),
        (['5" nails', 'a "quoted" word', "three"], ['5" nails', 'a "quoted" word', "three"], []),
        (['"doubled ""quotes"" inside"', '""', "x"], ['doubled "quotes" inside', "x"], []),
        (["one,too many", "two", ""], ["two"], [2]),
    ],
)
def test_a_stray_quote_costs_its_own_row_alone(
    tmp_path: Path, captions: list[str], kept: list[str], malformed: list[int]
) -> None:
    for end in ("\n", "\r\n"):
        file = write(tmp_path / "rows.csv", *captions, end=end)
        assert captions_and_lines(file) == (kept, malformed)


def test_both_ways_to_read_agree_on_sound_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signs = ["a", "b", " ", '"', ",", "\n", "é", "雨"]
    captions = ["x" + "".join(rng.choice(signs, 8)) + "x" for _ in range(300)]
    file = tmp_path / "rows.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(HEADER.split(","))
        writer.writerows([*LINE.split(",")[:-1], caption] for caption in captions)
    assert quotes_are_sound(DelimitedFile.open(file))
    table = read_artelingo(file, keep_unpictured=True)
    file.write_bytes(file.read_bytes() + f'{LINE}a "quoted" word\n'.encode())
    assert not quotes_are_sound(DelimitedFile.open(file))
    careful = read_artelingo(file, keep_unpictured=True)
    for column in ("annotation_id", "caption"):
        assert careful.strings(column)[:-1] == table.strings(column)


def test_a_file_without_a_usable_row_shows_the_first_one(tmp_path: Path) -> None:
    message = r"none of its 2 rows can be used \(malformed row 2  \(first: a.csv line 2: 7 cells"
    with pytest.raises(TableError, match=message):
        read_artelingo(write(tmp_path / "a.csv", "a, b", "c, d"), keep_unpictured=True)
    with pytest.raises(TableError, match=r"none of its 0 rows can be used \(empty\)"):
        read_artelingo(write(tmp_path / "b.csv"), keep_unpictured=True)


def published(path: Path, metadata: str = "", **columns: object) -> Path:
    """A file in the Hugging Face layout with three rows, some columns replaced."""
    values: dict[str, object] = {
        "image": [{"bytes": jpeg(colour), "path": None} for colour in ("red", "green", "blue")],
        "art_style": ["S"] * 3,
        "painting": ["a", "b", "c"],
        "emotion": ["awe", "fear", "anger"],
        "language": ["english"] * 3,
        "text": ["one", "two", "three"],
        "split": ["train"] * 3,
    }
    table = pa.table(values | columns)
    pq.write_table(
        table.replace_schema_metadata({"huggingface": metadata} if metadata else None), path
    )
    return path


def classes(column: str, *names: str) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    return f'{{"info": {{"features": {{"{column}": {{"names": [{quoted}]}}}}}}}}'


@pytest.mark.parametrize("code", [-1, 2, 99, None])
def test_a_label_without_a_name_costs_its_row_alone(tmp_path: Path, code: int | None) -> None:
    labels = pa.array([0, code, 1], pa.int64())
    file = published(tmp_path / "f.parquet", classes("emotion", "awe", "fear"), emotion=labels)
    table = read_hf_parquet(file, tmp_path / "images")
    assert table.strings("emotion") == ["awe", "fear"] and table.report is not None
    assert table.report.dropped == {"unknown emotion": 1}


def test_labels_may_stand_in_any_column(tmp_path: Path) -> None:
    file = published(
        tmp_path / "f.parquet", classes("art_style", "Baroque", "Cubism"), art_style=[0, 1, 1]
    )
    table = read_hf_parquet(file, tmp_path / "images")
    assert table.strings("image") == ["Baroque/a.jpg", "Cubism/b.jpg", "Cubism/c.jpg"]


def test_a_missing_name_costs_its_row_alone(tmp_path: Path) -> None:
    file = published(tmp_path / "f.parquet", painting=["a", None, "c"], art_style=["S", "S", "S"])
    table = read_hf_parquet(file, tmp_path / "images")
    assert table.strings("caption") == ["one", "three"] and table.report is not None
    assert table.report.dropped == {"unsafe painting name": 1}


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("text", [["a"], ["b"], ["c"]], "column text must hold text .*, got list"),
        ("emotion", [{"a": 1}] * 3, "column emotion must hold text .*, got struct"),
        ("painting", [b"a", b"b", b"c"], "column painting must hold text .*, got binary"),
        ("image", ["a", "b", "c"], "column image must hold bytes and path, found string"),
    ],
)
def test_a_column_of_another_type_is_named(
    tmp_path: Path, column: str, values: list[object], message: str
) -> None:
    with pytest.raises(TableError, match=message):
        read_hf_parquet(published(tmp_path / "f.parquet", **{column: values}), tmp_path / "images")


NAMES = ("Ångström", "e\u0301t\u00e9", " blank ", "\u212bngstr")
"""A plain name, mixed forms of Unicode, blanks at the ends, and a sign whose NFC is another one."""


def test_an_image_is_known_by_the_very_name_of_its_row(tmp_path: Path) -> None:
    images = [{"bytes": jpeg("red"), "path": None}] * len(NAMES)
    columns = {name: ["S"] * 4 for name in ("art_style",)} | {"painting": list(NAMES)}
    columns |= {name: [value] * 4 for name, value in (("emotion", "awe"), ("language", "english"))}
    file = published(
        tmp_path / "f.parquet", image=images, text=list("abcd"), split=["train"] * 4, **columns
    )
    table = read_hf_parquet(file, tmp_path / "images")
    assert len(table) == 4 and None not in table.strings("image")
    source = tmp_path / "t.csv"
    with source.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [HEADER.split(","), *(["S", "awe", "english", name, "train", "x"] for name in NAMES)]
        )
    again = read_artelingo(source, tmp_path / "images")
    assert again.strings("image") == table.strings("image")


def test_a_corrected_image_replaces_the_one_of_an_earlier_import(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    read_hf_parquet(published(tmp_path / "first.parquet"), tmp_path / "images")
    assert not caplog.records
    corrected = [{"bytes": jpeg(colour), "path": None} for colour in ("red", "white", "blue")]
    assert len(jpeg("white")) == len(jpeg("green"))
    with caplog.at_level("WARNING", "artaffect"):
        read_hf_parquet(
            published(tmp_path / "second.parquet", image=corrected), tmp_path / "images"
        )
    assert (tmp_path / "images" / "S" / "b.jpg").read_bytes() == jpeg("white")
    assert "replaced 1 image" in caplog.text


def test_a_table_and_its_images_can_be_moved_together(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    table = read_hf_parquet(published(tmp_path / "f.parquet"), old / "images")
    table.save(old / "table.parquet")
    shutil.copytree(old, new)
    assert AnnotationTable.load(new / "table.parquet").images == new / "images"
    shutil.copy(old / "table.parquet", tmp_path / "alone.parquet")
    alone = AnnotationTable.load(tmp_path / "alone.parquet")
    assert alone.images == old / "images" and alone.provenance == table.provenance
    other = AnnotationTable.load(new / "table.parquet", old / "images")
    assert other.images == old / "images"


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    table = read_hf_parquet(published(tmp_path / "f.parquet"), tmp_path / "images")
    table.save(tmp_path / "table.parquet")
    data = bytearray((tmp_path / "table.parquet").read_bytes())
    data[4:200] = b"\xff" * 196
    (tmp_path / "table.parquet").write_bytes(data)
    with pytest.raises(
        TableError, match=r"table\.parquet cannot be read as a table of annotations"
    ):
        AnnotationTable.load(tmp_path / "table.parquet")
    pq.write_table(pa.table({name: [["x"]] for name in SCHEMA.names}), tmp_path / "lists.parquet")
    with pytest.raises(
        TableError, match=r"lists\.parquet cannot be read as a table of annotations"
    ):
        AnnotationTable.load(tmp_path / "lists.parquet")


@pytest.mark.parametrize(
    ("captions", "kept", "malformed"),
    [
        (["one", '"two', 'three"', "four"], ["one", 'three"', "four"], [3]),
        (["one", '"two', "three", 'four"', '"a\nb"'], ["one", "three", 'four"', "a\nb"], [3]),
        (['"a, b,\nc, d, e"', "two"], ["a, b,\nc, d, e", "two"], []),
        (["one", '"a, b', "two", 'c, d"'], ["one", "two"], [3, 5]),
        (["one", "t\0wo", "three"], ["one", "three"], [3]),
        (["one", '"two, and', "three"], ["one", "three"], [3]),
    ],
)
def test_no_caption_holds_other_rows_or_bytes_that_are_no_text(
    tmp_path: Path, captions: list[str], kept: list[str], malformed: list[int]
) -> None:
    for end in ("\n", "\r\n"):
        file = write(tmp_path / "rows.csv", *captions, end=end)
        assert captions_and_lines(file) == (kept, malformed)


def test_a_file_may_have_the_line_ends_of_an_old_mac(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.csv", "one", '"a\rb"', "two, too many", "three", end="\r")
    assert captions_and_lines(file) == (["one", "a\rb", "three"], [5])


def test_the_rows_of_a_narrow_file_are_not_guessed(tmp_path: Path) -> None:
    file = tmp_path / "collection.csv"
    file.write_text('image,caption\na.jpg,"a boat,\nblue"\nb.jpg,x\n')
    assert quotes_are_sound(DelimitedFile.open(file))
    file.write_text('image,language,caption\na.jpg,english,"a boat\nb.jpg,english,two"\n')
    assert not quotes_are_sound(DelimitedFile.open(file))


def test_an_import_without_a_usable_row_lists_them_all(tmp_path: Path) -> None:
    with pytest.raises(NoRowsError, match="none of its 2 rows can be used") as caught:
        read_artelingo(write(tmp_path / "a.csv", "a, b", '"c'), keep_unpictured=True)
    rows = caught.value.report.dropped_rows.to_pylist()
    assert [row["line"] for row in rows] == [2, 3]
    assert rows[0]["detail"].startswith("7 cells instead of 6")
    assert rows[1]["detail"].startswith("a quote that is not closed")


NOT_UTF8 = pa.StringArray.from_buffers(
    3, pa.array([0, 1, 2, 3], pa.int32()).buffers()[1], pa.py_buffer(b"a\xffc")
)


@pytest.mark.parametrize("column", ["text", "painting", "emotion"])
def test_text_of_another_encoding_is_named_with_its_column(tmp_path: Path, column: str) -> None:
    file = published(tmp_path / "f.parquet", **{column: NOT_UTF8})
    with pytest.raises(TableError, match=rf"f\.parquet .* column {column}: Invalid UTF8"):
        read_hf_parquet(file, tmp_path / "images")


@pytest.mark.parametrize("metadata", ["{", "[1]", '{"info": "x"}', classes("other", "a")])
def test_metadata_of_another_kind_do_not_matter(tmp_path: Path, metadata: str) -> None:
    assert len(read_hf_parquet(published(tmp_path / "f.parquet", metadata), tmp_path / "i")) == 3


def test_codes_may_be_unsigned_and_text_may_be_views(tmp_path: Path) -> None:
    file = published(
        tmp_path / "f.parquet",
        classes("emotion", "awe", "fear"),
        emotion=pa.array([0, 2**64 - 1, 1], pa.uint64()),
        text=pa.array(["one", "two", "three"], pa.string_view()),
    )
    table = read_hf_parquet(file, tmp_path / "images")
    assert table.strings("caption") == ["one", "three"]


def test_a_name_that_is_too_long_for_a_file_costs_its_row_alone(tmp_path: Path) -> None:
    file = published(tmp_path / "f.parquet", painting=["a" * 252, "b" * 300, "c"])
    table = read_hf_parquet(file, tmp_path / "images")
    assert table.strings("caption") == ["three"] and table.report is not None
    assert table.report.dropped == {"image missing": 2}


def test_embedded_images_are_bytes(tmp_path: Path) -> None:
    file = published(tmp_path / "f.parquet", image=[{"bytes": "x", "path": None}] * 3)
    with pytest.raises(TableError, match=r"column image must hold bytes and path, found struct"):
        read_hf_parquet(file, tmp_path / "images")


@pytest.mark.parametrize(
    "metadata",
    [
        {"artaffect": "{"},
        {"artaffect": b"\xff"},
        {"artaffect": '{"images": 3}'},
        {"artaffect": '{"images_relative": 3}'},
        {"artaffect.reports": '{"unknown": 1}'},
        {"artaffect.reports": "[1]"},
    ],
)
def test_metadata_of_a_table_are_checked(tmp_path: Path, metadata: dict[str, str]) -> None:
    rows = read_hf_parquet(published(tmp_path / "f.parquet"), tmp_path / "images").rows
    pq.write_table(rows.replace_schema_metadata(metadata), tmp_path / "table.parquet")
    with pytest.raises(TableError, match=r"table\.parquet: its metadata are not those of a table"):
        AnnotationTable.load(tmp_path / "table.parquet")


def test_columns_of_a_table_hold_text_in_utf8(tmp_path: Path) -> None:
    rows = read_hf_parquet(published(tmp_path / "f.parquet"), tmp_path / "images").rows
    for name in ("caption", "culture"):
        changed = rows.set_column(rows.column_names.index(name), name, NOT_UTF8)
        pq.write_table(changed, tmp_path / "table.parquet")
        with pytest.raises(TableError, match=r"table\.parquet cannot be read .* Invalid UTF8"):
            AnnotationTable.load(tmp_path / "table.parquet")
    views = [pa.array(rows[name].to_pylist(), pa.string_view()) for name in rows.column_names]
    pq.write_table(pa.table(views, rows.column_names), tmp_path / "polars.parquet")
    loaded = AnnotationTable.load(tmp_path / "polars.parquet")
    assert loaded.rows.to_pylist() == rows.to_pylist()


def test_images_beside_the_folder_of_a_table_move_with_it_but_a_copy_keeps_its_own(
    tmp_path: Path,
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    table = read_hf_parquet(published(tmp_path / "f.parquet"), old / "images")
    for folder in (old, new):
        (folder / "tables").mkdir(parents=True)
    (new / "images").mkdir()
    table.save(old / "tables" / "table.parquet")
    shutil.copy(old / "tables" / "table.parquet", new / "tables")
    assert AnnotationTable.load(new / "tables" / "table.parquet").images == old / "images"
    shutil.rmtree(new)
    old.rename(new)
    assert AnnotationTable.load(new / "tables" / "table.parquet").images == new / "images"
