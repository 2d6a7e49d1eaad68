"""ArtEmotion-28: its layout, its traps, and paintings that it shares with other data."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.data.splits import shared_artworks
from artaffect.errors import TableError
from artaffect.shared_task.reader import read_artemotion28
from artaffect.shared_task.regions import LANGUAGES, REGIONS, region_of
from artaffect.shared_task.sample import COLUMNS, FILE, publics, write_artemotion28
from tests.conftest import Command


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty paintings in 28 invented tongues."""
    folder = tmp_path_factory.mktemp("release") / "a28"
    write_artemotion28(folder, paintings=40, rows=3_000)
    return folder


@pytest.fixture(scope="module")
def table(release: Path) -> AnnotationTable:
    return read_artemotion28(release / FILE, release / "images")


def test_the_regions_sort_28_languages() -> None:
    assert len(LANGUAGES) == len(set(LANGUAGES)) == 28
    assert len(REGIONS) == 10
    assert region_of(" Hausa ") == "west africa" and region_of("English") == "other"
    assert region_of("Klingon") == "other"


def test_the_layout_is_the_releases(release: Path) -> None:
    with (release / FILE).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS and len(rows) == 3_000
    assert {row["language"] for row in rows} >= {"English", "IsiNdebele", "Kyrgyz"}
    assert len({row["language"] for row in rows}) == 28
    assert len({row["image_name"] for row in rows}) == 40
    splits = {(row["painting"], row["split"]) for row in rows}
    assert len(splits) == 40, "a painting stands in one split"
    assert all((release / "images" / row["image_name"]).is_file() for row in rows[:50])
    assert "do not exist" in (release / "SYNTHETIC.md").read_text("utf-8")


def test_invented_publics_are_distributions_that_differ() -> None:
    felt = publics()
    assert felt.shape == (12, 3, 28, 9)
    np.testing.assert_allclose(felt.sum(-1), 1)
    assert np.abs(felt[..., 0, :] - felt[..., 3, :]).max() > 0.05


def test_every_row_is_kept_but_those_labelled_other(release: Path, table: AnnotationTable) -> None:
    report = read_artemotion28(release / FILE, release / "images").report
    assert report is not None
    assert set(report.dropped) == {"emotion other"}
    assert report.kept == 3_000 - report.dropped["emotion other"] == len(table)
    assert set(table.cultures) == set(LANGUAGES)
    assert {row.language for row in table} == set(LANGUAGES)
    merged = read_artemotion28(release / FILE, release / "images", merge_other=True)
    assert len(merged) == 3_000
    more = np.bincount(merged.emotion_codes())[8] - np.bincount(table.emotion_codes())[8]
    assert more == report.dropped["emotion other"]


def test_a_culture_may_be_a_region(release: Path) -> None:
    table = read_artemotion28(release / FILE, release / "images", by_region=True)
    assert set(table.cultures) == set(REGIONS)
    for row in table.select(np.arange(50)):
        assert row.culture == region_of(row.language)


def test_a_painting_is_known_by_its_picture_not_by_its_number(tmp_path: Path) -> None:
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
    assert [row.artwork_id for row in table] == [
        "Baroque/a",
        "Baroque/a",
        "Rococo/b(1).x",
        "ignored/c",
    ]
    assert table.report is not None and table.report.dropped == {}, (
        "equal rows are votes of two readers"
    )
    file.write_text("painting,language\na,Hausa\n")
    with pytest.raises(TableError, match="ArtEmotion-28 layout: .* missing image_name, art_style"):
        read_artemotion28(file, keep_unpictured=True)


def test_shared_paintings_are_listed_by_split_and_can_be_held_out(
    artaffect: Command, table: AnnotationTable, tmp_path: Path
) -> None:
    ids, codes = table.codes("artwork_id")
    few = table.select(np.isin(codes, [0, 1, 2]))
    found = shared_artworks(table, few)
    assert found.artworks == sorted(str(ids[i]) for i in (0, 1, 2))
    assert found.shared.sum() == len(few)
    assert sum(count for row in found.splits.values() for count in row.values()) == 3

    table.save(tmp_path / "all.parquet")
    few.save(tmp_path / "few.parquet")
    code, out, err = artaffect(
        "overlap",
        tmp_path / "all.parquet",
        tmp_path / "few.parquet",
        "--out",
        tmp_path / "rest.parquet",
    )
    assert code == 0 and out.split() == found.artworks
    assert f"3 paintings, {len(few):,} rows" in err
    rest = AnnotationTable.load(tmp_path / "rest.parquet")
    assert len(rest) == len(table) - len(few)
    assert not shared_artworks(rest, few).artworks
    code, out, _ = artaffect(
        "overlap", tmp_path / "rest.parquet", tmp_path / "few.parquet", "--json"
    )
    assert json.loads(out) == {"artworks": [], "splits": {}}
