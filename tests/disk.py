"""A disk on which files cannot grow, and a user without a home folder."""

import contextlib
import pwd
import resource
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def files_at_most(size: int) -> Iterator[None]:
    """Let every write beyond ``size`` bytes of a file fail, as on a full disk (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process belong to a user that the system does not know, as containers have them."""

    def unknown(*_: object) -> None:
        raise KeyError("no such user")

    for name in ("HOME", "XDG_CACHE_HOME", "ARTAFFECT_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
