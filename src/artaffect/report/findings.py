"""What a cultural report says in words. Every sentence follows from the numbers beside it."""

from collections.abc import Iterator, Sequence

from artaffect.metrics.classification import Score
from artaffect.metrics.divergence import CulturalDivergence
from artaffect.metrics.evaluation import EvaluationResult
from artaffect.report.results import CulturalReport, DeletionTest, RunScores
from artaffect.report.tables import cell, shown_groups

_SURE = 0.05
_FEW = 30
"""Paintings below which a figure is no basis for a conclusion."""


def findings(report: CulturalReport) -> list[str]:
    """The report in a few sentences."""
    found = list(_few(report))
    if report.divergence is not None:
        found.append(publics_verdict(report.divergence))
    found += _ceilings(report)
    for run in report.runs:
        found.append(_scores(run))
        if len(report.runs) == 1:
            found += run_findings(run, shown_groups(run.evaluation)[:1])
    return found + list(_differences(report))


def run_findings(run: RunScores, groups: Sequence[str]) -> list[str]:
    """One run: what the image adds for each group, who is served worst, whether confidence is earned."""
    found = []
    if run.contribution is not None:
        found += [image_verdict(run.contribution, group) for group in groups]
    found += [*_fairness(run), calibration_verdict(run)]
    found += [deletion_verdict(name, test) for name, test in run.deletion.items()]
    return [f"{text[:1].upper()}{text[1:]}" for text in found]


def publics_verdict(found: CulturalDivergence) -> str:
    """Whether publics differ beyond chance."""
    overall = found.overall
    about = (
        f"over {overall.artworks:,} paintings, {overall.votes:,} votes "
        f"(Jensen-Shannon divergence beyond chance {cell(overall.beyond_chance)}, "
        f"p = {overall.p_value:.3f})"
    )
    if overall.p_value > _SURE:
        return f"Publics: no difference shown between cultures {about}."
    widest = max(found.pairs, key=lambda pair: pair.beyond_chance.value)
    text = f"Publics read the same paintings differently, beyond what so few votes show by chance, {about}."
    if len(found.pairs) > 1:
        text += f" Farthest apart: {widest.name}, {cell(widest.beyond_chance)}."
    return text


def image_verdict(result: EvaluationResult, group: str) -> str:
    """What the image adds to the caption, for one group of readers."""
    gain = result.differences["both - caption"][group]
    said = f"log-loss {cell(gain['log_loss'], sign=True)}, accuracy {cell(gain['accuracy'], sign=True)}"
    effect = _effect(gain["log_loss"])
    head = {
        "better": f"the image adds to the caption ({said})",
        "worse": f"the image harms: the caption alone answers better ({said})",
        "alike": f"no gain from the image is shown beside the caption ({said})",
    }[effect]
    own = result.differences["both - both, image shuffled"][group]["log_loss"]
    cost = cell(Score(-own.value, -own.high, -own.low), sign=True)
    if _effect(own) == "better":
        tail = (
            f"it is this picture that counts: with another painting's the log-loss rises by {cost}"
        )
    else:
        tail = f"another painting's picture does no worse for all that is shown ({cost})"
    whose = "overall" if group == "overall" else f"for {group} readers"
    return f"{whose}, {head}; {tail}."


def calibration_verdict(run: RunScores) -> str:
    """How far confidence is from being right, before and after the temperature."""
    before, after = (
        run.calibration.models[name]["overall"].metrics["calibration_error"]
        for name in list(run.calibration.models)[-2:]
    )
    last = list(run.temperatures)[-1]
    warm = run.temperatures[last]
    spread = (
        f"temperatures {min(warm.values()):.2f} to {max(warm.values()):.2f}, fitted on validation"
    )
    text = (
        f"the confidence of {last} is off by {cell(before)} as trained and by "
        f"{cell(after)} calibrated ({spread})."
    )
    if run.chosen_on_this_split:
        text += " They were fitted on the very rows scored here, which flatters them a little."
    return text


def deletion_verdict(name: str, test: DeletionTest) -> str:
    """Whether explanations of one modality hold."""
    about = f"{cell(test.gain, sign=True)} in log-probability over {test.paintings} paintings"
    if test.gain.low > 0:
        return f"explanations of the {name} hold: the answer falls faster than at random, {about}."
    return f"explanations of the {name} are not shown to hold: against parts at random {about}."


def _few(report: CulturalReport) -> Iterator[str]:
    if report.artworks < _FEW:
        yield (
            f"The split has {report.artworks} paintings with {report.rows} captions: too few to conclude "
            "anything. The figures below say that the evaluation runs, no more."
        )


def _ceilings(report: CulturalReport) -> Iterator[str]:
    if report.agreement is None:
        return
    parts = [
        f"{name} {found.votes_left_out['accuracy'].value:.3f} to {found.votes_known['accuracy'].value:.3f}"
        for name, found in report.agreement.ceilings.items()
    ]
    yield (
        "Readers: whoever sees the painting alone and knows the public can name so large a share of its "
        f"readers' emotions at most: {', '.join(parts)}. A caption can tell more."
    )


def _scores(run: RunScores) -> str:
    groups = run.evaluation.models
    best = min(
        (name for name in ("image", "caption", "both") if name in groups),
        key=lambda name: groups[name]["overall"].metrics["log_loss"].value,
    )
    mine, base = (groups[name]["overall"].metrics for name in (best, "baseline"))
    return (
        f"{run.name}: {best} names the emotion of {cell(mine['accuracy'])} of the captions, "
        f"the baseline of {cell(base['accuracy'])}; log-loss {cell(mine['log_loss'])} "
        f"against {cell(base['log_loss'])}."
    )


def _differences(report: CulturalReport) -> Iterator[str]:
    """Each run against the first one."""
    words = {
        "better": "answers better than",
        "worse": "answers worse than",
        "alike": "is no better than",
    }
    for kind, result in report.comparison.items():
        for pair, groups in result.differences.items():
            loss = groups["overall"]["log_loss"]
            run, _, first = pair.partition(" - ")
            yield (
                f"{kind}: {run} {words[_effect(loss)]} {first}: log-loss {cell(loss, sign=True)}, "
                f"accuracy {cell(groups['overall']['accuracy'], sign=True)}."
            )


def _fairness(run: RunScores) -> Iterator[str]:
    if not run.gaps:
        return
    model = next(name for name in ("both", "caption", "image") if name in run.gaps)
    gap = run.gaps[model]["accuracy"]
    clear = "" if gap.difference.high < 0 else ", which may be chance"
    yield (
        f"{model} serves {gap.best} readers best and {gap.worst} readers worst, "
        f"accuracy {cell(gap.difference, sign=True)}{clear}."
    )


def _effect(difference: Score) -> str:
    """Of a score of which less is better."""
    if difference.high < 0:
        return "better"
    return "worse" if difference.low > 0 else "alike"
