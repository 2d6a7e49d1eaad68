"""The linear combination of what the image and the caption say.

The paper (MVIP 2024) combines two latent vectors as ``x1 * image + x2 * text + b``, three scalars in
all. ``LinearFusion`` has that form over features, and a second one over logits, where each modality's
part in an answer can be read off exactly.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.labels import EMOTIONS
from artaffect.models.heads import EmotionHead, FeatureScaler


class LinearFusion(nn.Module):
    """What both forms have in common.

    ``forward(image, caption, present, culture)`` gives logits [n, 9]. ``image`` and ``caption`` are
    what the form takes (features, or the branches' logits), ``present`` is bool [n, 2], and
    ``culture`` holds indices [n], 0 for the public as a whole. A missing modality's row may hold
    anything: it has no influence.
    """

    form: str
    weight: nn.Parameter
    """[culture or 1, 2]: of image and caption where both are there."""

    def shares(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        """How much each modality moved the answer: [n, 2], rows sum to 1."""
        size = self.terms(image, caption, present, culture).abs().sum(-1)
        return size / size.sum(-1, keepdim=True).clamp_min(1e-12)

    def terms(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        """The two terms of the sum: [n, 2, width]."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """What a saved model keeps beside the weights."""
        raise NotImplementedError


class LogitFusion(LinearFusion):
    """Weigh how far each modality moves the answer from what the culture answers anyway.

    With ``p`` the culture's prior and ``i``, ``c`` the branches' distributions, the logits are
    ``log p + w_i (log i - log p) + w_c (log c - log p) + b``. Where a modality is missing, the other
    branch's own answer stands as it is.
    """

    form = "logits"
    log_prior: Tensor

    def __init__(self, cultures: int, per_culture: bool = False) -> None:
        """Make a fusion that trusts the caption, and the image a little.

        Args:
            cultures: how many cultures there are, without the public as a whole.
            per_culture: one pair of weights for each culture instead of one for all.
        """
        super().__init__()
        self.cultures, self.per_culture = cultures, per_culture
        rows = cultures + 1 if per_culture else 1
        self.register_buffer("log_prior", torch.zeros(cultures + 1, len(EMOTIONS)))
        self.weight = nn.Parameter(torch.tensor([[0.25, 1.0]]).repeat(rows, 1))
        """[culture or 1, modality]."""
        self.bias = nn.Parameter(torch.zeros(len(EMOTIONS)))

    def forward(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        terms = self.terms(image, caption, present, culture)
        bias = present.all(1, keepdim=True) * self.bias
        return self.log_prior[culture] + terms.sum(1) + bias

    def terms(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        """How far each modality moves each emotion's logit from the prior: [n, 2, 9]."""
        weight = self.weight[culture if self.per_culture else torch.zeros_like(culture)]
        weight = torch.where(present.all(1, keepdim=True), weight, 1.0)
        prior = self.log_prior[culture].unsqueeze(1)
        said = F.log_softmax(torch.stack([image, caption], 1), -1) - prior
        return torch.where(present.unsqueeze(-1), weight.unsqueeze(-1) * said, 0.0)

    def settings(self) -> dict[str, Any]:
        return {"form": self.form, "cultures": self.cultures, "per_culture": self.per_culture}


class FeatureFusion(LinearFusion):
    """The paper's form: both features projected to one size, weighed, added, classified.

    Where a modality is missing, a learned vector stands in its place, which modality dropout
    trains; the network never sees a feature of an input that was not there.
    """

    form = "features"

    def __init__(
        self,
        image_dim: int,
        caption_dim: int,
        cultures: int,
        per_culture: int = 0,
        latent: int = 256,
        dropout: float = 0.5,
        hidden: Sequence[int] = (),
    ) -> None:
        """Make an untrained fusion.

        Args:
            image_dim: width of the image features.
            caption_dim: width of the caption features.
            cultures: how many cultures its head knows apart; 0 makes it blind to culture.
            per_culture: how many cultures have a pair of weights of their own; 0: one for all.
            latent: the size that both modalities are projected to.
            dropout: of the latents, while training.
            hidden: widths of the layers behind the sum.
        """
        super().__init__()
        self._settings = {
            "form": self.form,
            "image_dim": image_dim,
            "caption_dim": caption_dim,
            "cultures": cultures,
            "per_culture": per_culture,
            "latent": latent,
            "dropout": dropout,
            "hidden": list(hidden),
        }
        self.per_culture = per_culture
        self.image_scaler = FeatureScaler(image_dim)
        self.caption_scaler = FeatureScaler(caption_dim)
        self.image_projection = nn.Linear(image_dim, latent)
        self.caption_projection = nn.Linear(caption_dim, latent)
        self.weight = nn.Parameter(torch.ones(per_culture + 1, 2))
        self.bias = nn.Parameter(torch.zeros(1))
        self.absent = nn.Parameter(torch.zeros(2, latent))
        self.inputs = nn.Dropout(dropout / 2)
        # layer norm where the paper has batch norm: a batch of one is no special case
        self.after = nn.Sequential(nn.LayerNorm(latent), nn.GELU(), nn.Dropout(dropout))
        self.head = EmotionHead(latent, cultures, hidden, dropout)
        nn.init.normal_(self.head.shared.weight, std=self.head.shared.in_features**-0.5)

    def forward(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        combined = self.terms(image, caption, present, culture).sum(1) + self.bias
        logits: Tensor = self.head(self.after(combined), culture)
        return logits

    def terms(self, image: Tensor, caption: Tensor, present: Tensor, culture: Tensor) -> Tensor:
        """The weighed latents: [n, 2, latent]. Their sizes say little more than who spoke louder."""
        latents = torch.stack(
            [
                self.image_projection(self.inputs(self.image_scaler(image))),
                self.caption_projection(self.inputs(self.caption_scaler(caption))),
            ],
            1,
        )
        weight = self.weight[culture if self.per_culture else torch.zeros_like(culture)]
        latents = torch.where(present.unsqueeze(-1), latents, self.absent)
        return weight.unsqueeze(-1) * latents

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)


def build_fusion(settings: Mapping[str, Any]) -> LinearFusion:
    """An untrained fusion of a saved model's form and size."""
    forms: dict[str, type[LinearFusion]] = {"logits": LogitFusion, "features": FeatureFusion}
    arguments = dict(settings)
    return forms[arguments.pop("form")](**arguments)
