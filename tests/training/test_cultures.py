"""Models that know the culture, compared with what the generative model says it is worth."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from artaffect.config import ImageSourceConfig, TrainConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.data.sample.generative_model import CULTURES, best_scores, feelings
from artaffect.errors import ConfigError, TableError
from artaffect.features import AnnotationArrays
from artaffect.models.checkpoint import load_model
from artaffect.training.modalities import ImageSource
from artaffect.training.run import CULTURE_MODELS, train_culture_models
from artaffect.training.sources import SourceContext
from tests.conftest import Command


def sample_rows(artworks: int, votes: int, seed: int) -> AnnotationArrays:
    """Artworks whose features encode scene and palette, with votes by the sample's cultures."""
    rng = np.random.default_rng(seed)
    kind = np.arange(artworks) % 36
    probabilities = feelings().reshape(36, 3, 9)
    artwork = np.repeat(np.arange(artworks), 3 * votes)
    culture = np.tile(np.repeat(np.arange(3), votes), artworks)
    edges = probabilities[kind[artwork], culture].cumsum(1)
    emotion = (rng.random((len(artwork), 1)) * edges[:, -1:] > edges).sum(1)
    return AnnotationArrays(
        artwork_ids=np.arange(artworks),
        image=torch.eye(36)[torch.from_numpy(kind)],
        artwork_has_image=torch.ones(artworks, dtype=torch.bool),
        artwork=torch.from_numpy(artwork),
        caption=torch.zeros(1, 0),
        caption_index=torch.zeros(len(artwork), dtype=torch.int64),
        emotion=torch.from_numpy(emotion),
        culture=torch.from_numpy(culture + 1),
        culture_names=np.array(CULTURES, object)[culture],
    )


@pytest.mark.parametrize(("n_cultures", "seen"), [(3, "image and culture"), (0, "image")])
def test_a_head_for_each_culture_reaches_the_best_possible_score(
    n_cultures: int, seen: str
) -> None:
    settings = TrainConfig(epochs=60, batch_size=512, learning_rate=2e-2, patience=60)
    config = ImageSourceConfig("none", penalty=(1e-4,), train=settings)
    encoder = SimpleNamespace(feature_dim=36)
    source = ImageSource(config, encoder, SourceContext(n_cultures))  # type: ignore[arg-type]
    source.fit(sample_rows(1440, 12, 0), sample_rows(720, 6, 1))
    log_loss = source.log()["validation_log_loss"]
    assert log_loss == pytest.approx(best_scores()[seen].log_loss, abs=0.03)


def test_in_the_sample_the_culture_is_worth_knowing() -> None:
    best = best_scores()
    assert best["image"].log_loss - best["image and culture"].log_loss > 0.1


@pytest.mark.slow
def test_four_models_of_culture_are_compared_with_the_blind_one(
    artaffect: Command,
    sample_table: AnnotationTable,
    encoder_folders: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    settings = [
        f"image.encoder={encoder_folders['resnet']}",
        f"caption.encoder={encoder_folders['bert']}",
        "image.penalty=[0.1]",
        "image.train.epochs=2",
        "caption.hidden=[8]",
        "caption.train.epochs=1",
        "caption.train.min_steps=0",
        "fusion.form=logits",
        "folds=2",
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    out = tmp_path / "out"
    command = ("cultures", "--data", tmp_path / "t.parquet", "--out", out, "--paintings", 0, *sets)
    code, printed, err = artaffect(*command)
    assert code == 0, err
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [run["name"] for run in report["runs"]] == list(CULTURE_MODELS)
    for kind in ("image", "caption", "both"):
        pairs = [(c["first"], c["second"]) for c in report["comparison"][kind]["comparisons"]]
        assert pairs == [(name, "blind") for name in ("embedding", "head", "weights")]
    # over few artworks only what needs no estimate is said
    assert "too few to conclude anything" in printed and "both: head" not in printed
    assert "caption: weights predicts exactly the same as blind" in printed
    blind, weights = (load_model(out / "runs" / name) for name in ("blind", "weights"))
    assert blind.blind and len(blind.fusion.weight) == 1  # type: ignore[union-attr]
    assert len(weights.fusion.weight) == 4  # type: ignore[union-attr]
    matrix = report["runs"][0]["cross_culture"]
    rows = [matrix["overall"], *matrix["by_culture"].values()]
    answers = [scores["overall"]["metrics"] for scores in rows]
    assert all(answer == answers[0] for answer in answers), "blind: one answer for all"

    with caplog.at_level("INFO"):
        train_culture_models(sample_table, "compact", sets[1::2], out / "runs")
    assert caplog.text.count("already trained") == 4
    with pytest.raises(ConfigError, match="blind was trained with other settings"):
        train_culture_models(sample_table, "compact", sets[1::2] + ["seed=1"], out / "runs")


def test_a_table_of_one_culture_is_refused(sample_table: AnnotationTable, tmp_path: Path) -> None:
    names, codes = sample_table.codes("culture")
    english = sample_table.select(names[codes] == "english")
    with pytest.raises(TableError, match="has only one culture, english"):
        train_culture_models(english, "compact", [], tmp_path)
