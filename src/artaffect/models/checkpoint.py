"""Save a model to its folder, and load it."""

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
    """Write weights, tokenizer and configuration, with ``more`` plain JSON, to ``folder``."""
    weights = {name: _compact(value) for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    if model.caption is not None:
        model.caption.encoder.tokenizer.save(str(folder / TOKENIZER), pretty=False)
    sources = {"image": model.image, "caption": model.caption}
    config = {
        "format": FORMAT,
        "emotions": list(map(str, EMOTIONS)),
        "cultures": list(model.cultures),
        "languages": list(model.languages),
        **{
            name: source and {"encoder": source.encoder.settings(), "head": source.head.settings}
            for name, source in sources.items()
        },
        "fusion": model.fusion and model.fusion.settings(),
        **more,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    (folder / "config.json").write_text(text, "utf-8")


def load_model(folder: Path) -> EmotionModel:
    """Load a model folder, in evaluation mode.

    Raises:
        ModelFolderError: a file is missing, altered or of another version.
    """
    check_folder(folder)
    if holds_graphs(folder):
        raise ModelFolderError(
            f"{folder} holds ONNX graphs without weights; use the folder that it was exported from"
        )
    config = read_config(folder)
    try:
        model = _build(config, folder)
        weights = load_file(folder / WEIGHTS)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise ModelFolderError(
            f"{folder}: config.json does not describe a model: {error!r}"
        ) from None
    # half precision is for storage only
    wide = {n: w.float() if w.dtype == torch.float16 else w for n, w in weights.items()}
    load_weights(model, wide, str(folder))
    return model.eval()


def _build(config: Mapping[str, Any], folder: Path) -> EmotionModel:
    """The model that a configuration describes, without weights."""
    image = caption = None
    if config["image"]:
        image_encoder = build_image_encoder(config["image"]["encoder"])
        image = EmotionClassifier(image_encoder, EmotionHead(**config["image"]["head"]))
    if config["caption"]:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        text_encoder = build_text_encoder(config["caption"]["encoder"], tokenizer)
        caption = EmotionClassifier(text_encoder, EmotionHead(**config["caption"]["head"]))
    fusion = build_fusion(config["fusion"]) if config["fusion"] else None
    return EmotionModel(image, caption, fusion, config["cultures"], config["languages"])


def _compact(value: Tensor) -> Tensor:
    """In half precision if that loses nothing, as for weights that were published in few bits."""
    value = value.detach().contiguous().clone()
    if value.dtype == torch.float32 and torch.equal(value.half().float(), value):
        return value.half()
    return value
