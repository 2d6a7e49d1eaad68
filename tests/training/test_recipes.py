"""A recipe never uses the test split, and its folder is complete and checked."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from artaffect.config import (
    DistillationConfig,
    ImageSourceConfig,
    SeparateConfig,
    load_recipe,
)
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import (
    ConfigError,
    ModelFolderError,
    NotFittedError,
    OutputExistsError,
    TableError,
)
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import read_config, read_histories, write_checksums
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.prediction.predictor import load_predictor
from artaffect.settings import parse_config
from artaffect.training.calibration import finish
from artaffect.training.data import TrainingData
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.run import is_synthetic, train_run
from artaffect.training.separate import fold_of_artwork, out_of_fold_logits, train_separate
from artaffect.training.sources import Source, SourceContext
from tests import tiny


def tiny_rows(table: AnnotationTable, encoders: dict[str, Path], split: str) -> AnnotationArrays:
    """The rows of a split with their features by the tiny encoders."""
    return extract_arrays(
        table.of_split(split),
        create_image_encoder(str(encoders["resnet"])),
        create_text_encoder(str(encoders["bert"])),
        table.cultures,
    )


def test_the_test_split_has_no_influence(
    sample_table: AnnotationTable, tiny_config: SeparateConfig
) -> None:
    splits = np.array(sample_table.strings("split"))
    without = sample_table.select(splits != "test")
    whole, part = (
        train_separate(TrainingData.from_table(t), tiny_config) for t in (sample_table, without)
    )
    assert whole.evaluation == part.evaluation
    for a, b in zip(whole.model.parameters(), part.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_folds_are_by_artwork_and_of_equal_size() -> None:
    folds = fold_of_artwork(np.array([f"a{i}" for i in range(103)]), 5, seed=0)
    assert torch.bincount(folds).tolist() == [21, 21, 21, 20, 20]


def test_soft_labels_hold_every_vote_once_per_culture_and_once_for_all(
    sample_table: AnnotationTable, encoder_folders: dict[str, Path]
) -> None:
    rows = tiny_rows(sample_table, encoder_folders, "val")
    config = ImageSourceConfig(str(encoder_folders["resnet"]))
    data = ImageSource.create(config, SourceContext(3)).head_rows(rows).columns
    by_culture = [data["votes"][data["culture"] == c].sum() for c in range(4)]
    assert by_culture[0] == sum(by_culture[1:]) == len(rows)
    assert len(data["votes"]) == 4 * len(rows.artwork_ids)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["logits", "features"])
@pytest.mark.parametrize("per_culture", ["on", "off"])
@pytest.mark.parametrize("culture", ["head", "off"])
def test_every_form_of_fusion_trains_saves_and_loads(
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
    tmp_path: Path,
    form: str,
    per_culture: str,
    culture: str,
) -> None:
    fusion = replace(tiny_config.fusion, form=form, per_culture=per_culture)
    config = replace(tiny_config, fusion=fusion, culture=culture)
    train_run(sample_table, config, tmp_path / "run")
    model = load_model(tmp_path / "run")
    assert model.fusion.form == form
    assert len(model.fusion.weight) == (4 if per_culture == "on" else 1)
    assert (model.image.head.deviation is None) == (culture == "off")


@pytest.mark.parametrize("recipe", ["clip", "siglip"])
def test_a_recipe_with_a_vision_language_model_trains_saves_and_loads(
    recipe: str, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    encoder = getattr(tiny, f"save_tiny_{recipe}")(tmp_path / "encoder")
    config = load_recipe(recipe, SeparateConfig, [f"image.encoder={encoder}"])
    assert config.image is not None and config.image.frozen and config.caption is not None
    assert config.caption.encoder == "e5_small"
    small = replace(tiny_config, image=replace(config.image, train=tiny_config.image.train))
    train_run(sample_table, small, tmp_path / "run")
    shutil.rmtree(encoder)  # the run does not need it
    prediction = load_predictor(tmp_path / "run").predict(image=np.zeros((40, 50, 3), np.uint8))
    assert len(list(prediction)) == 3


def test_rows_without_an_image_still_train_the_caption_source(
    sample_table: AnnotationTable, tiny_config: SeparateConfig
) -> None:
    artworks = sample_table.strings("artwork_id")
    without_image = set(sorted(set(artworks))[::2])
    images = [
        None if artwork in without_image else image
        for artwork, image in zip(artworks, sample_table.strings("image"), strict=True)
    ]
    index = sample_table.rows.column_names.index("image")
    rows = sample_table.rows.set_column(
        index,
        sample_table.rows.schema.field("image"),
        pa.array(images, pa.string()).dictionary_encode(),
    )
    table = AnnotationTable(rows, sample_table.provenance)
    trained = train_separate(TrainingData.from_table(table), tiny_config)
    val = table.of_split("val")
    left_out = val.strings("image").count(None)
    protocol = trained.evaluation.protocol
    assert protocol["rows_without_image"] == left_out > 0
    assert protocol["rows"] == len(val) - left_out


def test_what_was_left_out_is_counted_in_card_and_metrics(
    sample_folder: Path, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    shutil.copytree(sample_folder / "wikiart", images)
    train = sample_table.of_split("train")
    broken = images / train.strings("image")[0]
    broken.write_bytes(broken.read_bytes()[:300])
    captions = sample_table.strings("caption")
    captions[sample_table.strings("split").index("train")] = "  "
    index = sample_table.rows.column_names.index("caption")
    field = sample_table.rows.schema.field("caption")
    rows = sample_table.rows.set_column(index, field, pa.array(captions, pa.string()))
    table = AnnotationTable(rows, {**sample_table.provenance, "images": str(images)})
    caption, image = tiny_config.caption, tiny_config.image
    assert caption is not None and image is not None
    tuned = replace(image, training="fine-tuned", penalty=(0.0,), workers=0)
    expected = {"images that cannot be read": 1, "empty captions": 1}
    for name, source in (("frozen", image), ("tuned", tuned)):
        config = replace(tiny_config, image=source, caption=None if source is tuned else caption)
        train_run(table, config, tmp_path / name)
        left_out = read_config(tmp_path / name)["left_out"]
        assert left_out.items() <= expected.items() and len(left_out) == 2 - (source is tuned)
        metrics = json.loads((tmp_path / name / "metrics.json").read_text("utf-8"))
        assert metrics["protocol"]["left_out"] == left_out
        card = (tmp_path / name / "README.md").read_text("utf-8")
        assert "- Left out of training and validation: images that cannot be read (1)\n" in card
        assert metrics["protocol"]["synthetic"] and "(synthetic data)" in card


def test_a_model_whose_predictions_are_not_finite_cannot_be_calibrated(
    sample_table: AnnotationTable, tiny_run: Path
) -> None:
    model = load_model(tiny_run)
    model.caption.head.shared.bias.data.fill_(torch.nan)
    data = TrainingData.from_table(sample_table)
    with pytest.raises(ConfigError, match=r"diverged.*lower image.train.* and caption.train.lear"):
        finish(data, model, {"image": {}, "caption": {}, "fusion": {}}, {})


def test_a_run_that_uses_a_synthetic_run_is_synthetic(
    sample_table: AnnotationTable, tiny_run: Path
) -> None:
    real = AnnotationTable(sample_table.rows)
    source = {"encoder": "any", "training": "fine-tuned"}
    for run, expected in ((str(tiny_run), True), ("", False)):
        settings = {**source, "run": run}
        teacher = {"teacher": settings, "student": source}
        assert is_synthetic(real, parse_config(teacher, DistillationConfig, "r")) == expected
        assert (
            is_synthetic(real, parse_config({"image": settings}, SeparateConfig, "r")) == expected
        )
    assert load_predictor(tiny_run).description.synthetic
    answer = load_predictor(tiny_run).predict(caption="a boat " * 99, cultures="english")
    note = str(answer["english"].note)
    assert "longer than the 64 tokens" in note
    assert "trained on synthetic data" in note


def test_a_damaged_record_of_a_training_is_named(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    work = tmp_path / "run.training"
    (work / "image").mkdir(parents=True)
    (work / "image" / "checkpoint.pt").write_bytes(b"any")
    (work / "recipe.json").write_text("[]", "utf-8")
    with pytest.raises(ConfigError, match=r"recipe\.json is damaged: delete .*run\.training"):
        train_run(sample_table, tiny_config, tmp_path / "run")


def test_with_one_culture_there_is_no_culture_head(
    sample_table: AnnotationTable, tiny_config: SeparateConfig
) -> None:
    english = sample_table.select(np.array(sample_table.strings("culture")) == "english")
    trained = train_separate(TrainingData.from_table(english), tiny_config)
    assert trained.model.cultures == ("english",)
    assert trained.model.image.head.deviation is None
    assert "both_without_culture" not in trained.evaluation.models


def test_what_cannot_be_trained_is_refused_before_the_work_begins(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    with pytest.raises(TableError, match="no rows in split 'val'"):
        train_separate(TrainingData.from_table(sample_table.of_split("train")), tiny_config)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    with pytest.raises(OutputExistsError, match="holds no SHA256SUMS"):
        train_run(sample_table, tiny_config, tmp_path / "taken", overwrite=True)
    moved = AnnotationTable(sample_table.rows, {"images": str(tmp_path / "gone")})
    with pytest.raises(TableError, match="which does not exist"):
        train_separate(TrainingData.from_table(moved), tiny_config)


def test_the_training_log_stays_with_the_run(tiny_run: Path, tmp_path: Path) -> None:
    log, histories = read_config(tiny_run)["training_log"], read_histories(tiny_run)
    assert set(log) == set(histories) == {"image", "caption", "fusion"}
    for name, history in histories.items():
        assert [epoch["epoch"] for epoch in history] == list(range(1, len(history) + 1))
        best = history[log[name]["best_epoch"] - 1]
        assert best["log_loss"] == log[name]["validation_log_loss"]
        assert best["log_loss"] == min(epoch["log_loss"] for epoch in history)
    assert log["image"]["penalty"] == 0.1
    assert "history" not in (tiny_run / "config.json").read_text("utf-8")
    copy = Path(shutil.copytree(tiny_run, tmp_path / "copy"))
    with (copy / "metrics.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(ModelFolderError, match="metrics.jsonl is not the file that was saved"):
        load_model(copy)


def test_a_folder_of_an_older_format_is_refused_in_one_line(tiny_run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_run, tmp_path / "copy"))
    config = read_config(copy)
    (copy / "config.json").write_text(json.dumps({**config, "format": 1}), "utf-8")
    write_checksums(copy)
    with pytest.raises(
        ModelFolderError, match="has format 1; this version reads format 2: train it again$"
    ):
        load_model(copy)


def test_a_source_must_be_fitted_before_it_is_refitted(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, encoder_folders: dict[str, Path]
) -> None:
    rows = tiny_rows(sample_table, encoder_folders, "val")
    assert tiny_config.image is not None
    config = replace(tiny_config.image, penalty=(0.1, 100.0))
    source = ImageSource.create(config, SourceContext(3))
    with pytest.raises(NotFittedError, match="call fit first"):
        source.refit(rows)
    head = source.fit(rows, rows).head
    again = source.refit(rows)
    assert source.penalty_ == source.log()["penalty"] == 0.1
    torch.testing.assert_close(head.shared.weight, again.shared.weight)
    assert source.logits(head, rows).shape == (2, len(rows), 9)


def test_out_of_fold_logits_come_from_other_artworks(
    sample_table: AnnotationTable, tiny_config: SeparateConfig, encoder_folders: dict[str, Path]
) -> None:
    """An artwork's own votes influence the logits of other artworks only."""
    rows = tiny_rows(sample_table, encoder_folders, "train")
    assert tiny_config.image is not None and tiny_config.caption is not None
    sources: list[Source[Any, Any]] = [
        ImageSource.create(tiny_config.image, SourceContext(0)),
        CaptionSource.create(tiny_config.caption, SourceContext(0), rows.captions),
    ]
    for source in sources:
        source.fit(rows, rows)
    before = out_of_fold_logits(sources, rows, 2, seed=0)
    mask = rows.artwork == 0
    turned = replace(rows, emotion=torch.where(mask, (rows.emotion + 4) % 9, rows.emotion))
    after = out_of_fold_logits(sources, turned, 2, seed=0)
    for name in ("image", "caption"):
        torch.testing.assert_close(after[name][:, mask], before[name][:, mask], rtol=0, atol=0)
    assert not torch.equal(after["image"], before["image"])
    # the first fold is enough, and the weights of a combination are fitted to it alone
    some = out_of_fold_logits(sources, rows, 2, seed=0, enough=1)
    known = some["image"][0, :, 0].isfinite()
    assert 0 < known.sum() < len(known)
    for name in ("image", "caption"):
        assert torch.equal(some[name][:, known], before[name][:, known])
        assert some[name][:, ~known].isnan().all()
