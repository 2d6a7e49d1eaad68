"""The answer to beat: each culture's habit, whatever the artwork."""

import numpy as np

from artaffect.errors import NotFittedError
from artaffect.labels import EMOTIONS


class PriorBaseline:
    """Answers each culture's training distribution, whatever the artwork.

    Its accuracy is that of always saying the culture's commonest emotion.
    """

    def __init__(self, smoothing: float = 1.0) -> None:
        self.smoothing = smoothing

    def fit(self, emotions: np.ndarray, cultures: np.ndarray) -> "PriorBaseline":
        """Learn from labels [n] and the culture's name of each row [n]."""
        self.prior_ = self._prior(emotions)
        self.priors_ = {str(c): self._prior(emotions[cultures == c]) for c in np.unique(cultures)}
        return self

    def predict_proba(self, cultures: np.ndarray) -> np.ndarray:
        """Distributions [n, 9]; a culture not seen in training gets the prior of all."""
        if not hasattr(self, "priors_"):
            raise NotFittedError("this PriorBaseline has no priors yet: call fit first")
        names, codes = np.unique(cultures, return_inverse=True)
        return np.stack([self.priors_.get(str(n), self.prior_) for n in names])[codes]

    def _prior(self, emotions: np.ndarray) -> np.ndarray:
        counts = np.bincount(emotions, minlength=len(EMOTIONS)) + self.smoothing
        prior: np.ndarray = counts / counts.sum()
        return prior
