"""The features of images and captions, and the struct of arrays that training and evaluation share.

Each distinct image and caption is encoded once. The keys of the cache are digests of what was encoded,
an image's bytes or a caption's text, so that changes are noticed and copies are not encoded twice.
Shards are written during extraction: a run that is killed loses at most one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from artaffect.data.annotations import AnnotationTable
from artaffect.data.decoders import shared_decoders
from artaffect.data.outside import OutsidePredictions
from artaffect.errors import ImageError
from artaffect.labels import ARTEMIS, LabelSet
from artaffect.metrics.partial import spread_counts
from artaffect.models.feature_cache import FeatureCache
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.machine import machine_errors
from artaffect.models.stored_features import StoredFeatures
from artaffect.models.text_encoders import TextEncoder
from artaffect.runtime import cache_folder, progress_bar

Encoder = ImageEncoder | TextEncoder

_SHARD_SECONDS = 20.0
"""A shard is written this often; a kill costs at most this much work."""
_SHARD_ROWS = 65536
_IMAGE_BATCH = 32
_UNUSABLE = bytes(16)
"""The key of inputs that cannot be used, whose features are zero."""
_TOKENS_PER_BATCH = 2048


@dataclass(frozen=True)
class Features:
    """Features in the order of the inputs."""

    values: np.ndarray
    """float32 [n, d]; the rows of broken inputs are zero."""
    broken: dict[int, str] = field(default_factory=dict)
    """Position → why the image cannot be read, or the caption cannot be encoded."""

    @property
    def usable(self) -> np.ndarray:
        """bool [n]: which rows hold features."""
        return ~np.isin(np.arange(len(self.values)), list(self.broken))


def extract_features(
    encoder: Encoder, inputs: Sequence[Path | str], cache: Path | None = None
) -> Features:
    """Encode images (paths) or captions (texts), each distinct one once.

    Features come in the order of ``inputs``. Images that cannot be read are listed, not replaced.

    Args:
        encoder: its type decides what ``inputs`` are.
        cache: the folder of all caches; by default the user's cache folder.
    """
    values, index, broken = extract_distinct(encoder, inputs, cache)
    return Features(values[index], broken)


def extract_distinct(
    encoder: Encoder, inputs: Sequence[Path | str], cache: Path | None = None
) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
    """As :func:`extract_features`, without a copy for inputs that are equal.

    Returns:
        Features of the distinct inputs, float32 [q, d]; each input's index into them, int64 [n]; and what is
        broken, as in :class:`Features`.
    """
    store = FeatureCache(cache or cache_folder("features"), encoder)
    keys, broken = _keys(encoder, inputs)
    unique = list(dict.fromkeys(keys))
    values, stored = store.load(unique)
    row_of = {key: row for row, key in enumerate(unique)}
    sample = dict(zip(keys, inputs, strict=True))
    missing = [row for row in np.flatnonzero(~stored).tolist() if unique[row] != _UNUSABLE]
    unreadable: dict[int, str] = {}
    rows: list[int] = []
    written = monotonic()
    what = "images" if isinstance(encoder, ImageEncoder) else "captions"
    with progress_bar() as bar:
        task = bar.add_task(f"encoding {what}", total=len(missing), visible=bool(missing))
        items = [sample[unique[row]] for row in missing]
        for positions, vectors, faults in encode(encoder, items) if missing else ():
            done = [missing[position] for position in positions]
            values[done] = vectors
            rows += done
            unreadable |= {missing[position]: fault for position, fault in faults.items()}
            bar.advance(task, len(positions) + len(faults))
            if len(rows) >= _SHARD_ROWS or monotonic() - written > _SHARD_SECONDS:
                store.add([unique[row] for row in rows], values[rows])
                rows, written = [], monotonic()
        if rows:
            store.add([unique[row] for row in rows], values[rows])
    index = np.array([row_of[key] for key in keys], np.int64)
    broken |= {i: unreadable[row] for i, row in enumerate(index.tolist()) if row in unreadable}
    return values, index, broken


Encoded = tuple[Sequence[int], np.ndarray, dict[int, str]]
"""Positions of the inputs, their vectors, and the positions that could not be read."""


def encode(encoder: Encoder, inputs: Sequence[Path | str]) -> Iterator[Encoded]:
    """Encode in batches, on a GPU if there is one, without a cache; every position comes back once."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    home = next(encoder.parameters()).device
    remedy = "use a smaller encoder, or a machine with more memory"
    if device.type != "cpu":
        remedy += "; without the GPU (CUDA_VISIBLE_DEVICES=) it works more slowly"
    try:
        with machine_errors(lambda: f"encoding on {device}", remedy):
            encoder.eval().to(device)
            if isinstance(encoder, ImageEncoder):
                yield from _encode_images(encoder, inputs, device)
            else:
                yield from _encode_captions(encoder, list(map(str, inputs)), device)
    finally:
        encoder.to(home)


def _encode_images(
    encoder: ImageEncoder, files: Sequence[Path | str], device: torch.device
) -> Iterator[Encoded]:
    decoders = shared_decoders()

    def read(file: Path | str) -> np.ndarray | str:
        try:
            return decoders.prepare(encoder.preprocessing, file)
        except ImageError as error:
            return str(error)

    def submit(start: int) -> list[Future[np.ndarray | str]]:
        return [pool.submit(read, file) for file in files[start : start + _IMAGE_BATCH]]

    # decodes the next batch while this one is encoded
    with ThreadPoolExecutor(max(2, decoders.count)) as pool:
        upcoming = submit(0)
        for start in range(0, len(files), _IMAGE_BATCH):
            current, upcoming = upcoming, submit(start + _IMAGE_BATCH)
            results = dict(enumerate((job.result() for job in current), start))
            faults = {i: result for i, result in results.items() if isinstance(result, str)}
            pixels = {i: r for i, r in results.items() if not isinstance(r, str)}
            vectors = np.zeros((0, encoder.feature_dim), np.float32)
            if pixels:
                with torch.inference_mode():
                    tensor = torch.from_numpy(np.stack(list(pixels.values()))).to(device)
                    vectors = encoder.encode(tensor).cpu().numpy()
            yield list(pixels), vectors, faults


def _encode_captions(
    encoder: TextEncoder, captions: Sequence[str], device: torch.device
) -> Iterator[Encoded]:
    """Encode the longest first: batches of one length need no padding, and progress is not optimistic."""
    tokens = encoder.tokenize(captions)
    order = sorted(range(len(tokens)), key=lambda i: -len(tokens[i]))
    start = 0
    while start < len(order):
        size = max(1, _TOKENS_PER_BATCH // len(tokens[order[start]]))
        batch = order[start : start + size]
        with torch.inference_mode():
            ids, mask = encoder.collate([tokens[i] for i in batch])
            vectors = encoder.encode(ids.to(device), mask.to(device)).cpu().numpy()
        yield batch, vectors, {}
        start += size


def _keys(encoder: Encoder, inputs: Sequence[Path | str]) -> tuple[list[bytes], dict[int, str]]:
    """A key for each input, ``_UNUSABLE`` for one that cannot be used; and why, by position."""

    def key(item: Path | str) -> bytes | str:
        try:
            if isinstance(encoder, ImageEncoder):
                return _digest(Path(item).read_bytes())
            return _digest(encoder.preprocessing(str(item)).encode())
        except FileNotFoundError:
            return f"{item}: no such file"
        except OSError as error:
            return f"{item}: {error.strerror or error}"
        except ValueError:  # a lone surrogate in a caption, a zero byte in a path
            return f"{str(item)!r} contains characters that are not allowed"

    distinct = list(dict.fromkeys(inputs))
    with ThreadPoolExecutor(4) as pool:
        each = pool.map if isinstance(encoder, ImageEncoder) else map
        digests = dict(zip(distinct, each(key, distinct), strict=True))
    keys = [digests[item] for item in inputs]
    broken = {i: reason for i, reason in enumerate(keys) if isinstance(reason, str)}
    return [key if isinstance(key, bytes) else _UNUSABLE for key in keys], broken


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


@dataclass(frozen=True)
class AnnotationArrays:
    """Annotations as arrays, with the features of their images and captions."""

    artwork_ids: np.ndarray
    """Ids of the distinct artworks [p]."""
    image: Tensor
    """float32 [p, d]; zero for an artwork without an image, [p, 0] without an image encoder."""
    artwork_has_image: Tensor
    """bool [p]."""
    artwork: Tensor
    """Each row's artwork as an index [n]."""
    caption: Tensor
    """Features of the distinct captions: float32 [q, e]; [1, 0] without a text encoder."""
    caption_index: Tensor
    """Each row's caption as an index into these features [n]."""
    emotion: Tensor
    """int64 [n]: the label, or for a partial label ``k`` plus the position of its ``candidates``."""
    culture: Tensor
    """int64 [n]: the model's index of the row's culture, 0 for one it does not know."""
    culture_names: np.ndarray
    """object [n]."""
    unreadable: Sequence[str] = ()
    """One line for each image that cannot be read."""
    caption_texts: pa.ChunkedArray | None = None
    """Each row's caption [n]."""
    image_paths: np.ndarray | None = None
    """Each artwork's image file, or None: object [p]."""
    labels: LabelSet = ARTEMIS
    partial: Tensor | None = None
    """The sets that partial labels stand for: bool [s, k]; None if there are none."""
    outside_names: tuple[str, ...] = ()
    """The sources of predictions that were made elsewhere."""
    annotator: np.ndarray | None = None
    """Each row's annotator as an index, -1 where it is unknown: int64 [n]."""
    outside: Tensor | None = None
    """What they predict: float64 [n, sources, k], NaN where a source has no prediction; None without
    sources."""

    def __len__(self) -> int:
        return len(self.emotion)

    @property
    def candidates(self) -> np.ndarray:
        """The sets that partial labels stand for: bool [s, k]."""
        none = np.zeros((0, len(self.labels)), bool)
        return none if self.partial is None else self.partial.numpy()

    @property
    def is_exact(self) -> Tensor:
        """bool [n]: whether the row has one label, not several of which one is true."""
        return self.emotion < len(self.labels)

    @property
    def has_image(self) -> Tensor:
        """bool [n]: whether the row's artwork has an image."""
        return self.artwork_has_image[self.artwork]

    @property
    def captions(self) -> list[str]:
        """The captions of the rows, as Python strings."""
        return [] if self.caption_texts is None else self.caption_texts.to_pylist()

    def label_counts(self) -> Tensor:
        """How many rows have each label; partial labels are spread: float64 [k]."""
        size = len(self.labels) + len(self.candidates)
        counts = torch.bincount(self.emotion, minlength=size).numpy()
        return torch.from_numpy(spread_counts(counts, self.candidates))

    def votes(self, n_cultures: int = 0) -> Tensor:
        """Count the votes for each artwork: float32 [p, n_cultures + 1, k + s].

        Row 0 of an artwork counts the votes of all cultures; the others those of one culture each.
        Those for each label come first, then those for each set of ``candidates``.
        """
        size = len(self.labels) + len(self.candidates)
        counts = torch.zeros(len(self.artwork_ids), n_cultures + 1, size)
        known = (self.culture > 0) & (self.culture <= n_cultures)
        overall = (self.artwork, torch.zeros_like(self.artwork), self.emotion)
        of_culture = (self.artwork[known], self.culture[known], self.emotion[known])
        for index in (overall, of_culture):
            counts.index_put_(index, torch.ones(()), accumulate=True)
        return counts

    def select(self, keep: Tensor) -> "AnnotationArrays":
        """The rows where ``keep`` (bool [n]) is true; all artworks stay."""
        texts = self.caption_texts
        columns: dict[str, Any] = {
            n: getattr(self, n)[keep] for n in ("artwork", "caption_index", "emotion", "culture")
        }
        columns["outside"] = None if self.outside is None else self.outside[keep]
        columns["annotator"] = None if self.annotator is None else self.annotator[keep.numpy()]
        columns["culture_names"] = self.culture_names[keep.numpy()]
        columns["caption_texts"] = texts and texts.filter(pa.array(keep.numpy()))
        return replace(self, **columns)

    def with_images(self) -> "AnnotationArrays":
        """The rows and artworks that have an image; the artworks are renumbered."""
        keep, rows = self.artwork_has_image, self.select(self.has_image)
        return replace(
            rows,
            artwork_ids=self.artwork_ids[keep.numpy()],
            image=self.image[keep],
            artwork_has_image=keep[keep],
            artwork=(keep.cumsum(0) - 1)[rows.artwork],
            image_paths=None if self.image_paths is None else self.image_paths[keep.numpy()],
        )


def extract_arrays(
    table: AnnotationTable,
    image_encoder: ImageEncoder | None,
    text_encoder: TextEncoder | None,
    cultures: Sequence[str],
    cache: Path | None = None,
    outside: Sequence[OutsidePredictions] = (),
) -> AnnotationArrays:
    """Turn a table into arrays, and encode its images and captions.

    Args:
        cultures: the model's cultures, in its order.
        outside: predictions that were made elsewhere.

    Raises:
        TableError: the folder of images is missing.
    """
    artworks, artwork = np.unique(table.codes("artwork_id")[1], return_inverse=True)
    ids = table.codes("artwork_id")[0][artworks]
    files: list[Path | None] = [None] * len(ids)
    if isinstance(image_encoder, StoredFeatures):
        image, has_image = image_encoder.stored().find(ids)
        unreadable: list[str] = []
    else:
        files = image_files(table, artwork, len(ids))
        image, has_image, unreadable = encode_images(files, image_encoder, cache)
    caption, caption_index = np.zeros((1, 0), np.float32), np.zeros(len(table), np.int64)
    if text_encoder is not None:
        caption, caption_index, _ = extract_distinct(text_encoder, table.strings("caption"), cache)
    names, codes = table.codes("culture")
    index_of = {name: i for i, name in enumerate(cultures, start=1)}
    culture = np.array([index_of.get(str(name), 0) for name in names], np.int64)[codes]
    return AnnotationArrays(
        artwork_ids=ids,
        image=torch.from_numpy(image),
        artwork_has_image=torch.from_numpy(has_image),
        artwork=torch.from_numpy(artwork.astype(np.int64)),
        caption=torch.from_numpy(caption),
        caption_index=torch.from_numpy(caption_index),
        emotion=torch.from_numpy(table.emotion_codes()),
        culture=torch.from_numpy(culture),
        culture_names=names[codes],
        unreadable=unreadable,
        caption_texts=table.rows["caption"],
        image_paths=np.array(files, object),
        labels=table.labels,
        partial=torch.from_numpy(table.candidates) if table.partial_labels else None,
        annotator=table.codes("annotator")[1],
        outside_names=tuple(source.name for source in outside),
        outside=torch.from_numpy(np.stack([s.find(table) for s in outside], 1))
        if outside
        else None,
    )


def image_files(table: AnnotationTable, artwork: np.ndarray, count: int) -> list[Path | None]:
    """The image file of each of ``count`` artworks; ``artwork`` holds each row's index [n].

    Raises:
        TableError: the folder of images is missing.
    """
    names, codes = table.codes("image")
    root, known = table.images, codes >= 0
    table.check_images()
    code_of = dict(zip(artwork[known].tolist(), codes[known].tolist(), strict=True))
    paths = {i: Path(root or "") / str(names[code]) for i, code in code_of.items()}
    return [paths.get(i) for i in range(count)]


def encode_images(
    files: Sequence[Path | None], encoder: ImageEncoder | None, cache: Path | None
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features [p, d], which artworks have an image [p], and what cannot be read."""
    has_image = np.array([file is not None for file in files], bool)
    if encoder is None:
        return np.zeros((len(files), 0), np.float32), has_image, []
    values = np.zeros((len(files), encoder.feature_dim), np.float32)
    features = extract_features(encoder, [file for file in files if file is not None], cache)
    values[has_image] = features.values
    has_image[has_image] = features.usable
    return values, has_image, list(features.broken.values())
