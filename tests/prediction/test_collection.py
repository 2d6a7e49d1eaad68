"""A collection is predicted completely: each row once, despite broken images and kills."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import (
    IncompleteRunError,
    InputError,
    OutputError,
    OutputExistsError,
    TableError,
)
from artaffect.labels import EMOTIONS
from artaffect.prediction.collection.answers import AnswerTable, prediction_schema
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.plan import Plan, skipped_path
from artaffect.prediction.collection.records import TableOptions
from artaffect.prediction.collection.run import predict_collection
from artaffect.prediction.predictor import PredictionInput, load_predictor
from tests.conftest import Command

CULTURES = ["arabic", "chinese", "english"]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Nested pictures, one of them broken, and what is no picture."""
    folder = tmp_path / "pictures"
    for number in range(7):
        path = folder / "deep" / f"{number}.jpg" if number > 3 else folder / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.jpg").write_text("not a picture either")
    return folder


def rows_of(path: Path) -> dict[tuple[str, str], dict[str, object]]:
    rows = pq.read_table(path).to_pylist()
    by_key = {(row["id"], row["culture"]): row for row in rows}
    assert len(by_key) == len(rows), "each item and culture occurs once"
    return by_key


def test_a_folder_gets_the_same_predictions_as_single_images(
    artaffect: Command, tiny_run: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.parquet"
    code, printed, err = artaffect(
        "predict-collection", tiny_run, "--images", pictures, "--out", out, "--json"
    )
    assert code == 0, err
    assert json.loads(printed) == {"items": 8, "answered": 7, "skipped": 1, "cultures": CULTURES}
    rows = rows_of(out)
    names = [f"{i}.png" for i in range(4)] + [f"deep/{i}.jpg" for i in range(4, 7)]
    assert set(rows) == {(name, culture) for name in names for culture in CULTURES}
    predictor = load_predictor(tiny_run)
    for name in names:
        for item in predictor.predict(pictures / name):
            row = rows[name, item.culture]
            values = [row[str(emotion)] for emotion in EMOTIONS]
            np.testing.assert_allclose(values, item.distribution.values, atol=1e-5)  # type: ignore[arg-type]
            assert row["top"] == item.top and row["image_share"] == 1
    with skipped_path(out).open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [row["id"] for row in listed] == ["broken.jpg"] and "not an image" in listed[0]["reason"]
    assert not Plan.for_output(out).folder.exists()
    provenance = json.loads(pq.read_schema(out).metadata[b"artaffect"])
    assert provenance["cultures"] == CULTURES and len(provenance["model_digest"]) == 64
    code, _, err = artaffect("predict-collection", tiny_run, "--images", pictures, "--out", out)
    assert code == 1 and "add --overwrite" in err


def test_a_table_may_hold_pictures_captions_or_both(
    tiny_run: Path, pictures: Path, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("id", "image", "caption", "language", "shelf"),
                ("007", "pictures/0.png", "", "", "3"),
                ("8", "", "تعلو الأمواج\nفوق قارب", "arabic", "4"),
                ("9", "pictures/0.png", "waves", "french", "5"),
                ("10", "", "", "", "6"),
                ("11", "pictures/none.png", "waves", "", "7"),
            ]
        )
    out = tmp_path / "out.parquet"
    done = predict_collection(tiny_run, table, out, ["Arabic", "atlantic"], workers=1, shard_rows=2)
    assert (done.answered, done.skipped) == (3, 2)
    rows = rows_of(out)
    assert {name for name, _ in rows} == {"007", "8", "9"}
    same = PredictionInput(pictures / "0.png", "waves", "french", ["arabic", "atlantic"])
    for item in load_predictor(tiny_run).predict_batch([same])[0]:
        row = rows["9", item.culture]
        assert row["note"] == item.note and row["note"] is not None
        assert row["caption_share"] == pytest.approx(item.modality_shares["caption"], abs=1e-5)
    with skipped_path(out).open(encoding="utf-8", newline="") as file:
        reasons = {row["id"]: row["reason"] for row in csv.DictReader(file)}
    assert set(reasons) == {"10", "11"}
    assert "nothing to predict from" in reasons["10"] and "no such file" in reasons["11"]


def test_a_collection_that_cannot_be_listed_is_refused(tmp_path: Path, pictures: Path) -> None:
    def written(text: str) -> Path:
        path = tmp_path / "t.csv"
        path.write_text(text)
        return path

    with pytest.raises(TableError, match="no such folder or table"):
        read_items(tmp_path / "none")
    with pytest.raises(TableError, match="is a single image: name the folder"):
        read_items(next(path for path in sorted(pictures.rglob("*")) if path.is_file()))
    with pytest.raises(TableError, match=r"no column for an image or a caption: .* it has a, b"):
        read_items(written("a,b\n1,2\n"))
    with pytest.raises(TableError, match=r"repeats 1 values, 'x' in rows 1, 3"):
        read_items(written("id,image\nx,1.jpg\ny,2.jpg\nx,3.jpg\n"))
    with pytest.raises(TableError, match=r"line 3: column id is empty"):
        read_items(written("id,image\nx,1.jpg\n,2.jpg\n"))
    with pytest.raises(TableError, match="so the rows need a column id"):
        read_items(written("image,caption\n1.jpg,a\n1.jpg,b\n"))
    with pytest.raises(TableError, match="need a column id"):
        read_items(written("caption\na\n"))
    with pytest.raises(TableError, match="contains no images"):
        (tmp_path / "empty").mkdir()
        read_items(tmp_path / "empty")
    (tmp_path / "t.parquet").write_text("no table")
    with pytest.raises(TableError, match="is not Parquet, as its name says"):
        read_items(tmp_path / "t.parquet")
    pq.write_table(pa.table({"image": ["0.png", "1.png"]}), tmp_path / "t.parquet")
    assert read_items(tmp_path / "t.parquet", TableOptions(root=pictures))["id"].to_pylist() == [
        "0.png",
        "1.png",
    ]


def test_everything_in_a_folder_is_an_item_or_counted(
    tmp_path: Path, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (pictures / "no suffix").write_bytes((pictures / "0.png").read_bytes())
    (pictures / ".hidden.png").write_bytes(b"")
    (pictures / "link.png").symlink_to(pictures / "1.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "deep" / "loop").symlink_to(pictures)
    (pictures / "twice").symlink_to(pictures / "deep")
    (pictures / "linked").symlink_to(elsewhere)
    os.mkfifo(pictures / "pipe.png")
    with caplog.at_level("INFO", "artaffect"):
        names = read_items(pictures)["id"].to_pylist()
    nested = [f"deep/{number}.jpg" for number in (4, 5, 6)]
    top = [*(f"{number}.png" for number in range(4)), "broken.jpg", "link.png", "no suffix"]
    assert sorted(names) == sorted([*top, *nested, "linked/far.png"])
    assert "left out 2 files that are not images, first: notes.txt" in caplog.text


def test_a_name_that_is_not_utf8_costs_nothing(
    tiny_run: Path, pictures: Path, tmp_path: Path
) -> None:
    os.rename(pictures / "0.png", os.fsencode(pictures) + b"/caf\xe9.png")
    os.rename(pictures / "broken.jpg", os.fsencode(pictures) + b"/br\xf6ken.jpg")
    out = tmp_path / "out.parquet"
    done = predict_collection(tiny_run, pictures, out, "english", workers=1)
    assert (done.answered, done.skipped) == (7, 1)
    assert ("caf\\xe9.png", "english") in rows_of(out)
    listed = skipped_path(out).read_text("utf-8").splitlines()
    assert len(listed) == 2 and listed[1].startswith("br\\xf6ken.jpg,")


def test_the_locale_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "好.png").write_bytes(b"")
    (tmp_path / "t.csv").write_text("image\n好.png\n", "utf-8")
    script = "import sys, os\nfrom artaffect.prediction.collection.items import read_items\n"
    script += "for source in ('.', 't.csv'):\n    (row,) = read_items(source).to_pylist()\n"
    script += "    assert os.path.exists(os.fsdecode(row['image']))\n    print(ascii(row['id']))"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    printed = subprocess.check_output(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | locale, text=True
    )
    assert printed.split() == [ascii("好.png")] * 2


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        (
            "image",
            [{"bytes": b"x", "path": "a"}],
            "column image must hold text, got struct.*import parquet",
        ),
        ("image", [b"x"], "column image must hold text, got binary"),
        ("caption", [["a", "b"]], "column caption must hold text, got list<"),
        ("id", [b"\xff"], "column id must hold text, got binary"),
    ],
)
def test_a_column_of_another_type_is_named(
    tmp_path: Path, column: str, values: list[object], message: str
) -> None:
    columns = {"id": ["1"], "caption": ["waves"]} | {column: values}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=message):
        read_items(tmp_path / "t.parquet")


def test_a_repeated_column_and_a_row_with_nothing_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,caption,caption\n1,a,b\n")
    with pytest.raises(TableError, match="'caption' is that of the columns 2, 3"):
        read_items(path)
    path.write_text('image,caption\np.jpg,a\n"",b\n')
    with pytest.raises(TableError, match="line 3: neither an id nor an image"):
        read_items(path)
    pq.write_table(pa.table({"id": [7, 8], "caption": ["a", "b"]}), tmp_path / "t.parquet")
    assert read_items(tmp_path / "t.parquet")["id"].to_pylist() == ["7", "8"]


@pytest.mark.parametrize("end", ['b,"open\nc,sea', 'b,"open\nc,sea\nd,"x" y\n'])
def test_a_stray_quote_swallows_no_row(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f'id,caption\na,"two\nlines, ""quoted"""\n{end}', "utf-8")
    rows = {row["id"]: row for row in read_items(path).to_pylist()}
    assert rows["a"]["caption"] == 'two\nlines, "quoted"' and rows["c"]["caption"] == "sea"
    assert "quote" in rows["line 4"]["fault"]
    path.write_bytes("id,caption\na,café\n".encode("cp1252"))
    with pytest.raises(TableError, match=r"line 2 is not UTF-8"):
        read_items(path, TableOptions(encoding="utf-8"))


def test_a_wrong_folder_of_images_is_named(
    tmp_path: Path, pictures: Path, sample_table: AnnotationTable
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image\n0.png\n1.png\n")
    with pytest.raises(TableError, match="none of its images exists, first: .*0.png.*--root"):
        read_items(path)
    with pytest.raises(TableError, match="nowhere: no such folder of images.*--root"):
        read_items(path, TableOptions(root=tmp_path / "nowhere"))
    assert read_items(path, TableOptions(root=pictures)).num_rows == 2
    pq.write_table(sample_table.rows.replace_schema_metadata(), tmp_path / "by-others.parquet")
    with pytest.raises(TableError, match="does not say where its images are.*--root"):
        read_items(tmp_path / "by-others.parquet")


def test_a_collection_without_any_prediction_ends_with_1(
    artaffect: Command, tiny_run: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "ü 好.jpg"):
        (tmp_path / "in" / name).write_text("no image")
    out = tmp_path / "out.parquet"
    options = ("predict-collection", tiny_run, "--images", tmp_path / "in", "--workers", 1)
    code, _, err = artaffect(*options, "--out", out)
    assert code == 1 and "skipped 2 items" in err and "first: " in err
    assert "ü 好.jpg" in skipped_path(out).read_text("utf-8")


def test_the_result_is_refused_where_it_cannot_be_written(
    tiny_run: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"written as \.parquet, \.csv, \.xlsx, \.jsonl"):
        predict_collection(tiny_run, pictures, tmp_path / "out.tsv")
    (tmp_path / "table.parquet").write_text("")
    with pytest.raises(OutputError, match="both read and written"):
        predict_collection(
            tiny_run, tmp_path / "table.parquet", tmp_path / "table.parquet", overwrite=True
        )


def command(run: Path, source: Path, out: Path, *more: str) -> list[str]:
    start = [sys.executable, "-m", "artaffect.cli.main", "predict-collection", str(run)]
    return [*start, "--images", str(source), "--out", str(out), *more]


def test_lost_and_foreign_rows_are_detected(tiny_run: Path, pictures: Path, tmp_path: Path) -> None:
    plan = Plan.for_output(tmp_path / "out.parquet")
    items = read_items(pictures)
    plan.begin(items, {"cultures": ["x"], "labels": EMOTIONS}, 4, overwrite=False)
    assert plan.shards() == [4, 4] and plan.unfinished() == [0, 1]
    predict_collection(tiny_run, pictures, tmp_path / "whole.parquet", ["x"], workers=1)
    schema = prediction_schema(EMOTIONS)
    # no sets were asked for, and the directions of images are beside the answers
    written = [name for name in schema.names if name not in ("prediction_set", "image_direction")]
    whole = pq.read_table(tmp_path / "whole.parquet", columns=written)
    skipped = [("broken.jpg", "", "no picture")]

    def merge(first: pa.Table, second: pa.Table) -> int:
        for number, part in enumerate((first, second)):
            names = plan.items(number)["id"].to_pylist()
            left_out = [item for item in skipped if item[0] in names]
            plan.save(number, part, left_out, plan.inputs_digest(number))
        answers = AnswerTable("long", ("x",), EMOTIONS, (), {})
        return plan.merge(tmp_path / "out.parquet", answers, {})

    parts = pa.Table.from_pylist(whole.to_pylist(), schema)
    of = [
        parts.filter(pa.compute.is_in(parts["id"], plan.items(i)["id"].combine_chunks()))
        for i in (0, 1)
    ]
    for first, second in (
        (of[0].slice(1), of[1]),
        (pa.concat_tables([of[0], of[0]]), of[1]),
        (pa.concat_tables([of[0], of[1]]), of[1]),
    ):
        with pytest.raises(IncompleteRunError, match="missing, repeated or unknown"):
            merge(first, second)
        assert not (tmp_path / "out.parquet").exists()
    assert merge(*of) == 1
    merged = pq.read_table(tmp_path / "out.parquet", columns=whole.column_names)
    assert merged.sort_by("id").equals(whole.sort_by("id"))


def test_other_unfinished_work_is_replaced_with_overwrite(
    tiny_run: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    Plan.for_output(out).begin(read_items(pictures).slice(2), {"cultures": []}, 4, overwrite=False)
    with pytest.raises(OutputExistsError, match="add --overwrite to start again"):
        predict_collection(tiny_run, pictures, out, workers=1)
    summary = predict_collection(
        str(tiny_run), str(pictures), str(out), "english", workers=1, overwrite=True
    )
    assert summary.answered == 7 and summary.cultures == ("english",)
    with pytest.raises(InputError, match="cultures is empty"):
        predict_collection(tiny_run, pictures, out, [])


@pytest.mark.slow
def test_ray_predicts_the_same(tiny_run: Path, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    local, ray = tmp_path / "local.parquet", tmp_path / "ray.parquet"
    predict_collection(tiny_run, pictures, local, workers=1)
    environment = os.environ | {"RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    environment.pop("RAY_ADDRESS", None)
    subprocess.run(
        command(tiny_run, pictures, ray, "--engine", "ray", "--workers", "2"),
        check=True,
        capture_output=True,
        timeout=180,
        env=environment,
    )
    local_rows, ray_rows = rows_of(local), rows_of(ray)
    assert set(local_rows) == set(ray_rows)
    for key, row in local_rows.items():
        values = [[r[str(e)] for e in EMOTIONS] for r in (row, ray_rows[key])]
        np.testing.assert_allclose(*values, atol=1e-5)  # type: ignore[arg-type]
    assert skipped_path(local).read_text() == skipped_path(ray).read_text()
