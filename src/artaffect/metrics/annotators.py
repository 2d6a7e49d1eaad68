"""What annotators agree on where a table says who they are, and how models answer them.

Two evaluations of the shared tasks on learning with disagreements (LeWiDi, Leonardelli et al. 2025) belong
here: *soft*, how far a predicted distribution is from the votes of an artwork, and *perspectivist*, how often
a model gives each annotator the labels that the annotator gave.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from artaffect.labels import ARTEMIS, LabelSet
from artaffect.metrics.bootstrap import Estimate, bootstrap_sums, mean_estimate, ratio_estimates
from artaffect.metrics.distances import distribution_scores
from artaffect.metrics.evaluation import ByGroup, for_each_group

SOFT = ("manhattan_distance", "earth_movers_distance")
"""The distances of the soft evaluation; the second where the valence of the labels is known."""


@dataclass(frozen=True)
class Consistency:
    """How often one annotator gave an artwork the same label twice."""

    share: Estimate
    """Share of equal labels among the pairs of labels of one annotator for one artwork."""
    pairs: int
    artworks: int
    annotators: int


@dataclass(frozen=True)
class AnnotatorAgreement:
    """The agreement of the annotators of one culture, or of all."""

    annotators: int
    votes: int
    artworks: int
    """Artworks with votes of at least two annotators, from which alpha is computed."""
    alpha: Estimate
    """Krippendorff's alpha of nominal labels: 1 for perfect agreement, 0 for what chance gives. NaN where
    nobody disagrees because there is one label, or where no artwork has two annotators."""
    consistency: Consistency | None
    """None if no annotator labelled an artwork more than once."""


@dataclass(frozen=True)
class Perspectives:
    """How often a model's most likely label for an annotator's culture is what the annotator chose."""

    accuracy: Estimate
    """Mean over annotators of the share of their labels that the model gives; interval over annotators."""
    annotators: int


def annotator_agreement(
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    annotators: np.ndarray,
    n_labels: int,
) -> ByGroup[AnnotatorAgreement] | None:
    """Krippendorff's alpha of the annotators of each culture, and their own consistency.

    Rows without an annotator are left out. An annotator who labelled an artwork several times counts for
    alpha with the first of these labels. Intervals are by bootstrap over artworks.

    Args:
        labels: each row's label as an index below ``n_labels`` [n].
        cultures: each row's culture name [n].
        artworks: each row's artwork as an index [n].
        annotators: each row's annotator as an index, -1 where it is unknown [n].

    Returns:
        The agreement overall, cultures together, and within each culture; None if no annotator is known.
    """
    known = annotators >= 0
    if not known.any():
        return None
    labels, artworks, annotators = labels[known], artworks[known], annotators[known]
    return for_each_group(
        cultures[known],
        lambda mask: _agreement(labels[mask], artworks[mask], annotators[mask], n_labels),
    )


def _agreement(
    labels: np.ndarray, artworks: np.ndarray, annotators: np.ndarray, n_labels: int
) -> AnnotatorAgreement:
    unique, artwork = np.unique(artworks, return_inverse=True)
    keys = np.stack([artwork, annotators], 1)
    pairs, first, own = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    cells = artwork[first] * n_labels + labels[first]
    counts = np.bincount(cells, minlength=len(unique) * n_labels).reshape(-1, n_labels)
    shared = counts[counts.sum(1) > 1]
    cells = own.ravel() * n_labels + labels
    by_pair = np.bincount(cells, minlength=len(pairs) * n_labels).reshape(-1, n_labels)
    return AnnotatorAgreement(
        annotators=len(np.unique(annotators)),
        votes=len(labels),
        artworks=len(shared),
        alpha=krippendorff_alpha(shared),
        consistency=_consistency(pairs, by_pair),
    )


def krippendorff_alpha(counts: np.ndarray) -> Estimate:
    """Krippendorff's alpha of nominal labels (Krippendorff 2011), with its interval over artworks.

    It is one minus the observed disagreement over that expected by chance. Both follow from sums over
    artworks, so that the bootstrap resamples artworks.

    Args:
        counts: how many annotators gave each artwork each label [p, k]; artworks with fewer than two are
            left out.
    """
    sizes = counts.sum(1)
    counts, sizes = counts[sizes > 1], sizes[sizes > 1]
    disagreement = (sizes**2 - (counts**2).sum(1)) / (sizes - 1)
    sums = np.column_stack([disagreement, counts]).astype(float)
    value = _alpha(sums.sum(0))
    if len(sums) < 2:
        return Estimate(float(value))
    resampled = np.concatenate(list(bootstrap_sums(sums, 1000)))
    return Estimate.from_resamples(float(value), _alpha(resampled))


def _alpha(sums: np.ndarray) -> np.ndarray:
    """Alpha from summed disagreement and summed counts [..., 1 + k]: [...]; NaN if it is undefined."""
    observed, counts = sums[..., 0], sums[..., 1:]
    total = counts.sum(-1)
    expected = total**2 - (counts**2).sum(-1)
    ratio = observed * (total - 1) / np.where(expected > 0, expected, np.nan)
    return np.asarray(1 - ratio)


def _consistency(pairs: np.ndarray, counts: np.ndarray) -> Consistency | None:
    """Of artworks and annotators [q, 2], and how often that annotator gave it each label [q, k]."""
    repeated = counts.sum(1) > 1
    if not repeated.any():
        return None
    (artwork, annotator), counts = pairs[repeated].T, counts[repeated]
    unique, index = np.unique(artwork, return_inverse=True)
    times = counts.sum(1)
    equal = np.bincount(index, (counts * (counts - 1) / 2).sum(1))
    compared = np.bincount(index, times * (times - 1) / 2)
    (share,) = ratio_estimates(equal[:, None], compared[:, None])
    return Consistency(share, int(compared.sum()), len(unique), len(np.unique(annotator)))


def soft_scores(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    cultures: np.ndarray,
    artworks: np.ndarray,
    label_set: LabelSet = ARTEMIS,
) -> dict[str, ByGroup[Mapping[str, Estimate]]]:
    """The soft evaluation: mean distances of predictions to the votes of each culture on each artwork.

    As :func:`artaffect.metrics.distances.distribution_scores`, but of every artwork with a vote.

    Returns:
        Model → ``manhattan_distance`` (0 to 2) and, where the valence of the labels is known,
        ``earth_movers_distance`` (0 to 1) → estimate, by group. Lower is better.
    """
    scores = distribution_scores(predictions, labels, cultures, artworks, 1, label_set)
    return {
        model: groups.map(lambda group: {name: group[name] for name in SOFT if name in group})
        for model, groups in scores.items()
    }


def perspectivist_scores(
    predictions: Mapping[str, np.ndarray],
    labels: np.ndarray,
    cultures: np.ndarray,
    annotators: np.ndarray,
) -> dict[str, ByGroup[Perspectives]]:
    """The perspectivist evaluation: does the answer for an annotator's culture match the annotator's labels?

    Args:
        predictions: for each model, its answer for the artwork and the culture of each row [n, k].
        labels: true labels as indices [n].
        cultures: each row's culture name [n].
        annotators: each row's annotator as an index, -1 where it is unknown [n]; such rows are left out.

    Returns:
        Model → mean accuracy over annotators, by group; empty if no annotator is known.
    """
    known = annotators >= 0
    if not known.any():
        return {}

    def score(correct: np.ndarray) -> ByGroup[Perspectives]:
        return for_each_group(
            cultures[known], lambda mask: _per_annotator(correct[mask], annotators[known][mask])
        )

    return {
        model: score((probabilities.argmax(1) == labels)[known])
        for model, probabilities in predictions.items()
    }


def _per_annotator(correct: np.ndarray, annotators: np.ndarray) -> Perspectives:
    unique, index = np.unique(annotators, return_inverse=True)
    shares = np.bincount(index, correct) / np.bincount(index)
    return Perspectives(mean_estimate(shares), len(unique))
