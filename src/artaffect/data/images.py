"""Images on disk: which file belongs to an artwork, and whether it can be read."""

import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path

from artaffect.data.decoders import shared_decoders
from artaffect.data.formats import SUFFIXES as SUFFIXES
from artaffect.data.formats import identify
from artaffect.errors import ImageError, TableError
from artaffect.runtime import track

_BATCH = 16


def is_image_file(path: Path) -> bool:
    """Whether a file is an image by its name, or begins as one whatever its name."""
    if not path.is_file():
        return False
    if path.name.lower().endswith(SUFFIXES):
        return True
    try:
        with path.open("rb") as stream:
            return bool(identify(stream))
    except (ImageError, OSError):
        return False


def is_plain_name(name: str) -> bool:
    """Whether a name stays inside the folder to which it is joined."""
    return bool(name) and name not in (".", "..") and not any(c in name for c in "/\\\0")


@dataclass
class ImageStore:
    """A folder of images in the layout of WikiArt: ``<root>/<art_style>/<painting>.jpg``.

    A name is tried as it is, in Unicode's form NFC, and in NFD: first as a file's whole name, then
    with each suffix of a format that is read, in small or capital letters. Similar names never match.
    """

    root: Path
    _listings: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            raise TableError(f"{self.root}: no such folder of images")

    def find(self, *names: str) -> str | None:
        """The path of an image relative to the root, or None if there is no image.

        Args:
            names: the folders in which it lies, and its own, such as the art style and the painting.
        """
        if not (names and all(map(is_plain_name, names))):
            raise ValueError(f"unsafe name {'/'.join(names)!r}")
        folders = name_forms("/".join(names[:-1]))
        for folder, stem, suffix in product(folders, name_forms(names[-1]), ("", *SUFFIXES)):
            file = self._names(folder).get(stem + suffix)
            if file and (suffix or (self.root / folder / file).is_file()):
                return f"{folder}/{file}".removeprefix("/")
        return None

    def find_broken(self, paths: list[str]) -> dict[str, str]:
        """The images that cannot be read, and why, as ``check_image`` says."""
        decoders = shared_decoders()
        batches = [paths[start : start + _BATCH] for start in range(0, len(paths), _BATCH)]
        with ThreadPoolExecutor(decoders.count) as pool:
            results = pool.map(
                lambda batch: decoders.find_faults([self.root / path for path in batch]), batches
            )
            faults = chain.from_iterable(results)
            checked = track(zip(paths, faults, strict=True), "checking images", len(paths))
            return {path: fault for path, fault in checked if fault}

    def _names(self, folder: str) -> dict[str, str]:
        """The names in a folder, also under themselves with the suffix in small letters."""
        if folder not in self._listings:
            path = self.root / folder
            names = sorted(os.listdir(path)) if os.path.isdir(path) else []
            small = {
                stem + suffix.lower(): stem + suffix
                for stem, suffix in map(os.path.splitext, names)
            }
            self._listings[folder] = small | {name: name for name in names}
        return self._listings[folder]


def name_forms(name: str) -> tuple[str, ...]:
    """A name as it is, in Unicode's form NFC, and in NFD."""
    return (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
