"""A table's metadata in Croissant 1.0, the format of MLCommons, with its responsible-AI fields.

The format: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html, and
https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html for the fields ``rai:…``. What is said
there follows from the table; what only its publisher knows, such as the licence, is left out unless given.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from artaffect.data.annotations import AnnotationTable
from artaffect.data.published import REFERENCES, Reference, dataset_name, language_codes
from artaffect.data.summary import TableStatistics, describe_table
from artaffect.errors import InputError, UnknownNameError
from artaffect.outputs import atomic_file, check_output
from artaffect.runtime import file_digest, visible

RECORDS = "annotations"
"""The id of the record set."""

_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification prescribes."""

_COLUMNS = {
    "annotation_id": "Identifies the annotation.",
    "artwork_id": "The artwork, as style/name.",
    "art_style": "The style of the artwork.",
    "caption": "What the annotator wrote.",
    "emotion": "The label that the annotator chose; several with | between them if it is one of these.",
    "culture": "The group of annotators that the annotation is assigned to.",
    "language": "The language of the caption.",
    "split": "train, val or test; all annotations of an artwork are in one split.",
    "image": "The file of the artwork's image, relative to the folder of images, which is not included.",
    "annotator": "Who made the annotation.",
}
"""What the columns of every table hold."""


@dataclass(frozen=True)
class Publication:
    """What only the publisher of a data set knows; what is None is left out."""

    license: str | None = None
    """The address of the licence, or its SPDX identifier."""
    url: str | None = None
    """Where the data set is found; that of its paper by default, for a known data set."""
    creator: str | None = None
    citation: str | None = None
    """How to cite it; its paper by default, for a known data set."""
    published: str | None = None
    """The date, ISO 8601."""
    version: str | None = None


def publication_of(about: Mapping[str, str]) -> Publication:
    """A publication from its fields by name; raise InputError for a name that is none."""
    known = [field.name for field in fields(Publication)]
    for name in about:
        if name not in known:
            raise InputError(str(UnknownNameError("fact about a data set", name, known)))
    return Publication(**about)


def croissant(
    table: AnnotationTable, folder: Path, publication: Publication | None = None
) -> dict[str, Any]:
    """The metadata of a saved table, as JSON-LD.

    Args:
        folder: where the metadata will lie; the address of the table's file is relative to it.
        publication: what the table does not tell.

    Raises:
        InputError: the table was not read from a file.
    """
    if table.file is None:
        raise InputError("the metadata describe a file: save the table, and load it again")
    given = publication or Publication()
    name = dataset_name(table.provenance)
    paper = REFERENCES.get(name, Reference("", ""))
    statistics = describe_table(table)
    facts = {
        "license": given.license,
        "url": given.url or paper.url,
        "creator": given.creator and {"@type": "Organization", "name": given.creator},
        "citeAs": given.citation or paper.citation,
        "datePublished": given.published,
        "version": given.version,
        "inLanguage": language_codes(statistics.languages),
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": name,
        "description": _description(table, statistics),
        **{
            key: visible(value) if isinstance(value, str) else value
            for key, value in facts.items()
            if value
        },
        "keywords": [
            "art",
            "emotion",
            "affective computing",
            *(["synthetic"] if _synthetic(table) else []),
        ],
        "isLiveDataset": False,
        **{f"rai:{key}": text for key, text in _responsible(table, statistics).items()},
        "distribution": [_file(table.file, folder)],
        "recordSet": [_records(table)],
    }


def write_croissant(
    table: AnnotationTable, path: Path, publication: Publication | None = None
) -> dict[str, Any]:
    """Write the metadata of a saved table to a JSON file; see :func:`croissant`."""
    check_output(path, table.sources)
    content = croissant(table, path.absolute().parent, publication)
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False), "utf-8")
    return content


def _synthetic(table: AnnotationTable) -> bool:
    return bool(table.provenance.get("synthetic"))


def _description(table: AnnotationTable, statistics: TableStatistics) -> str:
    text = (
        f"{statistics.annotations:,} annotations of {statistics.images:,} artworks, each with one of "
        f"{len(table.labels)} labels ({', '.join(table.labels)}) and perhaps a caption, by annotators of "
        f"these cultures: {', '.join(statistics.culture_support)}."
    )
    if _synthetic(table):
        text = (
            f"SYNTHETIC: generated artworks, captions and annotators, of which none exists. {text}"
        )
    return str(visible(text))


def _responsible(table: AnnotationTable, statistics: TableStatistics) -> dict[str, str]:
    """The responsible-AI fields that follow from the table."""
    counts = np.bincount(table.codes("artwork_id")[1])
    counts = counts[counts > 0]
    annotators = len(table.codes("annotator")[0])
    support = ", ".join(f"{name} {count:,}" for name, count in statistics.culture_support.items())
    shares = [
        f"{culture}: {max(emotions, key=lambda label: emotions[label])} {max(emotions.values()):.1%}"
        for culture, emotions in statistics.by_culture.items()
        if statistics.culture_support[culture]
    ]
    empty = int((~table.has_caption).sum())
    texts = {
        "dataCollectionType": "Others" if _synthetic(table) else "Self-reporting",
        "dataCollection": "Generated by a program."
        if _synthetic(table)
        else "Annotators chose the label that best says what an artwork makes them feel, and "
        "may have explained it in a caption.",
        "dataCollectionMissingData": f"{statistics.images - statistics.with_image:,} artworks without an "
        f"image; {empty:,} annotations without a caption.",
        "dataAnnotationProtocol": f"One label of {len(table.labels)} for each annotation; "
        f"{sum(statistics.partial_labels.values()):,} annotations stand for any of several labels.",
        "annotationsPerItem": f"{counts.mean():.2f} on average, {counts.min()} to {counts.max()}"
        if len(counts)
        else "0",
        "annotatorDemographics": f"Cultures by annotations: {support}. "
        + (f"{annotators:,} annotators have ids." if annotators else "Annotators have no ids."),
        "dataPreprocessingProtocol": _imported(table),
        "dataBiases": f"The most frequent label of each culture: {'; '.join(shares)}.",
        "dataLimitations": "A culture is the group of annotators whom the data assign to it; it does not "
        "stand for a people. Labels are what annotators report to feel, not what they feel.",
        "dataUseCases": "Training and evaluation of models that predict which emotion an artwork evokes, and "
        "comparison of cultures. Not for judging the feelings of any person.",
        "personalSensitiveInformation": "Captions are free text of annotators; no names are recorded."
        if not annotators
        else "Captions are free text of annotators; annotators are told apart by ids.",
    }
    return {key: str(visible(text)) for key, text in texts.items()}


def _imported(table: AnnotationTable) -> str:
    if table.report is None:
        return "None is recorded."
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in table.report.dropped.items())
    return (
        f"Imported by artaffect: {table.report.kept:,} of {table.report.read:,} rows kept; dropped: "
        f"{dropped or 'none'}."
    )


def _file(file: Path, folder: Path) -> dict[str, str]:
    return {
        "@type": "cr:FileObject",
        "@id": "table",
        "name": file.name,
        "description": "All annotations.",
        "contentUrl": Path(os.path.relpath(file.absolute(), folder)).as_posix(),
        "contentSize": f"{file.stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file_digest(file),
    }


def _records(table: AnnotationTable) -> dict[str, Any]:
    names = table.rows.column_names
    return {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": "One record for each annotation.",
        "key": {"@id": f"{RECORDS}/annotation_id"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{RECORDS}/{name}",
                "name": name,
                "description": _COLUMNS.get(name, "A column of the source."),
                "dataType": "sc:Text",
                "source": {"fileObject": {"@id": "table"}, "extract": {"column": name}},
            }
            for name in names
        ],
    }
