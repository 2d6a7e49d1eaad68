"""Temperatures: fitted on validation, one for each culture, kept with the model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from artaffect.config import SeparateConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.features import extract_arrays
from artaffect.metrics.classification import log_loss
from artaffect.models.checkpoint import load_model
from artaffect.prediction.evaluation import predict_proba
from artaffect.training.calibration import MIN_ROWS, calibrate, fit_temperature
from artaffect.training.data import TrainingData
from artaffect.training.separate import train_separate


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_labels_is_found(true: float) -> None:
    torch.manual_seed(0)
    logits = 3 * torch.randn(20_000, 9)
    labels = torch.distributions.Categorical(logits=logits / true).sample()
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_a_saved_model_answers_calibrated(tiny_run: Path, sample_table: AnnotationTable) -> None:
    model = load_model(tiny_run)
    assert not torch.equal(model.temperature, torch.ones_like(model.temperature))
    rows = extract_arrays(sample_table.of_split("val"), *model.encoders, model.cultures)
    labels = rows.emotion.numpy()
    for shown in (("image",), ("caption",), ("image", "caption")):
        raw, warm = (
            log_loss(labels, predict_proba(model, rows, shown, calibrated=c)) for c in (False, True)
        )
        assert warm <= raw + 1e-6, "fitted on these very rows"
    same = predict_proba(model, rows, calibrated=False).argmax(1) == predict_proba(
        model, rows
    ).argmax(1)
    assert same.all(), "a temperature changes no answer, only its confidence"


def test_a_culture_with_few_captions_takes_the_temperature_of_all(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(tiny_run)
    rows = extract_arrays(sample_table, *model.encoders, model.cultures)
    keep = (rows.culture != 1) | (torch.cumsum(rows.culture == 1, 0) < MIN_ROWS)
    calibrate(model, rows.select(keep))
    together = fit_temperature(
        torch.from_numpy(predict_proba(model, rows.select(keep), calibrated=False)).log(),
        rows.select(keep).emotion,
    )
    assert float(model.temperature[2, 1]) == pytest.approx(together, rel=1e-3)
    assert float(model.temperature[2, 2]) != pytest.approx(together, rel=1e-6)


def test_a_model_that_is_blind_to_culture_stays_blind(
    sample_table: AnnotationTable, tiny_config: SeparateConfig
) -> None:
    trained = train_separate(
        TrainingData.from_table(sample_table), replace(tiny_config, culture="off")
    )
    model = trained.model
    assert model.blind
    rows = extract_arrays(sample_table.of_split("val"), *model.encoders, model.cultures)
    answers = [predict_proba(model, rows, culture=c) for c in range(len(model.cultures) + 1)]
    for shown in (("image",), ("caption",)):
        answers += [
            predict_proba(model, rows, shown, c) - predict_proba(model, rows, shown, 0) + answers[0]
            for c in (1, 2)
        ]
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=1e-12)
