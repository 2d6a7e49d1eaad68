"""The whole model: one or two branches and their combination, for named cultures."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artaffect.errors import InputError
from artaffect.labels import ANY_CULTURE
from artaffect.models.fusion import LinearFusion, LogitFusion
from artaffect.models.heads import EmotionClassifier, log_probabilities
from artaffect.models.image_encoders import ImageEncoder
from artaffect.models.text_encoders import TextEncoder


class EmotionModel(nn.Module):
    """Encoders with their heads, and the fusion where there are two: one way from features to answers."""

    temperature: Tensor
    """[3, cultures + 1]: divides the logits of answers from the image alone, the caption alone, and
    both, for each culture (Guo et al. 2017); 1 until it is fitted."""

    def __init__(
        self,
        image: EmotionClassifier[ImageEncoder] | None,
        caption: EmotionClassifier[TextEncoder] | None,
        fusion: LinearFusion | None,
        cultures: Sequence[str],
        languages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        if (image is not None and caption is not None) != (fusion is not None):
            raise ValueError("a fusion belongs to two branches, and to two only")
        self.image = image
        self.caption = caption
        self.fusion = fusion
        self.cultures = tuple(cultures)
        self.languages = tuple(languages)
        """What the captions of the training data were written in."""
        self.register_buffer("temperature", torch.ones(3, len(self.cultures) + 1))

    @property
    def modalities(self) -> tuple[str, ...]:
        """``image``, ``caption`` or both: what it can look at."""
        found = {"image": self.image, "caption": self.caption}
        return tuple(name for name, branch in found.items() if branch is not None)

    @property
    def encoders(self) -> tuple[ImageEncoder | None, TextEncoder | None]:
        """Of image and caption; None for a modality it does not look at."""
        image = None if self.image is None else self.image.encoder
        caption = None if self.caption is None else self.caption.encoder
        return image, caption

    @property
    def blind(self) -> bool:
        """Whether its heads give every culture the same answer."""
        heads = [branch.head for branch in (self.image, self.caption) if branch is not None]
        return all(head.settings["cultures"] == 0 for head in heads)

    def culture_index(self, culture: str) -> int:
        """The culture's index; 0, the public as a whole, for one that was not in training."""
        return (ANY_CULTURE, *self.cultures).index(culture) if culture in self.cultures else 0

    def logits(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, 9] of one distribution; the arguments are those of :meth:`answer`."""
        return self._combined(self._inputs(image, caption, culture), present, culture)

    @torch.no_grad()
    def answer(
        self,
        image: Tensor,
        caption: Tensor,
        present: Tensor,
        culture: Tensor,
        calibrated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Answer from features.

        Args:
            image: features [n, d]; rows without an image may hold anything.
            caption: features [n, e]; likewise.
            present: which of image and caption are there: bool [n, 2], one at least.
            culture: indices [n].
            calibrated: divide the logits by the temperature.

        Returns:
            Probabilities float64 [n, 9], and each modality's share in the answer [n, 2].

        Raises:
            InputError: a row has nothing that this model looks at.
        """
        usable = present & self._readable(present)
        if not usable.any(1).all():
            raise InputError(
                f"this model reads {' and '.join(self.modalities)} only, and a row has none of it"
            )
        return self.distribution(image, caption, present, culture, calibrated)

    def distribution(
        self,
        image: Tensor,
        caption: Tensor,
        present: Tensor,
        culture: Tensor,
        calibrated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`answer` without its check: no step depends on the values, so that it can be exported."""
        present = present & self._readable(present)
        inputs = self._inputs(image, caption, culture)
        logits = self._combined(inputs, present, culture)
        if calibrated:
            modality_index = present[:, 0].long() + 2 * present[:, 1].long() - 1
            logits = logits / self.temperature[modality_index, culture].unsqueeze(1)
        shares = present.to(logits.dtype)
        if self.fusion is not None:
            # the feature form also feels the stand-in of what is missing, no share of anything
            both = present.all(1, keepdim=True)
            shares = self.fusion.shares(*inputs, present, culture).where(both, shares)
        return log_probabilities(logits).exp(), shares

    def _readable(self, present: Tensor) -> Tensor:
        """Which of image and caption it looks at: bool [2]."""
        readable = [name in self.modalities for name in ("image", "caption")]
        return torch.tensor(readable, device=present.device)

    def _combined(self, inputs: tuple[Tensor, Tensor], present: Tensor, culture: Tensor) -> Tensor:
        image, caption = inputs
        if self.fusion is None:
            return image if self.image is not None else caption
        logits: Tensor = self.fusion(image, caption, present, culture)
        return logits

    def _inputs(self, image: Tensor, caption: Tensor, culture: Tensor) -> tuple[Tensor, Tensor]:
        """What the fusion takes, or the one branch's own logits."""
        if self.fusion is None or isinstance(self.fusion, LogitFusion):
            if self.image is not None:
                image = self.image.head.emotion_logits(image, culture)
            if self.caption is not None:
                caption = self.caption.head.emotion_logits(caption, culture)
        return image, caption
