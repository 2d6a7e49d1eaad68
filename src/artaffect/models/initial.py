"""A head that combines a newly trained head with that of an initial model.

The head of the initial model stays as it is. A new head learns from rows, and both are combined as image and
caption are, by :class:`~artaffect.models.fusion.LogitFusion`: with few rows the combination leans on the
initial model, with many on the new head.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from artaffect.models.fusion import LogitFusion
from artaffect.models.heads import EmotionHead

HEADS = ("new", "initial")
"""In the order of the combination's weights."""
PRIOR_WEIGHTS = (0.5, 0.75)
"""Weights before any label has been seen. They and the deviation were chosen on ArtEmis captions of the
training split; docs/results.md, "Learning from few labels", has the scores."""
PRIOR_DEVIATION = 0.25
"""Standard deviation of the normal prior of the weights and biases."""


class InitializedHead(EmotionHead):
    """A new head beside that of an initial model, on the features of the same encoder."""

    culture_of: Tensor

    def __init__(
        self, initial: Mapping[str, Any], culture_of: Sequence[int], **settings: Any
    ) -> None:
        """Create an untrained head.

        Args:
            initial: the settings of the initial head.
            culture_of: its culture for each culture of the new model, all of them together first
                [cultures + 1]; 0 for a culture that the initial model does not know.
            settings: those of the new head.
        """
        super().__init__(**settings)
        self.settings["initial"] = {"head": dict(initial), "culture_of": list(culture_of)}
        self.initial = EmotionHead(**initial).requires_grad_(False)
        self.combination = LogitFusion(HEADS, len(culture_of) - 1, labels=self.labels)
        self.register_buffer("culture_of", torch.tensor(culture_of), persistent=False)

    @classmethod
    def combine(
        cls, new: EmotionHead, initial: EmotionHead, culture_of: Sequence[int]
    ) -> "InitializedHead":
        """Two trained heads, with weights that are still to be fitted."""
        head = cls(initial.settings, culture_of, **new.settings)
        head.load_state_dict(new.state_dict(), strict=False)
        head.initial.load_state_dict(initial.state_dict())
        head.combination.weight.data.copy_(torch.tensor([PRIOR_WEIGHTS]))
        return head.eval()

    def with_new(self, new: EmotionHead) -> "InitializedHead":
        """The same combination with another new head."""
        initial = self.settings["initial"]
        head = InitializedHead.combine(new, self.initial, initial["culture_of"])
        head.combination.load_state_dict(self.combination.state_dict())
        return head

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each head in the combination."""
        return dict(zip(HEADS, self.combination.weight[0].tolist(), strict=True))

    def logits_of_both(self, features: Tensor, culture: Tensor) -> list[Tensor]:
        """The logits of the new head and of the initial one, each [n, k]."""
        initial = self.initial.emotion_logits(features, self.culture_of[culture])
        return [super().forward(features, culture), initial]

    def forward(self, features: Tensor, culture: Tensor) -> Tensor:
        """Logits [n, k] of features [n, feature_dim] for culture indices [n]."""
        logits = self.logits_of_both(features, culture)
        present = torch.ones_like(logits[0][:, : len(HEADS)], dtype=torch.bool)  # both, in each row
        combined: Tensor = self.combination(logits, present, culture)
        return combined


def build_head(settings: Mapping[str, Any]) -> EmotionHead:
    """The untrained head that the ``settings`` of a saved model describe."""
    arguments = dict(settings)
    initial = arguments.pop("initial", None)
    if initial is None:
        return EmotionHead(**arguments)
    return InitializedHead(initial["head"], initial["culture_of"], **arguments)
