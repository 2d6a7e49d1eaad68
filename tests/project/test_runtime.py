"""Paths are checked, and the cache has its folder."""

import os
import socket
from pathlib import Path

import pytest

from artaffect.errors import InputError
from artaffect.runtime import as_path, cache_folder, listen
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


def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged() -> None:
    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
