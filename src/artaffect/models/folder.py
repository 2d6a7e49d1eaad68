"""The model folder: it explains itself, and is checked when it is loaded.

Weights (``model.safetensors``, or three ``.onnx`` graphs), ``config.json`` (architecture, preprocessing,
labels, cultures, training settings), ``tokenizer.json`` if it reads captions, ``metrics.json``,
``metrics.jsonl`` (the training log), ``README.md`` (the model card), ``familiarity.safetensors`` (how near
an image is to the training artworks), and ``SHA256SUMS`` over all of them, in the form that
``sha256sum -c`` reads. Nothing is pickled. A thin folder refers to its encoders (``references`` in
``config.json``) and holds neither their weights nor their tokenizer, only their adapters
(``adapters.safetensors``) if they were fine-tuned by LoRA; any other folder is self-contained. This module
works without torch.

A folder may come from a stranger. ``SHA256SUMS`` decides what belongs to it: only listed files are
loaded and copied, and the engine follows from the list, never from what else lies in the folder.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from artaffect.errors import ModelFolderError
from artaffect.labels import ARTEMIS
from artaffect.models.saved_config import check_config
from artaffect.outputs import CHECKSUMS as CHECKSUMS
from artaffect.runtime import file_digest, printable, to_json_text

FORMAT = 2
"""Raised when older versions can no longer read the folder, or this version older folders."""

CONFIG = "config.json"
SCORES = "metrics.json"
CARD = "README.md"
NEEDS = "What it needs"
"""The heading in the card of a thin folder under which it says which encoders it refers to."""
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
TRAINING_LOG = "metrics.jsonl"
FAMILIARITY = "familiarity.safetensors"
ADAPTERS = "adapters.safetensors"
SEEDS = "seeds.json"
"""In a folder of several model folders, which differ in nothing but the seed: what they have in common."""
GRAPHS = {"image": "image.onnx", "caption": "caption.onnx", "answer": "answer.onnx"}
"""Both encoders, and everything that follows them."""
FILES = (
    CONFIG,
    SCORES,
    CARD,
    WEIGHTS,
    TOKENIZER,
    TRAINING_LOG,
    FAMILIARITY,
    ADAPTERS,
    *GRAPHS.values(),
)
"""Every file that a model folder may list."""

Histories = Mapping[str, Sequence[Mapping[str, float]]]
"""For each training by name, one entry per epoch: ``epoch``, ``loss``, its terms, and scores."""

_NEEDED = (CONFIG, SCORES, CARD)
_MIB = 2**20
_LIMITS = {CHECKSUMS: 2**14, CONFIG: 4 * _MIB, TOKENIZER: 64 * _MIB, FAMILIARITY: 64 * _MIB}
"""Largest sizes of files that are read as a whole, in bytes; 16 MiB for the others."""
_LINE = re.compile("([0-9a-fA-F]{64})  ([^/]+)")
_LOADABLE = re.compile(r".*\.(safetensors|onnx)", re.IGNORECASE)


def holds_graphs(folder: Path) -> bool:
    """Whether a model folder was exported to ONNX, as its checksum file says."""
    return GRAPHS["answer"] in listed_files(folder)


def write_histories(histories: Histories, folder: Path) -> None:
    """Write the training log: one line of JSON per training and epoch."""
    with (folder / TRAINING_LOG).open("w", encoding="utf-8") as file:
        for name, history in histories.items():
            file.writelines(
                to_json_text({"training": name, **e}, indent=None) + "\n" for e in history
            )


def read_histories(folder: Path) -> dict[str, list[dict[str, float]]]:
    """Read what :func:`write_histories` wrote; empty for a folder without a training log.

    Raises:
        ModelFolderError: a line is not the JSON of an epoch.
    """
    if not (folder / TRAINING_LOG).is_file():
        return {}
    histories: dict[str, list[dict[str, float]]] = {}
    lines = read_bytes(folder, TRAINING_LOG).splitlines()
    for number, line in enumerate(lines, 1):
        epoch = _parse(folder / TRAINING_LOG, line, f", line {number}")
        if not isinstance(name := epoch.pop("training", None), str):
            raise ModelFolderError(f"{folder / TRAINING_LOG}, line {number}: names no training")
        histories.setdefault(name, []).append(epoch)
    return histories


def write_checksums(folder: Path) -> None:
    """Write the digests of the folder's files, once all of them are written."""
    names = sorted(n for n in FILES if n in _NEEDED or (folder / n).is_file())
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / CHECKSUMS).write_text("".join(lines), "utf-8")


def listed_files(folder: Path) -> dict[str, str]:
    """The files that belong to a model folder by name, each with its SHA-256 in hexadecimal.

    Raises:
        ModelFolderError: there is no checksum file, or it lists something else.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: no such model folder; `artaffect train` makes one")
    path = folder / CHECKSUMS
    if not path.is_file() and (folder / SEEDS).is_file():
        first = seed_folders(folder)[0]
        raise ModelFolderError(
            f"{folder} holds the runs of several seeds, not one model: name one of them, such as {first}"
        )
    if not path.is_file():
        raise ModelFolderError(f"{folder} is not a model folder: it has no {CHECKSUMS}")
    listed: dict[str, str] = {}
    text = decoded(path, read_bytes(folder, CHECKSUMS))
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] not in FILES:
            raise ModelFolderError(
                f"{path}, line {number}: expected 64 hexadecimal digits, two blanks and one of "
                f"{', '.join(FILES)}, got {printable(line[:100])!r}"
            )
        if match[2] in listed:
            raise ModelFolderError(f"{path}, line {number}: {match[2]} is listed twice")
        listed[match[2]] = match[1].lower()
    _check_engine(folder, listed)
    return listed


def _check_engine(folder: Path, listed: Mapping[str, str]) -> None:
    graphs = [name for name in GRAPHS.values() if name in listed]
    if graphs and WEIGHTS in listed:
        raise ModelFolderError(
            f"{folder / CHECKSUMS} lists both {WEIGHTS} and {graphs[0]}: expected weights or graphs"
        )
    for name in (*_NEEDED, GRAPHS["answer"] if graphs else WEIGHTS):
        if name not in listed:
            raise ModelFolderError(f"{folder} is incomplete: {name} is missing in {CHECKSUMS}")


def check_folder(folder: Path) -> dict[str, str]:
    """Compare every file with its checksum, and return :func:`listed_files`.

    Raises:
        ModelFolderError: names the first file that is missing, altered or not listed.
    """
    listed = listed_files(folder)
    for name in sorted(os.listdir(folder)):
        if name not in listed and (name in FILES or _LOADABLE.fullmatch(name)):
            raise ModelFolderError(
                f"{folder}: {printable(name)} is not listed in {CHECKSUMS}, so it does not belong to "
                "this model: remove it, or copy the folder again"
            )
    for name, digest in sorted(listed.items()):
        if file_digest(listed_path(folder, name)) != digest:
            raise _altered(folder, name)
    return listed


def listed_path(folder: Path, name: str) -> Path:
    """Where the content of one of ``FILES`` lies: in the folder, or in its snapshot's ``blobs``.

    The cache of the Hugging Face hub holds snapshots of links into a folder ``blobs``, either that of
    the model or one that all models share.

    Raises:
        ModelFolderError: it is missing, not a file, or a link that leads elsewhere.
    """
    root = Path(os.path.realpath(folder))
    path = Path(os.path.realpath(root / name))
    places = [root]
    if root.parent.name == "snapshots":
        model = root.parent.parent
        places += [model / "blobs", model.parent / "blobs"]
    if path.parent != root and not any(path.is_relative_to(place) for place in places[1:]):
        raise ModelFolderError(
            f"{folder}: {name} is a link that leads out of the folder: put the file itself there"
        )
    if not path.is_file():
        raise ModelFolderError(f"{folder} is incomplete: {name} is missing")
    return path


def read_bytes(folder: Path, name: str, digest: str | None = None) -> bytes:
    """The content of one of ``FILES``, which is not read beyond its limit.

    Args:
        digest: what its SHA-256 must be.

    Raises:
        ModelFolderError: it is missing, too large, altered, or cannot be read.
    """
    limit = _LIMITS.get(name, 16 * _MIB)
    path = listed_path(folder, name)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelFolderError(f"{folder / name} cannot be read: {error.strerror}") from None
    if len(content) > limit:
        raise ModelFolderError(f"{folder / name} is larger than the allowed {limit:,} bytes")
    if digest is not None and hashlib.sha256(content).hexdigest() != digest:
        raise _altered(folder, name)
    return content


def decoded(path: Path, content: bytes) -> str:
    """The text of a file; raises ModelFolderError if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelFolderError(f"{path} is not UTF-8 text: {error.reason}") from None


def read_json(folder: Path, name: str, digest: str | None = None) -> dict[str, Any]:
    """The JSON object in one of ``FILES``; see :func:`read_bytes`."""
    return _parse(folder / name, read_bytes(folder, name, digest))


def seed_folders(run: Path) -> list[Path]:
    """The model folders of a run: one for each seed, or the run itself, which is a model folder.

    Raises:
        ModelFolderError: the list of seeds is damaged, or a seed has not been trained to the end.
    """
    if (run / CHECKSUMS).is_file() or not (run / SEEDS).is_file():
        return [run]
    seeds = read_seeds(run)["seeds"]
    folders = [run / seed_name(seed) for seed in seeds]
    if missing := [folder.name for folder in folders if not (folder / CHECKSUMS).is_file()]:
        raise ModelFolderError(
            f"{run} is incomplete: {', '.join(missing)} is missing; repeat the training of all "
            f"{len(folders)} seeds, which keeps those that are finished"
        )
    return folders


def read_seeds(run: Path) -> dict[str, Any]:
    """What the runs of a folder of seeds have in common: ``seeds``, ``recipe`` and ``data``.

    Raises:
        ModelFolderError: the file is damaged.
    """
    path = run / SEEDS
    content = _parse(path, read_bytes(run, SEEDS))
    seeds, settings = content.get("seeds"), content.get("recipe")
    if not isinstance(seeds, list) or not seeds or {type(seed) for seed in seeds} != {int}:
        raise ModelFolderError(f"{path}: expected a list of whole numbers under 'seeds'")
    if not isinstance(settings, dict) or not isinstance(content.get("data"), str):
        raise ModelFolderError(
            f"{path}: expected settings under 'recipe' and a digest under 'data'"
        )
    return content


def seed_name(seed: int) -> str:
    """The name of the model folder of one seed."""
    return f"seed-{seed}"


def read_scores(folder: Path) -> dict[str, Any]:
    """The content of ``metrics.json``: the scores on the validation split."""
    return read_json(folder, SCORES, listed_files(folder)[SCORES])


def _parse(path: Path, content: bytes, place: str = "") -> dict[str, Any]:
    """A JSON object; the parser bounds numbers and nesting, and all that it raises is a ValueError."""
    try:
        value = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise ModelFolderError(f"{path}{place} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise ModelFolderError(f"{path}{place}: expected a JSON object, got {type(value).__name__}")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a model folder; ``synthetic`` says whether it learned from synthetic data.

    Raises:
        ModelFolderError: it is missing, altered, of another version, or does not describe a model.
    """
    path = folder / CONFIG
    config = read_json(folder, CONFIG, listed_files(folder)[CONFIG])
    if config.get("format") != FORMAT:
        raise ModelFolderError(
            f"{folder} has format {printable(repr(config.get('format'))[:40])}; this version reads "
            f"format {FORMAT}: train it again"
        )
    if config.get("emotions") == list(ARTEMIS):  # so older versions name the default label set
        del config["emotions"]
        config.setdefault("labels", ARTEMIS.to_json())
    check_config(config, path)
    data = config.get("data")  # folders of older versions say it only there
    config.setdefault("synthetic", isinstance(data, dict) and bool(data.get("synthetic")))
    absent: dict[str, Any] = {
        "encoders": {},
        "references": {},
        "recipe": {},
        "data": {},
        "training_priors": None,
        "outside": None,
        "conformal": None,
        "caveat": "",
        "trained": "",
    }
    return {**absent, **config}


def _altered(folder: Path, name: str) -> ModelFolderError:
    return ModelFolderError(
        f"{folder}: {name} is not the file that was saved (its SHA-256 differs from {CHECKSUMS}); "
        "copy the folder again, or train again"
    )
