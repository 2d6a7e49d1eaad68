"""The votes of an artwork's annotators, culture by culture: the basis of every comparison of cultures."""

from dataclasses import dataclass, replace

import numpy as np

from artaffect.labels import ARTEMIS, LabelSet

Codes = tuple[np.ndarray, np.ndarray]
"""A column as its distinct values [k] and each row's index into them [n]."""


@dataclass(frozen=True)
class Ballots:
    """The votes of each annotator of one culture on one artwork; one annotator may cast several."""

    artwork: np.ndarray
    """The index of each ballot's artwork [b]."""
    culture: np.ndarray
    """The index of its culture [b]."""
    counts: np.ndarray
    """int64 [b, k]."""

    def select(self, keep: np.ndarray) -> "Ballots":
        """The ballots where a mask (bool [b]) is true."""
        return Ballots(self.artwork[keep], self.culture[keep], self.counts[keep])


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
    ballots: Ballots | None = None
    """Whose votes they are, where an annotator has cast several on an artwork; otherwise None."""

    @classmethod
    def count(
        cls,
        artwork: Codes,
        culture: Codes,
        emotions: np.ndarray,
        style: Codes | None = None,
        labels: LabelSet = ARTEMIS,
        annotators: np.ndarray | None = None,
    ) -> "Votes":
        """Count annotations.

        Args:
            artwork: artwork ids, coded.
            culture: culture names, coded.
            emotions: each row's label as an index [n].
            style: art styles, coded; without them all artworks have the empty style.
            labels: what ``emotions`` are indices of.
            annotators: an index for each row's annotator, -1 where it is unknown [n].
        """
        artworks, rows = np.unique(artwork[1], return_inverse=True)
        present, tally = np.unique(culture[1], return_counts=True)
        order = present[np.lexsort((culture[0][present].astype(str), -tally))]
        position = np.zeros(len(culture[0]), np.int64)
        position[order] = np.arange(len(order))
        shape = (len(artworks), len(order), len(labels))
        cells = np.ravel_multi_index((rows, position[culture[1]], emotions), shape)
        ballots = None
        if annotators is not None:
            ballots = _ballots(rows, position[culture[1]], annotators, emotions, len(labels))
        styles = np.full(len(artworks), "", object)
        if style is not None:
            styles[rows] = style[0][style[1]]
        return cls(
            artworks=artwork[0][artworks],
            styles=styles,
            cultures=tuple(str(culture[0][i]) for i in order),
            counts=np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape),
            labels=labels,
            ballots=ballots,
        )

    @property
    def sizes(self) -> np.ndarray:
        """Number of votes of each culture on each artwork: int64 [p, c]."""
        return self.counts.sum(-1)

    @property
    def annotators(self) -> np.ndarray:
        """Number of annotators of each culture on each artwork: int64 [p, c]."""
        if self.ballots is None:
            return self.sizes
        counted = np.zeros(self.sizes.shape, np.int64)
        np.add.at(counted, (self.ballots.artwork, self.ballots.culture), 1)
        return counted

    @property
    def distributions(self) -> np.ndarray:
        """Share of each emotion [p, c, k]; zero where a culture has no votes."""
        return self.counts / np.maximum(self.sizes, 1)[..., None]

    def select_artworks(self, keep: np.ndarray) -> "Votes":
        """The artworks at some positions, or where a mask is true."""
        ballots = self.ballots
        if ballots is not None:
            position = np.full(len(self.artworks), -1)
            position[keep] = np.arange(len(self.artworks[keep]))
            ballots = replace(ballots, artwork=position[ballots.artwork])
            ballots = ballots.select(ballots.artwork >= 0)
        return replace(
            self,
            artworks=self.artworks[keep],
            styles=self.styles[keep],
            counts=self.counts[keep],
            ballots=ballots,
        )

    def select_cultures(self, keep: list[int]) -> "Votes":
        """The cultures at some positions."""
        names = tuple(self.cultures[i] for i in keep)
        ballots = self.ballots
        if ballots is not None:
            position = np.full(len(self.cultures), -1)
            position[keep] = np.arange(len(keep))
            ballots = replace(ballots, culture=position[ballots.culture])
            ballots = ballots.select(ballots.culture >= 0)
        return replace(self, cultures=names, counts=self.counts[:, keep], ballots=ballots)


def _ballots(
    artworks: np.ndarray,
    cultures: np.ndarray,
    annotators: np.ndarray,
    emotions: np.ndarray,
    labels: int,
) -> Ballots | None:
    """Rows [n] by annotator; None if no annotator has several rows on one artwork."""
    # each row of an unknown annotator is a ballot of its own
    own = np.where(annotators < 0, -1 - np.arange(len(annotators)), annotators)
    keys = np.stack([artworks, cultures, own], 1)
    unique, ballot = np.unique(keys, axis=0, return_inverse=True)
    if len(unique) == len(keys):
        return None
    counts = np.bincount(ballot.ravel() * labels + emotions, minlength=len(unique) * labels)
    return Ballots(unique[:, 0], unique[:, 1], counts.reshape(-1, labels))
