"""The votes of an artwork's annotators, culture by culture: the basis of every comparison of cultures."""

from dataclasses import dataclass, replace

import numpy as np

from artaffect.labels import ARTEMIS, LabelSet

Codes = tuple[np.ndarray, np.ndarray]
"""A column as its distinct values [k] and each row's index into them [n]."""


@dataclass(frozen=True)
class Votes:
    """How often each culture chose each label for each artwork."""

    artworks: np.ndarray
    """Ids [p]."""
    styles: np.ndarray
    """Art style of each artwork [p]."""
    cultures: tuple[str, ...]
    """Most votes first [c]."""
    counts: np.ndarray
    """int64 [p, c, k]."""
    labels: LabelSet = ARTEMIS

    @classmethod
    def count(
        cls,
        artwork: Codes,
        culture: Codes,
        emotions: np.ndarray,
        style: Codes | None = None,
        labels: LabelSet = ARTEMIS,
    ) -> "Votes":
        """Count annotations.

        Args:
            artwork: artwork ids, coded.
            culture: culture names, coded.
            emotions: each row's label as an index [n].
            style: art styles, coded; without them all artworks have the empty style.
            labels: what ``emotions`` are indices of.
        """
        artworks, rows = np.unique(artwork[1], return_inverse=True)
        present, tally = np.unique(culture[1], return_counts=True)
        order = present[np.lexsort((culture[0][present].astype(str), -tally))]
        position = np.zeros(len(culture[0]), np.int64)
        position[order] = np.arange(len(order))
        shape = (len(artworks), len(order), len(labels))
        cells = np.ravel_multi_index((rows, position[culture[1]], emotions), shape)
        styles = np.full(len(artworks), "", object)
        if style is not None:
            styles[rows] = style[0][style[1]]
        return cls(
            artworks=artwork[0][artworks],
            styles=styles,
            cultures=tuple(str(culture[0][i]) for i in order),
            counts=np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape),
            labels=labels,
        )

    @property
    def sizes(self) -> np.ndarray:
        """Number of votes of each culture on each artwork: int64 [p, c]."""
        return self.counts.sum(-1)

    @property
    def distributions(self) -> np.ndarray:
        """Share of each emotion [p, c, k]; zero where a culture has no votes."""
        return self.counts / np.maximum(self.sizes, 1)[..., None]

    def select_artworks(self, keep: np.ndarray) -> "Votes":
        """The artworks at some positions, or where a mask is true."""
        return replace(
            self,
            artworks=self.artworks[keep],
            styles=self.styles[keep],
            counts=self.counts[keep],
        )

    def select_cultures(self, keep: list[int]) -> "Votes":
        """The cultures at some positions."""
        names = tuple(self.cultures[i] for i in keep)
        return replace(self, cultures=names, counts=self.counts[:, keep])
