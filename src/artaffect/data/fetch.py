"""Request files from the web, politely, and never from an address inside the user's own network."""

import contextlib
import email.utils
import hashlib
import ipaddress
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpcore2

from artaffect.errors import FetchError
from artaffect.outputs import atomic_file

ADDRESS = ("http://", "https://")
"""How an address begins."""

_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_BUSY = (429, 500, 502, 503, 504)
"""A server that answers so may answer otherwise a little later."""
_ATTEMPTS = 4
_MAX_WAIT, _MAX_SECONDS = 120.0, 300.0
"""Seconds until another attempt, and for one file."""
_MAX_FAILURES = 5
"""So many failures in a row, and a host is left alone."""
_TIMEOUTS = {"connect": 20.0, "read": 60.0, "write": 20.0, "pool": 20.0}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_address(text: str) -> bool:
    """Whether a text is a web address."""
    return text.lower().startswith(ADDRESS)


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet.

    Addresses of IPv6 that stand for one of IPv4 are as public as that one.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


class _CheckedNetwork(httpcore2.SyncBackend):
    """Opens connections to some addresses only; it connects to the very address that it checked."""

    def __init__(self, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError(f"the name {host} is not known") from None
        addresses = dict.fromkeys(str(entry[4][0]) for entry in resolved)
        allowed = [address for address in addresses if self._is_allowed(address)]
        if not allowed:
            raise FetchError(
                f"{host} is {', '.join(addresses)}, inside a private network: add --allow-private if you "
                "trust where this address comes from"
            )
        for address in allowed[:-1]:
            with contextlib.suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
        return super().connect_tcp(allowed[-1], port, timeout, local_address, socket_options)


class Fetcher:
    """Requests files one after the other, and keeps them in a folder.

    A host gets at most ``rate`` requests a second. One that is busy is asked again later, when it says
    so; one that fails several times in a row is left alone.
    """

    def __init__(
        self,
        folder: Path,
        rate: float = 2.0,
        is_allowed: Callable[[str], bool] = is_public,
        pause: float = 1.0,
    ) -> None:
        """Requests go directly to the hosts, through no proxy.

        Args:
            folder: where the files are kept.
            rate: requests a second to one host.
            is_allowed: whether a connection to an IP address may be opened.
            pause: seconds before the second attempt; each further pause is twice as long.
        """
        self.folder, self.interval, self.pause = folder, 1 / rate, pause
        agent = f"artaffect/{version('artaffect')} (reads collections; one request at a time)"
        self._headers = [("User-Agent", agent), ("Accept-Encoding", "identity")]
        network = _CheckedNetwork(is_allowed)
        self._pool = httpcore2.ConnectionPool(network_backend=network, max_connections=4)
        self._next: dict[str, float] = {}
        self._failures: Counter[str] = Counter()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def path(self, url: str) -> Path:
        """Where the file of an address is kept, or will be."""
        return self.folder / hashlib.blake2b(url.encode(), digest_size=16).hexdigest()

    def fetch(
        self,
        url: str,
        check: Callable[[bytes], object],
        max_bytes: int,
        max_age: float | None = None,
    ) -> Path:
        """The file of an address, from the folder if it is there.

        Args:
            check: raises an error for content that must not be kept.
            max_bytes: the largest file that is read.
            max_age: the age in seconds at which a kept file is requested again; None for never.

        Raises:
            FetchError: the file cannot be fetched; the message says why.
        """
        path = self.path(url)
        with contextlib.suppress(OSError):
            age = time.time() - path.stat().st_mtime
            if max_age is None or age < max_age:
                return path
        data = self._get(_ascii(url), max_bytes)
        check(data)
        with atomic_file(path) as temporary:
            temporary.write_bytes(data)
        return path

    def _get(self, url: str, max_bytes: int) -> bytes:
        host = urlsplit(url).netloc
        if self._failures[host] >= _MAX_FAILURES:
            raise FetchError(f"{host} failed {_MAX_FAILURES} times in a row, and is left alone")
        attempts, wait = 0, 0.0
        while attempts < _ATTEMPTS and wait <= _MAX_WAIT:
            time.sleep(wait)
            wait = self.pause * 2**attempts
            attempts += 1
            try:
                data, wanted = self._follow(url, max_bytes)
            except (httpcore2.NetworkError, httpcore2.TimeoutException) as error:
                reason = str(error) or type(error).__name__
            except httpcore2.ProtocolError as error:
                raise FetchError(f"the server does not speak HTTP ({error})") from None
            else:
                if not isinstance(data, int):
                    self._failures[host] = 0
                    return data
                reason, wait = f"HTTP {data}", wait if wanted is None else wanted
        self._failures[host] += 1
        raise FetchError(f"{reason} ({attempts} attempts)")

    def _follow(self, url: str, max_bytes: int) -> tuple[bytes | int, float | None]:
        """The content of an address; or the status of a busy server, and how long it wants to wait."""
        for _ in range(_MAX_REDIRECTS + 1):
            self._take_turn(urlsplit(url).netloc)
            extensions = {"timeout": _TIMEOUTS}
            with self._pool.stream(
                "GET", url, headers=self._headers, extensions=extensions
            ) as response:
                headers = {key.lower(): value for key, value in response.headers}
                if response.status in _REDIRECTS and b"location" in headers:
                    url = _joined(url, headers[b"location"].decode("latin-1"))
                    continue
                if response.status in _BUSY:
                    return response.status, _retry_after(headers.get(b"retry-after", b""))
                if response.status != 200:
                    raise FetchError(f"HTTP {response.status}")
                return _body(response, max_bytes), None
        raise FetchError(f"more than {_MAX_REDIRECTS} redirects")

    def _take_turn(self, host: str) -> None:
        """Wait until a host may be asked again."""
        now = time.monotonic()
        start = max(now, self._next.get(host, now))
        self._next[host] = start + self.interval
        time.sleep(start - now)


def _body(response: httpcore2.Response, max_bytes: int) -> bytes:
    parts, size, deadline = [], 0, time.monotonic() + _MAX_SECONDS
    for part in response.iter_stream():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise FetchError(f"more than {max_bytes / 2**20:.0f} MiB")
        if time.monotonic() > deadline:
            raise FetchError(f"not complete after {_MAX_SECONDS:.0f} seconds")
    return b"".join(parts)


def _joined(url: str, location: str) -> str:
    try:
        return _ascii(urljoin(url, location))
    except ValueError:
        raise FetchError(f"redirected to {location!r}, which is not an address") from None


def _retry_after(value: bytes) -> float | None:
    """Seconds, as a number or until a date (RFC 9110); None if the server does not say."""
    text = value.decode("latin-1").strip()
    if text.isdecimal():
        return float(text)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def _ascii(url: str) -> str:
    """An address in ASCII; raise FetchError if it is none of the web."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
        name = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except (ValueError, UnicodeError):
        raise FetchError(f"{url!r} is not an address") from None
    if parts.scheme.lower() not in ("http", "https") or not name:
        raise FetchError(f"{url!r} is not an address that begins with https:// or http://")
    place = name if port is None else f"{name}:{port}"
    safe = "/%:@!$&'()*+,;=~-._"
    path, query = quote(parts.path or "/", safe=safe), quote(parts.query, safe=safe + "?")
    return urlunsplit((parts.scheme.lower(), place, path, query, ""))
