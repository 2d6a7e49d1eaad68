"""Figures and tables in files of their own, for papers: SVG, PNG and PDF; CSV and LaTeX."""

import csv
import io
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from artaffect.data.listing import cell_text
from artaffect.labels import LabelSet
from artaffect.outputs import atomic_file
from artaffect.reports.figures import Figure
from artaffect.reports.tables import Number, TextTable
from artaffect.runtime import printable

FOLDER = "figures"
"""The folder of the files, beside the page."""
_NAME_LENGTH = 48

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "#$%&_"},
    "−": r"$-$",
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "[": "{[}",
    "]": "{]}",
}


class Downloads:
    """Gives figures and tables the addresses of their files, and writes these beside the page."""

    def __init__(self, page: Path, english: Mapping[str, str] | None = None) -> None:
        """
        Args:
            page: the page that will link to the files.
            english: names that a figure may hold → English names, for letters that no font has.
        """
        name = FOLDER if page.stem == "report" else f"{page.stem}-{FOLDER}"
        self.page, self.folder, self.english = page, page.parent / name, english or {}
        self._number = 0
        self._files: dict[Path, bytes] = {}

    def figures(self, figures: Sequence[Figure]) -> list[Figure]:
        """Offer each figure as SVG, PNG and PDF."""
        return [
            replace(figure, files=self._offer(figure.title, figure.to_files(self.english)))
            for figure in figures
        ]

    def tables(self, tables: Sequence[TextTable]) -> list[TextTable]:
        """Offer each table as CSV and LaTeX."""
        return [
            replace(
                table,
                files=self._offer(
                    table.title,
                    {"csv": table_csv(table).encode(), "tex": table_latex(table).encode()},
                ),
            )
            for table in tables
        ]

    def save(self, text: str) -> None:
        """Write the page and its files; the older page stays if one of them cannot be written."""
        with atomic_file(self.page) as temporary:
            temporary.write_text(text, "utf-8")
            for path, content in self._files.items():
                with atomic_file(path) as part:
                    part.write_bytes(content)

    def _offer(self, title: str, contents: Mapping[str, bytes]) -> dict[str, str]:
        self._number += 1
        stem = f"{self._number:02d}-{_slug(title)}"
        for kind, content in contents.items():
            self._files[self.folder / f"{stem}.{kind}"] = content
        return {kind: f"{quote(self.folder.name)}/{stem}.{kind}" for kind in contents}


class NoDownloads(Downloads):
    """For a page without files beside it."""

    def figures(self, figures: Sequence[Figure]) -> list[Figure]:
        return list(figures)

    def tables(self, tables: Sequence[TextTable]) -> list[TextTable]:
        return list(tables)


def english_names(labels: LabelSet) -> dict[str, str]:
    """The English names of labels that have another one."""
    names = {label: labels.names_of(label)["english"] for label in labels}
    return {label: english for label, english in names.items() if english != label}


def _slug(title: str) -> str:
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain)[:_NAME_LENGTH].strip("-") or "figure"


def table_csv(table: TextTable) -> str:
    """The table as CSV: an estimate is three cells, value, low and high, in full precision."""
    wide = _wide_columns(table)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = [
        [name, f"{name}, low", f"{name}, high"] if i in wide else [name]
        for i, name in enumerate(table.header)
    ]
    writer.writerow([cell_text(name) for group in names for name in group])
    for row in table.rows:
        cells: list[str] = []
        for i, cell in enumerate(row):
            cells += _csv_cells(cell, i in wide)
        writer.writerow(cells)
    return buffer.getvalue()


def _csv_cells(cell: str, is_wide: bool) -> list[str]:
    if isinstance(cell, Number):
        estimate = cell.estimate
        values = (estimate.value, estimate.low, estimate.high) if is_wide else (estimate.value,)
        return ["" if math.isnan(value) else repr(float(value)) for value in values]
    return [cell_text(cell), *([""] * 2 if is_wide else [])]


def table_latex(table: TextTable) -> str:
    """The table for the LaTeX package ``booktabs``: an estimate is two cells, value and interval."""
    wide = _wide_columns(table)
    columns = "l" + "".join("rr" if i in wide else "r" for i in range(1, len(table.header)))
    names = [
        f"\\multicolumn{{2}}{{r}}{{{latex_text(name)}}}" if i in wide else latex_text(name)
        for i, name in enumerate(table.header)
    ]
    lines = [_latex_row(row, wide) for row in table.rows]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{latex_text(table.title)}}}",
            f"\\begin{{tabular}}{{{columns}}}",
            "\\toprule",
            f"{' & '.join(names)} \\\\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
            "",
        ]
    )


def _latex_row(row: Sequence[str], wide: set[int]) -> str:
    cells: list[str] = []
    for i, cell in enumerate(row):
        if isinstance(cell, Number):
            value, low, high = (
                f"${part:{cell.spec}}$"
                for part in (cell.estimate.value, cell.estimate.low, cell.estimate.high)
            )
            cells.append(value)
            if i in wide:
                cells.append(f"{{[}}{low}, {high}{{]}}" if cell.estimate.has_interval else "")
        else:
            cells += [latex_text(cell), *([""] if i in wide else [])]
    return f"{' & '.join(cells)} \\\\"


def _wide_columns(table: TextTable) -> set[int]:
    """The columns of which a cell has an interval."""
    return {
        i
        for row in table.rows
        for i, cell in enumerate(row)
        if isinstance(cell, Number) and cell.estimate.has_interval
    }


def latex_text(text: str) -> str:
    """A text that LaTeX shows as it is, in one line."""
    plain = " ".join(printable(text).split())
    return "".join(_LATEX.get(character, character) for character in plain)
