"""Find tensors on the wrong device without a GPU.

A module and its inputs go to torch's ``meta`` device, which computes shapes only, as they would go to a
GPU. A tensor that the code creates on the CPU then meets one of the ``meta`` device, which is an error
here, as it would be on a GPU.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_MOVES = ("aten._to_copy", "aten.copy_", "aten.lift_fresh")
"""Operations that may take tensors of two devices."""


class DeviceError(AssertionError):
    """An operation got tensors of two devices."""


class OneDevice(TorchDispatchMode):
    """Raise for each operation on tensors of two devices; a scalar on the CPU may meet any tensor."""

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        leaves = tree_leaves((args, kwargs or {}))
        devices = {x.device.type for x in leaves if isinstance(x, Tensor) and x.dim() > 0}
        if len(devices) > 1 and not str(function).startswith(_MOVES):
            raise DeviceError(f"{function} got tensors on {' and '.join(sorted(devices))}")
        if function is torch.ops.aten._local_scalar_dense.default and args[0].dtype == torch.bool:
            return False  # a branch that depends on values, of which there are none
        return function(*args, **(kwargs or {}))


def to_meta(inputs: Any) -> Any:
    """Move every tensor of a structure to the ``meta`` device."""
    return tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, inputs)


def run_on_one_device(module: nn.Module, *inputs: Any, train: bool = True, call: Any = None) -> Any:
    """Call a module, or ``call``, with everything on the ``meta`` device."""
    module = module.to("meta").train(train)
    moved = to_meta(inputs)
    with OneDevice():
        return (call or module)(*moved)
