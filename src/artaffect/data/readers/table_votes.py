"""Columns that hold how often each label was chosen, as counts or as shares of the annotators."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from artaffect.errors import TableError
from artaffect.runtime import printable

_MOST_ANNOTATORS = 200
"""The most annotators of one artwork that are inferred from shares."""


def match_votes(path: Path, header: Sequence[str], pattern: str) -> dict[int, str]:
    """Find the columns whose names match a pattern; the part that the star matches is the label.

    Returns:
        Position of the column → label.

    Raises:
        TableError: the pattern does not contain exactly one star, or fewer than two columns match.
    """
    if pattern.count("*") != 1:
        raise TableError(
            f"votes {pattern!r}: expected the names of the columns with one * in place of the label, "
            "such as votes_*"
        )
    expression = re.compile("(.*)".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)
    matches = {i: expression.fullmatch(name.strip()) for i, name in enumerate(header)}
    labels = {i: match[1].strip() for i, match in matches.items() if match and match[1].strip()}
    if len(labels) < 2:
        names = printable(", ".join(name.strip() for name in header)[:500])
        raise TableError(
            f"{path} has {len(labels)} columns that match {pattern!r}, and votes need one for each "
            f"label, at least two: it has {names}"
        )
    return labels


def count_votes(
    cells: Sequence[pa.Array], labels: Sequence[str], annotators: int | None
) -> tuple[np.ndarray, dict[int, str]]:
    """How often each label was chosen in each row.

    Whole numbers are counts. Otherwise the cells are shares of the annotators; their number is the
    smallest that gives these shares to the decimals that are written.

    Args:
        cells: the cells of each label [n].
        annotators: how many annotators each row's shares stand for.

    Returns:
        Counts [n, labels], and the fault of each row that has no counts.
    """
    faults: dict[int, str] = {}
    values = np.zeros((len(cells[0]), len(labels)))
    decimals = 0
    for column, label in enumerate(labels):
        for row, text in enumerate(cells[column].to_pylist()):
            value = _number(text)
            if value is None:
                faults[row] = f"votes for {label}: {text!r} is not a number of at least 0"
            else:
                values[row, column] = value
                decimals = max(decimals, len(text.strip().partition(".")[2]))
    is_share = annotators is not None or bool((values % 1).any())
    if not is_share:
        counts = values.astype(np.int64)
    else:
        for row in np.flatnonzero((values > 1).any(1)).tolist():
            faults.setdefault(row, "a share of the annotators is more than 1")
        sizes = np.full(len(values), annotators or 0)
        if annotators is None:
            sizes = _annotators(values, 0.5 * 10.0**-decimals)
            for row in np.flatnonzero(sizes == 0).tolist():
                faults.setdefault(
                    row,
                    f"the shares are those of no number of annotators up to {_MOST_ANNOTATORS}: give "
                    "it with --annotators",
                )
        counts = np.rint(values * sizes[:, None]).astype(np.int64)
    for row in np.flatnonzero(counts.sum(1) == 0).tolist():
        faults.setdefault(row, "no votes")
    counts[list(faults)] = 0
    return counts, faults


def _number(text: str) -> float | None:
    """The number in a cell, 0 for a blank one; None if it is no number of at least 0."""
    try:
        value = float(text.strip() or 0)
    except ValueError:
        return None
    return value if 0 <= value < 1e6 else None


def _annotators(shares: np.ndarray, tolerance: float) -> np.ndarray:
    """The smallest number of annotators that gives the shares [n, k] of each row, or 0: [n]."""
    sizes = np.zeros(len(shares), np.int64)
    for size in range(_MOST_ANNOTATORS, 0, -1):
        error = np.abs(shares - np.rint(shares * size) / size).max(1)
        sizes[error <= tolerance + 1e-9] = size
    return sizes
