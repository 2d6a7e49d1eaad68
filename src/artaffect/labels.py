"""Label sets: the labels that a table and a model know, and distributions over them.

A label set is data. It is saved with every table and every model, and everything that needs names or
valences of labels takes them from there.
"""

import math
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from artaffect.errors import ConfigError, UnknownNameError

ANY_CULTURE = "any"
"""The name of the culture-blind prediction, for all cultures together."""

FROM_DATA = "data"
"""In place of a label set's name: the labels that the data hold."""

MOST_LABELS = 200
_LONGEST = 100
SEPARATOR = "|"
"""Between the labels of a partial label: one of them is the row's, and it is unknown which."""
_SEPARATORS = f"{SEPARATOR}\r\n\t\0"
_RESERVED = frozenset(
    (
        *("annotation_id", "annotator", "artwork_id", "art_style", "caption", "culture", "emotion"),
        *("entropy", "entropy_bits", "id", "image", "label", "language", "note", "split", "top"),
        *("image_share", "caption_share", "probability", "divergence_bits", "similarity"),
        *("missing", "review", "reviewed_by", "model", "model_digest", "artaffect_version", "date"),
        *("prediction_set", "set_level"),
    )
)
"""The names of the other columns in tables of annotations and predictions."""


def spelling(text: str) -> str:
    """A text without regard to case and blanks, by which labels are compared."""
    return " ".join(text.split()).lower()


def culture_name(text: str) -> str | None:
    """The name of a culture as tables spell it; None for a blank, and for any culture."""
    culture = spelling(text)
    return culture if culture not in ("", ANY_CULTURE) else None


def _check_name(name: str, source: str) -> None:
    plain = " ".join(name.split())
    if not plain or plain != name or len(name) > _LONGEST or any(c in name for c in _SEPARATORS):
        raise ConfigError(
            f"{source}: {name[:_LONGEST]!r} cannot be a label: expected 1 to {_LONGEST} characters "
            "without | and without blanks at its ends"
        )
    if not name.isprintable():
        raise ConfigError(f"{source}: {name!r} cannot be a label: it holds control characters")
    if name.lower() in _RESERVED:
        raise ConfigError(
            f"{source}: {name!r} cannot be a label: a column of tables has that name; choose another"
        )


class Sentiment(StrEnum):
    """The valence of a label."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    OTHER = "other"

    @property
    def sign(self) -> int:
        """1, -1, or 0 for neither."""
        return {Sentiment.POSITIVE: 1, Sentiment.NEGATIVE: -1, Sentiment.OTHER: 0}[self]


@dataclass(frozen=True)
class LabelSet:
    """Labels in a fixed order; in the default set they are emotions.

    Raises:
        ConfigError: fewer than two labels, or a name that is empty, too long, reserved or not unique.
    """

    names: tuple[str, ...]
    sentiments: tuple[Sentiment | None, ...] = ()
    """The valence of each label, or None where it is unknown; by default it is unknown for all."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Other spellings, each with the label that it stands for."""
    translations: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Language → label → name; English names are the labels themselves."""
    name: str = "labels"
    """The name of the set."""
    title: str = ""
    """One line: what the labels are, and their source."""

    def __post_init__(self) -> None:
        sentiments = self.sentiments or (None,) * len(self.names)
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        object.__setattr__(self, "sentiments", tuple(s and Sentiment(s) for s in sentiments))
        if not 2 <= len(self.names) <= MOST_LABELS:
            raise ConfigError(
                f"a label set needs 2 to {MOST_LABELS} labels, {self.name} has {len(self.names)}"
            )
        if len(self.sentiments) != len(self.names):
            raise ConfigError(f"{self.name}: expected a valence, or none, for each label")
        for name in (*self.names, *self.aliases):
            _check_name(name, self.name)
        self._check_distinct()

    def _check_distinct(self) -> None:
        spellings: dict[str, str] = {}
        for text, label in [*((n, n) for n in self.names), *self.aliases.items()]:
            if label not in self.names:
                raise ConfigError(f"{self.name}: the alias {text!r} stands for no label")
            if spellings.setdefault(spelling(text), label) != label:
                raise ConfigError(f"{self.name}: {text!r} stands for two labels")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __contains__(self, label: object) -> bool:
        return label in self.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"LabelSet({self.name}: {', '.join(self.names)})"

    @cached_property
    def _spellings(self) -> dict[str, str]:
        own = {spelling(name): name for name in self.names}
        return own | {spelling(alias): label for alias, label in self.aliases.items()}

    def index(self, label: str) -> int:
        """The position of a label, spelled exactly."""
        return self.names.index(label)

    def find(self, text: str) -> str | None:
        """The label that a text spells, ignoring case and blanks; None if it spells none."""
        return self._spellings.get(spelling(text))

    def parse(self, text: str) -> str:
        """As :meth:`find`, but raises UnknownNameError if the text spells no label."""
        label = self.find(text)
        if label is None:
            raise UnknownNameError("label", text, self.names)
        return label

    def members(self, cell: str) -> tuple[str, ...]:
        """The labels that a cell of a table names: one, or those of a partial label.

        Raises:
            UnknownNameError: one of them is not in the set.
        """
        return tuple(self.parse(text) for text in cell.split(SEPARATOR))

    def join(self, texts: Iterable[str]) -> str:
        """The cell for a row whose label is one of several, in the order of the set.

        Raises:
            UnknownNameError: a text spells no label.
        """
        return SEPARATOR.join(sorted({self.parse(text) for text in texts}, key=self.index))

    def knows(self, text: str) -> bool:
        """Whether a text spells a label."""
        return self.find(text) is not None

    @property
    def valence(self) -> tuple[int, ...] | None:
        """1, -1 or 0 for each label; None if the valence of any is unknown."""
        signs = [s.sign for s in self.sentiments if s is not None]
        return tuple(signs) if len(signs) == len(self.names) else None

    def with_sentiment(self, sentiment: Sentiment) -> tuple[str, ...]:
        """The labels of one valence."""
        pairs = zip(self.names, self.sentiments, strict=True)
        return tuple(label for label, valence in pairs if valence is sentiment)

    def names_of(self, label: str) -> dict[str, str]:
        """Language → the name of a label, English first; languages that lack it are left out."""
        names = {language: table.get(label) for language, table in self.translations.items()}
        return {"english": label, **{language: n for language, n in names.items() if n}}

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, without what is empty."""
        values = {
            "name": self.name,
            "title": self.title,
            "names": list(self.names),
            "sentiments": [s and str(s) for s in self.sentiments] if any(self.sentiments) else None,
            "aliases": dict(self.aliases),
            "translations": {language: dict(t) for language, t in self.translations.items()},
        }
        return {key: value for key, value in values.items() if value}

    @classmethod
    def from_json(cls, data: Any) -> "LabelSet":
        """Read what :meth:`to_json` wrote; raises ConfigError for anything else."""
        try:
            saved = _SAVED.validate_python(data)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise ConfigError(f"labels.{place}: {problem['msg']}") from None
        values = {
            name: getattr(saved, name) for name in ("aliases", "translations", "name", "title")
        }
        return cls(tuple(saved.names), tuple(saved.sentiments or ()), **values)

    @classmethod
    def from_texts(cls, texts: Iterable[str], name: str = FROM_DATA) -> "LabelSet":
        """The distinct labels that texts spell, ignoring case, in alphabetical order."""
        names = sorted({spelling(text) for text in texts} - {""})
        return cls(tuple(names), name=name)


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _SavedLabels:
    names: list[str]
    sentiments: list[Sentiment | None] | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    translations: dict[str, dict[str, str]] = field(default_factory=dict)
    name: str = "labels"
    title: str = ""


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _Entry:
    """One label in a TOML file."""

    valence: Sentiment | None = None
    aliases: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _File:
    """A label set in a TOML file."""

    labels: dict[str, _Entry] | list[str]
    name: str = ""
    title: str = ""


_SAVED, _FILE = TypeAdapter(_SavedLabels), TypeAdapter(_File)


def _parse_toml(data: Mapping[str, Any], name: str) -> LabelSet:
    try:
        file = _FILE.validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f'{name}: {place}: {problem["msg"]}; expected labels = ["joy", …], or [labels] with '
            'lines such as joy = { valence = "positive", aliases = ["happiness"] }'
        ) from None
    labels = file.labels
    entries = labels if isinstance(labels, dict) else {label: _Entry() for label in labels}
    if isinstance(labels, list) and len(entries) < len(labels):
        raise ConfigError(f"{name}: a label is listed twice")
    translations: dict[str, dict[str, str]] = {}
    for label, entry in entries.items():
        for language, translated in entry.names.items():
            translations.setdefault(language.lower(), {})[label] = translated
    aliases = {alias: label for label, entry in entries.items() for alias in entry.aliases}
    sentiments = tuple(entry.valence for entry in entries.values())
    return LabelSet(
        tuple(entries), sentiments, aliases, translations, file.name or name, file.title
    )


@cache
def label_sets() -> Mapping[str, LabelSet]:
    """The built-in label sets by name."""
    text = (files("artaffect") / "label_sets.toml").read_text("utf-8")
    return {name: _parse_toml(data, name) for name, data in tomllib.loads(text).items()}


ARTEMIS = label_sets()["artemis"]
"""The default label set."""

EMOTIONS: tuple[str, ...] = ARTEMIS.names
"""The nine emotions of the default label set."""


def load_label_set(labels: "LabelSet | str | os.PathLike[str]") -> LabelSet:
    """A label set by the name of a built-in one, or from a TOML file.

    Raises:
        UnknownNameError: there is no such set.
        ConfigError: the file cannot be read, or does not describe a label set.
    """
    if isinstance(labels, LabelSet):
        return labels
    name, path = os.fspath(labels), Path(labels)
    if name in label_sets():
        return label_sets()[name]
    if path.suffix != ".toml" and not path.is_file():
        raise UnknownNameError("label set", name, [*label_sets(), "a TOML file"])
    return _parse_toml(read_label_toml(path), path.stem)


def read_label_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file about labels; raises ConfigError if it cannot be read."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{path}: cannot be read as TOML: {reason}") from None


def built_in_set(texts: Sequence[str]) -> LabelSet | None:
    """The first built-in label set that knows all of some labels, the default set before the others."""
    return next((s for s in label_sets().values() if all(map(s.knows, texts))), None)


def choose_label_set(texts: Sequence[str]) -> LabelSet:
    """The label set of data that do not name one, from the distinct labels that they hold.

    It is the first built-in set that knows all of them. Where there is none, and the default set knows
    none of them, they are a set of their own; where it knows some, the others are errors.
    """
    if labels := built_in_set(texts):
        return labels
    return ARTEMIS if any(map(ARTEMIS.knows, texts)) else LabelSet.from_texts(texts)


@dataclass(frozen=True)
class LabelDistribution:
    """A probability for each label of a set, in its order."""

    values: tuple[float, ...]
    labels: LabelSet = ARTEMIS

    def __post_init__(self) -> None:
        if len(self.values) != len(self.labels):
            raise ValueError(f"expected {len(self.labels)} probabilities, got {len(self.values)}")
        if min(self.values) < 0 or not math.isclose(sum(self.values), 1, abs_tol=1e-4):
            raise ValueError(f"probabilities must be at least 0 and sum to 1, got {self.values}")

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Label → probability."""
        return dict(zip(self.labels, self.values, strict=True))

    @property
    def top(self) -> str:
        """The most likely label; of several, the first."""
        return self.labels.names[self.values.index(max(self.values))]

    @property
    def entropy(self) -> float:
        """Shannon entropy in bits: 0 when certain, log2 of the number of labels when uniform."""
        return -sum(p * math.log2(p) for p in self.values if p > 0)

    def sentiment(self) -> Mapping[Sentiment, float]:
        """The probability of each valence.

        Raises:
            ValueError: the valence of a label is unknown.
        """
        if self.labels.valence is None:
            raise ValueError(
                f"the label set {self.labels.name} does not say the valence of all labels"
            )
        return {
            sentiment: sum(
                self.probabilities[label] for label in self.labels.with_sentiment(sentiment)
            )
            for sentiment in Sentiment
        }
