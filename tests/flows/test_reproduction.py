"""The paper's comparison, end to end, with the small encoders of ``--quick``."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from artaffect import api
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import read_config, read_histories
from artaffect.reports.tables import markdown_line
from artaffect.training.reproduction import (
    IMAGE_MODELS,
    Reproduction,
    reproduce,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reproduction") / "out"


@pytest.fixture(scope="module")
def result(sample_table: AnnotationTable, out: Path) -> Reproduction:
    return reproduce(sample_table, out, quick=True)


def test_every_row_of_the_papers_table_comes_from_a_run(result: Reproduction, out: Path) -> None:
    assert list(result.hamming) == ["ResNet50", "VGG", "ViT"]
    for recipe, (name, train, val) in IMAGE_MODELS.items():
        scores = result.hamming[name]
        assert (scores.paper_train, scores.paper_val) == (train, val)
        metrics = json.loads((out / "runs" / recipe / "metrics.json").read_text("utf-8"))
        assert scores.val == metrics["extra"]["hamming"]["image"]
        for share, artworks in (
            (scores.train, scores.train_artworks),
            (scores.val, scores.val_artworks),
        ):
            bits = share * 9 * artworks
            assert bits == pytest.approx(round(bits))  # whole bits, each artwork once
        assert 0 < scores.train_constant < 1 and 0 < scores.val_constant < 1


def test_the_hamming_accuracy_is_reported_for_multi_label_models_only(
    result: Reproduction, out: Path
) -> None:
    for run in (out / "runs").iterdir():
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
        model = load_model(run)
        multi_label = model.image is not None and model.image.head.multi_label
        assert ("hamming" in metrics["extra"]) == multi_label


def test_all_models_are_scored_on_the_same_captions(result: Reproduction) -> None:
    evaluation = result.evaluation
    assert list(evaluation)[:5] == [
        "paper_resnet50",
        "paper_vgg16",
        "paper_vit",
        "paper_text",
        "paper_both",
    ]
    assert evaluation.baseline is not None and evaluation.detailed == "paper_both"
    assert {"compact_image", "compact_caption", "compact_both"} < set(evaluation)
    for _, scores in evaluation.scores():
        assert set(scores) == {"arabic", "chinese", "english"}
        assert scores.support == evaluation.protocol["rows"]
    assert {(c.first, c.second) for c in evaluation.comparisons} == {
        ("paper_both", "paper_text"),
        ("compact_both", "compact_caption"),
    }


def test_the_merged_model_is_built_on_the_trained_ones(result: Reproduction, out: Path) -> None:
    merged, text = (load_model(out / "runs" / name) for name in ("paper-fusion", "paper-text"))
    assert merged.caption is not None and text.caption is not None
    for a, b in zip(merged.caption.parameters(), text.caption.parameters(), strict=True):
        assert a.equal(b)
    assert merged.image is not None and merged.image.head.multi_label
    assert merged.fusion is not None and merged.fusion.form == "features"


def test_the_page_shows_tables_and_training_curves(result: Reproduction, out: Path) -> None:
    page = (out / "report.html").read_text("utf-8")
    assert "<svg" in page and "paper-resnet50, image" in page and "paper-text, caption" in page
    epochs = {name: len(history) for name, history in result.training_log.items()}
    form = read_config(out / "runs" / "compact")["training_log"]["fusion"]["form"]
    # linear heads and combinations of logits are fitted to all rows at once
    at_once = {"compact, image", *(["compact, fusion"] if form.startswith("logits") else [])}
    assert {name for name, count in epochs.items() if count == 1} == at_once, epochs
    assert all(count >= 3 for name, count in epochs.items() if name not in at_once), epochs
    text = (out / "tables.md").read_text("utf-8")
    assert "| tiny CNN in place of ResNet50 |" in text and "| ResNet50 |" not in text
    assert "| 3 layers of e5-small in place of DistilBERT |" in text
    assert "0.7114" in text and "Quick settings" in text
    saved = json.loads((out / "results.json").read_text("utf-8"))
    assert saved["hamming"]["ViT"]["val"] == result.hamming["ViT"].val
    assert saved["no_better"] == result.no_better
    assert all(markdown_line(sentence) in text for sentence in result.no_better)


def test_a_model_that_does_not_beat_its_baseline_is_named(result: Reproduction) -> None:
    def scored(val: float) -> Reproduction:
        return replace(result, hamming={"ViT": replace(result.hamming["ViT"], val=val)})

    constant = result.hamming["ViT"].val_constant
    better, equal = scored(constant + 0.01).no_better, scored(constant).no_better
    assert equal[0].startswith("tiny ViT in place of ViT is no better than the constant: ")
    assert better == equal[1:]
    baseline = result.evaluation["baseline"]
    models = {**result.evaluation.models, "paper_vit": baseline}
    named = replace(result, evaluation=replace(result.evaluation, models=models)).no_better
    assert any(
        line.startswith("tiny ViT in place of ViT is no better than the b") for line in named
    )


def test_finished_runs_are_taken_as_they_are(
    result: Reproduction, sample_table: AnnotationTable, out: Path
) -> None:
    stamps = {run: run.stat().st_mtime_ns for run in (out / "runs").iterdir()}
    again = reproduce(sample_table, out, quick=True)
    assert again.evaluation == result.evaluation
    assert stamps == {run: run.stat().st_mtime_ns for run in (out / "runs").iterdir()}
    with pytest.raises(ConfigError, match="paper-resnet50 was trained with other settings"):
        reproduce(sample_table, out)


def test_without_a_table_only_quick_can_go_on(tmp_path: Path) -> None:

    with pytest.raises(InputError, match="reproduce needs a table"):
        api.reproduce(None, tmp_path)


def test_the_training_log_of_a_run_is_read_from_its_lines(tmp_path: Path) -> None:
    lines = [
        {"training": "image", "epoch": 1, "loss": 2.0},
        {"training": "caption", "epoch": 1, "loss": 1.5},
        {"training": "image", "epoch": 2, "loss": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    assert read_histories(tmp_path) == {
        "image": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}],
        "caption": [{"epoch": 1, "loss": 1.5}],
    }
