"""The ways in which :mod:`benchmarks.attack.folders` alters a model folder."""

import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from artaffect.models.folder import CARD, CHECKSUMS, CONFIG, TOKENIZER, WEIGHTS

DEEP = "a value that is nested 100,000 deep"
VALUES: dict[str, Any] = {
    **{"null": None, "minus one": -1, "zero": 0, "one half": 0.5, "true": True, "text": "x"},
    **{
        "one thousand": 1000,
        "huge": 10**30,
        "huge number": 1e308,
        "large": 2**20,
        "long text": "x" * 10**6,
    },
    **{"list": [1, "x", None], "object": {"a": 1}, "long list": [1] * 10**5, "deep": DEEP},
}
EXTRA_KEYS: dict[str, Any] = {
    **{"auto_map": {"AutoModel": "code.Model"}, "trust_remote_code": True, "backbone": "resnet50"},
    **{"use_timm_backbone": True, "pretrained": True, "_name_or_path": "/etc", "unknown": 1},
    **{"quantization_config": {"quant_method": "gptq"}, "attn_implementation": "org/kernel"},
    **{"model_type": "timm_wrapper", "dtype": "float64", "torch_dtype": "int8"},
}


@dataclass(frozen=True)
class Alteration:
    """One way to alter a folder."""

    name: str
    apply: Callable[[Path], None]
    same: bool = False
    """Whether the predictions must be those of the honest folder, if there are any."""
    signed: bool = True
    """Whether the checksums are written anew."""


def file_alterations(names: list[str], rng: random.Random) -> Iterator[Alteration]:
    """Every file removed, damaged or replaced, signed anew and not."""

    def write(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
        return lambda folder: _write(folder / name, change((folder / name).read_bytes()))

    def link(name: str, target: str) -> Callable[[Path], None]:
        def apply(folder: Path) -> None:
            (folder / name).unlink()
            (folder / name).symlink_to(target.format(name=name))

        return apply

    def special(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
        return lambda folder: ((folder / name).unlink(), make(folder / name))[1]

    outside = Path(tempfile.mkdtemp())
    (outside / "file").write_bytes(b"{}")
    for name in names:
        at = rng.random()
        contents = {
            "emptied": lambda data: b"",
            "cut in half": lambda data: data[: len(data) // 2],
            "with a flipped bit": lambda data, at=at: _flip(data, at),
            "not UTF-8": lambda data: b"\xff\xfe" + data,
            "an object": lambda data: b"{}",
            "a list": lambda data: b"[]",
            "nested deep": lambda data: b"[" * 100_000,
            "objects nested deep": lambda data: b'{"a":' * 100_000,
            "doubled": lambda data: data + data,
        }
        for kind, change in contents.items():
            for signed in (True, False):
                yield Alteration(f"{name} {kind}", write(name, change), not signed, signed)
        for target in (f"{outside}/file", "/dev/zero", "{name}", "nowhere", "..", "/proc/self/mem"):
            yield Alteration(f"{name} a link to {target}", link(name, target), True, signed=False)
        yield Alteration(f"{name} removed", special(name, lambda path: None), signed=False)
        yield Alteration(f"{name} a folder", special(name, Path.mkdir), signed=False)
        yield Alteration(f"{name} a pipe", special(name, os.mkfifo), signed=False)


def checksum_alterations() -> Iterator[Alteration]:
    """The list of files, in forms that ``sha256sum`` would take and others."""

    def edit(change: Callable[[str], str]) -> Callable[[Path], None]:
        return lambda folder: _write(
            folder / CHECKSUMS,
            change((folder / CHECKSUMS).read_text()).encode("utf-8", "surrogateescape"),
        )

    line = "0" * 64 + "  "
    for kind, change in {
        "in upper case": lambda text: "".join(
            f"{row[:64].upper()}{row[64:]}\n" for row in text.splitlines()
        ),
        "with carriage returns": lambda text: text.replace("\n", "\r\n"),
        "with one blank": lambda text: text.replace("  ", " "),
        "with a path": lambda text: text + f"{line}../x\n",
        "with an absolute path": lambda text: text + f"{line}/etc/passwd\n",
        "with an unknown name": lambda text: text + f"{line}notes.txt\n",
        "with a repeated line": lambda text: text + text.splitlines()[0] + "\n",
        "with a short digest": lambda text: text.replace(text[:8], "", 1),
        "without the first line": lambda text: text.split("\n", 1)[1],
        "without the last line": lambda text: "".join(text.splitlines(True)[:-1]),
        "of a megabyte": lambda text: text * 4000,
        "with bytes that are not UTF-8": lambda text: text + "\udcff\n",
        "with a zero byte": lambda text: text + "\0\n",
        "with an empty line": lambda text: text + "\n",
        "with the other engine": lambda text: text + f"{line}answer.onnx\n{line}{WEIGHTS}\n",
    }.items():
        yield Alteration(f"{CHECKSUMS} {kind}", edit(change), same=True, signed=False)
    for name in ("model.safetensors", "answer.onnx", "image.onnx", "other.onnx", "x.SafeTensors"):
        yield Alteration(
            f"an added {name}",
            lambda folder, name=name: _add(folder / name, b"\0" * 64),
            same=True,
            signed=False,
        )


def config_alterations(config: dict[str, Any]) -> Iterator[Alteration]:
    """Each key of the configuration removed or with other values, and keys that do not belong there."""
    read = ("format", "emotions", "cultures", "languages", "image", "caption", "fusion")
    paths = [path for path in _paths(config) if path[0] in (*read, "training_priors", "encoders")]
    for path in paths:
        name = ".".join(map(str, path))
        yield Alteration(f"{name} removed", _edit(path, remove=True))
        for kind, value in VALUES.items():
            yield Alteration(f"{name} is {kind}", _edit(path, value))
    for parent in [path for path in [(), *paths] if isinstance(_at(config, path), dict)]:
        for key, value in EXTRA_KEYS.items():
            if key not in _at(config, parent):
                name = ".".join(map(str, (*parent, key)))
                yield Alteration(f"{name} is added", _edit((*parent, key), value), same=True)


def tokenizer_alterations() -> Iterator[Alteration]:
    """Tokenizers with other vocabularies and pipelines."""

    def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
        def apply(folder: Path) -> None:
            content = json.loads((folder / TOKENIZER).read_text("utf-8"))
            change(content)
            _write(folder / TOKENIZER, json.dumps(content).encode())

        return apply

    for kind, change in {
        "with a large number": lambda t: t["model"]["vocab"].update({"waves": 2**31}),
        "with a negative number": lambda t: t["model"]["vocab"].update({"waves": -1}),
        "without a vocabulary": lambda t: t["model"].update(vocab={}),
        "of another type": lambda t: t["model"].update(type="BPE"),
        "without a model": lambda t: t.pop("model"),
        "with many tokens": lambda t: t["model"]["vocab"].update(
            {f"x{i}": 400 + i for i in range(9999)}
        ),
        "with large special tokens": lambda t: t["post_processor"]["special_tokens"][
            "[CLS]"
        ].update(ids=[10**6]),
        "with many special tokens": lambda t: t["post_processor"]["special_tokens"]["[CLS]"].update(
            ids=[1] * 1000, tokens=["[CLS]"] * 1000
        ),
        "without a pipeline": lambda t: t.update(post_processor=None, pre_tokenizer=None),
        "that makes captions longer": lambda t: t.update(
            normalizer={
                "type": "Sequence",
                "normalizers": [
                    {"type": "Replace", "pattern": {"Regex": "."}, "content": "a" * 1000}
                ]
                * 3,
            }
        ),
        "with a wrong expression": lambda t: t.update(
            normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": ""}
        ),
    }.items():
        yield Alteration(f"{TOKENIZER} {kind}", edit(change))


def weight_alterations() -> Iterator[Alteration]:
    """Weights of other names, shapes, types and values."""

    def edit(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
        def apply(folder: Path) -> None:
            weights = load_file(folder / WEIGHTS)
            change(weights)
            save_file(weights, folder / WEIGHTS)

        return apply

    head = "image.head.shared.weight"
    for kind, change in {
        "without a weight": lambda w: w.pop(head),
        "with another weight": lambda w: w.update(other=torch.zeros(1)),
        "with a longer weight": lambda w: w.update({head: torch.zeros(10, w[head].shape[1])}),
        "with a scalar": lambda w: w.update({head: torch.tensor(1.0)}),
        "in double precision": lambda w: w.update({head: w[head].double()}),
        "in integers": lambda w: w.update({head: w[head].long()}),
        "not a number": lambda w: w.update({head: w[head] * torch.nan}),
        "infinite": lambda w: w.update({head: w[head] * torch.inf}),
        "extreme": lambda w: w.update({head: torch.full_like(w[head], 3e38)}),
        "with a temperature of 0": lambda w: w.update(temperature=w["temperature"] * 0),
        "with a negative temperature": lambda w: w.update(temperature=-w["temperature"]),
        "empty of weights": lambda w: w.clear(),
    }.items():
        yield Alteration(f"{WEIGHTS} {kind}", edit(change))
    for size in (0, 2**20, 2**62):
        yield Alteration(
            f"{WEIGHTS} with a header of {size} bytes",
            lambda folder, size=size: _write(folder / WEIGHTS, size.to_bytes(8, "little") + b"{}"),
        )


def graph_alterations() -> Iterator[Alteration]:  # noqa: C901 - a list of small changes
    """Graphs that read other files, contain others, take other inputs, or are not what they seem."""
    import onnx
    from onnx import TensorProto, helper

    def edit(
        change: Callable[[Any, Path], Any], name: str = "answer.onnx"
    ) -> Callable[[Path], None]:
        def apply(folder: Path) -> None:
            model = onnx.load(folder / name)
            change(model.graph, folder)
            onnx.save(model, folder / name)

        return apply

    def external(graph: Any, folder: Path, location: str) -> None:
        tensor = graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location

    def bomb(graph: Any, size: int) -> None:
        """The answer depends on a tensor of many zeros, which no file holds."""
        shape = helper.make_tensor("bomb.shape", TensorProto.INT64, [1], [size])
        graph.initializer.append(shape)
        output = graph.output[1].name
        for node in graph.node:
            node.output[:] = [name if name != output else "before" for name in node.output]
        graph.node.extend(
            [
                helper.make_node("ConstantOfShape", ["bomb.shape"], ["bomb"]),
                helper.make_node("ReduceSum", ["bomb"], ["bomb.sum"], keepdims=0),
                helper.make_node("Add", ["before", "bomb.sum"], [output]),
            ]
        )

    for size in (2**31, 2**34, 2**40, 2**62, -1):
        yield Alteration(f"a graph with {size} zeros", edit(lambda g, _, size=size: bomb(g, size)))

    def loop(graph: Any, _: Path) -> None:
        body = helper.make_graph([], "body", [], [])
        graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))

    for location in (CARD, "../torch/README.md", "/etc/passwd", "nowhere"):
        yield Alteration(
            f"a graph with weights in {location}",
            edit(lambda g, folder, location=location: external(g, folder, location)),
        )
    for kind, change in {
        "with a loop": loop,
        "with another operator": lambda g, _: g.node.append(
            helper.make_node("Run", [], ["x"], domain="other")
        ),
        "with another input": lambda g, _: setattr(g.input[0], "name", "other"),
        "without nodes": lambda g, _: g.ClearField("node"),
        "without outputs": lambda g, _: g.ClearField("output"),
        "with another type": lambda g, _: setattr(g.input[0].type.tensor_type, "elem_type", 7),
        "with zeros": lambda g, _: [
            setattr(t, "raw_data", b"\xff" * len(t.raw_data))
            for t in g.initializer
            if t.data_type == 1
        ],
        "with its outputs swapped": lambda g, _: g.output.reverse(),
    }.items():
        yield Alteration(f"a graph {kind}", edit(change))
    for first, second in (("image", "caption"), ("answer", "image")):
        yield Alteration(
            f"{first}.onnx is {second}.onnx",
            lambda f, a=first, b=second: _write(f / f"{a}.onnx", (f / f"{b}.onnx").read_bytes()),
        )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _add(path: Path, content: bytes) -> None:
    if path.exists():  # then it is replaced, with the old checksum
        path.unlink()
    path.write_bytes(content)


def _flip(data: bytes, share: float) -> bytes:
    content = bytearray(data)
    content[int(share * len(content))] ^= 1
    return bytes(content)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from _paths(entry, (*path, key))


def _at(config: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        config = config[key]
    return config


def _edit(path: tuple[Any, ...], value: Any = None, remove: bool = False) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
        parent = _at(config, path[:-1])
        if remove:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
        text = json.dumps(config).replace(f'"{DEEP}"', "[" * 100_000 + "]" * 100_000)
        (folder / CONFIG).write_text(text, "utf-8")

    return apply
