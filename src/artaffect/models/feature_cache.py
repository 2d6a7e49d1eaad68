"""The feature cache: Arrow files on disk, each checked before it is used."""

import hashlib
import logging
import os
import stat
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from artaffect.data.arrow import arrow_errors
from artaffect.errors import TableError
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.precision import resolve
from artaffect.models.text_encoders import TextEncoder
from artaffect.models.weights import fingerprint
from artaffect.outputs import atomic_file

_logger = logging.getLogger(__name__)


class FeatureCache:
    """Features of one encoder on disk: Arrow files of keys and vectors, each with a checksum.

    Its folder is named by a digest of the encoder's weights, tokenizer, preprocessing and precision. Shards
    are written atomically, under names that follow from their keys, so that several processes may write at
    once.
    A cache never stops the work, and never gives wrong features. Anything that is damaged, or of another
    version or width, is renamed to ``*.damaged``; where nothing can be written, nothing is kept.
    """

    def __init__(self, root: Path | None, encoder: ImageEncoder | TextEncoder) -> None:
        """``root`` is the folder of all caches; None keeps nothing."""
        name = "image" if isinstance(encoder, ImageEncoder) else "text"
        precision = resolve(encoder.precision)
        settings = {k: v for k, v in encoder.settings().items() if k != "precision"}
        computed = [] if precision == "float32" else [precision]
        if isinstance(encoder, TextEncoder):  # the same weights mean others to another vocabulary
            computed.append(encoder.tokenizer.to_str())
        digest = fingerprint(encoder, settings, *computed)[:20]
        self.folder = root and root / f"{name}-{digest}"
        self.width = encoder.feature_dim

    def load(self, keys: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Stored vectors float32 [n, d], and whether each key is stored: bool [n]."""
        values = np.zeros((len(keys), self.width), np.float32)
        stored = np.zeros(len(keys), bool)
        wanted = pa.array(list(keys), pa.binary(16))
        for shard in self._shards():
            try:
                with arrow_errors(shard, "a shard of features"):
                    shard_keys, vectors = self._read(shard)
                    rows = pa.compute.index_in(wanted, value_set=shard_keys)
                    rows = rows.fill_null(-1).to_numpy(zero_copy_only=False)
                    values[rows >= 0] = vectors[rows[rows >= 0]]
                    stored |= rows >= 0
            except TableError as error:
                _set_aside(shard, error)
        return values, stored

    def add(self, keys: Sequence[bytes], values: np.ndarray) -> None:
        """Write one shard: distinct keys [n] and their vectors [n, d]; warn if that is not possible."""
        if self.folder is None:
            return
        digest = hashlib.blake2b(b"".join(keys), digest_size=10).hexdigest()
        vectors = np.ascontiguousarray(values, np.float32)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), self.width)
        metadata = {_METADATA: _checksum(b"".join(keys), vectors)}
        schema = _schema(self.width).with_metadata(metadata)
        table = pa.table([pa.array(list(keys), pa.binary(16)), column], schema)
        try:
            with (
                atomic_file(self.folder / f"{digest}.arrow") as temporary,
                pa.ipc.new_file(str(temporary), table.schema) as writer,
            ):
                writer.write_table(table)
        except OSError as error:  # read-only, full, no permission, a path under a file
            reason = os.strerror(error.errno) if error.errno else str(error)
            _warn_unwritable(self.folder.parent, reason)

    def _shards(self) -> list[Path]:
        if self.folder is None:
            return []
        try:
            return sorted(self.folder.glob("*.arrow"))
        except OSError:  # no permission; writing will say so
            return []

    def _read(self, shard: Path) -> tuple[pa.Array, np.ndarray]:
        """Keys [n] and vectors [n, d] of a shard; raise TableError if they are not what was written."""
        if not stat.S_ISREG(shard.lstat().st_mode):
            raise TableError(f"{shard} is no file of its own but a folder, a link or a device")
        # not through a mapping: where the file shrinks or the disk fails, that would end the process
        with pa.OSFile(str(shard)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
        metadata = table.schema.metadata or {}
        if not table.schema.equals(_schema(self.width)) or _METADATA not in metadata:
            raise TableError(f"{shard} is of another version or width")
        keys, vectors = (table[name].combine_chunks() for name in ("key", "values"))
        if keys.null_count or vectors.null_count or len(keys.unique()) < len(keys):
            raise TableError(
                f"{shard} is damaged: it lacks a key or a vector, or holds one key twice"
            )
        values = vectors.flatten().to_numpy().reshape(len(keys), self.width)
        if metadata[_METADATA] != _checksum(b"".join(keys.to_pylist()), values):
            raise TableError(f"{shard} is damaged: its checksum differs")
        return keys, values


_METADATA = b"artaffect.features"
"""Where a shard holds its version and checksum."""


def _schema(width: int) -> pa.Schema:
    return pa.schema({"key": pa.binary(16), "values": pa.list_(pa.float32(), width)})


def _checksum(keys: bytes, vectors: np.ndarray) -> bytes:
    """The version and checksum of a shard: Arrow itself does not notice a changed byte."""
    return b"2 %08x" % zlib.crc32(vectors.data, zlib.crc32(keys))


def _set_aside(shard: Path, error: TableError) -> None:
    """Rename a shard that cannot be used, so that no later run meets it."""
    try:
        shard.rename(shard.with_suffix(".damaged"))
        done = f"set aside as {shard.stem}.damaged"
    except OSError:  # another process was faster, or the folder is read-only
        done = "left out"
    _logger.warning(f"{error}: {done}, and its features are computed anew")


@cache
def _warn_unwritable(root: Path, reason: str) -> None:
    _logger.warning(f"no features are kept: the cache {root} cannot be written ({reason})")
