"""Export a model folder to ONNX: the same folder, with three graphs in place of the weights.

Three, and not one, because a picture is encoded once for all who are asked about it, and what is missing
is not encoded at all: the image encoder, the text encoder, and all that comes behind both.
"""

import json
import logging
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
from artaffect.models.emotion_model import EmotionModel
from artaffect.models.folder import CHECKSUMS, GRAPHS, TOKENIZER, write_checksums
from artaffect.models.text_encoders import TextEncoder
from artaffect.prediction.onnx import OnnxPredictor
from artaffect.prediction.predictor import ModelPredictor, Prediction, PredictionInput
from artaffect.prediction.torch import TorchPredictor
from artaffect.runtime import atomic_folder, check_free

_logger = logging.getLogger(__name__)

EXACT = 1e-4
"""How far any probability may be from torch's in full precision."""
SIMILAR = 0.1
"""How far the distributions may be from torch's on average, as total variation, with int8."""

_CAPTIONS = (
    "Storm.",
    "The boat is small, the waves are tall, and nobody on the shore can do a thing about it.",
    "يجلس الشيخ وحيدا أمام النافذة وينظر إلى الحديقة.",
    "雪后的村庄很安静,烟从屋顶升起。",
    "An old door " * 200,
)
_PICTURES = ((5, 7, 3), (200, 120, 3), (33, 33, 3))


def export_onnx(run: Path, out: Path, int8: bool = False, overwrite: bool = False) -> "Difference":
    """Write the folder ``out``, which answers as ``run`` does.

    Args:
        int8: keep the text encoder's weights in eight bits: a quarter of the size, faster, not exact.

    Returns:
        How far it is from torch's answers, over pictures and captions of many sizes.

    Raises:
        ExportError: the graphs answer otherwise than torch; nothing is left behind.
        OutputExistsError: ``out`` may not be replaced.
        ModelFolderError: ``run`` is no model folder with weights.
    """
    check_free(out, CHECKSUMS, overwrite)
    there = TorchPredictor.load(run)
    model = there.model.cpu()
    there.device = torch.device("cpu")
    with atomic_folder(out, CHECKSUMS, overwrite) as folder:
        _write_graphs(model, folder, int8)
        for name in ("metrics.json", TOKENIZER):
            if (run / name).is_file():
                shutil.copy(run / name, folder / name)
        config = json.loads((run / "config.json").read_text("utf-8"))
        _write_texts(folder, config, run, int8)
        here = OnnxPredictor(folder, config)
        difference = compare(there, here)
        if difference.average > SIMILAR or (difference.largest > EXACT and not int8):
            raise ExportError(
                f"the exported graphs answer otherwise than {run} ({difference}): nothing was written"
                + (" (try without --int8)" if int8 else "")
            )
        config["export"] = {"engine": "onnx", "int8": int8, **asdict(difference)}
        _write_texts(folder, config, run, int8)
        write_checksums(folder)
    return difference


@dataclass(frozen=True)
class Difference:
    """How far two predictors' answers are from each other."""

    largest: float
    """Of any probability."""
    average: float
    """Total variation between the distributions, averaged: 0 the same, 1 nothing in common."""

    def __str__(self) -> str:
        return f"by at most {self.largest:.1g} in a probability, by {self.average:.1g} on average"


def compare(one: ModelPredictor, other: ModelPredictor) -> Difference:
    """Ask two predictors of one model the same.

    They are asked about pictures of noise and captions of many lengths, alone and together, for every
    culture and for one that neither knows, one by one and in a batch.
    """
    asked = list(_questions(one))
    together = _probabilities(one.predict_batch(asked))
    there = (
        _probabilities(other.predict_batch(asked)),
        _probabilities([other.predict_batch([item])[0] for item in asked]),
    )
    differences = np.abs([together - answers for answers in there])
    return Difference(float(differences.max()), float(differences.sum(-1).mean() / 2))


def _probabilities(answers: Sequence[Prediction]) -> np.ndarray:
    return np.array(
        [reading.distribution.values for answer in answers for reading in answer.by_culture]
    )


def _questions(predictor: ModelPredictor) -> Iterator[PredictionInput]:
    cultures = (*predictor.cultures, "elsewhere")
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 255, size, np.uint8) for size in _PICTURES]
    reads = predictor.description.modalities
    captions = _CAPTIONS if "caption" in reads else ()
    images = [Image.fromarray(pixels) for pixels in noise] if "image" in reads else []
    for caption in captions:
        yield PredictionInput(caption=caption, cultures=cultures)
    for image in images:
        yield PredictionInput(image=image, cultures=cultures)
    for image, caption in zip(images, captions, strict=False):
        yield PredictionInput(image, caption, cultures=cultures)


class _Answer(nn.Module):
    """All that comes behind the encoders."""

    def __init__(self, model: EmotionModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.model.distribution(image, caption, present, culture)


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
        _write(_Answer(model), features, ["probabilities", "shares"], folder / GRAPHS["answer"])


def _write_text_graph(encoder: TextEncoder, path: Path, int8: bool) -> None:
    # fused attention of torch becomes a longer and slower graph than the plain formula
    network: Any = encoder.network
    fused = network.config._attn_implementation
    network.set_attn_implementation("eager")
    tokens = torch.full((3, 7), 5)
    mask = torch.ones_like(tokens)
    mask[0, 4:] = 0
    try:
        _write(encoder, {"ids": tokens, "mask": mask}, ["features"], path)
    finally:
        network.set_attn_implementation(fused)
    if int8:
        _logger.info("quantising the text encoder")
        _quantise(path)
    else:
        _halve_tables(path)


def _write(
    module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], path: Path
) -> None:
    """Write one graph; the first axis of every input is free, of token matrices the second too."""
    rows, length = Dim("rows", min=1), Dim("length", min=2)
    free = {name: {0: rows, 1: length} if name in ("ids", "mask") else {0: rows} for name in inputs}
    with _quiet():
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple(free.values()),
            external_data=False,
            verbose=False,
        )


def _quantise(path: Path) -> None:
    """Weights in eight bits, activations by what occurs (dynamic quantisation)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=True)


def _halve_tables(path: Path) -> None:
    """Keep embedding tables in half precision where that loses nothing, as in the weights' own file.

    The table of a multilingual encoder is most of the file; rows are widened after the look-up.
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
        alone = sum(node.input[0] in other.input for other in graph.node) == 1
        if not alone or values.dtype != np.float32 or (half.astype(np.float32) != values).any():
            continue
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
        wide, node.output[0] = node.output[0], f"{node.output[0]}.half"
        nodes.append(helper.make_node("Cast", [node.output[0]], [wide], to=onnx.TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # the shapes of inner values: their types have changed
    onnx.save(model, path)


def _write_texts(folder: Path, config: Mapping[str, Any], run: Path, int8: bool) -> None:
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "config.json").write_text(text, "utf-8")
    what = "ONNX graphs, text encoder in int8" if int8 else "ONNX graphs"
    card = (run / "README.md").read_text("utf-8")
    note = (
        f"\n## Export\n\nThe weights of this copy are {what}: artaffect reads them without torch.\n"
    )
    (folder / "README.md").write_text(card + note, "utf-8")


@contextmanager
def _without_encoders(model: EmotionModel) -> Iterator[None]:
    """The heads and the fusion alone, so that the graph behind the encoders does not hold them."""
    branches = [branch for branch in (model.image, model.caption) if branch is not None]
    encoders: list[Any] = [branch.encoder for branch in branches]
    try:
        for branch in branches:
            branch.encoder = nn.Identity()  # type: ignore[assignment]
        yield
    finally:
        for branch, encoder in zip(branches, encoders, strict=True):
            branch.encoder = encoder


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters remark on much that is no concern of the person who exports."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
