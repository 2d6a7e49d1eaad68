"""Errors of the service, as RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from artaffect.errors import ArtAffectError, ImageError, InputError
from artaffect.runtime import printable
from artaffect.server.telemetry import LOGGER

MEDIA_TYPE = "application/problem+json"
LISTED_ERRORS = 10
"""How many faults of a request are listed; the others are counted."""
_DETAIL_CHARACTERS, _FIELD_CHARACTERS = 4_000, 200


class ProblemKind(NamedTuple):
    """The status and title of one type of problem."""

    status: int
    title: str


PROBLEMS: Mapping[str, ProblemKind] = {
    "malformed": ProblemKind(400, "The request cannot be parsed"),
    "key": ProblemKind(401, "An API key is required"),
    "foreign-page": ProblemKind(403, "Pages of other sites cannot use this service"),
    "not-found": ProblemKind(404, "Not found"),
    "method": ProblemKind(405, "Method not allowed"),
    "slow-request": ProblemKind(408, "The request did not arrive in time"),
    "too-large": ProblemKind(413, "The request is too large"),
    "media-type": ProblemKind(415, "The request has the wrong media type"),
    "host": ProblemKind(421, "The service does not answer to this host"),
    "invalid": ProblemKind(422, "The request is invalid"),
    "image": ProblemKind(422, "The image cannot be used"),
    "no-explanations": ProblemKind(422, "This model does not support explanations"),
    "internal": ProblemKind(500, "Internal error"),
    "busy": ProblemKind(503, "The service is busy"),
    "slow-answer": ProblemKind(504, "The response took too long"),
}
"""By the last part of a problem's ``type``."""

_BY_ERROR = {ImageError: "image", InputError: "invalid", ArtAffectError: "internal"}
_BY_STATUS = {kind.status: name for name, kind in PROBLEMS.items()} | {422: "invalid"}


class ProblemError(HTTPException):
    """Ends a request. It is an HTTPException so that FastAPI lets it through while it reads a body."""

    def __init__(
        self,
        name: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(PROBLEMS[name].status, detail, dict(headers or {}))
        self.name, self.errors = name, errors

    def to_json(self, request_id: str | None = None) -> dict[str, Any]:
        """The members of RFC 9457; ``instance`` is the request id, which is also in the log."""
        members: dict[str, Any] = {
            "type": f"urn:artaffect:problem:{self.name}",
            "title": PROBLEMS[self.name].title,
            "status": self.status_code,
            "detail": _shortened(self.detail, _DETAIL_CHARACTERS),
        }
        if request_id:
            members["instance"] = f"urn:uuid:{request_id}"
        if self.errors:
            members["errors"] = [
                {key: _shortened(text, _FIELD_CHARACTERS) for key, text in error.items()}
                for error in self.errors
            ]
        return members

    def response(self, request_id: str | None) -> JSONResponse:
        members = self.to_json(request_id)
        return JSONResponse(members, self.status_code, self.headers, media_type=MEDIA_TYPE)


def problem_from_exception(error: Exception) -> ProblemError:
    """The problem that an exception stands for; ``internal`` if it was not expected."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_request(error)
    if isinstance(error, HTTPException):
        name = _BY_STATUS.get(error.status_code, "internal")
        phrase = HTTPStatus(error.status_code).phrase
        return ProblemError(name, str(error.detail or phrase), error.headers)
    for kind, name in _BY_ERROR.items():
        if isinstance(error, kind):
            return ProblemError(name, str(error))
    return ProblemError("internal", "see the log of the service for this instance")


def logged_problem(error: Exception, request_id: str) -> ProblemError:
    """The problem for the client; if it is internal, the log gets the traceback."""
    problem = problem_from_exception(error)
    if problem.name == "internal":
        fields = {"id": request_id}
        LOGGER.error("request failed", exc_info=error, extra={"fields": fields})
    return problem


def add_problem_handlers(app: FastAPI) -> None:
    """Make an app respond to every expected exception with a problem."""

    def respond(request: Request, error: Exception) -> JSONResponse:
        request_id = request.scope["request_id"]
        return logged_problem(error, request_id).response(request_id)

    for kind in (HTTPException, RequestValidationError, ArtAffectError):
        app.add_exception_handler(kind, respond)


def problem_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """The responses of an OpenAPI operation that are problems, each with an example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for name in names:
        example = ProblemError(name, "details").to_json()
        content = {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        kind = PROBLEMS[name]
        responses[kind.status] = {"description": kind.title, "content": {MEDIA_TYPE: content}}
    return responses


def invalid_request(error: RequestValidationError | ValidationError) -> ProblemError:
    """The problem with a request, or with one artwork of it, that violates its schema."""
    faults, errors = error.errors(), []
    # FastAPI's errors begin with the part of the request, such as the body
    skipped = 1 if isinstance(error, RequestValidationError) else 0
    for fault in faults[:LISTED_ERRORS]:
        detail = fault["msg"]
        if "UploadFile" in detail:  # the most common mistake gets a more helpful message
            detail = "send it as a file with a file name; with curl: -F image=@FILE"
        field = ".".join(map(str, fault["loc"][skipped:]))
        errors.append({"field": _shortened(field, _FIELD_CHARACTERS), "detail": detail})
    summary = "; ".join(f"{fault['field'] or 'body'}: {fault['detail']}" for fault in errors)
    if len(faults) > LISTED_ERRORS:
        summary += f"; and {len(faults) - LISTED_ERRORS:,} more"
    malformed = any(fault["type"] == "json_invalid" for fault in faults)
    return ProblemError("malformed" if malformed else "invalid", summary, errors=errors)


def _shortened(text: str, characters: int) -> str:
    """One line of at most so many characters: a name or a value that a client sent may be long."""
    whole = text[: characters + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    line = printable(whole)  # half a surrogate pair, which JSON may hold, is no text
    return line if len(line) <= characters else line[: characters - 1] + "…"
