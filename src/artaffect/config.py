"""Recipes and their settings: strict TOML files, read into frozen dataclasses and checked at once."""

from collections.abc import Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar, cast

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from artaffect.errors import ConfigError, UnknownNameError
from artaffect.settings import parse_config, read_toml

R = TypeVar("R", bound="Recipe")

_RECIPES = Path(__file__).parent / "recipes"
_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
STORED_FEATURES = "features:"
"""Before a file of vectors, in place of the name of an image encoder."""
FUSION_INPUTS = {"logits": "logits", "features": "features"}
"""The forms of fusion, and what each combines; `models.fusion.register_fusion` adds to them."""


def _check_layers(layers: object) -> object:
    if layers == "all" or (isinstance(layers, int) and layers >= 1):
        return layers
    raise ValueError(
        f"layers must be 'all' or a number of at least 1, got {layers!r}; "
        "training = 'frozen' trains no layer of an encoder"
    )


def _check_form(form: object) -> object:
    known = ["auto", *FUSION_INPUTS]
    if form in known:
        return form
    names = ", ".join(map(repr, known[:-1])) + f" or {known[-1]!r}"
    raise PydanticCustomError("fusion_form", "Input should be {names}", {"names": names})


def _check_seed(seed: int) -> int:
    if 0 <= seed < 2**64:  # what torch takes
        return seed
    raise PydanticCustomError("seed", "seed must be from 0 to 2**64 - 1")


Count = Annotated[int, Field(ge=1, lt=2**31)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e6)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Widths = tuple[Count, ...]


@dataclass(frozen=True, config=_STRICT)
class TrainConfig:
    """How long and how fast to train."""

    epochs: Count = 20
    """Passes over the training rows; the learning rate falls to zero over them."""
    min_steps: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """At least this many optimizer steps: with few rows, an epoch passes over them several times."""
    max_steps: Count | None = None
    """About this many optimizer steps at most: with many rows, fewer epochs, but at least one."""
    batch_size: Count = 256
    """Rows per batch."""
    learning_rate: Positive = 1e-3
    """Peak learning rate of AdamW, after warm-up."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay of AdamW."""
    warmup: Fraction = 0.1
    """Share of the steps over which the learning rate rises."""
    gradient_clip: Positive = 1.0
    """Maximum norm of the gradient."""
    patience: Count = 5
    """Stop after this many epochs without a better validation score."""
    accumulation: Count = 1
    """Batches whose gradients are accumulated before each optimizer step."""
    precision: Literal["full", "bf16", "fp16", "auto"] = "full"
    """Number format of the forward pass; weights stay in full precision. `auto`: bf16 if native."""
    metric: Literal["log_loss", "accuracy", "macro_f1", "hamming"] = "log_loss"
    """Validation score that selects the best epoch."""

    @property
    def sign(self) -> int:
        """1 if more of the metric is better, else -1."""
        return -1 if self.metric == "log_loss" else 1


@dataclass(frozen=True, config=_STRICT)
class LoraConfig:
    """Which layers of an encoder are adapted by LoRA (Hu et al. 2021), and how."""

    rank: Annotated[int, Field(ge=1, le=1024)] = 8
    """Rank of the change of each weight matrix."""
    alpha: Positive = 16.0
    """The change is scaled by alpha / rank."""
    targets: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)] = ("query", "value")
    """Last names of the linear layers to adapt; by default two of BERT's. A name that an encoder lacks is
    refused with those that it has."""


@dataclass(frozen=True, config=_STRICT)
class SourceConfig:
    """An encoder, frozen or fine-tuned, with a head on its features."""

    _fine_tuned_only: ClassVar[tuple[str, ...]] = ("run", "layers", "lora")

    encoder: str
    """Name of the encoder, `hf:OWNER/MODEL` on the Hugging Face hub, or a folder."""
    training: Literal["frozen", "fine-tuned"] = "frozen"
    """`frozen`: features are extracted once, and the head is trained on them; `fine-tuned`: encoder
    and head are trained together."""
    hidden: Widths = ()
    """Widths of the head's hidden layers; without any, the head is linear."""
    dropout: Fraction = 0.0
    """Dropout in the head during training."""
    penalty: Annotated[tuple[NonNegative, ...], Field(min_length=1)] = (0.0,)
    """Frozen only: ridge penalties to try; the one with the best validation score is kept. A linear head
    with a penalty is fitted to all rows at once, not in epochs: of `train` it uses the metric alone."""
    run: str = ""
    """Fine-tuned only: a model folder whose trained encoder and head are used as they are."""
    layers: Annotated[Literal["all"] | int, BeforeValidator(_check_layers)] = "all"
    """Fine-tuned only: layers of the encoder to train, `all` or the number of its last blocks."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Number format in which the encoder computes features; `auto`: bfloat16 where it is native."""
    lora: LoraConfig | None = None
    """Fine-tuned only: train adapters instead of the encoder's own weights (extra `lora`)."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if self.encoder.startswith(STORED_FEATURES) and not self.frozen:
            raise ValueError(
                "features that were made elsewhere cannot be fine-tuned: leave out training"
            )
        unused = self._fine_tuned_only if self.frozen else ("penalty",)
        changed = {f.name for f in fields(self) if getattr(self, f.name) != f.default}
        if extra := [name for name in unused if name in changed]:
            raise ValueError(f"training = {self.training!r} does not use {', '.join(extra)}")
        if self.lora and (extra := sorted(changed & {"run", "layers", "freeze_embeddings"})):
            raise ValueError(f"lora trains nothing but adapters: leave {', '.join(extra)} out")

    @property
    def frozen(self) -> bool:
        """Whether the encoder stays as it is."""
        return self.training == "frozen"


@dataclass(frozen=True, config=_STRICT)
class ImageSourceConfig(SourceConfig):
    """An image encoder, frozen or fine-tuned, with a head on its features."""

    _fine_tuned_only = (
        *("run", "layers", "lora", "objective", "crop", "flip", "decoded", "workers"),
    )

    objective: Literal["soft_label", "multi_label_l1", "multi_label_bce"] = "soft_label"
    """Fine-tuned only: `soft_label` learns the distribution of an artwork's votes; `multi_label_l1`
    and `multi_label_bce` learn whether anyone chose each emotion, as in the paper."""
    crop: Annotated[float, Field(ge=0.5, le=1)] = 0.9
    """Fine-tuned only: minimum side of a training crop relative to the image; 1 disables cropping."""
    flip: bool = True
    """Fine-tuned only: mirror half of the training crops."""
    decoded: bool = False
    """Fine-tuned only: keep decoded images on disk, so that later epochs do not decode them again."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Fine-tuned only: processes that decode images."""


@dataclass(frozen=True, config=_STRICT)
class CaptionSourceConfig(SourceConfig):
    """A text encoder, frozen or fine-tuned, with a head on its features."""

    _fine_tuned_only = ("run", "layers", "lora", "freeze_embeddings")

    depth: Annotated[int, Field(ge=0)] = 0
    """Keep this many of the encoder's layers, evenly spaced; 0 keeps all."""
    vocabulary: Literal["all", "data"] = "all"
    """`data`: drop the tokens that no training caption needs."""
    freeze_embeddings: bool = False
    """Fine-tuned only: do not train the token embeddings, most of a multilingual model's weights."""


@dataclass(frozen=True, config=_STRICT)
class FusionConfig:
    """How the sources are combined."""

    form: Annotated[str, BeforeValidator(_check_form)] = "auto"
    """`logits`, `features` (the paper's), or `auto`: the one with the best validation score."""
    per_culture: Literal["auto", "on", "off"] = "auto"
    """Whether each culture has its own weights; `auto` tries both."""
    latent: Count = 256
    """Form `features`: the size to which the features of each source are projected."""
    dropout: Fraction = 0.5
    """Form `features`: dropout during training."""
    hidden: Widths = ()
    """Form `features`: widths of the layers after the sum."""
    modality_dropout: Fraction = 0.3
    """Form `features`, and joint training: share of the training rows that lose one source."""
    features: TrainConfig = field(default_factory=TrainConfig)
    """Training of forms that combine features. Forms that combine logits need no settings."""

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms to try."""
        return tuple(FUSION_INPUTS) if self.form == "auto" else (self.form,)


@dataclass(frozen=True, config=_STRICT)
class Recipe:
    """What every recipe has."""

    kind: ClassVar[str]
    culture: Literal["head", "embedding", "off"] = "head"
    """How culture enters: `head`, each culture's own deviation from a shared head; `embedding`, a
    vector added to the features; `off`, not at all."""
    seed: Annotated[int, AfterValidator(_check_seed)] = 0
    """Seed of every random choice, from 0 to 2**64 - 1."""
    license: str = "unknown"
    """Licence of the model for its card, by the hub's identifier, such as `cc-by-4.0`. It depends on those
    of the data and the encoders, so nothing is assumed."""
    save: Literal["full", "thin"] = "full"
    """What the model folder holds: `full`, the whole model; `thin`, all but its encoders, to which it
    refers. An encoder that can be referred to is not pruned, and is frozen or fine-tuned by `lora`."""


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class SeparateConfig(Recipe):
    """Sources trained one by one, then combined where there are two."""

    kind: ClassVar[str] = "separate"
    image: ImageSourceConfig | None = None
    caption: CaptionSourceConfig | None = None
    fusion: FusionConfig = field(default_factory=FusionConfig)
    initial: str = ""
    """Frozen sources only: a model folder, or `starter`, to begin with (`--init`). A source that it also has
    reads its encoder in place of `encoder`, and weighs its answer against that of the new head."""
    folds: Annotated[int, Field(ge=2, lt=2**31)] = 5
    """Frozen sources only: the combination is fitted out of fold, on this many folds of artworks; with
    very many rows on the first of them."""
    held_out: Fraction = 0.0
    """With a fine-tuned source: share of the training artworks that no source learns from, on which
    the combination is fitted. With 0 it is fitted on what the sources learned from, as in the paper,
    which only forms that combine features allow. Runs to be combined need equal shares and seeds."""

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("a recipe needs a section [image], [caption] or both")
        _check_saving(self.save, **self.sources)
        if self.initial and not self.frozen:
            raise ValueError("initial needs frozen sources: the recipe fine-tunes an encoder")
        if self.frozen and self.held_out:
            raise ValueError("held_out needs a fine-tuned source; frozen sources use folds")
        unseen_needed = "logits" in map(FUSION_INPUTS.get, self.fusion.forms)
        if len(self.sources) > 1 and not (self.frozen or self.held_out) and unseen_needed:
            raise ValueError(
                "held_out = 0 leaves no unseen artworks to fit a combination of logits on: "
                "set held_out to 0.1, or fusion.form to 'features'"
            )

    @property
    def sources(self) -> dict[str, SourceConfig]:
        """The recipe's sources by name."""
        sources = {"image": self.image, "caption": self.caption}
        return {name: source for name, source in sources.items() if source is not None}

    @property
    def frozen(self) -> bool:
        """Whether all sources are frozen."""
        return all(source.frozen for source in self.sources.values())


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class DistillationConfig(Recipe):
    """A caption model, and a smaller one that learns from it."""

    kind: ClassVar[str] = "distillation"
    teacher: CaptionSourceConfig
    student: CaptionSourceConfig
    """Its `encoder` may be `teacher`: `depth` of the teacher's own layers, evenly spaced."""
    alone: bool = True
    """Also train the student without the teacher, to measure what the teacher is worth."""
    temperature: Annotated[float, Field(ge=0.01, le=1000)] = 2.0
    """Softens the distributions of teacher and student (Hinton et al. 2015)."""
    hard: NonNegative = 0.5
    """Weight of the cross-entropy with the captions' labels."""
    soft: NonNegative = 0.5
    """Weight of the divergence from the teacher's softened distribution."""
    hidden: NonNegative = 1.0
    """Weight of one minus the cosine between both models' hidden states (Sanh et al. 2019)."""

    def __post_init__(self) -> None:
        _need_fine_tuned(teacher=self.teacher, student=self.student)
        _check_saving(self.save, student=self.student)
        if self.hard + self.soft <= 0:
            raise ValueError("hard + soft must be above 0")


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class JointConfig(Recipe):
    """Both encoders and their combination, trained together by artwork."""

    kind: ClassVar[str] = "joint"
    image: ImageSourceConfig
    caption: CaptionSourceConfig
    fusion: FusionConfig = field(default_factory=FusionConfig)
    captions: Count = 16
    """Maximum captions of an artwork in one step; other epochs sample others."""
    groups: Count = 2
    """Groups of similar length into which the captions of a step are padded."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Training of the whole model; `batch_size` counts artworks."""

    def __post_init__(self) -> None:
        _need_fine_tuned(image=self.image, caption=self.caption)
        _check_saving(self.save, image=self.image, caption=self.caption)
        if "auto" in (self.fusion.form, self.fusion.per_culture):
            raise ValueError("joint training needs fusion.form and fusion.per_culture, not 'auto'")


def _check_saving(save: str, **sources: SourceConfig) -> None:
    """Refuse a thin folder of encoders that exist nowhere else."""
    for name, source in sources.items() if save == "thin" else ():
        kept = source.frozen or source.lora
        pruned = isinstance(source, CaptionSourceConfig) and (
            source.depth or source.vocabulary != "all"
        )
        if pruned or not kept:
            raise ValueError(
                "save = 'thin' can refer to an encoder that is frozen, or fine-tuned by lora, and not "
                f"pruned; that of {name} is {'pruned' if kept else source.training}: leave save out"
            )


def _need_fine_tuned(**sources: SourceConfig) -> None:
    for name, source in sources.items():
        if source.frozen:
            raise ValueError(f"{name}.training must be 'fine-tuned' in this kind of recipe")
        if source.lora:
            raise ValueError(f"{name}.lora: only recipes of the kind 'separate' train adapters")


RECIPES: dict[str, type[Recipe]] = {
    recipe.kind: recipe for recipe in (SeparateConfig, DistillationConfig, JointConfig)
}


def recipe_names() -> list[str]:
    """The recipes that come with artaffect."""
    return sorted(path.stem for path in _RECIPES.glob("*.toml"))


def recipe_path(name: str) -> Path:
    """The TOML file of a recipe, given by name or by path; raise UnknownNameError if none has the name."""
    path = Path(name)
    if path.suffix == ".toml":
        return path
    if name not in recipe_names():
        raise UnknownNameError("recipe", name, recipe_names())
    return _RECIPES / f"{name}.toml"


def load_recipe(name: str, kind: type[R], overrides: Sequence[str] = ()) -> R:
    """Read a recipe by name, or a TOML file by path, and apply ``key.path=value`` overrides.

    Args:
        kind: the expected class of the recipe; ``Recipe`` accepts every kind.

    Raises:
        UnknownNameError: no recipe has this name.
        ConfigError: the recipe does not fit its settings, or is of another kind.
    """
    values = read_toml(recipe_path(name), name, overrides)
    values.pop("search", None)  # see artaffect.training.search_space
    named = values.pop("kind", SeparateConfig.kind)
    if named not in RECIPES:
        raise ConfigError(f"{name}: {UnknownNameError('kind of recipe', str(named), RECIPES)}")
    if not issubclass(RECIPES[named], kind):
        raise ConfigError(f"{name} is a recipe of kind {named!r}; expected {kind.kind!r}")
    return cast(R, parse_config(values, RECIPES[named], name))
