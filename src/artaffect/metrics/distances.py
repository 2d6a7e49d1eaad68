"""How far two distributions over emotions are apart, as pure functions on arrays [..., k]."""

import numpy as np

from artaffect.labels import EMOTIONS

VALENCE = np.array([emotion.valence for emotion in EMOTIONS])
"""-1, 0 or 1 for each emotion: the order negative, something else, positive."""


def entropy(p: np.ndarray) -> np.ndarray:
    """Shannon entropy in bits [...]: 0 when certain, log2(k) when all are equally likely."""
    found: np.ndarray = -(p * np.log2(np.where(p > 0, p, 1))).sum(-1)
    return found


def jensen_shannon_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Divergence to base 2 (Lin 1991) [...]: 0 when alike, 1 when nothing is shared.

    Its root, the Jensen-Shannon distance, is another number: see :func:`jensen_shannon_distance`.
    """
    found: np.ndarray = entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2
    return found.clip(0, 1)


def jensen_shannon_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The root of the divergence [...], 0 to 1; a metric (Endres and Schindelin 2003)."""
    found: np.ndarray = np.sqrt(jensen_shannon_divergence(p, q))
    return found


def cross_entropy(p: np.ndarray, q: np.ndarray, least: float = 1e-12) -> np.ndarray:
    """Mean ``-ln q`` under ``p``, in nats [...]; what log-loss is for a whole histogram of votes."""
    found: np.ndarray = -(p * np.log(np.maximum(q, least))).sum(-1)
    return found


def manhattan_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Sum of the absolute differences [...], 0 to 2."""
    found: np.ndarray = np.abs(p - q).sum(-1)
    return found


def earth_movers_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Share of the votes times how far they must be moved along the valence [...], 0 to 1.

    The valence has three steps: negative, something else, positive; from one end to the other is 1.
    Emotions of one valence lie in one place, so the distance tells a reader moved to tears from one
    amused, and not fear from sadness.
    """
    below = [(p - q)[..., valence > VALENCE].sum(-1) for valence in (0, 1)]
    found: np.ndarray = (np.abs(below[0]) + np.abs(below[1])) / 2
    return found


DISTANCES = {
    "jensen_shannon_divergence": jensen_shannon_divergence,
    "jensen_shannon_distance": jensen_shannon_distance,
    "cross_entropy": cross_entropy,
    "manhattan_distance": manhattan_distance,
    "earth_movers_distance": earth_movers_distance,
}
"""By name: of a true distribution and a predicted one; lower is better."""
