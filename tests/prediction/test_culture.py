"""Models scored culture by culture: what the image adds, predictions across cultures, several runs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError, TableError
from artaffect.features import extract_arrays
from artaffect.models.checkpoint import load_model
from artaffect.prediction.ablation import modality_ablation, shuffle_images
from artaffect.prediction.evaluation import evaluate_run
from artaffect.reports.culture import ReportOptions, culture_report, votes_of
from artaffect.reports.findings import findings, protocol_line
from artaffect.reports.pages import image_addresses, save_culture_report
from artaffect.reports.tables import markdown_text

QUICK = ReportOptions("test", n_resamples=50, top_k=2)


@pytest.fixture(scope="module")
def second_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / tiny_run.name
    return Path(shutil.copytree(tiny_run, folder))


def test_the_image_left_out_leaves_the_caption_model(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(tiny_run)
    rows = extract_arrays(sample_table.of_split("test"), *model.encoders, model.cultures)
    result = modality_ablation(model, rows, n_resamples=50)
    assert result is not None
    left_out = result.comparison("both_image_left_out", "caption").by_group.overall["log_loss"]
    if model.fusion.form == "logits":  # type: ignore[union-attr]
        assert left_out.value == pytest.approx(0, abs=1e-6)
        image = result["image"].log_loss.value
        assert result["both_caption_left_out"].log_loss.value == pytest.approx(image)
    assert result["both_image_shuffled"].log_loss.value != result["both"].log_loss.value


def test_shuffling_gives_every_artwork_the_image_of_another(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(tiny_run)
    rows = extract_arrays(sample_table.of_split("test"), *model.encoders, model.cultures)
    mixed = shuffle_images(rows, 0)
    assert not torch.isclose(mixed.image, rows.image).all(1).any()
    order = torch.cdist(mixed.image, rows.image).argmin(1)
    assert sorted(order.tolist()) == list(range(len(rows.artwork_ids))), "each is used once"
    assert mixed.caption is rows.caption


def test_two_runs_are_scored_on_the_same_rows(
    tiny_run: Path, second_run: Path, sample_table: AnnotationTable
) -> None:
    report = culture_report([tiny_run, second_run], sample_table, "sample", QUICK)
    assert report.rows == len(sample_table.of_split("test")) and not report.rows_without_image
    first, second = (run.name for run in report.runs)
    assert first != second and first.endswith("tiny") and second.endswith("tiny")
    assert set(report.comparison) == {"image", "caption", "both"}
    both = report.comparison["both"]
    assert list(both.models) == [first, second] and both.baseline is not None
    difference = both.comparison(second, first).by_group.overall
    assert all(estimate.value == 0 for estimate in difference.values())
    assert repr(report).startswith("CultureReport: sample, split test, 132 rows of 11 artworks")
    run = report.runs[0]
    assert set(run.calibration) == {"image", "caption", "both"}
    temperatures = run.calibration["both"].temperatures
    assert set(temperatures) == set(sample_table.cultures)
    assert run.cross_culture is not None
    assert set(run.cross_culture) == set(sample_table.cultures)
    own = run.cross_culture["arabic"]["arabic"].accuracy.value
    assert own == run.evaluation["both"]["arabic"].accuracy.value
    assert run.calibration["both"].calibrated == run.evaluation["both"]
    assert run.calibration["both"].uncalibrated != run.evaluation["both"]
    assert not run.chosen_on_this_split
    assert report.divergence is not None and report.divergence.artworks == 72
    artwork = report.divisive_artworks[0]
    assert artwork.image is not None and Path(artwork.image).is_file()
    assert all(sum(votes) == 4 for votes in artwork.votes.values())
    assert np.allclose([sum(values) for values in artwork.predictions.values()], 1)


@pytest.mark.slow
def test_no_name_of_a_run_or_culture_is_taken_apart(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    """Names that a report used to split, to overwrite or to mix up."""
    runs = [tmp_path / "baseline", tmp_path / "both - image", tmp_path / "a|<b>$x$"]
    for run in runs:
        shutil.copytree(tiny_run, run)
    names, codes = sample_table.codes("culture")
    rows = sample_table.rows
    renamed = np.array(names[codes], object)
    renamed[renamed == "arabic"] = "middle east / west asia"
    renamed[renamed == "chinese"] = "overall"
    artworks = sample_table.codes("artwork_id")[1]
    renamed[(renamed == "english") & (np.arange(len(rows)) % 2 == 0)] = "north $america$ <i>"
    column = pa.array(renamed.tolist()).dictionary_encode()
    index = rows.schema.get_field_index("culture")
    rows = rows.set_column(index, rows.schema.field("culture"), column.cast(rows["culture"].type))
    table = replace(sample_table, rows=rows)
    assert len(artworks) == len(table) and len(table.cultures) == 4

    options = replace(QUICK, min_votes=2)
    report = culture_report(runs, table, "sample", options)
    result = report.comparison["both"]
    assert list(result.models) == [run.name for run in runs]
    assert result.baseline is not None and result.baseline != result["baseline"]
    assert [(c.first, c.second) for c in result.comparisons] == [
        ("both - image", "baseline"),
        ("a|<b>$x$", "baseline"),
    ]
    assert report.divergence is not None
    sides = {pair.first for pair in report.divergence.pairs}
    assert "middle east / west asia" in sides | {p.second for p in report.divergence.pairs}
    assert result["baseline"]["overall"].support < result["baseline"].support
    assert any("both - image predicts exactly the same as baseline" in f for f in findings(report))

    save_culture_report(report, tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "middle east / west asia" in page and "Divergence beyond chance of every pair" in page
    assert "north $america$ &lt;i&gt;" in page and "<i>" not in page
    assert "constant baseline" in page and "all cultures together: " in page
    markdown = (tmp_path / "report" / "report.md").read_text("utf-8")
    assert markdown_text("a|<b>$x$").replace("|", "\\|") in markdown and "<b>" not in markdown


def test_explanations_are_tested_as_part_of_the_report(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    report = culture_report(
        [tiny_run], sample_table, "sample", replace(QUICK, explanations=2, top_k=0)
    )
    tests = report.runs[0].deletion_tests
    assert set(tests) == {"image", "caption"}
    assert all(test.artworks == 2 for test in tests.values())
    assert tests["image"].occlusion_correlation is not None
    assert tests["caption"].occlusion_correlation is None


def test_images_are_linked_or_embedded(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    report = culture_report([tiny_run], sample_table, "sample", QUICK)
    for address in image_addresses(report, tmp_path / "pages").values():
        assert address.startswith("../") and "%28" in address, "parentheses are quoted"
    for address in image_addresses(report, tmp_path, embed=True).values():
        assert address.startswith("data:image/jpeg;base64,") and len(address) > 5_000


def test_votes_are_those_of_the_table(sample_table: AnnotationTable) -> None:
    votes = votes_of(sample_table)
    assert votes.counts.sum() == len(sample_table)
    assert votes.cultures == sample_table.cultures


def test_what_cannot_be_compared_is_noted_and_the_rest_is_there(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    options = ReportOptions("test", min_votes=5, n_resamples=20)
    report = culture_report([tiny_run], sample_table, "sample", options)
    assert report.divergence is None and report.agreement is None
    assert len(report.notes) == 2 and "No artwork has 5 votes" in report.notes[0]
    assert report.runs[0].distributions == {}


def test_the_same_run_twice_is_refused(tiny_run: Path, sample_table: AnnotationTable) -> None:
    with pytest.raises(InputError, match="a run is given twice"):
        culture_report([tiny_run, tiny_run], sample_table, "sample", QUICK)


def test_rows_without_a_caption_are_votes_but_do_not_score_a_caption_model(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    rows, index = sample_table.rows, sample_table.rows.column_names.index("caption")
    captions = ["" if i % 3 else text for i, text in enumerate(sample_table.strings("caption"))]
    column = pa.array(captions, pa.string())
    table = replace(sample_table, rows=rows.set_column(index, rows.schema.field(index), column))
    options = replace(QUICK, explanations=1, top_k=0)
    report = culture_report([tiny_run], table, "sample", options)
    part = table.of_split("test")
    assert report.rows == part.has_caption.sum() < len(part)
    assert f"{(~part.has_caption).sum():,} annotations without a caption are not scored." in (
        report.notes
    )
    result = evaluate_run(tiny_run, table, "test", n_resamples=10)
    assert result.protocol["rows"] == report.rows
    assert result.protocol["rows_without_caption"] == len(part) - report.rows
    assert "annotations without a caption are left out" in protocol_line(result)
    silent = table.select(~table.has_caption)
    with pytest.raises(TableError, match="no row of split 'test' has a caption"):
        evaluate_run(tiny_run, silent, "test")
    with pytest.raises(InputError, match="no row of the split has a caption"):
        culture_report([tiny_run], silent, "sample", QUICK)
