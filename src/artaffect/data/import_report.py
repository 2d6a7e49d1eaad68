"""What an import did with a file, for people and for scripts."""

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artaffect.data.listing import write_listing
from artaffect.data.splits import SPLITS
from artaffect.runtime import as_path, printable

_LISTED = 20
"""The most values that a message lists."""
_ALIKE = 0.65
"""How alike two labels must be: ``happiness`` and ``sadness`` are not."""


@dataclass(frozen=True, repr=False)
class ImportReport:
    """What an importer did with a file."""

    source: str
    read: int
    kept: int
    dropped: Mapping[str, int]
    """Rows by reason; reasons that never applied are left out."""
    rows_without_image: int = 0
    artworks_without_image: int = 0
    """Kept without an image at the caller's request."""
    missing_artworks: int = 0
    unreadable_artworks: int = 0
    partial_labels: int = 0
    """Kept rows whose label is one of several."""
    leaking_artworks: int = 0
    """Artworks that the file assigns to more than one split."""
    dropped_rows: pa.Table | None = field(default=None, compare=False)
    """The dropped rows: file, line, reason, detail. A saved table does not keep them."""
    known_labels: Sequence[str] = field(default=(), compare=False)
    """The labels that the import knew. A saved table keeps them elsewhere."""

    def __repr__(self) -> str:
        dropped = ", ".join(f"{reason} {count:,}" for reason, count in self.dropped.items())
        return f"ImportReport(read: {self.read:,}; kept: {self.kept:,}; dropped: {dropped or 0})"

    def to_json(self) -> dict[str, Any]:
        """The counts, without the dropped rows."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.compare}

    def save_dropped(self, path: str | PathLike[str]) -> None:
        """Write the dropped rows as CSV; if there are none, delete an older file instead."""
        target = as_path(path, "path")
        if self.dropped_rows is None or not self.dropped_rows.num_rows:
            target.unlink(missing_ok=True)
            return
        columns = self.dropped_rows.to_pydict()
        write_listing(target, list(columns), zip(*columns.values(), strict=True))

    def summary(self) -> str:
        """Several lines: the counts, and for each reason the first dropped row."""
        lines = [f"{printable(self.source)}: {self.read:,} rows read, {self.kept:,} kept"]
        for reason, count in self.dropped.items():
            lines.append(f"  dropped {count:>9,}  {reason}{self.first_dropped(reason)}")
        lines += [f"  {remedy}" for remedy in self.remedies()]
        if self.missing_artworks or self.unreadable_artworks:
            lines.append(
                f"  paintings without an image: {self.missing_artworks:,}, "
                f"with an unreadable image: {self.unreadable_artworks:,}"
            )
        if self.rows_without_image:
            lines.append(
                f"  kept without an image: {self.rows_without_image:,} rows "
                f"of {self.artworks_without_image:,} paintings"
            )
        if self.partial_labels:
            lines.append(f"  rows whose label is one of several: {self.partial_labels:,}")
        if self.leaking_artworks:
            lines.append(
                f"  warning: paintings in more than one split: {self.leaking_artworks:,}, which makes "
                "scores too high; `artaffect split` makes splits without such leaks"
            )
        return "\n".join(lines)

    def remedies(self) -> list[str]:
        """For values that are not known: which the file has, how often, and which are known."""
        labels = self._unknown("unknown emotion", self.known_labels)
        splits = self._unknown("unknown split", SPLITS)
        remedy = "; without that column, `artaffect split` makes splits"
        return [f"labels {line}" for line in labels] + [f"splits {s}{remedy}" for s in splits]

    def _unknown(self, reason: str, known: Sequence[str]) -> list[str]:
        if reason not in self.dropped or self.dropped_rows is None:
            return []
        rows = self.dropped_rows.filter(pc.field("reason") == reason)
        counts = Counter(rows["detail"].to_pylist()).most_common()
        names = [f"{name[:40] or '(blank)'} {count:,}" for name, count in counts[:_LISTED]]
        for i, (name, _) in enumerate(counts[:_LISTED]):
            if close := difflib.get_close_matches(name.strip().lower(), known, 1, _ALIKE):
                names[i] += f" (nearest: {close[0]})"
        names += [f"{len(counts) - _LISTED:,} more"] if len(counts) > _LISTED else []
        return [printable(f"that are not known: {', '.join(names)}; known: {', '.join(known)}")]

    def first_dropped(self, reason: str) -> str:
        """The first row that was dropped for a reason, in brackets."""
        if self.dropped_rows is None:
            return ""
        row = self.dropped_rows.filter(pc.field("reason") == reason).slice(0, 1).to_pylist()[0]
        first = f"{row['file']} line {row['line']}: {row['detail'][:120]}"
        return f"  (first: {printable(first)})"
