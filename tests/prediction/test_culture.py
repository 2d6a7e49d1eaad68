"""Models scored public by public: what the image adds, whose answers fit whom, one or several runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from artaffect.data.annotations import AnnotationTable
from artaffect.errors import InputError
from artaffect.features import extract_arrays
from artaffect.models.checkpoint import load_model
from artaffect.report.culture import (
    ReportOptions,
    cultural_report,
    image_contribution,
    picture_addresses,
    shuffled_pictures,
    votes_of,
)

QUICK = ReportOptions("test", n_resamples=50, shown=2)


@pytest.fixture(scope="module")
def second_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / tiny_run.name
    return Path(shutil.copytree(tiny_run, folder))


def test_the_image_left_out_leaves_the_caption_model(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(tiny_run)
    rows = extract_arrays(sample_table.of_split("test"), *model.encoders, model.cultures)
    found = image_contribution(model, rows, QUICK)
    assert found is not None
    left_out = found.differences["both, image left out - caption"]["overall"]["log_loss"]
    if model.fusion.form == "logits":  # type: ignore[union-attr]
        assert left_out.value == pytest.approx(0, abs=1e-6)
        image = found.models["image"]["overall"].metrics["log_loss"].value
        alone = found.models["both, caption left out"]["overall"].metrics["log_loss"].value
        assert alone == pytest.approx(image)
    shuffled = found.models["both, image shuffled"]["overall"].metrics["log_loss"].value
    assert shuffled != found.models["both"]["overall"].metrics["log_loss"].value


def test_shuffling_gives_every_painting_another_ones_picture(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    model = load_model(tiny_run)
    rows = extract_arrays(sample_table.of_split("test"), *model.encoders, model.cultures)
    mixed = shuffled_pictures(rows, 0)
    assert not torch.isclose(mixed.image, rows.image).all(1).any()
    order = torch.cdist(mixed.image, rows.image).argmin(1)
    assert sorted(order.tolist()) == list(range(len(rows.artwork_ids))), "each is used once"
    assert mixed.caption is rows.caption


def test_two_runs_are_scored_on_the_same_rows(
    tiny_run: Path, second_run: Path, sample_table: AnnotationTable
) -> None:
    report = cultural_report([tiny_run, second_run], sample_table, "sample", QUICK)
    assert report.rows == len(sample_table.of_split("test")) and not report.left_out
    first, second = (run.name for run in report.runs)
    assert first != second and first.endswith("tiny") and second.endswith("tiny")
    assert set(report.comparison) == {"image", "caption", "both"}
    both = report.comparison["both"]
    assert list(both.models) == ["baseline", first, second]
    assert all(
        score.value == 0 for score in both.differences[f"{second} - {first}"]["overall"].values()
    )
    run = report.runs[0]
    assert set(run.temperatures) == {"image", "caption", "both"}
    assert run.heads is not None
    assert set(run.heads.models) == {f"asked for {c}" for c in ("any", *sample_table.cultures)}
    own = run.heads.models["asked for arabic"]["arabic"].metrics["accuracy"].value
    assert own == run.evaluation.models["both"]["arabic"].metrics["accuracy"].value
    assert run.calibration.models["both, calibrated"] == run.evaluation.models["both"]
    assert not run.chosen_on_this_split
    assert report.divergence is not None and report.divergence.artworks == 72
    page = report.paintings[0]
    assert page.image is not None and Path(page.image).is_file()
    assert all(sum(votes) == 4 for votes in page.votes.values())
    assert np.allclose([sum(answer) for answer in page.answers.values()], 1)


def test_pictures_are_referred_to_or_embedded(
    tiny_run: Path, sample_table: AnnotationTable, tmp_path: Path
) -> None:
    report = cultural_report([tiny_run], sample_table, "sample", QUICK)
    for address in picture_addresses(report, tmp_path / "pages").values():
        assert address.startswith("../") and "%28" in address, "parentheses are quoted"
    for address in picture_addresses(report, tmp_path, embed=True).values():
        assert address.startswith("data:image/jpeg;base64,") and len(address) > 5_000


def test_votes_are_those_of_the_table(sample_table: AnnotationTable) -> None:
    votes = votes_of(sample_table)
    assert votes.counts.sum() == len(sample_table)
    assert votes.cultures == sample_table.cultures


def test_what_cannot_be_compared_is_noted_and_the_rest_is_there(
    tiny_run: Path, sample_table: AnnotationTable
) -> None:
    options = ReportOptions("test", least=5, n_resamples=20)
    report = cultural_report([tiny_run], sample_table, "sample", options)
    assert report.divergence is None and report.agreement is None
    assert len(report.notes) == 2 and "No painting has 5 votes" in report.notes[0]
    assert report.runs[0].distributions == {}


def test_the_same_run_twice_is_refused(tiny_run: Path, sample_table: AnnotationTable) -> None:
    with pytest.raises(InputError, match="a run is named twice"):
        cultural_report([tiny_run, tiny_run], sample_table, "sample", QUICK)
