"""Who may ask: hosts that the service was told, its own page, and clients with the key."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from fastapi.testclient import TestClient

from artaffect.errors import InputError
from artaffect.prediction.predictor import load_predictor
from artaffect.server.access import Access, allowed_hosts
from artaffect.server.app import create_app
from tests.running import serve

PREDICT = "/v1/predict"
HOSTS = allowed_hosts("0.0.0.0", ["art.example.org", "10.0.0.7", "2001:db8::7", "münchen.example"])
PATHS = ("/", "/page/page.js", "/healthz", "/readyz", "/metrics", "/examples", "/v1/model", "/x")
LINK = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture(scope="module")
def client(tiny_run: Path) -> Iterator[TestClient]:
    app = create_app(load_predictor(tiny_run), hosts=HOSTS)
    with TestClient(app, base_url="http://localhost:8000") as client:
        yield client


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8000", "LOCALHOST", "localhost.", "127.0.0.1:1", "[::1]:8000"),
        *("art.example.org", "Art.Example.org.:443", "10.0.0.7:9", "[2001:db8::7]", "0.0.0.0:8000"),
        *("[2001:db8:0:0::7]:80", "xn--mnchen-3ya.example"),
    ],
)
def test_a_host_that_the_service_was_told_is_answered(client: TestClient, host: str) -> None:
    assert client.get("/metrics", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("rebound.example", "rebound.example:8000", "10.0.0.8", "[::2]", "localhost.example"),
        *("", " ", "art.example.org.evil.example", "127.0.0.1.nip.example", "a@b", "[", "x" * 9000),
    ],
)
def test_another_host_is_refused_on_every_path(client: TestClient, host: str) -> None:
    for path in PATHS:
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 421, path
        assert response.json()["type"] == "urn:artaffect:problem:host"
        assert len(response.content) < 1000 and "--allow-host" in response.json()["detail"]
    assert client.post(PREDICT, data={"caption": "a"}, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://foreign.example"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://[::1"},
        {"Origin": "http://localhost:8000.foreign.example"},
        {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "Cross-Site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Site": "unknown"},
    ],
)
def test_a_foreign_page_is_refused_on_every_path(
    client: TestClient, headers: dict[str, str]
) -> None:
    for path in PATHS:
        response = client.get(path, headers=headers)
        assert response.status_code == 403, path
        assert response.json()["type"] == "urn:artaffect:problem:foreign-page"
        assert response.headers["cross-origin-resource-policy"] == "same-origin"
    refused = client.post(PREDICT, data={"caption": "waves"}, headers={**headers, **LINK})
    assert refused.status_code == 403, "a form that a foreign page sends is no link"
    assert client.options(PREDICT, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8000"},
        {"Origin": "HTTP://LOCALHOST:8000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"},
        {"Origin": "https://art.example.org", "Host": "127.0.0.1:8000"},
    ],
)
def test_its_own_page_and_programs_are_answered(
    client: TestClient, headers: dict[str, str]
) -> None:
    assert client.post(PREDICT, data={"caption": "waves"}, headers=headers).status_code == 200


def test_a_link_on_another_site_opens_the_page(client: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", **LINK}
    assert client.get("/", headers=headers).status_code == 200


@pytest.mark.parametrize("name", ["", " ", "http://a.example", "a:80", "a/b", "*", "a b", "a..b"])
def test_what_is_no_host_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not a host"):
        allowed_hosts("127.0.0.1", [name])


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bearer  "])
def test_the_scheme_of_the_key_may_be_written_in_any_case(tiny_run: Path, scheme: str) -> None:
    app = create_app(load_predictor(tiny_run), key="k e y", protect_metrics=True)
    with TestClient(app) as client:
        right = {"Authorization": f"{scheme} k e y"}
        for path in ("/v1/model", "/metrics"):
            assert client.get(path, headers=right).status_code == 200
            for wrong in ("k e y", f"{scheme} K E Y", "Basic k e y", "bearer", "Bearer \xff"):
                headers = {"Authorization": wrong.encode("latin-1")}
                response = client.get(path, headers=headers)
                assert response.json()["type"] == "urn:artaffect:problem:key", wrong
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("key", ["", " ", "\t\n", " a", "a\n", "a\x00b"])
def test_a_key_that_protects_nothing_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="API key (is empty|begins or ends)"):
        Access(key=key)


def test_protected_metrics_need_a_key() -> None:
    with pytest.raises(InputError, match="need an API key"):
        Access(protect_metrics=True)


def test_the_command_passes_on_who_may_ask(tiny_run: Path, tmp_path: Path) -> None:
    options = ("--allow-host", "art.example.org", "--protect-metrics")
    with serve(tiny_run, tmp_path, *options, key="secret") as running:

        def status(path: str, **headers: str) -> int:
            return httpx.get(running.address + path, headers=headers).status_code

        assert status("healthz") == status("healthz", Host="art.example.org") == 200
        assert status("healthz", Host="rebound.example") == 421
        for path in ("metrics", "v1/model"):
            assert status(path) == 401
            assert status(path, Authorization="Bearer secret") == 200
        response = httpx.post(
            running.address + "v1/predict",
            headers={"Authorization": "Bearer secret"},
            files={"image": ("secret.jpg", b"secret")},
        )
        assert response.status_code == 422
        running.stop()  # a request is logged after its answer has been sent
    log = running.log.read_text("utf-8")
    assert '"status": 422' in log and "secret" not in log, "neither keys nor images are logged"


@pytest.mark.parametrize("key", ["", "  "])
def test_the_command_refuses_an_empty_key_before_it_loads_the_model(
    tiny_run: Path, key: str
) -> None:
    command = [sys.executable, "-m", "artaffect.cli.main", "serve", str(tiny_run), "--port", "0"]
    environment = os.environ | {"ARTAFFECT_API_KEY": key}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "error: the API key is empty: set a key, or remove the setting\n"
