"""Sources and recipes: every kind trains, saves, loads, and resumes after a kill."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from artaffect.config import (
    CaptionSourceConfig,
    DistillationConfig,
    FusionConfig,
    ImageSourceConfig,
    JointConfig,
    Recipe,
    SeparateConfig,
    TrainConfig,
    load_recipe,
)
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, InputError, ResourceError, TableError
from artaffect.labels import Sentiment
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import read_config, read_histories
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.prediction.evaluation import evaluate_run
from artaffect.prediction.predictor import load_predictor
from artaffect.training.batches import TensorRows
from artaffect.training.data import TrainingData, hold_out, table_digest
from artaffect.training.recipes import recipe_of
from artaffect.training.run import train_run
from artaffect.training.separate import train_separate
from artaffect.training.trainer import StepOutput, Trainer
from tests import tiny
from tests.killing import kill_command_at_second

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
TRAIN = TrainConfig(epochs=2, batch_size=16, learning_rate=2e-3)


@pytest.fixture(scope="module")
def caption(encoder_folders: dict[str, Path]) -> CaptionSourceConfig:
    return CaptionSourceConfig(
        encoder=str(encoder_folders["bert"]), training="fine-tuned", train=TRAIN
    )


@pytest.fixture(scope="module")
def image(encoder_folders: dict[str, Path]) -> ImageSourceConfig:
    return ImageSourceConfig(
        encoder=str(encoder_folders["resnet"]), training="fine-tuned", workers=0, train=TRAIN
    )


FUSION = FusionConfig(form="logits", per_culture="off", latent=8, features=TRAIN, hidden=(6,))


def scores_of_run(table: AnnotationTable, config: Recipe, out: Path) -> dict[str, float]:
    result = train_run(table, config, out)
    return {name: scores.log_loss.value for name, scores in result.scores()}


@pytest.mark.parametrize("objective", ["soft_label", "multi_label_l1", "multi_label_bce"])
def test_an_image_model_alone(
    sample_table: AnnotationTable,
    image: ImageSourceConfig,
    tmp_path: Path,
    objective: str,
    picture: Path,
) -> None:
    settings = replace(image, objective=objective, workers=1, decoded=True, hidden=(12, 6))
    scores = scores_of_run(sample_table, SeparateConfig(image=settings), tmp_path / "run")
    assert set(scores) == {"baseline", "image"}
    assert not (tmp_path / "run.training").exists()
    again = evaluate_run(tmp_path / "run", sample_table, "val")
    assert again["image"].log_loss.value == pytest.approx(scores["image"], abs=1e-6)
    assert ("hamming" in again.extra) == (objective != "soft_label")
    assert 0 < again.extra.get("hamming", {"image": 0.5})["image"] < 1
    history = read_histories(tmp_path / "run")["image"]
    assert [entry["epoch"] for entry in history] == [1, 2]
    assert {"loss", "log_loss", "accuracy", "macro_f1"} <= set(history[0])
    log = read_config(tmp_path / "run")["training_log"]["image"]
    best = history[log["best_epoch"] - 1]
    assert log == {"best_epoch": best["epoch"], "validation_log_loss": best["log_loss"]}
    assert ("hamming" in history[0]) == (objective != "soft_label")
    predictor = load_predictor(tmp_path / "run")
    readings = predictor.predict(picture, "and a caption").by_culture
    assert readings[0].modality_shares == {"image": 1.0, "caption": 0.0}
    with pytest.raises(InputError, match="this model reads images only"):
        predictor.predict(caption="words alone")


def test_a_caption_model_alone_needs_no_picture(
    sample_table: AnnotationTable, caption: CaptionSourceConfig, tmp_path: Path
) -> None:
    scores = scores_of_run(sample_table, SeparateConfig(caption=caption), tmp_path / "run")
    assert set(scores) == {"baseline", "caption"}
    model = load_model(tmp_path / "run")
    assert model.image is None and model.modalities == ("caption",)
    assert len(list((tmp_path / "run").iterdir())) == 8


def test_training_changes_only_the_weights_that_are_trained(
    sample_table: AnnotationTable, caption: CaptionSourceConfig, tmp_path: Path
) -> None:
    from artaffect.models.text_encoders import create_text_encoder

    before = create_text_encoder(caption.encoder).state_dict()
    frozen = replace(caption, training="frozen")
    for training, settings in (
        ("fine-tuned", replace(caption, freeze_embeddings=True)),
        ("frozen", frozen),
    ):
        out = tmp_path / training
        train_run(sample_table, SeparateConfig(caption=settings), out)
        model = load_model(out).caption
        assert model is not None
        after = model.encoder.state_dict()
        moved = {name for name, w in after.items() if not torch.equal(w, before[name])}
        assert not any("embeddings" in name for name in moved)
        assert bool(moved) == (training == "fine-tuned")


@pytest.mark.parametrize("form", ["logits", "features"])
def test_both_are_combined_on_artworks_that_neither_has_seen(
    sample_table: AnnotationTable,
    image: ImageSourceConfig,
    caption: CaptionSourceConfig,
    tmp_path: Path,
    form: str,
) -> None:
    config = SeparateConfig(
        image=image,
        caption=caption,
        fusion=replace(FUSION, form=form),
        held_out=0.2,
        culture="embedding",
    )
    scores = scores_of_run(sample_table, config, tmp_path / "run")
    assert {"image", "caption", "both", "both_without_culture"} < set(scores)
    model = load_model(tmp_path / "run")
    assert model.fusion is not None and model.fusion.form == form
    assert model.image is not None and model.image.head.embedding is not None


@contextlib.contextmanager
def counting_encoded_images() -> Iterator[list[int]]:
    """Collect how many images each call of an image encoder is given."""
    counts: list[int] = []

    def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, ImageEncoder):  # blank ones find out the width of the features
            counts.append(int(inputs[0].flatten(1).any(1).sum()))

    handle = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        yield counts
    finally:
        handle.remove()


def test_a_frozen_image_is_encoded_once_beside_a_fine_tuned_caption(
    sample_table: AnnotationTable,
    encoder_folders: dict[str, Path],
    caption: CaptionSourceConfig,
    tmp_path: Path,
) -> None:
    image = ImageSourceConfig(
        encoder=str(encoder_folders["resnet"]), penalty=(0.1, 1.0), train=TRAIN
    )
    config = SeparateConfig(image=image, caption=caption, fusion=FUSION, held_out=0.2)
    cache = tmp_path / "cache"
    with counting_encoded_images() as encoded:
        train_run(sample_table, config, tmp_path / "first", cache)
    splits = [sample_table.of_split(name) for name in ("train", "val")]
    assert sum(encoded) == len({image for part in splits for image in part.strings("image")})
    with counting_encoded_images() as encoded:
        train_run(sample_table, config, tmp_path / "second", cache)
    assert sum(encoded) == 0
    log = read_config(tmp_path / "first")["training_log"]
    assert log["image"]["penalty"] in (0.1, 1.0) and "penalty" not in log["caption"]
    before = create_image_encoder(str(encoder_folders["resnet"])).state_dict()
    model = load_model(tmp_path / "first")
    assert model.image is not None and model.caption is not None and model.fusion is not None
    for name, weight in model.image.encoder.state_dict().items():
        assert torch.equal(weight, before[name])


def test_whole_artworks_are_held_out_in_the_given_share(sample_table: AnnotationTable) -> None:
    train = sample_table.of_split("train")
    rest, held = hold_out(train, 0.25, seed=1)
    kept, unseen = set(rest.strings("artwork_id")), set(held.strings("artwork_id"))
    assert not kept & unseen and len(rest) + len(held) == len(train)
    assert len(unseen) == round(0.25 * len(kept | unseen))
    shuffled = train.select(np.random.default_rng(0).permutation(len(train)))
    assert set(hold_out(shuffled, 0.25, seed=1)[1].strings("artwork_id")) == unseen


def test_a_combination_builds_on_trained_runs(
    sample_table: AnnotationTable,
    image: ImageSourceConfig,
    caption: CaptionSourceConfig,
    tmp_path: Path,
) -> None:
    train_run(sample_table, SeparateConfig(image=image, culture="off"), tmp_path / "image")
    train_run(sample_table, SeparateConfig(caption=caption, culture="off"), tmp_path / "caption")
    config = SeparateConfig(
        image=replace(image, encoder="not-available", run=str(tmp_path / "image")),
        caption=replace(caption, run=str(tmp_path / "caption")),
        fusion=replace(FUSION, form="features"),
        held_out=0.0,
        culture="off",
    )
    train_run(sample_table, config, tmp_path / "both")
    both, alone = load_model(tmp_path / "both"), load_model(tmp_path / "image")
    assert both.image is not None and alone.image is not None
    for a, b in zip(both.image.parameters(), alone.image.parameters(), strict=True):
        assert torch.equal(a, b)
    unseen = replace(config, held_out=0.2)
    with pytest.raises(ConfigError, match="has seen the artworks that held_out = 0.2 keeps"):
        train_run(sample_table, unseen, tmp_path / "unseen")
    wrong = replace(config, image=replace(image, run=str(tmp_path / "caption")))
    with pytest.raises(ConfigError, match="has no image model for the cultures"):
        train_run(sample_table, wrong, tmp_path / "wrong")


def test_a_student_learns_from_its_teacher(
    sample_table: AnnotationTable, caption: CaptionSourceConfig, tmp_path: Path
) -> None:
    student = CaptionSourceConfig(encoder="teacher", training="fine-tuned", depth=1, train=TRAIN)
    config = DistillationConfig(teacher=caption, student=student)
    result = train_run(sample_table, config, tmp_path / "run")
    assert set(result.models) == {"teacher", "student", "student_alone"}
    assert result.baseline is not None and result.detailed == "student"
    assert [(c.first, c.second) for c in result.comparisons] == [
        ("student", "teacher"),
        ("student", "student_alone"),
    ]
    sizes = result.extra["size_and_speed"]
    assert sizes["student"]["million_weights"] == sizes["student_alone"]["million_weights"]
    assert all(entry["milliseconds_per_caption"] > 0 for entry in sizes.values())
    histories = read_histories(tmp_path / "run")
    assert set(histories) == {"teacher", "student", "student_alone"}
    assert {"hard", "soft", "hidden"} <= set(histories["student"][0])
    assert set(read_config(tmp_path / "run")["training_log"]) == set(histories)
    assert load_model(tmp_path / "run").modalities == ("caption",)
    with pytest.raises(ConfigError, match="needs student.depth"):
        train_run(sample_table, replace(config, student=replace(student, depth=0)), tmp_path / "n")


@pytest.mark.parametrize(("form", "per_culture"), [("logits", "on"), ("features", "off")])
def test_joint_training(
    sample_table: AnnotationTable,
    image: ImageSourceConfig,
    caption: CaptionSourceConfig,
    tmp_path: Path,
    form: str,
    per_culture: str,
) -> None:
    fusion = replace(FUSION, form=form, per_culture=per_culture)
    config = JointConfig(image=image, caption=caption, fusion=fusion, captions=6, train=TRAIN)
    scores = scores_of_run(sample_table, config, tmp_path / "run")
    assert {"image", "caption", "both"} < set(scores)
    model = load_model(tmp_path / "run")
    assert model.fusion is not None
    assert len(model.fusion.weight) == (4 if per_culture == "on" else 1)
    start = torch.tensor([0.25, 1.0]) if form == "logits" else torch.ones(2)
    assert not torch.equal(model.fusion.weight[-1].detach(), start)


def test_a_tiny_encoder_learns_from_the_sample_images(
    sample_table: AnnotationTable, tmp_path: Path
) -> None:
    settings = {
        "encoder": tiny.save_tiny_resnet(tmp_path / "resnet"),
        "crop": 1.0,
        "flip": "false",
        "train.epochs": 10,
        "train.patience": 10,
    }
    overrides = [f"image.{key}={value}" for key, value in settings.items()]
    config = load_recipe(str(RECIPES / "tiny-image.toml"), SeparateConfig, overrides)
    trained = train_separate(TrainingData.from_table(sample_table), config)
    history = trained.histories["image"]
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    result = trained.evaluation
    assert result["image"].log_loss.value < result["baseline"].log_loss.value


def test_a_table_without_pictures_or_split_is_refused(
    sample_table: AnnotationTable, image: ImageSourceConfig, tmp_path: Path
) -> None:
    config = SeparateConfig(image=image)
    with pytest.raises(TableError, match="no rows in split 'val'"):
        train_run(sample_table.of_split("train"), config, tmp_path / "a")
    index = sample_table.rows.schema.get_field_index("image")
    column = sample_table.rows.schema.field("image")
    nothing = pa.nulls(len(sample_table)).cast(column.type)
    rows = sample_table.rows.set_column(index, column, nothing)
    blank = AnnotationTable(rows, sample_table.provenance)
    with pytest.raises(TableError, match="split 'train' has no artwork with an image"):
        train_run(blank, config, tmp_path / "b")


def test_checkpoints_of_another_training_are_refused(
    sample_table: AnnotationTable, caption: CaptionSourceConfig, tmp_path: Path
) -> None:
    config = SeparateConfig(caption=caption)
    work = tmp_path / "run.training"
    (work / "caption").mkdir(parents=True)
    (work / "caption" / "checkpoint.pt").touch()
    recipe = json.loads(json.dumps(recipe_of(config)))
    recipe["caption"]["dropout"] = 0.5
    owner = {"settings": recipe, "data": table_digest(sample_table)}
    (work / "recipe.json").write_text(json.dumps(owner))
    with pytest.raises(ConfigError, match=r"another training \(caption.dropout was 0.5, is 0.0\)"):
        train_run(sample_table, config, tmp_path / "run")
    (work / "recipe.json").write_text(json.dumps({**owner, "data": "else"}))
    with pytest.raises(ConfigError, match="belongs to a training on another table: delete it"):
        train_run(sample_table, config, tmp_path / "run")


def test_a_failed_start_leaves_nothing_behind(
    sample_table: AnnotationTable, caption: CaptionSourceConfig, tmp_path: Path
) -> None:
    wrong = SeparateConfig(caption=replace(caption, depth=9))
    with pytest.raises(ConfigError, match="depth = 9, but the encoder has 1 layers"):
        train_run(sample_table, wrong, tmp_path / "run")
    assert not list(tmp_path.iterdir())
    train_run(sample_table, SeparateConfig(caption=caption), tmp_path / "run")


def test_the_error_for_too_little_memory_names_the_batch_and_the_settings() -> None:
    class Hungry(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, batch: dict[str, torch.Tensor]) -> StepOutput:
            return StepOutput(self.weight.sum() + torch.empty(2**60).sum())

    rows = TensorRows(features=torch.zeros(40, 3))
    with pytest.raises(
        ResourceError, match=r"batch 1 of epoch 1 \(features \(16, 3\)\): lower train.bat"
    ):
        Trainer(TRAIN).fit(Hungry(), rows)


ENVIRONMENT = {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


def train_by_command(
    recipe: Path, table: Path, out: Path, launch: Sequence[str] = (sys.executable,)
) -> None:
    command = [*launch, "-m", "artaffect.cli.main", "train", str(recipe)]
    done = subprocess.run(
        [*command, "--data", str(table), "--out", str(out)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]


@pytest.fixture(scope="module")
def small_joint(
    sample_table: AnnotationTable,
    encoder_folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Path]:
    """A recipe of the kind joint in a file, and the table."""
    folder = tmp_path_factory.mktemp("joint")
    sample_table.save(folder / "table.parquet")
    (folder / "recipe.toml").write_text(
        f'''
kind = "joint"
captions = 6
[image]
encoder = "{encoder_folders["vit"]}"
training = "fine-tuned"
workers = 1
dropout = 0.2
[caption]
encoder = "{encoder_folders["bert"]}"
training = "fine-tuned"
[fusion]
form = "logits"
per_culture = "off"
[train]
epochs = 4
batch_size = 8
learning_rate = 1e-3
patience = 4
'''
    )
    return folder / "recipe.toml", folder / "table.parquet"


@pytest.mark.slow
def test_a_run_that_was_killed_resumes_with_the_same_command(
    small_joint: tuple[Path, Path], tmp_path: Path
) -> None:
    train_by_command(*small_joint, tmp_path / "whole")
    broken = tmp_path / "broken"
    checkpoint = tmp_path / "broken.training" / "joint" / "checkpoint.pt"
    recipe, table = small_joint
    arguments = ("train", recipe, "--data", table, "--out", broken)
    kill_command_at_second("checkpoint.pt", *arguments, environment=os.environ | ENVIRONMENT)
    assert not broken.exists() and checkpoint.exists()
    train_by_command(*small_joint, broken)
    assert (broken / "metrics.json").read_text() == (
        tmp_path / "whole" / "metrics.json"
    ).read_text()
    a, b = load_model(broken).state_dict(), load_model(tmp_path / "whole").state_dict()
    assert all(torch.equal(a[name], b[name]) for name in b)


@pytest.mark.slow
def test_two_processes_train_a_recipe_together(
    small_joint: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, table = small_joint
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    train_by_command(recipe, table, tmp_path / "two", launch)
    train_by_command(recipe, table, tmp_path / "one")
    scores = [
        json.loads((tmp_path / name / "metrics.json").read_text())["models"]["both"]["overall"][
            "metrics"
        ]["log_loss"]["value"]
        for name in ("one", "two")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=0.1)
    assert not (tmp_path / "two.training").exists()


def with_partial_labels(table: AnnotationTable) -> AnnotationTable:
    """Every second row of a positive emotion is known to be positive, and no more."""
    positive = table.labels.with_sentiment(Sentiment.POSITIVE)
    cell = table.labels.join(positive)
    cells = [
        cell if i % 2 and emotion in positive else emotion
        for i, emotion in enumerate(table.strings("emotion"))
    ]
    index = table.rows.schema.get_field_index("emotion")
    column = pa.array(cells).dictionary_encode().cast(table.rows.schema.field(index).type)
    return replace(table, rows=table.rows.set_column(index, table.rows.schema.field(index), column))


@pytest.mark.parametrize("kind", ["separate", "joint"])
def test_a_model_learns_from_partial_labels(
    sample_table: AnnotationTable,
    image: ImageSourceConfig,
    caption: CaptionSourceConfig,
    tmp_path: Path,
    kind: str,
) -> None:
    table = with_partial_labels(sample_table)
    train = TRAIN if kind == "joint" else replace(TRAIN, epochs=20)
    config: Recipe = JointConfig(image=image, caption=caption, fusion=FUSION, train=train)
    if kind == "separate":
        settings = TrainConfig(epochs=30, learning_rate=0.05)
        config = SeparateConfig(
            image=ImageSourceConfig(encoder=image.encoder, training="frozen", train=settings),
            caption=CaptionSourceConfig(encoder=caption.encoder, training="frozen", train=settings),
            fusion=FUSION,
            folds=2,
        )
    result = train_run(table, config, tmp_path / "run")
    scores = result.extra["partial_labels"]
    of_val = table.of_split("val")
    assert 0 < scores["rows"] <= int((~of_val.has_exact_label).sum())
    assert result.protocol["rows"] + scores["rows"] <= len(of_val)
    assert scores["models"]["both"]["log_loss"]["value"] < np.log(9 / 4)
    assert "one of several" in (tmp_path / "run" / "report.html").read_text("utf-8")
    again = evaluate_run(tmp_path / "run", table, "val")
    assert again.extra["partial_labels"]["rows"] == scores["rows"]


def test_a_multi_label_objective_needs_exact_labels(
    sample_table: AnnotationTable, image: ImageSourceConfig, tmp_path: Path
) -> None:
    config = SeparateConfig(image=replace(image, objective="multi_label_bce"))
    with pytest.raises(ConfigError, match="which partial labels do not tell: use the objective"):
        train_run(with_partial_labels(sample_table), config, tmp_path / "run")
