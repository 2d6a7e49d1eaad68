"""The annotation table, its splits and its counts."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artaffect.data.annotations import AnnotationTable
from artaffect.data.splits import split_by_artwork
from artaffect.data.summary import describe_table
from artaffect.errors import InputError, TableError
from artaffect.labels import EMOTIONS
from tests.absent import run_without

FRACTIONS = {"train": 0.85, "val": 0.05, "test": 0.10}


def test_a_saved_table_is_loaded_with_its_provenance(
    tmp_path: Path, sample_table: AnnotationTable
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    loaded = AnnotationTable.load(tmp_path / "t.parquet")
    assert loaded.rows.equals(sample_table.rows)
    assert loaded.provenance == sample_table.provenance
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def test_iterating_a_table_yields_annotations(sample_table: AnnotationTable) -> None:
    first = next(iter(sample_table))
    assert first.emotion in EMOTIONS
    assert first.artwork_id == f"{first.art_style}/{Path(str(first.image)).stem}"
    codes = sample_table.emotion_codes()
    assert [EMOTIONS[c] for c in codes[:50]] == sample_table.strings("emotion")[:50]


def test_a_file_that_is_not_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        AnnotationTable.load(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("x")
    with pytest.raises(TableError, match="artaffect import"):
        AnnotationTable.load(tmp_path / "text.parquet")
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(TableError, match="expected columns annotation_id"):
        AnnotationTable.load(tmp_path / "other.parquet")


def test_a_table_that_breaks_an_assumption_is_refused(sample_table: AnnotationTable) -> None:
    repeated = pa.concat_tables([sample_table.rows, sample_table.rows]).unify_dictionaries()
    with pytest.raises(TableError, match="annotation_id repeats"):
        AnnotationTable(repeated)
    index = sample_table.rows.column_names.index("emotion")
    joy = pa.array(["joy"] * len(sample_table)).dictionary_encode()
    field = sample_table.rows.schema.field("emotion")
    with pytest.raises(TableError, match=r"column emotion holds \['joy'\]"):
        AnnotationTable(sample_table.rows.set_column(index, field, joy))


def test_a_missing_split_is_named_together_with_the_present_ones(
    sample_table: AnnotationTable,
) -> None:
    train = sample_table.of_split("train")
    with pytest.raises(TableError, match=r"no rows in split 'test': it has train"):
        train.of_split("test")


@given(st.integers(0, 5), st.integers(20, 200))
def test_splits_are_by_artwork_and_stable_under_added_rows(seed: int, count: int) -> None:
    artworks = np.array([f"Style/art{i % 40}" for i in range(count)])
    split = split_by_artwork(artworks, FRACTIONS, seed)
    assert all(len(set(split[artworks == a])) == 1 for a in artworks)
    more = np.concatenate([np.array(["Style/new1", "Other/new2"]), artworks[::-1]])
    again = split_by_artwork(more, FRACTIONS, seed)
    assert (again[2:][::-1] == split).all()


def test_an_artwork_under_two_styles_stays_in_one_split() -> None:
    names = [f"artist_{i}" for i in range(200)]
    baroque = split_by_artwork(np.array([f"Baroque/{n}" for n in names]), FRACTIONS)
    rococo = split_by_artwork(np.array([f"Rococo/{n}" for n in names]), FRACTIONS)
    assert (baroque == rococo).all()


def test_splits_have_the_requested_sizes_and_depend_on_the_seed() -> None:
    artworks = np.array([f"S/{i}" for i in range(20_000)])
    split = split_by_artwork(artworks, FRACTIONS, 0)
    for name, share in FRACTIONS.items():
        assert abs((split == name).mean() - share) < 0.01
    assert (split != split_by_artwork(artworks, FRACTIONS, 1)).mean() > 0.1


def test_a_table_is_split_by_artwork(sample_table: AnnotationTable) -> None:
    table = sample_table.split(train=0.6, val=0.2, test=0.2, seed=3)
    artworks, codes = table.codes("artwork_id")
    expected = split_by_artwork(artworks, {"train": 0.6, "val": 0.2, "test": 0.2}, 3)[codes]
    assert table.strings("split") == expected.tolist()
    assert table.strings("annotation_id") == sample_table.strings("annotation_id")
    assert table.report == sample_table.report and table.provenance == sample_table.provenance
    assert set(sample_table.split(1, 0, 0).strings("split")) == {"train"}


def test_invalid_fractions_are_refused(sample_table: AnnotationTable) -> None:
    artworks = sample_table.codes("artwork_id")[0]
    for wrong in (
        {"train": 0.5, "val": 0.2},
        {"train": 1.0, "dev": 0.0},
        {"train": 1.1, "val": -0.1},
    ):
        with pytest.raises(TableError, match="sum to 1"):
            split_by_artwork(artworks, wrong)
    with pytest.raises(TableError, match="sum to 1"):
        sample_table.split(train=0.5, val=0.2, test=0.2)


def test_counts_match_a_direct_count(sample_table: AnnotationTable) -> None:
    statistics = describe_table(sample_table)
    rows = list(sample_table)
    assert statistics.annotations == len(rows)
    assert statistics.images == len({r.artwork_id for r in rows}) == statistics.with_image
    assert statistics.languages == {
        c: sum(r.language == c for r in rows) for c in statistics.languages
    }
    arabic = [r for r in rows if r.culture == "arabic"]
    awe = sum(r.emotion == "awe" for r in arabic) / len(arabic)
    assert statistics.by_culture["arabic"]["awe"] == pytest.approx(awe)
    assert statistics.annotations_per_image == pytest.approx(len(rows) / statistics.images)


def test_a_table_describes_itself_in_one_line_and_in_html(sample_table: AnnotationTable) -> None:
    train = len(sample_table.of_split("train"))
    text = repr(sample_table)
    assert text.startswith("AnnotationTable(rows: 864; artworks: 72; cultures: ")
    assert f"splits: train {train}, val " in text and len(text) < 160
    html = sample_table._repr_html_()
    assert html.startswith("<table>") and "<th>artworks</th><td>72</td>" in html
    index = sample_table.rows.column_names.index("culture")
    names = pa.array(["<b>"] * len(sample_table)).dictionary_encode()
    field = sample_table.rows.schema.field("culture")
    hostile = AnnotationTable(sample_table.rows.set_column(index, field, names))
    assert "<b>" not in hostile._repr_html_() and "&lt;b&gt;" in hostile._repr_html_()
    nothing = sample_table.select(np.array([], np.int64))
    assert repr(nothing) == "AnnotationTable(rows: 0; artworks: 0; cultures: none; splits: none)"


def test_a_table_becomes_a_data_frame(sample_table: AnnotationTable) -> None:
    frame = sample_table.to_pandas()
    assert list(frame.columns) == sample_table.rows.column_names
    assert frame["caption"].tolist() == sample_table.strings("caption")
    counts = frame.groupby("culture", observed=True).size().to_dict()
    assert counts == describe_table(sample_table).culture_support


def test_without_pandas_the_error_says_how_to_install_it(
    tmp_path: Path, sample_table: AnnotationTable
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    code = """
import sys
from artaffect.data.annotations import AnnotationTable
try:
    AnnotationTable.load(sys.argv[1]).to_pandas()
except ImportError as error:
    print(error)
"""
    result = run_without(["pandas"], code, str(tmp_path / "t.parquet"))
    assert result.stdout == "to_pandas() needs pandas: pip install pandas\n", result.stderr


def test_a_path_of_the_wrong_type_is_named() -> None:
    with pytest.raises(InputError, match="path must be a path .* got int"):
        AnnotationTable.load(3)  # type: ignore[arg-type]
