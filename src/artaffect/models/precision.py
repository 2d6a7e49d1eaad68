"""The number format in which encoders compute: bfloat16 where the processor has it, else float32."""

import contextlib
import os
from functools import cache
from pathlib import Path

import torch

PRECISIONS = ("float32", "bfloat16", "auto")

_CPU_FLAGS = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512-BF16"}
"""The flags of Linux that name arithmetic in bfloat16, and its names for people."""
_ONEDNN_LIMITS = (
    "AVX512_CORE_BF16",
    "AVX512_CORE_FP16",
    "AVX512_CORE_AMX",
    "AVX10_",
    "ALL",
    "DEFAULT",
)
"""Beginnings of the values of ``ONEDNN_MAX_CPU_ISA`` that leave bfloat16 in use."""


def device() -> torch.device:
    """Where encoders compute: on the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def native_bfloat16() -> str | None:
    """What computes in bfloat16 on :func:`device`, in words; None where it would only be emulated."""
    if device().type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.cuda.get_device_name() if supported else None
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "DEFAULT").upper()
    return cpu_bfloat16(_cpu_flags()) if limit.startswith(_ONEDNN_LIMITS) else None


def cpu_bfloat16(flags: frozenset[str]) -> str | None:
    """The instructions for bfloat16 among a processor's flags, as Linux names them, in words."""
    return next((name for flag, name in _CPU_FLAGS.items() if flag in flags), None)


def resolve(precision: str) -> str:
    """``float32`` or ``bfloat16`` for one of ``PRECISIONS``, on this machine."""
    if precision != "auto":
        return precision
    return "bfloat16" if native_bfloat16() else "float32"


def describe(precision: str) -> str:
    """One of ``PRECISIONS`` as this machine computes it, in words for a log."""
    resolved = resolve(precision)
    if resolved == "float32":
        return "float32"
    return f"bfloat16 ({native_bfloat16() or 'emulated: slower than float32 on this machine'})"


def computing(precision: str) -> contextlib.AbstractContextManager[object]:
    """A context in which matrix products and convolutions compute in a precision.

    Normalisation, softmax and what is accumulated stay in float32.
    """
    if resolve(precision) == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device().type, torch.bfloat16)


def _cpu_flags() -> frozenset[str]:
    """The processor's flags, empty where the system does not list them."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    flags = next((value for name, _, value in lines if name.strip() == "flags"), "")
    return frozenset(flags.split())
