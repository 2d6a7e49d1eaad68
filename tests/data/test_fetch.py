"""Files are requested politely, kept, and never requested from private networks unless that is allowed."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artaffect.data.fetch import Fetcher, is_public
from artaffect.errors import FetchError
from tests.web import Site, serve_site


@pytest.fixture
def site() -> Iterator[Site]:
    with serve_site() as site:
        yield site


def accept(data: bytes) -> None:
    """Every content is kept."""


def is_loopback(address: str) -> bool:
    return address == "127.0.0.1"


def fetcher(folder: Path, rate: float = 1000) -> Fetcher:
    return Fetcher(folder, rate, is_loopback, pause=0.01)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2002:c0a8:101::1", False),
    ],
)
def test_an_address_is_public_or_not(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_file_is_requested_once_and_kept(site: Site, tmp_path: Path) -> None:
    site.pages["/a%20b"] = (200, {}, b"content")
    with fetcher(tmp_path) as first:
        assert first.fetch(f"{site.address}/a b", accept, 100).read_bytes() == b"content"
    with fetcher(tmp_path) as second:
        second.fetch(f"{site.address}/a b", accept, 100)
        assert site.paths == ["/a%20b"]
        second.fetch(f"{site.address}/a b", accept, 100, max_age=0)
        assert site.paths == ["/a%20b"] * 2
    assert site.requests[0][2]["User-Agent"].startswith("artaffect/")


def test_a_private_address_is_refused_by_name_and_by_number(site: Site, tmp_path: Path) -> None:
    port = site.address.rpartition(":")[2]
    with Fetcher(tmp_path) as strict:
        for host in ("127.0.0.1", "localhost", "[::1]", "2130706433", "127.1"):
            with pytest.raises(FetchError, match="inside a private network: add --allow-private"):
                strict.fetch(f"http://{host}:{port}/a", accept, 100)
    assert site.requests == [], "nothing reached the server"


def test_each_redirect_is_checked_when_it_is_followed(site: Site, tmp_path: Path) -> None:
    site.pages["/start"] = (302, {"Location": "/end"}, b"")
    site.pages["/end"] = (200, {}, b"there")
    site.pages["/inside"] = (302, {"Location": site.address.replace("127.0.0.1", "127.0.0.2")}, b"")
    site.pages["/round"] = (302, {"Location": "/round"}, b"")
    site.pages["/file"] = (302, {"Location": "file:///etc/passwd"}, b"")
    with fetcher(tmp_path) as open_minded:
        assert open_minded.fetch(f"{site.address}/start", accept, 100).read_bytes() == b"there"
        with pytest.raises(FetchError, match=r"127\.0\.0\.2, inside a private network"):
            open_minded.fetch(f"{site.address}/inside", accept, 100)
        with pytest.raises(FetchError, match="more than 5 redirects"):
            open_minded.fetch(f"{site.address}/round", accept, 100)
        with pytest.raises(FetchError, match="not an address that begins with https"):
            open_minded.fetch(f"{site.address}/file", accept, 100)


def test_the_address_that_was_checked_is_the_one_that_is_used(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, names = socket.getaddrinfo, []

    def rebinding(host: str, *arguments: Any, **options: Any) -> Any:
        """A name that leads somewhere else when it is looked up again."""
        if host == "rebinding.example":
            names.append(host)
            host = "127.0.0.1" if len(names) == 1 else "127.0.0.2"
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    site.pages["/a"] = (200, {}, b"content")
    address = site.address.replace("127.0.0.1", "rebinding.example")
    with fetcher(tmp_path) as allowed:
        assert allowed.fetch(f"{address}/a", accept, 100).read_bytes() == b"content"
    assert names == ["rebinding.example"], "it is looked up once"


def test_a_host_gets_no_more_requests_than_its_rate(site: Site, tmp_path: Path) -> None:
    for number in range(4):
        site.pages[f"/{number}"] = (200, {}, b"x")
    with fetcher(tmp_path, rate=20) as slow:
        for number in range(4):
            slow.fetch(f"{site.address}/{number}", accept, 100)
    times = [time for _, time, _ in site.requests]
    assert times[-1] - times[0] >= 3 / 20 - 0.02


def test_a_busy_server_is_asked_again_when_it_says_so(site: Site, tmp_path: Path) -> None:
    good = (200, {}, b"x")
    site.pages["/busy"] = [(503, {}, b""), (429, {"Retry-After": "1"}, b""), good]
    site.pages["/gone"] = (404, {}, b"")
    site.pages["/later"] = (503, {"Retry-After": "86400"}, b"")
    site.pages["/down"] = (500, {}, b"")
    with fetcher(tmp_path) as patient:
        patient.fetch(f"{site.address}/busy", accept, 100)
        times = [time for _, time, _ in site.requests]
        assert len(times) == 3 and times[2] - times[1] >= 0.9
        with pytest.raises(FetchError, match=r"^HTTP 404$"):
            patient.fetch(f"{site.address}/gone", accept, 100)
        with pytest.raises(FetchError, match=r"HTTP 503 \(1 attempts\)"):
            patient.fetch(f"{site.address}/later", accept, 100)
        with pytest.raises(FetchError, match=r"HTTP 500 \(4 attempts\)"):
            patient.fetch(f"{site.address}/down", accept, 100)


def test_a_host_that_fails_again_and_again_is_left_alone(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with fetcher(tmp_path) as patient:
            for _ in range(5):
                with pytest.raises(FetchError, match="4 attempts"):
                    patient.fetch(f"{address}/x", accept, 100)
            with pytest.raises(FetchError, match="failed 5 times in a row, and is left alone"):
                patient.fetch(f"{address}/x", accept, 100)


def test_what_is_too_large_or_refused_is_not_kept(site: Site, tmp_path: Path) -> None:
    site.pages["/large"] = (200, {}, b"x" * 2_000_000)
    site.pages["/odd"] = (200, {}, b"odd")

    def refuse(data: bytes) -> None:
        raise FetchError(f"not {data!r}")

    with fetcher(tmp_path / "kept") as patient:
        with pytest.raises(FetchError, match="more than 1 MiB"):
            patient.fetch(f"{site.address}/large", accept, 1 << 20)
        with pytest.raises(FetchError, match="not b'odd'"):
            patient.fetch(f"{site.address}/odd", refuse, 100)
        for odd in ("ftp://a.example/x", "http://", "https://exa mple/\x00"):
            with pytest.raises(FetchError, match="is not an address|is not known"):
                patient.fetch(odd, accept, 100)
    assert not list((tmp_path / "kept").glob("*"))
