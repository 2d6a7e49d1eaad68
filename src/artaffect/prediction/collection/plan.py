"""The plan of a collection's work, on disk beside the result: what is to be done, and what is done.

A plan is divided into shards. The predictions of a shard are one Parquet file, written completely or not
at all, so the folder shows what is left after a kill, on every machine that sees the same disk. Each part
carries a digest of the plan and of its own inputs; a part of anything else is never used.
"""

import hashlib
import io
import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.data.arrow import arrow_errors
from artaffect.data.listing import write_listing
from artaffect.errors import IncompleteRunError, OutputExistsError, TableError
from artaffect.outputs import atomic_file, discard_folder
from artaffect.prediction.collection.answers import AnswerTable
from artaffect.prediction.collection.companion import CompanionWriter, companion_path
from artaffect.prediction.collection.downloads import Origins
from artaffect.prediction.collection.formats import open_answers
from artaffect.runtime import file_digest

_logger = logging.getLogger(__name__)

SHARD_ROWS = 256
"""Items in a shard: a kill costs a few seconds of work."""

Skipped = Sequence[str]
"""An item's id, its image, and the reason why it has no prediction."""


@dataclass(frozen=True)
class Plan:
    """The folder ``<out>.parts``."""

    folder: Path

    @classmethod
    def for_output(cls, out: Path) -> "Plan":
        """The plan for a result."""
        return cls(out.absolute().with_name(out.name + ".parts"))

    def begin(
        self, items: pa.Table, settings: Mapping[str, Any], shard_rows: int, overwrite: bool
    ) -> None:
        """Write the plan, or continue an equal plan; needs the lock of its output.

        Args:
            settings: what the predictions depend on, as plain JSON values; among them their ``labels``.
            overwrite: discard a different plan.

        Raises:
            OutputExistsError: a different plan exists, or something else has its name.
        """
        settings = {**settings, "shard_rows": shard_rows, "items": _table_digest(items)}
        settings = json.loads(json.dumps(settings))
        previous = self._settings()
        if previous == settings and self._items.is_file():
            return
        if previous is not None and previous != settings:
            changed = sorted(key for key in settings if settings[key] != previous.get(key))
            if not overwrite:
                raise OutputExistsError(
                    f"{self.folder} contains the work of another run (with other {', '.join(changed)}): "
                    "repeat that run, or add --overwrite to start again"
                )
            self.discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._settings_file) as temporary:
            temporary.write_text(json.dumps(settings), "utf-8")
        with atomic_file(self._items) as temporary:
            pq.write_table(items, temporary, row_group_size=shard_rows)

    @property
    def digest(self) -> str:
        """A digest of the items and of everything else that the predictions depend on."""
        return _digest(self._settings_file.read_bytes())

    def items(self, shard: int) -> pa.Table:
        """The items of a shard."""
        return pq.ParquetFile(self._items).read_row_group(shard)

    def shards(self) -> list[int]:
        """The number of items in each shard."""
        metadata = pq.read_metadata(self._items)
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def unfinished(self) -> list[int]:
        """The shards without predictions; parts that cannot be used are set aside."""
        return [shard for shard in range(len(self.shards())) if not self._is_done(shard)]

    def inputs_digest(self, shard: int) -> str:
        """A digest of what a shard's predictions depend on, with the state of each image file."""
        states: list[str | None] = []
        for image in self.items(shard)["image"].to_pylist():
            try:
                status = os.stat(os.fsdecode(image)) if image else None
                states.append(status and f"{status.st_size} {status.st_mtime_ns}")
            except (OSError, ValueError) as error:
                states.append(type(error).__name__)
        return _digest(json.dumps([self.digest, shard, states]).encode())

    def save(
        self, shard: int, predictions: pa.Table, skipped: Sequence[Skipped], inputs_digest: str
    ) -> None:
        """Save the predictions of a shard, and the items without one.

        Args:
            inputs_digest: of the shard, before its images were read.
        """
        left_out = json.dumps([list(item) for item in skipped])
        metadata = {"skipped": left_out, "inputs": inputs_digest}
        metadata["checksum"] = _checksum(predictions, left_out)
        with atomic_file(self._part(shard)) as temporary:
            pq.write_table(predictions.replace_schema_metadata(metadata), temporary)

    def merge(
        self,
        out: Path,
        answers: AnswerTable,
        provenance: Mapping[str, Any],
        origins: Origins | None = None,
    ) -> int:
        """Merge all parts into one file, list the skipped items, and delete the plan.

        The answers are written last: until they have their name, the same call can be repeated.

        Args:
            provenance: for the metadata of formats that have any, and of the items beside the answers.
            origins: where images come from, for the items beside the answers and those skipped.

        Returns:
            The number of skipped items.

        Raises:
            IncompleteRunError: an item is missing, repeated or unknown.
        """
        skipped: list[Skipped] = []
        with atomic_file(out) as temporary, atomic_file(companion_path(out)) as beside:
            with (
                open_answers(temporary, out.suffix, answers.schema, dict(provenance)) as write,
                CompanionWriter(beside, provenance, origins or {}) as companion,
            ):
                for shard in range(len(self.shards())):
                    predictions = _read(self._part(shard))
                    left_out = json.loads(predictions.schema.metadata[b"skipped"])
                    self._check(shard, predictions, left_out, len(answers.cultures))
                    skipped += left_out
                    write(answers.table(self.items(shard), predictions))
                    companion.write(self.items(shard), predictions)
            named = [_named(item, origins or {}) for item in skipped]
            _write_skipped(named, skipped_path(out))
            with atomic_file(self._result) as digest:
                digest.write_text(file_digest(temporary), "utf-8")
        self.discard()
        return len(skipped)

    def is_merged(self, out: Path) -> bool:
        """Whether ``out`` holds the answers of this plan, which only remains to be deleted."""
        return self._result.is_file() and self._result.read_text("utf-8") == file_digest(out)

    def discard(self) -> None:
        """Delete the plan and its parts."""
        discard_folder(self.folder)

    def _settings(self) -> dict[str, Any] | None:
        """The settings of the plan in the folder, or None if there is no plan."""
        path = self._settings_file
        if not path.is_file():
            if self.folder.exists() and any(self.folder.glob("[!.]*")):
                raise OutputExistsError(
                    f"{self.folder}, where unfinished work would be kept, is something else: choose "
                    "another name for the answers"
                )
            return None
        try:
            return dict(json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError):
            return {}  # damaged: of another run

    def _is_done(self, shard: int) -> bool:
        part = self._part(shard)
        if not part.is_file():
            return False
        try:
            metadata, reason = _read(part).schema.metadata, "belongs to other inputs"
        except TableError:
            metadata, reason = {}, "is damaged"
        if metadata.get(b"inputs") == self.inputs_digest(shard).encode():
            return True
        part.replace(part.with_suffix(".other"))
        _logger.warning(f"{part} {reason}: it is set aside, and its items are predicted again")
        return False

    def _check(
        self, shard: int, predictions: pa.Table, skipped: Sequence[Skipped], cultures: int
    ) -> None:
        pairs = predictions.group_by(["id", "culture"]).aggregate([])
        counts = Counter(pairs["id"].to_pylist())
        expected = dict.fromkeys(self.items(shard)["id"].to_pylist(), cultures)
        expected |= {item[0]: 0 for item in skipped}
        wrong = [name for name in {**expected, **counts} if counts[name] != expected.get(name, 0)]
        if wrong or pairs.num_rows != predictions.num_rows:
            raise IncompleteRunError(
                f"{self._part(shard)}: items are missing, repeated or unknown {wrong[:3]}: "
                "delete that file and run the command again"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the predictions, in their order."""
        return tuple(json.loads(self._settings_file.read_text("utf-8"))["labels"])

    @property
    def _result(self) -> Path:
        """The file that holds the digest of the complete answers."""
        return self.folder / "answers.sha256"

    @property
    def _settings_file(self) -> Path:
        return self.folder / "settings.json"

    @property
    def _items(self) -> Path:
        return self.folder / "items.parquet"

    def _part(self, shard: int) -> Path:
        return self.folder / f"part-{shard:06}.parquet"


def skipped_path(out: Path) -> Path:
    """The CSV file that lists the items without a prediction."""
    return out.with_name(out.name + ".skipped.csv")


def _read(part: Path) -> pa.Table:
    """The predictions of a part; raises TableError if they are not what was written."""
    with arrow_errors(part, "a part of predictions"):
        table = pq.read_table(part)
        metadata = table.schema.metadata or {}
        left_out = metadata.get(b"skipped", b"").decode()
        if metadata.get(b"checksum") != _checksum(table, left_out).encode():
            raise ValueError("its checksum differs")
    return table


def _checksum(predictions: pa.Table, left_out: str) -> str:
    return _digest(repr((predictions.to_pydict(), left_out)).encode())


def _write_skipped(skipped: Sequence[Skipped], path: Path) -> None:
    if skipped:
        write_listing(path, ("id", "image", "reason"), skipped)
    else:
        path.unlink(missing_ok=True)


def _named(item: Skipped, origins: Origins) -> Skipped:
    """A skipped item with the address of its image, if it has one, and why it could not be fetched."""
    name, image, reason = item
    address, fault = origins.get(image, (image, ""))
    return name, address, fault or reason


def _table_digest(table: pa.Table) -> str:
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as stream:
        stream.write_table(table.combine_chunks())
    return _digest(buffer.getvalue())


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
