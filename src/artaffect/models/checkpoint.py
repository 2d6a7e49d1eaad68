"""The model folder: it explains itself, holds all it needs, and tells when it was touched.

``model.safetensors`` (weights), ``config.json`` (architecture, preprocessing, labels, cultures,
training settings), ``tokenizer.json`` where captions are read, ``metrics.json``, ``README.md`` (the
model card), and ``SHA256SUMS`` over all of these, in the form that ``sha256sum -c`` reads. Nothing is
pickled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from artaffect.errors import ModelFolderError
from artaffect.labels import EMOTIONS
from artaffect.models.classifier import EmotionClassifier, EmotionHead
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.fusion import build_fusion
from artaffect.models.image_encoders import build_image_encoder
from artaffect.models.text_encoders import build_text_encoder
from artaffect.models.weights import load_weights
from artaffect.runtime import file_digest

FORMAT = 1
"""Raised when older versions could not read the folder."""

SUMS = "SHA256SUMS"
_NEEDED = ("model.safetensors", "config.json", "metrics.json", "README.md")
_TOKENIZER = "tokenizer.json"


def save_model(model: EmotionModel, folder: Path, more: Mapping[str, Any]) -> None:
    """Write weights, configuration and tokenizer into ``folder``.

    Args:
        more: further plain JSON for the configuration, such as the training settings.
    """
    weights = {name: _smallest(value) for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if model.caption is not None:
        model.caption.encoder.tokenizer.save(str(folder / _TOKENIZER), pretty=False)
    branches = {"image": model.image, "caption": model.caption}
    config = {
        "format": FORMAT,
        "emotions": list(map(str, EMOTIONS)),
        "cultures": list(model.cultures),
        "languages": list(model.languages),
        **{
            name: branch and {"encoder": branch.encoder.settings(), "head": branch.head.settings}
            for name, branch in branches.items()
        },
        "fusion": model.fusion and model.fusion.settings(),
        **more,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False, default=str)
    (folder / "config.json").write_text(text, "utf-8")


def seal(folder: Path) -> None:
    """Write the digests of the folder's files, once all of them are there."""
    names = sorted((*_NEEDED, *([_TOKENIZER] if (folder / _TOKENIZER).is_file() else [])))
    lines = [f"{file_digest(folder / name)}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(lines), "utf-8")


def load_model(folder: Path) -> EmotionModel:
    """Open a model folder, in evaluation mode.

    Raises:
        ModelFolderError: a file is missing, altered or of another version.
    """
    check_folder(folder)
    config = read_config(folder)
    try:
        model = _build(config, folder)
        weights = load_file(folder / "model.safetensors")
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ModelFolderError(
            f"{folder}: config.json does not describe a model: {error!r}"
        ) from None
    load_weights(model, {n: _widest(w) for n, w in weights.items()}, str(folder))
    return model.eval()


def _build(config: Mapping[str, Any], folder: Path) -> EmotionModel:
    """The model that a configuration describes, without weights."""
    image = caption = None
    if config["image"]:
        encoder = build_image_encoder(config["image"]["encoder"])
        image = EmotionClassifier(encoder, EmotionHead(**config["image"]["head"]))
    if config["caption"]:
        tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        reader = build_text_encoder(config["caption"]["encoder"], tokenizer)
        caption = EmotionClassifier(reader, EmotionHead(**config["caption"]["head"]))
    fusion = build_fusion(config["fusion"]) if config["fusion"] else None
    return EmotionModel(image, caption, fusion, config["cultures"], config["languages"])


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
        lines = (folder / SUMS).read_text("utf-8").splitlines()
    except OSError:
        raise ModelFolderError(f"{folder} is no model folder: it has no {SUMS}") from None
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in sorted({*_NEEDED, *sums}):
        if name not in sums or not (folder / name).is_file():
            raise ModelFolderError(f"{folder} is incomplete: {name} is missing")
        if file_digest(folder / name) != sums[name]:
            raise ModelFolderError(
                f"{folder}: {name} is not the file that was saved (its SHA-256 differs from {SUMS}); "
                "copy the folder again, or train anew"
            )


def _smallest(value: Tensor) -> Tensor:
    """Half precision where that loses nothing, as for weights that were made from few bits."""
    value = value.detach().contiguous().clone()
    if value.dtype == torch.float32 and torch.equal(value.half().float(), value):
        return value.half()
    return value


def _widest(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value
