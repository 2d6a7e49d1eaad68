"""The two kinds of sources: of images, and of captions."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from artaffect.config import CaptionSourceConfig, ImageSourceConfig
from artaffect.data.image_cache import ImageCache, ImageViews
from artaffect.errors import ConfigError
from artaffect.features import AnnotationArrays
from artaffect.metrics.classification import hamming_accuracy
from artaffect.models.bert import widen_tables
from artaffect.models.heads import EmotionHead
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.image_encoders import create_image_encoder
from artaffect.models.pruning import million_weights, prune_layers, prune_vocabulary
from artaffect.models.text_encoders import TextEncoder, create_text_encoder
from artaffect.runtime import cache_folder
from artaffect.training.batches import ArtworkRows, CaptionRows, TensorRows, Tokens
from artaffect.training.objectives import ClassificationTask, MultiLabelTask, SoftLabelTask
from artaffect.training.sources import CaptionModel, ImageModel, Source
from artaffect.training.trainer import Scores

_logger = logging.getLogger(__name__)


class ImageSource(Source[ImageSourceConfig, ImageEncoder]):
    """Learns a distribution for each artwork and culture: that of its annotators' votes."""

    modality = "image"

    @staticmethod
    def load_encoder(config: ImageSourceConfig, captions: Sequence[str]) -> ImageEncoder:
        return create_image_encoder(config.encoder)

    def usable(self, rows: AnnotationArrays) -> AnnotationArrays:
        return rows.select(rows.has_image) if self.config.frozen else rows.with_images()

    def inputs(self, rows: AnnotationArrays) -> tuple[list[Any], Tensor]:
        return [] if rows.image_paths is None else rows.image_paths.tolist(), rows.artwork

    def stored(self, rows: AnnotationArrays) -> tuple[Tensor, Tensor]:
        return rows.image, rows.artwork

    def votes(self, rows: AnnotationArrays) -> Tensor:
        return rows.votes(self.context.n_cultures)

    def head_rows(self, rows: AnnotationArrays) -> TensorRows:
        votes = self.votes(rows).transpose(0, 1)
        culture, artwork = torch.nonzero(votes.sum(-1), as_tuple=True)
        shared = {"features": (rows.image, artwork)}
        return TensorRows(shared, culture=culture, votes=votes[culture, artwork])

    def encoder_rows(self, rows: AnnotationArrays) -> ArtworkRows:
        return ArtworkRows(self.views(rows), self.votes(rows), self.config.workers)

    def views(self, rows: AnnotationArrays) -> ImageViews:
        """Training views of the artworks, in their order."""
        config, context = self.config, self.context
        images = (self.inputs(rows)[0], self.encoder.preprocessing)
        folder = context.cache / "decoded" if context.cache else cache_folder("decoded")
        store = ImageCache(*images, folder) if config.decoded else None
        return ImageViews(*images, config.crop, config.flip, context.seed, store)

    def task(
        self,
        head: EmotionHead,
        penalty: float,
        encoder: nn.Module | None,
        partial: Tensor | None,
    ) -> nn.Module:
        if self.config.objective == "soft_label":
            return SoftLabelTask(head, penalty, encoder=encoder, partial=partial)
        if partial is not None:
            raise ConfigError(
                f"image.objective = {self.config.objective!r} asks for each label whether anyone chose "
                "it, which partial labels do not tell: use the objective soft_label"
            )
        loss = self.config.objective.removeprefix("multi_label_")
        return MultiLabelTask(head, loss, encoder)  # type: ignore[arg-type]

    def start(self, rows: AnnotationArrays) -> ImageModel:
        model = super().start(rows)
        if model.head.multi_label:
            share = (rows.votes()[:, 0] > 0).float().mean(0)[: model.head.labels]
            model.head.shared.bias.data.copy_(share.clamp(0.01, 0.99).logit())
        self.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    @torch.no_grad()
    def scores(
        self, head: EmotionHead, features: Tensor, index: Tensor, rows: AnnotationArrays
    ) -> Scores:
        scores = super().scores(head, features, index, rows)
        if not head.multi_label:
            return scores
        device = head.shared.weight.device
        culture = torch.zeros(len(features), dtype=torch.int64, device=device)
        predicted = (head(features.to(device), culture) > 0).cpu().numpy()
        target = (rows.votes()[:, 0, : head.labels] > 0).numpy()
        return {**scores, "hamming": hamming_accuracy(target, predicted)}


class CaptionSource(Source[CaptionSourceConfig, TextEncoder]):
    """Learns the emotion of each caption."""

    modality = "caption"

    @staticmethod
    def load_encoder(config: CaptionSourceConfig, captions: Sequence[str]) -> TextEncoder:
        encoder = create_text_encoder(config.encoder)
        widen_tables(encoder)
        if config.vocabulary == "data":
            encoder = prune_vocabulary(encoder, captions)
            _logger.info(f"pruned the vocabulary: {million_weights(encoder):.1f} million weights")
        return prune_layers(encoder, config.depth) if config.depth else encoder

    def inputs(self, rows: AnnotationArrays) -> tuple[list[Any], Tensor]:
        return rows.captions, torch.arange(len(rows))

    def stored(self, rows: AnnotationArrays) -> tuple[Tensor, Tensor]:
        return rows.caption, rows.caption_index

    def votes(self, rows: AnnotationArrays) -> Tensor:
        cultures = self.context.n_cultures
        votes = torch.zeros(
            len(rows.caption), cultures + 1, len(rows.labels) + len(rows.candidates)
        )
        # of cultures + 1 votes one counts for all cultures together, as in ClassificationTask
        anyone = torch.zeros_like(rows.culture)
        for culture, share in ((rows.culture, cultures), (anyone, 1)):
            index = (rows.caption_index, culture if cultures else anyone, rows.emotion)
            votes.index_put_(index, torch.tensor(share / (cultures + 1)), accumulate=True)
        return votes

    def head_rows(self, rows: AnnotationArrays) -> TensorRows:
        shared = {"features": self.stored(rows)}
        return TensorRows(shared, culture=rows.culture, emotion=rows.emotion)

    def encoder_rows(self, rows: AnnotationArrays, **columns: Tensor) -> CaptionRows:
        """Captions, tokenised once; ``columns`` are further tensors of each row."""
        tokens = Tokens(self.encoder.tokenize(rows.captions))
        columns |= {"culture": rows.culture, "emotion": rows.emotion}
        return CaptionRows(tokens, self.encoder.collate, **columns)

    def task(
        self,
        head: EmotionHead,
        penalty: float,
        encoder: nn.Module | None,
        partial: Tensor | None,
    ) -> nn.Module:
        return ClassificationTask(head, penalty, self.context.n_cultures, encoder, partial)

    def start(self, rows: AnnotationArrays) -> CaptionModel:
        model = super().start(rows)
        if self.config.freeze_embeddings:
            network: Any = self.encoder.network
            table = getattr(network, "embeddings", None) or network.get_input_embeddings()
            table.requires_grad_(False)
        return model
