"""The scores of ArtEmotion-28, as the organisers describe them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from artaffect.metrics.distances import jensen_shannon_divergence
from artaffect.shared_task.items import ShareItems
from artaffect.shared_task.rules import SharedTaskRules, region_of


@dataclass(frozen=True)
class LabelScores:
    """Scores of one language, or their mean over languages."""

    macro_f1: float
    weighted_f1: float
    accuracy: float
    items: int


@dataclass(frozen=True)
class EmotionScores:
    """Scores of subtask 1. Submissions are ranked by ``mean.macro_f1``."""

    mean: LabelScores
    """The unweighted mean over languages."""
    languages: Mapping[str, LabelScores]
    regions: Mapping[str, float]
    """Mean macro-F1 over a region's languages."""


@dataclass(frozen=True)
class ShareScores:
    """Scores of subtask 2. Submissions are ranked by ``divergence``; lower is better."""

    divergence: float
    """Jensen-Shannon, base 2: the mean over a pair's items, then a target's sources, then targets."""
    pearson: float
    """Correlation of the predicted with the true shift from the source; nan if nothing shifts."""
    targets: Mapping[str, float]
    """Divergence for each target language."""
    regions: Mapping[str, float]
    """Mean divergence over a region's target languages."""
    items: int
    pairs: int


def score_emotions(
    labels: Sequence[str],
    predictions: Sequence[str],
    languages: Sequence[str],
    rules: SharedTaskRules,
) -> EmotionScores:
    """Score each language, then take the mean over languages."""
    truth, predicted = np.array(labels, object), np.array(predictions, object)
    language = np.array(languages, object)
    by_language = {
        str(name): _score_labels(truth[language == name], predicted[language == name], rules)
        for name in sorted(set(languages))
    }
    columns = [(s.macro_f1, s.weighted_f1, s.accuracy) for s in by_language.values()]
    macro_f1, weighted_f1, accuracy = np.mean(columns, 0).tolist()
    mean = LabelScores(macro_f1, weighted_f1, accuracy, len(truth))
    regions = _mean_by_region({name: scores.macro_f1 for name, scores in by_language.items()})
    return EmotionScores(mean, by_language, regions)


def score_shares(items: ShareItems, predictions: np.ndarray, rules: SharedTaskRules) -> ShareScores:
    """Score predicted against true shares.

    Args:
        items: With the true shares.
        predictions: Positive shares [n].
    """
    if items.target_shares is None:
        raise ValueError("the items have no true shares")
    distance = share_divergence(items.target_shares, predictions, rules.use_jensen_shannon_distance)
    weights = hierarchical_weights(items)
    targets = {}
    for name in sorted(set(items.targets)):
        mask = items.targets == name
        targets[str(name)] = float(np.average(distance[mask], weights=weights[mask]))
    true_shift = items.target_shares - items.source_shares
    predicted_shift = predictions - items.source_shares
    pearson = float("nan")
    if true_shift.std() > 0 and predicted_shift.std() > 0:
        pearson = float(np.corrcoef(true_shift, predicted_shift)[0, 1])
    return ShareScores(
        divergence=float((weights * distance).sum()),
        pearson=pearson,
        targets=targets,
        regions=_mean_by_region(targets),
        items=len(items),
        pairs=len(set(zip(items.sources, items.targets, strict=True))),
    )


def share_divergence(p: np.ndarray, q: np.ndarray, square_root: bool = False) -> np.ndarray:
    """Jensen-Shannon divergence, base 2, between positive shares [n], or its square root."""
    divergence = jensen_shannon_divergence(np.stack([p, 1 - p], -1), np.stack([q, 1 - q], -1))
    return np.sqrt(divergence) if square_root else divergence


def hierarchical_weights(items: ShareItems) -> np.ndarray:
    """Each item's weight in the score [n]; the weights sum to 1.

    All targets weigh the same, as do all sources of a target and all items of a pair.
    """
    pairs = list(zip(items.sources, items.targets, strict=True))
    n_items, n_sources = Counter(pairs), Counter(target for _, target in set(pairs))
    return np.array([1 / (n_items[p] * n_sources[p[1]] * len(n_sources)) for p in pairs])


def _score_labels(truth: np.ndarray, predicted: np.ndarray, rules: SharedTaskRules) -> LabelScores:
    labels = np.array(list(rules.label_emotions), object)[:, None]
    support = (truth == labels).sum(1)
    occurrences = support + (predicted == labels).sum(1)
    true_positives = ((truth == labels) & (predicted == labels)).sum(1)
    f1 = 2 * true_positives / np.maximum(occurrences, 1)
    counted = (occurrences > 0) | (rules.absent_labels == "zero")
    return LabelScores(
        macro_f1=float(f1[counted].mean()),
        weighted_f1=float(f1 @ support / max(support.sum(), 1)),
        accuracy=float((truth == predicted).mean()),
        items=len(truth),
    )


def _mean_by_region(scores: Mapping[str, float]) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for language, value in scores.items():
        groups.setdefault(region_of(language), []).append(value)
    return {region: float(np.mean(values)) for region, values in sorted(groups.items())}
