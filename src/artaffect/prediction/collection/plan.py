"""The plan of a collection's work, on disk beside the result: what is to be done, and what is done.

A plan is divided into shards. The predictions of a shard are one Parquet file, written completely or not
at all, so the folder shows what is left after a kill, on every machine that sees the same disk.
"""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artaffect.errors import IncompleteRunError, OutputExistsError
from artaffect.labels import EMOTIONS
from artaffect.outputs import atomic_file
from artaffect.runtime import to_json_text

_NUMBERS = (*map(str, EMOTIONS), "entropy_bits", "image_share", "caption_share")

PREDICTIONS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in ("id", "culture", "top")),
        *(pa.field(name, pa.float32(), nullable=False) for name in _NUMBERS),
        pa.field("note", pa.string()),
    ]
)
"""One row for each item and culture; the columns named by emotions sum to 1."""

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
        """Write the plan, or continue an equal plan.

        Args:
            settings: what the predictions depend on; plain JSON values.
            overwrite: discard a different plan.

        Raises:
            OutputExistsError: a different plan exists.
        """
        settings = json.loads(json.dumps({**settings, "shard_rows": shard_rows}))
        path = self.folder / "settings.json"
        if path.is_file():
            previous = json.loads(path.read_text("utf-8"))
            changed = sorted(key for key in settings if settings[key] != previous.get(key))
            if not changed and not pq.read_table(self._items).equals(items):
                changed = ["items"]
            if not changed:
                return
            if not overwrite:
                raise OutputExistsError(
                    f"{self.folder} contains the work of another run (with other {', '.join(changed)}): "
                    "repeat that run, or add --overwrite to start again"
                )
            self.discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._items) as temporary:
            pq.write_table(items, temporary, row_group_size=shard_rows)
        with atomic_file(path) as temporary:
            temporary.write_text(json.dumps(settings), "utf-8")

    def items(self, shard: int) -> pa.Table:
        """The items of a shard."""
        return pq.ParquetFile(self._items).read_row_group(shard)

    def shards(self) -> list[int]:
        """The number of items in each shard."""
        metadata = pq.read_metadata(self._items)
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def unfinished(self) -> list[int]:
        """The shards without predictions."""
        return [i for i in range(len(self.shards())) if not self._part(i).is_file()]

    def save(self, shard: int, predictions: pa.Table, skipped: Sequence[Skipped]) -> None:
        """Save the predictions of a shard, and the items without one."""
        metadata = {"skipped": json.dumps([list(item) for item in skipped])}
        with atomic_file(self._part(shard)) as temporary:
            pq.write_table(predictions.replace_schema_metadata(metadata), temporary)

    def merge(self, out: Path, cultures: int, provenance: Mapping[str, Any]) -> int:
        """Merge all parts into one file, list the skipped items, and delete the plan.

        Args:
            cultures: the number of rows of each predicted item.

        Returns:
            The number of skipped items.

        Raises:
            IncompleteRunError: an item is missing, repeated or unknown.
        """
        schema = PREDICTIONS.with_metadata({"artaffect": to_json_text(provenance, indent=None)})
        skipped: list[Skipped] = []
        with (
            atomic_file(out) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for shard in range(len(self.shards())):
                part = pq.read_table(self._part(shard))
                predictions = part.select(PREDICTIONS.names)
                left_out = json.loads(part.schema.metadata[b"skipped"])
                self._check(shard, predictions, left_out, cultures)
                skipped += left_out
                writer.write_table(predictions.replace_schema_metadata(schema.metadata))
        path = skipped_path(out)
        if skipped:
            with (
                atomic_file(path) as temporary,
                temporary.open("w", encoding="utf-8", newline="") as file,
            ):
                csv.writer(file).writerows([("id", "image", "reason"), *skipped])
        else:
            path.unlink(missing_ok=True)
        self.discard()
        return len(skipped)

    def discard(self) -> None:
        """Delete the plan and its parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

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
    def _items(self) -> Path:
        return self.folder / "items.parquet"

    def _part(self, shard: int) -> Path:
        return self.folder / f"part-{shard:06}.parquet"


def skipped_path(out: Path) -> Path:
    """The CSV file that lists the items without a prediction."""
    return out.with_name(out.name + ".skipped.csv")
