"""Results appear whole or not at all."""

import os
from pathlib import Path

import pytest

from artaffect.errors import OutputExistsError
from artaffect.runtime import atomic_file, atomic_folder, cache_folder


def test_a_file_takes_its_name_only_when_done(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.txt"
    with pytest.raises(RuntimeError, match="halfway"), atomic_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("halfway")
    assert list(target.parent.iterdir()) == []
    with atomic_file(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_folder_keeps_its_old_content_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target, "MARK") as folder:
        (folder / "MARK").write_text("1")
    with pytest.raises(OutputExistsError, match="add --overwrite"), atomic_folder(target, "MARK"):
        pass
    with (
        pytest.raises(RuntimeError, match="halfway"),
        atomic_folder(target, "MARK", overwrite=True) as folder,
    ):
        (folder / "MARK").write_text("2")
        raise RuntimeError("halfway")
    assert (target / "MARK").read_text() == "1"
    (tmp_path / ".folder.left.partial").mkdir()  # as a killed run leaves it
    with atomic_folder(target, "MARK", overwrite=True) as folder:
        (folder / "MARK").write_text("3")
    assert (target / "MARK").read_text() == "3"
    assert list(tmp_path.iterdir()) == [target]


def test_only_folders_of_its_own_kind_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputExistsError, match="holds no MARK"),
        atomic_folder(tmp_path, "MARK", overwrite=True),
    ):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_the_cache_goes_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTAFFECT_CACHE", "/somewhere")
    assert cache_folder() == Path("/somewhere")
    monkeypatch.delenv("ARTAFFECT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/artaffect")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "artaffect"
