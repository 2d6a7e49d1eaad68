"""A model that reads images keeps how near another image is to its training artworks."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ModelFolderError
from artaffect.features import extract_arrays
from artaffect.models.familiarity import Familiarity
from artaffect.models.folder import CHECKSUMS, FAMILIARITY, write_checksums
from artaffect.models.heads import FeatureScaler
from artaffect.prediction.export import export_onnx
from artaffect.prediction.predictor import PredictionInput, load_predictor
from artaffect.training.familiarity import learn_familiarity

NOTE = "the image is less similar to the training artworks than 99 % of the validation artworks"


def test_a_training_artwork_is_most_similar_to_itself(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    predictor = load_predictor(tiny_run)
    train = sample_table.of_split("train")
    assert train.images is not None
    paths = [train.images / name for name in train.strings("image")[:20]]
    for prediction in predictor.predict_batch([PredictionInput(path) for path in paths]):
        assert prediction.similarity == pytest.approx(1, abs=2e-3)
        assert all(NOTE not in (p.note or "") for p in prediction)
    assert predictor.predict(caption="waves").similarity is None


def test_one_in_a_hundred_validation_artworks_is_below_what_is_usual(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    predictor = load_predictor(tiny_run)
    familiarity = predictor.familiarity
    assert familiarity is not None
    val = sample_table.of_split("val")
    assert val.images is not None
    paths = sorted({val.images / name for name in val.strings("image")})
    similarity = [
        p.similarity for p in predictor.predict_batch([PredictionInput(path) for path in paths])
    ]
    assert familiarity.usual == pytest.approx(np.quantile(similarity, 0.01), abs=1e-4)


def test_an_image_unlike_all_others_is_noted() -> None:
    rng = np.random.default_rng(0)
    known = Familiarity(
        np.eye(3, 2, dtype=np.float32),
        np.zeros(2, np.float32),
        np.array([[1, 0], [0.6, 0.8]], np.float16),
        0.9,
    )
    near, far = known.similarity(np.array([[2, 0, 5], [-1, 0, 0]], np.float32)).tolist()
    assert near == pytest.approx(1) and far == pytest.approx(-0.6, abs=1e-3)
    assert known.note(near) is None and known.note(None) is None
    assert NOTE in (known.note(far) or "")
    many = rng.normal(size=(3000, 3)).astype(np.float32)
    expected = (known.direction(many) @ known.directions.T.astype(np.float32)).max(1)
    np.testing.assert_allclose(known.similarity(many), expected)
    assert len(known.similarity(many[:0])) == 0


def test_the_projection_keeps_what_the_features_say(sample_table: AnnotationTable) -> None:
    arrays = extract_arrays(sample_table, None, None, ("english",))
    count = len(arrays.artwork_ids)
    torch.manual_seed(0)
    features = torch.randn(count, 4) @ torch.randn(4, 40) + 3.0
    rows = replace(arrays, image=features, artwork_has_image=torch.ones(count, dtype=torch.bool))
    scaler = FeatureScaler(40).fit(features)
    familiarity = learn_familiarity(rows, rows, scaler)
    assert familiarity is not None and familiarity.directions.dtype == np.float16
    standardised = ((features - scaler.mean) / scaler.scale).numpy()
    exact = standardised / np.linalg.norm(standardised, axis=1, keepdims=True)
    own = familiarity.direction(features.numpy())
    np.testing.assert_allclose(own @ own.T, exact @ exact.T, atol=1e-2)


@pytest.mark.slow
def test_an_export_keeps_it(tiny_run: Path, tmp_path: Path, picture: Path) -> None:
    pytest.importorskip("onnxruntime")
    export_onnx(tiny_run, tmp_path / "onnx")
    first, second = (load_predictor(run).predict(picture) for run in (tiny_run, tmp_path / "onnx"))
    assert first.similarity == pytest.approx(second.similarity, abs=1e-4)


def test_a_folder_without_it_predicts_and_one_that_does_not_fit_is_refused(
    tiny_run: Path, tmp_path: Path, picture: Path
) -> None:
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    path = run / FAMILIARITY
    tensors = load_file(path)
    changes: list[dict[str, np.ndarray]] = [
        {"offset": tensors["offset"][:-1]},
        {"directions": tensors["directions"][:0]},
        {"directions": tensors["directions"].astype(np.float32)},
        {"usual": np.array([np.nan], np.float32)},
        {"projection": tensors["projection"][:-1]},
        {"more": tensors["usual"]},
    ]
    for change in changes:
        save_file({**tensors, **change}, path)
        write_checksums(run)
        with pytest.raises(
            ModelFolderError, match="familiarity.safetensors does not fit the model"
        ):
            load_predictor(run).predict(picture)
    path.write_bytes(b"nothing")
    write_checksums(run)
    with pytest.raises(ModelFolderError, match="familiarity.safetensors is damaged"):
        load_predictor(run).predict(picture)
    path.unlink()
    write_checksums(run)
    assert FAMILIARITY not in (run / CHECKSUMS).read_text()
    assert load_predictor(run).predict(picture).similarity is None
