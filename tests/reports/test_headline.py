"""The headline of a report against the numbers: a run that helps, one that harms, one that shows nothing."""

import numpy as np
import pytest

from artaffect.metrics.by_label import label_scores
from artaffect.metrics.evaluation import EvaluationResult, evaluate
from artaffect.reports.headline import headline

_K = 4
_LABELS = np.tile(np.arange(_K), 100)
_CULTURES = np.full(len(_LABELS), "english")


def _predictions(right: float, seed: int = 0, confidence: float = 0.7) -> np.ndarray:
    """Distributions whose most probable label is right for this share of rows."""
    rng = np.random.default_rng(seed)
    wrong = (_LABELS + rng.integers(1, _K, len(_LABELS))) % _K
    top = np.where(rng.permutation(len(_LABELS)) < right * len(_LABELS), _LABELS, wrong)
    probabilities = np.full((len(_LABELS), _K), (1 - confidence) / (_K - 1))
    probabilities[np.arange(len(_LABELS)), top] = confidence
    return probabilities


def _result(both: np.ndarray, caption: np.ndarray, artworks: int = 200) -> EvaluationResult:
    baseline = np.tile([0.4, 0.2, 0.2, 0.2], (len(_LABELS), 1))
    predictions = {"image": _predictions(0.3, 9), "caption": caption, "both": both}
    ids = np.arange(len(_LABELS)) % artworks
    return evaluate(predictions, _LABELS, _CULTURES, ids, 200, baseline=baseline)


def test_an_image_that_helps_is_said_to_add_its_points() -> None:
    result = _result(_predictions(0.8), _predictions(0.5, 1))
    assert headline(result) == (
        "The combination names the emotion of 80 % of captions, 55 points above the baseline; "
        "the image adds 30 points."
    )


def test_an_image_that_harms_is_said_to_harm() -> None:
    result = _result(_predictions(0.5, 1), _predictions(0.8))
    loss = result.comparison("both", "caption").by_group.overall["log_loss"]
    assert loss.low > 0
    text = headline(result)
    assert text.startswith("The combination names the emotion of 50 % of captions, 25 points above")
    assert text.endswith(f"; the image harms: without it, log-loss is {loss.value:.2f} lower.")


def test_an_image_that_changes_little_is_said_to_add_nothing_measurable() -> None:
    caption = _predictions(0.6, 1)
    both = caption.copy()
    both[::2] = _predictions(0.6, 2)[::2]
    text = headline(_result(both, caption))
    assert text.endswith("; the image adds nothing measurable.")
    assert "above the baseline" in text


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (0.25, "not measurably different from the baseline (25 %)"),
        (0.1, "points below the baseline"),
    ],
)
def test_a_model_no_better_than_the_baseline_is_not_said_to_be_above_it(
    right: float, words: str
) -> None:
    text = headline(_result(_predictions(right), _predictions(right)))
    assert words in text and "above" not in text


def test_better_probabilities_alone_are_not_said_to_add_accuracy() -> None:
    caption = _predictions(0.7)
    text = headline(_result(_predictions(0.7, confidence=0.8), caption * 0.5 + 0.5 / _K))
    assert "the image lowers the log-loss by" in text and "no measurable accuracy" in text


def test_few_artworks_give_no_conclusion() -> None:
    text = headline(_result(_predictions(0.8), _predictions(0.5, 1), artworks=12))
    assert text == "12 paintings are too few to conclude anything; it takes at least 30."


def test_scores_of_a_label_are_those_counted_by_hand() -> None:
    joy, fear, awe = label_scores([[3, 1, 0], [2, 4, 0], [0, 0, 0]], ["joy", "fear", "awe"])
    assert (joy.precision, joy.recall, joy.support, joy.predicted) == (3 / 5, 3 / 4, 4, 5)
    assert joy.f1 == pytest.approx(2 / 3) and fear.f1 == pytest.approx(8 / 11)
    assert np.isnan([awe.precision, awe.recall, awe.f1]).all() and awe.support == 0
    with pytest.raises(ValueError, match=r"expected counts \[1, 1\]"):
        label_scores([[1, 2], [3, 4]], ["joy"])
