"""From features to emotions: the head, and an encoder with its head."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.labels import EMOTIONS


class FeatureScaler(nn.Module):
    """Centre and scale features by what the training rows had; both travel with the weights."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    @torch.no_grad()
    def fit(self, features: Tensor, frozen: bool = True) -> None:
        """Take the centre and spread of training features [n, width].

        Args:
            frozen: whether the features stay as they are. Where their encoder is trained, a feature
                that hardly varies today may move tomorrow: none is scaled up beyond the average, nor
                all of them far beyond their size.
        """
        spread = features.std(0)
        least = torch.tensor(1e-6)
        if not frozen:
            size = features.square().mean().sqrt()
            least = torch.stack([least, spread.mean(), 0.1 * size]).max()
        self.mean.copy_(features.mean(0))
        self.scale.copy_(torch.maximum(spread, least))

    def forward(self, features: Tensor) -> Tensor:
        """Features [n, width] on the training rows' scale."""
        return (features - self.mean) / self.scale


class EmotionHead(nn.Module):
    """Logits of nine emotions for each culture, out of standardised features.

    A culture's answer is a shared map plus the culture's own deviation from it, so that cultures
    with few annotations lean on the others (regularised multi-task learning, Evgeniou and Pontil
    2004). Culture 0 is the public as a whole.
    """

    def __init__(
        self,
        feature_dim: int,
        cultures: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
        culture_input: str = "head",
        multi_label: bool = False,
    ) -> None:
        """Make an untrained head.

        Args:
            feature_dim: width of the features.
            cultures: how many cultures it knows apart; 0 makes it blind to culture.
            hidden: widths of the hidden layers; none for a linear head.
            dropout: applied after each hidden layer while training, and half of it before them.
            culture_input: ``head`` as above, or ``embedding``: a vector for each culture is added
                to the features.
            multi_label: trained to say of each emotion by itself whether anyone felt it.
        """
        super().__init__()
        self.settings: dict[str, Any] = {
            "feature_dim": feature_dim,
            "cultures": cultures,
            "hidden": list(hidden),
            "dropout": dropout,
            "culture_input": culture_input,
            "multi_label": multi_label,
        }
        """What a saved model keeps beside the weights."""
        self.multi_label = multi_label
        self.scaler = FeatureScaler(feature_dim)
        layers: list[nn.Module] = [nn.Dropout(dropout / 2)] if hidden else []
        width = feature_dim
        for wider in hidden:
            layers += [nn.Linear(width, wider), nn.GELU(), nn.Dropout(dropout)]
            width = wider
        self.body = nn.Sequential(*layers)
        self.shared = nn.Linear(width, len(EMOTIONS))
        self.deviation: nn.Linear | None = None
        self.embedding: nn.Embedding | None = None
        if cultures and culture_input == "embedding":
            self.embedding = nn.Embedding(cultures + 1, feature_dim)
            nn.init.zeros_(self.embedding.weight)
        elif cultures:
            self.deviation = nn.Linear(width, (cultures + 1) * len(EMOTIONS))
            nn.init.zeros_(self.deviation.weight)
            nn.init.zeros_(self.deviation.bias)
        nn.init.zeros_(self.shared.bias)
        if not hidden:  # a linear head starts from saying the same of every picture
            nn.init.zeros_(self.shared.weight)

    @torch.no_grad()
    def start(self, features: Tensor, counts: Tensor, frozen: bool = True) -> None:
        """Begin from what is known without learning.

        Args:
            features: training features [n, feature_dim], for their centre and spread.
            counts: how often each emotion was chosen [9]: the answer before anything is learned.
            frozen: whether the features stay as they are while the head learns.
        """
        self.scaler.fit(features, frozen)
        self.shared.bias.copy_(((counts + 1) / (counts + 1).sum()).log())

    def forward(self, features: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, 9] of features [n, feature_dim] for cultures given as indices [n].

        They are logits of one distribution over the emotions, or, where ``multi_label``, of nine
        answers yes or no.
        """
        x = self.scaler(features)
        if self.embedding is not None:
            x = x + self.embedding(culture)
        x = self.body(x)
        logits: Tensor = self.shared(x)
        if self.deviation is None:
            return logits
        deviations = self.deviation(x).unflatten(1, (-1, len(EMOTIONS)))
        mine = deviations.gather(1, culture.view(-1, 1, 1).expand(-1, 1, len(EMOTIONS)))
        result: Tensor = logits + mine.squeeze(1)
        return result

    def emotion_logits(self, features: Tensor, culture: Tensor) -> Tensor:
        """Logits of one distribution over the emotions [n, 9], whatever the head was trained for.

        Nine answers yes or no become a distribution in proportion to their probabilities.
        """
        logits: Tensor = self(features, culture)
        return F.logsigmoid(logits) if self.multi_label else logits

    def penalty(self) -> Tensor:
        """Sum of squared weights of the maps to emotions: what ridge regression holds small."""
        total = self.shared.weight.square().sum()
        return total if self.deviation is None else total + self.deviation.weight.square().sum()


Encoder = TypeVar("Encoder", bound=nn.Module)


class EmotionClassifier(nn.Module, Generic[Encoder]):
    """An encoder and the head that was trained on its features."""

    encoder: Encoder

    def __init__(self, encoder: Encoder, head: EmotionHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, *inputs: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, 9] of the encoder's inputs for cultures given as indices [n]."""
        logits: Tensor = self.head(self.encoder(*inputs), culture)
        return logits


def log_probabilities(logits: Tensor) -> Tensor:
    """Normalise logits in double precision, so that sums of probabilities are exact to 1e-12."""
    return F.log_softmax(logits.double(), dim=-1)
