"""Predictions with ONNX Runtime, without torch and transformers."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from tokenizers import Tokenizer

from artaffect.data.preprocessing import ImagePreprocessing, TextPreprocessing
from artaffect.data.tokens import CaptionTokenizer, read_tokenizer
from artaffect.errors import ModelFolderError
from artaffect.labels import LabelSet
from artaffect.metrics.conformal import ConformalScores
from artaffect.models.folder import (
    GRAPHS,
    TOKENIZER,
    check_folder,
    listed_path,
    read_bytes,
    read_config,
)
from artaffect.prediction.graphs import Arrays, open_graph, run_graph
from artaffect.prediction.predictor import ModelDescription, ModelPredictor


class OnnxPredictor(ModelPredictor):
    """An exported model folder. Each graph is loaded on its first use."""

    engine = "onnx"

    def __init__(self, folder: Path, config: Mapping[str, Any], listed: Mapping[str, str]) -> None:
        self.graphs = folder
        self.listed = listed
        self.threads = 0  # one per core
        super().__init__(self._describe(config), folder)

    @classmethod
    def load(cls, path: Path) -> Self:
        listed, config = check_folder(path), read_config(path)
        needed = [GRAPHS[name] for name in ("image", "caption") if config[name]] + [
            GRAPHS["answer"]
        ]
        for name in [*needed, TOKENIZER] if config["caption"] else needed:
            if name not in listed:
                raise ModelFolderError(f"{path} is incomplete: {name} is not listed")
        return cls(path, config, listed)

    @cached_property
    def image_graph(self) -> Any:
        return self._open(GRAPHS["image"])

    @cached_property
    def caption_graph(self) -> Any:
        return self._open(GRAPHS["caption"])

    @cached_property
    def answer_graph(self) -> Any:
        return self._open(GRAPHS["answer"])

    def limit_threads(self, count: int) -> None:
        self.threads = count

    def warm(self) -> None:
        if self.description.image:
            _ = self.image_graph
        if self.description.captions:
            _ = self.description.captions.tokenizer
        _ = self.answer_graph

    @property
    def feature_dims(self) -> Mapping[str, int]:
        # the graph has no inputs for a modality that the model does not use
        widths = {node.name: node.shape[-1] for node in self.answer_graph.get_inputs()}
        dims = {name: widths.get(name, 0) for name in ("image", "caption")}
        if not all(isinstance(dim, int) and 0 <= dim <= 2**20 for dim in dims.values()):
            raise ModelFolderError(f"{self.graphs / GRAPHS['answer']}: unsuitable widths {dims}")
        return dims

    def image_features(self, pixels: np.ndarray) -> np.ndarray:
        return self._run("image", self.image_graph, {"pixels": pixels}, len(pixels))[0]

    def caption_features(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self._run("caption", self.caption_graph, {"ids": ids, "mask": mask}, len(ids))[0]

    def answer_features(
        self,
        image: np.ndarray,
        caption: np.ndarray,
        present: np.ndarray,
        culture: np.ndarray,
        outside: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        arguments = {"image": image, "caption": caption, "present": present, "culture": culture}
        inputs = {node.name: arguments[node.name] for node in self.answer_graph.get_inputs()}
        outputs = self._run("answer", self.answer_graph, inputs, len(culture))
        widths = [len(self.labels), len(GRAPHS) - 1]
        if len(outputs) != 2 or [a.shape[1] for a in outputs] != widths:
            raise ModelFolderError(f"{self.graphs / GRAPHS['answer']} gives no predictions")
        probabilities, shares = outputs
        sums = probabilities.sum(1)  # not a number compares as false
        if not (
            (probabilities >= 0).all() and (abs(sums - 1) < 1e-3).all() and (shares >= 0).all()
        ):
            raise ModelFolderError(
                f"{self.graphs / GRAPHS['answer']} gives values that are no probabilities"
            )
        return probabilities, shares

    def _open(self, name: str) -> Any:
        return open_graph(listed_path(self.graphs, name), self.threads)

    def _run(self, name: str, graph: Any, inputs: Arrays, rows: int) -> list[np.ndarray]:
        return run_graph(self.graphs / GRAPHS[name], graph, inputs, rows)

    def _describe(self, config: Mapping[str, Any]) -> ModelDescription:
        image = captions = None
        if config["image"]:
            rules = config["image"]["encoder"]["preprocessing"]
            rules |= {"mean": tuple(rules["mean"]), "std": tuple(rules["std"])}
            image = ImagePreprocessing(**rules)
        if config["caption"]:
            encoder = config["caption"]["encoder"]
            captions = CaptionTokenizer(
                self._load_tokenizer,
                TextPreprocessing(**encoder["preprocessing"]),
                encoder["architecture"]["config"].get("pad_token_id"),
                encoder["architecture"]["config"]["vocab_size"],
            )
        return ModelDescription(
            cultures=config["cultures"],
            languages=config["languages"],
            image=image,
            captions=captions,
            encoders=config.get("encoders", {}),
            synthetic=config["synthetic"],
            caveat=config["caveat"],
            labels=LabelSet.from_json(config["labels"]),
            conformal=config["conformal"] and ConformalScores.from_json(config["conformal"]),
        )

    def _load_tokenizer(self) -> Tokenizer:
        """Load the vocabulary and, at the same time, the graph of the text encoder."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: self.caption_graph)
            content = read_bytes(self.graphs, TOKENIZER, self.listed[TOKENIZER])
            return read_tokenizer(content, str(self.graphs / TOKENIZER))
