"""The votes of a painting's readers, culture by culture: what all comparisons of publics begin with."""

from dataclasses import dataclass

import numpy as np

from artaffect.labels import EMOTIONS

Labels = tuple[np.ndarray, np.ndarray]
"""A column as its distinct values [k] and each row's index into them [n]."""


@dataclass(frozen=True)
class Votes:
    """How often each public chose each emotion for each painting."""

    artworks: np.ndarray
    """Ids [p]."""
    styles: np.ndarray
    """Art style of each painting [p]."""
    cultures: tuple[str, ...]
    """Most votes first [c]."""
    counts: np.ndarray
    """int64 [p, c, 9]."""

    @classmethod
    def count(
        cls, artwork: Labels, culture: Labels, emotions: np.ndarray, style: Labels | None = None
    ) -> "Votes":
        """Count rows.

        Args:
            artwork: ids, and each row's index into them.
            culture: names, and each row's index into them.
            emotions: each row's label as an index [n].
            style: likewise; without it all paintings are of one style, with an empty name.
        """
        artworks, rows = np.unique(artwork[1], return_inverse=True)
        present, tally = np.unique(culture[1], return_counts=True)
        order = present[np.lexsort((culture[0][present].astype(str), -tally))]
        place = np.zeros(len(culture[0]), np.int64)
        place[order] = np.arange(len(order))
        shape = (len(artworks), len(order), len(EMOTIONS))
        cells = np.ravel_multi_index((rows, place[culture[1]], emotions), shape)
        styles = np.full(len(artworks), "", object)
        if style is not None:
            styles[rows] = style[0][style[1]]
        return cls(
            artworks=artwork[0][artworks],
            styles=styles,
            cultures=tuple(str(culture[0][i]) for i in order),
            counts=np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape),
        )

    @property
    def sizes(self) -> np.ndarray:
        """Votes of each culture for each painting: int64 [p, c]."""
        found: np.ndarray = self.counts.sum(-1)
        return found

    @property
    def distributions(self) -> np.ndarray:
        """Share of each emotion [p, c, 9]; zero where a culture has not voted."""
        found: np.ndarray = self.counts / np.maximum(self.sizes, 1)[..., None]
        return found

    def of_artworks(self, keep: np.ndarray) -> "Votes":
        """Some paintings, by position or mask."""
        return Votes(self.artworks[keep], self.styles[keep], self.cultures, self.counts[keep])

    def of_cultures(self, keep: list[int]) -> "Votes":
        """Some cultures, by position."""
        names = tuple(self.cultures[i] for i in keep)
        return Votes(self.artworks, self.styles, names, self.counts[:, keep])
