"""Open an ONNX graph that may come from a stranger: self-contained, without loops, with known inputs."""

import contextlib
import functools
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.errors import ModelFolderError
from artaffect.runtime import printable

Arrays = Mapping[str, np.ndarray]
Signature = Mapping[str, tuple[str, int]]
"""The type and the number of axes of each input or output."""

INPUTS: Mapping[str, Signature] = {
    "image.onnx": {"pixels": ("float", 4)},
    "caption.onnx": {"ids": ("int64", 2), "mask": ("int64", 2)},
    "answer.onnx": {
        **{"image": ("float", 2), "caption": ("float", 2)},
        **{"present": ("bool", 2), "culture": ("int64", 1)},
    },
}
OUTPUTS: Mapping[str, Signature] = {
    "image.onnx": {"features": ("float", 2)},
    "caption.onnx": {"features": ("float", 2)},
    "answer.onnx": {"probabilities": ("double", 2), "shares": ("float", 2)},
}

_PROVIDERS = (
    *("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"),
    *("CoreMLExecutionProvider", "DmlExecutionProvider", "CPUExecutionProvider"),
)
"""None that calls a remote service, or runs compiled code from a graph."""

_GIB = 2**30
_MOST_MEMORY = 4 * _GIB

# the numbers of fields in onnx.proto, and of those that a graph from the exporter has
_MODEL, _GRAPH, _NODE = (
    {1, 2, 3, 4, 5, 6, 7, 8, 14},
    {1, 2, 5, 10, 11, 12, 13, 14, 16},
    range(1, 10),
)
_ATTRIBUTE, _TENSOR = {1, 2, 3, 4, 5, 7, 8, 9, 13, 20, 21}, {*range(1, 15), 16}


def open_graph(path: Path, threads: int) -> Any:
    """A session of ONNX Runtime; all that it raises is one line.

    Raises:
        ModelFolderError: the runtime is missing, or the file is not a graph of an exported model.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ModelFolderError(
            f"{path.parent} contains ONNX graphs, which need onnxruntime: pip install 'artaffect[onnx]'"
        ) from None
    with graph_errors(path):
        _check_content(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # what it reports is raised as well
        options.add_session_config_entry("session.load_model_format", "ONNX")
        options.add_session_config_entry("session.use_env_allocators", "1")
        _limit_memory()
        available = onnxruntime.get_available_providers()
        providers = [name for name in _PROVIDERS if name in available]
        session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    _check_signature(path, "input", session.get_inputs(), INPUTS[path.name])
    _check_signature(path, "output", session.get_outputs(), OUTPUTS[path.name])
    return session


@functools.cache
def _limit_memory() -> None:
    """Bound what all graphs of this process may take together: a graph is a program.

    The sizes of a graph's inner values may follow from numbers in it, so no check foresees them.
    """
    import onnxruntime as runtime

    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    kind = runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    place = runtime.OrtMemoryInfo("Cpu", kind, 0, runtime.OrtMemType.DEFAULT)
    settings = {"max_mem": max(_GIB, min(_MOST_MEMORY, half)), "arena_extend_strategy": -1}
    settings |= {"initial_chunk_size_bytes": -1, "max_dead_bytes_per_chunk": -1}
    runtime.create_and_register_allocator(place, runtime.OrtArenaCfg(settings))


def run_graph(path: Path, session: Any, inputs: Arrays, rows: int) -> list[np.ndarray]:
    """The outputs of a graph, each with one row for each row of the inputs."""
    with graph_errors(path):
        outputs: list[np.ndarray] = session.run(None, dict(inputs))
    for output in outputs:
        if output.ndim != 2 or len(output) != rows:
            raise ModelFolderError(f"{path} gives {list(output.shape)} for {rows} rows")
    return outputs


@contextlib.contextmanager
def graph_errors(path: Path) -> Iterator[None]:
    """Raise whatever ONNX Runtime raises as one line; its errors share no base class but Exception."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - as the docstring says
        reason = printable(str(error).strip()[:300])
        raise ModelFolderError(f"{path} cannot be used: {reason or type(error).__name__}") from None


def _check_signature(path: Path, kind: str, nodes: Sequence[Any], known: Signature) -> None:
    given = {
        node.name: (node.type.removeprefix("tensor(").rstrip(")"), node.shape) for node in nodes
    }
    for name, (dtype, shape) in given.items():
        if (dtype, len(shape)) != known.get(name):
            raise ModelFolderError(
                f"{path}: unknown {kind} {printable(name[:80])!r} of type {dtype} with {len(shape)} axes"
            )
    if len(given) < len(known) and path.name != "answer.onnx":
        raise ModelFolderError(f"{path}: expected the {kind}s {', '.join(known)}")


def _check_content(path: Path) -> None:
    """Refuse a graph that reads other files, contains other graphs, or needs other operators."""
    with path.open("rb") as file:
        # not closed here: the fields of a graph that is refused are parts of it
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _check_model(memoryview(data))


def _check_model(data: memoryview) -> None:
    for model_field, graph in _fields(data, _MODEL, "the model"):
        if model_field != 7:
            continue
        for graph_field, part in _fields(graph, _GRAPH, "the graph"):
            if graph_field == 5:
                _check_tensor(part)
            elif graph_field == 1:
                _check_node(part)


def _check_node(node: memoryview) -> None:
    for field, value in _fields(node, _NODE, "a node"):
        if field == 7 and bytes(value) not in (b"", b"ai.onnx"):
            raise ModelFolderError(f"an operator of {bytes(value[:80])!r} is not allowed")
        if field == 5:
            for attribute_field, tensor in _fields(value, _ATTRIBUTE, "an attribute"):
                if attribute_field == 5:
                    _check_tensor(tensor)


def _check_tensor(tensor: memoryview) -> None:
    for field, value in _fields(tensor, _TENSOR, "a tensor"):
        if field == 13 or (field == 14 and bytes(value) != b"\0"):
            raise ModelFolderError("a tensor lies in another file")


def _fields(data: memoryview, known: Any, place: str) -> Iterator[tuple[int, memoryview]]:
    """The fields of a protobuf message with their contents; contents are not copied."""
    position = 0
    while position < len(data):
        key, position = _number(data, position)
        field, wire = key >> 3, key & 7
        if field not in known:
            raise ModelFolderError(f"{place} has content that is not allowed (field {field})")
        start = position
        if wire == 0:
            _, position = _number(data, position)
        elif wire == 2:
            length, start = _number(data, position)
            position = start + length
        elif wire in (1, 5):
            position += 8 if wire == 1 else 4
        else:
            raise ModelFolderError(f"{place} is damaged")
        if position > len(data):
            raise ModelFolderError(f"{place} is cut off")
        yield field, data[start:position]


def _number(data: memoryview, position: int) -> tuple[int, int]:
    """A number of variable length, and the position after it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        number |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return number, position
    raise ModelFolderError("a number is damaged")
