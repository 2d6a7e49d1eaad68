"""Predictions that were made elsewhere: read with errors that name row and column, scored beside ours."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import artaffect as aa
from artaffect.config import CaptionSourceConfig, DistillationConfig, SeparateConfig, TrainConfig
from artaffect.data.annotation_schema import SCHEMA
from artaffect.data.annotations import AnnotationTable
from artaffect.data.outside import OutsidePredictions, parse_outside, read_outside
from artaffect.errors import ConfigError, InputError, TableError, UnknownNameError
from artaffect.labels import ARTEMIS, LabelSet
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import read_config
from artaffect.prediction.evaluation import evaluate_run
from artaffect.prediction.predictor import PredictionInput
from artaffect.training.run import train_run
from tests.conftest import Command
from tests.tables import Row, write_text

TWO = LabelSet(("calm", "dread"))


def read(folder: Path, rows: list[Row], labels: LabelSet = TWO) -> OutsidePredictions:
    return read_outside({"clip": write_text(folder / "clip.csv", rows)}, labels)[0]


def row(artwork: str, calm: object, dread: object, **more: object) -> Row:
    return {"artwork_id": artwork, **more, "Calm": calm, "dread": dread}


def table_of(names: list[str], cultures: list[str]) -> AnnotationTable:
    rows = [
        {
            "annotation_id": str(i), "artwork_id": name, "art_style": "x", "caption": "y",
            "emotion": "calm", "culture": culture, "language": "z", "split": "test",
        }
        for i, (name, culture) in enumerate(zip(names, cultures, strict=True))
    ]  # fmt: skip
    return AnnotationTable(pa.Table.from_pylist(rows, SCHEMA), labels=TWO)


def test_rows_are_matched_by_artwork_and_culture(tmp_path: Path) -> None:
    source = read(
        tmp_path,
        [
            row("s/a", 0.2, 0.8, culture="Chile"),
            row("s/a", 0.6, 0.4, culture=""),
            row("b", 1, 0, culture=""),
        ],
    )
    names = ["s/a", "s/a", "s/b", "s/c", "s/a"]
    matched = source.find(table_of(names, ["chile", "peru", "peru", "peru", "chile"]))
    np.testing.assert_allclose(matched[:, 0], [0.2, 0.6, 1, np.nan, 0.2])


def test_a_name_without_its_style_must_be_unambiguous(tmp_path: Path) -> None:
    source = read(tmp_path, [row("a", 0.5, 0.5)])
    assert np.isnan(source.find(table_of(["s/a", "t/a"], ["x", "x"]))).all()
    assert not np.isnan(source.find(table_of(["s/a", "t/b"], ["x", "x"])))[0].any()


def test_rows_are_matched_by_annotation(tmp_path: Path) -> None:
    rows: list[Row] = [{"annotation_id": "1", "artwork_id": "other", "calm": "0.3", "dread": "0.7"}]
    matched = read(tmp_path, rows).find(table_of(["a", "b"], ["x", "x"]))
    np.testing.assert_allclose(matched[:, 1], [np.nan, 0.7])


def test_rounded_probabilities_are_normalised(tmp_path: Path) -> None:
    source = read(tmp_path, [row("a", "0.667", "0.332")])
    np.testing.assert_allclose(source.probabilities.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a", 0.5, 0.5), row("b", 0.5, 0.4)], "row 3: its probabilities sum to 0.9, not 1"),
        ([row("a", 0.5, "x")], "row 2, column dread: expected a probability from 0 to 1, got 'x'"),
        ([row("a", -0.5, 1.5)], "row 2, column calm: expected a probability"),
        ([row("a", 0.5, 0.5, joy=0)], "column 2: unknown label 'joy'"),
        ([{"artwork_id": "a", "calm": 1}], "has no column for dread"),
        ([row("a", 0.5, 0.5), row("a", 0.4, 0.6)], "row 3: artwork_id a has a second prediction"),
        ([row("", 0.5, 0.5)], "row 2: artwork_id is blank"),
        ([{"name": "a", "calm": 0.5, "dread": 0.5}], "no column annotation_id or artwork_id"),
        ([row("a", 0.5, 0.5, CALM=0.5)], "a second column for calm"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_row_and_column(
    tmp_path: Path, rows: list[Row], message: str
) -> None:
    with pytest.raises(TableError, match=message):
        read(tmp_path, rows)


def test_names_of_sources_are_checked() -> None:
    assert parse_outside(["clip=a=b.csv", "vlm=c"]) == {"clip": "a=b.csv", "vlm": "c"}
    with pytest.raises(ConfigError, match="expected NAME=FILE"):
        parse_outside(["clip"])
    with pytest.raises(ConfigError, match="--with clip is given twice"):
        parse_outside(["clip=a", "clip=b"])
    for name in ("both", "Clip", "a b", ""):
        with pytest.raises(ConfigError, match="cannot be the name of an outside source"):
            read_outside({name: "x.csv"}, TWO)


def oracle(table: AnnotationTable, keep: slice, path: Path) -> Path:
    """A source that knows nearly every annotation: by far better than any model."""
    ids, labels = table.strings("annotation_id")[keep], table.strings("emotion")[keep]
    columns: dict[str, Any] = {"annotation_id": ids}
    for name in ARTEMIS:
        columns[name] = [0.92 if label == name else 0.01 for label in labels]
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.slow
def test_outside_predictions_are_scored_beside_a_model(
    artaffect: Command, tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    table = tmp_path / "table.parquet"
    sample_table.save(table)
    test = sample_table.of_split("test")
    file = oracle(test, slice(4, None), tmp_path / "clip.parquet")
    code, out, err = artaffect(
        "evaluate", tiny_run, "--data", table, "--with", f"clip={file}", "--json"
    )
    assert code == 0, err
    result = json.loads(out)
    assert result["protocol"]["rows_without_outside"] == {"clip": 4}
    assert result["models"]["clip"]["overall"]["support"] <= len(test) - 4
    assert result["models"]["clip"]["overall"]["metrics"]["accuracy"]["value"] == 1
    assert ["both", "clip"] in [[c["first"], c["second"]] for c in result["comparisons"]]
    report = aa.report(tiny_run, table, tmp_path / "r", explanations=0, outside={"clip": file})
    assert (
        "4 rows of the split are left out because clip has no prediction for them." in report.notes
    )
    assert report.runs[0].evaluation["clip"].accuracy.value == 1
    assert "clip" in report.runs[0].gaps


def test_a_file_of_other_artworks_is_refused(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    rows: list[Row] = [{"artwork_id": "unknown", **{name: "0" for name in ARTEMIS}, "awe": "1"}]
    file = write_text(tmp_path / "clip.csv", rows)
    with pytest.raises(
        TableError, match="no row of .* has a prediction of clip .*artwork_id must be"
    ):
        aa.evaluate(tiny_run, sample_table, outside={"clip": file})


@pytest.fixture(scope="module")
def outside_run(
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A run that learned to weigh a good outside source, which lacks every fifth artwork."""
    folder = tmp_path_factory.mktemp("outside")
    _, codes = sample_table.codes("artwork_id")
    known = sample_table.select(codes % 5 > 0)
    file = oracle(known, slice(None), folder / "clip.parquet")
    train_run(sample_table, tiny_config, folder / "run", outside={"clip": file})
    return folder / "run"


def test_an_outside_source_gets_a_weight_in_the_combination(
    outside_run: Path, tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(outside_run)
    assert model.outside_names == ("clip",) and model.outside is not None
    assert model.outside.sources == ("image", "caption", "clip")
    assert float(model.outside.weight.detach()[:, -1].min()) > 0.3, "it is by far the best source"
    file = outside_run.parent / "clip.parquet"
    result = aa.evaluate(outside_run, sample_table, outside={"clip": file})
    assert result["both_with_clip"].log_loss.value < result["both"].log_loss.value - 0.3
    difference = result.comparison("both_with_clip", "both").by_group.overall["log_loss"]
    assert difference.high < 0
    assert set(result.extra["outside"]["weights"]["all" if len(model.outside.weight) == 1 else "any"]) == {
        "image", "caption", "clip",
    }  # fmt: skip
    config = read_config(outside_run)
    assert config["data"]["outside"]["clip"]["sha256"] and config["outside"]["form"] == "logits"


def test_without_its_outside_source_the_model_is_that_of_an_ordinary_training(
    outside_run: Path, tiny_run: Path, sample_table: AnnotationTable
) -> None:
    with_source, without = (
        evaluate_run(run, sample_table, "test") for run in (outside_run, tiny_run)
    )
    assert list(with_source.models) == list(without.models)
    for name in without.models:
        assert with_source[name].log_loss.value == pytest.approx(
            without[name].log_loss.value, abs=1e-6
        )


def test_a_row_without_the_source_is_predicted_by_the_model_alone(outside_run: Path) -> None:
    model = load_model(outside_run)
    assert model.image is not None and model.caption is not None
    image, caption = (s.head.scaler.mean.repeat(4, 1) for s in (model.image, model.caption))
    present, culture = (
        torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1]]).bool(),
        torch.tensor([0, 1, 2, 3]),
    )
    outside = torch.full((4, 1, 9), 1 / 9, dtype=torch.float64)
    outside[0] = torch.nan
    alone, _ = model.answer(image, caption, present, culture)
    both, shares = model.answer_with_outside(image, caption, present, culture, outside)
    torch.testing.assert_close(both[0], alone[0])
    assert not torch.allclose(both[3], alone[3])
    torch.testing.assert_close(both.sum(1), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(shares.sum(1), torch.ones(4, dtype=shares.dtype))
    assert shares[1, 1] == 0 and shares[2, 0] == 0


def test_outside_sources_of_a_training_are_checked(
    sample_table: AnnotationTable, encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    rows: list[Row] = [{"artwork_id": "unknown", **{name: "0" for name in ARTEMIS}, "awe": "1"}]
    file = write_text(tmp_path / "clip.csv", rows)
    caption = CaptionSourceConfig(encoder=str(encoder_folders["bert"]))
    frozen = SeparateConfig(caption=caption, folds=2)
    with pytest.raises(TableError, match="split 'train' has no artwork with a prediction of clip"):
        train_run(sample_table, frozen, tmp_path / "a", outside={"clip": file})
    tuned = SeparateConfig(caption=replace(caption, training="fine-tuned"))
    with pytest.raises(ConfigError, match="held_out = 0 leaves no unseen artworks .* set held_out"):
        train_run(sample_table, tuned, tmp_path / "b", outside={"clip": file})
    tuned_caption = replace(caption, training="fine-tuned")
    distillation = DistillationConfig(teacher=tuned_caption, student=tuned_caption)
    with pytest.raises(ConfigError, match="outside sources need a recipe of the kind 'separate'"):
        train_run(sample_table, distillation, tmp_path / "c", outside={"clip": file})


def test_a_caption_model_alone_can_have_an_outside_source(
    sample_table: AnnotationTable, encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    file = oracle(sample_table, slice(None), tmp_path / "clip.parquet")
    settings = TrainConfig(epochs=1, batch_size=16)
    caption = CaptionSourceConfig(
        encoder=str(encoder_folders["bert"]), training="fine-tuned", train=settings
    )
    config = SeparateConfig(caption=caption, held_out=0.3)
    result = train_run(sample_table, config, tmp_path / "run", outside={"clip": file})
    assert list(result.models) == ["caption", "caption_with_clip", "clip"]
    assert result["caption_with_clip"].accuracy.value > result["caption"].accuracy.value


def test_predict_takes_the_answer_of_an_outside_source(
    artaffect: Command, outside_run: Path, tmp_path: Path
) -> None:
    answer: Row = {"artwork_id": "new", **{name: "0.01" for name in ARTEMIS}, "fear": "0.92"}
    file = write_text(tmp_path / "answer.csv", [answer])
    base = ("predict", outside_run, "--caption", "a calm sea", "--json")
    code, out, err = artaffect(*base, "--with", f"clip={file}")
    assert code == 0, err
    first = json.loads(out)["predictions"][0]
    assert first["top"] == "fear" and first["modality_shares"]["clip"] > 0.5
    code, out, _ = artaffect(*base)
    without = json.loads(out)["predictions"][0]
    assert set(without["modality_shares"]) == {"image", "caption"}
    assert "predicted without clip, which the model can also use" in without["note"]
    predictor = aa.load_predictor(outside_run)
    values = {name: 0.92 if name == "fear" else 0.01 for name in ARTEMIS}
    direct = predictor.predict(caption="a calm sea", outside={"clip": values}).by_culture[0]
    assert direct.probabilities["fear"] == pytest.approx(first["probabilities"]["fear"], abs=1e-6)
    by_batch = predictor.predict_batch(
        [
            PredictionInput(caption="a calm sea"),
            PredictionInput(caption="a calm sea", outside={"clip": values}),
        ]
    )
    assert by_batch[0].by_culture[0].probabilities == pytest.approx(
        without["probabilities"], abs=1e-5
    )
    assert by_batch[1].by_culture[0].probabilities == pytest.approx(
        first["probabilities"], abs=1e-5
    )


def test_answers_of_outside_sources_are_checked(
    outside_run: Path, tiny_run: Path, tmp_path: Path
) -> None:
    values = {name: 1 / 9 for name in ARTEMIS}
    predictor = aa.load_predictor(outside_run)
    with pytest.raises(UnknownNameError, match="unknown outside source 'vlm'. Known: clip"):
        predictor.predict(caption="x", outside={"vlm": values})
    with pytest.raises(InputError, match=r"outside\['clip'\]: expected a probability for each of"):
        predictor.predict(caption="x", outside={"clip": values | {"joy": 0.0}})
    with pytest.raises(InputError, match=r"outside\['clip'\]: expected a probability for each of"):
        predictor.predict(caption="x", outside={"clip": {"awe": 1.0}})
    with pytest.raises(InputError, match="no prediction sets with outside sources"):
        predictor.predict(caption="x", outside={"clip": values}, sets=0.9)
    with pytest.raises(InputError, match="this model has no outside sources"):
        aa.load_predictor(tiny_run).predict(caption="x", outside={"clip": values})
    rows: list[Row] = [
        {"artwork_id": name, **{label: "0" for label in ARTEMIS}, "awe": "1"} for name in "ab"
    ]
    file = write_text(tmp_path / "two.csv", rows)
    with pytest.raises(TableError, match="expected the predictions for one artwork, and it has 2"):
        predictor.predict(caption="x", outside={"clip": file})
