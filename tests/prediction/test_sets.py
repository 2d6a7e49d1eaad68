"""Prediction sets: kept with the model, given by every predictor, scored by evaluation and reports."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from artaffect.config import SeparateConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.features import extract_arrays
from artaffect.metrics.conformal import ConformalScores, label_scores
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import CONFIG, read_config, write_checksums
from artaffect.prediction.collection.run import predict_collection
from artaffect.prediction.evaluation import evaluate_run, predict_proba
from artaffect.prediction.export import export_onnx
from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.prediction.sets import PredictionSet, make_set
from artaffect.reports.culture import ReportOptions, culture_report
from artaffect.reports.evaluation import save_report
from artaffect.reports.findings import findings
from artaffect.reports.tables import evaluation_tables
from artaffect.training.calibration import conformal_scores
from artaffect.training.data import TrainingData
from artaffect.training.separate import train_separate
from tests.conftest import Command

KINDS = {"image": ("image",), "caption": ("caption",), "both": ("image", "caption")}


@pytest.fixture
def old_run(tiny_run: Path, tmp_path: Path) -> Path:
    """The folder as a version without prediction sets wrote it."""
    folder = Path(shutil.copytree(tiny_run, tmp_path / "old"))
    config = json.loads((folder / CONFIG).read_text("utf-8"))
    del config["conformal"]
    (folder / CONFIG).write_text(json.dumps(config), "utf-8")
    write_checksums(folder)
    return folder


def test_a_set_reads_as_people_write() -> None:
    assert str(PredictionSet(0.9, ("awe",))) == "awe"
    assert str(PredictionSet(0.9, ("contentment", "awe"))) == "contentment or awe"
    assert str(PredictionSet(0.9, ("fear", "awe", "anger"))) == "fear, awe or anger"


def test_each_kind_of_input_has_the_scores_of_its_own_validation_rows(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(tiny_run)
    assert model.conformal is not None and list(model.conformal.inputs) == list(KINDS)
    rows = extract_arrays(sample_table.of_split("val"), *model.encoders, model.cultures)
    labels = rows.emotion.numpy()
    for kind, modalities in KINDS.items():
        kept = model.conformal.inputs[kind]  # type: ignore[index]
        for scores, culture in ((kept.all_cultures, None), (kept.any_culture, 0)):
            probabilities = predict_proba(model, rows, modalities, culture)
            expected = np.sort(label_scores(probabilities)[np.arange(len(labels)), labels])
            assert scores.rows == len(rows)
            np.testing.assert_allclose(scores.values, expected, atol=2e-6)
        assert set(kept.by_culture) == set(model.cultures)
        assert sum(scores.rows for scores in kept.by_culture.values()) == len(rows)


def test_every_predictor_gives_the_set_that_the_scores_say(
    tiny_run: Path, picture: Path, tmp_path: Path
) -> None:
    export_onnx(tiny_run, tmp_path / "onnx")
    torch_predictor, onnx_predictor = load_predictor(tiny_run), load_predictor(tmp_path / "onnx")
    conformal = ConformalScores.from_json(read_config(tiny_run)["conformal"])
    inputs = {"image": (picture, None), "caption": (None, "waves"), "both": (picture, "waves")}
    for kind, pair in inputs.items():
        for level in (0.3, 0.6, 0.9):
            first, second = (
                p.predict(*pair, None, ["arabic", "atlantic"], sets=level)
                for p in (torch_predictor, onnx_predictor)
            )
            for item, other in zip(first, second, strict=True):
                threshold = conformal.threshold(kind, item.culture, level).value
                chosen = item.prediction_set
                assert chosen is not None and other.prediction_set == chosen
                ranked = sorted(item.probabilities.items(), key=lambda pair: -pair[1])
                wanted = [str(e) for e, p in ranked if e == item.top or 1 - p <= threshold]
                assert list(chosen.labels) == wanted
                assert item.to_json()["prediction_set"] == {"level": level, "labels": wanted}
    plain = torch_predictor.predict(picture)
    assert all(item.prediction_set is None for item in plain)
    assert "prediction_set" not in plain["arabic"].to_json()


def test_a_set_says_what_it_rests_on(tiny_run: Path) -> None:
    predictor = load_predictor(tiny_run)
    known, unknown = predictor.predict(caption="waves", cultures=["arabic", "new"], sets=0.9)
    rows = predictor.description.conformal.threshold("caption", "arabic", 0.9).own_rows  # type: ignore[union-attr]
    assert known.note is not None and f"'arabic' are too few ({rows} of 100)" in known.note
    assert "rests on the validation rows of all cultures together" in known.note
    assert unknown.note is not None and "holds for 'new' is not known" in unknown.note
    (beyond,) = predictor.predict(caption="waves", cultures=["arabic"], sets=0.999)
    assert beyond.note is not None and "too few validation rows for a set of 99.9 %" in beyond.note
    assert beyond.prediction_set is not None
    assert len(beyond.prediction_set.labels) == len(beyond.probabilities)
    plain = predictor.predict(caption="waves", cultures=["arabic"])["arabic"]
    assert "validation rows" not in (plain.note or "")
    shown = predictor.predict(caption="waves", sets=0.9)
    assert "90 %: " in repr(shown["arabic"]) and "set of 90 %" in shown._repr_html_()
    assert "set of" not in predictor.predict(caption="waves")._repr_html_()


@pytest.mark.parametrize("level", [0, 1, 90, -0.1, float("nan"), True, "0.9"])
def test_a_level_that_is_none_is_refused(level: float) -> None:
    with pytest.raises(InputError, match=r"sets must be a level between 0 and 1, for example 0\.9"):
        PredictionInput(caption="waves", sets=level)


def test_an_older_folder_predicts_and_says_that_it_makes_no_sets(
    old_run: Path,
    tiny_run: Path,
    sample_table: AnnotationTable,
    picture: Path,
    tmp_path: Path,
    artaffect: Command,
) -> None:
    predictor = load_predictor(old_run)
    assert predictor.predict(picture, "waves")["arabic"].probabilities
    reason = "holds no scores for prediction sets, because an older version"
    with pytest.raises(InputError, match=reason):
        predictor.predict(picture, "waves", sets=0.9)
    with pytest.raises(InputError, match=reason):
        predict_collection(old_run, picture.parent, tmp_path / "out.parquet", sets=0.9)
    with pytest.raises(InputError, match=reason):
        evaluate_run(old_run, sample_table, "test", sets=0.8)
    assert evaluate_run(old_run, sample_table, "test").prediction_sets == {}
    code, _, err = artaffect("predict", old_run, "--caption", "waves", "--sets", 0.9)
    assert code == 1 and reason in err and "Traceback" not in err
    code, _, err = artaffect("predict", tiny_run, "--caption", "waves", "--sets", 90)
    assert code == 1 and "sets must be a level between 0 and 1" in err


def test_the_command_prints_the_set_of_each_culture(tiny_run: Path, artaffect: Command) -> None:
    arguments = ("predict", tiny_run, "--caption", "waves", "--sets", "0.6", "--culture", "arabic")
    chosen = load_predictor(tiny_run).predict(caption="waves", sets=0.6)["arabic"].prediction_set
    code, out, _ = artaffect(*arguments)
    assert code == 0 and f"arabic, 60 %: {chosen}" in out
    code, out, _ = artaffect(*arguments, "--json")
    assert chosen is not None
    assert json.loads(out)["predictions"][0]["prediction_set"] == chosen.to_json()


def test_the_answers_for_a_collection_have_sets_on_request(
    tiny_run: Path, picture: Path, tmp_path: Path, artaffect: Command
) -> None:
    out = tmp_path / "answers.parquet"
    arguments = ("predict-collection", tiny_run, picture.parent, "--workers", 1, "--out", out)
    assert artaffect(*arguments, "--sets", "0.6")[0] == 0
    expected = load_predictor(tiny_run).predict(picture, sets=0.6)
    rows = pq.read_table(out).to_pylist()
    for row, item in zip(rows, expected, strict=True):
        assert item.prediction_set is not None
        assert row["prediction_set"] == list(item.prediction_set.labels)
        assert (row["culture"], row["note"]) == (item.culture, item.note)
        assert row["set_level"] == "60 %"


def test_evaluation_scores_sets_of_rows_that_they_were_not_fitted_on(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path, artaffect: Command
) -> None:
    result = evaluate_run(tiny_run, sample_table, "test", sets=0.6)
    assert list(result.prediction_sets) == list(KINDS)
    assert result.protocol["sets"] == {"level": 0.6, "score": "lac"}
    model = load_model(tiny_run)
    rows = extract_arrays(sample_table.of_split("test"), *model.encoders, model.cultures)
    scores = result.prediction_sets["caption"]
    assert set(scores) == set(rows.culture_names.tolist())
    assert scores.overall.support == len(rows) and scores.overall.basis is None
    frame = result.to_frame()
    sizes = frame[(frame.metric == "set_size") & (frame.culture == "overall")]
    assert set(sizes.model) == set(KINDS) and (sizes.value >= 1).all()
    titles = [table.title for table in evaluation_tables(result)]
    assert "Prediction sets of 60 %: both" in titles
    again = EvaluationResult.from_json(json.loads(json.dumps(result.to_json())))
    assert again.prediction_sets["both"].overall.size == result.prediction_sets["both"].overall.size
    save_report(result, tmp_path / "report.html", "title")
    assert "Prediction sets of 60 %" in (tmp_path / "report.html").read_text("utf-8")
    on_validation = evaluate_run(tiny_run, sample_table, "val")
    assert on_validation.prediction_sets == {}
    table = tmp_path / "table.parquet"
    sample_table.save(table)
    code, out, _ = artaffect("evaluate", tiny_run, "--data", table, "--split", "val")
    assert code == 0 and "so they are not scored" in " ".join(out.split())
    code, out, _ = artaffect("evaluate", tiny_run, "--data", table, "--sets", "0.8")
    assert code == 0 and "Prediction sets of 80 %: both" in out


def test_the_scored_sets_are_those_that_are_predicted(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    part, model = sample_table.of_split("test"), load_model(tiny_run)
    result = evaluate_run(tiny_run, sample_table, "test", sets=0.6)
    predictor, hits, sizes = load_predictor(tiny_run), [], []
    rows = extract_arrays(part, *model.encoders, model.cultures)
    names, conformal = list(model.labels), model.conformal
    assert conformal is not None
    for row, values in zip(part, predict_proba(model, rows, ("caption",)), strict=True):
        scored = make_set(
            conformal, "caption", row.culture, 0.6, dict(zip(names, values, strict=True))
        )
        hits.append(str(row.emotion) in scored.labels)
        sizes.append(len(scored.labels))
        item = predictor.predict(caption=row.caption, cultures=[row.culture], sets=0.6)[row.culture]
        assert item.prediction_set is not None
        # between a batch and a single caption, a label at the threshold may change sides
        threshold = conformal.threshold("caption", row.culture, 0.6).value
        for name in set(scored.labels) ^ set(item.prediction_set.labels):
            assert 1 - values[names.index(name)] == pytest.approx(threshold, abs=1e-4)
    overall = result.prediction_sets["caption"].overall
    assert overall.coverage.value == pytest.approx(np.mean(hits))
    assert overall.size.value == pytest.approx(np.mean(sizes))


def test_the_report_says_how_often_sets_hold(tiny_run: Path, sample_table: AnnotationTable) -> None:
    report = culture_report([tiny_run], sample_table, "sample", ReportOptions(n_resamples=50))
    assert report.runs[0].evaluation.protocol["sets"]["level"] == 0.9
    assert report.runs[0].evaluation.prediction_sets["both"].overall.support == report.rows
    small = " ".join(findings(report))
    assert "Prediction sets" not in small, "too few paintings for a sentence"
    large = culture_report(
        [tiny_run], sample_table, "sample", ReportOptions("train", n_resamples=50)
    )
    assert re.search(
        r"Prediction sets of 90 % from both hold the emotion of 0\.\d+", " ".join(findings(large))
    )
    fitted = culture_report(
        [tiny_run], sample_table, "sample", ReportOptions("val", n_resamples=50)
    )
    assert fitted.runs[0].evaluation.prediction_sets == {}
    assert any("not scored on the rows they were fitted on" in note for note in fitted.notes)


def test_a_model_that_is_blind_to_culture_gives_all_cultures_one_set(
    sample_table: AnnotationTable, tiny_config: SeparateConfig
) -> None:
    model = train_separate(
        TrainingData.from_table(sample_table), replace(tiny_config, culture="off")
    ).model
    assert model.blind and model.conformal is not None
    rows = extract_arrays(sample_table.of_split("train"), *model.encoders, model.cultures)
    for conformal in (model.conformal, conformal_scores(model, rows, "aps")):
        for scores in conformal.inputs.values():
            assert scores.by_culture == {}
            assert scores.threshold("arabic", 0.9) == scores.threshold("english", 0.9)
