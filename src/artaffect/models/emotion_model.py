"""The whole model: an image source, a caption source or both with their fusion, for named cultures."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artaffect.errors import InputError, ModelFolderError
from artaffect.labels import ANY_CULTURE, ARTEMIS, LabelSet
from artaffect.metrics.conformal import ConformalScores
from artaffect.models.fusion import LinearFusion
from artaffect.models.heads import EmotionClassifier, log_probabilities
from artaffect.models.image_encoder import ImageEncoder
from artaffect.models.text_encoders import TextEncoder

_LEAST = 1e-4
"""A probability of an outside source is at least this: none excludes a label for certain."""

SOURCES = ("image", "caption")
"""In the order of ``present`` and of the fusion's inputs."""


class EmotionModel(nn.Module):
    """Encoders with their heads, and the fusion of both sources."""

    temperature: Tensor
    """[3, cultures + 1]: divides the logits of predictions from the image, the caption, and both,
    for each culture (Guo et al. 2017); 1 until it is fitted."""
    outside_temperature: Tensor
    """The same for predictions that also use outside sources."""

    def __init__(
        self,
        image: EmotionClassifier[ImageEncoder] | None,
        caption: EmotionClassifier[TextEncoder] | None,
        fusion: LinearFusion | None,
        cultures: Sequence[str],
        languages: Sequence[str] = (),
        labels: LabelSet = ARTEMIS,
        outside: LinearFusion | None = None,
    ) -> None:
        """Put a model together.

        Args:
            outside: combines the model's own logits with predictions that were made elsewhere, its further
                sources; without these predictions the model works as it does without this combination.
        """
        super().__init__()
        if (image is not None and caption is not None) != (fusion is not None):
            raise ValueError("a model has a fusion if, and only if, it has two sources")
        self.image = image
        self.caption = caption
        self.fusion = fusion
        self.cultures = tuple(cultures)
        self.languages = tuple(languages)
        """Languages of the training captions."""
        self.labels = labels
        self.outside = outside
        self.conformal: ConformalScores | None = None
        """What prediction sets are made from; None until it is fitted."""
        self.register_buffer("temperature", torch.ones(3, len(self.cultures) + 1))
        if outside is not None:
            self.register_buffer("outside_temperature", torch.ones(3, len(self.cultures) + 1))

    @property
    def outside_names(self) -> tuple[str, ...]:
        """The outside sources that the model can use."""
        return () if self.outside is None else self.outside.sources[len(self.modalities) :]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The sources that the model reads: ``image``, ``caption`` or both."""
        return tuple(name for name in SOURCES if getattr(self, name) is not None)

    @property
    def encoders(self) -> tuple[ImageEncoder | None, TextEncoder | None]:
        """The encoders of image and caption; None for a source that the model does not read."""
        image, caption = self.image, self.caption
        return image.encoder if image else None, caption.encoder if caption else None

    @property
    def blind(self) -> bool:
        """Whether its heads give every culture the same prediction."""
        heads = [source.head for source in (self.image, self.caption) if source is not None]
        return all(head.settings["cultures"] == 0 for head in heads)

    def culture_index(self, culture: str) -> int:
        """The index of a culture; 0, all cultures together, for one that was not in training."""
        return (ANY_CULTURE, *self.cultures).index(culture) if culture in self.cultures else 0

    def fusion_inputs(self, image: Tensor, caption: Tensor, culture: Tensor) -> list[Tensor]:
        """What the fusion combines: the features themselves, or the logits of the heads."""
        if self.fusion is None or self.fusion.takes_logits:
            return self._own_logits(image, caption, culture)
        return [image, caption]

    def logits(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, k] of one distribution; see :meth:`answer` for the arguments.

        A source that is present alone keeps its own prediction, whatever the form of the fusion.
        """
        return self._combine(self.fusion_inputs(image, caption, culture), present, culture)

    @torch.no_grad()
    def answer(
        self,
        image: Tensor,
        caption: Tensor,
        present: Tensor,
        culture: Tensor,
        calibrated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Predict from features.

        Args:
            image: features [n, d]; rows without an image may hold anything.
            caption: features [n, e]; rows without a caption may hold anything.
            present: whether each row has an image and a caption: bool [n, 2], at least one of them.
            culture: indices [n].
            calibrated: divide the logits by the temperature.

        Returns:
            Probabilities float64 [n, k], and the share of each source in the prediction [n, 2].

        Raises:
            InputError: a row has nothing that this model reads.
            ModelFolderError: calibrated predictions are not finite.
        """
        usable = present & self._readable(present)
        if not usable.any(1).all():
            raise InputError(
                f"this model reads {' and '.join(self.modalities)} only, and a row has none of it"
            )
        probabilities, shares = self.distribution(image, caption, present, culture, calibrated)
        if calibrated and not (probabilities.isfinite().all() and shares.isfinite().all()):
            raise ModelFolderError(
                "the model's predictions are not finite numbers: its weights are damaged, or its "
                "training diverged"
            )
        return probabilities, shares

    def distribution(
        self,
        image: Tensor,
        caption: Tensor,
        present: Tensor,
        culture: Tensor,
        calibrated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """:meth:`answer` without checks that depend on values, so that it can be exported."""
        present = present & self._readable(present)
        inputs = self.fusion_inputs(image, caption, culture)
        logits = self._combine(inputs, present, culture)
        if calibrated:
            logits = logits / self.temperature[_kind(present), culture].unsqueeze(1)
        shares = present.to(logits.dtype)
        if self.fusion is not None:
            # the learned vector of a missing source is not a share of the prediction
            both = present.all(1, keepdim=True)
            shares = self.fusion.shares(inputs, present, culture).where(both, shares)
        return log_probabilities(logits).exp(), shares

    forward = distribution  # the part of the model that is exported behind the encoders

    @torch.no_grad()
    def answer_with_outside(
        self,
        image: Tensor,
        caption: Tensor,
        present: Tensor,
        culture: Tensor,
        outside: Tensor,
        calibrated: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`answer`, with the predictions of outside sources.

        Args:
            outside: probabilities of each source [n, m, k], in the order of :attr:`outside_names`; NaN
                where a source has none. A row without any is predicted by the model alone.

        Returns:
            Probabilities float64 [n, k], and the share of image, caption and each source [n, 2 + m].
        """
        probabilities, shares = self.answer(image, caption, present, culture, calibrated)
        known = outside.isfinite().all(-1)
        shares = torch.cat([shares, torch.zeros_like(known, dtype=shares.dtype)], 1)
        rows = known.any(1)
        if self.outside is None or not rows.any():
            return probabilities, shares
        present, culture, known = present[rows], culture[rows], known[rows]
        columns = [SOURCES.index(name) for name in self.modalities]
        own = self._own_logits(image[rows], caption[rows], culture)
        inputs = [*(own[i] for i in columns), *log_of(outside[rows]).unbind(1)]
        usable = torch.cat([present[:, columns], known], 1)
        logits = self.outside(inputs, usable, culture)
        if calibrated:
            kind = _kind(present & self._readable(present))
            logits = logits / self.outside_temperature[kind, culture].unsqueeze(1)
        probabilities[rows] = log_probabilities(logits).exp()
        combined = torch.zeros(
            len(known), shares.shape[1], dtype=shares.dtype, device=shares.device
        )
        places = [*columns, *range(2, shares.shape[1])]
        combined[:, places] = self.outside.shares(inputs, usable, culture).to(shares.dtype)
        shares[rows] = combined
        return probabilities, shares

    def _own_logits(self, image: Tensor, caption: Tensor, culture: Tensor) -> list[Tensor]:
        """The logits of the heads of image and caption; the features of a source without a head."""
        inputs = [image, caption]
        for i, source in enumerate((self.image, self.caption)):
            if source is not None:
                inputs[i] = source.head.emotion_logits(inputs[i], culture)
        return inputs

    def _combine(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, k] from the inputs of the fusion."""
        if self.fusion is None:
            return inputs[SOURCES.index(self.modalities[0])]
        own = inputs
        if not self.fusion.takes_logits:
            own = self._own_logits(inputs[0], inputs[1], culture)
        alone = torch.stack(tuple(own), 1).where(present.unsqueeze(-1), 0.0).sum(1)
        return self.fusion(inputs, present, culture).where(present.all(1, keepdim=True), alone)

    def _readable(self, present: Tensor) -> Tensor:
        """Which of image and caption the model reads: bool [2]."""
        return torch.tensor([name in self.modalities for name in SOURCES], device=present.device)


def _kind(present: Tensor) -> Tensor:
    """The row of the temperatures for each row of ``present``: image, caption or both."""
    return present[:, 0].long() + 2 * present[:, 1].long() - 1


def log_of(outside: Tensor) -> Tensor:
    """Log-probabilities float32 of what outside sources predict [..., k]; NaN stays NaN."""
    smoothed = outside.clamp_min(_LEAST)
    return (smoothed / smoothed.sum(-1, keepdim=True)).log().float()
