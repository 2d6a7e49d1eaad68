"""A collection on the web is predicted like one on disk, from a server of the test's own."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from artaffect.errors import FetchError, InputError
from artaffect.prediction.collection.plan import skipped_path
from artaffect.prediction.collection.run import predict_collection
from tests.conftest import Command
from tests.prediction.test_answers import read_frame
from tests.web import Site, serve_site

CONTEXT = "http://iiif.io/api/presentation/3/context.json"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A museum with three manifests, of which one has no image."""
    monkeypatch.setenv("ARTAFFECT_CACHE", str(tmp_path / "cache"))
    with serve_site() as site:
        members = []
        for number in range(3):
            base = f"{site.address}/{number}"
            service = {"id": f"{base}/image", "type": "ImageService3", "profile": "level2"}
            body = {"id": f"{base}/full.jpg", "type": "Image", "service": [service]}
            annotation = {"type": "Annotation", "body": body}
            canvas = {
                "id": f"{base}/canvas",
                "type": "Canvas",
                "items": [{"type": "AnnotationPage", "items": [annotation]}],
            }
            manifest = {
                **{"@context": CONTEXT, "id": f"{base}/manifest", "type": "Manifest"},
                **{"label": {"en": [f"=Storm {number}"]}, "items": [canvas]},
            }
            members.append({"id": f"{base}/manifest", "type": "Manifest"})
            add_json(site, f"/{number}/manifest", manifest)
            if number < 2:
                site.pages[f"/{number}/image/full/!512,512/0/default.jpg"] = (200, {}, jpeg(number))
        top = {"@context": CONTEXT, "id": site.address, "type": "Collection", "items": members}
        add_json(site, "/collection", top)
        yield site


def add_json(site: Site, path: str, document: Any) -> None:
    site.pages[path] = (200, {"Content-Type": "application/json"}, json.dumps(document).encode())


def jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.slow
def test_a_iiif_collection_is_predicted_from_its_address(
    artaffect: Command, tiny_run: Path, site: Site, tmp_path: Path
) -> None:
    source, out = f"{site.address}/collection", tmp_path / "answers.csv"
    options = (
        tiny_run,
        source,
        "--out",
        out,
        "--workers",
        1,
        "--rate",
        500,
        "--culture",
        "english",
    )
    code, _, err = artaffect("predict-collection", *options)
    assert code == 1 and "inside a private network: add --allow-private" in err
    assert site.requests == []
    code, _, err = artaffect("predict-collection", *options, "--allow-private")
    assert code == 0, err
    assert "predicted 2 of 3 items" in err
    frame = read_frame(out)
    assert frame["id"].tolist() == [f"{site.address}/{n}/canvas" for n in (0, 1)]
    assert frame["caption"].tolist() == ["'=Storm 0", "'=Storm 1"]
    assert set(frame["missing"]) == {""} and set(frame["language"]) == {"english"}
    with skipped_path(out).open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["image"] == f"{site.address}/2/image/full/!512,512/0/default.jpg"
    assert "could not be had" in row["reason"] and "HTTP 404" in row["reason"]
    requests = len(site.requests)
    assert requests == 7, "each manifest and each image once"
    code, _, err = artaffect("predict-collection", *options, "--allow-private", "--overwrite")
    assert code == 0 and len(site.requests) == requests + 1, (
        "only what is missing is requested again"
    )


@pytest.mark.slow
def test_a_file_requests_nothing_unless_that_is_allowed(
    tiny_run: Path, site: Site, tmp_path: Path
) -> None:
    table, out = tmp_path / "table.csv", tmp_path / "answers.parquet"
    image = f"{site.address}/0/image/full/!512,512/0/default.jpg"
    table.write_text(f'id,image,caption\n1,"{image}",waves\n')
    with pytest.raises(
        InputError, match=r"1 images of .* are at addresses, first: .*: add --fetch"
    ):
        predict_collection(tiny_run, table, out)
    assert site.requests == []
    with_images = predict_collection(
        tiny_run, table, out, "english", workers=1, fetch=True, allow_private=True
    )
    assert with_images.answered == 1 and len(site.requests) == 1
    assert read_frame(out)["missing"].tolist() == [""]
    without = predict_collection(
        tiny_run, table, tmp_path / "b.parquet", "english", columns={"image": None}, workers=1
    )
    assert without.answered == 1
    assert read_frame(tmp_path / "b.parquet")["missing"].tolist() == ["image"]


def test_an_address_without_a_manifest_is_refused(
    tiny_run: Path, site: Site, tmp_path: Path
) -> None:
    site.pages["/page"] = (200, {}, b"<html>")
    for path, message in (("page", "not JSON"), ("none", "HTTP 404")):
        with pytest.raises(FetchError, match=rf"{path} cannot be read: .*{message}"):
            predict_collection(
                tiny_run, f"{site.address}/{path}", tmp_path / "out.csv", allow_private=True
            )
