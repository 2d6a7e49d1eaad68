"""Training that begins with another model: few rows lean on it, many on what they teach."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import artaffect as aa
from artaffect.config import CaptionSourceConfig, SeparateConfig, TrainConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError
from artaffect.labels import LabelSet
from artaffect.models.checkpoint import load_model
from artaffect.models.fusion import LogitFusion
from artaffect.models.heads import EmotionHead
from artaffect.models.initial import HEADS, PRIOR_DEVIATION, InitializedHead, build_head
from artaffect.training.combination import fit_weights
from artaffect.training.recipes import begin_with
from artaffect.training.run import train_run
from tests.tiny import save_bert

FEATURES, LABELS = 6, 4


def head(seed: int, cultures: int = 0) -> EmotionHead:
    torch.manual_seed(seed)
    new = EmotionHead(FEATURES, cultures, labels=LABELS)
    torch.nn.init.normal_(new.shared.weight)
    return new.eval()


def recipe(encoder: Path, **more: object) -> SeparateConfig:
    train = TrainConfig(epochs=3, min_steps=20, learning_rate=0.01)
    caption = CaptionSourceConfig(encoder=str(encoder), penalty=(0.1, 1.0), train=train)
    return SeparateConfig(caption=caption, folds=3, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def runs(
    sample_table: AnnotationTable, encoder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A run, and one that begins with it."""
    folder = tmp_path_factory.mktemp("runs")
    train_run(sample_table, recipe(encoder), folder / "first", folder / "cache")
    config = begin_with(recipe(encoder), folder / "first")
    train_run(sample_table, config, folder / "second", folder / "cache")
    return folder / "first", folder / "second"


def test_a_head_is_the_weighed_sum_of_both() -> None:
    combined = InitializedHead.combine(head(0), head(1), [0])
    features, culture = torch.randn(5, FEATURES), torch.zeros(5, dtype=torch.int64)
    with torch.no_grad():
        combined.combination.weight.copy_(torch.tensor([[0.0, 1.0]]))
        expected = head(1)(features, culture).softmax(-1)
        torch.testing.assert_close(combined(features, culture).softmax(-1), expected)
        combined.combination.weight.copy_(torch.tensor([[1.0, 0.0]]))
        expected = head(0)(features, culture).softmax(-1)
        torch.testing.assert_close(combined(features, culture).softmax(-1), expected)
    again = build_head(combined.settings)
    again.load_state_dict(combined.state_dict())
    torch.testing.assert_close(again(features, culture), combined(features, culture))


def test_a_culture_is_that_of_the_initial_model_or_all_of_them() -> None:
    initial = head(1, cultures=2)
    assert initial.deviation is not None
    torch.nn.init.normal_(initial.deviation.weight)
    combined = InitializedHead.combine(head(0), initial, [0, 2, 0])
    features = torch.randn(3, FEATURES)
    of_initial = combined.logits_of_both(features, torch.tensor([0, 1, 2]))[1]
    torch.testing.assert_close(of_initial, initial(features, torch.tensor([0, 2, 0])))


@pytest.mark.parametrize(("rows", "leans"), [(4, True), (4000, False)])
def test_few_rows_lean_on_the_initial_model_and_many_on_the_new_head(
    rows: int, leans: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    emotion = torch.randint(LABELS, (rows,), generator=generator)
    knows = 3.0 * torch.nn.functional.one_hot(emotion, LABELS).float()
    knows += torch.randn(rows, LABELS, generator=generator)
    noise = torch.randn(rows, LABELS, generator=generator)
    combination = InitializedHead.combine(head(0), head(1), [0]).combination
    combination.initialize(torch.full((1, LABELS), 1 / LABELS).log(), {})
    given = ([knows, noise], torch.zeros_like(emotion), emotion)
    fit_weights(combination, *given, deviation=PRIOR_DEVIATION)
    new, initial = combination.weight[0].tolist()
    assert (initial > new) == leans
    if not leans:
        assert new > 0.8 and abs(initial) < 0.2


def test_an_annotation_with_and_without_its_culture_counts_once() -> None:
    generator = torch.Generator().manual_seed(0)
    emotion = torch.randint(LABELS, (20,), generator=generator)
    logits = torch.randn(2, 20, LABELS, generator=generator)
    fitted = []
    for views in (1, 2):
        combination = LogitFusion(HEADS, 0, labels=LABELS)
        combination.initialize(torch.full((1, LABELS), 1 / LABELS).log(), {})
        rows = (torch.zeros_like(emotion).repeat(views), emotion.repeat(views))
        fit_weights(combination, list(logits.repeat(1, views, 1)), *rows, views=views)
        fitted.append([*combination.parameters()])
    torch.testing.assert_close(*fitted, rtol=1e-3, atol=1e-4)


def test_a_run_begins_with_another_and_predicts_without_it(
    runs: tuple[Path, Path], sample_table: AnnotationTable
) -> None:
    first, second = runs
    model = load_model(second)
    assert model.caption is not None
    trained = model.caption.head
    assert isinstance(trained, InitializedHead)
    initial = load_model(first).caption
    assert initial is not None
    for name, weight in trained.initial.state_dict().items():
        torch.testing.assert_close(weight, initial.head.state_dict()[name])
    answers = [aa.load_predictor(run).predict_proba(captions=["a dark sea"]) for run in runs]
    np.testing.assert_allclose([a.sum() for a in answers], 1, atol=1e-6)
    scores = aa.evaluate(second, sample_table, "val")
    assert 0 < scores["caption"].overall.metrics["log_loss"].value < 3


def test_a_run_that_begins_with_another_is_exported(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    captions = ["a dark sea", "a bright flower"]
    exported = aa.export_onnx(runs[1], tmp_path / "onnx").predict_proba(captions=captions)
    original = aa.load_predictor(runs[1]).predict_proba(captions=captions)
    np.testing.assert_allclose(exported, original, atol=1e-4)


def test_what_cannot_begin_a_training_is_refused(
    runs: tuple[Path, Path], sample_table: AnnotationTable, encoder: Path, tmp_path: Path
) -> None:
    config = begin_with(recipe(encoder), runs[0])
    other = LabelSet((*sample_table.labels.names, "dread"))
    with pytest.raises(ConfigError, match="predicts .* and this table has the labels .*dread"):
        train_run(replace(sample_table, labels=other), config, tmp_path / "run")
    with pytest.raises(ConfigError, match="needs a recipe of the kind 'separate' with frozen"):
        aa.train(sample_table, tmp_path / "run", "tune-e5", initial=runs[0])
    with pytest.raises(ConfigError, match="have no source in common"):
        no_caption = replace(config, caption=None, image=config.caption and _image())
        train_run(sample_table, no_caption, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _image() -> object:
    from artaffect.config import ImageSourceConfig

    return ImageSourceConfig(encoder="efficientnet_lite0")


def test_the_card_quotes_that_of_the_initial_model(runs: tuple[Path, Path]) -> None:
    first, second = ((run / "README.md").read_text("utf-8") for run in runs)
    assert "began with" not in first
    scores = first[first.index("## Scores") :].splitlines()
    assert "## The model that the training began with" in second
    assert all(f"> {line}".rstrip() in second for line in scores)
