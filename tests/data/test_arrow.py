"""Every error of pyarrow becomes one line that names the file."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from artaffect.data.arrow import arrow_errors
from artaffect.errors import TableError


def test_a_damaged_page_is_told_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "damaged.parquet"
    pq.write_table(pa.table({"text": [f"row {i}" for i in range(5000)]}), file)
    data = bytearray(file.read_bytes())
    data[100:2000] = b"\xff" * 1900
    file.write_bytes(data)
    with (
        pytest.raises(TableError, match=r"damaged\.parquet cannot be read as Parquet: .+$"),
        arrow_errors(file),
    ):
        pq.read_table(file)


def test_a_column_of_another_type_is_told_in_one_line(tmp_path: Path) -> None:
    with (
        pytest.raises(TableError, match="table.csv cannot be read as CSV: Unsupported cast"),
        arrow_errors(tmp_path / "table.csv", "CSV"),
    ):
        pa.array([["a"], ["b"]]).cast(pa.string())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "nowhere.parquet"
    with pytest.raises(TableError, match=r"nowhere\.parquet: no such file$"), arrow_errors(file):
        pq.read_table(file)
