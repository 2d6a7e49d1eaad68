"""No request within the limits holds up the event loop: others are answered meanwhile."""

import base64
import io
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
from PIL import Image

from artaffect.server.limits import ServiceLimits
from tests.running import Running, serve_watched

LIMITS = ServiceLimits()
MOST_MS, ATTEMPTS = 50.0, 5
"""The longest delay that is allowed, in the best of some attempts."""
NAMES = [f"{i:03}" + "巨" * (LIMITS.name_characters - 3) for i in range(LIMITS.cultures)]
CAPTION = '\\"巨' * (LIMITS.caption_characters // 3)


@pytest.fixture(scope="module")
def running(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serve_watched(tiny_run, tmp_path_factory.mktemp("log")) as process:
        yield process


def padded_image(size: int) -> bytes:
    """A small JPEG followed by zeros, which decoders ignore."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue().ljust(size, b"\0")


def form(field: bytes, name: bytes = b"culture", more: bytes = b"") -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n' % (name, more)
    return head + field + b"\r\n"


def in_json(items: list[dict[str, object]]) -> dict[str, object]:
    text = json.dumps({"items": items}, ensure_ascii=False).encode()
    return {
        "url": "v1/predict/batch",
        "content": text,
        "headers": {"Content-Type": "application/json"},
    }


def in_form(*parts: bytes) -> dict[str, object]:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    return {"url": "v1/predict", "content": b"".join(parts) + b"--x--", "headers": headers}


def largest_file() -> dict[str, object]:
    content = padded_image(LIMITS.upload_bytes - 1000)
    return in_form(form(content, b"image", b'; filename="a.jpg"'))


def most_text() -> dict[str, object]:
    fields = [form(b"\r\n--" * (LIMITS.text_bytes // 4)) for _ in range(LIMITS.form_fields - 1)]
    return in_form(*fields, form(b"waves", b"caption"))


def most_parts() -> dict[str, object]:
    head = b"".join(b"A%d: %s\r\n" % (i, b"a" * 4000) for i in range(5))
    parts = [form(b"a").replace(b"\r\n", b"\r\n" + head, 1) for _ in range(LIMITS.form_fields)]
    return in_form(*parts)


def urlencoded() -> dict[str, object]:
    content = b"caption=" + b"%41" * (LIMITS.text_bytes // 3 - 10)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"url": "v1/predict", "content": content, "headers": headers}


def all_cultures() -> dict[str, object]:
    return {"url": "v1/predict", "data": {"caption": CAPTION, "culture": NAMES}}


def explanation() -> dict[str, object]:
    names = NAMES[: LIMITS.explained_cultures]
    data = {"caption": "Waves tower over a boat. " * 80, "culture": names, "explain": "true"}
    return {"url": "v1/predict", "data": data, "files": {"image": padded_image(10**6)}}


def one_large_image() -> dict[str, object]:
    image = base64.b64encode(padded_image(3 * (LIMITS.upload_bytes // 4) - 1000)).decode()
    return in_json([{"image": image}])


def many_images() -> dict[str, object]:
    image = base64.b64encode(padded_image(3 * (LIMITS.upload_bytes // 4) // 64 - 1000)).decode()
    return in_json([{"image": image}] * 64)


def largest_answer() -> dict[str, object]:
    return in_json([{"caption": CAPTION, "language": NAMES[0], "cultures": NAMES}] * 64)


def most_values() -> dict[str, object]:
    names = ["a"] * (LIMITS.json_values // 64 - 10)
    return in_json([{"caption": "waves", "cultures": names}] * 64)


def most_faults() -> dict[str, object]:
    return in_json([{str(i): i for i in range(LIMITS.json_values - 10)}])


def long_strings() -> dict[str, object]:
    return in_json([{"caption": '"\\' * (LIMITS.json_bytes // 4 - 1000)}])


def long_list() -> dict[str, object]:
    content = b'{"items":[' + b"1," * 2_000_000 + b"1]}"
    return {**in_json([]), "content": content}


def tiny_chunks() -> dict[str, object]:
    return {**largest_file(), "content": iter([b"a"] * 200_000)}


def small_chunks() -> dict[str, object]:
    return {**largest_file(), "content": iter([b"a" * 300] * 100_000)}


def long_head() -> dict[str, object]:
    headers = {f"a{i}": "b" for i in range(1000)}
    return {"url": "page/page.js", "method": "GET", "headers": headers}


def many_ranges() -> dict[str, object]:
    ranges = ",".join(f"{i}-{i + 1}" for i in range(0, 5000, 3))
    return {"url": "page/page.js", "method": "GET", "headers": {"Range": f"bytes={ranges}"}}


REQUESTS: tuple[Callable[[], dict[str, object]], ...] = (
    largest_file, most_text, most_parts, urlencoded, all_cultures, explanation, one_large_image,
    many_images, largest_answer, most_values, most_faults, long_strings, long_list, tiny_chunks,
    small_chunks, long_head, many_ranges,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("make", REQUESTS, ids=lambda make: make.__name__)
def test_the_largest_request_does_not_hold_up_others(
    running: Running, make: Callable[[], dict[str, object]]
) -> None:
    delays = []
    with httpx.Client(base_url=running.address, timeout=60) as client:
        client.get("healthz")
        for _ in range(ATTEMPTS):
            request = {"method": "POST", **make()}
            running.longest_delays()
            try:
                response = client.request(**request)  # type: ignore[arg-type]
            except httpx.HTTPError:
                pass  # a connection that is closed while the body is being sent
            else:
                assert response.status_code < 500, response.text[:500]
                assert len(response.content) < 16 * 2**20, "an answer is much shorter than a body"
            client.get("healthz")
            delays.append(running.longest_delays()[0])
            if delays[-1] < MOST_MS:
                break
    assert min(delays) < MOST_MS, delays


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGUSR1")
def test_a_collection_of_all_garbage_does_not_hold_up_others(running: Running) -> None:
    delays = []
    for _ in range(ATTEMPTS):
        running.longest_delays()
        running.process.send_signal(signal.SIGUSR1)
        time.sleep(1)
        delays.append(running.longest_delays()[1])
    assert min(delays) < MOST_MS, delays
