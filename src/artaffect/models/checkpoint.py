"""Write a model into its folder, and read it back."""

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
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import (
    FORMAT,
    TOKENIZER,
    WEIGHTS,
    check_folder,
    holds_graphs,
    read_config,
)
from artaffect.models.fusion import build_fusion
from artaffect.models.heads import EmotionClassifier, EmotionHead
from artaffect.models.image_encoders import build_image_encoder
from artaffect.models.text_encoders import build_text_encoder
from artaffect.models.weights import load_weights


def save_model(model: EmotionModel, folder: Path, more: Mapping[str, Any]) -> None:
    """Write weights, configuration and tokenizer into ``folder``.

    Args:
        more: further plain JSON for the configuration, such as the training settings.
    """
    weights = {name: _smallest(value) for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    if model.caption is not None:
        model.caption.encoder.tokenizer.save(str(folder / TOKENIZER), pretty=False)
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


def load_model(folder: Path) -> EmotionModel:
    """Open a model folder, in evaluation mode.

    Raises:
        ModelFolderError: a file is missing, altered or of another version.
    """
    check_folder(folder)
    if holds_graphs(folder):
        raise ModelFolderError(
            f"{folder} holds ONNX graphs, no weights: this needs the folder that it was exported from"
        )
    config = read_config(folder)
    try:
        model = _build(config, folder)
        weights = load_file(folder / WEIGHTS)
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
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        reader = build_text_encoder(config["caption"]["encoder"], tokenizer)
        caption = EmotionClassifier(reader, EmotionHead(**config["caption"]["head"]))
    fusion = build_fusion(config["fusion"]) if config["fusion"] else None
    return EmotionModel(image, caption, fusion, config["cultures"], config["languages"])


def _smallest(value: Tensor) -> Tensor:
    """Half precision where that loses nothing, as for weights that were made from few bits."""
    value = value.detach().contiguous().clone()
    if value.dtype == torch.float32 and torch.equal(value.half().float(), value):
        return value.half()
    return value


def _widest(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float16 else value
