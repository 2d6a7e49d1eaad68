"""Every exception that artaffect raises on purpose. One base, caught in one place per program."""

import difflib
from collections.abc import Iterable


class ArtAffectError(Exception):
    """Base of all errors whose message is written for the person at the keyboard."""


class UnknownNameError(ArtAffectError, LookupError):
    """A name is not in the registry it was looked up in."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = [str(entry) for entry in known]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")


class ConfigError(ArtAffectError):
    """A settings file or an override does not fit the settings it is meant for."""


class TableError(ArtAffectError):
    """A file of annotations has not the shape that was expected."""


class ImageError(ArtAffectError):
    """A picture is missing, broken, too large, or no picture at all."""


class InputError(ArtAffectError):
    """What was asked for cannot be answered as asked."""


class OutputExistsError(ArtAffectError):
    """Something already stands where a result is to be written."""


class EncoderUnavailableError(ArtAffectError):
    """The weights of an encoder cannot be had here."""


class ModelFolderError(ArtAffectError):
    """A model folder lacks a file, was altered, or does not fit this version."""


class IncompleteRunError(ArtAffectError):
    """A result lost, repeated or invented a row."""


class ExportError(ArtAffectError):
    """A model cannot be exported so that it answers as before."""


class ResourceError(ArtAffectError):
    """The machine has too little of something, of memory for example."""


class SubmissionError(ArtAffectError):
    """A submission is not what the organisers of a shared task take."""


class NotFittedError(ArtAffectError):
    """Something was asked to answer before it has learned."""
