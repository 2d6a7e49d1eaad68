"""The data of ArtEmotion-28: its layout, its pitfalls, and artworks that it shares with other data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.data.splits import shared_artworks
from artaffect.errors import TableError, UnknownNameError
from artaffect.shared_task.reader import read_artemotion28
from artaffect.shared_task.rules import LANGUAGES, REGIONS, region_of
from artaffect.shared_task.sample import (
    COLUMNS,
    CSV_FILE,
    emotion_probabilities,
    write_artemotion28,
)
from tests.conftest import Command


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty artworks with captions in 28 invented languages."""
    folder = tmp_path_factory.mktemp("release") / "a28"
    write_artemotion28(folder, artworks=40, rows=3_000)
    return folder


@pytest.fixture(scope="module")
def table(release: Path) -> AnnotationTable:
    return read_artemotion28(release / CSV_FILE, release / "images")


def test_every_one_of_28_languages_has_a_region() -> None:
    assert len(LANGUAGES) == len(set(LANGUAGES)) == 28
    assert len(REGIONS) == 10
    assert region_of(" Hausa ") == "west africa" and region_of("English") == "other"
    assert region_of("Klingon") == "other"


def test_the_sample_has_the_layout_of_the_release(release: Path) -> None:
    with (release / CSV_FILE).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 3_000
    assert {row["language"] for row in rows} >= {"English", "IsiNdebele", "Kyrgyz"}
    assert len({row["language"] for row in rows}) == 28
    assert len({row["image_name"] for row in rows}) == 40
    splits = {(row["painting"], row["split"]) for row in rows}
    assert len(splits) == 40, "an artwork belongs to one split"
    assert all((release / "images" / row["image_name"]).is_file() for row in rows[:50])
    assert "do not exist" in (release / "SYNTHETIC.md").read_text("utf-8")


def test_invented_cultures_have_distributions_that_differ() -> None:
    probabilities = emotion_probabilities()
    assert probabilities.shape == (12, 3, 28, 9)
    np.testing.assert_allclose(probabilities.sum(-1), 1)
    assert np.abs(probabilities[..., 0, :] - probabilities[..., 3, :]).max() > 0.05


def test_the_tenth_label_is_kept_unless_it_is_merged_or_dropped(
    release: Path, table: AnnotationTable
) -> None:
    def read(other: str) -> AnnotationTable:
        return read_artemotion28(release / CSV_FILE, release / "images", other=other)  # type: ignore[arg-type]

    assert len(table) == 3_000 and len(table.labels) == 10
    tenth = int((table.emotion_codes() == table.labels.index("other")).sum())
    assert tenth > 0
    assert set(table.cultures) == set(LANGUAGES)
    assert {row.language for row in table} == set(LANGUAGES)
    merged, without = read("merge"), read("drop")
    assert len(merged) == 3_000 and without.report is not None
    assert without.report.dropped == {"unknown emotion": tenth}
    assert len(merged.labels) == len(without.labels) == 9
    added = np.bincount(merged.emotion_codes())[8] - np.bincount(without.emotion_codes())[8]
    assert added == tenth
    with pytest.raises(UnknownNameError, match="unknown treatment of the label other 'forget'"):
        read("forget")


def test_a_region_can_be_the_culture(release: Path) -> None:
    table = read_artemotion28(release / CSV_FILE, release / "images", by_region=True)
    assert set(table.cultures) == set(REGIONS)
    for row in table.select(np.arange(50)):
        assert row.culture == region_of(row.language)


def test_an_artwork_is_identified_by_its_image_and_not_by_its_number(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    same = ["7", "ignored", "genre", "Hausa", "words", "awe", "train"]
    rows = [
        ["a", "Baroque/a.jpg", *same],
        ["a", "Baroque/a.jpg", *same],
        ["b", "Rococo/b(1).x.jpg", *same],
        ["c", "c.jpg", *same],
    ]
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    table = read_artemotion28(file, keep_unpictured=True)
    assert table.report is not None
    assert [row.artwork_id for row in table] == [
        "Baroque/a",
        "Baroque/a",
        "Rococo/b(1).x",
        "ignored/c",
    ]
    assert table.report.dropped == {}, "identical rows are votes of two annotators"
    file.write_text("painting,language\na,Hausa\n")
    with pytest.raises(TableError, match="ArtEmotion-28 layout: .* missing image_name, art_style"):
        read_artemotion28(file, keep_unpictured=True)


def test_shared_artworks_are_listed_by_split_and_can_be_held_out(
    artaffect: Command, table: AnnotationTable, tmp_path: Path
) -> None:
    ids, codes = table.codes("artwork_id")
    few = table.select(np.isin(codes, [0, 1, 2]))
    overlap = shared_artworks(table, few)
    assert overlap.artworks == sorted(str(ids[i]) for i in (0, 1, 2))
    assert overlap.shared.sum() == len(few)
    assert sum(count for row in overlap.splits.values() for count in row.values()) == 3

    table.save(tmp_path / "all.parquet")
    few.save(tmp_path / "few.parquet")
    code, out, err = artaffect(
        "overlap",
        tmp_path / "all.parquet",
        tmp_path / "few.parquet",
        "--out",
        tmp_path / "rest.parquet",
    )
    assert code == 0 and out.split() == overlap.artworks
    assert f"3 paintings, {len(few):,} rows" in err
    rest = AnnotationTable.load(tmp_path / "rest.parquet")
    assert len(rest) == len(table) - len(few)
    assert not shared_artworks(rest, few).artworks
    code, out, _ = artaffect(
        "overlap", tmp_path / "rest.parquet", tmp_path / "few.parquet", "--json"
    )
    assert json.loads(out) == {"artworks": [], "splits": {}}
