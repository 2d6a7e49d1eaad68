"""Linear combinations of what several sources, such as image and caption, predict.

The paper (MVIP 2024) combines two latent vectors as ``x1 * image + x2 * text + b``. Here any number
of named sources are combined, in one of several forms. To add a form, subclass :class:`LinearFusion`
or one of its forms and decorate the class with :func:`register_fusion`; it is used by its name.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artaffect.config import FUSION_INPUTS, FusionConfig, TrainConfig
from artaffect.errors import UnknownNameError
from artaffect.labels import ARTEMIS
from artaffect.models.heads import EmotionHead, FeatureScaler


@dataclass(frozen=True)
class SourceOutputs:
    """What every source gives for the same rows."""

    features: Mapping[str, tuple[Tensor, Tensor]]
    """For each source, features [p, width], and each row's index into them [n]."""
    logits: Mapping[str, Tensor]
    """For each source [2, n, k]: for the row's own culture, then for all cultures together. NaN in training
    rows on which no combination of logits is fitted."""
    culture: Tensor
    """[n]."""
    emotion: Tensor
    """[n]: the label, or for a partial label ``k`` plus the position of its set in ``partial``."""
    partial: Tensor | None = None
    """The sets that partial labels stand for: bool [s, k]."""


@dataclass(frozen=True)
class FusionSetup:
    """What a new fusion is made for."""

    config: FusionConfig
    widths: Mapping[str, int]
    """Width of the features of each source."""
    cultures: int
    """Number of cultures, without all of them together."""
    n_cultures: int
    """Number of cultures that the model may distinguish: ``cultures``, or 0 if it is blind."""
    labels: int = len(ARTEMIS)


@dataclass(frozen=True)
class FusionTraining:
    """How a fusion is fitted."""

    config: TrainConfig | None
    """None: convex, and so fitted to all rows at once."""
    columns: Mapping[str, Tensor]
    """``culture``, ``emotion`` and inputs of the sources by name [n, ...]."""
    shared: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Inputs of which many rows share a value: values, and each row's index."""
    modality_dropout: float = 0.0
    """Share of the rows that lose one source."""
    cultures: int = 0
    """One row in ``cultures + 1`` loses its culture; with 0, none does."""


class LinearFusion(nn.Module, ABC):
    """A form of combination.

    ``forward(inputs, present, culture)`` gives logits [n, k]. ``inputs`` holds a tensor for each
    source, either features or logits [n, width]; ``present`` is bool [n, sources]; ``culture``
    holds indices [n], 0 for all cultures together. The values of a missing source have no influence.
    """

    form: ClassVar[str]
    """Name in recipes and saved models."""
    takes_logits: ClassVar[bool]
    """Whether the inputs are the logits of the sources' heads, or their features."""
    sources: tuple[str, ...]
    weight: nn.Parameter | Tensor
    """Weight of each source [culture or 1, sources]; row 0 is for all cultures together."""

    @classmethod
    @abstractmethod
    def create(cls, setup: FusionSetup, per_culture: bool) -> Self:
        """An untrained fusion, with weights for each culture or one set for all."""

    @classmethod
    def candidates(cls, setup: FusionSetup) -> dict[str, Self]:
        """Every variant of this form that the settings allow, by a name for the training log."""
        automatic = (False, True) if setup.n_cultures else (False,)
        choices = {"on": (True,), "off": (False,), "auto": automatic}[setup.config.per_culture]
        return {
            cls.form + "_per_culture" * per_culture: cls.create(setup, per_culture)
            for per_culture in choices
        }

    def initialize(self, log_prior: Tensor, scalers: Mapping[str, FeatureScaler]) -> None:
        """Set what follows from training data before anything is learned.

        Args:
            log_prior: log of each culture's distribution, all cultures first [cultures + 1, k].
            scalers: fitted to the features of each source.
        """

    @abstractmethod
    def inputs(self, outputs: SourceOutputs) -> list[Tensor]:
        """The inputs of ``forward`` for rows of known sources."""

    @abstractmethod
    def plan_training(self, outputs: SourceOutputs, config: FusionConfig) -> FusionTraining:
        """How to fit this fusion on rows."""

    @abstractmethod
    def terms(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        """The term of each source in the sum: [n, sources, width]."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """The form and the arguments that make an equal fusion, as a saved model stores them."""

    def shares(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        """How much each source moved the prediction: [n, sources], rows sum to 1."""
        size = self.terms(inputs, present, culture).abs().sum(-1)
        return size / size.sum(-1, keepdim=True).clamp_min(1e-12)

    def additive_terms(
        self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor
    ) -> dict[str, Tensor] | None:
        """Terms [n, k] whose sum is exactly the logits: ``prior`` and the sources by name.

        None if the form has no such terms.
        """
        return None

    def _weight_of(self, culture: Tensor) -> Tensor:
        return self.weight[culture if len(self.weight) > 1 else torch.zeros_like(culture)]


FUSION_FORMS: dict[str, type[LinearFusion]] = {}
"""All forms by name."""

Form = TypeVar("Form", bound=type[LinearFusion])


def register_fusion(form: Form) -> Form:
    """Make a form available to recipes and saved models; a class decorator."""
    FUSION_FORMS[form.form] = form
    FUSION_INPUTS[form.form] = "logits" if form.takes_logits else "features"
    return form


def build_fusion(settings: Mapping[str, Any]) -> LinearFusion:
    """The untrained fusion that :meth:`LinearFusion.settings` describes."""
    arguments = dict(settings)
    form = arguments.pop("form")
    if form not in FUSION_FORMS:
        raise UnknownNameError("form of fusion", str(form), FUSION_FORMS)
    return FUSION_FORMS[form](**arguments)


@register_fusion
class LogitFusion(LinearFusion):
    """Weighs how far each source moves the prediction from the culture's prior.

    With prior ``p`` and a source's distribution ``q``, the logits are
    ``log p + sum of w (log q - log p) + b``. A source that is present alone keeps its own prediction.
    """

    form = "logits"
    takes_logits = True
    log_prior: Tensor

    def __init__(
        self,
        sources: Sequence[str],
        cultures: int,
        per_culture: bool = False,
        labels: int = len(ARTEMIS),
    ) -> None:
        """Create a fusion that trusts the last source fully, and the others a little."""
        super().__init__()
        self.sources = tuple(sources)
        self.cultures, self.per_culture, self.labels = cultures, per_culture, labels
        rows = cultures + 1 if per_culture else 1
        start = [0.25] * (len(self.sources) - 1) + [1.0]
        self.register_buffer("log_prior", torch.zeros(cultures + 1, labels))
        self.weight = nn.Parameter(torch.tensor([start] * rows))
        self.bias = nn.Parameter(torch.zeros(labels))

    @classmethod
    def create(cls, setup: FusionSetup, per_culture: bool) -> Self:
        return cls(tuple(setup.widths), setup.cultures, per_culture, setup.labels)

    def initialize(self, log_prior: Tensor, scalers: Mapping[str, FeatureScaler]) -> None:
        self.log_prior.copy_(log_prior)

    def inputs(self, outputs: SourceOutputs) -> list[Tensor]:
        return [outputs.logits[name][0] for name in self.sources]

    def plan_training(self, outputs: SourceOutputs, config: FusionConfig) -> FusionTraining:
        # every row twice, also for all cultures together; with a source missing there is nothing
        # to weigh, and so nothing to learn
        known = outputs.logits[self.sources[0]][0, :, 0].isfinite()
        columns = {name: outputs.logits[name][:, known].flatten(0, 1) for name in self.sources}
        culture = outputs.culture[known]
        columns["culture"] = torch.cat([culture, torch.zeros_like(culture)])
        columns["emotion"] = outputs.emotion[known].repeat(2)
        return FusionTraining(None, columns)

    def forward(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        terms = self.terms(inputs, present, culture)
        return self.log_prior[culture] + terms.sum(1) + _several(present) * self.bias

    def terms(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        """How far each source moves each label's logit from the prior: [n, sources, k]."""
        weight = torch.where(_several(present), self._weight_of(culture), 1.0)
        prior = self.log_prior[culture].unsqueeze(1)
        shift = F.log_softmax(torch.stack(list(inputs), 1), -1) - prior
        return torch.where(present.unsqueeze(-1), weight.unsqueeze(-1) * shift, 0.0)

    def additive_terms(
        self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor
    ) -> dict[str, Tensor]:
        terms = self.terms(inputs, present, culture).unbind(1)
        prior = self.log_prior[culture] + _several(present) * self.bias
        return {"prior": prior, **dict(zip(self.sources, terms, strict=True))}

    def settings(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "sources": list(self.sources),
            "cultures": self.cultures,
            "per_culture": self.per_culture,
            "labels": self.labels,
        }


def _several(present: Tensor) -> Tensor:
    """Whether a row has more than one source: bool [n, 1]."""
    return present.sum(1, keepdim=True) > 1


@register_fusion
class FeatureFusion(LinearFusion):
    """The paper's form: features projected to one size, weighed, added, classified.

    A learned vector, trained with modality dropout, replaces the features of a missing source.
    """

    form = "features"
    takes_logits = False

    def __init__(
        self,
        widths: Mapping[str, int],
        cultures: int,
        per_culture: int = 0,
        latent: int = 256,
        dropout: float = 0.5,
        hidden: Sequence[int] = (),
        labels: int = len(ARTEMIS),
    ) -> None:
        """Create an untrained fusion.

        Args:
            widths: width of the features of each source.
            cultures: number of cultures that its head distinguishes; 0 makes it blind.
            per_culture: number of cultures with weights of their own; 0: one set for all.
            latent: the size that the features are projected to.
            hidden: widths of the layers after the sum.
        """
        super().__init__()
        self._settings: dict[str, Any] = {
            "form": self.form,
            "widths": dict(widths),
            "cultures": cultures,
            "per_culture": per_culture,
            "latent": latent,
            "dropout": dropout,
            "hidden": list(hidden),
            "labels": labels,
        }
        self.sources = tuple(widths)
        self.scalers = nn.ModuleList([FeatureScaler(width) for width in widths.values()])
        self.projections = nn.ModuleList([nn.Linear(width, latent) for width in widths.values()])
        self.weight = nn.Parameter(torch.ones(per_culture + 1, len(widths)))
        self.bias = nn.Parameter(torch.zeros(1))
        self.missing = nn.Parameter(torch.zeros(len(widths), latent))
        self.input_dropout = nn.Dropout(dropout / 2)
        # layer norm where the paper has batch norm: a batch of one is no special case
        self.after = nn.Sequential(nn.LayerNorm(latent), nn.GELU(), nn.Dropout(dropout))
        self.head = EmotionHead(latent, cultures, hidden, dropout, labels=labels)
        nn.init.normal_(self.head.shared.weight, std=self.head.shared.in_features**-0.5)

    @classmethod
    def create(cls, setup: FusionSetup, per_culture: bool) -> Self:
        config, weighed = setup.config, setup.cultures if per_culture else 0
        sizes = (config.latent, config.dropout, config.hidden, setup.labels)
        return cls(setup.widths, setup.n_cultures, weighed, *sizes)

    def initialize(self, log_prior: Tensor, scalers: Mapping[str, FeatureScaler]) -> None:
        for name, scaler in zip(self.sources, self.scalers, strict=True):
            scaler.load_state_dict(scalers[name].state_dict())

    def inputs(self, outputs: SourceOutputs) -> list[Tensor]:
        return [values[i] for values, i in (outputs.features[name] for name in self.sources)]

    def plan_training(self, outputs: SourceOutputs, config: FusionConfig) -> FusionTraining:
        columns = {"culture": outputs.culture, "emotion": outputs.emotion}
        shared = {name: outputs.features[name] for name in self.sources}
        cultures = max(self._settings["cultures"], self._settings["per_culture"])
        dropout = config.modality_dropout
        return FusionTraining(config.features, columns, shared, dropout, cultures)

    def forward(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        combined = self.terms(inputs, present, culture).sum(1) + self.bias
        return self.head(self.after(combined), culture)

    def terms(self, inputs: Sequence[Tensor], present: Tensor, culture: Tensor) -> Tensor:
        """The weighed latents: [n, sources, latent]; a large one need not be an important one."""
        layers = zip(self.projections, self.scalers, inputs, strict=True)
        projected = [project(self.input_dropout(scale(x))) for project, scale, x in layers]
        latents = torch.where(present.unsqueeze(-1), torch.stack(projected, 1), self.missing)
        return self._weight_of(culture).unsqueeze(-1) * latents

    def settings(self) -> dict[str, Any]:
        return dict(self._settings)
