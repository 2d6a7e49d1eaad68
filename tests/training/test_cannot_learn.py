"""A training that cannot learn says why in one line; what it cannot use costs that row alone."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from artaffect.config import SeparateConfig, TrainConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError, TableError
from artaffect.models.folder import read_config
from artaffect.models.heads import EmotionHead
from artaffect.training.batches import TensorRows
from artaffect.training.objectives import ClassificationTask
from artaffect.training.run import train_run
from artaffect.training.trainer import Trainer


def changed(config: SeparateConfig, *settings: str) -> SeparateConfig:
    """A recipe with some settings changed."""
    caption, image = config.caption, config.image
    assert caption is not None and image is not None
    encoders = (f"caption.encoder={caption.encoder}", f"image.encoder={image.encoder}")
    steps = ("caption.train.min_steps=0", "caption.train.epochs=2")
    small = ("image.penalty=[0.1]", *steps, "folds=2")
    return load_recipe("compact", SeparateConfig, [*encoders, *small, *settings])


def of_artworks(table: AnnotationTable, split: str, count: int) -> np.ndarray:
    """The rows of the first artworks of a split."""
    names, codes = table.codes("split")
    rows = np.isin(codes, np.flatnonzero(names == split))
    artworks = table.codes("artwork_id")[1]
    return rows & np.isin(artworks, np.unique(artworks[rows])[:count])


def test_one_artwork_is_too_few(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    rows = of_artworks(sample_table, "train", 1) | of_artworks(sample_table, "val", 1)
    message = "split 'train' has only one artwork with an image: training needs at least two"
    with pytest.raises(TableError, match=message):
        train_run(sample_table.select(rows), tiny_config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_emotion_is_nothing_to_learn(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    only = sample_table.select(np.array(sample_table.strings("emotion")) == "awe")
    with pytest.raises(TableError, match="has the emotion 'awe': training needs at least two"):
        train_run(only, tiny_config, tmp_path / "run")


def test_a_training_that_diverges_names_the_setting_to_lower(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    config = changed(tiny_config, "caption.train.learning_rate=1e30")
    message = r"training diverged in .*: lower caption\.train\.learning_rate, now 1e\+30"
    with pytest.raises(ConfigError, match=message):
        train_run(sample_table, config, tmp_path / "run")


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999", "1.5"])
def test_a_seed_out_of_range_is_refused(tiny_config: SeparateConfig, seed: str) -> None:
    with pytest.raises(ConfigError, match="seed"):
        changed(tiny_config, f"seed={seed}")


def test_the_languages_of_a_model_are_those_of_its_training_rows(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    languages = np.array(sample_table.strings("language"), object)
    is_test = np.array(sample_table.strings("split"), object) == "test"
    rows = sample_table.select(is_test | (languages != "arabic"))
    assert "arabic" in rows.counts("language"), "it stands in the test split"
    train_run(rows, changed(tiny_config), tmp_path / "run")
    config = read_config(tmp_path / "run")
    assert config["languages"] == config["cultures"] == ["chinese", "english"]


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "another file"])
def test_a_damaged_checkpoint_is_set_aside_and_training_starts_again(
    tmp_path: Path, damage: str, log_messages: list[str]
) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(64, 9, generator=generator)
    columns = {"features": features, "culture": torch.zeros(64, dtype=torch.int64)}
    rows = TensorRows(**columns, emotion=features.argmax(1))

    def fit(folder: Path, stop_after: int | None = None) -> torch.Tensor:
        torch.manual_seed(7)
        task = ClassificationTask(EmotionHead(9, 0))
        trainer = Trainer(TrainConfig(epochs=3, batch_size=16), folder=folder)
        trainer.fit(task, rows, stop_after=stop_after)
        return next(task.parameters()).detach().clone()

    expected = fit(tmp_path / "whole")
    fit(tmp_path / "stopped", stop_after=1)
    checkpoint = tmp_path / "stopped" / "checkpoint.pt"
    data = checkpoint.read_bytes()
    middle = len(data) // 2
    damaged = {
        "cut": data[:middle],
        "changed": data[:middle]
        + bytes(b ^ 255 for b in data[middle:][:300])
        + data[middle + 300 :],
        "emptied": b"",
        "another file": b"not a checkpoint",
    }[damage]
    checkpoint.write_bytes(damaged)
    log_messages.clear()
    torch.testing.assert_close(fit(tmp_path / "stopped"), expected)
    assert any("checkpoint.pt is damaged" in message for message in log_messages)
    assert checkpoint.with_suffix(".damaged").read_bytes() == damaged


def test_an_image_that_is_gone_costs_its_artwork_alone(
    sample_folder: Path, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path,
    log_messages: list[str],
) -> None:  # fmt: skip
    assert sample_table.images is not None
    provenance = {**sample_table.provenance, "images": str(tmp_path / "images")}
    names = sorted({name for name in sample_table.strings("image") if name})
    for name in names[1:]:
        target = tmp_path / "images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(sample_table.images / name)
    table = dataclasses.replace(sample_table, provenance=provenance)
    train_run(table, changed(tiny_config), tmp_path / "run")
    assert any(names[0] in message for message in log_messages), log_messages
