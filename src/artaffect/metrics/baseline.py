"""The baseline to beat: each culture's training distribution, whatever the artwork."""

import numpy as np

from artaffect.errors import NotFittedError
from artaffect.metrics.partial import spread_counts


class PriorBaseline:
    """Predicts each culture's training distribution, whatever the artwork.

    Its accuracy is that of always predicting the culture's most frequent label.
    """

    def __init__(self, n_labels: int, smoothing: float = 1.0) -> None:
        self.n_labels, self.smoothing = n_labels, smoothing

    def fit(
        self, labels: np.ndarray, cultures: np.ndarray, candidates: np.ndarray | None = None
    ) -> "PriorBaseline":
        """Learn from labels [n] and the culture name of each row [n].

        Args:
            candidates: the sets that partial labels stand for: bool [s, k]. Such a label is ``k`` plus
                the position of its set.
        """
        if candidates is None:
            candidates = np.zeros((0, self.n_labels), bool)
        self.prior_ = self._prior(labels, candidates)
        self.priors_ = {
            str(c): self._prior(labels[cultures == c], candidates) for c in np.unique(cultures)
        }
        return self

    def predict_proba(self, cultures: np.ndarray) -> np.ndarray:
        """Distributions [n, k]; a culture that was not in training gets the prior of all cultures."""
        if not hasattr(self, "priors_"):
            raise NotFittedError("this PriorBaseline has no priors yet: call fit first")
        names, codes = np.unique(cultures, return_inverse=True)
        return np.stack([self.priors_.get(str(n), self.prior_) for n in names])[codes]

    def _prior(self, labels: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        targets = np.bincount(labels, minlength=self.n_labels + len(candidates))
        counts = spread_counts(targets, candidates) + self.smoothing
        return counts / counts.sum()
