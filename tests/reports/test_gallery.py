"""A gallery holds what the answers say, in every format of theirs, completely or not at all."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import artaffect as aa
from artaffect.errors import OutputError, OutputExistsError, TableError
from artaffect.prediction.collection.answers import Layout
from artaffect.prediction.collection.companion import companion_path
from artaffect.prediction.collection.items import read_items
from artaffect.prediction.collection.works import read_works
from tests.conftest import Command
from tests.exports import CULTURES, LABELS, SCRIPTS, write_answers
from tests.killing import killed_at, killed_while_writing

HOSTILE = "</script><script>document.title='taken'</script>"


def collection(folder: Path, suffix: str = ".parquet", layout: Layout = "long") -> Path:
    """Answers for five works, of which the last has no image, and the fourth a broken one."""
    (folder / "photos").mkdir(exist_ok=True)
    for number, colour in enumerate(("red", "navy", "gold")):
        Image.new("RGB", (900, 600), colour).save(folder / "photos" / f"a b#{number}.png")
    (folder / "photos" / "a b#3.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    titles = [HOSTILE, *SCRIPTS]
    rows = [
        {
            "id": f"i{n}",
            "image": f"photos/a b#{n}.png" if n < 4 else "",
            **{"title": title, "description": f"text {n}", "room": str(n)},
        }
        for n, title in enumerate(titles)
    ]
    table = folder / "records.jsonl"
    table.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    out = folder / f"answers{suffix}"
    write_answers(read_items(table), out, layout)
    return out


def data_of(site: Path, name: str) -> dict[str, Any]:
    text = (site / "data" / f"{name}.js").read_text("utf-8")
    data: dict[str, Any] = json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))
    return data


@pytest.mark.parametrize(
    ("suffix", "layout"),
    [(".csv", "long"), (".csv", "wide"), (".xlsx", "wide"), (".jsonl", "wide")],
)
def test_every_file_of_answers_gives_the_same_works(
    suffix: str, layout: Layout, tmp_path: Path
) -> None:
    whole = read_works(collection(tmp_path), {}, None)
    other = read_works(collection(tmp_path, suffix, layout), {}, None)
    np.testing.assert_allclose(other.probabilities, whole.probabilities, atol=1e-6)
    assert whole.probabilities.shape == (5, len(CULTURES), len(LABELS))
    np.testing.assert_array_equal(other.tops, whole.tops)
    np.testing.assert_array_equal(whole.tops, whole.probabilities.argmax(2))
    assert whole.directions is not None and other.directions is not None
    np.testing.assert_array_equal(other.directions, whole.directions)
    for name in ("labels", "cultures", "ids", "titles", "texts", "images", "records", "origins"):
        assert getattr(other, name) == getattr(whole, name)
    assert sorted(whole.titles) == sorted([HOSTILE, *SCRIPTS])


def test_a_site_holds_what_the_answers_say(artaffect: Command, tmp_path: Path) -> None:
    source, site = collection(tmp_path), tmp_path / "deep" / "site"
    code, _, err = artaffect("browse", source, "--out", site, "--title", "Our <works>")
    assert code == 0, err
    assert "gallery of 5 works, 4 with an image" in err and "left out" not in err
    data = data_of(site, "works")
    answers = pq.read_table(source).to_pylist()
    by_name = {row["id"]: row["top"] for row in answers if row["culture"] == CULTURES[0]}
    works = read_works(source, {}, None)
    assert [by_name[name] for name in data["ids"]] == [LABELS[i] for i in works.tops[:, 0]]
    for image in filter(None, data["images"]):
        assert "%23" in image and (site / image.replace("%20", " ").replace("%23", "#")).is_file()
    assert data["images"].count(None) == 1
    assert [label["valence"] for label in data["labels"]] == [1, -1, 0]
    page = (site / "index.html").read_text("utf-8")
    assert "Our &lt;works&gt;" in page and "not reviewed" in page
    assert "http://" not in page and "https://" not in page, "nothing comes from elsewhere"
    about = json.loads((site / "gallery.json").read_text("utf-8"))
    assert about["origins"][0]["model"] == "first" and about["works"] == 5


def test_images_are_embedded_small_and_those_that_cannot_be_read_are_counted(
    tmp_path: Path, log_messages: list[str]
) -> None:
    source, site = collection(tmp_path), tmp_path / "site"
    summary = aa.browse(source, site, embed_images=True)
    assert (summary.works, summary.with_image) == (5, 3)
    assert any("1 images cannot be read and are left out" in text for text in log_messages)
    names = [name for name in data_of(site, "works")["images"] if name]
    for name in names:
        with Image.open(site / name) as image:
            assert max(image.size) == 512
    assert len(names) == len(list((site / "images").iterdir())) == 3


def test_what_is_not_known_is_left_out_with_a_word(artaffect: Command, tmp_path: Path) -> None:
    source, site = collection(tmp_path), tmp_path / "site"
    companion_path(source).unlink()
    summary = aa.browse(source, site)
    assert summary.with_image == 4, "the column of images says where they are"
    assert not summary.finds_similar and not summary.knows_opposites
    assert not (site / "data" / "vectors.js").exists()
    code, _, err = artaffect("browse", source, "--out", site, "--overwrite", "--column", "image=")
    assert code == 0 and "0 with an image" in err and "left out: works that look alike" in err


def test_vectors_of_other_answers_are_not_used(tmp_path: Path) -> None:
    source = collection(tmp_path)
    table = pq.read_table(companion_path(source))
    about = json.loads(table.schema.metadata[b"artaffect"]) | {"model_digest": "cd" * 32}
    other = table.replace_schema_metadata({"artaffect": json.dumps(about)})
    pq.write_table(other, companion_path(source))
    assert read_works(source, {}, None).directions is None


def test_columns_and_reviews_are_what_people_made_of_them(tmp_path: Path) -> None:
    source = collection(tmp_path, ".csv", "wide")
    lines = source.read_text("utf-8-sig").splitlines()
    header = lines[0].split(",")
    for row, (review, name) in {1: ("rejected", ""), 2: ("Confirmed", "Dr. 王")}.items():
        cells = lines[row].split(",")
        cells[header.index("review_chinese")], cells[header.index("reviewed_by")] = review, name
        lines[row] = ",".join(cells)
    source.write_text("\n".join(lines), "utf-8-sig")
    works = read_works(source, {"title": "room", "caption": ["description", "room"]}, None)
    assert works.titles == [works.records["room"][i] for i in range(5)]
    assert works.texts[0] == f"{works.records['description'][0]}\n\n{works.titles[0]}"
    reviews = {place: (r.is_rejected, r.reviewer) for place, r in works.reviews.items()}
    assert reviews == {(0, 1): (True, ""), (1, 1): (False, "Dr. 王")}


def test_answers_that_lack_something_are_refused(tmp_path: Path) -> None:
    source = collection(tmp_path)
    table = pq.read_table(source)
    pq.write_table(table.slice(1), source)
    with pytest.raises(TableError, match="has no answer for the culture arabic"):
        aa.browse(source, tmp_path / "site")
    moved = table.select([n for n in table.column_names if n != "fear"])
    pq.write_table(moved, source)
    with pytest.raises(TableError, match="do not sum to 1"):
        aa.browse(source, tmp_path / "site")
    with pytest.raises(TableError, match="is no file of answers"):
        aa.browse(tmp_path / "records.jsonl", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_only_a_gallery_is_replaced(tmp_path: Path) -> None:
    source, site = collection(tmp_path), tmp_path / "site"
    aa.browse(source, site)
    with pytest.raises(OutputExistsError, match="add --overwrite"):
        aa.browse(source, site)
    aa.browse(source, site, overwrite=True, title="second")
    assert "<h1>second</h1>" in (site / "index.html").read_text("utf-8")
    with pytest.raises(OutputExistsError, match="holds no gallery.json"):
        aa.browse(source, tmp_path / "photos", overwrite=True)
    with pytest.raises(OutputError, match="which is read"):
        aa.browse(source, tmp_path, overwrite=True)


def test_a_kill_leaves_the_old_gallery_or_the_new_one(tmp_path: Path) -> None:
    source, site = collection(tmp_path), tmp_path / "site"
    work = partial(aa.browse, source, site, embed_images=True, overwrite=True)
    assert killed_while_writing(tmp_path, work)
    assert not site.exists()
    work(title="old")
    event, ends = 1, set()
    while killed_at(event, partial(work, title="new")):
        if site.exists():
            page = (site / "index.html").read_text("utf-8")
            ends.add("new" if "<h1>new</h1>" in page else "old")
            assert len(list((site / "images").iterdir())) == 3 and data_of(site, "vectors")
        event += 1
    work(title="new")
    assert ends == {"old", "new"} and "<h1>new</h1>" in (site / "index.html").read_text("utf-8")
    assert not list(tmp_path.glob(".*.partial"))
