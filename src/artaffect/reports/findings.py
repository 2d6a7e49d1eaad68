"""What a report says in words. Every sentence follows from the numbers beside it."""

import math
from collections.abc import Iterator, Sequence

from artaffect.metrics.agreement import Agreement
from artaffect.metrics.annotators import AnnotatorAgreement
from artaffect.metrics.bootstrap import MIN_ARTWORKS, Estimate
from artaffect.metrics.divergence import CultureComparison
from artaffect.metrics.evaluation import ByGroup, Comparison, EvaluationResult
from artaffect.prediction.sets import percentage
from artaffect.reports.results import CultureReport, DeletionTest, RunScores
from artaffect.reports.tables import pair_label, signed

_SIGNIFICANT = 0.05


def protocol_line(result: EvaluationResult) -> str:
    """How the numbers were obtained, in one paragraph."""
    protocol = result.protocol
    line = (
        f"Split {protocol['split']}: {protocol['rows']:,} captions of {protocol['artworks']:,} paintings; "
        f"intervals {protocol['interval']}; baseline: {protocol['baseline']}."
    )
    if seeds := protocol.get("seeds"):
        line += f" Scores are means over the seeds {', '.join(map(str, seeds))}."
    if protocol.get("synthetic"):
        line += " The data are synthetic."
    if protocol["rows_without_image"]:
        line += f" {protocol['rows_without_image']:,} captions without a usable image are left out."
    if count := protocol.get("rows_without_caption"):
        line += f" {count:,} annotations without a caption are left out."
    if protocol.get("chosen_on_this_split"):
        line += (
            " The model was chosen on this split, which flatters it a little. Its prediction sets were "
            "fitted on it, so they are not scored."
        )
    return line + _caution(result)


def _caution(result: EvaluationResult) -> str:
    """Which figures rest on too few artworks, if any."""
    artworks = result[result.detailed].overall.artworks
    if artworks < MIN_ARTWORKS:
        noun = "painting is" if artworks == 1 else "paintings are"
        text = f" {artworks} {noun} too few to conclude anything"
    else:
        groups = result[result.detailed].by_culture.items()
        few = [f"{name} ({g.artworks})" for name, g in groups if g.artworks < MIN_ARTWORKS]
        if not few:
            return ""
        text = f" Too few paintings to conclude anything about {', '.join(few)}"
    return f"{text}; it takes at least {MIN_ARTWORKS}."


def findings(report: CultureReport) -> list[str]:
    """The report in a few sentences."""
    sentences = []
    if report.artworks < MIN_ARTWORKS:
        sentences.append(
            f"The split has {report.artworks} paintings with {report.rows} captions: too few to conclude "
            "anything. The figures below only show that the evaluation runs."
        )
    if report.divergence is not None:
        sentences.append(_cultures(report.divergence))
    if report.annotators is not None:
        sentences.append(_annotators(report.annotators))
    if report.agreement is not None:
        sentences.append(_ceilings(report.agreement))
    sentences += map(_scores, report.runs)
    if len(report.runs) == 1:
        sentences += run_findings(report.runs[0], every_group=False)
    return [*sentences, *_run_differences(report)]


def run_findings(run: RunScores, every_group: bool = True) -> list[str]:
    """What the image adds, who is served worst, and whether confidence and explanations can be trusted.

    Args:
        every_group: say what the image adds for each culture, not only overall.
    """
    artworks = run.evaluation[run.best_input].artworks
    if artworks < MIN_ARTWORKS:
        return [f"{run.name}: {artworks} paintings are too few to conclude anything."]
    sentences = []
    if run.ablation is not None:
        groups: list[str | None] = [None, *(run.ablation["both"] if every_group else ())]
        sentences += [_image(run.ablation, culture) for culture in groups]
    if run.gaps:
        sentences.append(_fairness(run))
    sentences.append(_calibration(run))
    sentences += _sets(run)
    sentences += [_explanations(name, test) for name, test in run.deletion_tests.items()]
    return [f"{text[:1].upper()}{text[1:]}" for text in sentences]


_MAX_LISTED = 20
"""Images that a sentence lists; the JSON of an evaluation has them all."""


def unreadable_images(faults: Sequence[str]) -> list[str]:
    """A sentence that lists the images that cannot be read, each with its reason; none if all can."""
    if not faults:
        return []
    listed = "; ".join(faults[:_MAX_LISTED])
    more = len(faults) - _MAX_LISTED
    rest = f"; and {more:,} more" if more > 0 else ""
    return [f"Images that cannot be read ({len(faults):,}): {listed}{rest}."]


def _cultures(result: CultureComparison) -> str:
    overall = result.overall
    basis = (
        f"over {overall.artworks:,} paintings, {overall.votes:,} votes (Jensen-Shannon divergence beyond "
        f"chance {overall.beyond_chance:.3f}, p = {overall.p_value:.3f})"
    )
    if overall.artworks < MIN_ARTWORKS:
        return f"Cultures: too few paintings to conclude whether they differ, {basis}."
    if overall.p_value > _SIGNIFICANT:
        return f"Cultures: no difference shown between them {basis}."
    text = f"Cultures see the same paintings differently, beyond what so few votes show by chance, {basis}."
    pairs = [pair for pair in result.pairs if pair.artworks >= MIN_ARTWORKS]
    if len(pairs) > 1:
        widest = max(pairs, key=lambda pair: pair.beyond_chance.value)
        pair = pair_label(widest.first, widest.second)
        text += f" Farthest apart: {pair}, {widest.beyond_chance:.3f}."
    return text


def _annotators(groups: ByGroup[AnnotatorAgreement]) -> str:
    judged = {
        name: group
        for name, group in groups.by_culture.items()
        if group.artworks >= MIN_ARTWORKS and not math.isnan(group.alpha.value)
    }
    if not judged:
        return (
            "Annotators: no culture has enough paintings with two annotators to conclude anything."
        )
    alphas = ", ".join(f"{name} {group.alpha:.3f}" for name, group in judged.items())
    own = groups.overall.consistency
    again = "no annotator labelled a painting twice, so how consistent they are is not known"
    if own is not None:
        again = (
            f"asked again, an annotator gave a painting the same label in {own.share:.3f} of "
            f"{own.pairs:,} pairs of labels"
        )
    return (
        f"Annotators of one culture agree beyond chance by Krippendorff's alpha (1 is perfect, 0 is chance): "
        f"{alphas}; {again}."
    )


def _ceilings(agreement: Agreement) -> str:
    ceilings = {n: c for n, c in agreement.ceilings.items() if c.artworks >= MIN_ARTWORKS}
    if not ceilings:
        return "Noise ceiling: no culture has judged enough paintings to conclude anything."
    parts = [
        f"{name} {c.lower_bound['accuracy'].value:.3f} to {c.upper_bound['accuracy'].value:.3f}"
        for name, c in ceilings.items()
    ]
    return (
        "Noise ceiling: from the painting and the culture alone, the emotion of at most this share of "
        f"annotations can be predicted: {', '.join(parts)}. A caption can tell more."
    )


def _scores(run: RunScores) -> str:
    result = run.evaluation
    names = [name for name in ("image", "caption", "both") if name in result.models]
    best = min(names, key=lambda name: result[name].log_loss.value)
    scores, baseline = result[best], result["baseline"]
    return (
        f"{run.name}: {best} predicts the emotion of {scores.accuracy:.3f} of the captions, the baseline "
        f"of {baseline.accuracy:.3f}; log-loss {scores.log_loss:.3f} compared with "
        f"{baseline.log_loss:.3f}."
    )


def _image(result: EvaluationResult, culture: str | None) -> str:
    artworks = dict(result["both"].groups())[culture].artworks
    if culture is not None and artworks < MIN_ARTWORKS:
        return f"too few paintings ({artworks}) to conclude what the image adds for {culture} annotators."
    gain, swap = (
        dict(result.comparison("both", other).by_group.groups())[culture]
        for other in ("caption", "both_image_shuffled")
    )
    numbers = f"log-loss {signed(gain['log_loss'])}, accuracy {signed(gain['accuracy'])}"
    head = {
        "better": f"the image adds to the caption ({numbers})",
        "worse": f"the image harms: the caption alone predicts better ({numbers})",
        "alike": f"no gain from the image beyond the caption is shown ({numbers})",
    }[_effect(gain["log_loss"])]
    cost = signed(-swap["log_loss"])
    tail = f"the image of another painting does no worse, as far as is shown ({cost})"
    if _effect(swap["log_loss"]) == "better":
        tail = (
            f"it is this image that counts: with that of another painting log-loss rises by {cost}"
        )
    audience = "overall" if culture is None else f"for {culture} annotators"
    return f"{audience}, {head}; {tail}."


def _fairness(run: RunScores) -> str:
    model = next(name for name in ("both", "caption", "image") if name in run.gaps)
    gap = run.gaps[model]["accuracy"]
    doubt = "" if gap.difference.high < 0 else ", which may be chance"
    scores = run.evaluation[model]
    if min(scores[gap.best].artworks, scores[gap.worst].artworks) < MIN_ARTWORKS:
        doubt = ", of which one has too few paintings to conclude anything"
    return (
        f"{model} serves {gap.best} annotators best and {gap.worst} annotators worst, accuracy "
        f"{signed(gap.difference)}{doubt}."
    )


def _calibration(run: RunScores) -> str:
    calibration = run.calibration[run.best_input]
    temperatures = [value for _, value in calibration.temperatures.groups()]
    text = (
        f"the confidence of {run.best_input} is off by "
        f"{calibration.uncalibrated.calibration_error:.3f} before and by "
        f"{calibration.calibrated.calibration_error:.3f} after calibration (temperatures "
        f"{min(temperatures):.2f} to {max(temperatures):.2f}, fitted on validation)."
    )
    if run.chosen_on_this_split:
        text += " They were fitted on the very rows scored here, which flatters them a little."
    return text


def _sets(run: RunScores) -> list[str]:
    result, name = run.evaluation, run.best_input
    if name not in result.prediction_sets:
        return []
    sets, level = result.prediction_sets[name], result.protocol["sets"]["level"]
    text = (
        f"prediction sets of {percentage(level)} from {name} hold the emotion of {sets.overall.coverage:.3f} "
        f"of the captions, with {sets.overall.size:.2f} emotions on average"
    )
    judged = {n: s for n, s in sets.by_culture.items() if s.artworks >= MIN_ARTWORKS}
    low = [f"{n} {s.coverage:.3f}" for n, s in judged.items() if s.coverage.high < level]
    verdict = f"too rarely for {', '.join(low)}" if low else "no culture is shown below the level"
    return [f"{text}; {verdict}."]


def _explanations(name: str, test: DeletionTest) -> str:
    verdict = "are not shown to hold: compared with random deletion"
    if test.deletion_auc_gap.low > 0:
        verdict = "hold: probability falls faster than at random,"
    if test.artworks < MIN_ARTWORKS:
        verdict = f"need {MIN_ARTWORKS} paintings or more for a conclusion (--explanations):"
    basis = f"{signed(test.deletion_auc_gap)} in log-probability over {test.artworks} paintings"
    return f"explanations of the {name} {verdict} {basis}."


def _run_differences(report: CultureReport) -> Iterator[str]:
    words = {
        "better": "predicts better than",
        "worse": "predicts worse than",
        "alike": "is not shown to differ from",
        "identical": "predicts exactly the same as",
    }
    for kind, result in report.comparison.items():
        for comparison in _worth_a_sentence(result):
            difference = comparison.by_group.overall
            is_identical = all(e == Estimate(0, 0, 0) for e in difference.values())
            effect = "identical" if is_identical else _effect(difference["log_loss"])
            yield (
                f"{kind}: {comparison.first} {words[effect]} "
                f"{comparison.second}: log-loss {signed(difference['log_loss'])}, accuracy "
                f"{signed(difference['accuracy'])}."
            )


def _worth_a_sentence(result: EvaluationResult) -> list[Comparison]:
    """The differences over enough artworks; over few, only that two models are identical."""
    is_enough = result[result.detailed].artworks >= MIN_ARTWORKS
    nothing = Estimate(0, 0, 0)
    return [
        comparison
        for comparison in result.comparisons
        if is_enough or all(e == nothing for e in comparison.by_group.overall.values())
    ]


def _effect(log_loss: Estimate) -> str:
    """What a difference in log-loss, of which less is better, shows."""
    if log_loss.high < 0:
        return "better"
    return "worse" if log_loss.low > 0 else "alike"
