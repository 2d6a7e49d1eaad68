"""Read files with pyarrow: whatever it raises becomes a TableError that names the file."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from artaffect.errors import TableError


@contextlib.contextmanager
def arrow_errors(path: Path, layout: str = "Parquet") -> Iterator[None]:
    """Raise pyarrow's errors in the block as TableError: damaged pages, odd types, bad encodings.

    pyarrow raises its own exceptions, the built-in ones that they extend (KeyError, ValueError), and
    OSError for a damaged page.

    Args:
        layout: what the file should be, for the message.
    """
    try:
        yield
    except FileNotFoundError:
        raise TableError(f"{path}: no such file") from None
    except (pa.ArrowException, OSError, LookupError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TableError(f"{path} cannot be read as {layout}: {reason}") from None
