"""Request what a collection has on the web: its manifests, and the images of its items."""

import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from artaffect.data.fetch import Fetcher, is_address, is_public
from artaffect.data.formats import identify
from artaffect.errors import FetchError, ImageError, InputError
from artaffect.prediction.collection.records import ITEMS
from artaffect.runtime import cache_folder, progress_bar

_MANIFEST_BYTES, _IMAGE_BYTES = 64 << 20, 64 << 20
_MANIFEST_AGE = 24 * 3600.0
"""Seconds for which a manifest is kept, so that an interrupted job goes on with the same one."""


@dataclass(frozen=True)
class Web:
    """What may be requested from the web, and how."""

    allowed: bool = False
    """Whether anything may be requested."""
    allow_private: bool = False
    """Whether addresses inside private networks are requested, too."""
    rate: float = 2.0
    """Requests a second to one host."""

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise InputError(f"the rate must be more than 0 requests a second, got {self.rate}")

    @contextlib.contextmanager
    def fetcher(self) -> Iterator[Fetcher]:
        """What requests files and keeps them in the user's cache folder."""
        folder = cache_folder("web")
        if folder is None:
            raise InputError("name a folder for what is requested in the variable ARTAFFECT_CACHE")
        is_allowed = (lambda _: True) if self.allow_private else is_public
        with Fetcher(folder, self.rate, is_allowed) as fetcher:
            yield fetcher


def fetch_json(fetcher: Fetcher, url: str) -> Any:
    """The JSON document at an address; raises FetchError."""
    path = fetcher.fetch(url, _check_json, _MANIFEST_BYTES, _MANIFEST_AGE)
    return json.loads(path.read_bytes())


def _check_json(data: bytes) -> None:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        raise FetchError("its content is not JSON") from None


Origins = Mapping[str, tuple[str, str]]
"""Path of a cached image → its address, and why it could not be fetched; empty if it was fetched."""


def fetch_images(items: pa.Table, web: Web, source: str) -> tuple[pa.Table, Origins]:
    """Request the images that are addresses, and return the items with the files that hold them.

    For an image that cannot be fetched, the path has no file.

    Raises:
        InputError: nothing may be requested, and an image is an address.
    """
    images = [None if image is None else os.fsdecode(image) for image in items["image"].to_pylist()]
    urls = list(dict.fromkeys(image for image in images if image and is_address(image)))
    if not urls:
        return items, {}
    if not web.allowed:
        raise InputError(
            f"{len(urls):,} images of {source} are at addresses, first: {urls[0]}: add --fetch to request "
            "them, or --column image= to leave them out"
        )
    paths: dict[str, Path] = {}
    origins: dict[str, tuple[str, str]] = {}
    with web.fetcher() as fetcher, progress_bar() as bar:
        for url in bar.track(urls, description="requesting images"):
            reason = ""
            try:
                fetcher.fetch(url, _check_image, _IMAGE_BYTES)
            except (FetchError, ImageError) as error:
                reason = f"the image could not be had from {url}: {error}"
            paths[url] = fetcher.path(url).absolute()
            origins[str(paths[url])] = (url, reason)
    files = [image and os.fsencode(paths.get(image, Path(image))) for image in images]
    place = ITEMS.get_field_index("image")
    return items.set_column(place, ITEMS.field("image"), pa.array(files, pa.binary())), origins


def _check_image(data: bytes) -> None:
    identify(io.BytesIO(data))
