"""The exceptions of artaffect. They share one base class, which a program catches in one place."""

import difflib
from collections.abc import Iterable
from typing import Any


class ArtAffectError(Exception):
    """Base of all errors. The message is written for the user."""


class UnknownNameError(ArtAffectError, LookupError):
    """A name is not in the registry in which it was looked up."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = [str(entry) for entry in known]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known) or 'none'}.")


class ConfigError(ArtAffectError):
    """A settings file or an override does not match the settings."""


class TableError(ArtAffectError):
    """A file of annotations does not have the expected layout."""


class NoRowsError(TableError):
    """No row of a file can be used; ``report`` lists each of them with its reason."""

    def __init__(self, message: str, report: Any) -> None:
        super().__init__(message)
        self.report = report


class ImageError(ArtAffectError):
    """An image is missing, broken, too large, or not an image."""


class InputError(ArtAffectError):
    """A request cannot be answered with the given inputs."""


class InputTypeError(InputError, TypeError):
    """An argument has the wrong type."""


class OutputError(ArtAffectError):
    """An output cannot be written to the given path."""


class OutputExistsError(OutputError):
    """The output path already exists."""


class EncoderUnavailableError(ArtAffectError):
    """The weights of an encoder are not available on this machine."""


class ModelFolderError(ArtAffectError):
    """A model folder is incomplete, was changed, or belongs to another version."""


class IncompleteRunError(ArtAffectError):
    """A result has lost, repeated or added rows."""


class ExportError(ArtAffectError):
    """A model cannot be exported with the same predictions."""


class ResourceError(ArtAffectError):
    """The machine lacks a resource, such as memory."""


class SubmissionError(ArtAffectError):
    """A submission does not follow the rules of the shared task."""


class NotFittedError(ArtAffectError):
    """An estimator is used before it is fitted."""


class FetchError(ArtAffectError):
    """A file cannot be fetched from the web."""
