"""Importers keep every row that can be used, and list every other row with its file, line and reason."""

import csv
import json
import unicodedata
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artaffect.data.annotations import SCHEMA, AnnotationTable, ImportReport
from artaffect.data.filtering import (
    REASONS,
    Columns,
    clean_emotions,
    clean_languages,
    name_artworks,
)
from artaffect.data.readers.artelingo import read_artelingo, read_artemis
from artaffect.data.readers.csv import SourceRows
from artaffect.data.readers.hf_parquet import read_hf_parquet
from artaffect.errors import InputError, TableError
from artaffect.labels import EMOTIONS

LITE = ["art_style", "emotion", "language", "painting", "split", "utterance"]


def report_of(table: AnnotationTable) -> ImportReport:
    assert table.report is not None
    return table.report


def write_image(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(1).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_csv(path: Path, rows: list[list[str]], header: list[str] = LITE) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def row(**changes: str) -> list[str]:
    values = {
        "art_style": "Baroque",
        "emotion": "awe",
        "language": "english",
        "painting": "a",
        "split": "train",
        "utterance": "words",
    }
    return list((values | changes).values())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "wikiart"
    write_image(folder / "Baroque" / "a.jpg")
    return folder


def test_each_invalid_row_is_dropped_for_its_own_reason(tmp_path: Path, images: Path) -> None:
    write_image(images / "Baroque" / "cut.jpg", (300, 300))
    whole = (images / "Baroque" / "cut.jpg").read_bytes()
    (images / "Baroque" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "Baroque" / "text.jpg").write_text("not an image")
    file = write_csv(
        tmp_path / "rows.csv",
        [
            row(),
            row(utterance="two\nlines"),
            row(emotion="joy"),
            row(utterance="   "),
            row(language=""),
            row(painting="../a"),
            row(split="rest"),
            row(split=""),
            row(split="dev"),
            row(painting="missing"),
            row(painting="cut"),
            row(painting="text"),
            row(),
        ],
    )
    table = read_artelingo(file, images)
    report = report_of(table)
    assert (report.read, report.kept, len(table)) == (13, 2, 2)
    assert report.dropped == {
        "unknown emotion": 1,
        "empty caption": 1,
        "empty language": 1,
        "unsafe painting name": 1,
        "split rest or blank": 2,
        "unknown split": 1,
        "image missing": 1,
        "image unreadable": 2,
        "duplicate": 1,
    }
    assert report.dropped_rows is not None
    lines = {r["line"]: r["reason"] for r in report.dropped_rows.to_pylist()}
    assert lines[5] == "unknown emotion"  # one line later, because a caption has two lines
    assert lines[15] == "duplicate"
    details = {r["line"]: r["detail"] for r in report.dropped_rows.to_pylist()}
    assert details[5] == "joy" and details[8] == "Baroque/../a"
    assert "not an image" in details[14]


def test_malformed_and_empty_lines_are_listed_with_their_line(tmp_path: Path, images: Path) -> None:
    file = tmp_path / "rows.csv"
    text = ",".join(LITE) + '\nBaroque,awe,english,a,train,"one\ntwo"\n\nBaroque,awe\n'
    file.write_text(text + "Baroque,fear,english,a,train,x\n", "utf-8")
    table = read_artelingo(file, images)
    report = report_of(table)
    assert table.strings("annotation_id") == ["rows.csv:2", "rows.csv:6"]
    assert report.dropped_rows is not None
    assert [(r["line"], r["reason"]) for r in report.dropped_rows.to_pylist()] == [
        (4, "malformed row"),
        (5, "malformed row"),
    ]


def test_one_caption_may_have_two_emotions(tmp_path: Path, images: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [row(), row(emotion="fear")])
    assert len(read_artelingo(file, images)) == 2


def test_the_full_layout_is_read_and_other_means_something_else(
    tmp_path: Path, images: Path
) -> None:
    extra = ["language_label", "emotion_label", "tokens_encoded", "image_file"]
    file = write_csv(
        tmp_path / "rows.csv",
        [[*row(emotion="other"), "0", "8", "[1, 2]", "x/y.jpg"]],
        LITE + extra,
    )
    table = read_artelingo(file, images)
    assert table.strings("emotion") == ["something else"]
    assert table.rows.schema == SCHEMA


def test_names_match_across_unicode_forms_and_never_by_similarity(tmp_path: Path) -> None:
    composed, decomposed = "joaquín(1).x", unicodedata.normalize("NFD", "joaquín(1).x")
    assert composed != decomposed
    for on_disk, in_file in ((composed, decomposed), (decomposed, composed)):
        images = tmp_path / f"w{len(on_disk)}"
        write_image(images / "Baroque" / f"{on_disk}.jpg")
        file = write_csv(tmp_path / "r.csv", [row(painting=in_file), row(painting="joaquin(1).x")])
        table = read_artelingo(file, images)
        report = report_of(table)
        assert table.strings("artwork_id") == [f"Baroque/{composed}"]
        assert report.dropped == {"image missing": 1}


def test_rows_without_an_image_are_kept_on_request(tmp_path: Path, images: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [row(), row(painting="missing")])
    table = read_artelingo(file, images, keep_unpictured=True)
    report = report_of(table)
    assert table.strings("image") == ["Baroque/a.jpg", None]
    assert (report.rows_without_image, report.artworks_without_image) == (1, 1)
    without = read_artelingo(file, None, keep_unpictured=True)
    assert without.strings("image") == [None, None]


def test_artemis_has_no_split_and_is_in_english(tmp_path: Path, images: Path) -> None:
    header = ["art_style", "painting", "emotion", "utterance", "repetition"]
    file = write_csv(tmp_path / "artemis.csv", [["Baroque", "a", "awe", "words", "1"]], header)
    table = read_artemis(file, images)
    assert table.strings("split") == [None]
    assert table.strings("culture") == ["english"]


def hugging_face_file(path: Path, tmp_path: Path, integer_labels: bool = False) -> Path:
    write_image(tmp_path / "p.jpg")
    data = (tmp_path / "p.jpg").read_bytes()
    emotion: pa.Array = pa.array(["awe", "fear", "awe"])
    metadata = {}
    if integer_labels:
        emotion = pa.array([1, 6, 1])
        info = {"info": {"features": {"emotion": {"names": list(EMOTIONS), "_type": "ClassLabel"}}}}
        metadata = {"huggingface": json.dumps(info)}
    cells = [{"bytes": data, "path": None}, {"bytes": data, "path": None}, None]
    table = pa.table(
        {
            "image": pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "art_style": ["Baroque", "Baroque", "../evil"],
            "painting": ["a", "b", "c"],
            "emotion": emotion,
            "language": ["english", "arabic", "english"],
            "text": ["one", "اثنان", "three"],
            "split": ["train", "val", "train"],
        }
    )
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return path


@pytest.mark.parametrize("integer_labels", [False, True])
def test_the_parquet_reader_writes_each_image_once(tmp_path: Path, integer_labels: bool) -> None:
    file = hugging_face_file(tmp_path / "f.parquet", tmp_path, integer_labels)
    table = read_hf_parquet(file, tmp_path / "images")
    report = report_of(table)
    assert table.strings("emotion") == ["awe", "fear"]
    assert report.dropped == {"unsafe painting name": 1}
    written = sorted(p.relative_to(tmp_path / "images") for p in (tmp_path / "images").rglob("*.*"))
    assert list(map(str, written)) == ["Baroque/a.jpg", "Baroque/b.jpg"]
    assert (tmp_path / "images/Baroque/a.jpg").read_bytes() == (tmp_path / "p.jpg").read_bytes()


def test_a_file_with_another_layout_is_refused_with_the_expected_columns(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [["1", "2"]], ["painting", "mood"])
    with pytest.raises(TableError, match=r"expected the columns art_style.*found painting, mood"):
        read_artelingo(file, tmp_path)
    other = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a"]}), other)
    with pytest.raises(TableError, match="missing image, art_style"):
        read_hf_parquet(other, tmp_path / "i")
    with pytest.raises(TableError, match="not a text file.*artaffect import parquet"):
        read_artelingo(other, tmp_path)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(TableError, match="found nothing"):
        read_artelingo(tmp_path / "empty.csv", tmp_path)
    (tmp_path / "latin.csv").write_bytes(
        ",".join(LITE).encode() + b"\nBaroque,awe,english,a,train,caf\xe9\n"
    )
    with pytest.raises(TableError, match=r"latin.csv line 2 is not UTF-8"):
        read_artelingo(tmp_path / "latin.csv", tmp_path)
    with pytest.raises(TableError, match="nothing.csv: no such file"):
        read_artelingo(tmp_path / "nothing.csv", tmp_path)


def test_a_file_without_usable_rows_is_refused_with_the_reasons(
    tmp_path: Path, images: Path
) -> None:
    file = write_csv(tmp_path / "rows.csv", [row(emotion="joy")])
    with pytest.raises(TableError, match=r"none of its 1 rows.*unknown emotion 1"):
        read_artelingo(file, images)
    with pytest.raises(TableError, match="no folder of images given"):
        read_artelingo(file)


def test_dropped_rows_are_saved_and_an_older_list_is_deleted_when_there_are_none(
    tmp_path: Path, images: Path
) -> None:
    side = tmp_path / "dropped.csv"
    file = write_csv(tmp_path / "rows.csv", [row(), row(emotion="joy")])
    report_of(read_artelingo(file, images)).save_dropped(side)
    listed = pa_csv.read_csv(side).to_pylist()
    assert listed == [{"file": "rows.csv", "line": 3, "reason": "unknown emotion", "detail": "joy"}]
    clean = read_artelingo(write_csv(tmp_path / "rows.csv", [row()]), images)
    report_of(clean).save_dropped(side)
    assert not side.exists()


def test_artworks_in_two_splits_are_counted(tmp_path: Path, images: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [row(), row(split="val", utterance="more")])
    assert report_of(read_artelingo(file, images)).leaking_artworks == 1


def test_the_summary_has_counts_and_the_first_row_of_each_reason(
    tmp_path: Path, images: Path
) -> None:
    rows = [row(), row(emotion="joy"), row(emotion="envy"), row(painting="none")]
    file = write_csv(tmp_path / "rows.csv", [*rows, row(split="val", utterance="more")])
    report = report_of(read_artelingo(file, images))
    assert report.summary().splitlines() == [
        f"{file}: 5 rows read, 2 kept",
        "  dropped         2  unknown emotion  (first: rows.csv line 3: joy)",
        "  dropped         1  image missing  (first: rows.csv line 5: Baroque/none)",
        "  labels that are not known: joy 1, envy 1; known: " + ", ".join(EMOTIONS),
        "  paintings without an image: 1, with an unreadable image: 0",
        "  warning: paintings in more than one split: 1, which makes scores too high; "
        "`artaffect split` makes splits without such leaks",
    ]
    assert repr(report) == (
        "ImportReport(read: 5; kept: 2; dropped: unknown emotion 2, image missing 1)"
    )
    kept = report_of(read_artelingo(file, images, keep_unpictured=True)).summary()
    assert "  kept without an image: 1 rows of 1 paintings" in kept.splitlines()


def test_a_saved_table_keeps_the_counts_of_its_report(tmp_path: Path, images: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [row(), row(emotion="joy")])
    table = read_artelingo(file, images)
    table.save(tmp_path / "t.parquet")
    loaded = AnnotationTable.load(tmp_path / "t.parquet").report
    assert loaded == report_of(table) and loaded is not None
    assert loaded.dropped_rows is None
    assert loaded.summary().splitlines()[1] == "  dropped         1  unknown emotion"
    assert loaded.to_json() == report_of(table).to_json()
    AnnotationTable(table.rows, table.provenance).save(tmp_path / "plain.parquet")
    assert AnnotationTable.load(tmp_path / "plain.parquet").report is None


def test_the_steps_change_none_of_their_inputs() -> None:
    cells = {
        "art_style": ["Baroque", "Baroque", ".."],
        "painting": ["a", "a", "b"],
        "emotion": ["awe", "joy", "fear"],
        "language": ["English", "english", ""],
        "utterance": ["x", "x", " "],
    }
    source = SourceRows(
        {name: pa.array(values) for name, values in cells.items()},
        pa.repeat("f.csv", 3),
        pa.array([2, 3, 4]),
    )
    columns, reasons = Columns(source, source.columns["utterance"]), np.full(3, -1, np.int8)
    known = {"awe": "awe", "fear": "fear"}
    for step in (partial(clean_emotions, rule=known.get), name_artworks):
        changed, dropped = step(columns, reasons)
        assert columns.labels == {} and (reasons == -1).all()
        assert len(changed.labels) >= 1 and (dropped >= 0).sum() == 1
    cleaned, reasons = clean_languages(columns, reasons, lambda language: f"land of {language}")
    assert cleaned["language"].names.tolist() == ["english"]
    assert cleaned["culture"].names.tolist() == ["land of english"]
    assert [REASONS[code] if code >= 0 else "" for code in reasons] == ["", "", "empty language"]


def test_paths_may_be_strings_and_other_types_are_named(tmp_path: Path, images: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", [row()])
    table = read_artelingo(str(file), str(images))
    assert len(table) == 1 and table.images == images
    with pytest.raises(
        InputError, match=r"^images must be a path \(str or os.PathLike\), got int$"
    ):
        read_artelingo(file, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="path must be a path .* got list"):
        read_artemis([file], images)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="images must be a path .* got NoneType"):
        read_hf_parquet(file, None)  # type: ignore[arg-type]


def test_real_artelingo_rows_can_be_imported(real_data: Path) -> None:
    folder = real_data / "artelingo"
    table = read_artelingo(folder / "artelingo_release.csv", folder / "wikiart")
    report = report_of(table)
    assert (report.read, report.kept) == (48, 48)
    assert set(table.cultures) == {"english", "arabic", "chinese"}


def test_real_artemis_rows_can_be_imported_and_missing_images_are_counted(real_data: Path) -> None:
    folder = real_data / "artemis"
    table = read_artelingo(folder / "annotations.csv", folder / "wikiart")
    report = report_of(table)
    assert report.read == 45_786
    assert report.kept + report.dropped["image missing"] == 45_786
    assert report.kept == len(table) > 16_000
