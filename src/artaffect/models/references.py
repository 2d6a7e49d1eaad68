"""Encoders to which a thin model folder refers instead of holding them.

A reference is the name of an encoder and a digest. The name is a registered one, ``hf:OWNER/MODEL``, or
``folder:NAME``: a folder inside the one that the variable ``ARTAFFECT_ENCODERS`` names. A model folder
may come from a stranger, so a reference holds no path: it never chooses which files of this machine are
opened, and the weights that it leads to are in the format safetensors.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artaffect.data.tokens import read_tokenizer
from artaffect.errors import (
    ConfigError,
    EncoderUnavailableError,
    ModelFolderError,
    UnknownNameError,
)
from artaffect.models import hub
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import (
    IMAGE_ENCODERS,
    ImageEncoderSpec,
    create_image_encoder,
)
from artaffect.models.saved_config import FOLDER_PREFIX, is_reference
from artaffect.models.text_encoders import (
    TEXT_ENCODERS,
    TextEncoder,
    TextEncoderSpec,
    create_text_encoder,
)
from artaffect.models.weights import fingerprint

FOLDER_VARIABLE = "ARTAFFECT_ENCODERS"
"""The environment variable that names the folder of the encoder folders to which models may refer."""

_SENTENCES = (
    "Waves tower over a small boat, under a black sky!",
    "تعلو الأمواج فوق قارب صغير.",
    "黑色的天空下,巨浪高过一条小船。",
)
"""Captions whose tokens belong to the digest of a text encoder."""


def reference_name(modality: str, encoder: str) -> str:
    """How a model folder refers to an encoder that a recipe names.

    Raises:
        ConfigError: it cannot be referred to.
    """
    if encoder in _registry(modality):
        return encoder
    path = Path(encoder)
    if not path.is_dir():
        if encoder.startswith(hub.HUB_PREFIX) and is_reference(encoder):
            return encoder
        raise ConfigError(
            f"save = 'thin' cannot refer to {modality}.encoder = {encoder!r}: expected a registered name, "
            "hf:OWNER/MODEL or a folder"
        )
    name, root = path.resolve().name, os.environ.get(FOLDER_VARIABLE)
    place = Path(root) / name if root else None
    if place is None or not place.is_dir() or not place.samefile(path):
        raise ConfigError(
            f"save = 'thin' refers to a folder by its name alone: put {encoder} into one folder with your "
            f"other encoders, set the variable {FOLDER_VARIABLE} to that folder, or leave save out"
        )
    if not is_reference(FOLDER_PREFIX + name):
        raise ConfigError(
            f"save = 'thin' cannot refer to the folder {name}: expected a name of at most 100 ASCII letters, "
            "digits, dots, hyphens and underscores"
        )
    return FOLDER_PREFIX + name


def reference_digest(encoder: ImageEncoder | TextEncoder) -> str:
    """The SHA-256 of an encoder's weights, and of a text encoder's tokens for a few captions."""
    if isinstance(encoder, ImageEncoder):
        return fingerprint(encoder)
    tokens = encoder.tokenizer.encode_batch(list(_SENTENCES))
    return fingerprint(encoder, [encoding.ids for encoding in tokens])


def reference_to(modality: str, name: str, encoder: ImageEncoder | TextEncoder) -> dict[str, Any]:
    """What a folder says of an encoder to which it refers by a name, as plain JSON."""
    adapters = encoder.adapters
    if adapters is None:
        return {"name": name, "digest": reference_digest(encoder)}
    digest = _published_digest(modality, name)
    if digest is None:
        digest = reference_digest(
            _create(modality, _source(modality, name))
        )  # before the adaptation
    return {
        "name": name,
        "digest": digest,
        "lora": {"rank": adapters.rank, "alpha": adapters.alpha},
    }


def load_reference(modality: str, reference: Mapping[str, Any]) -> ImageEncoder | TextEncoder:
    """The encoder to which a checked configuration refers.

    Raises:
        EncoderUnavailableError: it is not available on this machine, or not in the format safetensors.
        ModelFolderError: it is not the encoder with which the model was trained.
    """
    name = reference["name"]
    source, files = _source(modality, name), _files(modality, name)
    if files is not None:
        hub.check_safetensors(files)
    encoder = _create(modality, source)
    if isinstance(encoder, TextEncoder) and files is not None:
        # who wrote the model folder may have written these files, too
        read_tokenizer(encoder.tokenizer.to_str().encode(), f"the tokenizer of {name}")
    digest = _published_digest(modality, name) or reference_digest(encoder)
    if digest != reference["digest"]:
        raise ModelFolderError(
            f"the {modality} encoder {name} is not the one with which this model was trained: its digest "
            f"is {digest[:12]}…, expected {reference['digest'][:12]}…"
        )
    return encoder


def need_of(modality: str, name: str) -> str:
    """What a machine needs to have the encoder of this name, in words."""
    if name.startswith(FOLDER_PREFIX):
        folder = name.removeprefix(FOLDER_PREFIX)
        return f"the folder {folder} inside the folder that the variable {FOLDER_VARIABLE} names"
    files = _files(modality, name)
    return f"{name}, which comes with artaffect" if files is None else f"{files} from the hub"


def _create(modality: str, source: str) -> ImageEncoder | TextEncoder:
    return create_image_encoder(source) if modality == "image" else create_text_encoder(source)


def _published_digest(modality: str, name: str) -> str | None:
    """The digest of a packaged encoder, whose file was compared with the published one when it was read."""
    spec = _registry(modality).get(name)
    return spec.digest if isinstance(spec, TextEncoderSpec) else None


def _source(modality: str, name: str) -> str:
    """The name by which the encoder is created; a folder is looked for where the user keeps encoders."""
    if name in _registry(modality) or name.startswith(hub.HUB_PREFIX):
        return name
    if not name.startswith(FOLDER_PREFIX):
        raise UnknownNameError(f"{modality} encoder", name, _registry(modality))
    root, folder = os.environ.get(FOLDER_VARIABLE), name.removeprefix(FOLDER_PREFIX)
    if not root or not (path := Path(root) / folder).is_dir():
        raise EncoderUnavailableError(
            f"this model refers to its {modality} encoder, the folder {folder}: put it into a folder, and "
            f"set the variable {FOLDER_VARIABLE} to that folder"
        )
    return str(path)


def _files(modality: str, name: str) -> str | None:
    """The model on the hub, or the folder, that holds an encoder; None if it comes with artaffect."""
    spec = _registry(modality).get(name)
    if spec is None:
        return hub.encoder_files(_source(modality, name))
    if spec.offline:
        return None
    return spec.source if isinstance(spec, ImageEncoderSpec) else spec.hub_name


def _registry(modality: str) -> Mapping[str, ImageEncoderSpec | TextEncoderSpec]:
    return IMAGE_ENCODERS if modality == "image" else TEXT_ENCODERS
