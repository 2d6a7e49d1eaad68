"""The whole model: two branches and their combination, for named cultures."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artaffect.labels import ANY_CULTURE
from artaffect.models.classifier import EmotionClassifier, log_probabilities
from artaffect.models.fusion import LinearFusion, LogitFusion
from artaffect.models.image_encoders import ImageEncoder
from artaffect.models.text_encoders import TextEncoder


class EmotionModel(nn.Module):
    """Two encoders with their heads, and the fusion: one way from features to answers."""

    def __init__(
        self,
        image: EmotionClassifier[ImageEncoder],
        caption: EmotionClassifier[TextEncoder],
        fusion: LinearFusion,
        cultures: Sequence[str],
        languages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.image = image
        self.caption = caption
        self.fusion = fusion
        self.cultures = tuple(cultures)
        self.languages = tuple(languages)
        """What the captions of the training data were written in."""

    def culture_index(self, culture: str) -> int:
        """The culture's index; 0, the public as a whole, for one that was not in training."""
        return (ANY_CULTURE, *self.cultures).index(culture) if culture in self.cultures else 0

    @torch.no_grad()
    def answer(
        self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Answer from features.

        Args:
            image: features [n, d]; rows without an image may hold anything.
            caption: features [n, e]; likewise.
            present: which of image and caption are there: bool [n, 2], one at least.
            culture: indices [n].

        Returns:
            Probabilities float64 [n, 9], and each modality's share in the answer [n, 2].
        """
        if not present.any(1).all():
            raise ValueError("each row needs an image or a caption")
        if isinstance(self.fusion, LogitFusion):
            image = self.image.head(image, culture)
            caption = self.caption.head(caption, culture)
        logits = self.fusion(image, caption, present, culture)
        shares = self.fusion.shares(image, caption, present, culture)
        # the feature form also feels the stand-in of what is missing, which is no share of anything
        shares = shares.where(present.all(1, keepdim=True), present.to(shares.dtype))
        return log_probabilities(logits).exp(), shares
