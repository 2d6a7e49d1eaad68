"""The recipe never looks at what it must not see, and its folder holds all it needs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from artaffect.config import CompactConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import NotFittedError, OutputExistsError, TableError
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.models.checkpoint import load_model
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.training.branches import CaptionBranch, ImageBranch, soft_labels
from artaffect.training.compact import train_compact
from artaffect.training.data import TrainingData
from artaffect.training.fusion import fold_of_artwork, out_of_fold_logits
from artaffect.training.run import train_run


def tiny_rows(table: AnnotationTable, encoders: dict[str, Path], split: str) -> AnnotationArrays:
    """The rows of a split with their features by the tiny encoders."""
    return extract_arrays(
        table.of_split(split),
        create_image_encoder(str(encoders["resnet"])),
        create_text_encoder(str(encoders["bert"])),
        table.cultures,
    )


def test_the_test_split_has_no_influence(
    sample_table: AnnotationTable, tiny_config: CompactConfig
) -> None:
    splits = np.array(sample_table.strings("split"))
    without = sample_table.select(splits != "test")
    whole, part = (
        train_compact(TrainingData.of(t), tiny_config, n_resamples=5)
        for t in (sample_table, without)
    )
    assert whole.evaluation == part.evaluation
    for a, b in zip(whole.model.parameters(), part.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_folds_are_by_painting_and_even() -> None:
    folds = fold_of_artwork(np.array([f"a{i}" for i in range(103)]), 5, seed=0)
    assert torch.bincount(folds).tolist() == [21, 21, 21, 20, 20]


def test_soft_labels_hold_every_vote_once_per_culture_and_once_for_all(
    sample_table: AnnotationTable, encoder_folders: dict[str, Path]
) -> None:
    rows = tiny_rows(sample_table, encoder_folders, "val")
    data = soft_labels(rows, 3).columns
    by_culture = [data["votes"][data["culture"] == c].sum() for c in range(4)]
    assert by_culture[0] == sum(by_culture[1:]) == len(rows)
    assert len(data["votes"]) == 4 * len(rows.artwork_ids)


@pytest.mark.parametrize("form", ["logits", "features"])
@pytest.mark.parametrize("per_culture", ["on", "off"])
@pytest.mark.parametrize("culture", ["head", "off"])
def test_every_form_of_fusion_trains_saves_and_loads(
    sample_table: AnnotationTable,
    tiny_config: CompactConfig,
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


def test_rows_without_a_picture_still_teach_the_caption(
    sample_table: AnnotationTable, tiny_config: CompactConfig
) -> None:
    artworks = sample_table.strings("artwork_id")
    unpictured = set(sorted(set(artworks))[::2])
    images = [
        None if artwork in unpictured else image
        for artwork, image in zip(artworks, sample_table.strings("image"), strict=True)
    ]
    index = sample_table.rows.column_names.index("image")
    rows = sample_table.rows.set_column(
        index,
        sample_table.rows.schema.field("image"),
        pa.array(images, pa.string()).dictionary_encode(),
    )
    table = AnnotationTable(rows, sample_table.provenance)
    trained = train_compact(TrainingData.of(table), tiny_config, n_resamples=5)
    val = table.of_split("val")
    left_out = val.strings("image").count(None)
    protocol = trained.evaluation.protocol
    assert protocol["rows_without_image"] == left_out > 0
    assert protocol["rows"] == len(val) - left_out


def test_one_culture_needs_no_culture_head(
    sample_table: AnnotationTable, tiny_config: CompactConfig
) -> None:
    english = sample_table.select(np.array(sample_table.strings("culture")) == "english")
    trained = train_compact(TrainingData.of(english), tiny_config, n_resamples=5)
    assert trained.model.cultures == ("english",)
    assert trained.model.image.head.deviation is None
    assert "both_without_culture" not in trained.evaluation.models


def test_what_cannot_be_trained_is_refused_before_the_work(
    sample_table: AnnotationTable, tiny_config: CompactConfig, tmp_path: Path
) -> None:
    with pytest.raises(TableError, match="no rows in split 'val'"):
        train_compact(TrainingData.of(sample_table.of_split("train")), tiny_config)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("x")
    with pytest.raises(OutputExistsError, match="holds no SHA256SUMS"):
        train_run(sample_table, tiny_config, tmp_path / "taken", overwrite=True)
    moved = AnnotationTable(sample_table.rows, {"images": str(tmp_path / "gone")})
    with pytest.raises(TableError, match="which is not there"):
        train_compact(TrainingData.of(moved), tiny_config)


def test_a_branch_must_choose_before_it_refits(
    sample_table: AnnotationTable, tiny_config: CompactConfig, encoder_folders: dict[str, Path]
) -> None:
    rows = tiny_rows(sample_table, encoder_folders, "val")
    branch = ImageBranch(
        replace(tiny_config.image, penalty=(0.1, 100.0)), rows.image.shape[1], 3, seed=0
    )
    with pytest.raises(NotFittedError, match="call fit first"):
        branch.refit(rows)
    head = branch.fit(rows, rows)
    again = branch.refit(rows)
    assert branch.penalty_ == 0.1
    torch.testing.assert_close(head.shared.weight, again.shared.weight)
    assert branch.logits(head, rows).shape == (2, len(rows), 9)


def test_out_of_fold_answers_come_from_other_paintings(
    sample_table: AnnotationTable, tiny_config: CompactConfig, encoder_folders: dict[str, Path]
) -> None:
    """A painting's own votes have no influence on what is said of it, only on what is said of others."""
    rows = tiny_rows(sample_table, encoder_folders, "train")
    image = ImageBranch(tiny_config.image, rows.image.shape[1], 0, seed=0)
    caption = CaptionBranch(tiny_config.caption, rows.caption.shape[1], 0, seed=0)
    image.fit(rows, rows)
    caption.fit(rows, rows)
    before = out_of_fold_logits(image, caption, rows, 2, seed=0)
    mine = rows.artwork == 0
    turned = replace(rows, emotion=torch.where(mine, (rows.emotion + 4) % 9, rows.emotion))
    after = out_of_fold_logits(image, caption, turned, 2, seed=0)
    torch.testing.assert_close(after.image[:, mine], before.image[:, mine], rtol=0, atol=0)
    torch.testing.assert_close(after.caption[:, mine], before.caption[:, mine], rtol=0, atol=0)
    assert not torch.equal(after.image, before.image)
