"""Tables as people have them: any column names; every row is kept, or dropped with its reason."""

from pathlib import Path
from typing import Any

import pytest

import artaffect as aa
from artaffect.data.annotations import AnnotationTable
from artaffect.data.readers.table_columns import parse_assignments
from artaffect.errors import InputTypeError, NoRowsError, TableError, UnknownNameError
from tests.conftest import Command
from tests.tables import (
    COLUMNS,
    captions,
    comparable,
    read,
    report_of,
    rows_with,
    write_images,
    write_text,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path)


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
    table = read(file, culture="x")
    assert table.strings("image") == ["a.jpg", None, "b.jpg", "sub/c.PNG"]
    assert report_of(table).dropped == {
        "empty caption": 1,
        "unsafe image name": 2,
        "image missing": 2,
        "image unreadable": 1,
    }
    kept = read(file, culture="x", keep_unpictured=True)
    assert len(kept) == 8 and report_of(kept).dropped == {"empty caption": 1, "image missing": 1}


def test_without_a_column_of_images_they_are_named_like_the_artworks(images: Path) -> None:
    rows = [
        {"object_number": "b", "art_style": "", "text": "x", "label": "awe"},
        {"object_number": "c", "art_style": "sub", "text": "y", "label": "awe"},
    ]
    file = write_text(images / "t.csv", rows)
    table = read(file, images=images, culture="x")
    assert table.strings("image") == ["b.jpg", "sub/c.PNG"]
    assert table.strings("artwork_id") == ["b", "sub/c"]
    assert table.strings("art_style") == ["unknown", "sub"]
    without = read(file, culture="x")
    assert without.images is None and without.strings("image") == [None, None]


def test_names_of_artworks_may_hold_any_characters(tmp_path: Path) -> None:
    names = ["P.14/1920:2", "../x", "N 5", "عمل"]
    rows = [{"id": name, "text": "x", "label": "awe"} for name in [*names, " "]]
    table = read(write_text(tmp_path / "t.csv", rows), culture="x")
    assert table.strings("artwork_id") == names
    assert report_of(table).dropped == {"empty artwork name": 1}


def test_an_artwork_has_one_image(images: Path) -> None:
    rows = [
        {"artwork": "x", "image": name, "text": "", "label": "awe"} for name in ("a", "a.jpg", "b")
    ]
    file = write_text(images / "t.csv", rows)
    table = read(file, culture="x")
    assert table.strings("image") == ["a.jpg", "a.jpg"]
    assert report_of(table).dropped == {"another image of the artwork": 1}
    apart = read(file, culture="x", columns={"artwork": None})
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
    with pytest.raises(TableError, match="'any' stands for all cultures together"):
        values(culture=" Any")
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
        aa.read_table(tmp_path / "t.csv", columns={"caption": "note"}, culture="x")
    exact = "artwork,label,Text,text\na,awe,x,y\n"
    assert captions(tmp_path / "t.csv", exact, columns={"caption": "Text"}) == ["x"]


def test_arguments_of_a_wrong_type_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("artwork,label,text\n1,awe,x\n")
    for name in ("culture", "language", "encoding", "delimiter"):
        with pytest.raises(InputTypeError, match=f"{name} must be a str, got int"):
            aa.read_table(tmp_path / "t.csv", **{name: 5})  # type: ignore[arg-type]
    for columns in ({"label": 5}, {"caption": ["text", None]}):
        with pytest.raises(
            InputTypeError, match=r"columns\['\w+'\] must be a str or a list of str"
        ):
            aa.read_table(tmp_path / "t.csv", columns=columns)  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="columns must be a mapping, got list"):
        aa.read_table(tmp_path / "t.csv", columns=["label"])  # type: ignore[arg-type]


def test_a_given_column_holds_nothing_else(tmp_path: Path) -> None:
    text = "file,text,description,label\n1,x,y,awe\n"
    columns = {"artwork": "file", "caption": "text"}
    assert captions(tmp_path / "t.csv", text, columns=columns) == ["x"]
    table = read(tmp_path / "t.csv", columns=columns | {"culture": "description"})
    assert table.images is None and table.strings("culture") == ["y"]


def test_a_number_of_rows_is_no_artwork_where_there_are_images(images: Path) -> None:
    rows = [{"id": str(i), "image": "a.jpg", "label": "awe", "text": str(i)} for i in range(3)]
    assert read(write_text(images / "t.csv", rows), culture="x").strings("artwork_id") == ["a"] * 3


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
    table = read(file, culture="x")
    assert table.strings("emotion") == ["something else"]
    assert report_of(table).dropped == {"unknown emotion": 3}
    line = "labels that are not known: joy 2, amused 1 (nearest: amusement); known: amusement, awe"
    assert line in report_of(table).summary()
    file.write_text("artwork,label,text\n1,joy,x\n2,calm,x\n")
    with pytest.raises(NoRowsError, match=r"not known: joy 1, calm 1; known: amusement, awe, "):
        aa.read_table(file, culture="x", labels="artemis")
    assert aa.read_table(file, culture="x").labels.names == ("calm", "joy")


def test_splits_have_their_usual_names_and_others_name_the_remedy(tmp_path: Path) -> None:
    names = ["Training", "dev", "validation", "TEST", "val", "3"]
    file = tmp_path / "t.csv"
    file.write_text(
        "artwork,label,text,split\n"
        + "".join(f"{i},awe,x,{name}\n" for i, name in enumerate(names))
    )
    table = read(file, culture="x")
    assert table.strings("split") == ["train", "val", "val", "test", "val"]
    remedy = "splits that are not known: 3 1; known: train, val, test; without that column"
    assert remedy in report_of(table).summary()
    without = read(file, culture="x", columns={"split": None})
    assert without.strings("split") == [None] * 6
    file.write_text("artwork,label,text,split\n1,awe,x,\n2,awe,x,\n")
    assert read(file, culture="x").strings("split") == [None] * 2


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
    message = " ".join(err.split())
    assert (
        "text in UTF-16, cells between semicolons; label = Feeling, image = File, "
        "caption = title + text, split = fold, culture: Chile for all rows" in message
    )
    assert "5 rows read, 4 kept" in message and "labels that are not known: joy 1" in message
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


def test_the_layout_of_artelingo_needs_no_names(real_data: Path) -> None:
    folder = real_data / "artelingo"
    own = read(folder / "artelingo_release.csv", images=folder / "wikiart")
    published = aa.read_artelingo(folder / "artelingo_release.csv", folder / "wikiart")
    assert comparable(own) == comparable(published)
