"""Export a model folder to ONNX: the same folder, with three graphs instead of the weights.

The image encoder, the text encoder and everything behind them are separate graphs, because an image is
encoded once for all cultures, and a missing input is not encoded at all.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.export import Dim

from artaffect.errors import ExportError
from artaffect.models.checkpoint import save_tokenizer
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import (
    CARD,
    CHECKSUMS,
    CONFIG,
    FAMILIARITY,
    GRAPHS,
    SCORES,
    TRAINING_LOG,
    listed_files,
    listed_path,
    read_config,
    write_checksums,
)
from artaffect.models.hub import resolve_run
from artaffect.models.packing import self_contained_card
from artaffect.models.text_encoders import TextEncoder
from artaffect.outputs import atomic_folder, check_free
from artaffect.prediction.onnx import OnnxPredictor
from artaffect.prediction.predictor import ModelPredictor, Prediction, PredictionInput
from artaffect.prediction.torch import TorchPredictor
from artaffect.runtime import to_json_text

_logger = logging.getLogger(__name__)

EXACT = 1e-4
"""The largest allowed difference in any probability in full precision."""
SIMILAR = 0.1
"""The largest allowed mean total variation between the distributions with int8."""

_CAPTIONS = (
    "Storm.",
    "The boat is small, the waves are tall, and nobody on the shore can do a thing about it.",
    "يجلس الشيخ وحيدا أمام النافذة وينظر إلى الحديقة.",
    "雪后的村庄很安静,烟从屋顶升起。",
    "An old door " * 200,
)
_IMAGE_SHAPES = ((5, 7, 3), (200, 120, 3), (33, 33, 3))


def export_onnx(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    int8: bool = False,
    overwrite: bool = False,
) -> "Difference":
    """Export a model to the folder ``out``, whose predictions are compared with those of torch.

    Args:
        run: a model folder, or ``hf:OWNER/MODEL``.
        int8: store the weights of the text encoder in eight bits: a quarter of the size and faster, but
            not exact.

    Returns:
        The difference from torch, over images and captions of many sizes.

    Raises:
        ExportError: the graphs do not reproduce torch's predictions; nothing is written.
        OutputExistsError: ``out`` exists and must not be replaced.
        ModelFolderError: ``run`` is not a model folder with weights.
    """
    source, target = resolve_run(run), Path(out)
    check_free(target, CHECKSUMS, overwrite, [source])
    listed = listed_files(source).keys()
    original = TorchPredictor.load(source)
    model = original.model.cpu().float()  # half precision is for storage; tables are halved again
    original.device = torch.device("cpu")
    for encoder in model.encoders:
        if encoder is not None:
            encoder.precision = "float32"  # in which the graphs compute
    with atomic_folder(target, CHECKSUMS, overwrite) as folder:
        _write_graphs(model, folder, int8)
        for name in sorted(listed & {SCORES, TRAINING_LOG, FAMILIARITY}):
            shutil.copy(listed_path(source, name), folder / name)
        if model.caption is not None:
            save_tokenizer(model.caption.encoder, folder)
        config = {**read_config(source), "references": {}}
        _write_texts(folder, config, source, int8)
        write_checksums(folder)
        difference = compare(original, OnnxPredictor.load(folder))
        if difference.average > SIMILAR or (difference.largest > EXACT and not int8):
            raise ExportError(
                f"the exported graphs do not reproduce the predictions of {source} ({difference}): "
                f"nothing was written{' (try without --int8)' if int8 else ''}"
            )
        config["export"] = {"engine": "onnx", "int8": int8, **asdict(difference)}
        _write_texts(folder, config, source, int8)
        write_checksums(folder)
    _logger.info(f"model folder: {target}; predictions differ from {source} {difference}")
    return difference


@dataclass(frozen=True)
class Difference:
    """The difference between the predictions of two predictors."""

    largest: float
    """In any probability."""
    average: float
    """Mean total variation between the distributions: 0 if they are equal, 1 if they are disjoint."""

    def __str__(self) -> str:
        return f"by at most {self.largest:.1g} in a probability, by {self.average:.1g} on average"


def compare(first: ModelPredictor, second: ModelPredictor) -> Difference:
    """Compare two predictors of one model.

    The inputs are images of noise and captions of many lengths, alone and together, for every culture
    and for an unknown one; ``second`` predicts them in a batch and one by one.
    """
    inputs = list(_test_inputs(first))
    expected = _probabilities(first.predict_batch(inputs))
    together = _probabilities(second.predict_batch(inputs))
    alone = _probabilities([second.predict_batch([item])[0] for item in inputs])
    differences = np.abs([expected - together, expected - alone])
    return Difference(float(differences.max()), float(differences.sum(-1).mean() / 2))


def _probabilities(predictions: Sequence[Prediction]) -> np.ndarray:
    return np.array([p.distribution.values for prediction in predictions for p in prediction])


def _test_inputs(predictor: ModelPredictor) -> Iterator[PredictionInput]:
    cultures = (*predictor.cultures, "elsewhere")
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, shape, np.uint8) for shape in _IMAGE_SHAPES]
    modalities = predictor.description.modalities
    captions = _CAPTIONS if "caption" in modalities else ()
    images = [Image.fromarray(pixels) for pixels in noise] if "image" in modalities else []
    alone = [*((None, caption) for caption in captions), *((image, None) for image in images)]
    for image, caption in (*alone, *zip(images, captions, strict=False)):
        yield PredictionInput(image, caption, cultures=cultures)


def _write_graphs(model: EmotionModel, folder: Path, int8: bool) -> None:
    image, captions = model.encoders
    if image is not None:
        _logger.info("exporting the image encoder")
        size = image.preprocessing.size
        pixels = {"pixels": torch.zeros(2, 3, size, size)}
        _write(image, pixels, ["features"], folder / GRAPHS["image"])
    if captions is not None:
        _logger.info("exporting the text encoder")
        _write_text_graph(captions, folder / GRAPHS["caption"], int8)
    rows = 5
    features = {
        "image": torch.zeros(rows, image.feature_dim if image else 0),
        "caption": torch.zeros(rows, captions.feature_dim if captions else 0),
        "present": torch.ones(rows, 2, dtype=torch.bool),
        "culture": torch.zeros(rows, dtype=torch.int64),
    }
    with _without_encoders(model):
        _write(model, features, ["probabilities", "shares"], folder / GRAPHS["answer"])


def _write_text_graph(encoder: TextEncoder, path: Path, int8: bool) -> None:
    # torch's fused attention becomes a longer and slower graph than the plain formula
    network: Any = encoder.network
    attention = network.config._attn_implementation
    network.set_attn_implementation("eager")
    tokens = torch.full((3, 7), 5)
    mask = torch.ones_like(tokens)
    mask[0, 4:] = 0
    try:
        _write(encoder, {"ids": tokens, "mask": mask}, ["features"], path)
    finally:
        network.set_attn_implementation(attention)
    if int8:
        _logger.info("quantizing the text encoder")
        from onnxruntime.quantization import QuantType, quantize_dynamic

        with _quiet():
            quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=True)
    else:
        _halve_tables(path)


def _write(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Write one graph, with a dynamic first axis, and for token matrices a dynamic second axis."""
    rows, length = Dim("rows", min=1), Dim("length", min=2)
    axes = {name: {0: rows, 1: length} if name in ("ids", "mask") else {0: rows} for name in inputs}
    with _quiet():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(axes.values()),
            external_data=False,
            verbose=False,
        )


def _halve_tables(path: Path) -> None:
    """Store embedding tables in half precision where that is lossless, as ``model.safetensors`` does.

    The table is most of a multilingual encoder; its rows are converted after the look-up.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(path)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type != "Gather" or node.input[0] not in weights:
            continue
        tensor = weights[node.input[0]]
        values = numpy_helper.to_array(tensor)
        half = values.astype(np.float16)
        used_once = sum(node.input[0] in other.input for other in graph.node) == 1
        if not used_once or values.dtype != np.float32 or (half.astype(np.float32) != values).any():
            continue
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
        wide, node.output[0] = node.output[0], f"{node.output[0]}.half"
        nodes.append(helper.make_node("Cast", [node.output[0]], [wide], to=onnx.TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # the types of inner values have changed
    onnx.save(model, path)


def _write_texts(folder: Path, config: Mapping[str, Any], run: Path, int8: bool) -> None:
    text = to_json_text(config)
    (folder / CONFIG).write_text(text, "utf-8")
    precision = ", text encoder in int8" if int8 else ""
    note = (
        f"\n## Export\n\nThis copy contains ONNX graphs{precision} instead of weights: "
        "artaffect runs them without torch.\n"
    )
    (folder / CARD).write_text(self_contained_card(run) + note, "utf-8")


@contextmanager
def _without_encoders(model: EmotionModel) -> Iterator[None]:
    """Remove the encoders, so that the graph behind them does not contain their weights."""
    branches: list[Any] = [branch for branch in (model.image, model.caption) if branch]
    encoders = [branch.encoder for branch in branches]
    try:
        for branch in branches:
            branch.encoder = nn.Identity()
        yield
    finally:
        for branch, encoder in zip(branches, encoders, strict=True):
            branch.encoder = encoder


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporters' messages, which do not concern the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
