"""Scores of ArtEmotion-28 as its organisers describe them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artaffect.metrics.distances import jensen_shannon_divergence
from artaffect.shared_task.items import ShareItems
from artaffect.shared_task.regions import region_of
from artaffect.shared_task.rules import SharedTaskRules


@dataclass(frozen=True)
class LabelScores:
    """One language, or a mean over languages."""

    macro_f1: float
    weighted_f1: float
    accuracy: float
    items: int


@dataclass(frozen=True)
class EmotionScores:
    """Subtask 1: ``macro_f1`` of ``mean`` decides."""

    mean: LabelScores
    """Over languages, each counting alike."""
    languages: Mapping[str, LabelScores]
    regions: Mapping[str, float]
    """Mean macro-F1 of a region's languages."""


@dataclass(frozen=True)
class ShareScores:
    """Subtask 2: ``divergence`` decides, lower is better."""

    divergence: float
    """Jensen-Shannon, base 2: mean over items of a pair, over a target's sources, over targets."""
    pearson: float
    """Correlation of predicted with true shift from the source; nan where nothing shifts."""
    targets: Mapping[str, float]
    regions: Mapping[str, float]
    items: int
    pairs: int


def score_emotions(
    labels: Sequence[str],
    answers: Sequence[str],
    languages: Sequence[str],
    rules: SharedTaskRules,
) -> EmotionScores:
    """Macro-F1 per language, then the mean over languages."""
    truth, said = np.array(labels, object), np.array(answers, object)
    spoken = np.array(languages, object)
    found = {
        str(name): _labels(truth[spoken == name], said[spoken == name], rules)
        for name in sorted(set(languages))
    }
    mean = LabelScores(
        macro_f1=float(np.mean([scores.macro_f1 for scores in found.values()])),
        weighted_f1=float(np.mean([scores.weighted_f1 for scores in found.values()])),
        accuracy=float(np.mean([scores.accuracy for scores in found.values()])),
        items=len(truth),
    )
    return EmotionScores(mean, found, _by_region({n: s.macro_f1 for n, s in found.items()}))


def score_shares(items: ShareItems, answers: np.ndarray, rules: SharedTaskRules) -> ShareScores:
    """The divergence between predicted and true shares.

    Args:
        items: with the true shares.
        answers: predicted positive shares [n].
    """
    if items.shares is None:
        raise ValueError("the items have no true shares")
    distance = share_divergence(items.shares, answers, rules.root)
    weight = hierarchical_weights(items)
    targets = {
        str(name): float(
            (weight * distance)[items.targets == name].sum() / weight[items.targets == name].sum()
        )
        for name in sorted(set(items.targets))
    }
    shift, guessed = items.shares - items.source_shares, answers - items.source_shares
    moved = shift.std() > 0 and guessed.std() > 0
    return ShareScores(
        divergence=float((weight * distance).sum()),
        pearson=float(np.corrcoef(shift, guessed)[0, 1]) if moved else float("nan"),
        targets=targets,
        regions=_by_region(targets),
        items=len(items),
        pairs=len(set(zip(items.sources, items.targets, strict=True))),
    )


def share_divergence(p: np.ndarray, q: np.ndarray, root: bool = False) -> np.ndarray:
    """Jensen-Shannon divergence, base 2, between positive shares [n]; or its root."""
    found = jensen_shannon_divergence(np.stack([p, 1 - p], -1), np.stack([q, 1 - q], -1))
    return np.sqrt(found) if root else found


def hierarchical_weights(items: ShareItems) -> np.ndarray:
    """Each item's part in the score [n], summing to 1: pairs alike, then sources, then targets."""
    pairs, pair = np.unique(
        np.array([f"{s}\0{t}" for s, t in zip(items.sources, items.targets, strict=True)]),
        return_inverse=True,
    )
    target_of_pair = np.array([name.partition("\0")[2] for name in pairs])
    targets, target = np.unique(target_of_pair, return_inverse=True)
    partners = np.bincount(target)
    size = np.bincount(pair)
    found: np.ndarray = 1 / (size[pair] * partners[target[pair]] * len(targets))
    return found


def _labels(truth: np.ndarray, said: np.ndarray, rules: SharedTaskRules) -> LabelScores:
    f1, support, present = [], [], []
    for name in rules.names:
        hit = float(((truth == name) & (said == name)).sum())
        both = float((truth == name).sum() + (said == name).sum())
        f1.append(2 * hit / both if both else 0.0)
        support.append(float((truth == name).sum()))
        present.append(both > 0 or rules.absent_labels == "zero")
    counted = np.array(f1)[np.array(present)]
    weighted = float(np.dot(f1, support) / max(sum(support), 1))
    return LabelScores(float(counted.mean()), weighted, float((truth == said).mean()), len(truth))


def _by_region(scores: Mapping[str, float]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for language, value in scores.items():
        groups.setdefault(region_of(language), []).append(value)
    return {region: float(np.mean(values)) for region, values in sorted(groups.items())}
