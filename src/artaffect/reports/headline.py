"""One sentence that says what an evaluation shows. Every claim in it follows from an interval."""

from collections.abc import Mapping

from artaffect.metrics.bootstrap import MIN_ARTWORKS, Estimate
from artaffect.metrics.evaluation import Comparison, EvaluationResult, ModelScores
from artaffect.reports.tables import label

_SUBJECTS = {"both": "The combination", "image": "The image alone", "caption": "The caption alone"}
_MOST_COMPLETE = ("both", "caption", "image")


def headline(result: EvaluationResult) -> str:
    """How often the most complete model names the emotion, compared with the baseline and without the image.

    A model is said to be above or below the baseline only if the two intervals of accuracy do not overlap,
    and the image to add or to harm only if the interval of the difference in log-loss excludes 0.
    """
    name = next((n for n in _MOST_COMPLETE if n in result.models), result.detailed)
    scores = result[name]
    if scores.artworks < MIN_ARTWORKS:
        noun = "painting is" if scores.artworks == 1 else "paintings are"
        return f"{scores.artworks:,} {noun} too few to conclude anything; it takes at least {MIN_ARTWORKS}."
    subject = _SUBJECTS.get(name, f"The model “{label(name)}”")
    text = f"{subject} names the emotion of {_percent(scores.accuracy)} of captions"
    if result.baseline is not None:
        text += f", {_against(scores, result.baseline)}"
    compared = {(c.first, c.second): c for c in result.comparisons}
    if (name, "caption") in compared:
        text += f"; {_image(compared[name, 'caption'])}"
    return f"{text}."


def _percent(share: Estimate) -> str:
    return f"{100 * share.value:.0f} %"


def _points(difference: float) -> str:
    points = abs(100 * difference)
    shown = f"{points:.1f}" if points < 1 else f"{points:.0f}"
    return f"{shown} {'point' if shown == '1' else 'points'}"


def _against(scores: ModelScores, baseline: ModelScores) -> str:
    model, constant = scores.accuracy, baseline.accuracy
    gap = _points(model.value - constant.value)
    if model.low > constant.high:
        return f"{gap} above the baseline"
    if model.high < constant.low:
        return f"{gap} below the baseline"
    return f"not measurably different from the baseline ({_percent(constant)})"


def _image(comparison: Comparison) -> str:
    difference: Mapping[str, Estimate] = comparison.by_group.overall
    loss, accuracy = difference["log_loss"], difference["accuracy"]
    if loss.low > 0:
        return f"the image harms: without it, log-loss is {loss.value:.2f} lower"
    if not loss.high < 0:
        return "the image adds nothing measurable"
    if accuracy.low > 0:
        return f"the image adds {_points(accuracy.value)}"
    return f"the image lowers the log-loss by {-loss.value:.2f}, but adds no measurable accuracy"
