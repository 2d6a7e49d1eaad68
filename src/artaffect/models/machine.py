"""What torch raises where the machine fails, as one error that says what to do."""

import contextlib
from collections.abc import Callable, Iterator

import torch

from artaffect.errors import ResourceError


@contextlib.contextmanager
def machine_errors(work: Callable[[], str], remedy: str) -> Iterator[None]:
    """Raise what torch reports of the machine in the block as ResourceError.

    All of torch's errors are RuntimeErrors; those that a mistake in the code causes stay as they are.

    Args:
        work: says what the machine was doing, for the message.
        remedy: what to do if there is too little memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # of a CPU's lack of memory, and of a worker's end, only the message tells
        reason = str(error).strip().partition("\n")[0]
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in reason:
            raise ResourceError(f"too little memory for {work()}: {remedy}") from None
        if "DataLoader worker" in reason:
            raise ResourceError(
                f"a process that reads images ended during {work()}, perhaps for lack of memory: "
                "lower image.workers, or set it to 0"
            ) from None
        if reason.startswith(("CUDA error", "cuDNN error")):
            raise ResourceError(f"the GPU failed during {work()}: {reason}") from None
        raise
