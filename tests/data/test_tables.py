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
from artaffect.errors import TableError
from artaffect.labels import EMOTIONS

FRACTIONS = {"train": 0.85, "val": 0.05, "test": 0.10}


def test_a_saved_table_loads_with_its_provenance(
    tmp_path: Path, sample_table: AnnotationTable
) -> None:
    sample_table.save(tmp_path / "t.parquet")
    loaded = AnnotationTable.load(tmp_path / "t.parquet")
    assert loaded.rows.equals(sample_table.rows)
    assert loaded.provenance == sample_table.provenance
    assert list(tmp_path.iterdir()) == [tmp_path / "t.parquet"]


def test_rows_read_as_annotations(sample_table: AnnotationTable) -> None:
    first = next(iter(sample_table))
    assert first.emotion in EMOTIONS
    assert first.artwork_id == f"{first.art_style}/{Path(str(first.image)).stem}"
    codes = sample_table.emotion_codes()
    assert [EMOTIONS[c] for c in codes[:50]] == sample_table.strings("emotion")[:50]


def test_a_wrong_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        AnnotationTable.load(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("x")
    with pytest.raises(TableError, match="artaffect import"):
        AnnotationTable.load(tmp_path / "text.parquet")
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(TableError, match="expected columns annotation_id"):
        AnnotationTable.load(tmp_path / "other.parquet")


def test_what_later_steps_rely_on_is_checked(sample_table: AnnotationTable) -> None:
    twice = pa.concat_tables([sample_table.rows, sample_table.rows]).unify_dictionaries()
    with pytest.raises(TableError, match="annotation_id repeats"):
        AnnotationTable(twice)
    index = sample_table.rows.column_names.index("emotion")
    joy = pa.array(["joy"] * len(sample_table)).dictionary_encode()
    field = sample_table.rows.schema.field("emotion")
    with pytest.raises(TableError, match=r"column emotion holds \['joy'\]"):
        AnnotationTable(sample_table.rows.set_column(index, field, joy))


def test_an_absent_split_is_named_with_those_present(sample_table: AnnotationTable) -> None:
    train = sample_table.of_split("train")
    with pytest.raises(TableError, match=r"no rows in split 'test': it has train"):
        train.of_split("test")


@given(st.integers(0, 5), st.integers(20, 200))
def test_splits_are_by_painting_and_stable_under_added_rows(seed: int, count: int) -> None:
    artworks = np.array([f"Style/art{i % 40}" for i in range(count)])
    split = split_by_artwork(artworks, FRACTIONS, seed)
    assert all(len(set(split[artworks == a])) == 1 for a in artworks)
    more = np.concatenate([np.array(["Style/new1", "Other/new2"]), artworks[::-1]])
    again = split_by_artwork(more, FRACTIONS, seed)
    assert (again[2:][::-1] == split).all()


def test_a_painting_filed_under_two_styles_stays_on_one_side() -> None:
    names = [f"artist_{i}" for i in range(200)]
    one = split_by_artwork(np.array([f"Baroque/{n}" for n in names]), FRACTIONS)
    other = split_by_artwork(np.array([f"Rococo/{n}" for n in names]), FRACTIONS)
    assert (one == other).all()


def test_shares_come_out_as_asked_and_seeds_differ() -> None:
    artworks = np.array([f"S/{i}" for i in range(20_000)])
    split = split_by_artwork(artworks, FRACTIONS, 0)
    for name, share in FRACTIONS.items():
        assert abs((split == name).mean() - share) < 0.01
    assert (split != split_by_artwork(artworks, FRACTIONS, 1)).mean() > 0.1


def test_wrong_fractions_are_refused(sample_table: AnnotationTable) -> None:
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
    found = describe_table(sample_table)
    rows = list(sample_table)
    assert found.annotations == len(rows)
    assert found.images == len({r.artwork_id for r in rows}) == found.pictured
    assert found.languages == {c: sum(r.language == c for r in rows) for c in found.languages}
    arabic = [r for r in rows if r.culture == "arabic"]
    awe = sum(r.emotion == "awe" for r in arabic) / len(arabic)
    assert found.by_culture["arabic"]["awe"] == pytest.approx(awe)
    assert found.annotations_per_image == pytest.approx(len(rows) / found.images)
