"""Settings: strict TOML into frozen dataclasses. An unknown key is refused, with the nearest known one."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from artaffect.errors import ConfigError, UnknownNameError

T = TypeVar("T")


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

    def __post_init__(self) -> None:
        _at_least(self, epochs=1, batch_size=1, learning_rate=0, weight_decay=0)
        _at_least(self, patience=1, accumulation=1)
        _share(self, "warmup")


@dataclass(frozen=True)
class BranchConfig:
    """One modality: a frozen encoder and a head on its features."""

    encoder: str
    """The encoder's name, a model of transformers on the hub, or a folder."""
    hidden: int = 0
    """Width of the head's hidden layer; 0 makes the head linear."""
    dropout: float = 0.0
    """Dropout in the head while training."""
    penalty: tuple[float, ...] = (0.0,)
    """Ridge penalties to try; the one with the best validation score is kept."""
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        _at_least(self, hidden=0)
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
    modality_dropout: float = 0.3
    """Of the feature form: share of the training rows that lose one modality."""
    logits: TrainConfig = field(default_factory=TrainConfig)
    """Training of the logit form, on out-of-fold answers of the branches."""
    features: TrainConfig = field(default_factory=TrainConfig)
    """Training of the feature form."""

    def __post_init__(self) -> None:
        _at_least(self, latent=1)
        _share(self, "dropout", "modality_dropout")


@dataclass(frozen=True)
class CompactConfig:
    """Frozen encoders, small heads, and their linear combination."""

    image: BranchConfig
    caption: BranchConfig
    fusion: FusionConfig = field(default_factory=FusionConfig)
    culture: Literal["head", "off"] = "head"
    """``head``: each culture deviates from a shared head; ``off``: blind to culture."""
    folds: int = 5
    """Parts of the training paintings; each is answered by branches that did not see it."""
    seed: int = 0
    """Of every random choice."""

    def __post_init__(self) -> None:
        _at_least(self, folds=2, seed=0)


def recipe_names() -> list[str]:
    """The recipes that come with artaffect."""
    folder = files("artaffect") / "configs"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_recipe(name: str, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """Read a recipe by name, or a TOML file by path, and apply ``key.path=value`` overrides.

    Raises:
        UnknownNameError: no recipe has this name.
        ConfigError: see :func:`parse_config`; or an override is not ``key=value``.
    """
    path = Path(name)
    if path.suffix == ".toml":
        try:
            text = path.read_text("utf-8")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    elif name in recipe_names():
        text = (files("artaffect") / "configs" / f"{name}.toml").read_text("utf-8")
    else:
        raise UnknownNameError("recipe", name, recipe_names())
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    for override in overrides:
        _apply(values, override)
    return parse_config(values, kind, name)


def parse_config(values: Mapping[str, Any], kind: type[T], source: str) -> T:
    """Check values against a settings class.

    Raises:
        ConfigError: every unknown key, missing key and value that does not fit, a line each.
    """
    from pydantic import TypeAdapter, ValidationError

    unknown = list(_unknown_keys(values, kind))
    if unknown:
        raise ConfigError(f"{source}: " + "; ".join(unknown))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}, got {fault['input']!r}"
            if fault["type"] not in ("value_error", "missing")
            else f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise ConfigError(f"{source}: " + "; ".join(faults)) from None


def _unknown_keys(values: Mapping[str, Any], kind: Any, prefix: str = "") -> list[str]:
    hints = get_type_hints(kind)
    known = {f.name: hints[f.name] for f in fields(kind)}
    faults: list[str] = []
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(known)}"
            faults.append(f"unknown key {prefix}{key} ({hint})")
        elif is_dataclass(known[key]) and isinstance(value, Mapping):
            faults += _unknown_keys(value, known[key], f"{prefix}{key}.")
    return faults


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one value; what follows ``=`` is TOML, or else plain text."""
    path, sign, text = override.partition("=")
    if not sign or not path.strip():
        raise ConfigError(f"an override reads key.path=value, got {override!r}")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, leaf = (part.strip() for part in path.split("."))
    target = values
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{override!r}: {parent} holds a value, not a group of settings")
    target[leaf] = value
