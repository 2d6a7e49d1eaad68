"""Predictions with ONNX Runtime, without torch and transformers."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from tokenizers import Tokenizer

from artaffect.data.preprocessing import ImagePreprocessing, TextPreprocessing
from artaffect.data.tokens import CaptionTokenizer
from artaffect.errors import ModelFolderError
from artaffect.models.folder import GRAPHS, TOKENIZER, check_folder, read_config
from artaffect.prediction.predictor import ModelDescription, ModelPredictor


class OnnxPredictor(ModelPredictor):
    """An exported model folder. Each graph is loaded on its first use."""

    engine = "onnx"

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self.graphs = folder
        self.threads = 0  # one per core
        super().__init__(self._describe(config), folder)

    @classmethod
    def load(cls, path: Path) -> Self:
        check_folder(path)
        return cls(path, read_config(path))

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
        return {name: widths.get(name, 0) for name in ("image", "caption")}

    def image_features(self, pixels: np.ndarray) -> np.ndarray:
        return self.image_graph.run(None, {"pixels": pixels})[0]

    def caption_features(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return self.caption_graph.run(None, {"ids": ids, "mask": mask})[0]

    def answer_features(
        self, image: np.ndarray, caption: np.ndarray, present: np.ndarray, culture: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        arguments = {"image": image, "caption": caption, "present": present, "culture": culture}
        inputs = {node.name: arguments[node.name] for node in self.answer_graph.get_inputs()}
        probabilities, shares = self.answer_graph.run(None, inputs)
        return probabilities, shares

    def _open(self, name: str) -> Any:
        try:
            import onnxruntime
        except ImportError:
            raise ModelFolderError(
                f"{self.graphs} contains ONNX graphs, which need onnxruntime: "
                "pip install 'artaffect[onnx]'"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        return onnxruntime.InferenceSession(
            str(self.graphs / name), options, providers=onnxruntime.get_available_providers()
        )

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
            )
        return ModelDescription(
            cultures=config["cultures"],
            languages=config["languages"],
            image=image,
            captions=captions,
            encoders=config.get("encoders", {}),
            synthetic=config["synthetic"],
        )

    def _load_tokenizer(self) -> Tokenizer:
        """Load the vocabulary and, at the same time, the graph of the text encoder."""
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: self.caption_graph)
            return Tokenizer.from_file(str(self.graphs / TOKENIZER))
