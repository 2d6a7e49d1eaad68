"""Write a gallery: a static site in which the works of a collection are filtered, sorted and compared.

Browsers load neither modules nor data with ``fetch`` from a file, so the data are in scripts.
"""

import logging
import os
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from artaffect.data.fetch import is_address
from artaffect.data.readers.table_columns import ColumnNames
from artaffect.errors import ImageError
from artaffect.explain.overlay import thumbnail_jpeg
from artaffect.outputs import atomic_folder, check_free
from artaffect.prediction.collection.companion import companion_path
from artaffect.prediction.collection.saved_answers import ORIGIN
from artaffect.prediction.collection.works import Works, read_works
from artaffect.reports.pages import render
from artaffect.reports.palette import label_colours
from artaffect.runtime import as_path, to_json_text, track

MARKER = "gallery.json"
"""The file that every gallery holds; it says what the gallery was made from."""

_ASSETS = ("gallery.css", "data.js", "filter.js", "wall.js", "work.js", "gallery.js")
_SIDE = 512
"""The longer side of an image that is embedded, in pixels."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GallerySummary:
    """What a gallery holds."""

    works: int
    with_image: int
    cultures: tuple[str, ...]
    finds_similar: bool
    """Whether it finds works that look alike."""
    knows_opposites: bool
    """Whether the valence of the labels is known."""


def browse(
    answers: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    title: str = "What a collection evokes",
    columns: ColumnNames | None = None,
    root: str | os.PathLike[str] | None = None,
    embed_images: bool = False,
    overwrite: bool = False,
) -> GallerySummary:
    """Write a gallery of a collection's answers: a static site that opens from a file or a web server.

    Works are filtered by label and culture, words, certainty, and how far cultures differ; they are sorted,
    and compared with works that look alike. The address of the page holds every filter.

    Args:
        answers: a file of :func:`predict_collection` in any format and layout; people may have edited it.
            What that function keeps beside it, ``<answers>.items.parquet``, says where the images are and
            which are alike.
        out: the folder to write, completely or not at all.
        title: the heading of the gallery.
        columns: the column of each kind: ``title``, ``image``, ``caption`` (the description, of which there
            may be several columns). By default columns are known by their names.
        root: the folder that the column of images is relative to, if nothing is kept beside the answers.
        embed_images: put small copies of the images into the site; by default it refers to them where
            they are. Whether copies are allowed depends on the licence of the images.
        overwrite: replace an older gallery.

    Raises:
        TableError: the file holds no answers, or an item lacks a culture.
        OutputExistsError: ``out`` exists and is no gallery, or ``overwrite`` is missing.
    """
    source, target = as_path(answers, "answers"), as_path(out, "out")
    images_root = None if root is None else as_path(root, "root")
    check_free(target, MARKER, overwrite, [source, companion_path(source)])
    works = read_works(source, columns or {}, images_root)
    with atomic_folder(target, MARKER, overwrite) as folder:
        images = (_embed if embed_images else _refer)(works.images, folder)
        summary = GallerySummary(
            len(works),
            sum(image is not None for image in images),
            works.cultures,
            works.directions is not None,
            works.labels.valence is not None,
        )
        (folder / "data").mkdir()
        _write_script(folder, "works", _work_data(works, images))
        _write_script(folder, "records", {"texts": works.texts, "records": works.records})
        if works.directions is not None:
            _write_script(folder, "vectors", _vector_data(works.directions))
        assets = files("artaffect.reports") / "gallery_assets"
        for name in _ASSETS:
            (folder / name).write_bytes((assets / name).read_bytes())
        page = render("gallery.html.j2", **_page_context(works, title, summary))
        (folder / "index.html").write_text(page, "utf-8")
        about = {
            "answers": source.name,
            "title": title,
            **vars(summary),
            "origins": _origins(works),
        }
        (folder / MARKER).write_text(to_json_text(about), "utf-8")
    return summary


def _origins(works: Works) -> list[dict[str, str]]:
    """The distinct origins of the answers."""
    return [dict(zip(ORIGIN, origin, strict=True)) for origin in dict.fromkeys(works.origins)]


def _page_context(works: Works, title: str, summary: GallerySummary) -> dict[str, Any]:
    origins = _origins(works)
    return {
        "title": title,
        "summary": summary,
        "synthetic": any("synthetic data" in note for note in works.notes),
        "models": list(dict.fromkeys(origin["model"] for origin in origins)),
        "dates": sorted({origin["predicted_on"] for origin in origins}),
        "labels": works.labels.names,
        "colours": _colours(works),
        "cultures": works.cultures,
        "reviews": len(works.reviews),
        "assets": [name for name in _ASSETS if name.endswith(".js")],
    }


def _colours(works: Works) -> dict[str, str]:
    """The colour of each label in CSS, on a light and a dark ground."""
    colours = label_colours(works.labels)
    return {name: f"light-dark({c.light}, {c.dark})" for name, c in colours.items()}


def _work_data(works: Works, images: Sequence[str | None]) -> dict[str, Any]:
    labels, colours = works.labels, _colours(works)
    valence = labels.valence
    notes, note_of = _coded(works.notes)
    missing, missing_of = _coded(works.missing)
    origins, origin_of = _coded(works.origins)
    return {
        "labels": [
            {
                "name": name,
                "valence": None if valence is None else valence[i],
                "names": labels.names_of(name),
                "colour": colours[name],
            }
            for i, name in enumerate(labels.names)
        ],
        "cultures": [{"name": name} for name in works.cultures],
        "ids": works.ids,
        "titles": works.titles,
        "images": images,
        "probabilities": _encoded(np.rint(works.probabilities.clip(0, 1) * 65535), "<u2"),
        "tops": _encoded(works.tops, "u1"),
        "divergence": _encoded(works.divergence, "<f4"),
        "notes": notes,
        "noteOf": note_of,
        "missing": missing,
        "missingOf": missing_of,
        "origins": origins,
        "originOf": origin_of,
        "reviews": [
            [work, culture, review.is_rejected, review.reviewer]
            for (work, culture), review in works.reviews.items()
        ],
        "hasVectors": works.directions is not None,
    }


def _vector_data(directions: np.ndarray) -> dict[str, Any]:
    """Directions in eight bits, which keeps cosine similarities to about 0.001."""
    scale = 127 / max(float(np.abs(directions).max()), 1e-9)
    return {
        "width": directions.shape[1],
        "scale": scale,
        "vectors": _encoded(np.rint(directions * scale), "i1"),
    }


def _encoded(values: np.ndarray, kind: str) -> str:
    return b64encode(values.astype(kind).tobytes()).decode("ascii")


def _coded(values: Sequence[Any]) -> tuple[list[Any], list[int] | int]:
    """Distinct values, and the position of each work's; a single position if all are the same."""
    position = {value: i for i, value in enumerate(dict.fromkeys(values))}
    codes: list[int] | int = 0 if len(position) == 1 else [position[value] for value in values]
    return list(position), codes


def _write_script(folder: Path, name: str, data: Mapping[str, Any]) -> None:
    text = to_json_text(dict(data), indent=None)
    script = f"(window.galleryData ||= {{}}).{name} = {text};\n"
    (folder / "data" / f"{name}.js").write_text(script, "utf-8")


def _refer(images: Sequence[str | None], folder: Path) -> list[str | None]:
    """The addresses of images where they are, as the page needs them."""

    def address(image: str | None) -> str | None:
        if image is None or is_address(image):
            return image
        try:
            relative = os.path.relpath(image, folder)
        except ValueError:  # on another drive
            return Path(image).as_uri()
        return quote(os.fsencode(relative.replace(os.sep, "/")))

    return [address(image) for image in images]


def _embed(images: Sequence[str | None], folder: Path) -> list[str | None]:
    """Small copies of images inside the site; those on the web stay where they are."""
    (folder / "images").mkdir()

    def copy(number: int, image: str | None) -> str | ImageError | None:
        if image is None or is_address(image):
            return image
        try:
            data = thumbnail_jpeg(Path(image), _SIDE)
        except ImageError as error:
            return error
        name = f"images/{number:06}.jpg"
        (folder / name).write_bytes(data)
        return name

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        copies = list(
            track(pool.map(copy, range(len(images)), images), "copying images", len(images))
        )
    faults = [entry for entry in copies if isinstance(entry, ImageError)]
    if faults:
        _logger.warning(
            f"{len(faults):,} images cannot be read and are left out, first: {faults[0]}"
        )
    elsewhere = sum(isinstance(image, str) and is_address(image) for image in copies)
    if elsewhere:
        _logger.warning(f"{elsewhere:,} images are on the web and stay there")
    return [None if isinstance(entry, ImageError) else entry for entry in copies]
