"""The paper's comparison, end to end, with the small encoders of ``--quick``."""

import json
from pathlib import Path

import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError
from artaffect.models.checkpoint import load_model
from artaffect.training.reproduction import IMAGE_MODELS, Reproduction, reproduce


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduction") / "out"


@pytest.fixture(scope="module")
def found(sample_table: AnnotationTable, out: Path) -> Reproduction:
    return reproduce(sample_table, out, quick=True)


def test_every_row_of_the_papers_table_comes_from_a_run(found: Reproduction, out: Path) -> None:
    assert list(found.hamming) == ["ResNet50", "VGG", "ViT"]
    for recipe, (name, train, val) in IMAGE_MODELS.items():
        scores = found.hamming[name]
        assert (scores["paper, train"], scores["paper, val"]) == (train, val)
        metrics = json.loads((out / "runs" / recipe / "metrics.json").read_text("utf-8"))
        assert scores["val"] == metrics["extra"]["hamming"]["image"]
        for split in ("train", "val"):
            bits = scores[split] * 9 * scores[f"paintings, {split}"]
            assert bits == pytest.approx(round(bits))  # whole bits, each painting once
            assert 0 < scores[f"constant baseline, {split}"] < 1


def test_all_models_are_scored_on_the_same_captions(found: Reproduction) -> None:
    result = found.evaluation
    assert list(result.models)[:6] == [
        "baseline",
        "paper: ResNet50",
        "paper: VGG",
        "paper: ViT",
        "paper: text",
        "paper: both",
    ]
    assert {"compact: image", "compact: caption", "compact: both"} < set(result.models)
    for groups in result.models.values():
        assert set(groups) == {"overall", "arabic", "chinese", "english"}
        assert groups["overall"].support == result.protocol["rows"]
    assert set(result.differences) == {
        "paper: both - paper: text",
        "compact: both - compact: caption",
    }


def test_the_merged_model_is_built_on_the_trained_ones(found: Reproduction, out: Path) -> None:
    merged, text = (load_model(out / "runs" / name) for name in ("paper-fusion", "paper-text"))
    assert merged.caption is not None and text.caption is not None
    for a, b in zip(merged.caption.parameters(), text.caption.parameters(), strict=True):
        assert a.equal(b)
    assert merged.image is not None and merged.image.head.multi_label
    assert merged.fusion is not None and merged.fusion.form == "features"


def test_the_page_shows_tables_and_the_course_of_each_training(
    found: Reproduction, out: Path
) -> None:
    page = (out / "report.html").read_text("utf-8")
    assert "<svg" in page and "paper-resnet50, image" in page and "paper-text, caption" in page
    assert all(len(history) >= 3 for history in found.histories.values())
    text = (out / "tables.md").read_text("utf-8")
    assert "| ResNet50 |" in text and "0.7114" in text and "Quick settings" in text
    saved = json.loads((out / "results.json").read_text("utf-8"))
    assert saved["hamming"]["ViT"]["val"] == found.hamming["ViT"]["val"]


def test_finished_runs_are_taken_as_they_are(
    found: Reproduction, sample_table: AnnotationTable, out: Path
) -> None:
    stamps = {run: run.stat().st_mtime_ns for run in (out / "runs").iterdir()}
    again = reproduce(sample_table, out, quick=True)
    assert again.evaluation == found.evaluation
    assert stamps == {run: run.stat().st_mtime_ns for run in (out / "runs").iterdir()}
    with pytest.raises(ConfigError, match="paper-resnet50 was trained with other settings"):
        reproduce(sample_table, out)


def test_without_a_table_only_quick_can_go_on(tmp_path: Path) -> None:
    from artaffect.cli.reproduce import run_reproduction

    with pytest.raises(InputError, match="needs --data TABLE"):
        run_reproduction(None, tmp_path, quick=False, cache=None, as_json=False)
