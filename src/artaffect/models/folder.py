"""The model folder: it explains itself, is self-contained, and is checked when it is loaded.

Weights (``model.safetensors``, or three ``.onnx`` graphs), ``config.json`` (architecture, preprocessing,
labels, cultures, training settings), ``tokenizer.json`` if it reads captions, ``metrics.json``,
``metrics.jsonl`` (the training log), ``README.md`` (the model card), and ``SHA256SUMS`` over all of them,
in the form that ``sha256sum -c`` reads. Nothing is pickled. This module works without torch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artaffect.errors import ModelFolderError
from artaffect.labels import EMOTIONS
from artaffect.outputs import CHECKSUMS as CHECKSUMS
from artaffect.runtime import file_digest, to_json_text

FORMAT = 2
"""Raised when older versions can no longer read the folder, or this version older folders."""

WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
TRAINING_LOG = "metrics.jsonl"
GRAPHS = {"image": "image.onnx", "caption": "caption.onnx", "answer": "answer.onnx"}
"""Both encoders, and everything that follows them."""

Histories = Mapping[str, Sequence[Mapping[str, float]]]
"""For each training by name, one entry per epoch: ``epoch``, ``loss``, its terms, and scores."""

_NEEDED = ("config.json", "metrics.json", "README.md")


def holds_graphs(folder: Path) -> bool:
    """Whether a model folder was exported to ONNX."""
    return (folder / GRAPHS["answer"]).is_file()


def write_histories(histories: Histories, folder: Path) -> None:
    """Write the training log: one line of JSON per training and epoch."""
    with (folder / TRAINING_LOG).open("w", encoding="utf-8") as file:
        for name, history in histories.items():
            file.writelines(
                to_json_text({"training": name, **e}, indent=None) + "\n" for e in history
            )


def read_histories(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Read what :func:`write_histories` wrote; empty for a folder without a training log."""
    path = folder / TRAINING_LOG
    histories: dict[str, list[dict[str, float]]] = {}
    for line in path.read_text("utf-8").splitlines() if path.is_file() else ():
        epoch = json.loads(line)
        histories.setdefault(epoch.pop("training"), []).append(epoch)
    return histories


def write_checksums(folder: Path) -> None:
    """Write the digests of the folder's files, once all of them are written."""
    optional = (WEIGHTS, TOKENIZER, TRAINING_LOG, *GRAPHS.values())
    names = sorted((*_NEEDED, *(name for name in optional if (folder / name).is_file())))
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), "utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder; ``synthetic`` says whether it learned from synthetic data.

    Raises:
        ModelFolderError: it is missing, not JSON, or of another version.
    """
    path = folder / "config.json"
    try:
        config = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{path} cannot be read: {error}") from None
    if config.get("format") != FORMAT:
        raise ModelFolderError(
            f"{folder} has format {config.get('format')!r}; this version reads format {FORMAT}: "
            "train it again"
        )
    if config.get("emotions") != list(map(str, EMOTIONS)):
        raise ModelFolderError(f"{folder} was made for other emotions: {config.get('emotions')}")
    data = config.get("data")  # folders of older versions say it only there
    config.setdefault("synthetic", isinstance(data, dict) and bool(data.get("synthetic")))
    return config


def check_folder(folder: Path) -> None:
    """Compare every file with its checksum.

    Raises:
        ModelFolderError: names the first file that is missing or altered.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: no such model folder; `artaffect train` makes one")
    try:
        lines = (folder / CHECKSUMS).read_text("utf-8").splitlines()
    except OSError:
        raise ModelFolderError(f"{folder} is not a model folder: it has no {CHECKSUMS}") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    weights = GRAPHS["answer"] if GRAPHS["answer"] in sums else WEIGHTS
    for name in sorted({*_NEEDED, weights, *sums}):
        if name not in sums or not (folder / name).is_file():
            raise ModelFolderError(f"{folder} is incomplete: {name} is missing")
        if file_digest(folder / name) != sums[name]:
            raise ModelFolderError(
                f"{folder}: {name} is not the file that was saved (its SHA-256 differs from {CHECKSUMS}); "
                "copy the folder again, or train again"
            )
