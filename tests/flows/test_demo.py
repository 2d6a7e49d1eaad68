"""`artaffect demo`, with its real encoders, on few paintings."""

import json
from pathlib import Path

import pytest

from artaffect.cli.demo import best_possible, run_demo
from artaffect.data.sample.generative_model import best_scores

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    run_demo(folder, artworks=180, cache=None)
    return folder


def test_both_beats_each_alone_and_the_baseline(demo: Path) -> None:
    result = json.loads((demo / "run" / "test" / "metrics.json").read_text("utf-8"))
    loss = {m: s["overall"]["metrics"]["log_loss"]["value"] for m, s in result["models"].items()}
    baseline = result["baseline"]["overall"]["metrics"]["log_loss"]["value"]
    assert loss["both"] < loss["image"] < baseline
    assert loss["both"] < loss["caption"] < baseline
    assert loss["both"] < loss["both_without_culture"]
    (comparison,) = (c for c in result["comparisons"] if c["second"] == "caption")
    assert comparison["by_group"]["overall"]["log_loss"]["high"] < 0
    assert loss["both"] > best_scores()["both and culture"].log_loss - 0.1


def test_the_report_needs_no_other_file(demo: Path) -> None:
    page = (demo / "run" / "test" / "report.html").read_text("utf-8")
    assert page.count("<figure") == 6
    for culture in ("arabic", "chinese", "english"):
        assert f"{culture}: " in page
    assert "The data are synthetic." in page
    for outside in ('src="http', 'href="http', "@import", "url(http", "<script src"):
        assert outside not in page


def test_the_best_possible_scores_are_those_of_the_generative_model() -> None:
    rows = {row[0]: row[1:] for row in best_possible().rows}
    best = best_scores()["both and culture"]
    assert rows["both and culture"] == [f"{best.accuracy:.3f}", f"{best.log_loss:.3f}"]


def test_the_model_card_names_protocol_and_scores(demo: Path) -> None:
    card = (demo / "run" / "README.md").read_text("utf-8")
    assert (
        "intervals 95 %" in card
        and "| both |" in card
        and "chosen on this split" in card
        and "synthetic" in card
    )
