"""What can go wrong with a request, as RFC 9457 problem details."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from artaffect.errors import ArtAffectError, ImageError, InputError

MEDIA_TYPE = "application/problem+json"


class ProblemKind(NamedTuple):
    """A sort of problem: what its ``type`` ends in leads here."""

    status: int
    title: str


PROBLEMS: Mapping[str, ProblemKind] = {
    "malformed": ProblemKind(400, "The request cannot be read"),
    "key": ProblemKind(401, "This service asks for a key"),
    "not-found": ProblemKind(404, "There is nothing here"),
    "method": ProblemKind(405, "This address does not take that method"),
    "slow-request": ProblemKind(408, "The request did not arrive in time"),
    "too-large": ProblemKind(413, "The request is too large"),
    "invalid": ProblemKind(422, "The request does not say what is needed"),
    "image": ProblemKind(422, "The picture cannot be used"),
    "no-explanations": ProblemKind(422, "This model answers but does not explain"),
    "internal": ProblemKind(500, "The service failed"),
    "busy": ProblemKind(503, "The service is busy"),
    "slow-answer": ProblemKind(504, "The answer took too long"),
}

_BY_STATUS = {kind.status: name for name, kind in PROBLEMS.items()} | {422: "invalid"}


class ProblemError(HTTPException):
    """A request ends with a problem.

    It is an HTTPException so that FastAPI, which reads bodies on its own, lets it through.
    """

    def __init__(
        self,
        name: str,
        detail: str,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(PROBLEMS[name].status, detail, dict(headers or {}))
        self.name = name
        self.errors = errors

    def to_json(self, request_id: str | None = None) -> dict[str, Any]:
        """The members of RFC 9457; ``instance`` is the request's id, which the log bears too."""
        found: dict[str, Any] = {
            "type": f"urn:artaffect:problem:{self.name}",
            "title": PROBLEMS[self.name].title,
            "status": self.status_code,
            "detail": self.detail,
        }
        if request_id:
            found["instance"] = f"urn:uuid:{request_id}"
        if self.errors:
            found["errors"] = list(self.errors)
        return found

    def response(self, request_id: str | None = None) -> JSONResponse:
        return JSONResponse(
            self.to_json(request_id), self.status_code, self.headers, media_type=MEDIA_TYPE
        )


def problem_of(error: Exception) -> ProblemError:
    """The problem that an exception is; ``internal`` where it was not foreseen."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        errors = [
            {"field": ".".join(str(part) for part in e["loc"][1:]), "detail": _said(e["msg"])}
            for e in error.errors()
        ]
        named = "; ".join(f"{e['field'] or 'body'}: {e['detail']}" for e in errors)
        broken = any(e["type"] == "json_invalid" for e in error.errors())
        return ProblemError("malformed" if broken else "invalid", named, errors=errors)
    if isinstance(error, HTTPException):
        name = _BY_STATUS.get(error.status_code, "internal")
        phrase = HTTPStatus(error.status_code).phrase
        return ProblemError(name, str(error.detail or phrase), error.headers)
    if isinstance(error, ImageError):
        return ProblemError("image", str(error))
    if isinstance(error, InputError):
        return ProblemError("invalid", str(error))
    if isinstance(error, ArtAffectError):
        return ProblemError("internal", str(error))
    return ProblemError("internal", "what happened is in the service's log, under this instance")


def _said(message: str) -> str:
    """A message of FastAPI's; the commonest slip gets words that help."""
    if "UploadFile" in message:
        return "send it as a file with a name; with curl: -F image=@FILE"
    return message


def install(app: FastAPI) -> None:
    """Have an app answer every foreseen exception as a problem."""

    def answer(request: Request, error: Exception) -> JSONResponse:
        return problem_of(error).response(request.scope["request_id"])

    for kind in (HTTPException, RequestValidationError, ArtAffectError):
        app.add_exception_handler(kind, answer)
