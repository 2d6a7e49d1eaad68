"""Attack a running service: damaged requests, many at once, idle connections, slow bodies and readers.

Each request is answered, refused with a problem of status 4xx or 503, or its connection is closed. Anything
else is a fault: another status of 5xx, also for one artwork of a batch; an answer without a security header;
a problem that is not `application/problem+json`; JSON with NaN; a batch whose answers do not add up; a
traceback in the log. Also measured: the highest memory, and how long the event loop was held up.
"""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import math
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11
import httpx2 as httpx
from PIL import Image

from artaffect.server.middleware import SECURITY_HEADERS
from tests.running import Running, serve_watched

FORM, BATCH, PREVIEW = "/v1/predict", "/v1/predict/batch", "/v1/preview"
SHOWN, PARALLEL, BACKGROUND = 20, 500, 100
DEMO = Path("artaffect-demo/run")
ODD_TEXTS = (
    "", " ", "\0", "\n\r\u2028", "\ud800", "a\udfff", "🎨", "e\u0301", "\u202e", "<b>", "../..",
    "9" * 5000, "NaN", "null", "x" * 3000, "ARABIC ", "arabc", "{{7*7}}", "%00", "\u0660",
)  # fmt: skip
ODD_VALUES = (
    None, True, 0, -1, 2**80, 1.5, math.nan, math.inf, [], {}, [None], ["a", 1], [[]], {"a": []},
    *ODD_TEXTS,
)  # fmt: skip
ODD_HEADERS = {
    "content-type": (
        "", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=y",
        "multipart/form-data; boundary=x; charset=none", "multipart/form-data; boundary=" + "x" * 300,
        "application/json", "application/json; charset=utf-16", "text/plain", "image/jpeg", "\xff",
        "application/x-www-form-urlencoded; charset=none", "multipart/mixed; boundary=x", ";;;=",
    ),
    "content-length": ("0", "-1", "1", "9" * 5000, "1e3", "\xb2", "+5", ""),
    "content-encoding": ("gzip", "none"),
    "authorization": ("Bearer", "\xff\xfe", "Basic Og=="),
    "accept": ("", "image/*", "\xff"),
    "x-request-id": ("a\tb", "\xff", "x" * 5000),
    "transfer-encoding": ("chunked", "gzip"),
    "expect": ("100-continue",),
    "origin": ("http://foreign.example", "null", ""),
    "sec-fetch-site": ("cross-site", "same-site", "none", ""),
    "host": ("rebound.example", "", "[", "localhost:99999"),
    "range": ("bytes=0-1", "bytes=9-1", "bytes=-", "x"),
}  # fmt: skip
ODD_PATHS = (
    "/page/%00", "/page/", "/page/" + "a" * 5000, "/page/..%2f..%2fapp.py", "/page/%ff", "/%0a%0d",
    "/examples/" + "1" * 5000 + ".jpg", "/examples/-1.jpg", "/examples/%D9%A1.jpg", "/examples/0.jpg",
    "/examples/%00", "/v1/predict/", "/v1//predict", "/v1/model", "/healthz", "/metrics", "//", "/*",
    "/openapi.json", "/examples", "/", "/page/page.js",
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """A request as bytes, and its parts as long as they are known."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


def images() -> list[bytes]:
    """A small image in several formats."""
    files = []
    for name in ("JPEG", "PNG", "TIFF", "GIF"):
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((40, 30)).convert("RGB").save(buffer, name)
        files.append(buffer.getvalue())
    return files


IMAGES = images()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes flipped, cut, repeated or filled with zeros."""
    content = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice((1, 1, 4, 40)))
        part = content[start:end]
        choice = rng.randrange(5)
        if choice == 0:
            content[start:end] = rng.randbytes(len(part))
        elif choice == 1:
            del content[start:end]
        elif choice == 2:
            content[start:start] = part * rng.randint(1, 3)
        elif choice == 3:
            content[start:end] = bytes(len(part))
        else:
            del content[start:]
    return bytes(content)


def text_of(rng: random.Random, *usual: str) -> str:
    return rng.choice(ODD_TEXTS if rng.random() < 0.4 else usual)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def image_of(rng: random.Random) -> bytes:
    data = rng.choice(IMAGES)
    return damaged(data, rng) if rng.random() < 0.4 else data


def multipart(rng: random.Random) -> Sent:
    """A form with the fields of the service, some of them odd, doubled or unknown."""
    fields = [
        ("caption", encoded(text_of(rng, "a calm sea", "تعلو الأمواج", "巨浪"))),
        ("language", encoded(text_of(rng, "english", "arabic", "spanish"))),
        ("culture", encoded(text_of(rng, "english", "arabic", "atlantic"))),
        ("culture", encoded(text_of(rng, "chinese", ""))),
        ("explain", rng.choice((b"false", b"0", b"why", b""))),
        ("image", image_of(rng)),
        (text_of(rng, "captions", "caption"), b"x"),
    ]
    parts = []
    for name, content in rng.sample(fields, rng.randint(0, len(fields))):
        quoted = name.encode("utf-8", "surrogatepass").replace(b"\n", b"%0A").replace(b"\r", b"%0D")
        head = b'--x\r\nContent-Disposition: form-data; name="' + quoted + b'"'
        if (name == "image") != (rng.random() < 0.1):
            head += b'; filename="' + encoded(text_of(rng, "a.jpg")).replace(b"\n", b"") + b'"'
        parts.append(head + b"\r\n\r\n" + content + b"\r\n")
    body = b"".join(parts) + b"--x--\r\n"
    path = FORM if rng.random() < 0.8 else PREVIEW
    return Sent("POST", path, {"content-type": "multipart/form-data; boundary=x"}, body)


def urlencoded(rng: random.Random) -> Sent:
    names = ("caption", "language", "culture", "image", "explain", "captoin")
    fields = [
        (rng.choice(names), text_of(rng, "waves", "english")) for _ in range(rng.randint(0, 5))
    ]
    body = b"&".join(name.encode() + b"=" + encoded(text) for name, text in fields)
    return Sent("POST", FORM, {"content-type": "application/x-www-form-urlencoded"}, body)


def artwork(rng: random.Random) -> Any:
    """An item of a batch: usual, or with a field of any type, or of another type altogether."""
    item: Any = {"caption": text_of(rng, "a calm sea", "巨浪")}
    if rng.random() < 0.4:
        item["image"] = base64.b64encode(image_of(rng)).decode()
    if rng.random() < 0.4:
        item["cultures"] = [text_of(rng, "english", "arabic") for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.4:
        item[rng.choice(("image", "caption", "language", "cultures"))] = rng.choice(ODD_VALUES)
    if rng.random() < 0.1:
        item[rng.choice(ODD_TEXTS)] = rng.choice(ODD_VALUES)
    return rng.choice(ODD_VALUES) if rng.random() < 0.1 else item


def batch(rng: random.Random) -> Sent:
    content: Any = {"items": [artwork(rng) for _ in range(rng.randint(1, 5))]}
    if rng.random() < 0.1:
        content[rng.choice((*ODD_TEXTS, "items"))] = rng.choice(ODD_VALUES)
    body = json.dumps(content).encode()
    if rng.random() < 0.05:
        body = b'{"items":' + b"[" * 20_000
    return Sent("POST", BATCH, {"content-type": "application/json"}, body)


def other_path(rng: random.Random) -> Sent:
    return Sent(rng.choice(("GET", "HEAD", "OPTIONS", "POST", "PUT")), rng.choice(ODD_PATHS), {})


REQUESTS: tuple[Callable[[random.Random], Sent], ...] = (
    multipart, multipart, urlencoded, batch, batch, other_path,
)  # fmt: skip


def mutated(rng: random.Random) -> Sent:
    """A random request, a third of them also damaged as bytes, in a header, or sent elsewhere."""
    sent = rng.choice(REQUESTS)(rng)
    if rng.random() < 0.2 and sent.body:
        sent = replace(sent, body=damaged(sent.body, rng))
    if rng.random() < 0.1:
        name = rng.choice(list(ODD_HEADERS))
        sent = replace(sent, headers=sent.headers | {name: rng.choice(ODD_HEADERS[name])})
    if rng.random() < 0.05:
        sent = replace(sent, path=rng.choice((FORM, BATCH, PREVIEW, *ODD_PATHS)))
    if rng.random() < 0.03:
        sent = replace(sent, method=rng.choice(("GET", "HEAD", "PUT", "DELETE", "OPTIONS")))
    return sent


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def fault(sent: Sent, response: httpx.Response) -> str | None:
    """What is wrong with a response, if anything is."""
    if response.status_code >= 500 and response.status_code != 503:
        return f"status {response.status_code}"
    for name, value in SECURITY_HEADERS:
        if response.headers.get(name.decode()) != value.decode():
            return f"without the header {name.decode()}"
    kind = response.headers.get("content-type", "")
    if response.status_code >= 400 and kind != "application/problem+json":
        return f"status {response.status_code} as {kind or 'no media type'}"
    if sent.method == "HEAD":
        return "a body after HEAD" if response.content else None
    if "json" not in kind:
        return None
    try:
        answer = json.loads(response.content.decode("utf-8"), parse_constant=refuse_constant)
    except ValueError as error:
        return f"not JSON: {error}"
    return batch_fault(sent, answer) if sent.path == BATCH and response.is_success else None


def batch_fault(sent: Sent, answer: Any) -> str | None:
    try:  # what an image holds beside base64 is the problem of its artwork
        items = json.loads(sent.body.decode("utf-8", "replace"), strict=False)["items"]
    except ValueError:
        return None
    results = answer["results"]
    if len(items) != len(results):
        return f"{len(results)} results for {len(items)} items"
    for result in results:
        if (result["prediction"] is None) == (result["problem"] is None):
            return "an item with neither or both of prediction and problem"
        if result["problem"] and result["problem"]["status"] >= 500:
            return f"an item with status {result['problem']['status']}"
    return None


async def send(client: httpx.AsyncClient, sent: Sent) -> tuple[str, str | None]:
    """Send a request: the outcome in a word, and the fault if there is one."""
    headers = [
        (name.encode("latin-1"), text.encode("latin-1")) for name, text in sent.headers.items()
    ]
    try:
        path = sent.path if sent.path.isascii() else "/"
        request = client.build_request(sent.method, path, content=sent.body, headers=headers)
        response = await client.send(request)
    except (h11.LocalProtocolError, httpx.LocalProtocolError, httpx.InvalidURL):
        return "not sent", None  # this client sends no such request
    except (httpx.RemoteProtocolError, httpx.NetworkError):
        return "closed", None
    except Exception as error:  # noqa: BLE001 - also a service that does not answer in time
        return "fault", f"no answer: {error!r}"
    problem = fault(sent, response)
    if problem:
        return "fault", problem
    return ("refused" if response.status_code >= 400 else "answered"), None


async def hold_open(address: str, begin: bytes, trickle: bytes) -> None:
    """A connection that begins a request, then sends a byte now and then and reads nothing."""
    url = urlsplit(address)
    while True:
        writer = None
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(url.hostname, url.port, limit=1024)
            writer.write(begin)
            for byte in trickle:
                await asyncio.sleep(0.5)
                writer.write(bytes([byte]))
                await writer.drain()
        if writer is not None:
            writer.transport.abort()
        await asyncio.sleep(0.1)


def background(address: str) -> list[asyncio.Task[None]]:
    """Idle connections, heads and bodies that do not end, and clients that read nothing."""
    post = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    form = (
        post + b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 9999\r\n\r\n--x"
    )
    read = b"GET /page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500
    kinds = ((b"", b""), (post, b"a" * 60), (form, b"a" * 60), (read, b"G" * 60))
    return [
        asyncio.create_task(hold_open(address, *kinds[number % len(kinds)]))
        for number in range(BACKGROUND)
    ]


async def attack(running: Running, count: int, seed: int) -> Counter[str]:
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    memory = 0
    limits = httpx.Limits(max_connections=PARALLEL)
    async with httpx.AsyncClient(limits=limits, timeout=90, base_url=running.address) as client:
        others = background(running.address)
        for start in range(0, count, PARALLEL):
            batch = [mutated(rng) for _ in range(min(PARALLEL, count - start))]
            for sent, (outcome, problem) in zip(
                batch, await asyncio.gather(*(send(client, sent) for sent in batch)), strict=True
            ):
                outcomes[outcome] += 1
                if problem:
                    faults[problem] += 1
                    if faults[problem] <= 2 and len(faults) <= SHOWN:
                        print(f"{problem}: {sent.method} {sent.path[:60]} {sent.body[:300]!r}")
            memory = max(memory, running.resident_bytes())
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        caption = await client.post("v1/predict", data={"caption": "waves"})
        outcomes["answered afterwards"] = int(caption.is_success)
    log = running.log.read_text("utf-8").splitlines()
    outcomes["traceback"] = sum('"traceback"' in line for line in log)
    outcomes["line that is not JSON"] = sum(not line.startswith("{") for line in log)
    late, own = running.longest_delays()
    print(
        f"highest memory {memory / 2**20:,.0f} MiB, event loop held up for at most "
        f"{late:.0f} ms, by its own work at most {own:.0f} ms, "
        f"log {running.log.stat().st_size / 2**20:.1f} MiB"
    )
    return outcomes


def run(count: int, seed: int, model: Path = DEMO) -> Counter[str]:
    """Attack the service of a model with ``count`` requests, and count the outcomes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_watched(model.resolve(), Path(folder)) as running,
    ):
        started = time.perf_counter()
        outcomes = asyncio.run(attack(running, count, seed))
        print(f"{count:,} requests in {time.perf_counter() - started:.0f} s")
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", nargs="?", type=Path, default=DEMO, help="a model folder")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counts = run(options.count, options.seed, options.run)
    print("requests " + ", ".join(f"{name}: {n:,}" for name, n in sorted(counts.items())))
    raise SystemExit(bool(counts["fault"] or counts["traceback"]))


if __name__ == "__main__":
    main()
