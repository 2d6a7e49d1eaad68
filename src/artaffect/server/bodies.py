"""Reads forms and JSON within the limits, which are checked before anything is built."""

import base64
import binascii
import json
import re
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from artaffect.errors import InputError
from artaffect.server.batching import run_in
from artaffect.server.limits import ServiceLimits
from artaffect.server.problems import ProblemError

T = TypeVar("T")
MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
_PIECE = 2**18
"""Bytes that are handled in one step of C code, during which no other thread runs."""
_IMAGE, _COLON, _BRACKET = b'"image"', re.compile(rb"\s*:\s*"), re.compile(rb"[][{}]")
_SMALL = 2**14
"""Bytes of a body that is parsed at once, because a thread would take longer."""
_SLASH, _SLASHES = ord("\\"), 2**13
"""More backslashes in a row than any caption has."""
_PARSER = ThreadPoolExecutor(1, "parse")
"""One thread for all large bodies, so that they do not compete with the loop for the interpreter."""


def media_type(request: Request) -> str:
    """The media type of a body, without parameters and in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class BoundedRoute(APIRoute):
    """A route whose bodies are read within the limits of the service."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As FastAPI does, for a request that knows the limits."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_BoundedRequest(request.scope, request.receive))

        return handle


class _BoundedRequest(Request):
    """A request whose form and JSON are read within the limits of the service."""

    @property
    def limits(self) -> ServiceLimits:
        return self.app.state.service.limits

    async def _get_form(self, **_: Any) -> FormData:
        if self._form is None:
            self._form = await self._read_form()
        return self._form

    async def _read_form(self) -> FormData:
        kind = media_type(self)
        if kind == MULTIPART:
            try:
                return await _MultipartReader(self.headers, self.stream(), self.limits).parse()
            except MultiPartException as error:
                raise ProblemError("malformed", error.message) from None
        if kind != URLENCODED:
            return FormData()
        size, text = self.limits.text_bytes, bytearray()
        async for chunk in self.stream():
            text += chunk
            if len(text) > size:
                raise ProblemError("too-large", f"a form without files has at most {size:,} bytes")
        fields = self.limits.form_fields
        return await _run(len(text), _parse_urlencoded, bytes(text), fields)

    async def json(self) -> Any:
        """The content of a JSON body; its images are replaced by keys of ``state.images``."""
        if not hasattr(self, "_json"):
            body = await self.body()
            parsed = await _run(len(body), parse_json, body, self.limits)
            self._json, self.state.images = parsed
        return self._json


async def _run(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """Parse a body of so many bytes without holding up the loop."""
    return work(*arguments) if size <= _SMALL else await run_in(_PARSER, work, *arguments)


class _MultipartReader(MultiPartParser):
    """Refuses a form that is not complete, has too much text or too many fields, or is not UTF-8."""

    def __init__(
        self, headers: Headers, stream: AsyncGenerator[bytes, None], limits: ServiceLimits
    ) -> None:
        most = float("inf")  # the fields are counted here, whatever they hold
        super().__init__(headers, stream, max_files=most, max_fields=most)
        self.limits, self.parts, self.ended = limits, 0, False

    def on_part_begin(self) -> None:
        """Count the fields."""
        self.parts += 1
        if self.parts > self.limits.form_fields:
            raise _too_many_fields(self.limits.form_fields)
        super().on_part_begin()

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Measure the text."""
        part, most = self._current_part, self.limits.text_bytes
        if part.file is None and len(part.data) + end - start > most:
            name = part.field_name[: self.limits.name_characters]
            raise ProblemError("too-large", f"the field {name!r} has more than {most:,} bytes")
        super().on_part_data(data, start, end)

    def on_part_end(self) -> None:
        """Check the encoding: the parser would take other bytes for Latin-1."""
        if self._current_part.file is None:
            _decoded(bytes(self._current_part.data), self._current_part.field_name)
        super().on_part_end()

    def on_end(self) -> None:
        """Called at the final boundary."""
        self.ended = True

    async def parse(self) -> FormData:
        """Parse the whole form."""
        form = await super().parse()
        if not self.ended:
            await form.close()
            raise ProblemError("malformed", "the form ends before its final boundary")
        return form


def _parse_urlencoded(body: bytes, fields: int) -> FormData:
    if body.count(b"&") >= fields:
        raise _too_many_fields(fields)
    text = _decoded(body, "")
    try:
        return FormData([*parse_qsl(text, keep_blank_values=True, errors="strict")])
    except UnicodeDecodeError:
        raise _not_utf8("") from None


def _decoded(content: bytes, field: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise _not_utf8(field) from None


def _not_utf8(field: str) -> ProblemError:
    place = f"the field {field[:100]!r}" if field else "the form"
    return ProblemError("invalid", f"{place} is not valid UTF-8: send text in UTF-8")


def _too_many_fields(limit: int) -> ProblemError:
    return ProblemError("too-large", f"the form has more than {limit} fields")


def parse_json(body: bytes, limits: ServiceLimits) -> tuple[Any, dict[str, memoryview]]:
    """Parse JSON.

    Returns:
        The content, in which the value of each member ``image`` is a key of the second result: images
        as they were sent, without the quotation marks.

    Raises:
        JSONDecodeError: it is not JSON.
        ProblemError: it exceeds a limit.
    """
    outline = _Outline(body, limits)
    images: dict[str, memoryview] = {}
    whole = memoryview(body)
    position, last = 0, b""
    while (start := body.find(b'"', position)) >= 0:
        gap = outline.add_structure(position, start)
        end = body.find(b'"', start + 1)
        # base64 has no quotation mark, and so no escaped one
        is_image = last == _IMAGE and _COLON.fullmatch(gap) is not None and body[end - 1] != _SLASH
        if not is_image:
            end = outline.end_of_string(start)
        if end < 0:
            break
        if is_image:
            key = str(len(images))
            images[key] = whole[start + 1 : end]
            outline.text += b'"%s"' % key.encode()
        else:
            outline.add(start, end + 1)
        position = end + 1
        last = body[start:position] if position - start == len(_IMAGE) else b""
    outline.add_structure(position, len(body))
    try:
        content = json.loads(outline.text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ProblemError("malformed", "the JSON is not valid UTF-8") from None
    items = content.get("items") if isinstance(content, dict) else None
    if isinstance(items, list) and len(items) > limits.batch_items:
        detail = f"got {len(items)} artworks; at most {limits.batch_items} are allowed"
        raise ProblemError("invalid", detail)
    return content, images


class _Outline:
    """JSON without its images, whose size, nesting and number of values are limited."""

    def __init__(self, body: bytes, limits: ServiceLimits) -> None:
        self.body, self.limits, self.text = body, limits, bytearray()
        self.values = self.depth = 0

    def add(self, start: int, end: int) -> None:
        """Add a part of the body."""
        most = self.limits.json_bytes
        if len(self.text) + end - start > most:
            detail = f"apart from its images, the JSON has more than {most:,} bytes"
            raise ProblemError("too-large", detail)
        self.text += self.body[start:end]

    def add_structure(self, start: int, end: int) -> bytes:
        """Add what stands between two strings, and return it."""
        self.add(start, end)
        gap, most = self.body[start:end], self.limits.json_values
        self.values += sum(gap.count(mark) for mark in (b",", b"[", b"{"))
        if self.values > most:
            raise ProblemError("too-large", f"the JSON has more than {most:,} values")
        for mark in _BRACKET.findall(gap):
            self.depth += 1 if mark in b"[{" else -1
            if self.depth > self.limits.json_depth:
                detail = f"the JSON is nested more deeply than {self.limits.json_depth} levels"
                raise ProblemError("too-large", detail)
            if self.depth < 0:
                raise ProblemError("malformed", "the JSON closes a bracket that was never opened")
        return gap

    def end_of_string(self, start: int) -> int:
        """Where the quotation mark is that ends the string that begins at ``start``; -1 if it does not."""
        stop = start + self.limits.json_bytes + 2
        end = self.body.find(b'"', start + 1, stop)
        while end >= 0:
            slashes = self.body[max(start + 1, end - _SLASHES) : end]
            if (len(slashes) - len(slashes.rstrip(b"\\"))) % 2 == 0:
                return end
            end = self.body.find(b'"', end + 1, stop)
        self.add(start, min(stop, len(self.body)))
        return -1


def decode_base64(text: bytes | memoryview) -> bytes:
    """Decode base64 from a JSON string, piece by piece, so that other threads can run in between.

    Raises:
        InputError: it is not valid.
    """
    content, rest, position = [], b"", 0
    while position < len(text):
        piece = bytes(text[position : position + _PIECE])
        is_last = position + len(piece) >= len(text)
        escape = piece.rfind(b"\\", -5)
        if not is_last and escape > 0:  # an escape sequence stays in one piece
            piece = piece[:escape]
        position += len(piece)
        try:
            if b"\\" in piece:  # some programs write / or + as an escape sequence
                piece = json.loads(b'"%s"' % piece).encode("ascii")
            piece = rest + piece
            usable = len(piece) - len(piece) % 4
            if b"=" in piece[:-2] or (b"=" in piece and position < len(text)):
                raise ValueError("padding before the end")
            content.append(base64.b64decode(piece[:usable], validate=True))
        except (binascii.Error, ValueError) as error:
            raise InputError(f"the image is not valid base64 ({error})") from None
        rest = piece[usable:]
    if rest:
        raise InputError("the image is not valid base64 (its length is not a multiple of 4)")
    return b"".join(content)
