"""Settings, as frozen dataclasses: what every recipe may say, and within which bounds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal


def _at_least(settings: object, **bounds: float) -> None:
    for name, bound in bounds.items():
        value = getattr(settings, name)
        if value < bound:
            raise ValueError(f"{name} must be at least {bound}, got {value}")


def _share(settings: object, *names: str) -> None:
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value < 1:
            raise ValueError(f"{name} must be at least 0 and below 1, got {value}")


def _check_hidden(hidden: Sequence[int]) -> None:
    if any(width < 1 for width in hidden):
        raise ValueError(f"hidden must list widths of at least 1, got {hidden}")


CultureInput = Literal["head", "embedding", "off"]
Layers = Literal["all", "none"] | int


@dataclass(frozen=True)
class TrainConfig:
    """How long and how fast to train."""

    epochs: int = 20
    """Passes over the training rows; the learning rate falls to zero over them."""
    batch_size: int = 256
    """Rows a step."""
    learning_rate: float = 1e-3
    """Peak learning rate of AdamW, after warm-up."""
    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW."""
    warmup: float = 0.1
    """Share of the steps over which the learning rate rises."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    patience: int = 5
    """Epochs without a better validation score after which training ends."""
    accumulation: int = 1
    """Batches whose gradients are added up before a step."""
    precision: Literal["full", "bf16", "fp16"] = "full"
    """Number format of the forward pass; weights stay in full precision."""
    metric: Literal["log_loss", "accuracy", "macro_f1", "hamming"] = "log_loss"
    """Which validation score decides on the best epoch."""

    def __post_init__(self) -> None:
        _at_least(self, epochs=1, batch_size=1, learning_rate=0, weight_decay=0)
        _at_least(self, patience=1, accumulation=1)
        _share(self, "warmup")


@dataclass(frozen=True)
class BranchConfig:
    """One modality: a frozen encoder and a head on its features."""

    encoder: str
    """The encoder's name, a model of transformers on the hub, or a folder."""
    hidden: tuple[int, ...] = ()
    """Widths of the head's hidden layers; none makes the head linear."""
    dropout: float = 0.0
    """Dropout in the head while training."""
    penalty: tuple[float, ...] = (0.0,)
    """Ridge penalties to try; the one with the best validation score is kept."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        _check_hidden(self.hidden)
        _share(self, "dropout")
        if not self.penalty or min(self.penalty) < 0:
            raise ValueError(f"penalty must list numbers of at least 0, got {self.penalty}")


@dataclass(frozen=True)
class FusionConfig:
    """How image and caption are combined."""

    form: Literal["auto", "logits", "features"] = "auto"
    """``logits``, ``features`` (the paper's), or the one with the better validation score."""
    per_culture: Literal["auto", "on", "off"] = "auto"
    """One pair of weights for each culture, or one for all."""
    latent: int = 256
    """Of the feature form: the size that both modalities are projected to."""
    dropout: float = 0.5
    """Of the feature form, while training."""
    hidden: tuple[int, ...] = ()
    """Of the feature form: widths of the layers behind the sum."""
    modality_dropout: float = 0.3
    """Of the feature form: share of the training rows that lose one modality."""
    logits: TrainConfig = field(default_factory=TrainConfig)
    """Training of the logit form, on out-of-fold answers of the branches."""
    features: TrainConfig = field(default_factory=TrainConfig)
    """Training of the feature form."""

    def __post_init__(self) -> None:
        _at_least(self, latent=1)
        _check_hidden(self.hidden)
        _share(self, "dropout", "modality_dropout")


@dataclass(frozen=True)
class ImageConfig:
    """An image encoder that is trained with its head."""

    encoder: str
    """The encoder's name, a model of transformers on the hub, or a folder."""
    run: str = ""
    """A model folder: take its trained image model instead of training one."""
    layers: Layers = "all"
    """What of the encoder is trained: ``all``, ``none``, or so many of its last blocks."""
    hidden: tuple[int, ...] = ()
    """Widths of the head's hidden layers; none makes the head linear."""
    dropout: float = 0.0
    """Dropout in the head while training."""
    objective: Literal["soft_label", "multi_label_l1", "multi_label_bce"] = "soft_label"
    """``soft_label``: the histogram of the votes; ``multi_label_…``: what anyone felt, as the paper."""
    crop: float = 0.9
    """Smallest share of the picture's side that a training view shows; 1 shows all of it."""
    flip: bool = True
    """Mirror half of the training views."""
    decoded: bool = False
    """Keep decoded pictures on disk, so that an epoch does not decode them again."""
    workers: int = 2
    """Processes that decode."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        _check_hidden(self.hidden)
        _check_layers(self.layers)
        _share(self, "dropout")
        _at_least(self, workers=0)
        if not 0.5 <= self.crop <= 1:
            raise ValueError(f"crop must be from 0.5 to 1, got {self.crop}")


@dataclass(frozen=True)
class CaptionConfig:
    """A text encoder that is trained with its head."""

    encoder: str
    """The encoder's name, a model of transformers on the hub, or a folder."""
    run: str = ""
    """A model folder: take its trained caption model instead of training one."""
    depth: int = 0
    """Keep so many of the encoder's layers, evenly chosen; 0 keeps all."""
    layers: Layers = "all"
    """What of the encoder is trained: ``all``, ``none``, or so many of its last blocks."""
    freeze_embeddings: bool = False
    """Leave the table of token vectors as it is: most of a multilingual model's weights."""
    vocabulary: Literal["all", "data"] = "all"
    """``data``: drop the tokens that no training caption needs."""
    hidden: tuple[int, ...] = ()
    """Widths of the head's hidden layers; none makes the head linear."""
    dropout: float = 0.0
    """Dropout in the head while training."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        _check_hidden(self.hidden)
        _check_layers(self.layers)
        _share(self, "dropout")
        _at_least(self, depth=0)


def _check_layers(layers: Layers) -> None:
    if isinstance(layers, int) and layers < 1:
        raise ValueError(f"layers must be 'all', 'none' or at least 1, got {layers}")


@dataclass(frozen=True)
class Recipe:
    """What every recipe has."""

    kind: ClassVar[str]
    culture: CultureInput = "head"
    """How a culture enters: ``head``, its own deviation from a shared head; ``embedding``, a vector
    added to the features; ``off``, not at all."""
    seed: int = 0
    """Of every random choice."""

    def __post_init__(self) -> None:
        _at_least(self, seed=0)


@dataclass(frozen=True, kw_only=True)
class CompactConfig(Recipe):
    """Frozen encoders, small heads, and their linear combination."""

    kind: ClassVar[str] = "compact"
    image: BranchConfig
    caption: BranchConfig
    fusion: FusionConfig = field(default_factory=FusionConfig)
    folds: int = 5
    """Parts of the training paintings; each is answered by branches that did not see it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, folds=2)


@dataclass(frozen=True, kw_only=True)
class TunedConfig(Recipe):
    """Encoders trained one by one; where both are there, their linear combination afterwards."""

    kind: ClassVar[str] = "tuned"
    image: ImageConfig | None = None
    caption: CaptionConfig | None = None
    fusion: FusionConfig = field(default_factory=FusionConfig)
    held_out: float = 0.0
    """Share of the training paintings that the encoders do not see: the combination is fitted on
    them. With 0 it is fitted on what the encoders learned from, as the paper did; that is open to
    the form ``features`` only. Runs to be combined later need the same share and seed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _share(self, "held_out")
        if self.image is None and self.caption is None:
            raise ValueError("a tuned recipe needs a group [image], [caption] or both")
        if not self.held_out and self.fusion.form != "features" and self.image and self.caption:
            raise ValueError(
                "held_out = 0 leaves the logit form nothing honest to be fitted on: "
                "set held_out to 0.1, or fusion.form to 'features'"
            )


@dataclass(frozen=True, kw_only=True)
class DistillationConfig(Recipe):
    """A text model, and a smaller one that learns from it."""

    kind: ClassVar[str] = "distillation"
    teacher: CaptionConfig
    student: CaptionConfig
    """Its ``encoder`` may be ``teacher``: the teacher's own layers, evenly chosen to ``depth``."""
    alone: bool = True
    """Train the student a second time without the teacher, to tell what the teacher was worth."""
    temperature: float = 2.0
    """Softens the teacher's answers (Hinton et al. 2015)."""
    hard: float = 0.5
    """Weight of the cross-entropy with the captions' own emotions."""
    soft: float = 0.5
    """Weight of the divergence from the teacher's softened answers."""
    hidden: float = 1.0
    """Weight of one minus the cosine between both models' hidden states (Sanh et al. 2019)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, hard=0, soft=0, hidden=0)
        if self.temperature <= 0 or self.hard + self.soft <= 0:
            raise ValueError("temperature and hard + soft must be above 0")


@dataclass(frozen=True, kw_only=True)
class JointConfig(Recipe):
    """Both encoders and their combination, trained together by painting."""

    kind: ClassVar[str] = "joint"
    image: ImageConfig
    caption: CaptionConfig
    fusion: FusionConfig = field(default_factory=FusionConfig)
    captions: int = 16
    """Most captions of a painting in one step; others are drawn in other epochs."""
    groups: int = 2
    """Parts by length into which a step's captions are padded."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Of all together; ``batch_size`` counts paintings."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_least(self, captions=1, groups=1)
        if self.fusion.form == "auto" or self.fusion.per_culture == "auto":
            raise ValueError("joint training needs fusion.form and fusion.per_culture decided")


RECIPES: dict[str, type[Recipe]] = {
    recipe.kind: recipe for recipe in (CompactConfig, TunedConfig, DistillationConfig, JointConfig)
}
