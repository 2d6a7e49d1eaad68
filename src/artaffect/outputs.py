"""Write files and folders completely or not at all, and check first that they can be written.

A result is written beside its place under a hidden name, flushed to disk, and renamed when it is complete.
Whatever stops the process, the place holds the old result or the new one.
"""

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from artaffect.errors import OutputError, OutputExistsError

_logger = logging.getLogger(__name__)

CHECKSUMS = "SHA256SUMS"
"""A folder that holds this file is a model folder."""

_OTHER = "choose another name"
_PARTIAL, _COMPLETE, _OLD = ".partial", ".complete", ".old"


def check_output(path: Path, inputs: Iterable[str | os.PathLike[str]] = ()) -> None:
    """Check that a file can be written, before the work that fills it begins.

    If it exists, the log says that it will be replaced.

    Args:
        inputs: what the work reads, and must not replace.

    Raises:
        OutputError: it is something that is read, or a folder, or cannot be written.
    """
    _check(path, inputs, folder=False)
    if path.exists():
        _logger.info(f"{path} exists and will be replaced")


def check_output_folder(
    path: Path, inputs: Collection[str | os.PathLike[str]] = (), files: Iterable[str] = ()
) -> None:
    """Check that files can be written into a folder, before the work that fills it begins.

    Args:
        inputs: what the work reads, and must not replace.
        files: the names of what will be written.

    Raises:
        OutputError: it is a model folder, or cannot be written, or a file is something that is read.
    """
    _check(path, (), folder=True)
    if (path / CHECKSUMS).is_file():
        raise OutputError(f"{path} is a model folder, and is not changed: {_OTHER}")
    for name in files:
        check_output(path / name, inputs)


def _check(path: Path, inputs: Iterable[str | os.PathLike[str]], folder: bool) -> None:
    for source in inputs:
        if _is_same(path, Path(source)):
            raise OutputError(f"{path} is both read and written: {_OTHER}")
    try:
        if path.exists() and not (path.is_dir() if folder else path.is_file()):
            is_ = "folder" if path.is_dir() else "file" if path.is_file() else "device"
            raise OutputError(
                f"{path} is a {is_}: expected the name of a {'folder' if folder else 'file'}"
            )
        target = path.resolve()
        _check_writable(path, target if folder else target.parent)
        with contextlib.suppress(FileNotFoundError):
            os.stat(path)  # raises for a name that is too long
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None


def check_free(
    path: Path, marker: str, overwrite: bool, inputs: Collection[str | os.PathLike[str]] = ()
) -> None:
    """Check that a folder can be written as a whole, before the work that fills it begins.

    If an earlier process was killed while it replaced this folder, the replacement is completed.

    Args:
        marker: a file that every folder of this kind contains; no other folder is replaced.
        inputs: what the work reads; neither in the folder, nor a folder of this kind around it.

    Raises:
        OutputExistsError: ``path`` exists and is not an older result that ``overwrite`` allows.
        OutputError: ``path`` cannot be written, or another process is writing it.
    """
    _check(path, inputs, folder=True)
    target = path.resolve()
    for source in inputs:
        origin = Path(source).resolve()
        if target in origin.parents:
            raise OutputError(f"{path} contains {source}, which is read: {_OTHER}")
        if (origin / marker).is_file() and origin in target.parents:
            raise OutputError(f"{path} is inside {source}, which is read: {_OTHER}")
    if _leftovers(target, _COMPLETE) or _leftovers(target, _OLD):
        with output_lock(path):
            _recover(target)
    if target.exists():
        _check_replaceable(path, target)
    if not target.exists() or not any(target.iterdir()):
        return
    if not (target / marker).is_file():
        raise OutputExistsError(f"{path} exists and holds no {marker}: {_OTHER}")
    if not overwrite:
        raise OutputExistsError(f"{path} exists: {_OTHER}, or add --overwrite")


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which is renamed to ``path`` when the block succeeds.

    The content is flushed to disk before the file takes its name, so that not even a loss of power
    leaves an empty file. Where ``path`` is a link, the file that it leads to is replaced.
    """
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    # the temporary name is short, because the final one may be as long as the file system allows
    handle, name = tempfile.mkstemp(prefix=".", suffix=_PARTIAL, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        with _disk_errors(path):
            yield temporary
            temporary.chmod(_mode(0o666))
            _flush(temporary)
            temporary.replace(target)
            _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, marker: str, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary folder, which takes the place of ``path`` when the block succeeds.

    ``path`` must be free in the sense of :func:`check_free`; no other process may write it meanwhile.
    """
    target = path.resolve()
    with output_lock(path):
        check_free(path, marker, overwrite)
        for stale in _leftovers(target, _PARTIAL):  # of a killed process, since we hold the lock
            shutil.rmtree(stale, ignore_errors=True)
        prefix = f"{_prefix(target)}{os.getpid()}."
        temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=_PARTIAL, dir=target.parent))
        try:
            with _disk_errors(path):
                yield temporary
                for entry in (temporary, *temporary.rglob("*")):
                    if entry == temporary or entry.parent == temporary:
                        entry.chmod(_mode(0o777 if entry.is_dir() else 0o666))
                    _flush(entry)
                complete = temporary.rename(temporary.with_suffix(_COMPLETE))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        _put(complete, target)


@contextlib.contextmanager
def output_lock(path: Path) -> Iterator[None]:
    """Let no other process write ``path`` while the block runs; the lock dies with its process.

    A thread may take the same lock again.

    Raises:
        OutputError: another process writes ``path``, or its folder cannot be written.
    """
    from filelock import FileLock, Timeout

    target = path.resolve()
    file = target.with_name(f"{_prefix(target)}lock")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file, is_singleton=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputError(
            f"{path} is being written by another process: wait until it is done, or {_OTHER}"
        ) from None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            file.unlink(missing_ok=True)  # while it is held; whoever waits for it notices
        lock.release()


def discard_folder(folder: Path) -> None:
    """Delete a folder of intermediate work. Its name is free at once, however long that takes."""
    if folder.is_symlink():
        folder = folder.resolve()
    for stale in _leftovers(folder, _OLD):
        shutil.rmtree(stale, ignore_errors=True)
    if folder.is_dir():
        shutil.rmtree(_set_aside(folder), ignore_errors=True)


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO}
"""A disk that is full, over the quota, read-only or failing, and a file that is too large for it."""


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Raise as OSError, with the output's name, what libraries make of the errors of a disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise
    except Exception as error:
        number = re.search(r"os error (\d+)", str(error))  # of a library written in Rust
        cause = error.__context__
        code = int(number[1]) if number else cause.errno if isinstance(cause, OSError) else None
        if code not in _DISK:
            raise
        raise OSError(code, os.strerror(code), os.fspath(path)) from None


def _put(complete: Path, target: Path) -> None:
    """Rename a complete folder to its final name, and delete what had that name."""
    old = None
    try:
        if target.exists():
            old = _set_aside(target)
        complete.rename(target)
    except OSError as error:
        if old is not None and not target.exists():
            old.rename(target)
        raise OutputError(
            f"{target} cannot be written ({error.strerror}); the complete result is in {complete}"
        ) from None
    _flush(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _recover(target: Path) -> None:
    """Complete the replacement of a folder that a killed process had begun; needs the lock."""
    for complete in _leftovers(target, _COMPLETE):
        if target.exists():
            _logger.warning(
                f"an earlier run was stopped before its result could replace {target}; it is complete, "
                f"in {complete}: rename or delete it"
            )
        else:
            complete.rename(target)
            _logger.warning(
                f"{target}: the result of an earlier run, which was stopped, is in place"
            )
    for old in _leftovers(target, _OLD):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def _set_aside(folder: Path) -> Path:
    """Rename a folder to a hidden name beside it."""
    name = f"{_prefix(folder)}{os.getpid()}.{os.urandom(4).hex()}{_OLD}"
    return folder.rename(folder.with_name(name))


def _leftovers(target: Path, suffix: str) -> list[Path]:
    return sorted(target.parent.glob(f"{_prefix(target)}*{suffix}"))


def _prefix(target: Path) -> str:
    """How the hidden names of a result begin; short, and never those of another result."""
    return f".{hashlib.blake2b(os.fsencode(target.name), digest_size=6).hexdigest()}."


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.resolve() == other.resolve() or path.samefile(other)  # by another name
    except OSError:
        return False


def _check_writable(path: Path, place: Path) -> None:
    """Write a byte into a folder, or into the nearest one above it that exists."""
    place = next(p for p in (place, *place.parents) if p.exists())
    if not place.is_dir():
        raise OutputError(f"{path} cannot be written: {place} is a file")
    with tempfile.TemporaryFile(dir=place) as probe:
        probe.write(b"\0")  # raises, at the latest when it is closed, if the disk is full


def _check_replaceable(path: Path, target: Path) -> None:
    try:
        _check_writable(path, target.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be replaced: {error.strerror}") from None
    if mount := _mounted(target):
        raise OutputError(
            f"{path} cannot be replaced, because a volume is mounted at {mount}: choose the name of a "
            "folder inside it"
        )


def _mounted(folder: Path) -> str | None:
    """Where a volume is mounted at a folder or in it; such a folder cannot be renamed and deleted."""
    if os.path.ismount(folder):
        return str(folder)
    with contextlib.suppress(OSError):  # Linux; it also knows the volumes of the same file system
        for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
            escaped = os.fsdecode(line.split()[4])
            mount = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
            if Path(mount).is_relative_to(folder):
                return mount
    return None


def _flush(path: Path) -> None:
    """Write a file's or a folder's content through to the disk."""
    if path.is_symlink() or (os.name == "nt" and path.is_dir()):
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot
            raise
    finally:
        os.close(handle)


def _mode(mode: int) -> int:
    """Apply the umask: temporary files are private to their owner, results are not."""
    umask = os.umask(0)
    os.umask(umask)
    return mode & ~umask
