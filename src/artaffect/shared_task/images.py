"""Find the images that a task file names."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from artaffect.data.images import SUFFIXES, ImageStore, is_plain_name
from artaffect.errors import InputError

_logger = logging.getLogger(__name__)


def find_images(root: Path, names: Collection[str]) -> dict[str, Path]:
    """The file of each image that is in a folder; a name without one is left out.

    A name is ``STYLE/FILE``, or the name of an artwork or a file, which may be in any subfolder. Each
    part is looked up as in an import: see :class:`~artaffect.data.images.ImageStore`.

    Raises:
        TableError: there is no such folder.
    """
    stores = {root: ImageStore(root)}
    subfolders = [*sorted(root.iterdir()), *sorted(root.rglob("*"))]  # rglob follows no links
    folders = dict.fromkeys([root.resolve(), *(path for path in subfolders if path.is_dir())])
    files: dict[str, Path] = {}
    for name in names:
        *parents, file = name.split("/")
        if not all(map(is_plain_name, (*parents, file))):
            continue
        for folder in [root.joinpath(*parents)] if parents else folders:
            store = stores.get(folder.parent)
            if store is None and folder.parent.is_dir():
                store = stores[folder.parent] = ImageStore(folder.parent)
            if store is not None and (path := _find(store, folder.name, file)):
                files[name] = store.root / path
                break
    return files


def report_unusable(
    names: Collection[str], files: Mapping[str, Path], unreadable: Collection[str], consequence: str
) -> None:
    """Log the artworks whose image cannot be used, and warn how many there are.

    Args:
        files: the images that were found.
        unreadable: one line for each image that cannot be read.
        consequence: what happens to these artworks, for the warning.

    Raises:
        InputError: no image can be used.
    """
    faults = [*(f"{name}: no such image" for name in names if name not in files), *unreadable]
    if not faults:
        return
    for fault in faults:
        _logger.info(f"image that cannot be used: {fault}")
    count = f"{len(faults):,} of {len(names):,} images cannot be used (the first: {faults[0]})"
    if len(faults) == len(names):
        raise InputError(count)
    _logger.warning(f"{count}; {consequence}")


def _find(store: ImageStore, folder: str, file: str) -> str | None:
    if not is_plain_name(folder):  # the root of the file system
        return None
    stem, dot, suffix = file.rpartition(".")
    is_file = stem and dot + suffix.lower() in SUFFIXES  # elsewhere, the dot belongs to the name
    return store.find(folder, file) or (store.find(folder, stem) if is_file else None)
