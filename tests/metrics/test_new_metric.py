"""A metric that this file alone defines appears in every result, table, figure and page."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from artaffect.metrics.classification import (
    METRICS,
    Metric,
    mean_of_rows,
    register_metric,
)
from artaffect.metrics.evaluation import culture_gaps, evaluate
from artaffect.reports.evaluation import save_metrics, save_report
from artaffect.reports.tables import evaluation_tables

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 9, 300)
PROBABILITIES = {name: RNG.dirichlet(np.ones(9), 300) for name in ("caption", "both")}
CULTURES = RNG.choice(np.array(["english", "arabic"], object), 300)
ARTWORKS = RNG.integers(0, 30, 300)


def _top_3(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    top = np.argsort(-probabilities, 1)[:, :3]
    return (top == labels[:, None]).any(1).astype(float)


@pytest.fixture
def metric() -> Iterator[Metric]:
    yield register_metric(Metric("top_3_accuracy", "top-3 accuracy", True, _top_3, mean_of_rows))
    del METRICS["top_3_accuracy"]


def test_a_registered_metric_is_shown_everywhere(metric: Metric, tmp_path: Path) -> None:
    arrays = (LABELS, CULTURES, ARTWORKS)
    result = evaluate(PROBABILITIES, *arrays, n_resamples=20)
    estimate = result["both"].top_3_accuracy
    assert estimate.value == metric(LABELS, PROBABILITIES["both"])
    assert result["both"]["arabic"].top_3_accuracy.value != estimate.value
    assert result.comparison("both", "caption").by_group.overall["top_3_accuracy"].value == (
        pytest.approx(estimate.value - result["caption"].top_3_accuracy.value)
    )
    table = evaluation_tables(result)[0]
    assert "top-3 accuracy" in table.header and f"{estimate:.3f}" in table.rows[1]
    assert "top_3_accuracy" in set(result.to_frame().metric)
    assert "top-3 accuracy" in repr(result)
    assert "top_3_accuracy" in culture_gaps(PROBABILITIES, *arrays, 20)["both"]

    protocol = {"split": "val", "baseline": "none", "rows_without_image": 0}
    result.protocol.update(protocol)  # type: ignore[attr-defined]
    save_metrics(result, tmp_path / "metrics.json")
    saved = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    overall = saved["models"]["both"]["overall"]["metrics"]
    assert overall["top_3_accuracy"]["value"] == estimate.value
    log = {"image": [{"epoch": 1, "loss": 2.0, "top_3_accuracy": 0.5}]}
    save_report(result, tmp_path / "report.html", "A new metric", log)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert '<th scope="col">top-3 accuracy</th>' in page and f"{estimate:.3f}" in page
    assert page.count(">top-3 accuracy</text>") == 1, "a panel of the scores figure"
    assert page.count(">top-3 accuracy, validation</text>") == 1, "a training curve"


def test_a_metric_needs_a_new_identifier() -> None:
    with pytest.raises(ValueError, match="needs a new identifier as its name, got 'accuracy'"):
        register_metric(METRICS["accuracy"])
