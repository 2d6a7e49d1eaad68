"""Results are written completely or not at all, whatever stops the process, and nothing else is lost."""

import logging
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from artaffect.errors import OutputError, OutputExistsError
from artaffect.outputs import (
    atomic_file,
    atomic_folder,
    check_free,
    check_output,
    check_output_folder,
    discard_folder,
    output_lock,
)
from tests.killing import killed_at


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


def test_a_result_is_flushed_to_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: dict[int, bool] = {}  # inode -> whether the result had its name
    flush = os.fsync

    def fsync(handle: int) -> None:
        flushed.setdefault(os.fstat(handle).st_ino, file.exists() or folder.exists())
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    file, folder = tmp_path / "file.txt", tmp_path / "folder"
    with atomic_file(file) as temporary:
        temporary.write_text("whole")
    assert flushed.pop(file.stat().st_ino) is False
    assert tmp_path.stat().st_ino in flushed, "so that the name is on the disk, too"
    file.unlink()
    write_folder(folder, "whole")
    for path in (folder, folder / "MARK", folder / "deep", folder / "deep" / "more"):
        assert flushed.pop(path.stat().st_ino) is False


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
        check_output_folder(file)
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


def write_folder(path: Path, content: str, overwrite: bool = True) -> None:
    with atomic_folder(path, "MARK", overwrite) as folder:
        (folder / "MARK").write_text(content)
        (folder / "deep").mkdir()
        (folder / "deep" / "more").write_text(content)


def read_folder(path: Path) -> list[str]:
    return [(path / "MARK").read_text(), (path / "deep" / "more").read_text()]


def test_a_kill_at_any_point_leaves_the_old_folder_or_the_new_one(tmp_path: Path) -> None:
    event, seen = 1, set()
    while True:
        target = tmp_path / str(event) / "run"
        write_folder(target, "old")
        write_folder(target.with_name("run.int8"), "another result with the same prefix")
        was_killed = killed_at(event, partial(write_folder, target, "new"))
        with pytest.raises(OutputExistsError, match="exists: choose another name"):
            check_free(target, "MARK", overwrite=False)
        content = read_folder(target)
        assert content in (["old"] * 2, ["new"] * 2)
        seen.add(content[0])
        finished = [p for p in target.parent.iterdir() if p.suffix == ".complete"]
        assert all(read_folder(path) == ["new"] * 2 for path in finished), "it is kept"
        for path in finished:
            path.rename(target.parent / "kept")
        write_folder(target, "newest")
        assert read_folder(target) == ["newest"] * 2
        others = {"kept", "run", "run.int8"}
        assert {path.name for path in target.parent.iterdir()} <= others, "nothing is left"
        if not was_killed:
            break
        event += 1
    assert event > 8 and seen == {"old", "new"}


def test_between_the_two_renames_the_finished_result_comes_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "run"
    write_folder(target, "old")
    event = 1
    while target.exists():
        assert killed_at(event, partial(write_folder, target, "new"))
        event += 1
        if target.exists():
            write_folder(target, "old")
            for path in tmp_path.glob("*.complete"):
                discard_folder(path)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(OutputExistsError, match="add --overwrite"),
    ):
        check_free(target, "MARK", overwrite=False)
    assert read_folder(target) == ["new"] * 2 and "is in place" in caplog.text
    assert list(tmp_path.iterdir()) == [target]


def test_a_finished_result_whose_place_was_taken_is_offered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "run"
    write_folder(target, "old")
    event = 1
    while not list(tmp_path.glob("*.complete")):
        assert killed_at(event, partial(write_folder, target, "new"))
        event += 1
    with caplog.at_level(logging.WARNING):
        check_free(target, "MARK", overwrite=True)
    (finished,) = tmp_path.glob("*.complete")
    assert f"it is complete, in {finished}: rename or delete it" in caplog.text
    assert read_folder(finished) == ["new"] * 2 and read_folder(target) == ["old"] * 2


def test_one_output_has_one_writer_and_the_lock_dies_with_it(tmp_path: Path) -> None:
    target = tmp_path / "run"
    (tmp_path / "link").symlink_to(target)
    code = (
        "import sys; from pathlib import Path; from artaffect.outputs import output_lock\n"
        "with output_lock(Path(sys.argv[1])):\n"
        "    print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for path in (target, tmp_path / "link"):
            with pytest.raises(OutputError, match="is being written by another process"):
                write_folder(path, "second")
        with output_lock(tmp_path / "run.int8"):
            pass
        writer.kill()
    write_folder(target, "second")
    with output_lock(target), output_lock(target):  # a job and its last step
        write_folder(target, "third")
    assert read_folder(target) == ["third"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "run"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    volume, link = tmp_path / "volume", tmp_path / "run"
    volume.mkdir()
    link.symlink_to(volume / "run")
    for content in ("old", "new"):
        write_folder(link, content)
        assert link.is_symlink() and read_folder(volume / "run") == [content] * 2
    file = tmp_path / "answers.parquet"
    file.symlink_to(volume / "answers.parquet")
    with atomic_file(file) as temporary:
        temporary.write_text("whole")
    assert file.is_symlink() and (volume / "answers.parquet").read_text() == "whole"
    assert sorted(path.name for path in volume.iterdir()) == ["answers.parquet", "run"]


def test_a_mounted_volume_is_refused_before_the_work(small_disk: Path) -> None:
    (small_disk / "MARK").write_text("old")
    for target in (small_disk, small_disk.parent):
        (target / "MARK").write_text("old")
        with (
            pytest.raises(OutputError, match="a volume is mounted at .*disk: choose the name of a"),
            atomic_folder(target, "MARK", overwrite=True),
        ):
            pytest.fail("the work began")
    write_folder(small_disk / "run", "new")
    assert (small_disk / "MARK").read_text() == "old" and read_folder(small_disk / "run") == [
        "new"
    ] * 2


def test_on_a_full_disk_the_old_result_stays(small_disk: Path) -> None:
    target = small_disk / "run"
    write_folder(target, "old")
    with pytest.raises(OSError, match="No space left on device: .*run"):
        write_folder(target, "new" * 100_000)
    assert read_folder(target) == ["old"] * 2
    with (
        pytest.raises(OSError, match="No space left"),
        atomic_file(small_disk / "x.csv") as temporary,
    ):
        temporary.write_bytes(bytes(100_000))
    assert [path.name for path in small_disk.iterdir()] == ["run"]
    (small_disk / "filler").write_bytes(bytes(8192))
    with pytest.raises(OSError, match="No space left"), (small_disk / "rest").open("wb") as rest:
        rest.write(bytes(100_000))
    with pytest.raises(OutputError, match="cannot be written: No space left"):
        check_output(small_disk / "more.csv")


def test_a_device_is_no_output() -> None:
    with pytest.raises(OutputError, match="/dev/null is a device: expected the name of a file"):
        check_output(Path("/dev/null"))


def test_another_name_of_an_input_is_noticed(tmp_path: Path) -> None:
    table, other = tmp_path / "table.parquet", tmp_path / "other.parquet"
    table.write_text("rows")
    os.link(table, other)
    with pytest.raises(OutputError, match=r"other\.parquet is both read and written"):
        check_output(other, [table])


def test_what_will_be_replaced_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "table.parquet"
    with caplog.at_level(logging.INFO):
        check_output(file)
        assert not caplog.messages
        file.write_text("rows")
        check_output(file)
    assert caplog.messages == [f"{file} exists and will be replaced"]
