"""From features to emotions: the head, and an encoder with its head."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.labels import ARTEMIS

_CHUNK = 16_384
"""Rows of features that are in work at once."""


class FeatureScaler(nn.Module):
    """Standardises features with the mean and deviation of the training rows."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @torch.no_grad()
    def fit(
        self, features: Tensor, frozen: bool = True, counts: Tensor | None = None
    ) -> "FeatureScaler":
        """Take mean and deviation of training features [n, width]; ``frozen``: they stay as they are.

        Args:
            counts: how often each row of the features counts [n]; by default once.
        """
        counts = torch.ones(len(features)) if counts is None else counts.float()
        total = counts.sum()
        # in parts, so that a million rows are not copied
        parts = [slice(i, i + _CHUNK) for i in range(0, len(features), _CHUNK)]
        mean = torch.stack([counts[part] @ features[part] for part in parts]).sum(0) / total
        squares = [counts[part] @ (features[part] - mean).square() for part in parts]
        deviation = (torch.stack(squares).sum(0) / (total - 1).clamp_min(1)).sqrt()
        minimum = torch.tensor(1e-6)
        if not frozen:
            # a feature that hardly varies now may vary later: none is scaled up beyond the average,
            # and all of them together not far beyond their size
            size = features.square().mean().sqrt()
            minimum = torch.stack([minimum, deviation.mean(), 0.1 * size]).max()
        self.mean.copy_(mean)
        self.scale.copy_(torch.maximum(deviation, minimum))
        return self

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, width] on the scale of the training rows."""
        return (features - self.mean) / self.scale


class EmotionHead(nn.Module):
    """Maps standardised features to a logit of each label for each culture.

    A culture's logits are a shared map plus the culture's own deviation from it, so that cultures
    with few annotations borrow from the others (regularised multi-task learning, Evgeniou and Pontil
    2004). Culture 0 stands for all cultures together.
    """

    def __init__(
        self,
        feature_dim: int,
        cultures: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        culture_input: str = "head",
        multi_label: bool = False,
        labels: int = len(ARTEMIS),
    ) -> None:
        """Create an untrained head.

        Args:
            cultures: number of cultures it distinguishes; 0 makes it blind to culture.
            hidden: widths of the hidden layers; without any, the head is linear.
            dropout: dropout after each hidden layer; half of it is applied before them.
            culture_input: ``head`` as above, or ``embedding``: each culture's vector is added to the
                features, which in a linear head amounts to a bias for each culture.
            multi_label: predict for each label separately whether anyone chose it.
            labels: number of labels.
        """
        super().__init__()
        self.settings: dict[str, Any] = {
            "feature_dim": feature_dim,
            "cultures": cultures,
            "hidden": list(hidden),
            "dropout": dropout,
            "culture_input": culture_input,
            "multi_label": multi_label,
            "labels": labels,
        }
        """The arguments, as a saved model stores them."""
        self.multi_label, self.labels = multi_label, labels
        self.scaler = FeatureScaler(feature_dim)
        layers: list[nn.Module] = [nn.Dropout(dropout / 2)] if hidden else []
        width = feature_dim
        for next_width in hidden:
            layers += [nn.Linear(width, next_width), nn.GELU(), nn.Dropout(dropout)]
            width = next_width
        self.body = nn.Sequential(*layers)
        self.shared = nn.Linear(width, labels)
        self.deviation: nn.Linear | None = None
        self.embedding: nn.Embedding | None = None
        if cultures and culture_input == "embedding":
            self.embedding = nn.Embedding(cultures + 1, feature_dim)
            nn.init.zeros_(self.embedding.weight)
        elif cultures:
            self.deviation = nn.Linear(width, (cultures + 1) * labels)
            nn.init.zeros_(self.deviation.weight)
            nn.init.zeros_(self.deviation.bias)
        nn.init.zeros_(self.shared.bias)
        if not hidden:  # a linear head starts with the same prediction for every input
            nn.init.zeros_(self.shared.weight)

    @torch.no_grad()
    def initialize_from(
        self,
        features: Tensor,
        counts: Tensor,
        frozen: bool = True,
        repeats: Tensor | None = None,
    ) -> None:
        """Set scale and bias before anything is learned.

        Args:
            features: training features [n, feature_dim]; ``frozen``: they stay as they are.
            counts: votes for each label [k]; the untrained head predicts their distribution.
            repeats: how often each row of the features counts [n]; by default once.
        """
        self.scaler.fit(features, frozen, repeats)
        self.shared.bias.copy_(((counts + 1) / (counts + 1).sum()).log())

    @property
    def is_linear(self) -> bool:
        """Whether the logits are a linear function of features and weights."""
        return not len(self.body)

    def linear_logits(self, standardised: Tensor) -> Tensor:
        """A linear head's logits for every culture, all cultures first: [n, cultures + 1, k].

        Args:
            standardised: features on the scale of the training rows [n, feature_dim].
        """
        weight: Tensor = self.shared.weight
        bias: Tensor = self.shared.bias
        if self.deviation is not None:
            cultures = self.settings["cultures"] + 1
            weight = weight.repeat(cultures, 1) + self.deviation.weight
            bias = bias.repeat(cultures) + self.deviation.bias
        logits = F.linear(standardised, weight, bias).view(len(standardised), -1, self.labels)
        return logits if self.embedding is None else logits + self.embedding.weight @ weight.T

    def forward(self, features: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, k] of features [n, feature_dim] for culture indices [n].

        They belong to one distribution, or with ``multi_label`` to ``k`` separate probabilities.
        """
        x = self.scaler(features)
        if self.embedding is not None:
            x = x + self.embedding(culture)
        x = self.body(x)
        logits: Tensor = self.shared(x)
        if self.deviation is None:
            return logits
        deviations = self.deviation(x).unflatten(1, (-1, self.labels))
        index = culture.view(-1, 1, 1).expand(-1, 1, self.labels)
        return logits + deviations.gather(1, index).squeeze(1)

    def emotion_logits(self, features: Tensor, culture: Tensor) -> Tensor:
        """Logits of one distribution over the labels [n, k], also of a multi-label head.

        Separate probabilities become a distribution proportional to them.
        """
        logits = self(features, culture)
        return F.logsigmoid(logits) if self.multi_label else logits

    def penalty(self) -> Tensor:
        """Sum of the squared weights that map to labels, for ridge regression."""
        total = self.shared.weight.square().sum()
        return total if self.deviation is None else total + self.deviation.weight.square().sum()


Encoder = TypeVar("Encoder", bound=nn.Module)


class EmotionClassifier(nn.Module, Generic[Encoder]):
    """An encoder and the head trained on its features."""

    encoder: Encoder

    def __init__(self, encoder: Encoder, head: EmotionHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, *inputs: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, k] of the encoder's inputs for culture indices [n]."""
        return self.head(self.encoder(*inputs), culture)


def log_probabilities(logits: Tensor) -> Tensor:
    """Normalise logits in double precision, so that sums of probabilities are exact to 1e-12."""
    return F.log_softmax(logits.double(), dim=-1)
