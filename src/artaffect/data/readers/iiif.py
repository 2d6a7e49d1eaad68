"""Read IIIF Presentation manifests and collections, versions 2 and 3, as a table with a row per canvas.

https://iiif.io/api/presentation/3.0/ and https://iiif.io/api/presentation/2.1/
"""

import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from artaffect.data.readers.table_formats import TableFile, table_of_rows
from artaffect.errors import FetchError, TableError

LANGUAGES = {
    "ar": "arabic", "bn": "bengali", "ca": "catalan", "cs": "czech", "cy": "welsh", "da": "danish",
    "de": "german", "el": "greek", "en": "english", "es": "spanish", "fa": "persian", "fi": "finnish",
    "fr": "french", "he": "hebrew", "hi": "hindi", "hu": "hungarian", "id": "indonesian",
    "it": "italian", "ja": "japanese", "ko": "korean", "la": "latin", "nl": "dutch", "no": "norwegian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sv": "swedish",
    "sw": "swahili", "ta": "tamil", "th": "thai", "tr": "turkish", "uk": "ukrainian", "ur": "urdu",
    "vi": "vietnamese", "zh": "chinese",
}  # fmt: skip
"""Names of the languages whose codes (BCP 47) manifests use most."""

SIZE = "!512,512"
"""The size at which images are requested: no encoder here reads more."""

_CONTEXT = "iiif.io/api/presentation/"
_AROUND = ("Choice", "oa:Choice", "SpecificResource", "oa:SpecificResource")
_NO_LANGUAGE = "none"
_MAX_DEPTH = 10

Fetch = Callable[[str], Any]
"""The JSON document at an address; raises FetchError."""


def iiif_document(path: Path) -> Mapping[str, Any] | None:
    """The content of a file that is a manifest or a collection; None for any other file."""
    with path.open("rb") as file:
        if _CONTEXT.encode() not in file.read(1 << 16):
            return None
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    return (
        document
        if isinstance(document, dict) and _CONTEXT in str(document.get("@context"))
        else None
    )


def read_iiif(
    document: Any, name: Path, fetch: Fetch | None, language: str | None = None
) -> TableFile:
    """The canvases of a manifest, or of all manifests of a collection, as an open table.

    Its columns are ``id`` (the canvas), ``image`` (an address at the size ``SIZE``), ``caption`` (the
    manifest's label and summary in one language), ``language``, the labels and summaries in each language
    (``label_en``), and what else a manifest says of the object. A manifest that cannot be
    fetched is a malformed row.

    Args:
        document: the manifest or the collection.
        name: what it is called in messages.
        fetch: for the manifests that a collection names; None to request nothing.
        language: the language of the captions, as a name or a code. By default each caption is in
            English, or else in the first language that its manifest has.

    Raises:
        TableError: the document is neither, or ``fetch`` is None and needed.
    """
    reading = _Reading(name, fetch, language)
    reading.read(document, 0)
    if not reading.rows and not reading.faults:
        raise TableError(f"{name} holds no canvas of a IIIF Presentation manifest")
    header = list(dict.fromkeys(column for row in reading.rows for column in row))
    rows = [(i, [row.get(column) for column in header]) for i, row in enumerate(reading.rows, 1)]
    return table_of_rows(name, "IIIF Presentation", header or ["id"], rows, reading.faults)


@dataclass
class _Reading:
    """The rows read so far."""

    name: Path
    fetch: Fetch | None
    language: str | None
    rows: list[dict[str, str]] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def read(self, document: Any, depth: int) -> None:
        if not isinstance(document, dict) or depth > _MAX_DEPTH:
            return
        kind = str(document.get("type") or document.get("@type") or "")
        if kind in ("Collection", "sc:Collection"):
            for entry in _members(document):
                self._read_member(entry, depth)
        elif kind in ("Manifest", "sc:Manifest"):
            for row in _canvases(document, self.language):
                if row["id"] not in self.seen:
                    self.seen.add(row["id"])
                    self.rows.append(row)

    def _read_member(self, entry: Any, depth: int) -> None:
        address = _id(entry)
        if not isinstance(entry, dict) or not address or address in self.seen:
            return
        self.seen.add(address)
        if any(
            key in entry for key in ("items", "sequences", "manifests", "members", "collections")
        ):
            self.read(entry, depth + 1)
            return
        if self.fetch is None:
            raise TableError(
                f"{self.name} is a collection whose manifests are at addresses, first: {address}: add "
                "--fetch to request them"
            )
        try:
            document = self.fetch(address)
        except FetchError as error:
            self.faults.append((len(self.rows) + len(self.faults) + 1, f"{address}: {error}"))
            return
        self.read(document, depth + 1)


def _members(collection: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("items", "members", "manifests", "collections"):
        entries = collection.get(key)
        yield from entries if isinstance(entries, list) else ()


def _canvases(manifest: Mapping[str, Any], language: str | None) -> Iterator[dict[str, str]]:
    """A row for each canvas."""
    labels, summaries = (
        _texts(manifest.get("label")),
        _texts(manifest.get("summary") or manifest.get("description")),
    )
    code = _choose([*labels, *summaries], language)
    caption = "\n\n".join(filter(None, (texts.get(code, "") for texts in (labels, summaries))))
    about = {
        "manifest": _id(manifest),
        "rights": str(manifest.get("rights") or manifest.get("license") or ""),
    }
    about |= {"homepage": _id(_first(manifest.get("homepage") or manifest.get("related")))}
    for kind, texts in (("label", labels), ("summary", summaries)):
        about |= {kind if c == _NO_LANGUAGE else f"{kind}_{c}": text for c, text in texts.items()}
    statement = manifest.get("requiredStatement")
    credit = statement.get("value") if isinstance(statement, dict) else manifest.get("attribution")
    about["attribution"] = "; ".join(_texts(credit).values())
    sequence = _first(manifest.get("sequences"))
    listed = sequence.get("canvases") if isinstance(sequence, dict) else manifest.get("items")
    for canvas in listed if isinstance(listed, list) else ():
        if not isinstance(canvas, dict) or not _id(canvas):
            continue
        yield {
            "id": _id(canvas),
            "image": _image(canvas),
            "caption": caption,
            "language": _language_name(code),
            "canvas": "; ".join(_texts(canvas.get("label")).values()),
            **about,
        }


def _choose(codes: list[str], language: str | None) -> str:
    """The code of the wanted language among those of a manifest, or else that of its first text."""
    names = {code: {code.lower(), code.split("-")[0].lower()} for code in codes}
    names = {c: parts | {LANGUAGES.get(part, part) for part in parts} for c, parts in names.items()}
    wanted = (language or "english").strip().lower()
    chosen = next((code for code, known in names.items() if wanted in known), None)
    if chosen is None and language is not None:
        return _NO_LANGUAGE
    return chosen or next(iter(codes), _NO_LANGUAGE)


def _language_name(code: str) -> str:
    return "" if code == _NO_LANGUAGE else LANGUAGES.get(code.split("-")[0].lower(), code)


def _texts(value: Any) -> dict[str, str]:
    """The texts of a property by the code of their language, in either version."""
    if isinstance(value, str):
        return {_NO_LANGUAGE: _plain(value)} if value.strip() else {}
    if isinstance(value, list):
        texts: dict[str, str] = {}
        for entry in value:
            for code, text in _texts(entry).items():
                texts[code] = f"{texts[code]}; {text}" if code in texts else text
        return texts
    if not isinstance(value, dict):
        return {}
    if "@value" in value:
        code = str(value.get("@language") or _NO_LANGUAGE)
        return {code: _plain(str(value["@value"]))}
    return {
        code.removeprefix("@"): "; ".join(_plain(str(text)) for text in _list(entry))
        for code, entry in value.items()
    }


def _plain(text: str) -> str:
    """A text without the few elements of HTML that the specification allows."""
    text = text.strip()
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip() if text.startswith("<") else text


def _image(canvas: Mapping[str, Any]) -> str:
    """The address of a canvas's image; empty if it has none."""
    if "images" in canvas:  # version 2
        body = _first(canvas["images"])
        body = body.get("resource") if isinstance(body, dict) else None
    else:
        page = _first(canvas.get("items"))
        annotation = _first(page.get("items")) if isinstance(page, dict) else None
        body = _first(annotation.get("body")) if isinstance(annotation, dict) else None
    for _ in range(_MAX_DEPTH):  # one of several images, or a part of one
        if not isinstance(body, dict) or _kind(body) not in _AROUND:
            break
        body = _first(body.get("items") or body.get("default") or body.get("source"))
    if isinstance(body, str):
        return body
    if not isinstance(body, dict):
        return ""
    for service in _list(body.get("service")):
        if not isinstance(service, dict) or not (address := _id(service)):
            continue
        about = f"{service.get('@context')} {service.get('profile')} {_kind(service)}"
        if "image" in about.lower() and "level0" not in about:
            is_first = "image-api/1" in about or "image/1" in about
            quality = "native" if is_first else "default"
            return f"{address.rstrip('/')}/full/{SIZE}/0/{quality}.jpg"
    return _id(body)


def _kind(value: Any) -> str:
    return str(value.get("type") or value.get("@type") or "") if isinstance(value, dict) else ""


def _id(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value.get("id") or value.get("@id") or "") if isinstance(value, dict) else ""


def _first(value: Any) -> Any:
    return next(iter(value), None) if isinstance(value, list) else value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
