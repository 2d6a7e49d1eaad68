"""The checkpoint of an unfinished training, and the weights that it holds."""

import contextlib
import logging
import pickle
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from artaffect.errors import ConfigError

_logger = logging.getLogger(__name__)

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, pickle.PickleError, EOFError),
    *(RuntimeError, LookupError, ValueError, TypeError, AttributeError),
)
"""What zip, pickle and torch raise of a damaged file; they share no base but Exception."""


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """A checkpoint; one that is damaged is renamed to ``checkpoint.damaged``, and None."""
    try:
        with zipfile.ZipFile(path) as file:
            if damaged := file.testzip():  # torch does not notice a changed byte
                raise zipfile.BadZipFile(f"{damaged} differs from its checksum")
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: state[name] for name in ("settings", "progress", "task", *state)}
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0]
    with contextlib.suppress(FileNotFoundError):  # another process was faster
        path.rename(path.with_suffix(".damaged"))
    _logger.warning(
        f"{path} is damaged ({reason}): set aside as checkpoint.damaged; the training starts again"
    )
    return None


def trained_weights(task: nn.Module) -> dict[str, Tensor]:
    """What training changes: weights that are not frozen, and buffers."""
    frozen = {name for name, weight in task.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in task.state_dict().items() if name not in frozen}


def restore_weights(task: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Restore what :func:`trained_weights` returned."""
    own = {name: value.shape for name, value in trained_weights(task).items()}
    if own != {name: value.shape for name, value in weights.items()}:
        raise ConfigError("a checkpoint does not fit the model: delete it to start again")
    task.load_state_dict(dict(weights), strict=False)
