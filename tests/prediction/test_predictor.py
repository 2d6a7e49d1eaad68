"""A predictor accepts what its signature says, names what is wrong, and shows itself readably."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from artaffect.errors import ImageError, InputError, ModelFolderError, UnknownNameError
from artaffect.labels import EMOTIONS, LabelDistribution
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.models.checkpoint import load_model
from artaffect.prediction.notes import Note
from artaffect.prediction.predictor import (
    CulturePrediction,
    ModelPredictor,
    Prediction,
    PredictionInput,
    load_predictor,
)
from artaffect.prediction.torch import TorchPredictor


@pytest.fixture(scope="module")
def predictor(tiny_run: Path) -> ModelPredictor:
    return load_predictor(str(tiny_run))


def values(prediction: Prediction) -> np.ndarray:
    return np.array([item.distribution.values for item in prediction])


def test_an_image_may_be_a_path_bytes_a_pillow_image_or_an_array(
    predictor: ModelPredictor, picture: Path
) -> None:
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    expected = values(predictor.predict(picture))
    for source in (str(picture), picture.read_bytes(), Image.open(picture), pixels):
        np.testing.assert_allclose(values(predictor.predict(source)), expected, atol=1e-5)
    np.testing.assert_allclose(values(predictor.predict(pixels / 255)), expected, atol=1e-2)
    np.testing.assert_allclose(
        predictor.predict_proba(images=[pixels], culture="arabic")[0], expected[0], atol=1e-5
    )


def test_a_note_says_that_only_the_first_frame_was_read(
    predictor: ModelPredictor, tmp_path: Path
) -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    note = "several frames or pages: only the first was read"
    for suffix in ("gif", "tif", "webp", "png"):
        several, single = tmp_path / f"several.{suffix}", tmp_path / f"single.{suffix}"
        frames[0].save(several, save_all=True, append_images=frames[1:])
        frames[0].save(single)
        for path, is_noted in ((several, True), (single, False)):
            here = predictor.predict(path, cultures="arabic")
            (prepared,) = predictor.prepare_each([PredictionInput(path, cultures=["arabic"])])
            (elsewhere,) = predictor.answer_each([prepared])  # decoded in another process
            for prediction in (here, elsewhere):
                assert (note in (prediction["arabic"].note or "")) == is_noted, path


def test_a_string_is_one_culture_and_none_means_all(predictor: ModelPredictor) -> None:
    assert [p.culture for p in predictor.predict(caption="waves", cultures="Arabic")] == ["arabic"]
    assert [p.culture for p in predictor.predict(caption="waves")] == list(predictor.cultures)
    both = predictor.predict(caption="waves", cultures=np.array(["english", "arabic"]))  # type: ignore[arg-type]
    assert [p.culture for p in both] == ["english", "arabic"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": 3}, "image must be a path, bytes, a PIL image or an array, got int"),
        ({"caption": 3}, "caption must be a str, got int"),
        ({"caption": "waves", "language": 3}, "language must be a str, got int"),
        ({"caption": "waves", "cultures": []}, "cultures is empty"),
        ({"caption": "waves", "cultures": 3}, "cultures must be a str or a list of str, got 3"),
        ({"caption": "waves", "cultures": ["arabic", 1]}, "cultures must be a str or a list"),
        ({}, "nothing to predict from"),
    ],
)
def test_an_error_names_the_wrong_argument(
    predictor: ModelPredictor, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        predictor.predict(**arguments)  # type: ignore[arg-type]


def test_a_matrix_has_the_probabilities_of_single_predictions(
    predictor: ModelPredictor, picture: Path
) -> None:
    images = [picture, None, str(picture)] * 13
    captions = ["waves", "a black sky", None] * 13
    matrix = predictor.predict_proba(images, captions, "Arabic")
    assert matrix.shape == (39, len(EMOTIONS)) and matrix.dtype == np.float64
    np.testing.assert_allclose(matrix.sum(1), 1)
    for row in range(3):
        single = predictor.predict(images[row], captions[row], cultures="arabic")
        np.testing.assert_allclose(matrix[row], single["arabic"].distribution.values, atol=1e-5)
    together = predictor.predict_proba(captions=iter(["waves"]))
    blind = predictor.predict(caption="waves", cultures="any")
    np.testing.assert_allclose(together, values(blind), atol=1e-6)
    assert predictor.predict_proba(images=[]).shape == (0, len(EMOTIONS))


def test_an_error_in_a_matrix_names_the_position(predictor: ModelPredictor, picture: Path) -> None:
    images = [*[picture] * 40, "none.jpg"]
    with pytest.raises(ImageError, match=r"item 40: none\.jpg: no such file"):
        predictor.predict_proba(images)
    with pytest.raises(InputError, match="item 1: nothing to predict from"):
        predictor.predict_proba(captions=["waves", None])
    with pytest.raises(InputError, match="item 0: caption must be a str, got float"):
        predictor.predict_proba(captions=[float("nan")])  # type: ignore[list-item]
    with pytest.raises(InputError, match="must have the same length, got 1 and 2"):
        predictor.predict_proba([picture], ["waves", "sky"])
    with pytest.raises(InputError, match="captions must be a list, got str"):
        predictor.predict_proba(captions="waves")
    with pytest.raises(InputError, match="images must be a list, got int"):
        predictor.predict_proba(images=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="pass images, captions, or both"):
        predictor.predict_proba()
    with pytest.raises(UnknownNameError, match="Did you mean 'arabic'"):
        predictor.predict_proba(captions=["waves"], culture="arabik")
    with pytest.raises(InputError, match="culture must be a str, got list"):
        predictor.predict_proba(captions=["waves"], culture=["arabic"])  # type: ignore[arg-type]


def test_a_batch_raises_or_lists_its_errors(predictor: ModelPredictor, picture: Path) -> None:
    good, bad = PredictionInput(picture, "waves"), PredictionInput("none.jpg")
    inputs = [*[good] * 33, bad, good]
    with pytest.raises(ImageError, match=r"item 33: none\.jpg: no such file"):
        predictor.predict_batch(inputs)
    results = predictor.predict_batch(inputs, on_error="list")
    assert [type(result) for result in results] == [
        *[Prediction] * 33, ImageError, Prediction
    ]  # fmt: skip
    assert str(results[33]) == "none.jpg: no such file"
    with pytest.raises(InputError, match="item 1: expected a PredictionInput, got str"):
        predictor.predict_batch([good, "waves"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="on_error must be 'raise' or 'list', got 'skip'"):
        predictor.predict_batch([good], on_error="skip")  # type: ignore[call-overload]


def prediction_for(culture: str, note: str | None = None) -> CulturePrediction:
    notes = (Note("caveat", note),) if note else ()
    distribution = LabelDistribution((0.05, 0.35, 0.25, 0.05, 0.05, 0.05, 0.1, 0.05, 0.05))
    return CulturePrediction(culture, distribution, {"image": 1.0, "caption": 0.0}, notes)


def test_predictions_have_a_readable_form() -> None:
    prediction = Prediction((prediction_for("english"), prediction_for("arabic")))
    assert repr(prediction) == "Prediction(english: awe 0.35, arabic: awe 0.35)"
    assert repr(prediction["arabic"]) == (
        "CulturePrediction(arabic: awe 0.35, contentment 0.25, fear 0.10)"
    )


def test_the_html_form_is_an_escaped_table_with_headers() -> None:
    html = Prediction((prediction_for("<b>", "a & b"), prediction_for("arabic")))._repr_html_()
    assert "<caption>" in html and html.count('<th scope="row">') == len(EMOTIONS)
    assert '<th scope="col">&lt;b&gt;</th>' in html and "<p>a &amp; b</p>" in html
    assert html.count("<strong>0.35</strong>") == 2 and "<b>" not in html
    assert prediction_for("arabic")._repr_html_().count('<th scope="col">') == 1


def test_a_predictor_shows_engine_cultures_encoders_and_folder(
    predictor: ModelPredictor, tiny_run: Path
) -> None:
    text = repr(predictor)
    assert text.startswith("TorchPredictor(engine='torch', modalities=['image', 'caption'], ")
    assert "cultures=['arabic', 'chinese', 'english']" in text
    encoders = json.loads((tiny_run / "config.json").read_text("utf-8"))["encoders"]
    assert f"encoders={encoders!r}" in text and f"folder={str(tiny_run)!r}" in text
    assert "folder" not in repr(TorchPredictor(load_model(tiny_run)))


def test_the_scores_of_the_training_come_with_the_predictor(
    predictor: ModelPredictor, tiny_run: Path
) -> None:
    assert isinstance(predictor.evaluation, EvaluationResult)
    saved = json.loads((tiny_run / "metrics.json").read_text("utf-8"))
    assert predictor.evaluation.to_json() == EvaluationResult.from_json(saved).to_json()
    with pytest.raises(ModelFolderError, match="was not loaded from a folder"):
        _ = TorchPredictor(load_model(tiny_run)).evaluation
