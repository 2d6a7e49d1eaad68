"""Manifests and collections of both versions of IIIF Presentation are read as tables of canvases."""

import json
from pathlib import Path
from typing import Any

import pytest

from artaffect.data.readers.iiif import iiif_document, read_iiif
from artaffect.errors import FetchError, TableError

V2 = "http://iiif.io/api/presentation/2/context.json"
V3 = "http://iiif.io/api/presentation/3/context.json"


def manifest_3(number: int, **more: Any) -> dict[str, Any]:
    """A manifest with one canvas, as the specification of version 3 writes it."""
    base = f"https://museum.example/{number}"
    service = {"id": f"{base}/image", "type": "ImageService3", "profile": "level2"}
    body = {"id": f"{base}/full.jpg", "type": "Image", "format": "image/jpeg", "service": [service]}
    annotation = {"id": f"{base}/a", "type": "Annotation", "motivation": "painting", "body": body}
    page = {"id": f"{base}/p", "type": "AnnotationPage", "items": [annotation]}
    canvas = {
        "id": f"{base}/canvas",
        "type": "Canvas",
        "label": {"none": ["recto"]},
        "items": [page],
    }
    return {
        "@context": V3,
        "id": f"{base}/manifest",
        "type": "Manifest",
        "label": {"en": ["A storm"], "ar": ["عاصفة"]},
        "summary": {"en": ["<p>Waves &amp; wind.</p>"], "ar": ["أمواج ورياح"]},
        "requiredStatement": {"label": {"en": ["Credit"]}, "value": {"en": ["The museum"]}},
        "rights": "http://creativecommons.org/publicdomain/mark/1.0/",
        "homepage": [{"id": f"{base}/page", "type": "Text"}],
        "items": [canvas],
        **more,
    }


def manifest_2(number: int, **resource: Any) -> dict[str, Any]:
    """The same in version 2."""
    base = f"https://museum.example/{number}"
    service = {
        "@context": "http://iiif.io/api/image/2/context.json",
        "@id": f"{base}/image/",
        "profile": "http://iiif.io/api/image/2/level1.json",
    }
    image = {"@id": f"{base}/full.jpg", "@type": "dctypes:Image", "service": service, **resource}
    canvas = {
        "@id": f"{base}/canvas",
        "@type": "sc:Canvas",
        "label": "recto",
        "images": [{"@type": "oa:Annotation", "resource": image}],
    }
    return {
        "@context": V2,
        "@id": f"{base}/manifest",
        "@type": "sc:Manifest",
        "label": [
            {"@value": "A storm", "@language": "en"},
            {"@value": "风暴", "@language": "zh-Hans"},
        ],
        "description": "Waves.",
        "attribution": "The museum",
        "license": "http://creativecommons.org/publicdomain/mark/1.0/",
        "sequences": [{"@type": "sc:Sequence", "canvases": [canvas]}],
    }


def rows(document: Any, fetch: Any = None, language: str | None = None) -> list[dict[str, str]]:
    file = read_iiif(document, Path("museum.json"), fetch, language)
    cells = file.read(range(len(file.header)), ())
    columns = [column.to_pylist() for column in cells.columns]
    return [dict(zip(file.header, row, strict=True)) for row in zip(*columns, strict=True)]


def test_a_manifest_of_version_3_has_its_captions_by_language() -> None:
    (row,) = rows(manifest_3(1))
    assert row["id"] == "https://museum.example/1/canvas"
    assert row["image"] == "https://museum.example/1/image/full/!512,512/0/default.jpg"
    assert (row["caption"], row["language"]) == ("A storm\n\nWaves & wind.", "english")
    assert (row["label_ar"], row["summary_ar"]) == ("عاصفة", "أمواج ورياح")
    assert row["attribution"] == "The museum" and row["canvas"] == "recto"
    assert row["homepage"] == "https://museum.example/1/page"
    for name in ("ar", "Arabic"):
        (row,) = rows(manifest_3(1), language=name)
        assert (row["caption"], row["language"]) == ("عاصفة\n\nأمواج ورياح", "arabic")
    (row,) = rows(manifest_3(1), language="french")
    assert (row["caption"], row["language"]) == ("", "")


def test_a_manifest_of_version_2_is_read_the_same() -> None:
    (row,) = rows(manifest_2(1))
    assert row["id"] == "https://museum.example/1/canvas"
    assert row["image"] == "https://museum.example/1/image/full/!512,512/0/default.jpg"
    assert (row["caption"], row["language"]) == ("A storm", "english")
    assert row["summary"] == "Waves." and row["label_zh-Hans"] == "风暴"
    (row,) = rows(manifest_2(1), language="zh")
    assert (row["caption"], row["language"]) == ("风暴", "chinese")


@pytest.mark.parametrize(
    ("service", "image"),
    [
        (None, "https://museum.example/1/full.jpg"),
        (
            {
                "@id": "https://museum.example/s",
                "profile": "http://iiif.io/api/image/2/level0.json",
            },
            "https://museum.example/1/full.jpg",
        ),
        (
            {
                "@id": "https://museum.example/s",
                "profile": "http://library.stanford.edu/iiif/image-api/1.1/compliance.html#level1",
            },
            "https://museum.example/s/full/!512,512/0/native.jpg",
        ),
        (
            [
                {
                    "@id": "https://museum.example/s",
                    "profile": ["http://iiif.io/api/image/2/level2.json"],
                }
            ],
            "https://museum.example/s/full/!512,512/0/default.jpg",
        ),
    ],
)
def test_an_image_is_asked_for_as_its_service_can_answer(service: Any, image: str) -> None:
    (row,) = rows(manifest_2(1, service=service))
    assert row["image"] == image


def test_a_choice_of_images_has_its_first_one_and_an_empty_canvas_none() -> None:
    document = manifest_3(1)
    annotation = document["items"][0]["items"][0]["items"][0]
    annotation["body"] = {"type": "Choice", "items": [annotation["body"]]}
    assert rows(document)[0]["image"].endswith("/image/full/!512,512/0/default.jpg")
    document["items"][0]["items"] = []
    assert rows(document)[0]["image"] == ""


def test_a_collection_leads_to_its_manifests_each_once() -> None:
    documents = {f"https://museum.example/{n}/manifest": manifest_3(n) for n in (1, 2)}
    inner = {
        "@context": V3,
        "id": "https://museum.example/inner",
        "type": "Collection",
        "items": [{"id": "https://museum.example/2/manifest", "type": "Manifest"}],
    }
    documents["https://museum.example/inner"] = inner
    top = {
        "@context": V3,
        "id": "https://museum.example/top",
        "type": "Collection",
        "items": [
            {"id": "https://museum.example/1/manifest", "type": "Manifest"},
            {"id": "https://museum.example/inner", "type": "Collection"},
            {"id": "https://museum.example/1/manifest", "type": "Manifest"},
            manifest_3(3),
            {"id": "https://museum.example/gone", "type": "Manifest"},
        ],
    }
    inner["items"].append({"id": "https://museum.example/inner", "type": "Collection"})

    def fetch(url: str) -> Any:
        if url not in documents:
            raise FetchError("HTTP 404")
        return documents[url]

    file = read_iiif(top, Path("top.json"), fetch)
    cells = file.read([file.header.index("manifest")], ())
    assert cells.columns[0].to_pylist() == [
        f"https://museum.example/{n}/manifest" for n in (1, 2, 3)
    ]
    assert cells.malformed == [(4, "https://museum.example/gone: HTTP 404")]
    with pytest.raises(
        TableError, match=r"manifests are at addresses, first: .*1/manifest: add --fetch"
    ):
        read_iiif(top, Path("top.json"), None)
    old = {"@context": V2, "@type": "sc:Collection", "manifests": [manifest_2(1)], "members": []}
    assert len(rows(old)) == 1


def test_a_manifest_is_known_by_its_context(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(json.dumps(manifest_3(1), indent=1), "utf-8")
    assert iiif_document(path) == manifest_3(1)
    path.write_text('{"id": "1", "caption": "x"}\n', "utf-8")
    assert iiif_document(path) is None
    path.write_text('{"caption": "http://iiif.io/api/presentation/2/context.json"}\n', "utf-8")
    assert iiif_document(path) is None
    for odd in (
        {"@context": V3, "type": "Canvas"},
        {"@context": V3, "type": "Manifest", "items": 7},
    ):
        with pytest.raises(TableError, match="holds no canvas"):
            read_iiif(odd, Path("m.json"), None)
