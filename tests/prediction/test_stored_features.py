"""Features of images that were made elsewhere, in place of an image encoder."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import artaffect as aa
from artaffect.config import (
    CaptionSourceConfig,
    FusionConfig,
    ImageSourceConfig,
    SeparateConfig,
    TrainConfig,
)
from artaffect.data.annotations import AnnotationTable
from artaffect.data.stored_features import read_vectors
from artaffect.errors import ExportError, InputError, TableError
from artaffect.models.folder import read_config
from artaffect.training.run import train_run
from tests.conftest import Command

WIDTH = 9
TRAIN = TrainConfig(epochs=20, learning_rate=0.05)


def telling_vectors(table: AnnotationTable) -> tuple[list[str], np.ndarray]:
    """For each artwork its votes, with noise: features from which the emotions can be learned."""
    names, codes = table.codes("artwork_id")
    votes = np.zeros((len(names), WIDTH), np.float32)
    np.add.at(votes, (codes, table.emotion_codes()), 1)
    return list(map(str, names)), votes + np.random.default_rng(0).normal(0, 0.1, votes.shape)


def write_npz(path: Path, names: list[str], vectors: np.ndarray) -> Path:
    np.savez(path, artwork_id=np.array(names), vector=vectors)
    return path


def write_parquet(path: Path, names: list[str], vectors: list[object]) -> Path:
    pq.write_table(pa.table({"artwork_id": names, "vector": vectors}), path)
    return path


@pytest.fixture(scope="module")
def without_images(sample_table: AnnotationTable) -> AnnotationTable:
    """The sample, whose images do not exist on this machine."""
    return replace(sample_table, provenance={**sample_table.provenance, "images": "/nowhere"})


@pytest.fixture(scope="module")
def features(sample_table: AnnotationTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of all artworks but the first."""
    names, vectors = telling_vectors(sample_table)
    return write_npz(tmp_path_factory.mktemp("features") / "f.npz", names[1:], vectors[1:])


@pytest.mark.slow
def test_a_model_learns_from_features_that_were_made_elsewhere(
    without_images: AnnotationTable,
    features: Path,
    encoder_folders: dict[str, Path],
    tmp_path: Path,
    artaffect: Command,
) -> None:
    table, run = without_images, tmp_path / "run"
    config = SeparateConfig(
        image=ImageSourceConfig(encoder=f"features:{features}", train=TRAIN),
        caption=CaptionSourceConfig(encoder=str(encoder_folders["bert"]), train=TRAIN),
        fusion=FusionConfig(form="logits", per_culture="off"),
        folds=2,
    )
    train_run(table, config, run)
    assert read_config(run)["image"]["encoder"]["architecture"]["width"] == WIDTH
    result = aa.evaluate(run, table, features=features)
    assert result["image"].log_loss.value < result.baseline.log_loss.value - 0.1
    names, vectors = telling_vectors(table)
    same = write_parquet(tmp_path / "f.parquet", names[1:], vectors[1:].tolist())
    assert aa.evaluate(run, table, features=same)["both"] == result["both"]
    table.save(tmp_path / "t.parquet")
    code, _, err = artaffect("evaluate", run, "--data", tmp_path / "t.parquet")
    assert code == 1 and "does not exist" in err
    with pytest.raises(InputError, match="features that were made elsewhere: name their file with"):
        aa.evaluate(run, table)
    report = aa.report(run, table, tmp_path / "report", explanations=2, features=features)
    assert report.runs[0].evaluation["image"] == result["image"]
    twin = shutil.copytree(run, tmp_path / "twin")
    compared = aa.compare_runs([run, twin], table, features=features)
    assert compared.scores["image"]["twin"].log_loss == result["image"].log_loss
    predictor = aa.load_predictor(run)
    assert predictor.description.modalities == ("caption",)
    assert predictor.predict(caption="a calm sea").by_culture[0].modality_shares["image"] == 0
    with pytest.raises(
        InputError, match="this model reads captions only, and the input is an image"
    ):
        predictor.predict(image=np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ExportError, match="features that were made elsewhere"):
        aa.export_onnx(run, tmp_path / "onnx")


def test_a_model_of_images_takes_no_features(
    tiny_run: Path, sample_table: AnnotationTable, features: Path
) -> None:
    with pytest.raises(InputError, match="this model reads no features that were made elsewhere"):
        aa.evaluate(tiny_run, sample_table, features=features)


def test_features_of_another_width_are_refused(
    without_images: AnnotationTable, features: Path, tmp_path: Path
) -> None:
    config = SeparateConfig(image=ImageSourceConfig(encoder=f"features:{features}", train=TRAIN))
    train_run(without_images, config, tmp_path / "run")
    other = write_npz(tmp_path / "o.npz", ["a"], np.zeros((1, 3)))
    with pytest.raises(InputError, match="its vectors have 3 numbers, and the model reads 9"):
        aa.evaluate(tmp_path / "run", without_images, features=other)


def test_features_cannot_be_fine_tuned() -> None:
    with pytest.raises(ValueError, match="features that were made elsewhere cannot be fine-tuned"):
        ImageSourceConfig(encoder="features:f.npz", training="fine-tuned")


def test_files_that_are_wrong_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        read_vectors(tmp_path / "none.npz")
    file = write_npz(tmp_path / "nan.npz", ["a", "b"], np.array([[1.0], [np.nan]]))
    with pytest.raises(TableError, match="row 2: the vector of b is not finite"):
        read_vectors(file)
    with pytest.raises(TableError, match="row 2: a has a second vector"):
        read_vectors(write_npz(tmp_path / "twice.npz", ["a", "a"], np.zeros((2, 1))))
    with pytest.raises(TableError, match="expected the columns artwork_id"):
        read_vectors(write_npz(tmp_path / "flat.npz", ["a"], np.zeros(1)))
    objects = tmp_path / "objects.npz"
    np.savez(objects, artwork_id=np.array(["a"]), vector=np.array([{}], object))
    with pytest.raises(TableError, match="expected the columns artwork_id"):
        read_vectors(objects)
    ragged = write_parquet(tmp_path / "ragged.parquet", ["a", "b"], [[1.0], [1.0, 2.0]])
    with pytest.raises(TableError, match="its vectors have different lengths, 1 to 2"):
        read_vectors(ragged)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(TableError, match="expected the columns artwork_id .*; it has id"):
        read_vectors(tmp_path / "other.parquet")
