"""The model folder: it explains itself, holds all it needs, and tells when it was touched.

Weights (``model.safetensors``, or three ``.onnx`` graphs), ``config.json`` (architecture, preprocessing,
labels, cultures, training settings), ``tokenizer.json`` where captions are read, ``metrics.json``,
``README.md`` (the model card), and ``SHA256SUMS`` over all of these, in the form that ``sha256sum -c``
reads. Nothing is pickled. No torch here: a folder of graphs is opened without it.
"""

import json
from pathlib import Path
from typing import Any

from artaffect.errors import ModelFolderError
from artaffect.labels import EMOTIONS
from artaffect.runtime import file_digest

FORMAT = 1
"""Raised when older versions could not read the folder."""

CHECKSUMS = "SHA256SUMS"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
GRAPHS = {"image": "image.onnx", "caption": "caption.onnx", "answer": "answer.onnx"}
"""Both encoders, and all that comes behind them."""

_NEEDED = ("config.json", "metrics.json", "README.md")


def holds_graphs(folder: Path) -> bool:
    """Whether a model folder was exported to ONNX."""
    return (folder / GRAPHS["answer"]).is_file()


def write_checksums(folder: Path) -> None:
    """Write the digests of the folder's files, once all of them are there."""
    parts = (WEIGHTS, TOKENIZER, *GRAPHS.values())
    names = sorted((*_NEEDED, *(name for name in parts if (folder / name).is_file())))
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), "utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's configuration.

    Raises:
        ModelFolderError: it is missing, no JSON, or of another version.
    """
    path = folder / "config.json"
    try:
        config = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{path} cannot be read: {error}") from None
    if config.get("format") != FORMAT:
        raise ModelFolderError(
            f"{folder} has format {config.get('format')!r}; this version reads format {FORMAT}"
        )
    if config.get("emotions") != list(map(str, EMOTIONS)):
        raise ModelFolderError(f"{folder} was made for other emotions: {config.get('emotions')}")
    return config


def check_folder(folder: Path) -> None:
    """Compare every file with its digest.

    Raises:
        ModelFolderError: naming the first file that is missing or altered.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: no such model folder; `artaffect train` makes one")
    try:
        lines = (folder / CHECKSUMS).read_text("utf-8").splitlines()
    except OSError:
        raise ModelFolderError(f"{folder} is no model folder: it has no {CHECKSUMS}") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    weights = GRAPHS["answer"] if GRAPHS["answer"] in sums else WEIGHTS
    for name in sorted({*_NEEDED, weights, *sums}):
        if name not in sums or not (folder / name).is_file():
            raise ModelFolderError(f"{folder} is incomplete: {name} is missing")
        if file_digest(folder / name) != sums[name]:
            raise ModelFolderError(
                f"{folder}: {name} is not the file that was saved (its SHA-256 differs from {CHECKSUMS}); "
                "copy the folder again, or train anew"
            )
