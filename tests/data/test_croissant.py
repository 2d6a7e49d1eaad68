"""The metadata of a table in Croissant, read back by the library of MLCommons."""

import json
from pathlib import Path

import pytest

from artaffect.data.annotations import AnnotationTable
from artaffect.data.croissant import Publication, croissant, write_croissant
from artaffect.errors import InputError
from artaffect.runtime import file_digest
from tests.conftest import Command


@pytest.fixture
def table(sample_table: AnnotationTable, tmp_path: Path) -> AnnotationTable:
    (tmp_path / "tables").mkdir()
    sample_table.save(tmp_path / "tables" / "sample.parquet")
    return AnnotationTable.load(tmp_path / "tables" / "sample.parquet")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of rdflib, which mlcroissant uses
def test_mlcroissant_finds_no_fault_and_reads_every_annotation(
    table: AnnotationTable, tmp_path: Path
) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    publication = Publication(
        license="https://www.apache.org/licenses/LICENSE-2.0",
        url="https://example.org/sample",
        creator="artaffect",
        citation="The sample of artaffect",
        published="2026-01-01",
        version="1.0.0",
    )
    write_croissant(table, tmp_path / "croissant.json", publication)
    dataset = mlcroissant.Dataset(jsonld=tmp_path / "croissant.json")
    assert not dataset.metadata.issues.errors and not dataset.metadata.issues.warnings
    assert dataset.metadata.name == "artaffect sample"
    assert "english 288" in dataset.metadata.annotator_demographics[0]
    records = list(dataset.records("annotations"))
    assert len(records) == len(table)
    for record, row in list(zip(records, table, strict=True))[:20]:
        assert record["annotations/caption"].decode() == row.caption
        assert record["annotations/emotion"].decode() == row.emotion


def test_the_metadata_follow_from_the_table(table: AnnotationTable, tmp_path: Path) -> None:
    content = croissant(table, tmp_path)
    assert content["description"].startswith("SYNTHETIC") and "synthetic" in content["keywords"]
    assert sorted(content["inLanguage"]) == ["ar", "en", "zh"]
    (file,) = content["distribution"]
    assert file["contentUrl"] == "tables/sample.parquet"
    assert file["sha256"] == file_digest(tmp_path / "tables" / "sample.parquet")
    (records,) = content["recordSet"]
    assert [field["name"] for field in records["field"]] == table.rows.column_names
    assert content["rai:annotationsPerItem"] == "12.00 on average, 12 to 12"
    assert "license" not in content and "creator" not in content, "nothing is made up"
    assert str(tmp_path) not in json.dumps(content), "no path of this machine"


def test_a_published_data_set_is_cited(table: AnnotationTable, tmp_path: Path) -> None:
    provenance = {"dataset": "ArtELingo", "source": "artelingo_release.csv"}
    real = AnnotationTable(table.rows, provenance, file=table.file)
    content = croissant(real, tmp_path, Publication(url="https://example.org"))
    assert content["name"] == "ArtELingo" and "EMNLP 2022" in content["citeAs"]
    assert content["url"] == "https://example.org"


def test_the_command_writes_it_beside_the_counts(
    artaffect: Command, table: AnnotationTable, tmp_path: Path
) -> None:
    out = tmp_path / "croissant.json"
    given = ("stats", table.file, "--croissant", out)
    code, printed, err = artaffect(*given, "--about", "license=cc-by-4.0", "--json")
    assert code == 0, err
    assert json.loads(printed)["annotations"] == len(table)
    assert json.loads(out.read_text("utf-8"))["license"] == "cc-by-4.0"
    code, _, err = artaffect(*given, "--about", "licence=cc-by-4.0")
    assert code == 1 and "Did you mean 'license'" in err
    code, _, err = artaffect("stats", table.file, "--about", "license=cc-by-4.0")
    assert code == 1 and "--about needs --croissant" in err
    code, _, err = artaffect("stats", table.file, "--croissant", table.file)
    assert code == 1 and "is both read and written" in err


def test_a_table_that_is_no_file_has_no_metadata(
    sample_table: AnnotationTable, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="save the table, and load it again"):
        croissant(sample_table, tmp_path)
