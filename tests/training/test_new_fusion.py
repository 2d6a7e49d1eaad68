"""A new form of fusion is one class in one file."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from artaffect.config import FUSION_INPUTS, SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.errors import ConfigError
from artaffect.models.checkpoint import load_model
from artaffect.models.folder import read_config, read_histories
from artaffect.models.fusion import FUSION_FORMS, LogitFusion, register_fusion
from artaffect.prediction.predictor import load_predictor
from artaffect.reports.tables import markdown_text
from artaffect.training.run import train_run


@pytest.fixture
def shared_weight() -> Iterator[str]:
    """The name of a form that gives all sources one common weight; registered for one test."""

    @register_fusion
    class SharedWeightFusion(LogitFusion):
        form = "shared_weight"

        def __init__(
            self, sources: tuple[str, ...], cultures: int, per_culture: bool, labels: int
        ) -> None:
            super().__init__(sources, cultures, per_culture, labels)
            rows = len(self.weight)
            del self.weight
            self.common = nn.Parameter(torch.full((rows, 1), 0.5))

        @property
        def weight(self) -> Tensor:
            return self.common.expand(-1, len(self.sources))

    yield SharedWeightFusion.form
    del FUSION_FORMS[SharedWeightFusion.form], FUSION_INPUTS[SharedWeightFusion.form]


def test_a_new_form_trains_saves_loads_and_is_reported(
    shared_weight: str,
    sample_table: AnnotationTable,
    tiny_config: SeparateConfig,
    tmp_path: Path,
    picture: Path,
) -> None:
    fusion = replace(tiny_config.fusion, form=shared_weight, per_culture="on")
    run = tmp_path / "run"
    result = train_run(sample_table, replace(tiny_config, fusion=fusion), run)
    assert "both" in result.models
    model = load_model(run)
    assert model.fusion is not None and model.fusion.form == shared_weight
    weight = model.fusion.weight.detach()
    assert weight.shape == (4, 2) and torch.equal(weight[:, 0], weight[:, 1])
    assert not torch.equal(weight, torch.full_like(weight, 0.5))

    config = read_config(run)
    assert config["fusion"]["form"] == config["recipe"]["fusion"]["form"] == shared_weight
    log = config["training_log"]["fusion"]
    assert log["form"] == "shared_weight_per_culture" and log["rejected"] == {}
    assert read_histories(run)["fusion"][log["best_epoch"] - 1]["log_loss"] == pytest.approx(
        log["validation_log_loss"]
    )
    described = json.loads((run / "metrics.json").read_text("utf-8"))["extra"]["fusion"]
    assert described["form"] == shared_weight
    weights = described["weights"]["arabic"]
    assert weights["image"] == weights["caption"] == pytest.approx(float(weight[1, 0]))
    assert f"Combination: {markdown_text(shared_weight)}" in (run / "README.md").read_text("utf-8")
    assert "<html" in (run / "report.html").read_text("utf-8")

    predictor = load_predictor(run)
    shares = predictor.predict(picture, "waves").by_culture[0].modality_shares
    assert sum(shares.values()) == pytest.approx(1)


def test_automatic_choice_tries_every_registered_form(
    shared_weight: str, sample_table: AnnotationTable, tiny_config: SeparateConfig, tmp_path: Path
) -> None:
    train_run(sample_table, tiny_config, tmp_path / "run")
    log = read_config(tmp_path / "run")["training_log"]["fusion"]
    names = {name + suffix for name in FUSION_FORMS for suffix in ("", "_per_culture")}
    assert {log["form"], *log["rejected"]} == names
    assert all(log["validation_log_loss"] <= score for score in log["rejected"].values())


def test_an_unknown_form_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="should be 'auto', 'logits' or 'features', got 'magic'"):
        load_recipe("compact", SeparateConfig, ["fusion.form=magic"])
