"""Pictures on disk: which file belongs to an artwork, and whether it can be read."""

import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from artaffect.data.preprocessing import open_image
from artaffect.errors import ImageError, TableError
from artaffect.runtime import track

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

# The last bytes of a whole file; a file without them may be cut short and is decoded to find out.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside the folder it is joined to."""
    return bool(name) and name not in (".", "..") and not any(c in name for c in "/\\\0")


@dataclass
class ImageStore:
    """The folder ``<root>/<art_style>/<painting>.jpg`` of WikiArt, as every data set here lays it out.

    A name is tried as it is, then in Unicode's NFC, then NFD form; never by similarity.
    """

    root: Path
    _listings: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.root = Path(self.root)
        if not self.root.is_dir():
            raise TableError(f"{self.root}: no such folder of pictures")

    def find(self, art_style: str, painting: str) -> str | None:
        """The picture's path relative to the root, or None.

        Raises:
            ValueError: a name would lead outside the folder.
        """
        if not (is_plain_name(art_style) and is_plain_name(painting)):
            raise ValueError(f"unsafe name {art_style!r}/{painting!r}")
        for folder in _forms(art_style):
            names = self._names(folder)
            for stem in _forms(painting):
                for suffix in SUFFIXES:
                    if stem + suffix in names:
                        return f"{folder}/{stem}{suffix}"
        return None

    def find_broken(self, paths: list[str]) -> dict[str, str]:
        """Which of these pictures cannot be read, and why.

        Headers are read for all; only files whose end is missing are decoded, so a folder of
        80,000 paintings is checked in about the time that opening them takes.
        """
        with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            faults = pool.map(self._fault, paths)
            found = track(zip(paths, faults, strict=True), "checking pictures", len(paths))
            return {path: fault for path, fault in found if fault}

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listings:
            path = self.root / folder
            self._listings[folder] = frozenset(os.listdir(path) if path.is_dir() else ())
        return self._listings[folder]

    def _fault(self, path: str) -> str | None:
        file = self.root / path
        if _looks_whole(file):
            return None
        try:
            open_image(file)
        except ImageError as error:
            return str(error).removeprefix(f"{file}: ")
        return None


def _looks_whole(file: Path) -> bool:
    """Whether the header can be read and the format's last bytes are there."""
    try:
        with Image.open(file) as image:
            end = _ENDS.get(image.format or "")
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 64))
            return end is not None and end in stream.read()
    except (OSError, Image.DecompressionBombError):
        return False


def _forms(name: str) -> list[str]:
    forms = [name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)]
    return list(dict.fromkeys(forms))
