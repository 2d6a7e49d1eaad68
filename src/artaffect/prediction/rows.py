"""Lists of inputs: the first error among them, the distinct ones, and the row of each among these."""

import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from PIL import Image

from artaffect.data.preprocessing import ImageSource
from artaffect.errors import ArtAffectError, InputError
from artaffect.prediction.types import PreparedInput

T = TypeVar("T")


def raise_first(items: Sequence[PreparedInput | ArtAffectError], start: int) -> list[PreparedInput]:
    """Raise the first error with its position, counted from ``start``; else return the items."""
    prepared = []
    for position, item in enumerate(items, start):
        if isinstance(item, ArtAffectError):
            raise type(item)(f"item {position}: {item}")
        prepared.append(item)
    return prepared


def distinct_rows(
    items: Sequence[T | None], key: Callable[[T], Hashable]
) -> tuple[list[T], np.ndarray]:
    """The items with distinct keys, and each item's index among them: -1 for None."""
    distinct = {key(item): item for item in items if item is not None}
    row_of = {name: row for row, name in enumerate(distinct)}
    rows = [-1 if item is None else row_of[key(item)] for item in items]
    return list(distinct.values()), np.array(rows, np.int64)


def gather_rows(features: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Rows of features, zero where the index is -1."""
    rows = np.zeros((len(index), features.shape[1]), np.float32)
    rows[index >= 0] = features[index[index >= 0]]
    return rows


def stack_outside(inputs: Sequence[PreparedInput], sources: int, labels: int) -> np.ndarray | None:
    """What outside sources predict, one row for each input and culture: float64 [n, sources, labels].

    NaN stands for an input without such predictions; None is the answer if none of them has any.
    """
    if all(item.outside is None for item in inputs):
        return None
    parts = [
        np.full((len(item.cultures), sources, labels), np.nan)
        if item.outside is None
        else item.outside
        for item in inputs
    ]
    return np.concatenate(parts)


def aligned_lists(
    images: Iterable[ImageSource | None] | None, captions: Iterable[str | None] | None
) -> tuple[list[ImageSource | None], list[str | None]]:
    """Images and captions as lists of one length."""
    for name, values in (("images", images), ("captions", captions)):
        is_single = isinstance(values, str | bytes | os.PathLike | Image.Image)
        if is_single or not isinstance(values, Iterable | None):
            raise InputError(f"{name} must be a list, got {type(values).__name__}")
    if images is None and captions is None:
        raise InputError("nothing to predict from: pass images, captions, or both")
    first = None if images is None else list(images)
    second = None if captions is None else list(captions)
    if first is not None and second is not None and len(first) != len(second):
        raise InputError(
            f"images and captions must have the same length, got {len(first)} and {len(second)}"
        )
    return first or [None] * len(second or ()), second or [None] * len(first or ())
