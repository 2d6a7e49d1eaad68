"""Small tables of results for the terminal, for notebooks and for pandas."""

from collections.abc import Sequence
from html import escape
from typing import Any

from artaffect.runtime import printable, visible

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""Caption, header and rows; the first cell of a row names it."""


class Displayed:
    """A result whose ``repr`` is a table, also in notebooks."""

    def _table(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        caption, header, rows = self._table()
        lines = [[printable(cell) for cell in row] for row in (header, *rows)]
        first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
        text = ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in lines]
        return "\n".join([printable(caption), *text])

    def _repr_html_(self) -> str:
        caption, header, rows = self._table()
        head = "".join(f'<th scope="col">{_html(cell)}</th>' for cell in header)
        body = "".join(
            f'<tr><th scope="row">{_html(first)}</th>'
            f"{''.join(f'<td>{_html(cell)}</td>' for cell in cells)}</tr>"
            for first, *cells in rows
        )
        return (
            f"<table><caption>{_html(caption)}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _html(cell: str) -> str:
    return escape(visible(cell))


def data_frame(records: Sequence[Any], columns: Sequence[str]) -> Any:
    """A pandas ``DataFrame`` of rows: sequences of one value for each column, or mappings.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_frame() needs pandas: pip install pandas") from error
    return pandas.DataFrame(records, columns=list(columns))
