"""Save a model to its folder, and load it."""

import contextlib
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from artaffect.data.tokens import read_tokenizer
from artaffect.errors import ArtAffectError, ModelFolderError
from artaffect.labels import LabelSet
from artaffect.metrics.conformal import ConformalScores
from artaffect.models.bert import Table
from artaffect.models.emotion_model import SOURCES, EmotionModel
from artaffect.models.folder import (
    ADAPTERS,
    CONFIG,
    FORMAT,
    TOKENIZER,
    WEIGHTS,
    check_folder,
    listed_files,
    listed_path,
    read_bytes,
    read_config,
)
from artaffect.models.fusion import build_fusion
from artaffect.models.heads import EmotionClassifier
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import build_image_encoder
from artaffect.models.initial import build_head
from artaffect.models.lora import Adapters, merged
from artaffect.models.references import load_reference, reference_to
from artaffect.models.saved_config import check_config
from artaffect.models.text_encoders import TextEncoder, build_text_encoder
from artaffect.models.weights import check_header, is_stored, load_weights, read_weights
from artaffect.runtime import printable


def save_model(
    model: EmotionModel,
    folder: Path,
    more: Mapping[str, Any],
    references: Mapping[str, str] | None = None,
) -> None:
    """Write weights, tokenizer and configuration, with ``more`` plain JSON, to ``folder``.

    Args:
        references: the sources whose encoders the folder refers to instead of holding them, each with
            the name of its encoder, see :func:`reference_name`.
    """
    sources = {"image": model.image, "caption": model.caption}
    names = references or {}
    elsewhere = tuple(_prefix(source) for source in names)
    weights = {
        name: _compact(value)
        for name, value in model.state_dict().items()
        if not name.startswith(elsewhere)
    }
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    adapters = {
        _prefix(name) + part: weight.contiguous()
        for name, source in sources.items()
        if name in names and source is not None and source.encoder.adapters is not None
        for part, weight in source.encoder.adapters.weights.items()
    }
    if adapters:
        save_file(adapters, folder / ADAPTERS, metadata={"format": "pt"})
    if model.caption is not None and "caption" not in names:
        save_tokenizer(model.caption.encoder, folder)
    config = {
        "format": FORMAT,
        "labels": model.labels.to_json(),
        "cultures": list(model.cultures),
        "languages": list(model.languages),
        **{
            name: source and {"encoder": source.encoder.settings(), "head": source.head.settings}
            for name, source in sources.items()
        },
        "fusion": model.fusion and model.fusion.settings(),
        "outside": model.outside and model.outside.settings(),
        "conformal": model.conformal and model.conformal.to_json(),
        "references": {
            name: reference_to(name, reference, source.encoder)
            for name, source in sources.items()
            if source is not None and (reference := names.get(name))
        },
        **more,
    }
    check_config(config, folder / CONFIG)
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    (folder / CONFIG).write_text(text, "utf-8")


def save_tokenizer(encoder: TextEncoder, folder: Path) -> None:
    """Write the tokenizer of a model folder."""
    encoder.tokenizer.save(str(folder / TOKENIZER), pretty=False)


def load_model(folder: Path, mapped: bool = False) -> EmotionModel:
    """Load a model folder, in evaluation mode.

    The folder may come from a stranger: what its configuration describes is first built without
    memory, and compared with the stored weights. A table of token embeddings that is stored in half
    precision stays so; ``model.float()`` makes it trainable.

    Args:
        mapped: leave tables of token embeddings in their file, of which a prediction reads a few rows;
            the file must not change while the model is in use.

    Raises:
        ModelFolderError: a file is missing, altered or of another version, or does not fit the others;
            or an encoder to which it refers is not available, or is another one.
    """
    listed = check_folder(folder)
    if WEIGHTS not in listed:
        raise ModelFolderError(
            f"{folder} holds ONNX graphs without weights; use the folder that it was exported from"
        )
    config = read_config(folder)
    path = listed_path(folder, WEIGHTS)
    with _folder_errors(f"{folder / CONFIG} does not describe a model"), torch.device("meta"):
        sketch = _build(config, None)
        if sketch.image is not None:
            sketch.image.encoder.check_size()
    with _folder_errors(f"{folder} refers to an encoder that cannot be used"):
        encoders = {name: load_reference(name, it) for name, it in config["references"].items()}
        adapters = _adapters(folder, config["references"])
        elsewhere = _weights_elsewhere(encoders, adapters)
    with _folder_errors(f"{folder / WEIGHTS}"):
        check_header(sketch, path, elsewhere)
    tokenizer = None
    if isinstance(referred := encoders.get("caption"), TextEncoder):
        tokenizer = referred.tokenizer
    elif sketch.caption is not None:
        if TOKENIZER not in listed:
            raise ModelFolderError(f"{folder} is incomplete: {TOKENIZER} is not listed")
        content = read_bytes(folder, TOKENIZER, listed[TOKENIZER])
        tokenizer = read_tokenizer(content, str(folder / TOKENIZER))
    with _folder_errors(f"{folder} cannot be loaded"):
        # random weights, which are then replaced, are worth their time only to a network that also
        # computes tensors for itself
        complete = is_stored(sketch)
        model = sketch if complete else _build(config, None)
        if model.caption is not None:
            model.caption.encoder.tokenizer = tokenizer
        tables = {f"{n}.weight" for n, part in model.named_modules() if isinstance(part, Table)}
        stored = chain(read_weights(path, tables if mapped else ()), elsewhere.items())
        load_weights(model, _widen(stored, tables), str(folder), assign=complete)
        if config["conformal"]:
            model.conformal = ConformalScores.from_json(config["conformal"])
        for source, own in adapters.items():
            getattr(model, source).encoder.adapters = own
        _check_work(model.eval())
    return model


def _adapters(folder: Path, references: Mapping[str, Any]) -> dict[str, Adapters]:
    """The adapters of the encoders to which a folder refers, where it has some."""
    loras = {source: about["lora"] for source, about in references.items() if about.get("lora")}
    if (ADAPTERS in listed_files(folder)) != bool(loras):
        raise ModelFolderError(f"expected {ADAPTERS} if, and only if, {CONFIG} speaks of lora")
    stored = dict(read_weights(listed_path(folder, ADAPTERS))) if loras else {}
    adapters = {}
    for source, lora in loras.items():
        prefix = _prefix(source)
        names = [name for name in stored if name.startswith(prefix)]
        parts = {name.removeprefix(prefix): stored.pop(name) for name in names}
        adapters[source] = Adapters(lora["rank"], lora["alpha"], parts)
    if stored:
        raise ModelFolderError(f"{ADAPTERS}: {next(iter(stored))} is unexpected")
    return adapters


def _weights_elsewhere(
    encoders: Mapping[str, ImageEncoder | TextEncoder], adapters: Mapping[str, Adapters]
) -> dict[str, Tensor]:
    """The weights of the encoders to which a folder refers, with its adapters merged in."""
    weights: dict[str, Tensor] = {}
    for source, encoder in encoders.items():
        own: Mapping[str, Tensor] = encoder.state_dict()
        if source in adapters:
            own = merged(own, adapters[source])
        weights |= {_prefix(source) + name: weight for name, weight in own.items()}
    return weights


def _prefix(source: str) -> str:
    """What the names of an encoder's weights begin with."""
    return f"{source}.encoder."


def _widen(weights: Iterable[tuple[str, Tensor]], tables: Container[str]) -> dict[str, Tensor]:
    """The weights, in half precision only the tables, whose rows are converted when they are used."""
    return {
        name: weight.float() if weight.dtype == torch.float16 and name not in tables else weight
        for name, weight in weights
    }


@contextlib.contextmanager
def _folder_errors(problem: str) -> Iterator[None]:
    """Raise whatever a library says of a stranger's files as one line.

    The libraries check little of what they build from, and share no base class but Exception.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as the docstring says
        reason = str(error) if isinstance(error, ArtAffectError) else repr(error)
        raise ModelFolderError(f"{problem}: {printable(reason[:500])}") from None


def _build(config: Mapping[str, Any], tokenizer: Tokenizer | None) -> EmotionModel:
    """The model that a configuration describes, without weights."""
    image = caption = None
    if config["image"]:
        image_encoder = build_image_encoder(config["image"]["encoder"])
        image = EmotionClassifier(image_encoder, build_head(config["image"]["head"]))
    if config["caption"]:
        text_encoder = build_text_encoder(config["caption"]["encoder"], tokenizer)
        caption = EmotionClassifier(text_encoder, build_head(config["caption"]["head"]))
    fusion = build_fusion(config["fusion"]) if config["fusion"] else None
    outside = build_fusion(config["outside"]) if config["outside"] else None
    labels = LabelSet.from_json(config["labels"])
    known = (config["cultures"], config["languages"], labels)
    return EmotionModel(image, caption, fusion, *known, outside)


def _check_work(model: EmotionModel) -> None:
    """Predict once: a configuration whose shapes fit may still not compute, and a weight be no number."""
    if model.caption is not None:
        encoder = model.caption.encoder
        tokens = torch.zeros(1, encoder.preprocessing.max_length, dtype=torch.int64)
        with torch.inference_mode():
            encoder(tokens, torch.ones_like(tokens))
        encoder.tokenize([""])
    if model.fusion is not None and model.fusion.sources != SOURCES:
        raise ModelFolderError(f"fusion: its sources must be {SOURCES}, got {model.fusion.sources}")
    if model.outside is not None:
        own = model.outside.sources[: len(model.modalities)]
        if not model.outside.takes_logits or own != model.modalities or not model.outside_names:
            raise ModelFolderError(f"outside: {model.outside.sources} are no sources of this model")
    temperatures = [model.temperature]
    temperatures += [model.outside_temperature] if model.outside is not None else []
    if not all((t.isfinite() & (t > 0)).all() for t in temperatures):
        raise ModelFolderError("the temperature must be above 0")
    image, caption = (
        torch.zeros(1, encoder.feature_dim if encoder else 0) for encoder in model.encoders
    )
    present = torch.tensor([[encoder is not None for encoder in model.encoders]])
    culture = torch.tensor([len(model.cultures)])
    outside = torch.full((1, len(model.outside_names), len(model.labels)), 1 / len(model.labels))
    model.answer_with_outside(image, caption, present, culture, outside)


def _compact(value: Tensor) -> Tensor:
    """In half precision if that loses nothing, as for weights that were published in few bits."""
    value = value.detach().contiguous().clone()
    if value.dtype == torch.float32 and torch.equal(value.half().float(), value):
        return value.half()
    return value
