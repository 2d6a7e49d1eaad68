"""Forms and JSON are read completely, as UTF-8 and within the limits, or refused with the reason."""

import base64
import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from artaffect.errors import InputError
from artaffect.prediction.predictor import load_predictor
from artaffect.server.app import create_app
from artaffect.server.bodies import decode_base64, parse_json
from artaffect.server.limits import ServiceLimits
from artaffect.server.problems import ProblemError

PREDICT, BATCH = "/v1/predict", "/v1/predict/batch"
PART = b'--x\r\nContent-Disposition: form-data; name="caption"\r\n\r\n'
WHOLE = PART + b"waves\r\n--x--"
TYPES = (
    *("multipart/form-data; boundary=x", 'Multipart/Form-Data; Boundary="x"'),
    *("MULTIPART/FORM-DATA;charset=utf-8;BOUNDARY=x", 'multipart/form-data ; boundary="x"; a=b'),
)


@pytest.fixture(scope="module")
def client(tiny_run: Path) -> Iterator[TestClient]:
    with TestClient(create_app(load_predictor(tiny_run))) as client:
        yield client


def kind(response: object) -> str:
    return response.json()["type"].rpartition(":")[2]  # type: ignore[attr-defined]


def send(client: TestClient, body: bytes, content_type: str) -> object:
    return client.post(PREDICT, content=body, headers={"Content-Type": content_type})


@pytest.mark.parametrize("content_type", TYPES)
def test_a_form_that_stops_in_the_middle_is_refused_whatever_it_ends_in(
    client: TestClient, content_type: str
) -> None:
    cuts = [WHOLE[:length] for length in range(1, len(WHOLE))]
    cuts += [PART + ending for ending in (b"--", b"waves --", b"\r\n--", b"--x--", b"a--\r\n")]
    cuts += [PART + b"waves\r\n--x\r\n", PART + b"waves\r\n--y--", b"--x\r\n--x--", b"--"]
    for body in cuts:
        response = send(client, body, content_type)
        assert (response.status_code, kind(response)) == (400, "malformed"), body  # type: ignore[attr-defined]


@pytest.mark.parametrize("content_type", TYPES)
def test_a_complete_form_may_have_a_preamble_and_an_epilogue(
    client: TestClient, content_type: str
) -> None:
    for rest in (b"", b"\r\n", b"\r\n\r\n", b"\r\nepilogue", b"\r\nends in a word -", b"\r\n--x"):
        assert send(client, WHOLE + rest, content_type).status_code == 200, rest  # type: ignore[attr-defined]
    assert send(client, b"\r\n" + WHOLE, content_type).status_code == 200  # type: ignore[attr-defined]


@pytest.mark.parametrize("field", ["caption", "language", "culture"])
@pytest.mark.parametrize("wrong", [b"caf\xe9", b"\xff\xfe", b"\xed\xa0\xbd", b"a\xc3"])
def test_text_that_is_not_utf8_is_refused(client: TestClient, field: str, wrong: bytes) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n' % field.encode()
    multipart = part + wrong + b"\r\n--x--"
    encoded = field.encode() + b"=" + quote(wrong).encode()
    bodies = [(multipart, content_type) for content_type in TYPES]
    bodies += [(multipart, "multipart/form-data; boundary=x; charset=latin-1")]
    plain = "application/x-www-form-urlencoded"
    bodies += [(encoded, plain), (field.encode() + b"=" + wrong, plain), (encoded, plain.upper())]
    for body, content_type in bodies:
        response = send(client, body, content_type)
        assert (response.status_code, kind(response)) == (422, "invalid"), content_type  # type: ignore[attr-defined]
        assert "UTF-8" in response.json()["detail"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("caption", ["巨浪", "🎨 été", "a=b&c;d+e", "%41"])
def test_other_text_arrives_as_it_was_sent(tiny_run: Path, caption: str) -> None:
    limits = ServiceLimits(caption_characters=1)
    with TestClient(create_app(load_predictor(tiny_run), limits)) as client:
        expected = f"the caption has {len(caption)} characters; at most 1 are allowed"
        for form in ({"data": {"caption": caption}}, {"files": {"caption": (None, caption)}}):
            assert client.post(PREDICT, **form).json()["detail"] == expected  # type: ignore[arg-type]


MULTIPART = "multipart/form-data; boundary=x"
URLENCODED = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "words"),
    [
        (PART * 500, MULTIPART, 413, "more than 100 fields"),
        (b"culture=a&" * 500, URLENCODED, 413, "more than 100 fields"),
        (PART + b"a" * 300_000 + b"\r\n--x--", MULTIPART, 413, "'caption' has more than 262,144"),
        (b"caption=" + b"a" * 300_000, URLENCODED, 413, "at most 262,144 bytes"),
        (b"a" * 3000 + b"=1", URLENCODED, 422, "unknown field"),
        (b"caption=a&culture=" + b"a" * 101, URLENCODED, 422, "culture has 101 characters"),
        (b"caption=a&language=" + b"a" * 101, URLENCODED, 422, "language has 101 characters"),
        (b"caption=a" + b"&culture=a" * 65, URLENCODED, 422, "65 cultures"),
        (PART + b"a\r\n" + b"b" * 9 + b"\r\n", MULTIPART, 400, "final boundary"),
    ],
)
def test_a_field_beyond_its_limit_is_refused(
    client: TestClient, body: bytes, content_type: str, status: int, words: str
) -> None:
    response = send(client, body, content_type)
    assert response.status_code == status, response.json()  # type: ignore[attr-defined]
    assert words in response.json()["detail"]  # type: ignore[attr-defined]
    assert len(response.content) < 2000  # type: ignore[attr-defined]


def batch(client: TestClient, body: bytes) -> object:
    return client.post(BATCH, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b'{"items":[' + b"1," * 500_000 + b"1]}", 413, "more than 10,000 values"),
        (b'{"items":[' + b"[]," * 500_000 + b"1]}", 413, "more than 10,000 values"),
        (b'{"items":[' + b'"a",' * 500_000 + b"1]}", 413, "more than 10,000 values"),
        (b'{"items":[' + b"1," * 64 + b"1]}", 422, "got 65 artworks; at most 64"),
        (b'{"items":' + b"[" * 100_000, 413, "10,000 values"),
        (b'{"items":' + b"[" * 9 + b"]" * 9 + b"}", 413, "nested"),
        (b"]" * 100_000, 400, "never opened"),
        (b'{"items":[{"caption":"' + b"a" * 5_000_000 + b'"}]}', 413, "apart from its images"),
        (b'{"items":[{"caption":"' + b'\\"' * 3_000_000 + b'"}]}', 413, "apart from its images"),
        (b'{"' + b"a" * 5_000_000, 413, "apart from its images"),
        (b" " * 5_000_000 + b"[]", 413, "apart from its images"),
        (b"1" * 5_000_000, 413, "apart from its images"),
        (b'{"items":[{"caption":"\xff"}]}', 400, "UTF-8"),
        (b'{"items":[{"caption":"a}', 400, "JSON"),
        (b'{"items":[{"image":"a}', 400, "JSON"),
        (b"{" + b",".join(b'"%d":1' % i for i in range(5000)) + b"}", 422, "and 4,991 more"),
    ],
)
def test_json_beyond_a_limit_is_refused_with_a_short_answer(
    client: TestClient, body: bytes, status: int, words: str
) -> None:
    response = batch(client, body)
    assert response.status_code == status, response.text  # type: ignore[attr-defined]
    assert words in response.json()["detail"]  # type: ignore[attr-defined]
    assert len(response.json().get("errors", ())) <= 10  # type: ignore[attr-defined]
    assert len(response.content) < 5000  # type: ignore[attr-defined]


def test_an_artwork_lists_at_most_ten_faults(client: TestClient) -> None:
    item = {f"{'ä' * 500}{i}": 1 for i in range(300)}
    (result,) = batch(client, json.dumps({"items": [item]}).encode()).json()["results"]  # type: ignore[attr-defined]
    problem = result["problem"]
    assert len(problem["errors"]) == 10 and problem["detail"].endswith("and 290 more")
    assert all(len(error["field"]) <= 200 for error in problem["errors"])


def test_a_name_that_is_too_long_costs_one_artwork(client: TestClient) -> None:
    items = [
        {"caption": "waves", "cultures": ["a" * 101]},
        {"caption": "waves", "cultures": ["a"] * 65},
        {"caption": "waves", "language": "a" * 101},
        {"caption": "a" * 2001},
        {"caption": "waves", "cultures": ["a" * 100]},
    ]
    results = batch(client, json.dumps({"items": items}).encode()).json()["results"]  # type: ignore[attr-defined]
    assert [result["problem"] is None for result in results] == [False] * 4 + [True]
    details = [result["problem"]["detail"] for result in results[:4]]
    assert ["at most" in detail for detail in details] == [True] * 4


def random_json(rng: random.Random, depth: int = 0) -> object:
    texts = ("", "a", 'quote " and \\', "\\", '\\"', "image", "巨\n", "\u2028", "[{,:}]", "\ud800")
    choice = rng.randrange(6 if depth < 3 else 4)
    if choice < 3:
        return rng.choice((rng.choice(texts), 1, -2.5, None, True))
    if choice < 4:
        return rng.choice(texts) * 3
    if choice < 5:
        return [random_json(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice((*texts, "image")): random_json(rng, depth + 1) for _ in range(3)}


def restored(value: object, images: dict[str, memoryview]) -> object:
    """What the client sent: with the images in their places."""
    if isinstance(value, list):
        return [restored(entry, images) for entry in value]
    if isinstance(value, dict):
        return {
            name: json.loads(b'"%s"' % images[entry])
            if name == "image" and isinstance(entry, str) and entry in images
            else restored(entry, images)
            for name, entry in value.items()
        }
    return value


def test_json_is_parsed_as_the_standard_library_does() -> None:
    for seed in range(500):
        rng = random.Random(seed)
        indent, ascii_only = rng.choice((None, 1)), rng.random() < 0.5
        text = json.dumps(random_json(rng), indent=indent, ensure_ascii=ascii_only)
        body = text.encode("utf-8", "replace")
        assert restored(*parse_json(body, ServiceLimits())) == json.loads(body), seed
        damaged = bytearray(body)
        for _ in range(3):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        with contextlib.suppress(ValueError, ProblemError):
            parse_json(bytes(damaged), ServiceLimits())


@pytest.mark.parametrize("size", [0, 1, 2, 3, 300_000, 786_432, 786_433])
def test_base64_is_decoded_in_pieces_as_in_one(size: int) -> None:
    content = random.Random(size).randbytes(size)
    text = base64.b64encode(content)
    assert decode_base64(text) == content
    assert decode_base64(text.replace(b"/", b"\\/").replace(b"+", b"\\u002B")) == content


NO_BASE64 = (
    *(b"*", b"abc", b"ab==abcd", b"ab=", b"=" * 4, b"abcd" * 70_000 + b"ab==" * 2, b"\\"),
    *(b"\xff\xff\xff\xff", b"a\\ud800bc"),
)


@pytest.mark.parametrize("text", NO_BASE64)
def test_what_is_not_base64_is_refused(text: bytes) -> None:
    with pytest.raises(InputError, match="not valid base64"):
        decode_base64(text)
    padded = b"ab==" + b"abcd" * 70_000
    with pytest.raises(InputError, match="padding before the end"):
        decode_base64(padded)
