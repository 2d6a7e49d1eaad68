"""Which encoding a text file has: by its mark, as UTF-8, or by the letters that it would hold."""

import codecs
import io
import re
from bisect import bisect_left
from itertools import accumulate
from pathlib import Path

import numpy as np

from artaffect.errors import TableError

_MARKS = {  # the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# The first of those that suit a text equally well is taken. Single letters beyond ASCII among others
# are Latin: two bytes that are no letters of it can always be read as one character of Chinese. In
# other scripts at least every second byte is beyond ASCII.
_LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "mac_roman")
_MULTIBYTE = ("gb18030", "cp932", "euc_jp", "big5", "cp949")
_OTHER = (
    *_MULTIBYTE,
    *("cp1256", "cp1251", "koi8_r", "cp1253", "cp1255", "cp874", "cp1258", "cp1252"),
)
_SAMPLE = 200_000  # bytes


def decode_file(path: Path, encoding: str | None = None) -> tuple[np.ndarray, str]:
    """The bytes of a text file in UTF-8 without a mark [n], and the name of the encoding that it has.

    Args:
        encoding: of the file; by default it is detected.

    Raises:
        TableError: the encoding is unknown, or the file does not have it; the message names the line.
    """
    mapped: np.ndarray = np.memmap(path, np.uint8, "r") if path.stat().st_size else _no_bytes()
    name = _lookup(encoding) if encoding else _detect(path, mapped)
    if name in ("utf-8", "utf-8-sig"):
        is_marked = mapped[:3].tobytes() == codecs.BOM_UTF8
        check_utf8(path, mapped)
        return mapped[3:] if is_marked else mapped, "UTF-8"
    data = mapped.tobytes()
    try:
        text = data.decode(name)
    except UnicodeError as error:
        raise _undecodable(path, data, name, error) from None
    return np.frombuffer(text.removeprefix("\ufeff").encode(), np.uint8), _title(name)


def check_utf8(path: Path, data: np.ndarray) -> None:
    """Name the line that is not UTF-8, which pyarrow does not."""
    decoder, position = codecs.getincrementaldecoder("utf-8")(), 0
    for position in range(0, len(data), 16 << 20):
        try:
            decoder.decode(data[position : position + (16 << 20)].tobytes())
        except UnicodeDecodeError:
            break
    else:
        if not decoder.getstate()[0]:
            return
    for number, line in enumerate(data.tobytes().split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise TableError(f"{path} line {number} is not UTF-8: {error}") from None


def _no_bytes() -> np.ndarray:
    return np.zeros(0, np.uint8)


def _lookup(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        io.TextIOWrapper(io.BytesIO(), name)  # refuses those that are not for text, such as base64
    except (LookupError, ValueError):
        raise TableError(
            f"unknown encoding {encoding!r}: name one such as utf-8, utf-16, cp1252 (Western "
            "European), cp1256 (Arabic) or gb18030 (Chinese)"
        ) from None
    return name


def _detect(path: Path, data: np.ndarray) -> str:
    start = data[:4096].tobytes()
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    if wide := _detect_utf16(start):
        return wide
    if not (data >= 0x80).any():
        return "utf-8"
    try:
        data.tobytes().decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError as error:
        if _is_almost_utf8(data.tobytes()):
            line = 1 + error.object.count(b"\n", 0, error.start)
            raise TableError(
                f"{path} line {line} is not UTF-8, although the rest of the file is: repair the line, "
                "or name the encoding with --encoding"
            ) from None
    return _detect_8bit(path, data.tobytes())


def _detect_utf16(start: bytes) -> str | None:
    """UTF-16 without a mark: one byte of each ASCII character is 0, always on the same side."""
    zeros = np.flatnonzero(np.frombuffer(start, np.uint8) == 0)
    if len(zeros) * 20 < len(start) or not len(zeros):
        return None
    sides = set((zeros % 2).tolist())
    return {0: "utf-16-be", 1: "utf-16-le"}[sides.pop()] if len(sides) == 1 else None


def _is_almost_utf8(data: bytes) -> bool:
    """Whether most of what is not ASCII is UTF-8, which is hardly chance."""
    text = data.decode("utf-8", "replace")
    faults = text.count("\ufffd")
    return sum(len(run) for run in re.findall(r"[^\x00-\x7f\ufffd]+", text)) > 3 * faults


def _detect_8bit(path: Path, data: bytes) -> str:
    from charset_normalizer import from_bytes

    # lines in ASCII tell nothing
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    sample = b"\n".join(lines[: 1 + bisect_left(list(accumulate(map(len, lines))), _SAMPLE)])
    gaps = np.diff(np.flatnonzero(np.frombuffer(sample, np.uint8) >= 0x80))
    usual = _LATIN if (gaps > 2).sum() >= (gaps <= 2).sum() else _OTHER
    names = [name for name in usual if _is_encoded(sample, name)]
    scores: dict[str, tuple[float, float, int]] = {}
    for threshold in (0.2, 0.8) if names else ():  # rare letters and signs look like chaos
        for match in from_bytes(sample, cp_isolation=names, threshold=threshold):
            for name in {match.encoding, *match.could_be_from_charset} & set(names):
                chaos, coherence = round(match.chaos, 2), round(match.coherence, 1)
                scores[name] = (chaos, -coherence, names.index(name))
        if scores:
            return min(scores, key=scores.__getitem__)
    if certain := [name for name in names if name in _MULTIBYTE]:
        return certain[0]  # text in single bytes would have an odd number of them somewhere
    raise TableError(
        f"{path}: its encoding is not clear; name it with --encoding, for example cp1252 (Western "
        "European), cp1256 (Arabic) or gb18030 (Chinese), or save the file as UTF-8"
    )


def _is_encoded(data: bytes, name: str) -> bool:
    try:
        return bool(data.decode(name))
    except UnicodeDecodeError:
        return False


def _undecodable(path: Path, data: bytes, name: str, error: UnicodeError) -> TableError:
    line = 1
    if isinstance(error, UnicodeDecodeError):
        line += data[: error.start].decode(name, "replace").count("\n")
    return TableError(
        f"{path} line {line} is not in the encoding {_title(name)}: name the right one with --encoding"
    )


def _title(name: str) -> str:
    number = name.removeprefix("cp")
    return f"Windows-{number}" if number.startswith("125") else name.upper()
