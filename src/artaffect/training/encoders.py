"""Train an encoder together with its head."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from artaffect.config import CaptionConfig, ImageConfig
from artaffect.data.annotations import AnnotationTable
from artaffect.data.image_cache import ImageCache, ImageViews
from artaffect.errors import ConfigError
from artaffect.features import encode
from artaffect.labels import EMOTIONS
from artaffect.metrics.classification import accuracy, hamming_accuracy, log_loss, macro_f1
from artaffect.models.checkpoint import load_model
from artaffect.models.heads import EmotionClassifier, EmotionHead, log_probabilities
from artaffect.models.image_encoders import ImageEncoder, create_image_encoder
from artaffect.models.pruning import prune_layers, prune_vocabulary, train_only
from artaffect.models.text_encoders import TextEncoder, create_text_encoder
from artaffect.runtime import cache_folder
from artaffect.training.batches import ArtworkRows, CaptionRows, Tokens
from artaffect.training.data import Part, TrainingData
from artaffect.training.objectives import ClassificationTask, MultiLabelTask, SoftLabelTask
from artaffect.training.trainer import FitResult, Trainer

_logger = logging.getLogger(__name__)

_START = 512
"""Training inputs by which a head's inputs are centred and scaled before training begins."""

ImageModel = EmotionClassifier[ImageEncoder]
CaptionModel = EmotionClassifier[TextEncoder]


@dataclass(frozen=True)
class Choice:
    """How cultures enter, and the seed: what all parts of a recipe share."""

    culture_input: str
    seed: int


def course(result: FitResult) -> dict[str, Any]:
    """Plain JSON of a training."""
    return {
        "epoch": result.best_epoch,
        "score": result.best_score,
        "history": [dict(epoch) for epoch in result.history],
    }


def caption_encoder(config: CaptionConfig, train: AnnotationTable) -> TextEncoder:
    """The pretrained encoder, as small as the settings ask for."""
    encoder = create_text_encoder(config.encoder)
    if config.vocabulary == "data":
        before = sum(weight.numel() for weight in encoder.parameters())
        encoder = prune_vocabulary(encoder, train.strings("caption"))
        after = sum(weight.numel() for weight in encoder.parameters())
        _logger.info(
            f"vocabulary of the data: {before / 1e6:.1f} to {after / 1e6:.1f} million weights"
        )
    return prune_layers(encoder, config.depth) if config.depth else encoder


def freeze(encoder: nn.Module, config: ImageConfig | CaptionConfig) -> None:
    """Leave as it is what the settings do not train."""
    train_only(encoder.network, config.layers)  # type: ignore[arg-type]
    if isinstance(config, CaptionConfig) and config.freeze_embeddings:
        embeddings = getattr(encoder.network, "embeddings", None)
        table = embeddings or encoder.network.get_input_embeddings()  # type: ignore[operator, union-attr]
        table.requires_grad_(False)


def start_caption(
    encoder: TextEncoder, config: CaptionConfig, part: Part, choice: Choice, cultures: int
) -> CaptionModel:
    """An encoder with a head that has not learned yet."""
    torch.manual_seed(choice.seed)
    head = EmotionHead(
        encoder.feature_dim, cultures, config.hidden, config.dropout, choice.culture_input
    )
    rows = np.random.default_rng(choice.seed).permutation(len(part.table))[:_START]
    captions = part.table.select(np.sort(rows)).strings("caption")
    counts = torch.bincount(torch.from_numpy(part.emotion), minlength=len(EMOTIONS))
    head.start(encoded(encoder, captions), counts, frozen=False)
    freeze(encoder, config)
    return EmotionClassifier(encoder, head)


def caption_rows(encoder: TextEncoder, part: Part, **more: Tensor) -> CaptionRows:
    """Tokenised once, before training."""
    tokens = Tokens.of(encoder.tokenize(part.table.strings("caption")))
    return CaptionRows(
        tokens,
        encoder.collate,
        culture=torch.from_numpy(part.culture),
        emotion=torch.from_numpy(part.emotion),
        **more,
    )


def tune_caption(
    model: CaptionModel,
    config: CaptionConfig,
    rows: CaptionRows,
    val: Part,
    choice: Choice,
    folder: Path | None,
    wrap: Callable[[ClassificationTask], nn.Module] = lambda task: task,
) -> FitResult:
    """Train an encoder and its head on captions; the model keeps its best epoch's weights.

    Args:
        wrap: what to train instead of the plain classification, a distillation for example.
    """
    cultures = model.head.settings["cultures"]
    task = ClassificationTask(model.head, cultures=cultures, encoder=model.encoder)
    captions = val.table.strings("caption")

    def validate() -> Mapping[str, float]:
        return caption_scores(model, captions, val)

    return Trainer(config.train, choice.seed, folder, device="auto").fit(wrap(task), rows, validate)


def start_image(
    encoder: ImageEncoder, config: ImageConfig, part: Part, choice: Choice, cultures: int
) -> ImageModel:
    """An encoder with a head that has not learned yet."""
    torch.manual_seed(choice.seed)
    multi_label = config.objective != "soft_label"
    head = EmotionHead(
        encoder.feature_dim,
        cultures,
        config.hidden,
        config.dropout,
        choice.culture_input,
        multi_label,
    )
    files = [file for file in part.files if file is not None]
    some = np.random.default_rng(choice.seed).permutation(len(files))[:_START]
    counts = torch.bincount(torch.from_numpy(part.emotion), minlength=len(EMOTIONS))
    head.start(encoded(encoder, [files[i] for i in np.sort(some)]), counts, frozen=False)
    if multi_label:
        felt = (part.votes(0)[torch.from_numpy(part.pictured), 0] > 0).float().mean(0)
        head.shared.bias.data.copy_(felt.clamp(0.01, 0.99).logit())
    freeze(encoder, config)
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return EmotionClassifier(encoder, head)


def picture_views(
    config: ImageConfig, encoder: ImageEncoder, part: Part, seed: int, cache: Path | None
) -> ImageViews:
    """Training views of the pictured paintings, in their order."""
    files = [file for file in part.files if file is not None]
    store = None
    if config.decoded:
        folder = (cache or cache_folder()) / "decoded"
        store = ImageCache(files, encoder.preprocessing, folder)
    return ImageViews(files, encoder.preprocessing, config.crop, config.flip, seed, store)


def tune_image(
    model: ImageModel,
    config: ImageConfig,
    parts: tuple[Part, Part],
    choice: Choice,
    folder: Path | None,
    cache: Path | None = None,
) -> FitResult:
    """Train an encoder and its head on paintings; the model keeps its best epoch's weights.

    Args:
        parts: training and validation.
    """
    train, val = parts
    cultures = model.head.settings["cultures"]
    task: nn.Module = SoftLabelTask(model.head, encoder=model.encoder)
    if config.objective != "soft_label":
        loss = "l1" if config.objective.endswith("l1") else "bce"
        task = MultiLabelTask(model.head, loss, model.encoder)  # type: ignore[arg-type]
    rows = ArtworkRows(
        picture_views(config, model.encoder, train, choice.seed, cache),
        train.votes(cultures)[torch.from_numpy(train.pictured)],
        config.workers,
    )

    def validate() -> Mapping[str, float]:
        return image_scores(model, val)

    return Trainer(config.train, choice.seed, folder, device="auto").fit(task, rows, validate)


@torch.no_grad()
def caption_scores(model: CaptionModel, captions: list[str], part: Part) -> Mapping[str, float]:
    """Validation scores of a caption model under training."""
    features = encoded(model.encoder, captions)
    return _scores(model.head, features, part.culture, part.emotion)


@torch.no_grad()
def image_scores(model: ImageModel, part: Part) -> Mapping[str, float]:
    """Validation scores of an image model under training, on the rows that have a picture.

    With a multi-label head the paper's metric, the share of right bits, is among them.
    """
    pictured = part.pictured
    features = torch.zeros(part.artworks, model.encoder.feature_dim)
    files = [file for file in part.files if file is not None]
    features[torch.from_numpy(pictured)] = encoded(model.encoder, files)
    rows = pictured[part.artwork]
    places = part.artwork[rows]
    scores = dict(_scores(model.head, features[places], part.culture[rows], part.emotion[rows]))
    if model.head.multi_label:
        device = model.head.shared.weight.device
        asked = features[torch.from_numpy(pictured)].to(device)
        culture = torch.zeros(len(asked), dtype=torch.int64, device=device)
        felt = (part.votes(0)[torch.from_numpy(pictured), 0] > 0).numpy()
        said = (model.head(asked, culture) > 0).cpu().numpy()
        scores["hamming"] = hamming_accuracy(felt, said)
    return scores


def create_trained_image(
    config: ImageConfig, corpus: TrainingData, parts: tuple[Part, Part], choice: Choice
) -> tuple[ImageModel, dict[str, Any]]:
    """The image model that the settings describe, and the course of its training."""
    if config.run:
        return _trained(config.run, "image", corpus.cultures), {"run": config.run}
    encoder = create_image_encoder(config.encoder)
    cultures = corpus.n_cultures(choice.culture_input)
    model = start_image(encoder, config, parts[0], choice, cultures)
    _logger.info(f"image: training {config.encoder} ({trainable(encoder)})")
    folder = corpus.folder("image")
    return model, course(tune_image(model, config, parts, choice, folder, corpus.cache))


def create_trained_caption(
    config: CaptionConfig,
    corpus: TrainingData,
    parts: tuple[Part, Part],
    choice: Choice,
    name: str = "caption",
) -> tuple[CaptionModel, dict[str, Any]]:
    """The caption model that the settings describe, and the course of its training."""
    if config.run:
        return _trained(config.run, "caption", corpus.cultures), {"run": config.run}
    encoder = caption_encoder(config, parts[0].table)
    cultures = corpus.n_cultures(choice.culture_input)
    model = start_caption(encoder, config, parts[0], choice, cultures)
    _logger.info(f"{name}: training {config.encoder} ({trainable(encoder)})")
    rows = caption_rows(encoder, parts[0])
    found = tune_caption(model, config, rows, parts[1], choice, corpus.folder(name))
    return model, course(found)


def trainable(encoder: nn.Module) -> str:
    """How much of an encoder is trained, in words."""
    every = sum(weight.numel() for weight in encoder.parameters())
    free = sum(weight.numel() for weight in encoder.parameters() if weight.requires_grad)
    return f"{free / 1e6:.1f} of {every / 1e6:.1f} million weights"


def encoded(encoder: ImageEncoder | TextEncoder, inputs: list[Any]) -> Tensor:
    """Features of the inputs as the encoder stands now, on the CPU; nothing is cached."""
    values = torch.zeros(len(inputs), encoder.feature_dim)
    for positions, vectors, faults in encode(encoder, inputs):
        if faults:
            raise ConfigError("; ".join(faults.values()))
        values[list(positions)] = torch.from_numpy(vectors)
    return values


def _scores(
    head: EmotionHead, features: Tensor, culture: np.ndarray, emotion: np.ndarray
) -> Mapping[str, float]:
    device = head.shared.weight.device
    asked = torch.from_numpy(culture).to(device)
    logits = head.emotion_logits(features.to(device), asked)
    return scores_of(emotion, log_probabilities(logits).exp().cpu().numpy())


def scores_of(emotion: np.ndarray, said: np.ndarray) -> Mapping[str, float]:
    """The validation scores that every training notes: of labels [n] and distributions [n, 9]."""
    return {
        "log_loss": log_loss(emotion, said),
        "accuracy": accuracy(emotion, said),
        "macro_f1": macro_f1(emotion, said),
    }


def _trained(run: str, modality: str, cultures: tuple[str, ...]) -> EmotionClassifier[Any]:
    """The branch of a model folder.

    Raises:
        ConfigError: it has none, or was trained for other cultures.
    """
    model = load_model(Path(run))
    found: EmotionClassifier[Any] | None = getattr(model, modality)
    if found is None or model.cultures != cultures:
        raise ConfigError(
            f"{run} has no {modality} model for the cultures {', '.join(cultures)} "
            f"(it reads {' and '.join(model.modalities)}, of {', '.join(model.cultures)}): "
            "train one on this table"
        )
    return found
