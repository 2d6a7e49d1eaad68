"""Make a thin model folder self-contained."""

import os
import re
import shutil
from pathlib import Path

from artaffect.errors import InputError
from artaffect.models.checkpoint import load_model, save_model
from artaffect.models.folder import (
    CARD,
    CHECKSUMS,
    CONFIG,
    NEEDS,
    WEIGHTS,
    check_folder,
    decoded,
    listed_path,
    read_bytes,
    read_config,
    write_checksums,
)
from artaffect.models.hub import resolve_run
from artaffect.outputs import atomic_folder, check_free

_NEEDS_SECTION = re.compile(rf"^## {NEEDS}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def pack_folder(
    run: str | os.PathLike[str], out: str | os.PathLike[str], overwrite: bool = False
) -> Path:
    """Write a copy of a thin model folder that holds its encoders, and predicts exactly the same.

    Args:
        run: a thin model folder, or ``hf:OWNER/MODEL``.

    Raises:
        InputError: ``run`` holds its encoders already.
        OutputExistsError: ``out`` exists and must not be replaced.
        ModelFolderError: ``run`` is not a model folder; or an encoder to which it refers is not available,
            or is another one.
    """
    source, target = resolve_run(run), Path(out)
    check_free(target, CHECKSUMS, overwrite, [source])
    config = read_config(source)
    if not config.pop("references"):
        raise InputError(f"{source} holds all that it needs already: copy the folder as it is")
    model = load_model(source)
    with atomic_folder(target, CHECKSUMS, overwrite) as folder:
        for name in check_folder(source).keys() - {CONFIG, WEIGHTS, CARD}:
            shutil.copy(listed_path(source, name), folder / name)
        save_model(model, folder, config)
        (folder / CARD).write_text(self_contained_card(source), "utf-8")
        write_checksums(folder)
    return target


def self_contained_card(folder: Path) -> str:
    """The model card of a folder, without what a thin folder says of its encoders."""
    return _NEEDS_SECTION.sub("", decoded(folder / CARD, read_bytes(folder, CARD)))
