"""The plan of a collection's work, on disk beside the result: what is to be done, and what is done.

A plan is cut into shards. A shard's answers are one Parquet file, written whole or not at all, so whoever
looks at the folder knows what is left: after a kill, and from any machine that sees the same disk.
"""

import csv
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from artaffect.errors import IncompleteRunError, OutputExistsError
from artaffect.labels import EMOTIONS
from artaffect.runtime import atomic_file

ANSWERS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("culture", pa.string(), nullable=False),
        pa.field("top", pa.string(), nullable=False),
        *(pa.field(str(emotion), pa.float32(), nullable=False) for emotion in EMOTIONS),
        pa.field("entropy_bits", pa.float32(), nullable=False),
        pa.field("image_share", pa.float32(), nullable=False),
        pa.field("caption_share", pa.float32(), nullable=False),
        pa.field("note", pa.string()),
    ]
)
"""One row for each item and culture; the nine columns named by emotions sum to 1."""

SHARD_ROWS = 256
"""Items in a shard: what a kill can cost is some seconds' work."""

Skipped = Sequence[str]
"""An item's id, its image, and why it could not be answered."""


@dataclass(frozen=True)
class Plan:
    """The folder ``<out>.parts``."""

    folder: Path

    @classmethod
    def of(cls, out: Path) -> "Plan":
        """Where the plan for a result lies."""
        return cls(out.absolute().with_name(out.name + ".parts"))

    def begin(
        self, items: pa.Table, settings: Mapping[str, Any], shard_rows: int, overwrite: bool
    ) -> None:
        """Write the plan, or find that it is the one which was begun before.

        Args:
            settings: what the answers depend on; plain JSON values.
            overwrite: throw another one away.

        Raises:
            OutputExistsError: another one was begun here.
        """
        settings = json.loads(json.dumps({**settings, "shard_rows": shard_rows}))
        if (self.folder / "settings.json").is_file():
            before = json.loads((self.folder / "settings.json").read_text("utf-8"))
            changed = sorted(k for k in settings if settings[k] != before.get(k))
            if not changed and not pq.read_table(self._items).equals(items):
                changed = ["items"]
            if not changed:
                return
            if not overwrite:
                raise OutputExistsError(
                    f"{self.folder} holds the work of another run (with other {', '.join(changed)}): "
                    "repeat that one, or add --overwrite to begin anew"
                )
            self.discard()
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._items) as temporary:
            pq.write_table(items, temporary, row_group_size=shard_rows)
        with atomic_file(self.folder / "settings.json") as temporary:
            temporary.write_text(json.dumps(settings), "utf-8")

    def items(self, shard: int) -> pa.Table:
        """A shard's items."""
        return pq.ParquetFile(self._items).read_row_group(shard)

    def shards(self) -> list[int]:
        """How many items each shard has."""
        metadata = pq.read_metadata(self._items)
        return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]

    def left(self) -> list[int]:
        """The shards that are not done."""
        return [i for i in range(len(self.shards())) if not self._part(i).is_file()]

    def save(self, shard: int, answers: pa.Table, skipped: Sequence[Skipped]) -> None:
        """Keep a shard's answers."""
        metadata = {"skipped": json.dumps([list(one) for one in skipped])}
        with atomic_file(self._part(shard)) as temporary:
            pq.write_table(answers.replace_schema_metadata(metadata), temporary)

    def merge(self, out: Path, cultures: int, provenance: Mapping[str, Any]) -> int:
        """Make one file of all parts, and a list of what was skipped; then throw the parts away.

        Args:
            cultures: rows that each answered item has.

        Returns:
            How many items were skipped.

        Raises:
            IncompleteRunError: an item is missing, repeated or unknown.
        """
        schema = ANSWERS.with_metadata(
            {"artaffect": json.dumps(dict(provenance), ensure_ascii=False)}
        )
        skipped: list[Skipped] = []
        with (
            atomic_file(out) as temporary,
            pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
        ):
            for shard, (answers, left_out) in enumerate(self._parts()):
                self._check(shard, answers, left_out, cultures)
                skipped += left_out
                writer.write_table(answers.replace_schema_metadata(schema.metadata))
        listed = skipped_list(out)
        if skipped:
            with atomic_file(listed) as temporary, temporary.open("w", newline="") as file:
                csv.writer(file).writerows([("id", "image", "reason"), *skipped])
        else:
            listed.unlink(missing_ok=True)
        self.discard()
        return len(skipped)

    def discard(self) -> None:
        """Throw the plan and its parts away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _parts(self) -> Iterator[tuple[pa.Table, list[Skipped]]]:
        for shard in range(len(self.shards())):
            table = pq.read_table(self._part(shard))
            yield table.select(ANSWERS.names), json.loads(table.schema.metadata[b"skipped"])

    def _check(
        self, shard: int, answers: pa.Table, skipped: Sequence[Skipped], cultures: int
    ) -> None:
        pairs = answers.group_by(["id", "culture"]).aggregate([])
        counts = pc.value_counts(pairs["id"].combine_chunks())
        found = dict(
            zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
        )
        wanted = dict.fromkeys(self.items(shard)["id"].to_pylist(), cultures)
        for one in skipped:
            wanted[one[0]] = 0
        wrong = [name for name in {**wanted, **found} if found.get(name, 0) != wanted.get(name, 0)]
        if wrong or pairs.num_rows != answers.num_rows:
            raise IncompleteRunError(
                f"{self._part(shard)}: items are missing, repeated or unknown {wrong[:3]}: "
                "delete that file and run the command again"
            )

    @property
    def _items(self) -> Path:
        return self.folder / "items.parquet"

    def _part(self, shard: int) -> Path:
        return self.folder / f"part-{shard:06}.parquet"


def skipped_list(out: Path) -> Path:
    """Where the items are listed that a result leaves out."""
    return out.with_name(out.name + ".skipped.csv")
