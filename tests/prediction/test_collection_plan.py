"""A plan's parts are never mixed with those of other work, whatever stops the process."""

import csv
import logging
import os
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artaffect.errors import IncompleteRunError, OutputError, OutputExistsError
from artaffect.outputs import output_lock
from artaffect.prediction.collection.answers import AnswerTable, prediction_schema
from artaffect.prediction.collection.plan import Plan, skipped_path
from artaffect.prediction.collection.records import ITEMS
from artaffect.prediction.collection.run import predict_collection
from tests.killing import killed_at

SHARD = 2
PREDICTIONS = prediction_schema(["awe", "fear"])
ANSWERS = AnswerTable("long", ("x",), ("awe", "fear"), (), {})


def items(folder: Path, count: int = 5) -> pa.Table:
    """Items of which each has an image file."""
    rows = []
    for number in range(count):
        image = folder / f"{number}.jpg"
        if not image.exists():
            image.write_bytes(b"image")
        row = {"id": f"i{number}", "image": os.fsencode(image), "caption": None, "language": None}
        rows.append(row)
    return pa.Table.from_pylist(rows, ITEMS)


def answers(names: list[str], model: str) -> pa.Table:
    """What a model answers; the last item of a collection has no answer."""
    numbers = {field.name: 0.0 for field in PREDICTIONS if pa.types.is_float32(field.type)}
    numbers |= {"awe": 1.0, "probability": 1.0}
    rows = [
        {"id": name, "culture": "x", "top": "awe", "note": model, **numbers}
        for name in names
        if name != "i4"
    ]
    return pa.Table.from_pylist(rows, PREDICTIONS)


def predict(
    folder: Path, model: str, overwrite: bool = False, stop_after: int | None = None
) -> None:
    """What a job does, with a model that only notes its name."""
    out = folder / "out.parquet"
    plan = Plan.for_output(out)
    with output_lock(out):
        if out.exists() and not overwrite and not plan.is_merged(out):
            raise OutputExistsError("exists")
        plan.begin(items(folder), {"model": model, "labels": ANSWERS.labels}, SHARD, overwrite)
        for shard in plan.unfinished()[:stop_after]:
            names = plan.items(shard)["id"].to_pylist()
            skipped = [("i4", "", f"{model} cannot")] if "i4" in names else []
            plan.save(shard, answers(names, model), skipped, plan.inputs_digest(shard))
        if stop_after is None:
            plan.merge(out, ANSWERS, {"model": model})


def check_answers(folder: Path, model: str) -> None:
    """All answers are of one model, and the list of skipped items is of the same."""
    table = pq.read_table(folder / "out.parquet")
    assert table["id"].to_pylist() == ["i0", "i1", "i2", "i3"]
    assert set(table["note"].to_pylist()) == {model}
    with skipped_path(folder / "out.parquet").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [["i4", "", f"{model} cannot"]]


@pytest.mark.slow
def test_a_kill_at_any_point_leaves_a_state_that_the_same_command_finishes(tmp_path: Path) -> None:
    event = 0
    while True:
        event += 1
        folder = tmp_path / str(event)
        folder.mkdir()
        predict(folder, "old")
        predict(folder, "unfinished", overwrite=True, stop_after=1)
        was_killed = killed_at(event, partial(predict, folder, "new", overwrite=True))
        notes = set(pq.read_table(folder / "out.parquet")["note"].to_pylist())
        assert notes in ({"old"}, {"new"}), "answers are never mixed"
        if not was_killed:
            break
        predict(folder, "new", overwrite=True)
        check_answers(folder, "new")
        left = {p.name for p in folder.iterdir() if p.suffix not in (".jpg", ".partial")}
        assert left <= {"out.parquet", "out.parquet.items.parquet", "out.parquet.skipped.csv"}
    check_answers(folder, "new")
    assert event > 10


def test_a_first_run_is_finished_by_the_same_command(tmp_path: Path) -> None:
    event = 0
    while True:
        event += 1
        folder = tmp_path / str(event)
        folder.mkdir()
        was_killed = killed_at(event, partial(predict, folder, "new"))
        out = folder / "out.parquet"
        if not out.exists() or Plan.for_output(out).folder.exists():
            predict(folder, "new")
        check_answers(folder, "new")
        if not was_killed:
            break
    assert event > 6


def test_a_part_of_other_work_is_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    predict(foreign, "old", stop_after=2)
    part = "part-000000.parquet"
    stolen = (Plan.for_output(foreign / "out.parquet").folder / part).read_bytes()
    predict(tmp_path, "new", stop_after=2)
    plan = Plan.for_output(tmp_path / "out.parquet")
    (plan.folder / part).write_bytes(stolen)
    with caplog.at_level(logging.WARNING):
        predict(tmp_path, "new")
    assert f"{part} belongs to other inputs: it is set aside" in caplog.text
    check_answers(tmp_path, "new")


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "text"])
def test_a_damaged_part_is_predicted_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    predict(tmp_path, "new", stop_after=2)
    plan = Plan.for_output(tmp_path / "out.parquet")
    part = plan.folder / "part-000001.parquet"
    data = bytearray(part.read_bytes())
    position = data.index(b"i3") if damage == "flipped" else 0  # still a sound Parquet file
    data[position + 1] ^= 1
    part.write_bytes({"cut": bytes(data[:-9]), "empty": b"", "text": b"x"}.get(damage, bytes(data)))
    with caplog.at_level(logging.WARNING):
        assert plan.unfinished() == [1, 2]
    assert "part-000001.parquet is damaged: it is set aside" in caplog.text
    predict(tmp_path, "new")
    check_answers(tmp_path, "new")


def test_an_image_that_changed_since_is_predicted_again(tmp_path: Path) -> None:
    predict(tmp_path, "new", stop_after=2)
    (tmp_path / "3.jpg").write_bytes(b"other image")
    plan = Plan.for_output(tmp_path / "out.parquet")
    assert plan.unfinished() == [1, 2]
    (tmp_path / "0.jpg").unlink()
    assert plan.unfinished() == [0, 1, 2]


def test_only_one_job_writes_an_output(tiny_run: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out.parquet"
    images.mkdir()
    items(images)
    predict(images, "other")

    def second() -> None:
        try:
            predict_collection(tiny_run, images, out)
        except OutputError as error:
            (tmp_path / "error").write_text(str(error))

    with output_lock(out):
        killed_at(0, second)
    assert "out.parquet is being written by another process" in (tmp_path / "error").read_text()


def test_what_is_no_work_is_not_deleted(tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    other = Plan.for_output(out).folder
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    items(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(OutputExistsError, match=r"out\.parquet\.parts, .* is something else"):
            predict_collection(tiny_run, tmp_path, out, overwrite=overwrite)
    assert (other / "thesis.tex").read_text() == "years of work"


def test_the_list_of_skipped_items_is_no_input_of_its_own_run(
    tiny_run: Path, tmp_path: Path
) -> None:
    skipped = skipped_path(tmp_path / "out.parquet")
    skipped.write_text("id,image,reason\ni4,4.jpg,no such file\n")
    with pytest.raises(OutputError, match=r"skipped\.csv is both read and written"):
        predict_collection(tiny_run, skipped, tmp_path / "out.parquet")


def test_a_missing_part_is_not_answered_without_it(tmp_path: Path) -> None:
    predict(tmp_path, "new", stop_after=3)
    plan = Plan.for_output(tmp_path / "out.parquet")
    part = answers(["i2"], "new")
    plan.save(1, part, [], plan.inputs_digest(1))
    with pytest.raises(IncompleteRunError, match="missing, repeated or unknown"):
        predict(tmp_path, "new")
    assert not (tmp_path / "out.parquet").exists()
