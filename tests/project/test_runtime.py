"""Paths are checked, and results are written completely or not at all."""

import os
from pathlib import Path

import pytest

from artaffect.errors import InputError, OutputError, OutputExistsError
from artaffect.runtime import (
    as_path,
    atomic_file,
    atomic_folder,
    cache_folder,
    check_free,
    check_output,
)
from tests.disk import without_home


def test_a_path_is_a_string_or_path_like(tmp_path: Path) -> None:
    with os.scandir(tmp_path.parent) as entries:  # a PathLike that is not a Path
        entry = next(entries)
    assert as_path("a/b.csv", "images") == Path("a/b.csv")
    assert as_path(tmp_path, "images") == tmp_path
    assert as_path(entry, "images") == Path(entry.path)


@pytest.mark.parametrize(
    ("value", "given"),
    [(3, "int"), (None, "NoneType"), (b"a.csv", "bytes"), ([], "list"), ("", "an empty string")],
)
def test_a_wrong_path_gets_a_sentence_that_names_the_argument(value: object, given: str) -> None:
    message = rf"^images must be a path \(str or os.PathLike\), got {given}$"
    for expected in (InputError, TypeError):
        with pytest.raises(expected, match=message):
            as_path(value, "images")


def test_a_path_like_that_returns_bytes_is_refused() -> None:
    class BytesPath:
        def __fspath__(self) -> bytes:
            return b"a.csv"

    with pytest.raises(InputError, match="images must be a path .* got bytes"):
        as_path(BytesPath(), "images")


def test_a_file_gets_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
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


def test_a_folder_keeps_its_content_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    with atomic_folder(target, "MARK") as folder:
        (folder / "MARK").write_text("1")
    with pytest.raises(OutputExistsError, match="add --overwrite"), atomic_folder(target, "MARK"):
        pass
    with (
        pytest.raises(RuntimeError, match="halfway"),
        atomic_folder(target, "MARK", overwrite=True) as folder,
    ):
        left_by_a_killed_run = folder
        (folder / "MARK").write_text("2")
        raise RuntimeError("halfway")
    assert (target / "MARK").read_text() == "1"
    left_by_a_killed_run.mkdir()
    of_another_folder = tmp_path / ".folder.left.partial"
    of_another_folder.mkdir()
    with atomic_folder(target, "MARK", overwrite=True) as folder:
        (folder / "MARK").write_text("3")
    assert (target / "MARK").read_text() == "3"
    assert sorted(tmp_path.iterdir()) == [of_another_folder, target]


def test_every_name_that_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    longest = "ä" * 125 + ".csv"  # 254 bytes; the limit is 255
    with atomic_file(tmp_path / longest) as temporary:
        temporary.write_text("whole")
    with atomic_folder(tmp_path / ("f" * 255), "MARK") as folder:
        (folder / "MARK").write_text("1")
    assert (tmp_path / longest).read_text() == "whole"
    assert (tmp_path / ("f" * 255) / "MARK").is_file()


def test_an_output_is_refused_before_the_work_where_it_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OutputError, match="is a folder: expected the name of a file"):
        check_output(tmp_path)
    with pytest.raises(OutputError, match="is a file: expected the name of a folder"):
        check_output(file, folder=True)
    with pytest.raises(OutputError, match="file is a file"):
        check_output(file / "deep" / "x.parquet")
    with pytest.raises(OutputError, match="cannot be written: File name too long"):
        check_output(tmp_path / ("n" * 300))
    with pytest.raises(OutputError, match="cannot be written"):
        check_output(Path("/proc/nowhere"))  # no file can be made there, whoever asks
    check_output(tmp_path / "new" / "deep" / "x.parquet")
    assert list(tmp_path.iterdir()) == [file], "a check leaves nothing"


def test_no_output_is_an_input(tmp_path: Path) -> None:
    source, link = tmp_path / "run", tmp_path / "link"
    source.mkdir()
    (source / "MARK").write_text("trained")
    link.symlink_to(source)
    for out in (source, link, tmp_path / "other" / ".." / "run"):
        with pytest.raises(OutputError, match="both read and written"):
            check_free(out, "MARK", True, [source])
    with pytest.raises(OutputError, match="contains .*run, which is read"):
        check_free(tmp_path, "MARK", True, [source])
    for out in (source / "onnx", link / "onnx"):
        with pytest.raises(OutputError, match="is inside .*run, which is read"):
            check_free(out, "MARK", True, [source])
    check_free(tmp_path / "other", "MARK", True, [source])


def test_only_a_folder_with_the_marker_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with (
        pytest.raises(OutputExistsError, match="holds no MARK"),
        atomic_folder(tmp_path, "MARK", overwrite=True),
    ):
        pass
    assert (tmp_path / "thesis.tex").exists()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTAFFECT_CACHE", "/somewhere")
    assert cache_folder("features") == Path("/somewhere/features")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("ARTAFFECT_CACHE", "")  # no folder, and not the current one
    assert cache_folder("features") == Path("/xdg/artaffect/features")
    monkeypatch.delenv("ARTAFFECT_CACHE")
    assert cache_folder("features") == Path("/xdg/artaffect/features")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder("features") == Path.home() / ".cache" / "artaffect" / "features"
    without_home(monkeypatch)
    assert cache_folder("features") is None
