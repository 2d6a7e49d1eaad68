"""Rank what to ask of whom: how much one more vote would tell of an artwork in a culture."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from artaffect.data.readers.table_formats import open_table
from artaffect.errors import InputError, TableError
from artaffect.labels import culture_name
from artaffect.prediction.collection.works import Works, read_works
from artaffect.runtime import as_list, as_path

_NEEDED = ("artwork", "label", "culture")


@dataclass(frozen=True)
class Question:
    """A work, and whom to ask about it."""

    item: str
    culture: str
    bits: float
    """What one more vote is expected to tell of the distribution of the culture's votes."""
    votes: int
    """How many there are already."""
    top: str
    """The most likely label, votes included."""


def next_votes(
    answers: str | PathLike[str],
    votes: str | PathLike[str] | None = None,
    cultures: str | Sequence[str] | None = None,
    *,
    count: int = 20,
    prior_votes: float = 2.0,
) -> list[Question]:
    """The questions from which most is to be learned, the best first.

    The votes on a work in a culture are drawn from a distribution over labels, of which the model's answer
    is a Dirichlet prior. One more vote y tells of that distribution p the mutual information
    I(y; p) = H(E p) - E H(p), which falls with every vote that there is.

    Args:
        answers: a file of :func:`predict_collection`.
        votes: a file of :func:`import_votes`; by default there are none.
        cultures: whom to ask; by default the cultures of the answers.
        count: the most questions.
        prior_votes: how many votes the model's answer counts as.

    Raises:
        TableError: a file cannot be read, or a vote is of no label.
        InputError: the answers have no such culture.
    """
    if count < 1 or not prior_votes > 0:
        raise InputError(f"expected a count and prior votes above 0, got {count} and {prior_votes}")
    works = read_works(as_path(answers, "answers"), {}, None)
    places = {culture_name(name): i for i, name in enumerate(works.cultures)}
    chosen = list(works.cultures) if cultures is None else as_list(cultures, "cultures")
    if unknown := [name for name in chosen if culture_name(name) not in places]:
        has = ", ".join(works.cultures)
        raise InputError(f"the answers have no culture {unknown[0]!r}; their cultures: {has}")
    counts = np.zeros(works.probabilities.shape)
    if votes is not None:
        _count(as_path(votes, "votes"), works, places, counts)
    alpha = (prior_votes * works.probabilities.clip(1e-6) + counts).reshape(-1, len(works.labels))
    bits = expected_information(alpha)
    wanted = [places[culture_name(name)] for name in chosen]
    candidates = np.flatnonzero(np.isin(np.arange(len(bits)) % len(works.cultures), wanted))
    best = candidates[np.argsort(-bits[candidates], kind="stable")[:count]]
    rows, columns = np.divmod(best, len(works.cultures))
    return [
        Question(
            works.ids[i],
            works.cultures[c],
            float(bits[k]),
            int(counts[i, c].sum()),
            works.labels.names[int(alpha[k].argmax())],
        )
        for k, i, c in zip(best, rows, columns, strict=True)
    ]


def expected_information(alpha: np.ndarray) -> np.ndarray:
    """What one draw tells of a Dirichlet's distribution, in bits: float [n].

    Args:
        alpha: the parameters, above 0: float [n, labels].
    """
    import torch

    values = torch.from_numpy(np.ascontiguousarray(alpha, np.float64))
    total = values.sum(1, keepdim=True)
    mean = values / total
    entropy_of_mean = -(mean * mean.log()).sum(1)
    mean_entropy = torch.digamma(total[:, 0] + 1) - (mean * torch.digamma(values + 1)).sum(1)
    return ((entropy_of_mean - mean_entropy) / np.log(2)).clamp(min=0).numpy()


def _count(
    path: Path, works: Works, cultures: Mapping[str | None, int], counts: np.ndarray
) -> None:
    """Add the votes of a file to counts [works, cultures, labels]; ``cultures`` gives their places."""
    file = open_table(path)
    missing = [name for name in _NEEDED if name not in file.header]
    if missing:
        raise TableError(f"{path} holds no votes: it lacks the column {', '.join(missing)}")
    cells = file.read([file.header.index(name) for name in _NEEDED], ())
    rows: Iterable[tuple[str, str, str]] = zip(*(c.to_pylist() for c in cells.columns), strict=True)
    items = {name: i for i, name in enumerate(works.ids)}
    unknown: Counter[str] = Counter()
    for line, (artwork, label, culture) in zip(cells.line, rows, strict=True):
        if not works.labels.knows(label):
            raise TableError(f"{path}, line {line}: {label!r} is no label of the answers")
        place = items.get(artwork), cultures.get(culture_name(culture))
        if None in place:
            unknown[artwork if place[0] is None else culture] += 1
        else:
            counts[place[0], place[1], works.labels.index(works.labels.parse(label))] += 1
    if unknown and unknown.total() == len(cells.line):
        raise TableError(f"{path}: none of its votes is on a work and a culture of the answers")
