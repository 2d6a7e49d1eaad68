"""The shared task finds an image wherever an import finds it."""

import logging
import unicodedata
from pathlib import Path

import pytest

from artaffect.errors import InputError, TableError
from artaffect.shared_task.images import find_images, report_unusable

COMPOSED = "joaquín(1).x"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize("name", [COMPOSED, DECOMPOSED])
@pytest.mark.parametrize("on_disk", [COMPOSED, DECOMPOSED])
def test_a_name_may_have_either_form_of_unicode(tmp_path: Path, name: str, on_disk: str) -> None:
    touch(tmp_path, f"Baroque/{on_disk}.jpg")
    file = tmp_path / "Baroque" / f"{on_disk}.jpg"
    assert find_images(tmp_path, [name]) == {name: file}
    assert find_images(tmp_path, [f"Baroque/{name}.jpg"]) == {f"Baroque/{name}.jpg": file}


def test_an_artwork_may_be_in_any_subfolder(tmp_path: Path) -> None:
    touch(tmp_path, "top.jpg", "Style/one.png", "deep/er/two.jpeg", "elsewhere/three.jpg")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "elsewhere")
    files = find_images(tmp_path, ["top", "one", "two", "top.jpg"])
    assert [file.name for file in files.values()] == ["top.jpg", "one.png", "two.jpeg", "top.jpg"]
    assert list(find_images(tmp_path / "root", ["three"])) == ["three"]


def test_names_that_leave_the_folder_or_only_resemble_a_file_are_not_found(tmp_path: Path) -> None:
    touch(tmp_path, "secret.jpg", "images/S/a.jpg", "images/S/a.x.png")
    unlike = ["../secret.jpg", "S/../../secret", "/secret", "", "S/", "A", "a.y", "T/a.jpg"]
    assert find_images(tmp_path / "images", unlike) == {}
    assert find_images(tmp_path / "images", ["S/a.x.jpg"])["S/a.x.jpg"].name == "a.x.png"
    with pytest.raises(TableError, match="nowhere: no such folder of images"):
        find_images(tmp_path / "nowhere", ["a"])


def test_images_that_cannot_be_used_are_counted_and_the_first_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = {"b": Path("b.jpg"), "c": Path("c.jpg")}
    with caplog.at_level(logging.INFO, "artaffect"):
        report_unusable(["b", "c"], files, [], "never logged")
        assert not caplog.records
        report_unusable(["a", "b", "c"], files, ["c.jpg: truncated"], "they are left out")
    assert [record.message for record in caplog.records] == [
        "image that cannot be used: a: no such image",
        "image that cannot be used: c.jpg: truncated",
        "2 of 3 images cannot be used (the first: a: no such image); they are left out",
    ]
    with pytest.raises(InputError, match="1 of 1 images cannot be used .*a: no such image"):
        report_unusable(["a"], {}, [], "never logged")
