"""Who may send requests: hosts that the service was told, its own pages, and clients with the key."""

import contextlib
import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from artaffect.errors import InputError
from artaffect.server.problems import ProblemError

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Access:
    """Which requests are answered."""

    hosts: frozenset[str] | None = None
    """The names and addresses by which clients may call the service; None for any."""
    key: str | None = None
    """What clients of ``/v1`` must send."""
    protect_metrics: bool = False
    """Whether ``/metrics`` needs the key too."""

    def __post_init__(self) -> None:
        if self.protect_metrics and self.key is None:
            raise InputError("protected metrics need an API key: set one, or leave them open")
        if self.key is None:
            return
        if not self.key.strip():
            raise InputError("the API key is empty: set a key, or remove the setting")
        if self.key != self.key.strip() or not self.key.isprintable():
            raise InputError(
                "the API key begins or ends with white space, or contains a control character, "
                "which no header can carry: choose another key"
            )

    def check(self, scope: Scope) -> None:
        """Check the headers of a request.

        Raises:
            ProblemError: it is not answered.
        """
        headers = Headers(scope=scope)
        self._check_host(headers)
        self._check_page(headers, scope["method"])
        needs_key = scope["path"].startswith("/v1/") or (
            self.protect_metrics and scope["path"] == "/metrics"
        )
        if needs_key and self.key is not None:
            _check_key(headers, self.key)

    def _check_host(self, headers: Headers) -> None:
        """Refuse another name: it may be one that its owner lets point to this machine."""
        host = _host_of(headers.get("host", ""))
        if self.hosts is not None and host not in self.hosts:
            raise ProblemError(
                "host",
                f"this service does not answer to the host {host[:100]!r}: call it by a name that it "
                "knows, or start it with --allow-host NAME",
            )

    def _check_page(self, headers: Headers, method: str) -> None:
        """Refuse what a page of another site made a browser send, apart from a link to this site."""
        relation = headers.get("sec-fetch-site", "none").lower()
        is_link = method in ("GET", "HEAD") and (
            headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"
        )
        foreign = relation not in ("same-origin", "none") and not is_link
        if foreign or not self._is_own(headers.get("origin"), headers.get("host", "")):
            detail = "a page of another site sent this request; use the page of this service"
            raise ProblemError("foreign-page", detail)

    def _is_own(self, origin: str | None, host: str) -> bool:
        """Whether an origin is this service, also behind a proxy that calls it by another name."""
        if origin is None:
            return True
        try:
            authority = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        if authority and authority == host.lower():
            return True
        return _host_of(authority) in (self.hosts or frozenset()) - LOOPBACK


def _check_key(headers: Headers, key: str) -> None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    given, expected = credentials.strip().encode("latin-1"), key.encode("utf-8")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given, expected):
        detail = "send the header `Authorization: Bearer KEY` with the API key of this service"
        raise ProblemError("key", detail, {"WWW-Authenticate": "Bearer"})


def allowed_hosts(bound: str, names: Iterable[str]) -> frozenset[str]:
    """The hosts to answer to: this machine's loopback names, the bound address, and more names.

    Raises:
        InputError: a name is not that of a host.
    """
    return LOOPBACK | {_checked(bound)} | {_checked(name) for name in names}


def _checked(name: str) -> str:
    bare = name.removeprefix("[").removesuffix("]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(bare).compressed
    try:
        host = bare.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise InputError(f"{name!r} is not a host: expected a name or an address, without a port")
    return host


def _host_of(authority: str) -> str:
    """The host of a ``Host`` header, without its port, in the spelling that is compared."""
    is_bracketed = authority.startswith("[")  # an address of IPv6
    host = authority[1:].partition("]")[0] if is_bracketed else authority.partition(":")[0]
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        return host.lower().removesuffix(".")
