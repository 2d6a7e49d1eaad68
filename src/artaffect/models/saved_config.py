"""What ``config.json`` of a model folder may hold. It is checked before anything is built from it.

Only known keys reach the code that builds a model; sizes are bounded here, and compared with the stored
weights in :mod:`artaffect.models.checkpoint`. This module works without torch.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import to_json

from artaffect.errors import ConfigError, ModelFolderError
from artaffect.labels import ARTEMIS, MOST_LABELS, LabelSet
from artaffect.metrics.conformal import ConformalScores
from artaffect.runtime import printable

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
_CODE_KEYS = (
    *("auto_map", "trust_remote_code", "custom_pipelines", "quantization_config", "pretrained"),
    *("backbone", "backbone_config", "backbone_kwargs", "use_timm_backbone"),
    *("use_pretrained_backbone", "attn_implementation", "_attn_implementation", "use_kernels"),
    *("kernel_config", "experts_implementation", "_experts_implementation"),
)
"""Keys with which a configuration chooses code. None is ever passed on; these are named when refused."""
VOCABULARY_LIMIT = 2**22
_SHOWN = 80
_NAMES = 10_000
_WIDTHS = 16

FOLDER_PREFIX = "folder:"
"""Begins the name of an encoder in the user's folder of encoders, see ``models.references``."""
_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
_REFERENCE = re.compile(rf"{FOLDER_PREFIX}{_PART}|(hf:{_PART}/)?{_PART}|{_PART}/{_PART}")

Name = Annotated[str, Field(min_length=1, max_length=1000)]
Text = Annotated[str, Field(max_length=5000)]
Width = Annotated[int, Field(ge=1, le=2**20)]
Widths = Annotated[list[Width], Field(max_length=_WIDTHS)]
Cultures = Annotated[int, Field(ge=0, le=_NAMES)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[list[Share], Field(min_length=2, max_length=MOST_LABELS)]
Precision = Literal["float32", "bfloat16", "auto"]
Colour = Annotated[float, Field(ge=-1000, le=1000)]
Scale = Annotated[float, Field(ge=1e-6, le=1000)]


def is_reference(name: str) -> bool:
    """Whether a model folder may refer to an encoder by this name: a name, and never a path."""
    return _REFERENCE.fullmatch(name) is not None


def _check_reference(name: str) -> str:
    if not is_reference(name):
        raise ValueError("expected a registered name, hf:OWNER/MODEL or folder:NAME")
    return name


def _check_distribution(shares: list[float]) -> list[float]:
    if abs(sum(shares) - 1) > 1e-3 or min(shares) <= 0:
        raise ValueError("expected shares above 0 whose sum is 1")
    return shares


Distribution = Annotated[Shares, AfterValidator(_check_distribution)]


def _check_network(config: dict[str, Any]) -> dict[str, Any]:
    """Refuse what chooses code; :mod:`artaffect.models.networks` takes known values only."""
    if key := next((key for key in _CODE_KEYS if config.get(key)), None):
        raise ValueError(f"{key} is not allowed in a model folder")
    if not isinstance(config.get("model_type"), str):
        raise ValueError("model_type must be a string")
    return config


def _check_text_network(config: dict[str, Any]) -> dict[str, Any]:
    size, pad = config.get("vocab_size"), config.get("pad_token_id")
    if type(size) is not int or not 1 <= size <= VOCABULARY_LIMIT:
        raise ValueError(f"vocab_size must be a number from 1 to {VOCABULARY_LIMIT:,}")
    if pad is not None and (type(pad) is not int or not 0 <= pad < size):
        raise ValueError("pad_token_id must be null or the number of a token")
    return config


def _check_fusion(fusion: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(form := fusion.get("form"), str) or len(form) > _SHOWN:
        raise ValueError("form must be the name of a form of fusion")
    if any(isinstance(value, list | dict) and len(value) > _WIDTHS for value in fusion.values()):
        raise ValueError(f"expected at most {_WIDTHS} entries")
    return fusion


def _check_labels(labels: dict[str, Any]) -> dict[str, Any]:
    try:
        LabelSet.from_json(labels)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return labels


Fusion = Annotated[dict[str, Any], AfterValidator(_check_fusion)]
Network = Annotated[dict[str, Any], AfterValidator(_check_network)]


@dataclass(frozen=True, config=_STRICT)
class SavedPlainHead:
    """The arguments of an ``EmotionHead``."""

    feature_dim: Width
    cultures: Cultures
    hidden: Widths
    dropout: Dropout = 0.0
    culture_input: Literal["head", "embedding", "off"] = "head"
    multi_label: bool = False
    labels: Annotated[int, Field(ge=2, le=MOST_LABELS)] = len(ARTEMIS)

    def check(self, labels: int, cultures: int) -> None:
        """Raise ValueError if this is not a head of a model with so many labels and cultures."""
        if self.labels != labels:
            raise ValueError(f"a head has {self.labels} labels, the model {labels}")
        if self.cultures not in (0, cultures):
            raise ValueError(f"a head has {self.cultures} cultures, the model {cultures}")


@dataclass(frozen=True, config=_STRICT)
class SavedInitialHead:
    """The head of an initial model, and its culture for each culture of the model."""

    head: SavedPlainHead
    culture_of: Annotated[list[Cultures], Field(min_length=1, max_length=_NAMES + 1)]


@dataclass(frozen=True, config=_STRICT)
class SavedHead(SavedPlainHead):
    """The arguments of an ``EmotionHead``, and with ``initial`` of an ``InitializedHead``."""

    initial: SavedInitialHead | None = None

    def check(self, labels: int, cultures: int) -> None:
        super().check(labels, cultures)
        if self.initial is not None:
            head, culture_of = self.initial.head, self.initial.culture_of
            head.check(labels, head.cultures)
            unlike = head.feature_dim != self.feature_dim or self.multi_label
            if unlike or len(culture_of) != cultures + 1:
                raise ValueError("the initial head does not fit the model")
            if max(culture_of) > head.cultures:
                raise ValueError("culture_of names a culture that the initial head does not have")


@dataclass(frozen=True, config=_STRICT)
class SavedImagePreprocessing:
    """The fields of an ``ImagePreprocessing``."""

    size: Annotated[int, Field(ge=8, le=1024)]
    fit: Literal["crop", "stretch"]
    crop_fraction: Annotated[float, Field(ge=0.01, le=1)]
    mean: Annotated[list[Colour], Field(min_length=3, max_length=3)]
    std: Annotated[list[Scale], Field(min_length=3, max_length=3)]
    interpolation: Literal["bicubic", "bilinear"]


@dataclass(frozen=True, config=_STRICT)
class SavedEfficientNet:
    """EfficientNet-Lite0."""

    family: Literal["efficientnet_lite0"]
    features: Literal["pooled", "stages"]


@dataclass(frozen=True, config=_STRICT)
class SavedVgg:
    """VGG-16, perhaps narrower."""

    family: Literal["vgg16"]
    divisor: Literal[1, 2, 4, 8, 16, 32, 64] = 1


@dataclass(frozen=True, config=_STRICT)
class SavedTimm:
    """A model of timm by its name, which has no colon or slash: those would lead to a hub or a folder."""

    family: Literal["timm"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]


@dataclass(frozen=True, config=_STRICT)
class SavedVisionModel:
    """A vision model of transformers."""

    family: Literal["transformers"]
    config: Network


@dataclass(frozen=True, config=_STRICT)
class SavedStoredFeatures:
    """Vectors that were made elsewhere; they are not in the folder."""

    family: Literal["features"]
    width: Width
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


ImageArchitecture = (
    SavedStoredFeatures | SavedEfficientNet | SavedVgg | SavedTimm | SavedVisionModel
)
_TAGS = ("features", "efficientnet_lite0", "vgg16", "timm", "transformers")
_LARGEST_IMAGES = {"efficientnet_lite0": 256, "vgg16": 448}
"""Sides beyond which these networks, which take any size, would only take memory."""


@dataclass(frozen=True, config=_STRICT)
class SavedImageEncoder:
    """The settings of an ``ImageEncoder``."""

    architecture: Annotated[ImageArchitecture, Field(discriminator="family")]
    preprocessing: SavedImagePreprocessing
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        largest = _LARGEST_IMAGES.get(self.architecture.family, self.preprocessing.size)
        if self.preprocessing.size > largest:
            raise ValueError(
                f"preprocessing.size is {self.preprocessing.size}; {self.architecture.family} takes "
                f"at most {largest}"
            )


@dataclass(frozen=True, config=_STRICT)
class SavedTextPreprocessing:
    """The fields of a ``TextPreprocessing``."""

    prefix: Text
    max_length: Annotated[int, Field(ge=3, le=512)]


@dataclass(frozen=True, config=_STRICT)
class SavedTextModel:
    """A text encoder of transformers, and how its token states are pooled."""

    config: Annotated[Network, AfterValidator(_check_text_network)]
    pooling: Literal["cls", "mean", "max"]
    normalize: bool = False


@dataclass(frozen=True, config=_STRICT)
class SavedTextEncoder:
    """The settings of a ``TextEncoder``."""

    architecture: SavedTextModel
    preprocessing: SavedTextPreprocessing
    precision: Precision = "float32"


@dataclass(frozen=True, config=_STRICT)
class SavedImageSource:
    """An image encoder and its head."""

    encoder: SavedImageEncoder
    head: SavedHead


@dataclass(frozen=True, config=_STRICT)
class SavedCaptionSource:
    """A text encoder and its head."""

    encoder: SavedTextEncoder
    head: SavedHead


@dataclass(frozen=True, config=_STRICT)
class SavedLora:
    """How the adapters of an encoder are scaled: by alpha / rank."""

    rank: Annotated[int, Field(ge=1, le=1024)]
    alpha: Annotated[float, Field(gt=0, le=1e6)]


@dataclass(frozen=True, config=_STRICT)
class SavedReference:
    """An encoder that the folder does not hold, see ``models.references``."""

    name: Annotated[str, AfterValidator(_check_reference)]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    lora: SavedLora | None = None
    """Present if the folder holds adapters, which are merged into the encoder's weights."""


@dataclass(frozen=True, config=_STRICT)
class SavedPriors:
    """The JSON of a ``TrainingPriors``."""

    prior: Distribution
    priors: Annotated[dict[Name, Distribution], Field(max_length=_NAMES)]
    chosen_share: Shares


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class SavedConfig:
    """The whole file; what only people read has free content."""

    format: int
    labels: Annotated[dict[str, Any], AfterValidator(_check_labels)]
    cultures: Annotated[list[Name], Field(max_length=_NAMES)]
    languages: Annotated[list[Name], Field(max_length=_NAMES)]
    image: SavedImageSource | None
    caption: SavedCaptionSource | None
    fusion: Fusion | None
    """Its form and the arguments of that form, which :func:`build_fusion` checks."""
    outside: Fusion | None = None
    """The combination with outside sources, if the model has any."""
    encoders: dict[Literal["image", "caption"], Text] = Field(default_factory=dict)
    references: dict[Literal["image", "caption"], SavedReference] = Field(default_factory=dict)
    training_priors: SavedPriors | None = None
    conformal: ConformalScores | None = None
    synthetic: bool = False
    caveat: Text = ""
    """What accompanies every prediction."""
    version: Text = ""
    trained: Text = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    rows: dict[str, Any] = Field(default_factory=dict)
    training_log: dict[str, Any] = Field(default_factory=dict)
    left_out: dict[str, Any] = Field(default_factory=dict)
    export: dict[str, Any] = Field(default_factory=dict)

    def __post_init__(self) -> None:
        sources = [source for source in (self.image, self.caption) if source is not None]
        if not sources or (len(sources) > 1) != (self.fusion is not None):
            raise ValueError("expected image, caption, or both and a fusion")
        if missing := [name for name in self.references if getattr(self, name) is None]:
            raise ValueError(f"references: the model has no {missing[0]} source")
        if len(set(self.cultures)) < len(self.cultures):
            raise ValueError("cultures: a culture is listed twice")
        for scores in self.conformal.inputs.values() if self.conformal else ():
            if set(scores.by_culture) - set(self.cultures):
                raise ValueError(
                    "conformal: by_culture names a culture that the model does not have"
                )
        self._check_sizes(sources)

    def _check_sizes(self, sources: Sequence[SavedImageSource | SavedCaptionSource]) -> None:
        """Refuse numbers of labels and cultures that differ within the file."""
        count, priors = len(self.labels["names"]), self.training_priors
        for shares in (
            () if priors is None else (priors.prior, priors.chosen_share, *priors.priors.values())
        ):
            if len(shares) != count:
                raise ValueError(f"training_priors: expected {count} shares, got {len(shares)}")
        for source in sources:
            source.head.check(count, len(self.cultures))


_SAVED_CONFIG = TypeAdapter(SavedConfig)


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Check the content of ``config.json``.

    Raises:
        ModelFolderError: names the file, and the first key that is unknown, missing or has an
            unsuitable value.
    """
    try:
        _SAVED_CONFIG.validate_json(to_json(config))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        raise ModelFolderError(f"{path}: {_describe(problem)}") from None


def _describe(problem: Mapping[str, Any]) -> str:
    message = printable(str(problem["msg"]).removeprefix("Value error, ")[:300])
    if problem["type"] == "unexpected_keyword_argument":
        message = "unknown key"
    elif problem["type"] == "missing":
        message = "the key is missing"
    elif problem["type"] != "value_error":
        message += f", got {shown(problem['input'])}"
    return ": ".join(filter(None, (_place(problem["loc"]), message)))


def _place(location: Sequence[str | int]) -> str:
    parts = [
        str(part)
        for before, part in zip(("", *location), location, strict=False)
        if not (before == "architecture" and part in _TAGS)  # pydantic's own addition
    ]
    return printable(".".join(parts))[:200]


def shown(value: Any) -> str:
    """A value of a stranger for a message: one line, and not too long."""
    text = repr(value)
    return printable(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
