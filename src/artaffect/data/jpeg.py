"""Whether a JPEG holds its whole image. Decoders silently fill what is missing with grey."""

import io
import re

from artaffect.errors import ImageError

_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]")  # one that is not part of the pixels' data
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_HOLE = "broken JPEG image (a part of it was replaced by zeros)"
_END, _SCAN = 0xD9, 0xDA
_BASELINE, _SEQUENTIAL, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ZEROS = bytes(64)
"""More zeros in a row than pixels have, unless most of the image has one colour."""
_FILLING = b"\xff\0" * 8
"""Bits that are no code, for a decoder that reads ahead; too few for one more row of blocks."""


class WholeJpeg(io.BytesIO):
    """The bytes of a JPEG in such a way that its decoder fails if pixels are missing.

    The end marker is left out where the file has one pass: at this marker a decoder would stop early
    and fill the rest. Where a file has several passes, none of them may be missing.

    Raises:
        ImageError: passes are missing, or the file is filled up with zeros.
    """

    def __init__(self, data: bytes) -> None:
        kind, start, end, is_complete, self.scans = _structure(data)
        if not is_complete:
            raise ImageError("broken JPEG image (some of its passes are missing)")
        if end == len(data) and len(data) - len(data.rstrip(b"\0")) >= len(_ZEROS):
            raise ImageError("broken JPEG image (the rest of the file is zeros)")
        is_strict = self.scans == 1 and kind in (_BASELINE, _SEQUENTIAL)
        # pixels after a hole of zeros are read early, so that some of the file is left over
        has_hole = is_strict and data.find(_ZEROS, start, end) >= 0
        restarts = _RESTART.findall(data, start, end) if has_hole else []
        if any(number[1] - 0xD0 != index % 8 for index, number in enumerate(restarts)):
            raise ImageError(_HOLE)
        self._last = end - len(_ZEROS) if has_hole else 0
        # Without decoding a cut cannot be ruled out. What hints at it: a pass must end in a bit that is
        # set (it does in 15 of 16 whole files), and cuts lie where blocks of a disk or a network end.
        self.looks_whole = (is_strict or kind == _PROGRESSIVE) and not (
            has_hole or end == len(data) or end % 512 == 0 or not data[end - 1] & 1
        )
        super().__init__(data[:end] + _FILLING if is_strict else data)

    def read(self, size: int | None = -1) -> bytes:
        """Read, but not beyond the start of the last bytes in one go."""
        left = self._last - self.tell()
        if left > 0:
            size = left if size is None or size < 0 else min(size, left)
        return super().read(size)

    def check_end(self) -> None:
        """Check after decoding that the last bytes were needed.

        Raises:
            ImageError: the image was full before.
        """
        if self.tell() <= self._last:
            raise ImageError(_HOLE)


def _structure(data: bytes) -> tuple[int, int, int, bool, int]:
    """Kind of frame, start and end of the last pass, whether all passes exist, how many there are."""
    kind = start = 0
    end, position = len(data), 2
    # of each component: for each coefficient, how many of its bits are missing
    missing: dict[int, list[int]] = {}
    passes = 0
    while match := _MARKER.search(data, position):
        marker, position = data[match.end() - 1], match.end()
        if marker == _END:
            end = match.start()
            break
        body = data[position + 2 : position + int.from_bytes(data[position : position + 2])]
        if marker in _FRAMES and len(body) >= 6:
            kind = marker
            missing = {component: [99] * 64 for component in body[6::3]}
        position += 2 + len(body)
        if marker == _SCAN and len(body) > 3:
            passes, start = passes + 1, position
            first, last, bits = body[-3:] if kind == _PROGRESSIVE else (0, 63, 0)
            for component in body[1 : 1 + 2 * body[0] : 2]:
                if component in missing:
                    missing[component][first : last + 1] = [bits & 15] * (last + 1 - first)
    is_complete = not passes or not any(bits for rows in missing.values() for bits in rows)
    return kind, start, end, is_complete, passes
