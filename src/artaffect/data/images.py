"""Images on disk: which file belongs to an artwork, and whether it can be read."""

import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from artaffect.data.preprocessing import open_header, open_image
from artaffect.errors import ImageError, TableError
from artaffect.runtime import track

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")

# The last bytes of a complete file. A file without them may be truncated, and is decoded to find out.
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}


def is_image_file(path: Path) -> bool:
    """Whether a file begins as an image does, whatever its name."""
    try:
        with open_header(path):
            return True
    except ImageError:
        return False


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside the folder to which it is joined."""
    return bool(name) and name not in (".", "..") and not any(c in name for c in "/\\\0")


@dataclass
class ImageStore:
    """A folder of images in the layout of WikiArt: ``<root>/<art_style>/<painting>.jpg``.

    A name is tried as it is, in Unicode's form NFC, and in NFD; similar names never match.
    """

    root: Path
    _listings: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise TableError(f"{self.root}: no such folder of images")

    def find(self, art_style: str, name: str) -> str | None:
        """The path of an image relative to the root, or None if there is no image."""
        if not (is_plain_name(art_style) and is_plain_name(name)):
            raise ValueError(f"unsafe name {art_style!r}/{name!r}")
        for folder, stem, suffix in product(_forms(art_style), _forms(name), SUFFIXES):
            if stem + suffix in self._names(folder):
                return f"{folder}/{stem}{suffix}"
        return None

    def find_broken(self, paths: list[str]) -> dict[str, str]:
        """The images that cannot be read, and why; only a file whose end is missing is decoded."""
        with ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
            faults = pool.map(self._fault, paths)
            checked = track(zip(paths, faults, strict=True), "checking images", len(paths))
            return {path: fault for path, fault in checked if fault}

    def _names(self, folder: str) -> set[str]:
        if folder not in self._listings:
            path = self.root / folder
            self._listings[folder] = set(os.listdir(path)) if path.is_dir() else set()
        return self._listings[folder]

    def _fault(self, path: str) -> str | None:
        file = self.root / path
        try:
            if not _looks_complete(file):
                open_image(file)
        except ImageError as error:
            return str(error).removeprefix(f"{file}: ")
        return None


def _looks_complete(file: Path) -> bool:
    """Whether a file with a readable header has the last bytes of its format."""
    with open_header(file) as image:
        end = _ENDS.get(image.format or "")
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 64))
        return end is not None and end in stream.read()


def _forms(name: str) -> tuple[str, ...]:
    return (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
